"""Every shape a data set of images comes in gives the same images, labels and groups; mistakes are told by name."""

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from candid import data
from candid.errors import InputError, UnreadableImage

SHADES = {"cat": 10, "dog": 120, "snow leopard": 240}


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def put(path: Path, shade: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(shade))
    return path


def shades(images) -> list[int]:
    return [int(images.read(i)[0, 0, 0]) for i in range(len(images))]


@pytest.fixture
def pets(tmp_path) -> Path:
    for name, shade in SHADES.items():
        for number in (10, 2, 1):
            put(tmp_path / "pets" / name / f"{number}.png", shade + number)
    return tmp_path / "pets"


# folders


def test_sub_folders_are_classes_in_natural_order(pets):
    found = data.read(pets)
    assert found.classes == ("cat", "dog", "snow leopard")
    assert found.ids[:4] == ("cat/1.png", "cat/2.png", "cat/10.png", "dog/1.png")
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert shades(found) == [11, 12, 20, 121, 122, 130, 241, 242, 250]
    assert found.raw(0) == (pets / "cat" / "1.png").read_bytes()
    assert found.source == str(pets)


def test_images_deeper_down_belong_to_the_first_folder(pets):
    put(pets / "cat" / "indoors" / "sofa" / "3.png", 77)
    found = data.read(pets)
    assert found.classes == ("cat", "dog", "snow leopard")
    assert "cat/indoors/sofa/3.png" in found.ids


def test_a_flat_folder_has_no_labels(tmp_path):
    for number in (1, 2, 10):
        put(tmp_path / f"img{number}.png", number)
    found = data.read(tmp_path)
    assert (found.labels, found.classes, found.ids) == (None, None, ("img1.png", "img2.png", "img10.png"))


def test_hidden_files_and_side_files_are_passed_over(pets):
    put(pets / "cat" / ".hidden.png", 1)
    put(pets / ".thumbnails" / "1.png", 1)
    put(pets / "__MACOSX" / "cat" / "1.png", 1)
    (pets / "README.md").write_text("about")
    (pets / "LICENSE").write_text("terms")
    assert len(data.read(pets)) == 9
    assert data.read(pets).skipped == ()


def test_what_is_no_image_is_listed_with_its_reason(pets):
    (pets / "cat" / "notes.txt").write_text("hello")
    (pets / "dog" / "clip.mp4").write_bytes(b"0" * 10)
    put(pets / "loose.png", 3)
    (pets / "dog" / "gone.png").symlink_to(pets / "nowhere.png")
    os.mkfifo(pets / "dog" / "pipe.png")
    found = data.read(pets)
    assert {file.id: file.reason for file in found.skipped} == {
        "cat/notes.txt": "not an image file (.txt)",
        "dog/clip.mp4": "not an image file (.mp4)",
        "dog/gone.png": "broken link",
        "dog/pipe.png": "not a regular file",
        "loose.png": "lies beside the class folders",
    }
    assert len(found) == 9


def test_a_folder_without_any_image_is_no_class(pets):
    (pets / "annotations").mkdir()
    (pets / "annotations" / "cat.xml").write_text("<x/>")
    found = data.read(pets)
    assert found.classes == ("cat", "dog", "snow leopard")
    assert [file.id for file in found.skipped] == ["annotations/cat.xml"]


def test_a_file_without_extension_is_tried(tmp_path):
    put(tmp_path / "3f9a", 5)
    assert shades(data.read(tmp_path)) == [5]


def test_links_to_folders_are_followed_and_loops_are_not(pets, tmp_path):
    put(tmp_path / "elsewhere" / "1.png", 99)
    (pets / "fox").symlink_to(tmp_path / "elsewhere")
    (pets / "cat" / "up").symlink_to(pets)
    found = data.read(pets)
    assert found.classes == ("cat", "dog", "fox", "snow leopard")
    assert len(found) == 10


def test_a_file_name_that_is_not_utf8_gets_a_printable_id(tmp_path):
    put(tmp_path / os.fsdecode(b"caf\xe9.png"), 8)
    found = data.read(tmp_path)
    assert found.ids == ("caf\\xe9.png",)
    assert shades(found) == [8]


@pytest.mark.parametrize(
    ("asked", "folder"), [("test", "test"), ("val", "validation"), ("train", "train"), ("test", "Test")]
)
def test_split_picks_the_folder_of_that_split(pets, tmp_path, asked, folder):
    root = tmp_path / "splits"
    for name in {folder, "other", "train"}:
        put(root / name / "cat" / f"{name}.png", 1)
    assert data.read(root, split=asked).ids == (f"cat/{folder}.png",)


def test_splits_without_a_choice_are_an_error_not_classes(tmp_path):
    for name in ("train", "test"):
        put(tmp_path / name / "cat" / "1.png", 1)
    with pytest.raises(InputError, match="has the splits test, train; pass split="):
        data.read(tmp_path)


def test_digits_are_classes_not_splits(tmp_path):
    for name in ("0", "1", "2"):
        put(tmp_path / name / "1.png", 1)
    assert data.read(tmp_path).classes == ("0", "1", "2")


def test_a_split_that_is_not_there_names_what_is(pets):
    with pytest.raises(InputError, match=r"has no split 'test'; it holds cat/, dog/, snow leopard/"):
        data.read(pets, split="test")


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(InputError, match="holds no images"):
        data.read(tmp_path)


def test_a_folder_of_other_files_says_what_it_found(tmp_path):
    (tmp_path / "table.xlsx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"holds no images; 1 files were skipped, first table.xlsx: not an image file"):
        data.read(tmp_path)


def test_a_path_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        data.read(tmp_path / "absent")


# class names


def test_class_names_match_in_any_spelling_and_keep_the_given_order(pets):
    found = data.read(pets, classes=["Snow-Leopard", "DOG", "fish", "Cat"])
    assert found.classes == ("Snow-Leopard", "DOG", "fish", "Cat")
    assert found.labels.tolist() == [3, 3, 3, 1, 1, 1, 0, 0, 0]


def test_a_label_outside_the_classes_names_the_nearest(pets):
    with pytest.raises(InputError, match=r"label 'dog', which is not among the classes; did you mean dogs\?"):
        data.read(pets, classes=["cat", "dogs", "snow leopard"])


def test_an_exact_name_wins_where_spellings_collide(tmp_path):
    put(tmp_path / "t-shirt" / "1.png", 1)
    assert data.read(tmp_path, classes=["tshirt", "t-shirt"]).labels.tolist() == [1]
    with pytest.raises(InputError, match="not among the classes"):
        data.read(tmp_path, classes=["T shirt", "TSHIRT"])


@pytest.mark.parametrize("classes", [[], ["cat", "cat"], ["cat", ""], "cat"])
def test_class_names_must_be_different_names(pets, classes):
    with pytest.raises(InputError, match="classes must be"):
        data.read(pets, classes=classes)


# manifests


def write_csv(path: Path, rows: list[dict], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def rows(tmp_path) -> list[dict]:
    found = []
    for index, (name, group, split) in enumerate(
        [("cat", "in", "train"), ("dog", "out", "test"), ("cat", "out", "test"), ("dog", "in", "validation")]
    ):
        put(tmp_path / "images" / f"{index}.png", index * 10)
        found.append({"path": f"images/{index}.png", "label": name, "group": group, "split": split})
    return found


@pytest.mark.parametrize("kind", ["csv", "semicolon", "bom", "tsv", "jsonl", "parquet"])
def test_every_kind_of_manifest_reads_the_same(tmp_path, rows, kind):
    if kind == "parquet":
        path = tmp_path / "m.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "jsonl":
        path = tmp_path / "m.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    elif kind == "tsv":
        path = write_csv(tmp_path / "m.tsv", rows, "\t")
    else:
        path = write_csv(
            tmp_path / "m.csv", rows, ";" if kind == "semicolon" else ",", "utf-8-sig" if kind == "bom" else "utf-8"
        )
    found = data.read(path)
    assert found.ids == ("images/0.png", "images/1.png", "images/2.png", "images/3.png")
    assert (found.classes, found.labels.tolist()) == (("cat", "dog"), [0, 1, 0, 1])
    assert (found.group_names, found.groups.tolist()) == (("in", "out"), [0, 1, 1, 0])
    assert shades(found) == [0, 10, 20, 30]


def test_a_split_of_a_manifest_keeps_its_rows(tmp_path, rows):
    path = write_csv(tmp_path / "m.csv", rows)
    assert data.read(path, split="test").ids == ("images/1.png", "images/2.png")
    assert data.read(path, split="val").ids == ("images/3.png",)
    with pytest.raises(InputError, match="no rows of split 'dev'; it has test, train, val"):
        data.read(path, split="dev")


def test_the_waterbirds_layout_is_understood(tmp_path, rows):
    numbered = [
        {"img_id": i, "img_filename": row["path"], "y": i % 2, "split": s, "place": i // 2}
        for i, (row, s) in enumerate(zip(rows, (0, 1, 2, 2), strict=True))
    ]
    write_csv(tmp_path / "metadata.csv", numbered)
    found = data.read(tmp_path, split="test", classes=["landbird", "waterbird"])
    assert found.ids == ("images/2.png", "images/3.png")
    assert found.labels.tolist() == [0, 1]
    assert found.group_names == ("1",)


def test_other_columns_can_be_named(tmp_path, rows):
    renamed = [{"path": r["path"], "species": r["label"], "weather": r["group"]} for r in rows]
    found = data.read(write_csv(tmp_path / "m.csv", renamed), labels="species", groups="weather")
    assert (found.classes, found.group_names) == (("cat", "dog"), ("in", "out"))
    with pytest.raises(InputError, match="no column 'breed'; it has path, species, weather"):
        data.read(tmp_path / "m.csv", labels="breed")


def test_integer_labels_stay_numbers_until_there_are_names(tmp_path, rows):
    path = write_csv(tmp_path / "m.csv", [{**row, "label": i % 3} for i, row in enumerate(rows)])
    bare = data.read(path)
    assert (bare.labels.tolist(), bare.classes) == ([0, 1, 2, 0], None)
    named = data.read(path, classes=["a", "b", "c"])
    assert (named.labels.tolist(), named.classes) == ([0, 1, 2, 0], ("a", "b", "c"))
    with pytest.raises(InputError, match=r"labels must lie in \[0, 2\).*images/2.png has 2"):
        data.read(path, classes=["a", "b"])


def test_numbers_that_are_the_class_names_match_as_names(tmp_path, rows):
    path = write_csv(tmp_path / "m.csv", [{**row, "label": 7 - i % 2} for i, row in enumerate(rows)])
    assert data.read(path, classes=["6", "7"]).labels.tolist() == [1, 0, 1, 0]


def test_labels_with_leading_zeros_are_names(tmp_path, rows):
    path = write_csv(tmp_path / "m.csv", [{**row, "label": f"00{i}"} for i, row in enumerate(rows)])
    assert data.read(path).classes == ("000", "001", "002", "003")


def test_a_negative_label_is_refused(tmp_path, rows):
    path = write_csv(tmp_path / "m.csv", [{**row, "label": -1} for row in rows])
    with pytest.raises(InputError, match=r"labels must be 0 or more, images/0.png has -1"):
        data.read(path)


def test_an_empty_label_cell_names_its_row_and_only_empty_cells_mean_unlabelled(tmp_path, rows):
    rows[2]["label"] = ""
    with pytest.raises(InputError, match=r"1 of 4 rows have no label, first images/2.png; fill every row or none"):
        data.read(write_csv(tmp_path / "m.csv", rows))
    found = data.read(write_csv(tmp_path / "n.csv", [{**row, "label": ""} for row in rows]))
    assert (found.labels, found.classes) == (None, None)


def test_pandas_style_holes_count_as_empty(tmp_path, rows):
    table = pa.table({"path": [r["path"] for r in rows], "label": pa.array([0.0, 1.0, float("nan"), 1.0])})
    pq.write_table(table, tmp_path / "m.parquet")
    with pytest.raises(InputError, match=r"1 of 4 rows have no label, first images/2.png"):
        data.read(tmp_path / "m.parquet")


def test_a_fractional_label_is_refused(tmp_path, rows):
    pq.write_table(pa.table({"path": [r["path"] for r in rows], "label": [0.5] * 4}), tmp_path / "m.parquet")
    with pytest.raises(InputError, match=r"column label must hold names or integers, row 1 holds 0.5"):
        data.read(tmp_path / "m.parquet")


def test_absent_files_are_listed_and_their_rows_left_out(tmp_path, rows):
    (tmp_path / "images" / "1.png").unlink()
    found = data.read(write_csv(tmp_path / "m.csv", rows))
    assert [(file.id, file.reason) for file in found.skipped] == [("images/1.png", "no such file")]
    assert found.labels.tolist() == [0, 0, 1]
    assert shades(found) == [0, 20, 30]


def test_a_file_that_goes_away_later_is_unreadable(tmp_path, rows):
    found = data.read(write_csv(tmp_path / "m.csv", rows))
    (tmp_path / "images" / "1.png").unlink()
    with pytest.raises(UnreadableImage, match=r"images/1.png: No such file"):
        found.read(1)


def test_an_image_listed_twice_is_an_error(tmp_path, rows):
    with pytest.raises(InputError, match=r"lists images/0.png 2 times"):
        data.read(write_csv(tmp_path / "m.csv", [*rows, rows[0]]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("path,label\n", "has a header and no rows"),
        ("picture,kind\na.png,cat\n", "has no column of images; expected one of path.*got columns picture, kind"),
        ("path,label\na.png,cat,extra\n", "row 2 has 3 cells, the header has 2"),
        ("path,path\na.png,b.png\n", "names a column twice"),
        ("path,label\n,cat\n", "row 1 names no image file"),
    ],
)
def test_a_broken_manifest_says_what_is_wrong(tmp_path, text, message):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        data.read(tmp_path / "m.csv")


def test_files_that_are_not_what_their_name_says_are_clear(tmp_path):
    (tmp_path / "m.parquet").write_bytes(b"not parquet at all")
    (tmp_path / "m.jsonl").write_text('{"path": "a.png"}\n[1]\n')
    (tmp_path / "m.csv").write_bytes("path\ncaf\xe9.png\n".encode("latin-1"))
    for name, message in (
        ("m.parquet", "cannot read"),
        ("m.jsonl", "line 2 must be an object"),
        ("m.csv", "not UTF-8"),
    ):
        with pytest.raises(InputError, match=message):
            data.read(tmp_path / name)


def test_an_unknown_kind_of_file_lists_what_is_known(tmp_path):
    (tmp_path / "m.xlsx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"expected a folder, an image, or a manifest \(.csv"):
        data.read(tmp_path / "m.xlsx")


# encoded bytes in tables


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_parquet_can_hold_the_images_themselves(tmp_path, kind):
    table = pa.table({"image": pa.array([png(s) for s in range(10)], kind), "label": ["a", "b"] * 5})
    pq.write_table(table, tmp_path / "set.parquet", row_group_size=3)
    found = data.read(tmp_path / "set.parquet")
    assert shades(found) == list(range(10))
    assert [int(found.read(i)[0, 0, 0]) for i in (9, 0, 5, 2)] == [9, 0, 5, 2]
    assert found.ids[:2] == ("set.parquet:0", "set.parquet:1")


def test_a_row_without_an_image_is_unreadable_not_lost(tmp_path):
    pq.write_table(pa.table({"image": [png(1), None], "label": ["a", "b"]}), tmp_path / "set.parquet")
    found = data.read(tmp_path / "set.parquet")
    with pytest.raises(UnreadableImage, match=r"set.parquet:1: no image in this row"):
        found.read(1)


def test_distinct_names_beside_the_bytes_become_the_ids(tmp_path):
    pq.write_table(pa.table({"image": [png(1), png(2)], "file": ["x.png", "y.png"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"image": [png(1), png(2)], "file": ["x.png", "x.png"]}), tmp_path / "b.parquet")
    assert data.read(tmp_path / "a.parquet").ids == ("x.png", "y.png")
    assert data.read(tmp_path / "b.parquet").ids == ("b.parquet:0", "b.parquet:1")


FEATURES = {"image": {"_type": "Image"}, "label": {"names": ["zebra", "ant"], "_type": "ClassLabel"}}


def hub_table(shade_values: list[int], noted: bool = True) -> pa.Table:
    images = pa.array(
        [{"bytes": png(s), "path": None} for s in shade_values], pa.struct({"bytes": pa.binary(), "path": pa.string()})
    )
    table = pa.table({"image": images, "label": pa.array([s % 2 for s in shade_values])})
    notes = {"huggingface": json.dumps({"info": {"features": FEATURES}})}
    return table.replace_schema_metadata(notes if noted else None)


def test_shards_of_a_hub_dataset_are_one_set_with_its_class_names(tmp_path):
    (tmp_path / "data").mkdir()
    for shard, values in enumerate(([1, 2, 3], [4, 5])):
        pq.write_table(hub_table(values), tmp_path / "data" / f"test-{shard:05d}-of-00002.parquet", row_group_size=2)
    pq.write_table(hub_table([9]), tmp_path / "data" / "train-00000-of-00001.parquet")
    found = data.read(tmp_path, split="test")
    assert shades(found) == [1, 2, 3, 4, 5]
    assert (found.classes, found.labels.tolist()) == (("zebra", "ant"), [1, 0, 1, 0, 1])
    assert data.read(tmp_path, split="test", classes=["ant", "zebra"]).labels.tolist() == [0, 1, 0, 1, 0]
    with pytest.raises(InputError, match="holds the splits test, train; pass split="):
        data.read(tmp_path)


def save_to_disk(folder: Path, parts: list[list[int]], *, noted: bool) -> None:
    """The files `Dataset.save_to_disk` writes: Arrow streams, state.json, dataset_info.json."""
    folder.mkdir(parents=True)
    names = [f"data-{i:05d}-of-{len(parts):05d}.arrow" for i in range(len(parts))]
    for name, values in zip(names, parts, strict=True):
        table = hub_table(values, noted)
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))


@pytest.mark.parametrize("noted", [True, False])
def test_a_dataset_saved_to_disk_is_read_by_its_own_list_of_files(tmp_path, noted):
    save_to_disk(tmp_path / "set", [[1, 2, 3], [4, 5]], noted=noted)
    found = data.read(tmp_path / "set")
    assert shades(found) == [1, 2, 3, 4, 5]
    assert (found.classes, found.labels.tolist()) == (("zebra", "ant"), [1, 0, 1, 0, 1])


def test_a_saved_dataset_dict_has_splits(tmp_path):
    for name in ("train", "test"):
        save_to_disk(tmp_path / "set" / name, [[3, 4]], noted=True)
    (tmp_path / "set" / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    assert len(data.read(tmp_path / "set", split="test")) == 2
    with pytest.raises(InputError, match="has the splits test, train"):
        data.read(tmp_path / "set")


# metadata beside images


def test_metadata_beside_images_gives_labels_and_lists_what_it_does_not_name(tmp_path):
    for number in range(3):
        put(tmp_path / f"{number}.png", number)
    write_csv(tmp_path / "metadata.csv", [{"file_name": f"{n}.png", "label": "ab"[n]} for n in (1, 0)])
    found = data.read(tmp_path)
    assert (found.ids, found.classes, found.labels.tolist()) == (("1.png", "0.png"), ("a", "b"), [1, 0])
    assert [(file.id, file.reason) for file in found.skipped] == [("2.png", "not listed in metadata.csv")]


def test_metadata_with_groups_only_leaves_the_classes_to_the_folders(pets):
    lines = [{"file_name": f"{c}/{n}.png", "group": "odd" if n % 2 else "even"} for c in SHADES for n in (1, 2, 10)]
    (pets / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = data.read(pets)
    assert found.classes == ("cat", "dog", "snow leopard")
    assert found.group_names == ("even", "odd")


def test_metadata_that_names_no_files_is_left_alone(pets):
    write_csv(pets / "metadata.csv", [{"author": "me", "year": 2020}])
    assert len(data.read(pets)) == 9


# single files and lists


def test_one_image_file_is_a_set_of_one(tmp_path):
    found = data.read(put(tmp_path / "x.png", 42))
    assert (len(found), shades(found), found.labels) == (1, [42], None)


def test_a_list_mixes_files_and_folders_and_keeps_its_order(pets, tmp_path):
    single = put(tmp_path / "z.png", 1)
    found = data.read([single, pets / "cat", tmp_path / "absent.png", tmp_path])
    assert found.ids[:2] == (single.as_posix(), (pets / "cat" / "1.png").as_posix())
    assert [file.reason for file in found.skipped] == ["no such file"]


def test_an_empty_list_is_an_error():
    with pytest.raises(InputError, match="list of paths is empty"):
        data.read([])


# shards for many machines


def test_shards_are_disjoint_complete_and_the_same_in_any_order(pets):
    whole = data.read(pets)
    parts = [data.shard(whole, 4, index) for index in range(4)]
    assert sorted(i for part in parts for i in part.ids) == sorted(whole.ids)
    for part in parts:
        for i, name in enumerate(part.ids):
            row = whole.ids.index(name)
            assert part.labels[i] == whole.labels[row]
            assert np.array_equal(part.read(i), whole.read(row))
            assert part.raw(i) == whole.raw(row)


@pytest.mark.parametrize(("count", "index"), [(0, 0), (2, 2), (2, -1)])
def test_a_shard_outside_the_count_is_an_error(pets, count, index):
    with pytest.raises(InputError, match="expected a shard index"):
        data.shard(data.read(pets), count, index)
