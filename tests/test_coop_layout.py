"""CoOp's data folders in miniature: every layout reads, and what is wrong with one is told in a line."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from candid import data, models
from candid.data.coop import IMAGES
from candid.errors import InputError

FOLDERS = {
    "Caltech101": "caltech-101",
    "DescribableTextures": "dtd",
    "EuroSAT": "eurosat",
    "Food101": "food-101",
    "OxfordFlowers": "oxford_flowers",
    "OxfordPets": "oxford_pets",
    "StanfordCars": "stanford_cars",
    "SUN397": "sun397",
    "UCF101": "ucf101",
}
ROWS = {
    "train": [["b/1.jpg", 1, "Sea or Lake"], ["a/1.jpg", 0, "annual_crop"]],
    "val": [["a/2.jpg", 0, "annual_crop"]],
    "test": [["c/3.jpg", 2, "River"], ["b/3.jpg", 1, "Sea or Lake"]],
}


def picture(path: Path, shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (6, 4), 80 * shade).save(path)


def layout(root: Path, name: str = "OxfordPets", rows: object = ROWS, images: str | None = None) -> Path:
    """One data set as CoOp lays it out, with every file the rows name."""
    folder = root / FOLDERS.get(name, name)
    folder.mkdir(parents=True)
    (folder / f"split_zhou_{name}.json").write_text(json.dumps(rows))
    for path, label, _ in [row for part in ROWS.values() for row in part]:
        picture(folder / (IMAGES.get(name, ".") if images is None else images) / path, shade=label)
    return folder


# split files


@pytest.mark.parametrize("name", sorted(IMAGES))
def test_each_data_set_reads_by_its_folder_and_by_its_split_file(tmp_path, name):
    folder = layout(tmp_path, name)
    for where in (folder, folder / f"split_zhou_{name}.json"):
        train = data.read(where, split="train")
        assert train.ids == ("b/1.jpg", "a/1.jpg")
        assert train.labels.tolist() == [1, 0]
        assert train.classes == ("annual_crop", "Sea or Lake", "River")
        assert [int(train.read(row).mean().round()) for row in range(2)] == [80, 0]
    assert data.read(folder, split="validation").ids == ("a/2.jpg",)
    assert data.read(folder, split="test").labels.tolist() == [2, 1]
    assert models.template_for(name) == models.template_for(folder.name)


@pytest.mark.parametrize("images", [".", "images"])
def test_a_split_file_of_another_set_finds_images_in_images_or_beside_it(tmp_path, images):
    assert len(data.read(layout(tmp_path, "Mine", images=images), split="train")) == 2


def test_absent_files_are_listed_with_their_reason(tmp_path):
    folder = layout(tmp_path)
    (folder / "images" / "b" / "1.jpg").unlink()
    train = data.read(folder, split="train")
    assert (train.ids, train.labels.tolist()) == (("a/1.jpg",), [0])
    assert [(s.id, s.reason) for s in train.skipped] == [("b/1.jpg", "no such file")]


def test_own_class_order_is_followed(tmp_path):
    train = data.read(layout(tmp_path), split="train", classes=["River", "Sea or Lake", "Annual Crop"])
    assert train.labels.tolist() == [1, 2]


def test_without_a_split_the_choice_is_named(tmp_path):
    folder = layout(tmp_path)
    with pytest.raises(InputError, match="has the splits train, val, test; pass split="):
        data.read(folder)
    with pytest.raises(InputError, match="has no split 'dev'; it has train, val, test"):
        data.read(folder, split="dev")


def changed(split: str, row: object) -> dict[str, list[object]]:
    return {**ROWS, split: [*ROWS[split], row]}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([1, 2], "expected lists train, val and test"),
        ({"train": []}, "expected lists train, val and test"),
        (changed("train", ["a/9.jpg", 0]), r"train row 3 is \['a/9.jpg', 0\]"),
        (changed("val", ["a/9.jpg", "0", "annual_crop"]), "val row 2 is"),
        (changed("val", ["a/9.jpg", -1, "annual_crop"]), "val row 2 is"),
        (changed("test", ["a/9.jpg", 0, "River"]), "calls label 0 'annual_crop' and, at a/9.jpg, 'River'"),
        (changed("test", ["a/9.jpg", 3, "River"]), "gives 'River' to more than one class"),
        (changed("test", ["a/9.jpg", 4, "Forest"]), "has no image of label 3"),
        (changed("test", ["../9.jpg", 0, "annual_crop"]), "'../9.jpg', which lies outside"),
        (changed("test", ["/etc/9.jpg", 0, "annual_crop"]), "'/etc/9.jpg', which lies outside"),
        (changed("test", ROWS["test"][0]), "lists c/3.jpg 2 times"),
    ],
)
def test_a_split_file_of_another_shape_is_refused(tmp_path, rows, message):
    folder = layout(tmp_path, rows=rows)
    with pytest.raises(InputError, match=message) as caught:
        data.read(folder, split="test")
    assert "\n" not in str(caught.value)


def test_a_split_file_that_is_no_json_is_refused(tmp_path):
    (layout(tmp_path) / "split_zhou_OxfordPets.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        data.read(tmp_path / "oxford_pets", split="train")


def test_images_that_were_not_unpacked_are_missed_by_their_folder(tmp_path):
    folder = layout(tmp_path, "EuroSAT", images="elsewhere")
    with pytest.raises(InputError, match=r"images of EuroSAT in .*2750, there is no such folder"):
        data.read(folder, split="train")


def test_two_split_files_in_one_folder_need_a_choice(tmp_path):
    folder = layout(tmp_path)
    (folder / "split_zhou_Other.json").write_text(json.dumps(ROWS))
    with pytest.raises(InputError, match="holds 2 split files"):
        data.read(folder, split="train")
    assert len(data.read(folder / "split_zhou_OxfordPets.json", split="train")) == 2


def test_a_pickled_subset_is_never_opened(tmp_path):
    (tmp_path / "shot_16-seed_1.pkl").write_bytes(b"cos\nsystem\n(S'touch run'\ntR.")
    with pytest.raises(InputError, match=r"shot_16-seed_1.pkl is a pickle.*CSV manifest with columns path,label"):
        data.read(tmp_path / "shot_16-seed_1.pkl")


def test_columns_are_refused_where_there_are_none(tmp_path):
    with pytest.raises(InputError, match="no column 'breed'"):
        data.read(layout(tmp_path), split="train", labels="breed")


# the two sets without a split file


def aircraft(root: Path) -> Path:
    folder = root / "fgvc_aircraft"
    for number, shade in (("0034309", 0), ("1033955", 1)):
        picture(folder / "images" / f"{number}.jpg", shade)
    (folder / "variants.txt").write_text("707-320\nDC-9-30 long\nTornado\n")
    (folder / "images_variant_train.txt").write_text("1033955 DC-9-30 long\n0034309 707-320\n9999999 Tornado\n")
    (folder / "images_variant_test.txt").write_text("0034309 707-320\n")
    return folder


def test_aircraft_reads_its_lists_of_variants(tmp_path):
    train = data.read(aircraft(tmp_path), split="train")
    assert train.ids == ("1033955.jpg", "0034309.jpg")
    assert (train.classes, train.labels.tolist()) == (("707-320", "DC-9-30 long", "Tornado"), [1, 0])
    assert [s.id for s in train.skipped] == ["9999999.jpg"]
    with pytest.raises(InputError, match="has no split 'val'; it has train, test"):
        data.read(tmp_path / "fgvc_aircraft", split="val")


def test_a_variant_that_is_not_listed_is_refused(tmp_path):
    folder = aircraft(tmp_path)
    (folder / "images_variant_test.txt").write_text("0034309 Concorde\n")
    with pytest.raises(InputError, match=r"the variant 'Concorde', which variants\.txt does not list"):
        data.read(folder, split="test")


def imagenet(root: Path, names: str = "n01440764 tench\nn01443537 goldfish\nn02012849 crane bird\n") -> Path:
    folder = root / "imagenet"
    picture(folder / "images" / "train" / "n01443537" / "n01443537_1.JPEG")
    picture(folder / "images" / "val" / "n02012849" / "ILSVRC2012_val_1.JPEG")
    picture(folder / "images" / "val" / "n01440764" / "ILSVRC2012_val_2.JPEG")
    (folder / "classnames.txt").write_text(names)
    return folder


def test_imagenet_counts_its_classes_by_folder_name_and_tests_on_its_validation_images(tmp_path):
    folder = imagenet(tmp_path)
    train = data.read(folder, split="train")
    assert (train.classes, train.labels.tolist()) == (("tench", "goldfish", "crane bird"), [1])
    test = data.read(folder, split="test")
    assert (test.ids, test.labels.tolist()) == (data.read(folder, split="val").ids, [0, 2])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("n01440764 tench\nn01443537 goldfish\n", "has no name for the folder n02012849"),
        ("n01440764 crane\nn01443537 goldfish\nn02012849 crane\n", "gives 'crane' to more than one class"),
    ],
)
def test_folders_without_a_name_of_their_own_are_refused(tmp_path, names, message):
    with pytest.raises(InputError, match=message):
        data.read(imagenet(tmp_path, names), split="val")


def variant(root: Path, name: str, folders: list[str], names: str) -> Path:
    for folder in folders:
        picture(root / "imagenet-variant" / name / folder / "1.jpeg")
    (root / "imagenet-variant" / "classnames.txt").write_text(names)
    return root / "imagenet-variant"


TWELVE = "".join(f"n{i:08d} thing {i}\n" for i in reversed(range(12)))


@pytest.mark.parametrize("name", ["imagenet-a", "imagenet-r"])
def test_a_subset_of_imagenet_has_its_own_classes_alone(tmp_path, name):
    found = data.read(variant(tmp_path, name, ["n00000007", "n00000002"], TWELVE), split="test")
    assert found.classes == ("thing 2", "thing 7")
    assert [found.classes[label] for label in found.labels] == ["thing 2", "thing 7"]


def test_numbered_folders_of_imagenet_v2_count_as_numbers(tmp_path):
    found = data.read(
        variant(tmp_path, "imagenetv2-matched-frequency-format-val", ["10", "2", "0"], TWELVE), split="test"
    )
    assert len(found.classes) == 12
    said = {image.split("/")[0]: found.classes[label] for image, label in zip(found.ids, found.labels, strict=True)}
    assert said == {"0": "thing 0", "2": "thing 2", "10": "thing 10"}


def test_a_folder_number_beyond_the_classes_is_refused(tmp_path):
    folder = variant(tmp_path, "imagenetv2-matched-frequency-format-val", ["12"], TWELVE)
    with pytest.raises(InputError, match="numbered 0 to 11"):
        data.read(folder, split="test")


def test_imagenet_sketch_has_all_classes_and_no_other_split(tmp_path):
    folder = variant(tmp_path, "images", ["n00000003"], TWELVE)
    assert len(data.read(folder).classes) == 12
    with pytest.raises(InputError, match="no split 'train'"):
        data.read(folder, split="train")


# our own split


def test_our_own_split_follows_the_rule_and_the_seed(tmp_path):
    for name in ("AnnualCrop", "River"):
        for number in range(10):
            picture(tmp_path / "eurosat" / "2750" / name / f"{number}.jpg")
    split = data.own_split(tmp_path / "eurosat", seed=3)
    assert [np.bincount(part.labels).tolist() for part in split] == [[5, 5], [2, 2], [3, 3]]
    assert split.train.classes == ("Annual Crop Land", "River")
    ids = [name for part in split for name in part.ids]
    assert len(set(ids)) == 20
    assert [name.split("/")[0] for name in split.train.ids] == ["AnnualCrop"] * 5 + ["River"] * 5
    assert data.own_split(tmp_path / "eurosat", seed=3).test.ids == split.test.ids
    assert data.own_split(tmp_path / "eurosat", seed=4).test.ids != split.test.ids


def test_caltechs_left_out_classes_are_left_out(tmp_path):
    for name in ("BACKGROUND_Google", "Faces", "Faces_easy", "accordion"):
        for number in range(6):
            picture(tmp_path / "caltech-101" / "101_ObjectCategories" / name / f"{number}.jpg")
    train = data.own_split(tmp_path / "caltech-101").train
    assert set(train.classes) == {"face", "accordion"}
    folder = {"face": "Faces/", "accordion": "accordion/"}
    assert all(i.startswith(folder[train.classes[label]]) for i, label in zip(train.ids, train.labels, strict=True))


def test_a_class_too_small_to_split_is_refused(tmp_path):
    for name in "ab":
        picture(tmp_path / name / "1.jpg")
    with pytest.raises(InputError, match=r"class 'a' of .* has 1 images, too few"):
        data.own_split(tmp_path)


# templates


def test_the_templates_are_found_under_every_name_a_set_has():
    assert models.template_for("dtd") == models.template_for("DescribableTextures") == "{} texture."
    assert models.template_for("Flowers102") == models.template_for("oxford_flowers")
    assert all(template.count("{}") == 1 for template in models.HAND_TEMPLATES.values())
    with pytest.raises(InputError, match="no hand-written template for 'oxford_pet'; did you mean oxford_pets"):
        models.template_for("oxford_pet")


def test_a_subset_keeps_the_order_asked_for(tmp_path):
    train = data.read(layout(tmp_path), split="train")
    assert data.subset(train, [1, 0]).ids == ("a/1.jpg", "b/1.jpg")
    assert len(data.subset(train, [])) == 0
    with pytest.raises(InputError, match=r"rows in \[0, 2\), got 0 to 2"):
        data.subset(train, [0, 2])
