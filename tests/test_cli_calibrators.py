"""A calibrator and prediction sets through the command line: audit, repeat, predict."""

import json

import pytest

from candid import data
from candid.cli import main
from candid.report import Report
from candid.workflows import Predictor


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """An audit of the embedded model on the embedded photos, by vector scaling and with APS sets."""
    root = tmp_path_factory.mktemp("calibrators")
    chosen = ["--calibrator", "vector", "--sets", "aps", "--coverage", "0.8"]
    with pytest.raises(SystemExit) as stop:
        main(["audit", "-o", str(root / "report"), "--cache", str(root / "cache"), *chosen])
    assert not stop.value.code
    return root


def test_the_report_uses_the_calibrator_and_holds_the_sets(audited):
    content = Report.load(audited / "report").content
    found = {(row.metric, row.slice): row for row in content.rows}
    assert found["ece", "calibrated"].label.endswith("after vector scaling")
    assert {"calibrators", "sets", "labels"} <= {section.id for section in content.sections}
    held, due = found["set_coverage", "calibrated"], found["set_coverage_expected", "calibrated"]
    assert due.low <= held.value
    assert due.n == 160  # the other half of the calibration rows fitted the calibrator
    assert "vector scaling takes its calibration error" in content.verdict.headline
    assert (content.config["calibrator"], content.config["sets"], content.config["coverage"]) == ("vector", "aps", 0.8)
    assert content.cannot_say == ()


def test_predict_prints_the_set_and_its_coverage(audited, run, tmp_path):
    photos = data.sample().known
    rows = range(0, len(photos), 16)
    for row in rows:
        (tmp_path / f"{row:03}.jpg").write_bytes(photos.raw(row))
    code, text, err = run("predict", audited / "report" / "predictor", tmp_path)
    assert code == 0
    assert "note" not in err
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) == len(rows)
    assert {line["coverage"] for line in lines} == {0.8}
    predictor = Predictor.load(audited / "report" / "predictor")
    said = predictor([tmp_path / f"{row:03}.jpg" for row in rows])
    for place, line in enumerate(lines):
        assert sorted(line["set"]) == sorted(photos.classes[i] for i in said.sets[place].nonzero()[0])
        assert line["label"] not in line["set"] or line["set"][0] == line["label"]  # the answer comes first
        assert line["label"] == photos.classes[said.labels[place]]
    held = [photos.classes[photos.labels[row]] in line["set"] for row, line in zip(rows, lines, strict=True)]
    assert sum(held) >= 24  # of 40, 32 are promised
    assert 1 < sum(len(line["set"]) for line in lines) / len(lines) < 10


def test_the_config_of_the_report_repeats_the_choice_and_flags_override_it(audited, run, tmp_path):
    first = Report.load(audited / "report").content
    common = ["audit", "--config", audited / "report" / "report.json", "--cache", audited / "cache", "--json"]
    code, text, _ = run(*common, "-o", tmp_path / "again")
    assert code == 0
    assert json.loads(text)["rows"] == [row.model_dump(mode="json") for row in first.rows]
    code, text, _ = run(*common, "-o", tmp_path / "plain", "--sets", "none", "--calibrator", "temperature")
    assert code == 0
    rows = json.loads(text)["rows"]
    assert not [row for row in rows if row["metric"].startswith("set_")]
    predictor = Predictor.read(tmp_path / "plain" / "predictor")
    assert (predictor.calibrated_by, predictor.sets) == ("temperature", None)
    code, text, _ = run("predict", tmp_path / "plain" / "predictor", data_file(tmp_path))
    assert code == 0
    assert "set" not in json.loads(text)


def data_file(folder):
    place = folder / "one.jpg"
    place.write_bytes(data.sample().known.raw(0))
    return place


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--calibrator", "vectro"], "no calibrator named vectro; did you mean vector?"),
        (["--sets", "lca"], "did you mean lac?"),
        (["--coverage", "90"], "--coverage"),
    ],
)
def test_a_mistake_is_one_line_with_the_nearest_name(arguments, said, run, tmp_path):
    code, _, err = run("audit", "-o", tmp_path / "out", "--no-cache", *arguments)
    assert code == 2
    assert said in err
    assert not (tmp_path / "out").exists()
