"""Adapting a model to labelled or unlabelled images, and what is done with the head it leaves."""

import json
from contextlib import redirect_stdout
from csv import DictReader
from dataclasses import replace
from io import StringIO
from typing import get_args

import numpy as np
import pytest

from candid import data, metrics, models, noise, tune, workflows
from candid.arrays import softmax
from candid.cli import main
from candid.errors import InputError
from candid.report import Report
from candid.tune.pseudo_labels import Select
from candid.types import Head
from candid.workflows import SavedHead, load_head, save_head
from candid.workflows.adapting.doubting import folds_of


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


# adapting to labels


@pytest.fixture(scope="module")
def adapted(folder, cache, tmp_path_factory):
    """`candid adapt` on the photos: its folder, and what it printed as JSON."""
    out = tmp_path_factory.mktemp("adapted") / "head"
    flags = ["--shots", 4, "--views", 2, "--epochs", 4, "--seeds", 2, "--context", 4, "--loss", "gce"]
    arguments = ["adapt", folder, "-m", "tiny", *flags, "--loss-option", "q=0.5", "-o", out, "--cache", cache]
    printed = StringIO()
    with redirect_stdout(printed), pytest.raises(SystemExit) as stop:
        main([*map(str, arguments), "--json"])
    assert not stop.value.code
    return out, json.loads(printed.getvalue())


def test_adapting_writes_a_head_its_report_and_its_tables(adapted):
    out, printed = adapted
    names = {"head.json", "head.safetensors", "index.html", "report.json", "numbers.csv", "trained_on.csv"}
    assert {path.name for path in out.iterdir()} == names
    assert printed["report"] == str(out / "index.html")
    assert printed["head"] == str(out)
    assert len(printed["rows"]) == len(Report.load(out).content.rows)


def test_the_folder_says_how_the_head_was_made_and_on_which_images(adapted, features, tiny):
    saved = load_head(adapted[0], model=tiny)
    assert (saved.recipe["variant"], saved.recipe["loss"], saved.recipe["loss_options"]) == (
        "prompt",
        "gce",
        {"q": 0.5},
    )
    assert (saved.recipe["shots"], saved.recipe["views"], saved.recipe["seeds"]) == (4, 2, [0, 1])
    rows = noise.few_shot(features.labels, classes=7, shots=4, seed=0)
    assert saved.data["trained_on"] == [features.ids[row] for row in rows]
    assert saved.data["labels"] == features.labels[rows].tolist()
    assert saved.data["n"] == 210
    assert saved.created
    assert saved.packages["torch"]


def test_the_head_is_the_mean_of_its_seeds(adapted, features):
    saved = load_head(adapted[0])
    mean = np.mean([member(features.vectors) for member in saved.members], axis=0)
    assert np.allclose(saved.head(features.vectors), mean, atol=1e-4)
    assert not np.array_equal(saved.members[0].weights, saved.members[1].weights)


def test_the_report_judges_on_images_that_were_not_trained_on(adapted, features, tiny):
    content, saved = Report.load(adapted[0]).content, load_head(adapted[0])
    rest = [i for i, name in enumerate(features.ids) if name not in saved.data["trained_on"]]
    labels = features.labels[rest]
    after = saved.head(features.vectors[rest])
    before = models.zero_shot(tiny, features.classes, templates=("a photo of a {}.",))(features.vectors[rest])
    assert row(content, "accuracy", "tuned").n == len(rest) == 182
    assert row(content, "accuracy", "tuned").value == metrics.accuracy(after, labels)
    assert row(content, "accuracy", "zero-shot").value == metrics.accuracy(before, labels)
    assert row(content, "ece", "tuned").value == pytest.approx(metrics.ece(softmax(after), labels))
    assert row(content, "nll", "tuned").value == pytest.approx(metrics.nll(softmax(after), labels), rel=1e-5)
    gained = row(content, "accuracy_gained", "all")
    assert gained.value == pytest.approx(metrics.accuracy(after, labels) - metrics.accuracy(before, labels))
    assert gained.low <= gained.value <= gained.high
    alone = [row(content, "accuracy", f"seed {i}").value for i in (0, 1)]
    assert row(content, "accuracy", "single seeds").value == pytest.approx(np.mean(alone))


def test_test_images_judge_where_they_are_given(tiny, photos, cache):
    found = workflows.adapt(
        tiny, photos, test=photos, variant="classifier-text", shots=3, views=0, epochs=2, seeds=1, cache=cache
    )
    assert row(found.report.content, "accuracy", "tuned").n == 210
    assert "On 210 test images" in found.report.content.sections[0].answer


def test_more_shots_than_images_leave_nothing_to_judge_and_the_report_says_so(tiny, photos, cache):
    found = workflows.adapt(tiny, photos, variant="classifier-text", shots=99, views=0, epochs=1, seeds=1, cache=cache)
    assert any("pass --test" in question for question in found.report.content.cannot_say)
    assert found.report.content.verdict.reasons[0].level == "unknown"
    assert not [each for each in found.report.content.rows if each.metric == "accuracy"]


def test_a_classifier_that_starts_from_text_gains_on_real_photos(tiny, photos, cache):
    found = workflows.adapt(tiny, photos, variant="classifier-text", shots=8, views=0, seeds=2, cache=cache)
    assert row(found.report.content, "accuracy_gained", "all").value > 0.03
    assert found.report.content.verdict.reasons[0].level == "good"


def test_an_audit_leaves_out_what_the_head_was_trained_on_and_finds_what_adapting_found(adapted, folder, cache, tiny):
    saved, before = load_head(adapted[0]), row(Report.load(adapted[0]).content, "accuracy", "tuned")
    content = workflows.audit(tiny, data.read(folder), head=saved, cache=cache).content
    found = row(content, "accuracy", "all")
    assert (found.value, found.n) == (before.value, before.n)
    assert found.n == 182
    assert any("28 known images it was trained on" in question for question in content.cannot_say)


def test_an_audit_of_training_images_alone_is_refused(adapted, folder, cache, tiny, photos):
    saved = load_head(adapted[0])
    with pytest.raises(InputError, match="trained on all 28 known images"):
        workflows.audit(
            tiny,
            data.subset(photos, [photos.ids.index(name) for name in saved.data["trained_on"]]),
            head=saved,
            cache=cache,
        )


# adapting without labels


def unlabelled(model, images, cache, **more):
    options = {"variant": "classifier-text", "views": 0, "epochs": 3, "seeds": 1, "shots": 5, "cache": cache}
    return workflows.adapt(model, images, unlabelled=True, **{**options, **more})


def test_labels_play_no_part_where_there_should_be_none(tiny, photos, cache):
    """The same head with true labels, with none, and with wrong ones."""
    bare = replace(photos, labels=None)
    wrong = replace(photos, labels=(photos.labels + 1) % 7)
    heads = [unlabelled(tiny, each, cache).head.weights for each in (photos, bare, wrong)]
    assert np.array_equal(heads[0], heads[1])
    assert np.array_equal(heads[0], heads[2])


def test_pseudo_labels_and_their_accuracy_are_in_the_report(tiny, photos, features, cache):
    found = unlabelled(tiny, photos, cache, select="random", loss="gce", seed=2)
    zero = models.zero_shot(tiny, features.classes, templates=("a photo of a {}.",))(features.vectors)
    expected = tune.pseudo_label(zero, per_class=5, select="random", seed=2)
    assert np.array_equal(found.pseudo.rows, expected.rows)
    report = expected.report(features.labels)
    content = found.report.content
    assert row(content, "pseudo_label_accuracy", "all").value == report.accuracy.value
    assert row(content, "pseudo_label_coverage", "all").value == report.predictions.value
    first = row(content, "pseudo_label_coverage", f"class: {features.classes[0]}")
    assert (first.value, first.n) == (report.classes[0].coverage.value, 30)
    assert [found.training.judged.size, row(content, "accuracy", "tuned").n] == [210, 210]


def test_without_labels_the_report_says_what_it_cannot(tiny, photos, cache):
    found = unlabelled(tiny, replace(photos, labels=None), cache)
    questions = " ".join(found.report.content.cannot_say)
    assert "What tuning changed" in questions
    assert "How right the pseudo-labels are" in questions
    assert {each.metric for each in found.report.content.rows} == {"unreadable"}


def test_a_class_that_is_never_predicted_is_named(tiny, photos, cache):
    classes = [*photos.classes, "Tractor"]
    found = unlabelled(tiny, photos, cache, classes=classes)
    assert found.pseudo.missing == (7,)
    assert "Tractor" in next(s for s in found.report.content.sections if s.id == "pseudo-labels").answer
    assert any("never predicted" in reason.text for reason in found.report.content.verdict.reasons)


def test_asking_the_same_model_twice_changes_no_pseudo_label(tiny, photos, cache):
    once, twice = (unlabelled(tiny, photos, cache, models=asked) for asked in ((), (tiny,)))
    assert np.array_equal(once.pseudo.rows, twice.pseudo.rows)


def test_what_cannot_be_trained_is_refused_before_anything_is_encoded(tiny, photos):
    def unreadable(index):
        pytest.fail("an image was read")

    unread = replace(photos, read=unreadable, raw=unreadable)
    with pytest.raises(InputError, match="--unlabelled"):
        workflows.adapt(tiny, replace(unread, labels=None))
    with pytest.raises(InputError, match="rate must be positive"):
        workflows.adapt(tiny, unread, rate=-1.0)
    with pytest.raises(InputError, match="at least 2 class names"):
        workflows.adapt(tiny, replace(unread, classes=None), unlabelled=True)
    with pytest.raises(InputError, match="no labels to doubt"):
        workflows.doubt_labels(tiny, replace(unread, labels=None))


# doubted labels


@pytest.fixture(scope="module")
def planted(photos):
    """The photos with 42 of their 210 labels wrong."""
    found = noise.inject(photos.labels, classes=7, protocol="flip-exact", rate=0.2, seed=1)
    return replace(photos, labels=found.labels), found.flipped


@pytest.mark.parametrize("by", ["classifier-text", "zero-shot"])
def test_planted_label_errors_are_found(tiny, planted, cache, by):
    images, flipped = planted
    found = workflows.doubt_labels(tiny, images, by=by, cache=cache)
    doubts = found.doubts
    recall = (doubts.flagged & flipped).sum() / flipped.sum()
    precision = (doubts.flagged & flipped).sum() / doubts.flagged.sum()
    assert recall > 0.8
    assert precision > 0.5
    assert flipped[doubts.order[:20]].mean() > 0.8
    assert doubts.suggested[flipped].tolist() != doubts.labels[flipped].tolist()
    assert (doubts.suggested != doubts.labels).all()
    assert found.wrong.low <= found.wrong.value <= found.wrong.high


def test_no_head_saw_the_image_it_doubts(tiny, planted, cache):
    """With its label changed, an image's own probabilities stay as they were."""
    images, _ = planted
    other = images.labels.copy()
    own = np.flatnonzero(images.labels == images.labels[0])
    fold = folds_of(images.labels, 5, seed=0)
    same = own[fold[own] == fold[0]]
    found = workflows.doubt_labels(tiny, images, cache=cache, epochs=3)
    kept = [i for i in range(210) if fold[i] != fold[0]]
    tuned = tune.fit(
        tiny, workflows.encode(tiny, images, cache=cache).vectors[kept], other[kept], images.classes,
        variant="classifier-text", epochs=3, seeds=1,
    )  # fmt: skip
    vectors = workflows.encode(tiny, images, cache=cache).vectors
    assert np.allclose(found.probs[same], softmax(tuned.head(vectors[same])), atol=1e-5)


def test_folds_deal_out_every_class_evenly():
    labels = np.random.default_rng(0).integers(0, 9, 500)
    fold = folds_of(labels, 4, seed=0)
    counts = np.array([np.bincount(fold[labels == label], minlength=4) for label in range(9)])
    assert np.ptp(counts, axis=1).max() <= 1
    assert np.ptp(np.bincount(fold)) <= 1


def test_the_command_writes_doubted_labels_with_pictures(folder, cache, run, tmp_path):
    out = tmp_path / "doubt"
    code, text, err = run("adapt", folder, "-m", "tiny", "--doubt", "--epochs", 5, "-o", out, "--cache", cache)
    assert code == 0, err
    assert f"table: {out / 'doubt.csv'}" in text
    assert {path.name for path in out.iterdir()} == {"index.html", "report.json", "doubt.csv"}
    table = list(DictReader((out / "doubt.csv").read_text().splitlines()))
    assert len(table) == 210
    flagged = [line["flagged"] == "true" for line in table]
    assert flagged == sorted(flagged, reverse=True)
    figure = Report.load(out).content.sections[0].figures[0]
    assert [item.alt for item in figure.items] == [line["id"] for line in table[: len(figure.items)]]


# the command


def test_without_arguments_it_adapts_the_embedded_model_to_the_embedded_photos(run, tmp_path):
    out = tmp_path / "head"
    code, text, err = run("adapt", "--epochs", 1, "--seeds", 1, "-o", out, "--cache", tmp_path / "cache")
    assert code == 0, err
    assert f"head: {out}" in text
    assert len(load_head(out).data["trained_on"]) == 4 * 33


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["nowhere", "-m", "tiny"], "nowhere"),
        (["."], "pass -m"),
        (["--variant", "promt"], "did you mean prompt"),
        (["--loss", "gec"], "did you mean gce"),
        (["--loss-option", "q"], "NAME=NUMBER"),
        (["--loss-option", "p=1"], "p"),
        (["--select", "random"], "--unlabelled"),
        (["--unlabelled", "--select", "best"], "no selection named best"),
        (["--unlabelled", "--doubt"], "give one"),
        (["--doubt-by", "zero-shot"], "pass --doubt"),
        (["--doubt", "--doubt-by", "me"], "nobody named me"),
        (["--doubt", "--folds", "9999"], "folds"),
        (["--split", "train"], "DATA"),
    ],
)
def test_a_users_mistake_is_one_clear_line_and_exit_code_2(arguments, hint, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run("adapt", *arguments)
    assert code == 2
    assert hint in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_an_existing_output_is_refused_before_any_work(adapted, folder, run):
    code, _, err = run("adapt", folder, "-m", "tiny", "-o", adapted[0])
    assert code == 2
    assert "--exist-ok" in err


def test_the_help_names_every_variant_loss_and_selection(run):
    text = " ".join(run("adapt", "--help")[1].split()).replace("- ", "-")
    assert all(name in text for name in (*tune.VARIANTS, *tune.LOSSES, *get_args(Select)))
