"""An audit that also tunes at test time, and the predictor it makes."""

import json
from dataclasses import replace

import numpy as np
import pytest

from candid import data, metrics, models, tune, workflows
from candid.arrays import softmax
from candid.cli import _run as run_command
from candid.errors import InputError
from candid.workflows.auditing.split import stratified_order

VIEWS = 12


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def photos():
    """Sixty of the embedded photos, of four kinds."""
    images = data.sample().known
    kinds = ("Banana", "Melon", "Milk", "Pear")
    rows = [i for i, label in enumerate(images.labels) if images.classes[label] in kinds][:60]
    found = data.subset(images, rows)
    return replace(found, labels=np.array([kinds.index(images.classes[i]) for i in found.labels]), classes=kinds)


@pytest.fixture(scope="module")
def report(photos, cache):
    return workflows.audit(
        models.load("tiny"), photos, templates=["a photo of a {}."], test_time="c-tpt", views=VIEWS, cache=cache
    )


def named(report):
    return {(row.metric, row.slice): row for row in report.content.rows}


def test_rows_are_those_of_the_tuned_logits_on_rows_that_fitted_nothing(report, photos, cache):
    views = workflows.tuning_views(models.load("tiny"), photos, views=VIEWS, cache=cache)
    logits = workflows.tuned_logits(models.load("tiny"), views, photos.classes, method="c-tpt")
    judges = stratified_order(len(photos), photos.labels, seed=0)[30:]
    probs = softmax(logits)[judges]
    found = named(report)
    assert found["accuracy", "c-tpt"].n == 30
    assert found["accuracy", "c-tpt"].value == pytest.approx((probs.argmax(axis=1) == photos.labels[judges]).mean())
    assert found["accuracy", "c-tpt"].value == found["accuracy", "c-tpt, calibrated"].value
    assert found["ece", "c-tpt"].value == pytest.approx(metrics.ece(probs, photos.labels[judges]), abs=1e-6)
    assert found["nll", "c-tpt"].value == pytest.approx(metrics.nll(probs, photos.labels[judges]), abs=1e-6)


def test_the_section_shows_five_columns_and_the_cost(report):
    (section,) = [each for each in report.content.sections if each.id == "test-time"]
    assert section.figures[0].columns == (
        "number", "as shipped", "after one temperature", "a photo of a {}., not tuned", "c-tpt",
        "c-tpt, after one temperature",
    )  # fmt: skip
    assert "An image takes" in section.answer
    assert named(report)["seconds", "c-tpt"].value > 0


def test_the_untuned_prompt_is_the_audited_head_where_that_has_one_template(report):
    (section,) = [each for each in report.content.sections if each.id == "test-time"]
    for row in section.figures[0].rows:
        assert row[1] == row[3]


def test_the_predictor_tunes_where_it_is_asked_to(report, photos, cache, tmp_path):
    report.save(tmp_path / "out")
    loaded = workflows.Predictor.load(tmp_path / "out" / "predictor")
    few = data.subset(photos, range(6))
    tuned, plain = loaded(few, test_time=True), loaded(few)
    views = workflows.tuning_views(models.load("tiny"), few, views=VIEWS, cache=cache)
    logits = workflows.tuned_logits(models.load("tiny"), views, photos.classes, method="c-tpt")
    expected = softmax(logits, temperature=loaded.tuning.temperature.value).max(axis=1)
    np.testing.assert_allclose(tuned.confidence, expected, atol=2e-3)  # the cache rounds views to half precision
    assert (tuned.labels == logits.argmax(axis=1)).all()
    assert np.abs(tuned.confidence - plain.confidence).max() > 1e-3
    np.testing.assert_array_equal(tuned.scores, plain.scores)
    assert loaded.tuning == report.made["predictor"].tuning
    assert tuned.sets.shape == (6, 4)
    assert loaded.tuning.sets.n == 30


def test_unreadable_files_are_told_and_cost_nothing_else(report, photos, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    (tmp_path / "whole.jpg").write_bytes(photos.raw(0))
    found = report.made["predictor"]([tmp_path / "broken.jpg", tmp_path / "whole.jpg"], test_time=True)
    assert (len(found.ids), len(found.skipped)) == (1, 1)
    nothing = report.made["predictor"]([tmp_path / "broken.jpg"], test_time=True)
    assert (len(nothing.ids), len(nothing.skipped)) == (0, 1)


def test_order_and_company_change_no_tuned_prediction(report, photos):
    predictor = report.made["predictor"]
    few, turned = data.subset(photos, range(4)), data.subset(photos, [3, 2, 1, 0])
    one, other = predictor(few, test_time=True), predictor(turned, test_time=True)
    np.testing.assert_allclose(one.confidence, other.confidence[::-1], atol=1e-5)


def test_without_labels_only_the_cost_is_told(photos, cache):
    bare = replace(photos, labels=None)
    found = workflows.audit(models.load("tiny"), bare, templates=["a photo of a {}."], test_time="tpt", views=VIEWS,
                            cache=cache)  # fmt: skip
    assert ("accuracy", "tpt") not in named(found)
    assert any("What tpt changes" in each for each in found.content.cannot_say)
    assert found.made["predictor"].tuning.temperature is None


def test_an_older_predictor_has_no_tuning(photos, cache, tmp_path):
    made = workflows.audit(models.load("tiny"), photos, cache=cache).made["predictor"].save(tmp_path / "old")
    content = json.loads((made / "predictor.json").read_text())
    del content["tuning"], content["tuned_sets"]
    (made / "predictor.json").write_text(json.dumps(content))
    loaded = workflows.Predictor.load(made)
    assert loaded.tuning is None
    with pytest.raises(InputError, match="does not tune at test time"):
        loaded(data.subset(photos, [0]), test_time=True)


def test_bad_choices_are_named_before_anything_is_encoded(photos):
    model = models.load("tiny")
    with pytest.raises(InputError, match="did you mean c-tpt"):
        workflows.audit(model, photos, test_time="ctpt")
    with pytest.raises(InputError, match="no test-time method"):
        workflows.audit(model, photos, test_time="zero-shot")
    head = tune.constant_head(model, photos.classes)
    with pytest.raises(InputError, match="no prompt"):
        workflows.audit(model, photos, head=head, test_time="tpt")


def test_the_commands(photos, cache, tmp_path, capsys):
    for i in range(40):
        path = tmp_path / "set" / photos.classes[photos.labels[i]] / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photos.raw(i))
    out = tmp_path / "out"
    command = ["audit", str(tmp_path / "set"), "-m", "tiny", "--test-time", "constant", "--cache", str(cache), "--json"]
    assert run_command([*command, "-o", str(out)]) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert {"constant", "constant, calibrated"} <= {row["slice"] for row in rows}
    assert json.loads((out / "report.json").read_text())["config"]["test_time"] == "constant"
    one = str(next((tmp_path / "set").rglob("*.jpg")))
    assert run_command(["predict", str(out / "predictor"), one, "--test-time"]) == 0
    shown = capsys.readouterr()
    assert "s an image" in shown.err
    assert 0 < json.loads(shown.out)["confidence"] <= 1
    again = [
        "audit",
        "--config",
        str(out / "report.json"),
        "--cache",
        str(cache),
        "--json",
        "-o",
        str(tmp_path / "again"),
    ]
    assert run_command(again) == 0
    twice = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert [r for r in twice if r["metric"] != "seconds"] == [r for r in rows if r["metric"] != "seconds"]
