"""Adapting a model to labelled or unlabelled images, and what is done with the head it leaves."""

import json
from dataclasses import replace

import numpy as np
import pytest

from candid import data, metrics, models, workflows
from candid.cli import main
from candid.errors import InputError
from candid.report import Report
from candid.types import Head
from candid.workflows import SavedHead, load_head, save_head


@pytest.fixture
def run(capsys):
    """Runs candid with arguments: (exit code, stdout, stderr)."""

    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return call


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def tiny():
    return models.load("tiny")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Thirty of the embedded photos of each of the seven classes that have as many, as a folder of class folders."""
    known, root = data.sample().known, tmp_path_factory.mktemp("photos")
    for label in np.flatnonzero(np.bincount(known.labels) >= 30):
        place = root / known.classes[label]
        place.mkdir()
        for row in np.flatnonzero(known.labels == label)[:30].tolist():
            (place / f"{row}.jpg").write_bytes(known.raw(row))
    return root


@pytest.fixture(scope="module")
def photos(folder):
    return data.read(folder)


@pytest.fixture(scope="module")
def features(tiny, photos, cache):
    return workflows.encode(tiny, photos, cache=cache)


@pytest.fixture(scope="module")
def probe(tiny, features):
    """A head that is surely not zero-shot: class means of the photos' vectors, with two members."""
    means = np.stack([features.vectors[features.labels == label].mean(axis=0) for label in range(7)])
    head = Head(means.astype(np.float32), features.classes, tiny.scale, tiny.bias, tiny.activation)
    members = (replace(head, weights=head.weights * 0.5), replace(head, weights=head.weights * 1.5))
    return SavedHead(head, tiny.id, tiny.revision, tiny.preprocessing, {"variant": "prompt"}, {"n": 210}, members)


# the folder of a head


def test_a_head_comes_back_from_its_folder_as_it_was_with_its_members(probe, tiny, features, tmp_path):
    save_head(tmp_path / "head", probe)
    found = load_head(tmp_path / "head", model=tiny)
    assert {path.name for path in (tmp_path / "head").iterdir()} == {"head.json", "head.safetensors"}
    assert json.loads((tmp_path / "head" / "head.json").read_text())["format"] == "candid-head"
    assert np.array_equal(found.head(features.vectors), probe.head(features.vectors))
    assert [np.array_equal(a.weights, b.weights) for a, b in zip(found.members, probe.members, strict=True)] == [
        True
    ] * 2
    assert (found.recipe, found.data, found.head.classes) == (probe.recipe, probe.data, probe.head.classes)


def test_a_bias_for_each_class_survives(probe, tmp_path):
    biased = replace(probe, head=replace(probe.head, bias=np.arange(7.0)), members=())
    assert np.array_equal(load_head(save_head(tmp_path / "head", biased)).head.bias, np.arange(7.0))


def test_a_head_of_another_model_is_refused_in_one_line(probe, tiny, tmp_path):
    save_head(tmp_path / "head", replace(probe, revision="other"))
    with pytest.raises(InputError, match="tuned for tiny at revision other"):
        load_head(tmp_path / "head", model=tiny)


def test_a_folder_that_is_no_head_or_half_of_one_is_refused(probe, tmp_path):
    with pytest.raises(InputError, match=r"head\.json"):
        load_head(tmp_path)
    save_head(tmp_path / "head", probe)
    (tmp_path / "head" / "head.safetensors").write_bytes(b"half")
    with pytest.raises(InputError, match="not a whole head"):
        load_head(tmp_path / "head")
    with pytest.raises(InputError, match="--exist-ok"):
        save_head(tmp_path / "head", probe)


# the audit of a head


@pytest.fixture(scope="module")
def audited(probe, folder, cache, tmp_path_factory):
    """`candid audit --head` on the photos."""
    out = tmp_path_factory.mktemp("audited")
    save_head(out / "head", probe)
    with pytest.raises(SystemExit) as stop:
        main(
            [*map(str, ("audit", folder, "-m", "tiny", "--head", out / "head", "-o", out / "report", "--cache", cache))]
        )
    assert not stop.value.code
    return out


def row(content, metric, where):
    return next(row for row in content.rows if (row.metric, row.slice) == (metric, where))


def test_the_audit_of_a_head_shows_the_heads_own_accuracy_and_error(audited, probe, features):
    content = Report.load(audited / "report").content
    logits = probe.head(features.vectors)
    assert row(content, "accuracy", "all").value == metrics.accuracy(logits, features.labels)
    assert row(content, "accuracy", "all").n == 210


def test_the_audit_of_a_head_has_no_section_on_wording_and_says_why(audited):
    content = Report.load(audited / "report").content
    assert "wording" not in {section.id for section in content.sections}
    assert any("the head was tuned, no wording made it" in question for question in content.cannot_say)


def test_the_predictor_of_such_an_audit_answers_with_the_head(audited, probe, features, photos):
    predictor = workflows.Predictor.load(audited / "report" / "predictor")
    said = predictor.decide(features)
    assert np.array_equal(predictor.head.weights, probe.head.weights)
    assert np.array_equal(said.labels, probe.head(features.vectors).argmax(axis=1))


def test_an_audit_of_a_head_runs_again_from_its_report(audited, cache, run, tmp_path):
    code, _, err = run(
        "audit", "--config", audited / "report" / "report.json", "-o", tmp_path / "again", "--cache", cache
    )
    assert code == 0, err
    reports = [Report.load(folder) for folder in (audited / "report", tmp_path / "again")]
    assert reports[0].content.rows == reports[1].content.rows


def test_what_a_head_cannot_be_asked_is_told_in_one_line(tiny, photos, probe):
    with pytest.raises(InputError, match="no templates"):
        workflows.audit(tiny, photos, head=probe.head, templates=["a {}"])
    with pytest.raises(InputError, match="transfer"):
        workflows.audit(tiny, photos, head=probe.head, transfer={"x": photos})
    with pytest.raises(InputError, match="dimensions"):
        workflows.audit(tiny, photos, head=replace(probe.head, weights=probe.head.weights[:, :9]))


def test_a_head_of_another_model_is_not_audited(run, probe, folder, tmp_path):
    save_head(tmp_path / "head", replace(probe, preprocessing="other"))
    code, _, err = run("audit", folder, "-m", "tiny", "--head", tmp_path / "head", "-o", tmp_path / "out")
    assert code == 2
    assert "tuned for tiny" in err
    assert len(err.splitlines()) == 1
