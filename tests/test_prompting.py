"""The study of noisy prompts: end to end on the embedded photos, and its rules on records made by hand."""

import csv
import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from candid import data, workflows
from candid.cli import _run as run_command
from candid.errors import InputError
from candid.workflows.prompting import front, plan
from candid.workflows.prompting.answers import answers
from candid.workflows.prompting.claims import claims
from candid.workflows.prompting.conditions import paired
from candid.workflows.prompting.pictures import over_draws, zero_shot
from candid.workflows.prompting.record import Record, load_records
from candid.workflows.prompting.training import words_for

JOB = {
    "sets": [{"name": "groceries", "train": "embedded", "test": "embedded"}],
    "variants": ["classifier-text", "prompt"],
    "protocols": ["flip-exact"],
    "rates": [0.0, 0.5],
    "losses": ["ce", "gce"],
    "shots": 2,
    "epochs": 2,
    "long": 3,
    "views": 2,
    "draws": 2,
    "prompts": 2,
    "contexts": [1, 2],
    "context": 2,
}
KINDS = ("Banana", "Melon", "Milk", "Pear")
BASE = Record("noise", "m", "s", "prompt", "ce", "flip-exact", 0.5, 0.5, "", 50, 0, "one", 10, 10)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def asked_of(job):
    """The plan on few images: four kinds of the embedded photos, and forty pictures that are none of them."""
    (photos,) = plan.plan_of(job).sets
    kept = {name: few(getattr(photos, name)) for name in ("train", "test")}
    name, unknown = next(iter(photos.ood.items()))
    return plan.plan_of(job, sets=[replace(photos, **kept, ood={name: data.subset(unknown, range(40))})])


def few(images):
    rows = [i for i, label in enumerate(images.labels) if images.classes[label] in KINDS]
    found = data.subset(images, rows)
    labels = np.array([KINDS.index(images.classes[label]) for label in found.labels])
    return replace(found, labels=labels, classes=KINDS)


@pytest.fixture(scope="module")
def whole(cache, tmp_path_factory):
    """Every question, on little."""
    folder = tmp_path_factory.mktemp("study") / "out"
    report = workflows.prompt_study({"tiny": "tiny"}, asked_of(JOB), folder, cache=cache)
    report.save(folder, exist_ok=True)
    return folder, report


def lines(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_question_has_records_a_figure_and_a_file(whole):
    folder, report = whole
    sections = {each.id: each for each in report.content.sections}
    for question in plan.QUESTIONS:
        assert sections[question].figures, question
        found = lines(folder / "tables" / f"{question}.csv")
        assert found
        if question != "gradients":
            assert all(0 <= float(row["accuracy"]) <= 1 and 0 <= float(row["ece"]) <= 1 for row in found)
            assert all(float(row["auroc_msp"]) > 0 for row in found)
    assert (folder / "index.html").is_file()


def test_noise_has_every_variant_loss_rate_and_draw(whole):
    found = {tuple(row[name] for name in ("variant", "loss", "rate", "draw")): row
             for row in lines(whole[0] / "tables" / "noise.csv")}  # fmt: skip
    assert len(found) == 2 * 2 * 2 * 2
    assert all(float(row["wrong"]) == pytest.approx(float(key[2]), abs=0.02) for key, row in found.items())


def test_pseudo_labels_are_reported_with_their_accuracy(whole):
    for row in lines(whole[0] / "tables" / "unlabelled.csv"):
        assert 0 < float(row["pseudo_label_accuracy"]) <= 1
        assert 0 < float(row["pseudo_label_coverage"]) <= 1


def test_average_of_prompts_is_a_member_of_its_own(whole):
    found = lines(whole[0] / "tables" / "epochs.csv")
    assert {row["member"] for row in found if row["variant"] == "prompt"} == {"one", "average"}
    assert {row["member"] for row in found if row["variant"] == "classifier-text"} == {"one"}
    assert {int(row["epoch"]) for row in found if row["setting"] == "3 epochs"} == {0, 1, 2, 3}


def test_gradients_are_in_both_spaces(whole):
    found = lines(whole[0] / "tables" / "gradients.csv")
    assert {row["setting"] for row in found} == {"classes", "parameters"}
    assert all(-1 <= float(row["cosine"]) <= 1 and 0 <= float(row["coherence_wrong"]) <= 1 for row in found)


def test_a_stopped_run_goes_on_and_says_the_same(whole, cache, tmp_path):
    asked = asked_of(JOB | {"questions": ["noise"]})

    def stop(label, done, total):
        if "prompt flip-exact" in label:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workflows.prompt_study({"tiny": "tiny"}, asked, tmp_path, cache=cache, progress=stop)
    kept = {path.name: path.read_bytes() for path in (tmp_path / "runs").iterdir()}
    assert kept
    trained = []
    again = workflows.prompt_study(
        {"tiny": "tiny"}, asked, tmp_path, cache=cache, progress=lambda label, done, total: trained.append(label)
    )
    assert not any("classifier-text" in label for label in trained)
    assert all((tmp_path / "runs" / name).read_bytes() == content for name, content in kept.items())
    first = {(row.metric, row.slice): row.value for row in whole[1].content.rows}
    assert {(row.metric, row.slice): row.value for row in again.content.rows} == pytest.approx(first, rel=1e-4)


def test_shards_share_the_work_and_the_report_says_what_is_missing(cache, tmp_path):
    asked = asked_of(JOB | {"questions": ["noise"], "variants": ["classifier-text", "classifier-random"]})
    half = workflows.prompt_study({"tiny": "tiny"}, asked, tmp_path, cache=cache, shard=(0, 2))
    assert any("not finished" in each for each in half.content.cannot_say)
    both = workflows.prompt_study({"tiny": "tiny"}, asked, tmp_path, cache=cache, shard=(1, 2))
    assert not any("not finished" in each for each in both.content.cannot_say)
    with pytest.raises(InputError, match="got 2 of 2"):
        workflows.prompt_study({"tiny": "tiny"}, asked, tmp_path, cache=cache, shard=(2, 2))


def test_what_cannot_be_trained_costs_itself_alone(cache, tmp_path):
    job = JOB | {"questions": ["noise", "context"], "variants": ["classifier-text"], "contexts": [1, 200]}
    found = workflows.prompt_study({"tiny": "tiny"}, asked_of(job), tmp_path, cache=cache).content
    assert [section.id for section in found.sections if section.figures] == ["noise", "context"]
    (note,) = [each for each in found.cannot_say if "200 tokens" in each]
    assert note.startswith("tiny, groceries, context, prompt flip-exact 200 tokens: ")
    broken = replace(asked_of(job), sets=(replace(asked_of(job).sets[0], template="no place for a name"),))
    with pytest.raises(InputError, match="nothing of this plan can be trained"):
        workflows.prompt_study({"tiny": "tiny"}, broken, tmp_path / "broken", cache=cache)


def test_numbers_on_top_are_of_zero_shot_and_of_the_most_wrong_labels(whole):
    found = [row.slice for row in whole[1].content.rows if row.key]
    assert found == ["zero-shot", "classifier-text, ce, flip-exact 50.0%", "prompt, ce, flip-exact 50.0%"]
    zero = next(row for row in whole[1].content.rows if row.slice == "zero-shot")
    assert zero.low is None


def test_records_of_other_images_are_trained_again(cache, tmp_path):
    asked = asked_of(JOB | {"questions": ["noise"], "variants": ["classifier-text"]})
    workflows.prompt_study({"tiny": "tiny"}, asked, tmp_path, cache=cache)
    path = next((tmp_path / "runs").glob("*noise*"))
    content = json.loads(path.read_text())
    assert load_records(path, content["key"])
    assert load_records(path, "other") is None


def test_words_in_place_of_names():
    classes = ("red apple", "pear", "oat milk", "leek")
    swapped = words_for(classes, "swapped", seed=0)
    assert sorted(swapped) == sorted(classes)
    assert not any(a == b for a, b in zip(swapped, classes, strict=True))
    random = words_for(classes, "random words", seed=0)
    assert len(set(random)) == len(classes)
    assert [len(word.split()) for word in random] == [2, 1, 2, 1]
    assert words_for(classes, "one word", seed=0) == ("thing",) * 4
    assert words_for(classes, "true", seed=0) is None
    assert len(set(words_for([str(i) for i in range(100)], "random words", seed=0))) == 100


def made(gap, *, second, first=BASE, sets=4, spread=0.001, metric="accuracy"):
    """Records in which `first` is better than `second` by `gap`."""
    random = np.random.default_rng(0)
    for i in range(sets):
        for draw in range(2):
            level = random.uniform(0.4, 0.8)
            moved = {"set": f"s{i}", "draw": draw}
            yield replace(first, numbers={metric: level + gap + spread * random.normal()}, **moved)
            yield replace(second, numbers={metric: level}, **moved)


@pytest.mark.parametrize(("gap", "outcome"), [(0.05, "holds"), (-0.05, "does not hold"), (0.0, "not settled")])
def test_a_rule_follows_the_difference(gap, outcome):
    found = {each.number: each for each in claims(list(made(gap, second=replace(BASE, loss="gce"))))}
    flipped = {"holds": "does not hold", "does not hold": "holds"}.get(outcome, outcome)
    assert found["P2"].outcome == flipped  # GCE minus CE


def test_too_few_sets_cannot_be_tested():
    found = {each.number: each for each in claims(list(made(0.1, second=replace(BASE, loss="gce"), sets=2)))}
    assert {each.outcome for each in found.values()} == {"cannot be tested here"}


def test_pairs_are_of_one_set_draw_and_rate():
    records = [
        replace(BASE, set=f"s{i}", draw=d, rate=r, variant=v,
                numbers={"accuracy": 0.1 * i + 0.01 * d + r + (0.2 if v == "cls" else 0)})
        for i in range(4) for d in range(3) for r in (0.25, 0.5) for v in ("prompt", "cls")
    ]  # fmt: skip
    found = paired(records, "accuracy", lambda r: r.variant == "cls", lambda r: r.variant == "prompt", lambda r: True,
                   over=("rate",))  # fmt: skip
    assert (found.value, found.n) == (pytest.approx(0.2), 4)
    assert found.high - found.low == pytest.approx(0, abs=1e-9)


def gains(model, gain):
    """Zero-shot and trained records of one model on four sets."""
    for i in range(4):
        where = {"model": model, "set": f"s{i}"}
        yield replace(BASE, question="zero-shot", rate=0.0, wrong=0.0, numbers={"accuracy": 0.5 + 0.01 * i}, **where)
        for rate in (0.25, 0.5):  # half wrong is far below, and not asked about
            level = 0.5 + 0.01 * i + (gain + 0.001 * i if rate < 0.5 else -0.3)
            yield replace(BASE, rate=rate, wrong=rate, numbers={"accuracy": level}, **where)


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        ((0.1, 0.05), "holds"),
        ((0.1, -0.05), "does not hold"),
        ((0.1,), "cannot be tested here"),
        ((-0.1,), "does not hold"),
    ],
)
def test_every_model_must_gain_over_zero_shot_and_one_alone_only_refutes(found, outcome):
    records = [each for i, gain in enumerate(found) for each in gains(f"m{i}", gain)]
    assert {each.number: each.outcome for each in claims(records)}["P5b"] == outcome


def test_zero_shot_line_is_of_the_models_and_sets_beside_it():
    records = [replace(BASE, question="zero-shot", set=f"s{i}", numbers={"accuracy": 0.1 * i}) for i in range(4)]
    beside = [replace(BASE, set="s1"), replace(BASE, set="s2")]
    assert zero_shot(records, "accuracy", beside=beside) == pytest.approx(0.15)
    assert zero_shot(records, "accuracy", beside=[]) is None


def figures_of(records, question):
    asked = plan.plan_of(JOB | {"questions": [question]})
    (section,) = answers(records, asked, claims(records))
    return {each.id: each for each in section.figures}


def test_noise_is_shown_by_set_and_by_model_where_there_are_several():
    records = [
        replace(BASE, model=m, set=s, rate=r, draw=d, numbers={"accuracy": 0.5})
        for m in ("m1", "m2") for s in ("s1", "s2") for r in (0.0, 0.5) for d in range(2)
    ]  # fmt: skip
    given = replace(
        BASE, model="m1", set="s1", protocol="people: worse", rate=0.0, wrong=0.4, numbers={"accuracy": 0.3}
    )
    found = figures_of([*records, given], "noise")
    assert set(found) == {"noise-flip-exact-accuracy", "noise-flip-exact-s1", "noise-flip-exact-s2", "noise-s1",
                          "noise-s2", "noise-model-m1", "noise-model-m2"}  # fmt: skip
    assert found["noise-s1"].columns == ("noise", "trained", "0.0%", "50.0%", "as given")
    alone = [each for each in records if each.model == "m1" and each.set == "s1"]
    assert set(figures_of(alone, "noise")) == {"noise-flip-exact-accuracy", "noise-s1"}


def test_pseudo_labels_are_shown_beside_none_and_true_ones():
    records = [
        replace(
            BASE, question="unlabelled", protocol="pseudo-labels", setting="top", rate=0.0, numbers={"accuracy": 0.6}
        ),
        replace(BASE, rate=0.0, wrong=0.0, numbers={"accuracy": 0.8}),
        replace(BASE, numbers={"accuracy": 0.1}),
        replace(BASE, question="zero-shot", variant="zero-shot", numbers={"accuracy": 0.5}),
    ]
    (found,) = figures_of(records, "unlabelled").values()
    assert [row[0] for row in found.rows] == ["zero-shot", "top", "true labels"]


def test_interval_over_draws_is_that_of_student():
    records = [replace(BASE, draw=i, numbers={"nll": v}) for i, v in enumerate((1.0, 2.0, 3.0))]
    found = over_draws(records, "nll")
    assert found.value == 2.0
    assert found.high - found.value == pytest.approx(4.302653 * 1 / 3**0.5, rel=1e-5)
    assert over_draws(records, "accuracy") is None


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"questions": ["noises"]}, "no question named 'noises'; did you mean noise"),
        ({"variants": ["cl"]}, "no variant named"),
        ({"protocols": ["flip"]}, "no protocol named"),
        ({"rates": [1.0]}, "below 1"),
        ({"sets": []}, "at least one set"),
        ({"draws": 0}, "must be 1 or more"),
    ],
)
def test_bad_plans_are_one_clear_line(change, line):
    with pytest.raises(InputError, match=line):
        plan.plan_of(JOB | change)


def test_the_command_runs_repeats_and_refuses(cache, tmp_path, capsys):
    (photos,) = plan.plan_of(JOB).sets
    for part in ("train", "test"):
        images = few(getattr(photos, part))
        for i in range(len(images)):
            path = tmp_path / part / KINDS[images.labels[i]] / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(images.raw(i))
    out = tmp_path / "out"
    start = ["reproduce", "ptnl", "--cache", str(cache), "--json"]
    asked = [
        "--questions",
        "noise",
        "--variants",
        "classifier-text",
        "--epochs",
        "1",
        "--rates",
        "0,0.5",
        "--shots",
        "2",
    ]
    sets = [f"--{part}={tmp_path / part}" for part in ("train", "test")]
    assert run_command([*start, *asked, *sets, "--views", "1", "-o", str(out)]) == 0
    shown = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert shown["rows"]
    assert run_command([*start, "--config", str(out / "report.json"), "-o", str(tmp_path / "again")]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["rows"] == shown["rows"]
    assert run_command([*start, "--variants", "classifier-random", "-o", str(out)]) == 2
    assert "holds the report of another plan" in capsys.readouterr().err
    assert run_command([*start, "--train", "x", "-o", str(tmp_path / "no")]) == 2
    assert run_command([*start, "--rates", "a", "-o", str(tmp_path / "no")]) == 2


def test_the_papers_plan_runs_on_a_miniature_of_its_data(cache, tmp_path):
    paper = runpy.run_path(str(Path(__file__).parents[1] / "recipes" / "noisy_prompts" / "paper.py"))["plan"]
    (photos,) = plan.plan_of(JOB).sets
    images = few(photos.train)
    names = {"oxford_pets": ("OxfordPets", "images"), "dtd": ("DescribableTextures", "images")}
    for folder, (name, inside) in names.items():
        rows = []
        for i in range(len(images)):
            path = tmp_path / folder / inside / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(images.raw(i))
            rows.append([f"{i}.jpg", int(images.labels[i]), KINDS[images.labels[i]]])
        split = {"train": rows[::2], "val": rows[:1], "test": rows[1::2]}
        (tmp_path / folder / f"split_zhou_{name}.json").write_text(json.dumps(split))
    job = paper(tmp_path, tuple(names), {"tiny": "tiny"})
    assert job["sets"][0]["template"] == "a photo of a {}, a type of pet."
    assert len(paper(tmp_path)["sets"]) == 11
    small = {"shots": 1, "epochs": 1, "views": 1, "draws": 1, "questions": ["noise"], "protocols": ["ptnl", "pair"],
             "variants": ["classifier-text"], "rates": [0.0]}  # fmt: skip
    report = workflows.prompt_study(job["models"], plan.plan_of(job | small), tmp_path / "out", cache=cache)
    assert {row.slice for row in report.content.rows} >= {"classifier-text, ce, ptnl 0.0%"}


def test_units_have_files_of_their_own(cache):
    asked = asked_of(JOB)
    paths = [unit.path for unit in front._units("m", asked, cache)]
    assert len(set(paths)) == len(paths)
