"""Hub snapshots from a real server on this machine that answers as the Hub does: pinning, caching, and no network."""

import hashlib
import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar

import pytest

OLD, NEW = "a" * 40, "b" * 40
COMMITS = {"main": NEW, "v1": OLD, OLD: OLD, NEW: NEW}
FILES = {
    "config.json": b'{"model_type": "clip"}',
    "tokenizer.json": b"{}",
    "merges.txt": b"",
    "README.md": b"read me",
    "code.py": b"raise SystemExit",
    "model.safetensors": b"safe weights",
    "pytorch_model.bin": b"pickled weights",
}
PROGRAM = """
import json, sys
from candid.errors import InputError
from candid.models import source
try:
    found = source.complete(source.find(*json.loads(sys.argv[1])))
    files = {p.name: p.read_text() for p in sorted(found.folder.iterdir())}
    print(json.dumps({"id": found.name, "revision": found.revision, "config": found.config, "files": files}))
except InputError as error:
    print(json.dumps({"error": str(error)}))
"""


class Hub(BaseHTTPRequestHandler):
    """Two commits of org/clip, the same but for their config; `asked` lists what was asked for."""

    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(f"{self.command} {self.path}")
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self.info("/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main")
        elif parts[:2] == ["org", "clip"] and parts[2] == "resolve" and parts[4] in FILES:
            self.file(COMMITS[parts[3]], parts[4])
        else:
            self.refuse("EntryNotFound")

    def do_HEAD(self):
        self.do_GET()

    def info(self, repo, revision):
        if repo != "org/clip":
            self.refuse("RepoNotFound")
        elif revision not in COMMITS:
            self.refuse("RevisionNotFound")
        else:
            body = {
                "id": repo,
                "modelId": repo,
                "sha": COMMITS[revision],
                "siblings": [{"rfilename": name} for name in FILES],
            }
            self.answer(json.dumps(body).encode(), {"Content-Type": "application/json"})

    def file(self, commit, name):
        body = FILES[name]
        if name == "config.json":
            body = json.dumps({"model_type": "clip", "commit": commit[0]}).encode()
        self.answer(body, {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(body).hexdigest()}"'})

    def refuse(self, code):
        self.answer(b"", {"X-Error-Code": code, "X-Error-Message": code}, status=404)

    def answer(self, body, headers, status=200):
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Hub.asked.clear()
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def find(*name, endpoint, cache, **environment):
    """What a fresh process finds: the library reads its settings when it is imported."""
    kept = {
        k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and not k.startswith(("HF_", "COV"))
    }
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "HF_HUB_DISABLE_PROGRESS_BARS": "1", **environment}
    command = [sys.executable, "-c", PROGRAM, json.dumps(name)]
    done = subprocess.run(command, env={**kept, **settings}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_branch_is_pinned_to_its_commit_and_only_what_is_needed_is_fetched(hub, tmp_path):
    found = find("org/clip", endpoint=hub, cache=tmp_path)
    assert (found["id"], found["revision"], found["config"]["commit"]) == ("org/clip", NEW, "b")
    assert sorted(found["files"]) == ["config.json", "merges.txt", "model.safetensors", "tokenizer.json"]
    assert found["files"]["model.safetensors"] == "safe weights"


def test_a_revision_may_stand_in_the_name_or_beside_it(hub, tmp_path):
    for name in (["org/clip@v1"], ["org/clip", "v1"], [f"org/clip@{OLD}"], ["org/clip@v1", "v1"]):
        assert find(*name, endpoint=hub, cache=tmp_path)["revision"] == OLD
    assert "two revisions" in find("org/clip@v1", "main", endpoint=hub, cache=tmp_path)["error"]


def test_a_cached_commit_is_not_asked_for_again(hub, tmp_path):
    first = find("org/clip", endpoint=hub, cache=tmp_path)
    Hub.asked.clear()
    assert find("org/clip", NEW, endpoint=hub, cache=tmp_path) == first
    assert Hub.asked == []


def test_without_a_network_the_cache_answers(hub, tmp_path):
    first = find("org/clip", endpoint=hub, cache=tmp_path)
    assert find("org/clip", endpoint="http://127.0.0.1:1", cache=tmp_path) == first
    assert find("org/clip", endpoint=hub, cache=tmp_path, HF_HUB_OFFLINE="1") == first


def test_without_a_network_or_a_copy_there_is_one_clear_line(tmp_path):
    error = find("org/clip", endpoint="http://127.0.0.1:1", cache=tmp_path)["error"]
    assert "cannot reach the Hub for org/clip, and the local cache has no copy" in error
    assert "\n" not in error
    offline = find("org/clip", "v1", endpoint="http://127.0.0.1:1", cache=tmp_path, HF_HUB_OFFLINE="1")["error"]
    assert "cannot reach the Hub for org/clip@v1" in offline
    assert "HF_HUB_OFFLINE" in offline


def test_a_server_that_hangs_up_is_not_asked_over_and_over(tmp_path):
    class HangsUp(BaseHTTPRequestHandler):
        calls = 0

        def handle(self):
            HangsUp.calls += 1

    server = ThreadingHTTPServer(("127.0.0.1", 0), HangsUp)
    Thread(target=server.serve_forever, daemon=True).start()
    error = find("org/clip", endpoint=f"http://127.0.0.1:{server.server_port}", cache=tmp_path)["error"]
    server.shutdown()
    server.server_close()
    assert "cannot reach the Hub" in error
    assert HangsUp.calls <= 2  # the library left to itself tries seven times, over 23 seconds


def test_what_the_hub_does_not_have_is_named(hub, tmp_path):
    assert "the Hub has no public model org/clop" in find("org/clop", endpoint=hub, cache=tmp_path)["error"]
    assert "org/clip has no revision v9" in find("org/clip@v9", endpoint=hub, cache=tmp_path)["error"]
