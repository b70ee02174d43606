"""Miniature copies of the data sets of the literature on groups: read as they are handed out, refused in one line."""

import csv

import numpy as np
import pytest
from PIL import Image

from candid import data, groups
from candid.errors import InputError


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (10, 200, 30)).save(path)


def sheet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def waterbirds(tmp_path):
    rows = []
    for i, (y, place, split) in enumerate([(0, 0, 0), (0, 1, 0), (1, 1, 1), (1, 0, 2), (0, 0, 2)]):
        name = f"{i:03d}.Bird/bird_{i}.jpg"
        picture(tmp_path / name)
        rows.append({"img_id": i, "img_filename": name, "y": y, "split": split, "place": place,
                     "place_filename": "/o/ocean/1.jpg"})  # fmt: skip
    sheet(tmp_path / "metadata.csv", rows)
    return tmp_path


def test_waterbirds(waterbirds):
    images = data.read_grouped(waterbirds)
    assert images.classes == ("landbird", "waterbird")
    assert images.group_names == ("land", "water")
    assert images.labels.tolist() == [0, 0, 1, 1, 0]
    assert images.groups.tolist() == [0, 1, 1, 0, 0]
    assert images.read(0).shape == (8, 8, 3)
    found = groups.cross(images.labels, images.groups, images.classes, images.group_names)
    assert found.names == ("landbird, land", "landbird, water", "waterbird, land", "waterbird, water")


@pytest.mark.parametrize(("split", "n"), [("train", 2), ("val", 1), ("validation", 1), ("test", 2)])
def test_waterbirds_splits(waterbirds, split, n):
    images = data.read_grouped(waterbirds, split=split)
    assert len(images) == n
    assert images.group_names == ("land", "water")  # also where a split has one of them alone


def test_a_missing_image_is_listed_and_a_wrong_cell_refused(waterbirds):
    (waterbirds / "001.Bird" / "bird_1.jpg").unlink()
    images = data.read_grouped(waterbirds)
    assert [(each.id, each.reason) for each in images.skipped] == [("001.Bird/bird_1.jpg", "no such file")]
    text = (waterbirds / "metadata.csv").read_text().replace("000.Bird/bird_0.jpg,0,", "000.Bird/bird_0.jpg,7,")
    (waterbirds / "metadata.csv").write_text(text)
    with pytest.raises(InputError, match="row 1 has label 7, of 2: landbird, waterbird"):
        data.read_grouped(waterbirds)


@pytest.mark.parametrize("form", ["csv", "txt"])
def test_celeba(tmp_path, form):
    faces = [("000001.jpg", -1, 1, 0), ("000002.jpg", 1, -1, 0), ("000003.jpg", 1, 1, 2)]
    for name, *_ in faces:
        picture(tmp_path / "img_align_celeba" / name)
    if form == "csv":
        sheet(tmp_path / "list_attr_celeba.csv",
              [{"image_id": n, "Blond_Hair": b, "Male": m} for n, b, m, _ in faces])  # fmt: skip
        sheet(tmp_path / "list_eval_partition.csv", [{"image_id": n, "partition": s} for n, _, _, s in faces])
    else:
        lines = ["3", "Blond_Hair Male", *(f"{n}  {b} {m}" for n, b, m, _ in faces)]
        (tmp_path / "list_attr_celeba.txt").write_text("\n".join(lines))
        (tmp_path / "list_eval_partition.txt").write_text("\n".join(f"{n} {s}" for n, _, _, s in faces))
    images = data.read_grouped(tmp_path)
    assert images.classes == ("not blond hair", "blond hair")
    assert images.labels.tolist() == [0, 1, 1]
    assert [images.group_names[group] for group in images.groups] == ["male", "not male", "male"]
    assert data.read_grouped(tmp_path, split="test").ids == ("000003.jpg",)
    swapped = data.read_grouped(tmp_path, target="Male", attribute="Blond_Hair")
    assert swapped.classes == ("not male", "male")
    with pytest.raises(InputError, match=r"no column 'Mael'.*Male"):
        data.read_grouped(tmp_path, attribute="Mael")
    with pytest.raises(InputError, match="no images of split 'val'"):
        data.read_grouped(tmp_path, split="val")


def test_imagenet_9(tmp_path):
    for variant in ("original", "mixed_rand"):
        for name in ("00_dog", "01_bird"):
            picture(tmp_path / variant / "val" / name / "a.png")
    images = data.read_grouped(tmp_path)
    assert images.classes == ("bird", "dog")
    assert images.group_names == ("mixed_rand", "original")
    assert images.ids[0] == "mixed_rand/00_dog/a.png"
    assert len(images) == 4
    assert images.read(3).shape == (8, 8, 3)


def test_camelyon17(tmp_path):
    picture(tmp_path / "patches" / "patient_004_node_4" / "patch_patient_004_node_4_x_3328_y_21792.png")
    sheet(tmp_path / "metadata.csv", [{"patient": "004", "node": 4, "x_coord": 3328, "y_coord": 21792, "tumor": 1,
                                       "slide": 0, "center": 3, "split": 0}])  # fmt: skip
    images = data.read_grouped(tmp_path, split="train")
    assert len(images) == 1
    assert images.classes[images.labels[0]] == "tumor"
    assert images.group_names[images.groups[0]] == "hospital 3"


def test_multinli(tmp_path):
    sheet(tmp_path / "metadata_random.csv",
          [{"": i, "gold_label": y, "sentence2_has_negation": a, "split": s}
           for i, (y, a, s) in enumerate([(0, 1, 0), (1, 0, 1), (2, 0, 2), (2, 1, 2)])])  # fmt: skip
    table = data.read_group_table(tmp_path, split="test")
    assert table.ids == ("2", "3")
    assert table.labels.tolist() == [2, 2]
    assert table.groups.tolist() == [0, 1]
    assert table.classes == ("contradiction", "entailment", "neutral")
    with pytest.raises(InputError, match="multinli holds texts; read_group_table"):
        data.read_grouped(tmp_path)


def test_civilcomments(tmp_path):
    names = ("male", "female", "LGBTQ", "christian", "muslim", "other_religions", "black", "white")
    rows = [{"id": i, "split": "train", "comment_text": "x", "toxicity": t, **dict.fromkeys(names, 0.0), "muslim": m}
            for i, (t, m) in enumerate([(0.6, 0.0), (0.2, 0.7)])]  # fmt: skip
    sheet(tmp_path / "all_data_with_identities.csv", rows)
    table = data.read_group_table(tmp_path)
    assert np.array_equal(table.labels, [1, 0])
    assert np.array_equal(table.groups, [0, 1])


def test_a_folder_of_something_else_is_refused(tmp_path):
    picture(tmp_path / "cat" / "a.png")
    with pytest.raises(InputError, match="is none of camelyon17, celeba"):
        data.read_grouped(tmp_path)
    with pytest.raises(InputError, match=r"no layout named waterbird; .*waterbirds"):
        data.read_grouped(tmp_path, layout="waterbird")
