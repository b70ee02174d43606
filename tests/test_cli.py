"""The command line, end to end, in process where that is enough."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from candid.cli import COMMANDS
from candid.report import Report


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of class folders with noisy colour fields, two of them broken."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for name, colour in (("Lemon", (240, 220, 60)), ("Lime", (110, 190, 60)), ("Plum", (90, 40, 90))):
        (folder / name).mkdir()
        for i in range(14):
            pixels = np.clip(random.normal(colour, 25, (72, 80, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.jpg")
    (folder / "Lemon" / "empty.jpg").write_bytes(b"")
    whole = (folder / "Lime" / "0.jpg").read_bytes()
    (folder / "Lime" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.fixture(scope="session")
def audited(photos, tmp_path_factory):
    """An audit of those photos by the embedded model, and what it printed."""
    out = tmp_path_factory.mktemp("audited") / "report"
    arguments = ["audit", photos.name, "-m", "tiny", "-o", out, "--cache", out.parent / "cache", "--json"]
    done = candid(*arguments, cwd=photos.parent)
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def candid(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "candid", *map(str, arguments)], capture_output=True, text=True, check=False, cwd=cwd
    )


def test_audit_writes_report_page_and_predictor(audited):
    out, printed = audited
    assert {p.name for p in out.iterdir()} == {"report.json", "index.html", "predictor"}
    content = Report.load(out).content
    assert printed["report"] == str(out / "index.html")
    assert len(printed["rows"]) == len(content.rows)
    assert printed["verdict"]["headline"] == content.verdict.headline


def test_audit_lists_the_broken_files_and_counts_the_rest(audited):
    content = Report.load(audited[0]).content
    known = next(i for i in content.inputs if i.role == "known")
    assert known.n == 42
    assert {Path(s.id).name for s in known.skipped} == {"empty.jpg", "cut.jpg"}
    assert all(s.reason for s in known.skipped)


def test_audit_again_from_its_own_report_gives_the_same_numbers_from_any_folder(audited, run, tmp_path, monkeypatch):
    out, printed = audited
    monkeypatch.chdir(tmp_path)
    code, text, err = run(
        "audit", "--config", out / "report.json", "-o", tmp_path / "again", "--json", "--cache", out.parent / "cache"
    )
    assert code == 0, err
    assert json.loads(text)["rows"] == printed["rows"]


def test_without_arguments_it_audits_the_embedded_model_on_the_embedded_photos(run, tmp_path):
    out = tmp_path / "demo"
    code, text, err = run("audit", "-o", out, "--cache", tmp_path / "cache")
    assert code == 0, err
    assert f"report: {out / 'index.html'}" in text
    assert (out / "index.html").stat().st_size < 3e6
    content = Report.load(out).content
    assert content.model.id == "tiny"
    assert [(i.role, i.name, i.n) for i in content.inputs] == [
        ("known", "known", 640),
        ("shift", "bad camera", 640),
        ("ood", "new products", 250),
        ("ood", "clothing", 250),
        ("ood", "cells", 169),
    ]
    slices = {(row.metric, row.slice) for row in content.rows}
    assert {("accuracy", "all"), ("ece", "raw"), ("ece", "calibrated"), ("auroc", "ood: cells, energy")} <= slices
    assert content.cannot_say == ()
    assert all(row.n > 0 for row in content.rows)


def test_predict_prints_one_json_line_an_image_and_one_a_broken_file(audited, photos, run):
    code, text, _ = run("predict", audited[0] / "predictor", photos)
    lines = [json.loads(line) for line in text.splitlines()]
    assert code == 0
    assert len(lines) == 44
    assert sum("error" in line for line in lines) == 2
    good = [line for line in lines if "error" not in line]
    assert all(line["label"] in ("Lemon", "Lime", "Plum") and 0 < line["confidence"] <= 1 for line in good)
    assert all(isinstance(line["accepted"], bool) for line in good)


def test_predict_on_single_files_and_strict_mode(audited, photos, run):
    files = [photos / "Lemon" / "0.jpg", photos / "Lime" / "1.jpg"]
    code, text, _ = run("predict", audited[0] / "predictor", *files)
    assert code == 0
    assert len(text.splitlines()) == 2
    code, _, err = run("predict", audited[0] / "predictor", *files, photos / "Lime" / "cut.jpg", "--strict")
    assert code == 2
    assert "cut.jpg" in err


def test_predict_keeps_the_order_of_its_arguments_and_fails_when_nothing_can_be_read(audited, photos, run):
    files = [photos / "Lime" / "3.jpg", photos / "Lime" / "cut.jpg", photos / "Lemon" / "3.jpg"]
    _, text, _ = run("predict", audited[0] / "predictor", *files)
    assert [Path(json.loads(line)["id"]).name for line in text.splitlines()] == ["3.jpg", "cut.jpg", "3.jpg"]
    assert [Path(json.loads(line)["id"]).parent.name for line in text.splitlines()] == ["Lime", "Lime", "Lemon"]
    code, text, err = run("predict", audited[0] / "predictor", photos / "Lime" / "cut.jpg")
    assert code == 2
    assert "error" in json.loads(text)
    assert "cut.jpg" in err


def test_a_gate_that_is_missed_exits_with_1_after_writing_the_report(audited, photos, run, tmp_path):
    out = tmp_path / "gated"
    common = ["audit", photos, "-m", "tiny", "--cache", audited[0].parent / "cache", "-o", out]
    code, _, err = run(*common, "--gate", "accuracy@all>=1.01")
    assert code == 1
    assert "accuracy@all>=1.01" in err
    assert (out / "index.html").exists()
    code, _, err = run(*common, "--exist-ok", "--gate", "accuracy@all>=0")
    assert code == 0, err


def test_an_existing_output_is_refused(audited, photos, run):
    code, _, err = run("audit", photos, "-m", "tiny", "-o", audited[0])
    assert code == 2
    assert "--exist-ok" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["audit", "nowhere", "-m", "tiny"], "nowhere"),
        (["audit", "."], "-m"),
        (["audit", "--gate", "accuracy=1"], "expected a gate like"),
        (["audit", "-m", "tinny"], "tiny"),
        (["audti"], "did you mean audit"),
        (["audit", "--sed", "1"], "--seed"),
        (["predict", "nowhere", "x.jpg"], "nowhere"),
        (["embed", "."], "pass -m"),
        (["audit", "--config", "nowhere.json"], "nowhere.json"),
        (["audit", "--cache", "a", "--no-cache"], "--no-cache"),
    ],
)
def test_a_users_mistake_is_one_clear_line_and_exit_code_2(arguments, hint, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*arguments)
    assert code == 2
    assert hint in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback(tmp_path):
    done = candid("audit", tmp_path / "nowhere", "-m", "tiny", "--debug")
    assert "Traceback" in done.stderr


def test_embed_writes_features_that_load_again(photos, run, tmp_path):
    from candid import workflows

    code, text, _ = run("embed", photos, "-m", "tiny", "-o", tmp_path / "features", "--no-cache", "--json")
    assert code == 0
    features = workflows.load_features(tmp_path / "features")
    assert len(features) == json.loads(text)["n"] == 42
    assert np.allclose(np.linalg.norm(features.vectors, axis=1), 1, atol=1e-5)
    assert features.classes == ("Lemon", "Lime", "Plum")


def test_doctor_names_what_is_missing_and_the_line_that_installs_it(run):
    code, text, _ = run("doctor", "--json")
    facts = json.loads(text)
    assert code == 0
    assert facts["packages"]["torch"]
    assert all("installed" in line or "pip install" in line for line in facts["extras"].values())
    code, text, _ = run("doctor")
    assert code == 0
    assert "transformers" in text


def test_interrupting_an_audit_exits_with_130_and_leaves_a_usable_cache(tmp_path):
    folder = tmp_path / "many"
    random = np.random.default_rng(0)
    for name in ("Lemon", "Lime"):
        (folder / name).mkdir(parents=True)
        for i in range(600):
            Image.fromarray(random.integers(0, 255, (64, 64, 3), np.uint8)).save(folder / name / f"{i}.png")
    # A shell's background job ignores SIGINT and its children inherit that; a person at a terminal does not.
    program = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program += "from candid.cli import main; main(sys.argv[1:])"
    arguments = ["audit", folder, "-m", "tiny", "-o", tmp_path / "out", "--cache", tmp_path / "cache"]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "cache").rglob("*.safetensors")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    finished = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.safetensors")}
    assert candid("audit", folder, "-m", "tiny", "-o", tmp_path / "out", "--cache", tmp_path / "cache").returncode == 0
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in finished.items())


def test_the_page_about_the_command_line_is_what_help_says():
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, root / "scripts" / "cli-page"], capture_output=True, text=True, check=True)
    assert (root / "docs" / "cli.md").read_text() == done.stdout, "run scripts/cli-page > docs/cli.md"


def test_every_command_says_in_the_list_what_its_help_says_first():
    from importlib import import_module

    for module, line in COMMANDS.values():
        assert import_module(module).command.help.splitlines()[0] == line
