"""A last layer retrained on images: what is handed back, who judges, what the report says; Python and the shell."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from candid import data, models, workflows
from candid.errors import InputError
from candid.models import cifar
from candid.report import Report
from candid.types import ImageSet

KEPT = 6  # classes of the sample photos


@pytest.fixture(scope="module")
def tiny():
    return models.load("tiny", device="cpu")


@pytest.fixture(scope="module")
def photos():
    known = data.sample().known
    rows = [i for i, label in enumerate(known.labels) if label < KEPT]
    few = data.subset(known, rows)
    return replace(few, classes=known.classes[:KEPT], groups=None, group_names=None)


@pytest.fixture(scope="module")
def drawn(photos):
    """Each photo twice, plain and as a sketch, told apart by a group column."""
    one, two = (data.in_styles(photos, ["plain", "sketch"], agreement=share, seed=1) for share in (1.0, 0.0))
    n = len(one)
    return ImageSet(
        one.ids + two.ids, lambda i: (one if i < n else two).read(i % n), lambda i: (one if i < n else two).raw(i % n),
        one.classes, np.concatenate([one.labels, two.labels]),
        np.concatenate([one.groups, two.groups]) % 2, ("plain", "sketch"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def found(tiny, drawn):
    return workflows.retrain_head(tiny, drawn, tuning_splits=2, redraws=3)


def rows_of(report):
    return {(row.metric, row.slice): row for row in report.content.rows}


def test_half_of_every_group_judges_and_none_of_it_retrained(found, drawn):
    kept = set(found.saved.data["trained_on"])
    judged = rows_of(found.report)["worst_group_gained", "all"].n
    assert len(kept) + judged == len(drawn)
    assert set(found.retrained.counts) == {f"{name}, {how}" for name in drawn.classes for how in ("plain", "sketch")}
    assert found.saved.recipe["before"] == "zero-shot"


def test_the_report_has_every_group_before_and_after(found, drawn):
    rows = rows_of(found.report)
    for name in drawn.classes:
        for state in ("zero-shot", "retrained"):
            assert 0 <= rows["accuracy", f"group: {name}, sketch, {state}"].value <= 1
            assert ("ece", f"group: {name}, plain, {state}") in rows
    before, after = (next(r for (m, s), r in rows.items() if m == "worst_group_accuracy" and s.endswith(state))
                     for state in ("zero-shot", "retrained"))  # fmt: skip
    assert rows["worst_group_gained", "all"].value == pytest.approx(after.value - before.value)


def test_the_head_is_one_an_audit_takes_and_leaves_its_own_images_out(found, tiny, drawn, tmp_path):
    found.save(tmp_path / "head")
    saved = workflows.load_head(tmp_path / "head", model=tiny)
    assert np.array_equal(saved.head.weights, found.head.weights)
    report = workflows.audit(tiny, drawn, head=saved)
    assert any("trained on" in said for said in report.content.cannot_say)
    assert Report(found.report.content).text()
    assert len((tmp_path / "head" / "tried.csv").read_text().splitlines()) == 1 + 7 * 2


def test_test_images_judge_where_they_are_given(tiny, drawn):
    train, test = data.subset(drawn, range(0, len(drawn), 2)), data.subset(drawn, range(1, len(drawn), 2))
    found = workflows.retrain_head(tiny, train, test=test, tuning_splits=1, redraws=2)
    assert rows_of(found.report)["worst_group_gained", "all"].n == len(test)
    assert len(found.saved.data["trained_on"]) == len(train)


def test_a_supervised_network_starts_from_its_own_last_layer(photos, drawn, tmp_path):
    network = cifar.CifarResNet(depth=8, classes=KEPT)
    cifar.save(tmp_path / "net", network, photos.classes, mean=(0.5,) * 3, std=(0.25,) * 3, stretch=True)
    model = models.load(str(tmp_path / "net"), device="cpu")
    assert model.prepare(np.zeros((64, 32, 3), np.uint8)).shape == (3, 32, 32)
    found = workflows.retrain_head(model, drawn, tuning_splits=1, redraws=2)
    assert found.saved.recipe["before"] == "its own last layer"


@pytest.mark.parametrize("method", ["afr", "jtt", "self"])
def test_methods_without_group_labels_need_no_groups(method, tiny, photos):
    found = workflows.retrain_head(tiny, photos, method=method, tuning_splits=1)
    assert set(found.retrained.counts) == set(photos.classes)


def test_what_is_missing_is_said(tiny, photos, drawn):
    with pytest.raises(InputError, match=r"has no groups.*--groups COLUMN.*afr, jtt, self"):
        workflows.retrain_head(tiny, photos)
    with pytest.raises(InputError, match="has no labels"):
        workflows.retrain_head(tiny, replace(drawn, labels=None))
    with pytest.raises(InputError, match=r"no way to retrain a last layer named drf; .*dfr"):
        workflows.retrain_head(tiny, drawn, method="drf")


def manifest(images, path, column="style"):
    table = {
        "image": [images.raw(i) for i in range(len(images))],
        "label": [images.classes[label] for label in images.labels],
        column: [images.group_names[group] for group in images.groups],
    }
    pq.write_table(pa.table(table), path)


def test_from_the_shell(run, photos, tmp_path):
    tagged = replace(photos, groups=np.arange(len(photos)) % 2, group_names=("left", "right"))
    manifest(tagged, tmp_path / "photos.parquet")
    out = tmp_path / "head"
    done = run("adapt", tmp_path / "photos.parquet", "-m", "tiny", "--method", "dfr", "--groups", "style",
               "--tuning-splits", "1", "-o", out, "--json")  # fmt: skip
    code, stdout, stderr = done
    assert code == 0, stderr
    said = json.loads(stdout)
    assert said["head"] == str(out)
    assert {row["metric"] for row in said["rows"]} >= {"worst_group_gained", "group_mean_accuracy"}
    assert workflows.load_head(out).recipe["method"] == "dfr"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--groups", "style"], "--groups is for retraining"),
        (["--method", "dfr", "--shots", "4"], "--shots has no effect on --method dfr"),
        (["--method", "dfr", "--groups", "nothing"], "has no column 'nothing'"),
        (["--method", "dfr", "--groups", "style", "--exclude", "nobody"], "exclude names groups"),
    ],
)
def test_flags_that_do_not_belong_together_are_refused(run, photos, tmp_path, flags, said):
    manifest(replace(photos, groups=np.arange(len(photos)) % 2, group_names=("left", "right")), tmp_path / "p.parquet")
    done = run("adapt", tmp_path / "p.parquet", "-m", "tiny", "-o", tmp_path / "out", *flags)
    code, _, stderr = done
    assert code == 2
    assert said in stderr
    assert not (tmp_path / "out").exists()


def test_the_audit_takes_the_column_and_remembers_it(run, photos, tmp_path):
    manifest(replace(photos, groups=np.arange(len(photos)) % 2, group_names=("left", "right")), tmp_path / "p.parquet")
    code, _, stderr = run("audit", tmp_path / "p.parquet", "-m", "tiny", "--groups", "style", "-o", tmp_path / "report")
    assert code == 0, stderr
    again = json.loads((tmp_path / "report" / "report.json").read_text())
    assert again["config"]["groups"] == "style"
    slices = {row["slice"] for row in again["rows"]}
    assert {"group: left", "group: right"} <= slices
    code, stdout, stderr = run(
        "audit", "--config", tmp_path / "report" / "report.json", "-o", tmp_path / "two", "--json"
    )
    assert code == 0, stderr
    assert {row["slice"] for row in json.loads(stdout)["rows"]} == slices
