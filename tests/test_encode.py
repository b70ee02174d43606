"""Encoding: every image once, in order, and the same bits whatever happened to the process or the disk before."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import batch_encoder
import numpy as np
import pytest
from batch_encoder import BatchEncoder, noise_folder
from PIL import Image
from safetensors.numpy import load_file

from candid import data, workflows
from candid.errors import InputError, UnreadableImage
from candid.types import Features, ImageSet
from candid.workflows.runs import runs

COUNT = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return noise_folder(tmp_path_factory.mktemp("pictures") / "noise", COUNT)


@pytest.fixture
def images(folder) -> ImageSet:
    return data.read(folder)


def encode(images: ImageSet, cache: Path | bool = False, **options) -> tuple[Features, BatchEncoder]:
    encoder = BatchEncoder()
    return workflows.encode(encoder, images, cache=cache, batch_size=16, **options), encoder


def shards(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.safetensors"))


# what comes out


def test_every_image_is_encoded_once_in_the_order_of_the_set(images):
    found, encoder = encode(images)
    assert found.ids == images.ids
    assert encoder.seen == COUNT
    assert found.encoder == "org/batch-encoder@1/box-8"
    projection = np.random.default_rng(0).normal(size=(192, 16))
    alone = images.read(5).transpose(2, 0, 1).reshape(-1) / 255 @ projection  # the batch adds a hundredth of its mean
    assert found.vectors[5] @ (alone / np.linalg.norm(alone)) > 0.999


def test_labels_and_groups_follow_their_images_past_unreadable_files(tmp_path):
    rows = [{"path": f"{i}.png", "label": "ab"[i % 2], "group": "xyz"[i % 3]} for i in range(7)]
    noise_folder(tmp_path / "set", 7)
    (tmp_path / "set" / "2.png").write_bytes(b"no image")
    (tmp_path / "set" / "4.png").unlink()
    (tmp_path / "set" / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found, _ = encode(data.read(tmp_path / "set" / "m.jsonl"))
    assert found.ids == ("0.png", "1.png", "3.png", "5.png", "6.png")
    assert (found.classes, found.labels.tolist()) == (("a", "b"), [0, 1, 1, 1, 0])
    assert (found.group_names, found.groups.tolist()) == (("x", "y", "z"), [0, 1, 0, 2, 0])
    assert [(s.id, s.reason) for s in found.skipped] == [("4.png", "no such file"), ("2.png", "not an image file")]


def test_a_file_that_vanishes_while_encoding_is_listed(tmp_path):
    images = data.read(noise_folder(tmp_path / "set", 5))
    (tmp_path / "set" / "3.png").unlink()
    found, _ = encode(images)
    assert len(found) == 4
    assert [(s.id, s.reason) for s in found.skipped] == [("3.png", "No such file or directory")]


def test_nothing_readable_gives_no_rows_and_every_reason(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(b"")
    found, encoder = encode(data.read(tmp_path), tmp_path / "cache")
    assert found.vectors.shape == (0, 16)
    assert [s.reason for s in found.skipped] == ["empty file", "empty file"]
    assert encoder.batches == []


@pytest.mark.parametrize("broken", ["bytes", "listed"])
def test_strict_stops_at_a_file_that_cannot_be_used(tmp_path, broken):
    noise_folder(tmp_path / "set", 5)
    if broken == "bytes":
        (tmp_path / "set" / "3.png").write_bytes(b"no image")
    else:
        (tmp_path / "set" / "3.pdf").write_bytes(b"no image")
    for _ in range(2):  # the second time the reason comes from the cache
        with pytest.raises(UnreadableImage, match=r"3\.(png|pdf): not an image file"):
            encode(data.read(tmp_path / "set"), tmp_path / "cache", strict=True)


def test_progress_counts_every_image_to_the_total(images, tmp_path):
    for cache in (False, tmp_path, tmp_path):
        told: list[tuple[int, int]] = []
        encode(images, cache, progress=lambda done, total, told=told: told.append((done, total)))
        assert told[0] == (0, COUNT)
        assert told[-1] == (COUNT, COUNT)
        assert told == sorted(told)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_the_number_of_workers_does_not_change_a_bit(images, workers):
    assert np.array_equal(encode(images, workers=workers)[0].vectors, encode(images)[0].vectors)


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"workers": 0}])
def test_a_batch_or_crew_of_none_is_refused(images, wrong):
    with pytest.raises(InputError, match="must be 1 or more"):
        workflows.encode(BatchEncoder(), images, cache=False, **wrong)


def test_vectors_that_are_not_finite_stop_the_run_and_are_not_kept(images, tmp_path):
    class Broken(BatchEncoder):
        def encode_prepared(self, pixels):
            return super().encode_prepared(pixels) * np.float32("nan")

    with pytest.raises(InputError, match="not finite"):
        workflows.encode(Broken(), images, cache=tmp_path)
    assert shards(tmp_path) == []


def test_a_mistake_in_the_encoder_is_not_taken_for_a_bad_image(images):
    class Mistaken(BatchEncoder):
        def prepare(self, image):
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        workflows.encode(Mistaken(), images, cache=False)


# the cache


def test_the_second_time_nothing_is_encoded_and_no_bit_differs(images, tmp_path):
    first, _ = encode(images, tmp_path)
    second, encoder = encode(images, tmp_path)
    assert encoder.seen == 0
    assert np.array_equal(first.vectors, second.vectors)
    assert np.array_equal(first.vectors, encode(images)[0].vectors)


def test_renamed_files_are_not_encoded_again(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "renamed")
    for path in (tmp_path / "renamed").iterdir():
        path.rename(path.with_name(f"photo_{path.name}"))
    encode(data.read(folder), tmp_path / "cache")
    found, encoder = encode(data.read(tmp_path / "renamed"), tmp_path / "cache")
    assert encoder.seen == 0
    assert found.ids[0] == "photo_0.png"


def test_one_more_image_costs_its_own_run_and_not_all_that_follow(tmp_path):
    noise_folder(tmp_path / "set", 1500)
    first, _ = encode(data.read(tmp_path / "set"), tmp_path / "cache")
    Image.new("RGB", (8, 8)).save(tmp_path / "set" / "10b.png")
    second, encoder = encode(data.read(tmp_path / "set"), tmp_path / "cache")
    assert 1 <= encoder.seen <= 512
    assert np.array_equal(second.vectors[-100:], first.vectors[-100:])


@pytest.mark.parametrize("field", ["id", "revision", "preprocessing", "precision"])
def test_another_model_shares_nothing(images, tmp_path, field):
    encode(images, tmp_path)
    other = BatchEncoder(**{field: "other"})
    workflows.encode(other, images, cache=tmp_path, batch_size=16)
    assert other.seen == COUNT


def test_a_changed_pixel_is_encoded_again(tmp_path):
    noise_folder(tmp_path / "set", 10)
    before, _ = encode(data.read(tmp_path / "set"), tmp_path / "cache")
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / "set" / "4.png")
    after, encoder = encode(data.read(tmp_path / "set"), tmp_path / "cache")
    assert encoder.seen == 10
    assert not np.array_equal(before.vectors[4], after.vectors[4])


@pytest.mark.parametrize("damage", ["bit", "short", "empty", "noise", "swapped"])
def test_a_damaged_shard_is_noticed_and_encoded_again(images, tmp_path, damage):
    clean, _ = encode(images, tmp_path)
    victim, other = shards(tmp_path)[:2]
    content = bytearray(victim.read_bytes())
    if damage == "bit":
        content[-7] ^= 1
    elif damage == "swapped":
        content = bytearray(other.read_bytes())
    else:
        content = {"short": content[:-100], "empty": bytearray(), "noise": bytearray(os.urandom(500))}[damage]
    victim.write_bytes(content)
    found, encoder = encode(images, tmp_path)
    assert 0 < encoder.seen < COUNT
    assert np.array_equal(found.vectors, clean.vectors)
    assert encode(images, tmp_path)[1].seen == 0


def test_the_cache_says_what_made_it(images, tmp_path):
    encode(images, tmp_path)
    (folder,) = (tmp_path / "features").iterdir()
    meta = json.loads((folder / "meta.json").read_text())
    assert folder.name.startswith("batch-encoder-")
    assert (meta["format"], meta["id"], meta["revision"]) == ("candid-feature-cache", "org/batch-encoder", "1")


def test_files_a_killed_process_left_are_removed_after_an_hour(images, tmp_path):
    encode(images, tmp_path)
    (folder,) = (tmp_path / "features").iterdir()
    old, fresh = folder / ".a.safetensors.x.part", folder / ".b.safetensors.y.part"
    old.write_bytes(b"1")
    fresh.write_bytes(b"1")
    os.utime(old, (time.time() - 7200,) * 2)
    shards(tmp_path)[0].unlink()
    encode(images, tmp_path)
    assert not old.exists()
    assert fresh.exists()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"CANDID_CACHE": "/a/b"}, Path("/a/b")),
        ({"XDG_CACHE_HOME": "/x"}, Path("/x/candid")),
        ({}, Path("~/.cache/candid").expanduser()),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="other platforms have their own folder")
def test_the_default_folder_follows_the_environment(monkeypatch, environment, expected):
    for name in ("CANDID_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert workflows.cache_folder() == expected


def test_the_default_cache_is_used_when_none_is_named(images, tmp_path, monkeypatch):
    monkeypatch.setenv("CANDID_CACHE", str(tmp_path / "mine"))
    encode(images, True)
    assert shards(tmp_path / "mine")
    assert encode(images, True)[1].seen == 0


# killed, raced, and out of space


def child(folder: Path, cache: Path, out: Path, pause: float = 0.0) -> subprocess.Popen[str]:
    command = [sys.executable, batch_encoder.__file__, folder, cache, out, pause]
    return subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True)


def wait_for(condition, process: subprocess.Popen[str], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "the child did not get there"
        time.sleep(0.005)


def test_a_killed_run_goes_on_after_its_last_finished_shard_with_the_same_bits(tmp_path):
    folder, cache, out = noise_folder(tmp_path / "set", 600), tmp_path / "cache", tmp_path / "out.npz"
    process = child(folder, cache, out, pause=0.05)
    wait_for(lambda: len(shards(cache)) >= 2, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    kept = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in shards(cache)}
    saved = sum(len(rows) for rows in map(vectors_in, kept))

    resumed = child(folder, cache, out)
    assert resumed.communicate()[1] == ""
    result = np.load(out)
    assert int(result["seen"]) == 600 - saved
    assert all((path.stat().st_mtime_ns, path.read_bytes()) == before for path, before in kept.items())
    assert np.array_equal(result["vectors"], encode(data.read(folder))[0].vectors)


def vectors_in(path: Path) -> np.ndarray:
    return load_file(path)["vectors"]


def test_two_processes_on_one_cache_end_with_the_same_bits_and_whole_files(tmp_path):
    folder, cache = noise_folder(tmp_path / "set", 600), tmp_path / "cache"
    pair = [child(folder, cache, tmp_path / f"{name}.npz", pause=0.01) for name in "ab"]
    assert [process.communicate()[1] for process in pair] == ["", ""]
    a, b = (np.load(tmp_path / f"{name}.npz")["vectors"] for name in "ab")
    assert np.array_equal(a, b)
    assert np.array_equal(a, encode(data.read(folder))[0].vectors)
    assert encode(data.read(folder), cache)[1].seen == 0
    assert not list(cache.rglob("*.part"))


def test_an_interrupted_run_keeps_what_it_finished(images, tmp_path):
    class Interrupted(BatchEncoder):
        def encode_prepared(self, pixels):
            if self.seen > 256:  # the longest a run can be
                raise KeyboardInterrupt
            return super().encode_prepared(pixels)

    with pytest.raises(KeyboardInterrupt):
        workflows.encode(Interrupted(), images, cache=tmp_path, batch_size=16)
    kept = sum(len(vectors_in(path)) for path in shards(tmp_path))
    assert kept >= 64
    assert encode(images, tmp_path)[1].seen == COUNT - kept


def test_a_cache_that_cannot_be_written_is_told_before_anything_is_encoded(images, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    encoder = BatchEncoder()
    with pytest.raises(InputError, match="cannot write in") as caught:
        workflows.encode(encoder, images, cache=tmp_path / "cache")
    assert encoder.seen == 0
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_one_clear_line_and_leaves_no_half_file(folder, tmp_path):
    """A limit on file size is the full disk that needs no disk: the write fails in the middle of a shard."""
    code = (
        "import resource, signal, sys, batch_encoder\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "batch_encoder.main(*sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, str(folder), str(tmp_path / "cache"), str(tmp_path / "out.npz")]
    environment = {**os.environ, "PYTHONPATH": str(Path(batch_encoder.__file__).parent)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert "InputError: cannot write" in last
    assert "File too large; free some space or choose another folder" in last
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()] == ["meta.json"]


# runs


def digests(count: int, seed: int = 0) -> list[str]:
    return [row.tobytes().hex() for row in np.random.default_rng(seed).integers(0, 256, (count, 16), dtype=np.uint8)]


@pytest.mark.parametrize("batch_size", [1, 64, 100])
def test_runs_cover_every_row_once_and_keep_their_bounds(batch_size):
    content = digests(5000)
    found = list(runs(enumerate(content), batch_size=batch_size))
    assert [row for run in found for row in run.rows] == list(range(5000))
    lengths = [len(run.rows) for run in found]
    shortest = max(64, batch_size)
    assert all(shortest <= length <= 4 * shortest for length in lengths[:-1])
    assert len(set(lengths)) > 5


def test_runs_fall_back_into_step_after_an_inserted_row():
    content = digests(5000)
    before = {run.key for run in runs(enumerate(content), batch_size=64)}
    after = {run.key for run in runs(enumerate([*content[:1000], "ab" * 16, *content[1000:]]), batch_size=64)}
    assert len(after - before) <= 4


# features as files


def test_saved_features_come_back_whole(tmp_path):
    rng = np.random.default_rng(0)
    made = Features(
        vectors=rng.normal(size=(5, 3)).astype(np.float32),
        ids=("a", "b", "ç/d", "e", "f"),
        encoder="x@1/y",
        labels=np.array([0, 1, 1, 0, 2]),
        groups=np.array([1, 0, 0, 0, 1]),
        classes=("cat", "dog", "fox"),
        group_names=("in", "out"),
        skipped=(data.read(noise_folder(tmp_path / "s", 1)).skipped),
    )
    back = workflows.load_features(workflows.save_features(tmp_path / "out", made))
    assert np.array_equal(back.vectors, made.vectors)
    assert np.array_equal(back.labels, made.labels)
    assert np.array_equal(back.groups, made.groups)
    assert (back.ids, back.encoder, back.classes, back.group_names, back.skipped) == (
        made.ids, made.encoder, made.classes, made.group_names, made.skipped,
    )  # fmt: skip


def test_features_without_labels_and_with_skipped_files_come_back_too(tmp_path):
    noise_folder(tmp_path / "set", 3)
    (tmp_path / "set" / "1.png").write_bytes(b"")
    made, _ = encode(data.read(tmp_path / "set"))
    back = workflows.load_features(workflows.save_features(tmp_path / "out", made))
    assert (back.labels, back.groups, back.classes) == (None, None, None)
    assert back.skipped == made.skipped
    assert back.skipped[0].reason == "empty file"


@pytest.mark.parametrize("damage", ["bit", "gone", "short"])
def test_damaged_features_are_refused(images, tmp_path, damage):
    folder = workflows.save_features(tmp_path / "out", encode(images)[0])
    (shard,) = folder.glob("*.safetensors")
    content = bytearray(shard.read_bytes())
    content[-5] ^= 4
    if damage == "gone":
        shard.unlink()
    else:
        shard.write_bytes(content if damage == "bit" else content[:-10])
    with pytest.raises(InputError, match="write the features again"):
        workflows.load_features(folder)


def test_a_folder_that_holds_no_features_says_so(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        workflows.load_features(tmp_path)
