"""The bank of views: each view is what the model makes of it, and the same bits whatever was kept, killed or added."""

import shutil
from pathlib import Path

import checkpoints
import numpy as np
import pytest
from batch_encoder import BatchEncoder, noise_folder
from PIL import Image
from safetensors.numpy import load_file

from candid import data, models, workflows
from candid.errors import InputError, UnreadableImage
from candid.types import ImageSet
from candid.workflows import ViewBank

COUNT, VIEWS = 150, 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return noise_folder(tmp_path_factory.mktemp("pictures") / "noise", COUNT)


@pytest.fixture
def images(folder) -> ImageSet:
    return data.read(folder)


def bank(images: ImageSet, cache: Path | bool = False, **options) -> tuple[ViewBank, BatchEncoder]:
    encoder = BatchEncoder()
    options = {"views": VIEWS, "batch_size": 16, **options}
    return workflows.view_bank(encoder, images, cache=cache, **options), encoder


def banks(cache: Path) -> list[Path]:
    return sorted(cache.rglob("bank-*.safetensors"))


# what comes out


@pytest.mark.parametrize("kind", sorted(data.AUGMENTATIONS))
def test_a_view_is_the_vector_of_the_augmented_image(kind):
    model, photos = models.load("tiny"), data.shard(data.sample().known, 80, 0)
    found = workflows.view_bank(model, photos, views=3, augment=kind, seed=4, cache=False, batch_size=256)
    for number in range(3):
        pixels = [
            data.augment(photos.read(row), model.size, data.view_random(4, found.digests[row], number), kind)
            for row in range(len(photos))
        ]
        expected = model.encode_prepared(np.stack(pixels))
        assert np.array_equal(found.vectors[:, number], expected.astype(np.float16))


def test_rounding_moves_a_row_by_less_than_one_part_in_two_thousand():
    model, photos = models.load("tiny"), data.shard(data.sample().known, 80, 0)
    found = workflows.view_bank(model, photos, views=1, cache=False)
    pixels = [
        data.augment(photos.read(row), model.size, data.view_random(0, found.digests[row], 0))
        for row in range(len(photos))
    ]
    exact = model.encode_prepared(np.stack(pixels))
    assert np.linalg.norm(found.view(0).vectors - exact, axis=1).max() < 1 / 2048
    assert np.abs(np.linalg.norm(found.view(0).vectors, axis=1) - 1).max() < 1 / 2048


def test_rows_ids_and_labels_keep_the_order_of_the_set(tmp_path):
    for name in "ba":
        noise_folder(tmp_path / "set" / name, 5, seed=ord(name))
    (tmp_path / "set" / "a" / "2.png").write_bytes(b"no image")
    images = data.read(tmp_path / "set")
    for cache in (False, tmp_path / "cache", tmp_path / "cache"):
        found, _ = bank(images, cache)
        assert found.ids == tuple(name for name in images.ids if name != "a/2.png")
        assert (found.classes, found.labels.tolist()) == (("a", "b"), [0] * 4 + [1] * 5)
        assert (found.vectors.shape, found.vectors.dtype) == ((9, VIEWS, 16), np.float16)
        assert [(s.id, s.reason) for s in found.skipped] == [("a/2.png", "not an image file")]
        assert len(found.digests) == 9


def test_one_view_reads_as_features_that_name_it(images):
    found, _ = bank(images)
    one = found.view(2)
    assert one.vectors.dtype == np.float32
    assert np.array_equal(one.vectors, found.vectors[:, 2].astype(np.float32))
    assert one.encoder == "org/batch-encoder@1/box-8/dassl2021-0-2"
    with pytest.raises(InputError, match=r"expected a view in \[0, 6\), got 6"):
        found.view(6)


def test_an_image_is_decoded_once_for_all_its_views(images):
    read: list[int] = []
    watched = ImageSet(ids=images.ids, read=lambda row: read.append(row) or images.read(row), raw=images.raw)
    bank(watched)
    assert sorted(read) == list(range(COUNT))


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_does_not_change_a_bit(images, workers):
    assert np.array_equal(bank(images, workers=workers)[0].vectors, bank(images)[0].vectors)


def test_seeds_and_augmentations_give_other_views(images):
    plain, other, newer = (bank(images, **how)[0].vectors for how in ({}, {"seed": 1}, {"augment": "dassl"}))
    assert not np.array_equal(plain, other)
    assert not np.array_equal(plain, newer)


def test_nothing_readable_gives_no_rows(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(b"")
    for cache in (False, tmp_path / "cache"):
        found, encoder = bank(data.read([tmp_path / "a.png", tmp_path / "b.png"]), cache)
        assert (found.vectors.shape, encoder.seen) == ((0, VIEWS, 16), 0)
        assert [s.reason for s in found.skipped] == ["empty file", "empty file"]


def test_strict_stops_at_a_file_that_cannot_be_used(tmp_path):
    noise_folder(tmp_path / "set", 5)
    (tmp_path / "set" / "3.png").write_bytes(b"no image")
    for _ in range(2):  # the second time the reason comes from the cache
        with pytest.raises(UnreadableImage, match=r"3\.png: not an image file"):
            bank(data.read(tmp_path / "set"), tmp_path / "cache", strict=True)


def test_progress_counts_every_view_to_the_total(images, tmp_path):
    for cache in (False, tmp_path, tmp_path):
        told: list[tuple[int, int]] = []
        bank(images, cache, progress=lambda done, total, told=told: told.append((done, total)))
        assert (told[0], told[-1]) == ((0, COUNT * VIEWS), (COUNT * VIEWS, COUNT * VIEWS))
        assert told == sorted(told)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"views": 0}, "must be 1 or more"),
        ({"batch_size": 0}, "must be 1 or more"),
        ({"workers": 0}, "must be 1 or more"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"augment": "dasl"}, "did you mean dassl"),
    ],
)
def test_arguments_without_a_meaning_are_refused(images, wrong, message):
    with pytest.raises(InputError, match=message):
        bank(images, **wrong)


def test_vectors_beyond_float16_are_refused(images):
    class Large(BatchEncoder):
        def encode_prepared(self, pixels):
            return super().encode_prepared(pixels) * np.float32(1e6)

    with pytest.raises(InputError, match="beyond the range of float16"), np.errstate(over="ignore"):
        workflows.view_bank(Large(), images, views=1, cache=False)


# what is kept


def test_the_second_time_nothing_is_encoded_and_the_bank_is_a_memory_map(images, tmp_path):
    first, encoder = bank(images, tmp_path)
    assert encoder.seen == COUNT * VIEWS
    second, encoder = bank(images, tmp_path)
    assert encoder.seen == 0
    assert isinstance(second.vectors, np.memmap)
    assert np.array_equal(first.vectors, second.vectors)
    assert np.array_equal(first.vectors, bank(images)[0].vectors)
    assert np.array_equal(load_file(banks(tmp_path)[0])["vectors"], first.vectors)


def test_fewer_views_of_the_same_seed_are_the_first_ones_and_encode_nothing(images, tmp_path):
    many, _ = bank(images, tmp_path)
    few, encoder = bank(images, tmp_path, views=2)
    assert encoder.seen == 0
    assert np.array_equal(few.vectors, many.vectors[:, :2])
    assert np.array_equal(few.vectors, bank(images, views=2)[0].vectors)


def test_more_views_encode_only_the_new_ones(images, tmp_path):
    bank(images, tmp_path, views=2)
    more, encoder = bank(images, tmp_path)
    assert encoder.seen == COUNT * (VIEWS - 2)
    assert np.array_equal(more.vectors, bank(images)[0].vectors)
    assert bank(images, tmp_path, views=3)[1].seen == 0


def test_more_images_encode_little_beyond_themselves(tmp_path):
    noise_folder(tmp_path / "set", 1500)
    first, _ = bank(data.read(tmp_path / "set"), tmp_path / "cache", views=2)
    Image.new("RGB", (8, 8)).save(tmp_path / "set" / "10b.png")
    second, encoder = bank(data.read(tmp_path / "set"), tmp_path / "cache", views=2)
    assert 2 <= encoder.seen <= 2 * 512
    assert np.array_equal(second.vectors[-100:], first.vectors[-100:])


def test_renamed_files_are_not_encoded_again(folder, tmp_path):
    bank(data.read(folder), tmp_path / "cache")
    shutil.copytree(folder, tmp_path / "renamed")
    for path in (tmp_path / "renamed").iterdir():
        path.rename(path.with_name(f"photo_{path.name}"))
    found, encoder = bank(data.read(tmp_path / "renamed"), tmp_path / "cache")
    assert (encoder.seen, found.ids[0]) == (0, "photo_0.png")


@pytest.mark.parametrize("field", ["id", "revision", "preprocessing", "precision"])
def test_another_model_shares_nothing(images, tmp_path, field):
    bank(images, tmp_path, views=1)
    other = BatchEncoder(**{field: "other"})
    workflows.view_bank(other, images, views=1, cache=tmp_path, batch_size=16)
    assert other.seen == COUNT


@pytest.mark.parametrize("how", [{"seed": 1}, {"augment": "dassl"}])
def test_other_views_share_nothing(images, tmp_path, how):
    bank(images, tmp_path, views=1)
    assert bank(images, tmp_path, views=1, **how)[1].seen == COUNT


def test_an_interrupted_run_goes_on_after_its_last_finished_batch_with_the_same_bits(images, tmp_path):
    def interrupt(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bank(images, tmp_path, progress=interrupt)
    kept = sum(len(load_file(path)["vectors"]) for path in tmp_path.rglob("*.safetensors"))
    assert COUNT * VIEWS // 2 - 16 * VIEWS <= kept < COUNT * VIEWS
    assert banks(tmp_path) == []
    assert list(tmp_path.rglob("*.part")) == []
    found, encoder = bank(images, tmp_path)
    assert encoder.seen == COUNT * VIEWS - kept
    assert np.array_equal(found.vectors, bank(images)[0].vectors)


@pytest.mark.parametrize("damage", ["bit", "short", "empty"])
@pytest.mark.parametrize("which", ["bank", "batch"])
def test_a_damaged_file_is_noticed_and_made_again(images, tmp_path, damage, which):
    clean = np.array(bank(images, tmp_path)[0].vectors)
    victim = next(p for p in sorted(tmp_path.rglob("*.safetensors")) if p.name.startswith("bank") == (which == "bank"))
    content = bytearray(victim.read_bytes())
    content[-7] ^= 1
    victim.unlink()  # the memory map of the first bank stays on the old file
    victim.write_bytes({"bit": content, "short": content[:-100], "empty": b""}[damage])
    found, encoder = bank(images, tmp_path)
    assert encoder.seen == (0 if which == "bank" else 16 * VIEWS)
    assert np.array_equal(found.vectors, clean)


def test_a_cache_that_cannot_be_written_is_told_before_anything_is_encoded(images, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    encoder = BatchEncoder()
    with pytest.raises(InputError, match="cannot write in"):
        workflows.view_bank(encoder, images, views=1, cache=tmp_path / "cache")
    assert encoder.seen == 0


def test_features_and_views_do_not_meet_in_the_cache(images, tmp_path):
    bank(images, tmp_path, views=1)
    encoder = BatchEncoder()
    workflows.encode(encoder, images, cache=tmp_path, batch_size=16)
    assert encoder.seen == COUNT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["features", "views"]


def test_views_go_to_a_native_resolution_model_as_the_patches_it_takes(images, tmp_path):
    model = models.load(str(checkpoints.naflex_checkpoint(tmp_path / "naflex")))
    few = data.subset(images, range(4))
    found = workflows.view_bank(model, few, views=2, cache=False)
    expected = [
        model.encode_images([
            data.augment(few.read(i), model.size, data.view_random(0, found.digests[i], 1)).transpose(1, 2, 0)
        ])[0]
        for i in range(4)
    ]  # fmt: skip
    np.testing.assert_allclose(found.vectors[:, 1], expected, atol=2e-3)
