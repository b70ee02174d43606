"""The study of test-time tuning: end to end on the embedded photos, and its rules on records made by hand."""

import csv
import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from candid import data, metrics, workflows
from candid.arrays import softmax
from candid.cli import _run as run_command
from candid.errors import InputError
from candid.workflows.episodic import answers, measured, rules
from candid.workflows.episodic.material import split
from candid.workflows.episodic.plan import Source, TuningPlan, TuningSet, plan_of
from candid.workflows.episodic.record import TuningRecord, load_records

JOB = {
    "sets": [{"name": "groceries", "test": "embedded"}],
    "images": 16,
    "views": 12,
    "labels": 20,
    "draws": 2,
    "random": 2,
    "coefficients": [0.0, 50.0],
    "prompts": ["a photo of a {}.", "a picture of the {}.", "an image of {}."],
    "prompt_images": 8,
}
BASE = TuningRecord("methods", "m", "s", 10, "tpt", "a photo of a {}.", 0.0, 0, 4, {}, (0.9,) * 4, (True,) * 4)
KINDS = ("Banana", "Melon", "Milk", "Pear")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def few():
    """Four kinds of the embedded photos."""
    images = data.sample().known
    rows = [i for i, label in enumerate(images.labels) if images.classes[label] in KINDS]
    found = data.subset(images, rows)
    labels = np.array([KINDS.index(images.classes[label]) for label in found.labels])
    return replace(found, labels=labels, classes=KINDS)


def asked(job=JOB, **changed):
    found = TuningSet("groceries", few(), template="a photo of {}, a grocery.")
    return replace(plan_of(job, sets=[found]), **changed)


@pytest.fixture(scope="module")
def whole(cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "out"
    report = workflows.test_time_study(
        {"tiny": "tiny"}, asked(source=Source("others", few())), folder, cache=cache, config=JOB
    )
    return folder, report


def records_of(folder):
    found = []
    for path in sorted((folder / "runs").glob("*.json")):
        found += load_records(path, json.loads(path.read_text())["key"])
    return found


def test_every_question_has_a_section_with_figures_and_a_file(whole, tmp_path):
    _, report = whole
    assert [each.id for each in report.content.sections] == ["methods", "starts", "prompts", "lambda"]
    assert all(each.figures for each in report.content.sections)
    report.save(tmp_path / "saved")
    assert {path.stem for path in (tmp_path / "saved" / "tables").iterdir()} == {
        "all", "methods", "starts", "prompts", "lambda"
    }  # fmt: skip
    with (tmp_path / "saved" / "tables" / "methods.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} == {*measured.WAYS, measured.TEMPERATURE}


def test_numbers_are_those_of_the_public_functions(whole, cache):
    folder, _ = whole
    images = few()
    judged, _ = split(len(images), 16, 0)
    views = workflows.tuning_views(model(), data.subset(images, judged), views=12, cache=cache)
    for method in ("zero-shot", "c-tpt", "cots", "constant"):
        logits = workflows.tuned_logits(model(), views, KINDS, method=method)
        labels = views.centre.labels
        (record,) = [r for r in records_of(folder) if r.question == "methods" and r.method == method]
        assert record.numbers["accuracy"] == pytest.approx((logits.argmax(axis=1) == labels).mean())
        assert record.numbers["ece"] == pytest.approx(metrics.ece(softmax(logits), labels, bins=20), abs=1e-5)
        assert record.confidence == pytest.approx(softmax(logits).max(axis=1), abs=1e-5)


def model():
    from candid import models

    return models.load("tiny")


def test_the_weight_of_nothing_is_tpt_and_the_sweep_meets_the_methods(whole):
    found = records_of(whole[0])
    by = {
        (r.question, r.method, r.coefficient): r for r in found if r.question in ("methods", "lambda") and r.draw == 0
    }
    assert by["lambda", "c-tpt", 0.0].confidence == by["methods", "tpt", 0.0].confidence
    assert by["lambda", "c-tpt", 50.0].confidence == by["methods", "c-tpt", 50.0].confidence
    assert by["lambda", "c-tpt", 0.0].numbers["decided"] == 0
    assert by["methods", "c-tpt", 50.0].numbers["decided"] > 0.5


def test_starts_are_all_there_and_averaged_prompts_are_the_mean_of_their_logits(whole, cache):
    found = [r for r in records_of(whole[0]) if r.question == "starts" and r.method == "c-tpt"]
    assert [(r.start, r.draw) for r in found] == [
        ("a photo of a {}.", 0),
        ("own: a photo of {}, a grocery.", 0),
        ("random", 0),
        ("random", 1),
        ("tuned on another set", 0),
        ("four prompts averaged", 0),
    ]
    images = few()
    views = workflows.tuning_views(model(), data.subset(images, split(len(images), 16, 0)[0]), views=12, cache=cache)
    four = [f"{one} of {article} {{}}." for one in ("a photo", "a picture") for article in ("a", "the")]
    logits = workflows.tuned_logits(model(), views, KINDS, method="c-tpt", template=four)
    assert found[-1].confidence == pytest.approx(softmax(logits).max(axis=1), abs=1e-5)


def test_temperatures_come_from_images_that_judge_nothing(whole):
    found = [r for r in records_of(whole[0]) if r.method == measured.TEMPERATURE]
    (plain,) = [r for r in records_of(whole[0]) if r.question == "methods" and r.method == "zero-shot"]
    assert len(found) == 2
    assert all(r.right == plain.right for r in found)  # a temperature changes no prediction
    assert all(r.numbers["temperature"] > 0 for r in found)
    judged, rest = split(30, 16, 0)
    assert sorted(judged + rest) == list(range(30))


def test_a_stopped_run_goes_on_and_says_the_same(whole, cache, tmp_path):
    folder, report = whole
    for i, path in enumerate(sorted((folder / "runs").iterdir())):
        if i % 2:
            (tmp_path / "out" / "runs").mkdir(parents=True, exist_ok=True)
            (tmp_path / "out" / "runs" / path.name).write_bytes(path.read_bytes())
    seen = []
    again = workflows.test_time_study(
        {"tiny": "tiny"}, asked(source=Source("others", few())), tmp_path / "out", cache=cache,
        progress=lambda label, done, total: seen.append(label),
    )  # fmt: skip
    assert [each.model_dump() for each in again.content.rows] == [each.model_dump() for each in report.content.rows]
    asked_again = {label.rpartition(", ")[2] for label in seen if label.startswith("tiny: ")}
    kept = {path.stem.rpartition("-")[2] for i, path in enumerate(sorted((folder / "runs").iterdir())) if i % 2}
    assert asked_again == {"methods", "starts", "prompts", "lambda"} - kept


def test_shards_share_the_work_and_the_report_says_what_is_missing(cache, tmp_path):
    plan = asked(questions=("methods", "lambda"))
    first = workflows.test_time_study({"tiny": "tiny"}, plan, tmp_path / "out", cache=cache, shard=(0, 2))
    assert len(list((tmp_path / "out" / "runs").iterdir())) == 1
    assert any("not answered yet" in note for note in first.content.cannot_say)
    workflows.test_time_study({"tiny": "tiny"}, plan, tmp_path / "out", cache=cache, shard=(1, 2))
    assert len(list((tmp_path / "out" / "runs").iterdir())) == 2


def test_a_set_for_imagenet_takes_its_weights(cache, tmp_path):
    plan = asked(questions=("methods",), draws=1)
    plan = replace(plan, sets=(replace(plan.sets[0], imagenet=True, augmix=False),))
    workflows.test_time_study({"tiny": "tiny"}, plan, tmp_path / "out", cache=cache)
    weights = {r.method: r.coefficient for r in records_of(tmp_path / "out")}
    assert (weights["c-tpt"], weights["o-tpt"], weights["a-tpt"], weights[measured.RELEASED]) == (
        20.0,
        2.0,
        10.0,
        -10.0,
    )


def test_published_numbers_stand_beside_ours(cache, tmp_path):
    plan = asked(questions=("methods",), draws=1)
    plan = replace(plan, sets=(replace(plan.sets[0], published={"tiny": {"c-tpt": (45.17, 12.94)}}),))
    report = workflows.test_time_study({"tiny": "tiny"}, plan, tmp_path / "out", cache=cache)
    table = next(each for each in report.content.sections[0].figures if each.id == "methods-tiny-groceries")
    shown = {row[0]: row[-2:] for row in table.rows}
    assert shown["c-tpt"] == ("45.17%", "0.1294")
    assert shown["tpt"] == (None, None)


# the rules


def made(gaps, first="tpt", second="zero-shot", metric="accuracy"):
    """One record of each of two methods a set; the first is better by so much."""
    for i, gap in enumerate(gaps):
        for method, value in ((first, 0.5 + gap), (second, 0.5)):
            numbers = {"accuracy": 0.5, "ece": 0.1, "confidence": 0.6} | {metric: value}
            yield replace(BASE, set=f"s{i}", method=method, numbers=numbers)


def outcome(records, number):
    return {each.number: each.outcome for each in rules.claims(list(records))}[number]


def test_a_rule_needs_all_of_its_numbers():
    records = [
        replace(BASE, set=f"s{i}", method=method, numbers={"accuracy": right, "ece": gap, "confidence": said})
        for i in range(4)
        for method, right, gap, said in (("tpt", 0.6 + i / 100, 0.2, 0.8), ("zero-shot", 0.5 + i / 200, 0.1, 0.55))
    ]
    assert outcome(records, "B1") == "holds"
    worse = [replace(r, numbers=r.numbers | {"ece": 0.05}) if r.method == "tpt" else r for r in records]
    assert outcome(worse, "B1") == "does not hold"
    assert outcome(records[:4], "B1") == "cannot be tested here"


def test_the_dispersion_must_keep_accuracy_and_lower_the_error():
    records = [
        replace(BASE, set=f"s{i}", method=method, numbers={"accuracy": 0.6 - loss + i / 1000, "ece": gap})
        for i in range(4)
        for method, loss, gap in (("tpt", 0.0, 0.2), ("c-tpt", 0.005, 0.1 + i / 1000))
    ]
    assert outcome(records, "B4") == "holds"
    lost = [replace(r, numbers=r.numbers | {"accuracy": 0.5}) if r.method == "c-tpt" else r for r in records]
    assert outcome(lost, "B4") == "does not hold"


def test_correlation_of_dispersion_is_by_rank_and_by_set():
    records = [
        replace(BASE, question="prompts", set=f"s{i}", method=method, start=str(x),
                numbers={"accuracy": 0.5, "atfd": x, "ece": -(x**3) + i})
        for i in range(3) for method in ("zero-shot", "tpt") for x in (1.0, 2.0, 4.0)
    ]  # fmt: skip
    assert rules.correlation(records, "zero-shot").value == -1.0
    assert outcome(records, "B3") == "holds"


def test_the_worst_prompt_is_chosen_on_other_images():
    """Two prompts that differ on the images that choose and not on those that compare are no different."""
    right = (True, True) * 20
    one = replace(
        BASE, question="prompts", method="zero-shot", n=40, numbers={"accuracy": 1.0, "ece": 0.0}, right=right
    )
    records = [
        replace(one, set=f"s{i}", start=start, confidence=(first, 0.9) * 20)
        for i in range(3)
        for start, first in (("a", 0.9), ("b", 0.2))
    ]
    assert outcome(records, "B2") == "does not hold"
    differing = [replace(r, confidence=(r.confidence[0],) * 40) for r in records]
    assert outcome(differing, "B2") == "holds"


def test_one_constant_move_is_all_of_four_things():
    def records(decided=0.95, like=0.99, right=0.6, gap=0.1):
        for i in range(4):
            numbers = {"accuracy": 0.6, "ece": 0.1, "decided": decided + i / 1000, "agrees_constant": like + i / 1000,
                       "agrees_zero-shot": 0.9}  # fmt: skip
            yield replace(BASE, set=f"s{i}", method="c-tpt", numbers=numbers)
            yield replace(BASE, set=f"s{i}", method="constant", numbers={"accuracy": right, "ece": gap + i / 1000})

    assert outcome(records(), "X1") == "holds"
    for change in ({"decided": 0.7}, {"like": 0.8}, {"right": 0.5}, {"gap": 0.2}):
        assert outcome(records(**change), "X1") == "does not hold"


def test_differences_are_paired_over_images():
    """The same images right in both: whatever is drawn, the difference is nothing."""
    random = np.random.default_rng(0)
    right = tuple((random.random(200) < 0.7).tolist())
    one = replace(BASE, n=200, right=right, confidence=tuple(random.random(200).tolist()), numbers={"accuracy": 0.7})
    other = replace(one, confidence=tuple(random.random(200).tolist()))
    for first, second, metric in ((one, other, "accuracy"), (one, one, "ece")):
        found = answers.difference(first, second, metric)
        assert (found.value, found.low, found.high) == (0, 0, 0)


# the door


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"questions": ["method"]}, "no question named"),
        ({"sets": []}, "at least one set"),
        ({"views": 3}, "views 10 or more"),
        ({"sets": [{"name": "x"}]}, "each with name and test"),
    ],
)
def test_bad_plans_are_one_clear_line(change, said):
    with pytest.raises(InputError, match=said):
        plan_of({"sets": [{"name": "groceries", "test": "embedded"}]} | change)


def test_two_sets_of_one_name_are_refused():
    found = TuningSet("a", few())
    with pytest.raises(InputError, match="different names"):
        TuningPlan((found, found))


def test_the_command_runs_repeats_and_refuses(cache, tmp_path, capsys):
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"format": "candid-c-tpt", "version": 1, **JOB, "images": 8, "draws": 1, "random": 1}))
    out = tmp_path / "out"
    flags = ["--cache", str(cache), "--questions", "methods,lambda"]
    assert run_command(["reproduce", "c-tpt", "--config", str(plan), "-o", str(out), *flags]) == 0
    shown = capsys.readouterr().out
    assert "tuning at test time" in shown
    assert (out / "index.html").is_file()
    again = tmp_path / "again"
    command = [
        "reproduce",
        "c-tpt",
        "--config",
        str(out / "report.json"),
        "-o",
        str(again),
        "--json",
        "--cache",
        str(cache),
    ]
    assert run_command(command) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows == json.loads((out / "report.json").read_text())["rows"]
    assert run_command(["reproduce", "c-tpt", "--template", "a {}.", "-o", str(tmp_path / "no")]) == 2
    assert "describe --test" in capsys.readouterr().err
    assert run_command(["reproduce", "c-tpt", "--config", str(plan), "-o", str(out), "--seed", "5", *flags]) == 2
    assert "another plan" in capsys.readouterr().err
    assert run_command(["reproduce", "c-tpt", "--coefficients", "a,b", "-o", str(tmp_path / "no")]) == 2
    assert "--coefficients takes numbers" in capsys.readouterr().err


def test_the_papers_plan_runs_on_a_miniature_of_its_data(cache, tmp_path):
    recipe = runpy.run_path(str(Path(__file__).parents[1] / "recipes" / "test_time" / "paper.py"))
    images, rows = few(), []
    for i in range(30):
        path = tmp_path / "dtd" / "images" / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(images.raw(i))
        rows.append([f"{i}.jpg", int(images.labels[i]), KINDS[images.labels[i]]])
        a = tmp_path / "imagenet-adversarial" / "imagenet-a" / f"n0000000{images.labels[i]}" / f"{i}.jpg"
        a.parent.mkdir(parents=True, exist_ok=True)
        a.write_bytes(images.raw(i))
    split = {"train": rows[:1], "val": rows[:1], "test": rows}
    (tmp_path / "dtd" / "split_zhou_DescribableTextures.json").write_text(json.dumps(split))
    names = "".join(f"n0000000{i} {name}\n" for i, name in enumerate((*KINDS, "Leek")))
    (tmp_path / "imagenet-adversarial" / "classnames.txt").write_text(names)
    assert len(recipe["plan"](tmp_path)["sets"]) == 15
    job = recipe["plan"](tmp_path, ("dtd", "imagenet-adversarial"), {"ViT-B/16": "tiny"})
    small = {"images": 6, "views": 12, "labels": 10, "draws": 1, "questions": ["methods"]}
    report = workflows.test_time_study(job["models"], plan_of(job | small), tmp_path / "out", cache=cache)
    tables = {each.id: each for each in report.content.sections[0].figures}
    shown = {row[0]: row for row in tables["methods-ViT-B/16-dtd"].rows}
    assert shown["c-tpt"][-2:] == ("45.17%", "0.1294")
    assert "2 classes" in tables["methods-ViT-B/16-imagenet-adversarial"].title
    weights = {(r.set, r.method): r.coefficient for r in records_of(tmp_path / "out")}
    assert (weights["dtd", "c-tpt"], weights["imagenet-adversarial", "c-tpt"]) == (50.0, 20.0)
