"""The study: questions on numpy models whose answers can be computed by hand, resuming, failures, claims, files."""

import csv
import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from colour_model import ColourModel, colour_folder

from candid import calibrate, data, metrics, workflows
from candid.cli import main
from candid.cli.study_flags import sets_of
from candid.errors import InputError
from candid.report import Report
from candid.types import Classifier, Encoder, Head
from candid.workflows import Plan, StudyModel, StudySet
from candid.workflows.studying.answers import Answers
from candid.workflows.studying.claims import claims
from candid.workflows.studying.finding import COLUMNS, Finding, ModelFindings
from candid.workflows.studying.plan import FEWEST
from candid.workflows.studying.questions import OWN, SHIPPED, tables, transfer
from candid.workflows.studying.trends import r_squared, spearman, trend_table

LEVELS = {"red": ("warm",), "yellow": ("warm",), "green": ("cold",), "blue": ("cold",)}
PROMPTS = {"photo": ("a photo of a {}.",), "name": ("{}",)}


HEAD = Head(ColourModel().encode_texts(["red", "green", "blue"]), ("red", "green", "blue"), 9.0)


@dataclass(frozen=True)
class Trained(ColourModel):
    """A supervised network: the same vectors, and classes of its own; it reads no text."""

    encode_texts: None = None
    head: Head = HEAD


class Unlettered(ColourModel):
    """Reads names only where yellow is among them; all others look alike to it."""

    def encode_texts(self, texts):
        read = super().encode_texts(texts)
        return read if any("yellow" in text for text in texts) else np.ones_like(read) / 2


class WarmColours(ColourModel):
    """Reads the names of the coarser level too."""

    def encode_texts(self, texts):
        return super().encode_texts([text.replace("warm", "yellow").replace("cold", "blue") for text in texts])


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    folders = {
        "colours": colour_folder(root / "colours", each=60, noise=90),
        "three": colour_folder(root / "three", each=50, noise=80, seed=1, names=("red", "green", "blue")),
        "dusk": colour_folder(root / "dusk", each=30, noise=130, seed=2),
        "drawn": colour_folder(root / "drawn", each=20, noise=70, seed=3),
    }
    read = {name: data.read(folder) for name, folder in folders.items()}
    return Plan(
        sets=(
            StudySet("colours", read["colours"], levels=LEVELS),
            StudySet("three", read["three"]),
            StudySet("dusk", read["dusk"], "shift", "colours"),
            StudySet("drawn", read["drawn"], "generated", "colours"),
        ),
        prompts=PROMPTS,
        draws=4,
    )


def encode(model, found):
    return workflows.encode(model, found.images, cache=False)


@pytest.fixture(scope="module")
def answers(plan):
    return Answers(WarmColours(), plan, encode)


@pytest.fixture
def models():
    """Two models, and a list of those that were built."""
    built = []
    return [model("colour", WarmColours, built), model("trained", Trained, built)], built


def model(name, made, built):
    return StudyModel(name, lambda: built.append(name) or made(), name, lambda: "1")


@pytest.fixture(scope="module")
def quick(plan):
    """A plan that takes a second."""
    return Plan((plan.sets[1],), prompts={"name": ("{}",)}, draws=2)


@pytest.fixture(scope="module")
def studied(plan, tmp_path_factory):
    """The whole plan asked of both models, saved."""
    folder = tmp_path_factory.mktemp("studied")
    asked = [model("colour", WarmColours, []), model("trained", Trained, [])]
    report = workflows.study(asked, plan, folder, cache=False)
    report.save(folder, exist_ok=True)
    return folder, report


def test_an_encoder_is_no_classifier_and_the_other_way_round():
    assert isinstance(WarmColours(), Encoder)
    assert isinstance(Trained(), Classifier)


def test_before_and_after_are_those_of_the_judging_half(answers, plan):
    found = {(f.used_on, f.method, f.metric): f for f in tables(answers, "m")}
    cell = answers.cell(plan.sets[0])
    logits, labels = cell.judging()
    fitted = calibrate.Temperature.fit(*cell.fitting())
    assert not set(cell.fits) & set(cell.judges)
    assert len(cell.fits) == len(cell.judges) == 120
    assert found["colours", SHIPPED, "ece"].value == pytest.approx(metrics.ece_of_logits(logits, labels), abs=1e-6)
    after = metrics.ece_of_logits(logits, labels, temperature=fitted.value)
    assert found["colours", OWN, "ece"].value == pytest.approx(after, abs=1e-6)
    assert found["colours", OWN, "temperature"].value == fitted.value
    assert found["colours", OWN, "temperature"].fitted_on == "colours"
    assert found["colours", OWN, "nll"].value < found["colours", SHIPPED, "nll"].value


def test_a_shifted_set_is_judged_with_the_temperature_of_its_source(answers, plan):
    found = {(f.used_on, f.method, f.metric): f for f in tables(answers, "m")}
    assert found["dusk", OWN, "temperature"].value == found["colours", OWN, "temperature"].value
    assert found["dusk", OWN, "ece"].fitted_on == "colours"
    assert ("drawn", SHIPPED, "ece") not in found


def test_a_shifted_set_can_choose_among_its_own_classes(answers, plan):
    some = replace(plan.sets[1], role="shift", of="colours")
    among = Answers(WarmColours(), Plan((plan.sets[0], some), PROMPTS), encode)
    assert among.cell(some).logits.shape[1] == 4
    own = replace(some, own_classes=True)
    assert Answers(WarmColours(), Plan((plan.sets[0], own), PROMPTS), encode).cell(own).logits.shape[1] == 3


def test_old_cells_are_forgotten_and_made_again_alike(plan, monkeypatch):
    monkeypatch.setattr("candid.workflows.studying.answers.KEPT", 5000)
    held = Answers(WarmColours(), plan, encode)
    first = held.cell(plan.sets[0])
    held.cell(plan.sets[1])
    again = held.cell(plan.sets[0])
    assert again is not first
    assert (again.logits == first.logits).all()


def test_the_transfer_matrix_has_its_own_temperature_on_the_diagonal(answers):
    before = {(f.used_on, f.metric): f.value for f in tables(answers, "m") if f.method == OWN}
    found = {(f.fitted_on, f.used_on, f.metric): f.value for f in transfer(answers, "m")}
    assert set(found) >= {(a, b, "ece") for a in ("colours", "three") for b in ("colours", "three", "dusk")}
    for name in ("colours", "three"):
        assert found[name, name, "ece"] == before[name, "ece"]
        assert found[name, name, "ece_gap"] == 0
    gap = found["three", "colours", "ece"] - found["colours", "colours", "ece"]
    assert found["three", "colours", "ece_gap"] == pytest.approx(gap)


def test_every_question_is_answered_and_the_supervised_network_is_not_asked_for_words(studied):
    folder, report = studied
    rows = list(csv.DictReader((folder / "tables" / "all.csv").read_text().splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert {row["question"] for row in rows if row["model"] == "colour"} == {"T1", "T2", "T3", "T4", "T5", "T6", "F2"}
    trained = [row for row in rows if row["model"] == "trained"]
    assert {row["used_on"] for row in trained} == {"three"}
    assert {row["question"] for row in trained} == {"T1", "T2", "T5", "T6", "F2"}
    assert any("trained was not asked about colours" in line for line in report.content.cannot_say)
    assert {row["method"] for row in rows if row["question"] == "T3"} == {
        f"level {a} -> level {b}" for a in (0, 1) for b in (0, 1)
    }
    assert "generated: drawn" in {row["method"] for row in rows if row["question"] == "T5"}
    assert {row["method"] for row in rows if row["question"] == "T6"} >= {"vector", "isotonic", "lac, as shipped"}
    assert Report.load(folder).content == report.content


def test_the_rules_read_what_the_questions_write(studied):
    found = ModelFindings.load(studied[0] / "models" / "colour.json").findings
    three = [replace(each, model=f"{each.model} {i}") for i in range(3) for each in found]
    told = {claim.number: claim for claim in claims(three)}
    assert {number for number, claim in told.items() if "could be asked" in claim.evidence} == set()
    assert {number for number, claim in told.items() if claim.outcome == "cannot be tested here"} == {"A1", "A4"}


def test_fewer_labels_are_drawn_from_the_fitting_half_and_counted(studied):
    found = ModelFindings.load(studied[0] / "models" / "colour.json").findings
    few = {f.n_fit: f for f in found if f.question == "F2" and f.metric == "classes_covered" and f.used_on == "colours"}
    assert sorted(few) == [10, 20, 40, 50, 100, 120]
    assert few[120].value == 4
    assert 1 <= few[10].value <= 4


def test_a_finished_model_is_not_asked_again(quick, models, tmp_path):
    asked, built = models
    first = workflows.study(asked[:1], quick, tmp_path, cache=False)
    second = workflows.study(asked, quick, tmp_path, cache=False)
    assert built == ["colour", "trained"]
    assert [row for row in second.content.rows if row.slice.startswith("colour")] == [
        row for row in first.content.rows if not row.key
    ]


def test_changed_weights_or_another_plan_are_refused_unless_asked_afresh(quick, models, tmp_path):
    asked, built = models
    workflows.study(asked[:1], quick, tmp_path, cache=False)
    changed = replace(asked[0], revision=lambda: "2")
    with pytest.raises(InputError, match="another study"):
        workflows.study([changed], quick, tmp_path, cache=False)
    with pytest.raises(InputError, match="--exist-ok"):
        workflows.study(asked[:1], replace(quick, seed=1), tmp_path, cache=False)
    workflows.study(asked[:1], replace(quick, seed=1), tmp_path, cache=False, fresh=True)
    assert built == ["colour", "colour"]


def test_a_model_that_fails_is_named_the_others_stand_and_it_is_asked_again(quick, models, tmp_path):
    asked, built = models

    def broken():
        built.append("broken")
        raise RuntimeError("out of\nmemory")

    three = [StudyModel("broken", broken), asked[0]]
    report = workflows.study(three, quick, tmp_path, cache=False)
    assert [card.id for card in report.content.models] == ["colour"]
    assert "Anything about broken: RuntimeError: out of memory." in report.content.cannot_say
    workflows.study(three, quick, tmp_path, cache=False)
    assert built == ["broken", "colour", "broken"]
    with pytest.raises(InputError, match="none of the 1 models"):
        workflows.study(three[:1], quick, tmp_path, cache=False)


def test_a_set_that_a_model_cannot_read_costs_it_that_set_alone(plan, tmp_path):
    both = Plan((replace(plan.sets[0], levels={}), plan.sets[1]), prompts={"name": ("{}",)}, draws=2)
    report = workflows.study([model("unlettered", Unlettered, [])], both, tmp_path, cache=False)
    assert {row.slice.split(",")[0] for row in report.content.rows if not row.key} == {"unlettered on colours"}
    assert any("not asked about three: every class name got the same" in line for line in report.content.cannot_say)


def test_two_models_of_one_file_name_are_refused(quick, models, tmp_path):
    asked, _ = models
    with pytest.raises(InputError, match="share the file"):
        workflows.study([asked[0], replace(asked[1], name="colour")], quick, tmp_path, cache=False)
    with pytest.raises(InputError, match="at least one model"):
        workflows.study([], quick, tmp_path, cache=False)


def test_findings_survive_their_file(tmp_path):
    finding = Finding("T1", "m", "vlm", "ece", "a", "", SHIPPED, 0, 10, 0.1, None, 0.2)
    kept = ModelFindings("m", "key", {"revision": "1"}, findings=(finding,), notes=("n",))
    kept.save(tmp_path / "m.json")
    assert ModelFindings.load(tmp_path / "m.json") == kept
    (tmp_path / "m.json").write_text(json.dumps({"format": "candid-study-model", "version": 1}))
    with pytest.raises(InputError, match="whole record"):
        ModelFindings.load(tmp_path / "m.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sets": ()}, "at least one source"),
        ({"draws": 1}, "at least 2 draws"),
        ({"prompts": {}}, "at least one prompt"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused(plan, change, words):
    with pytest.raises(InputError, match=words):
        replace(plan, **change)


def test_sets_must_be_labelled_big_enough_and_stand_beside_a_source_with_their_classes(plan, tmp_path):
    source = plan.sets[0]
    with pytest.raises(InputError, match="appears more than once"):
        Plan((source, source))
    with pytest.raises(InputError, match="did you mean colours"):
        Plan((source, replace(plan.sets[2], of="colour")))
    with pytest.raises(InputError, match="which three has not"):
        Plan((plan.sets[1], replace(plan.sets[2], of="three")))
    with pytest.raises(InputError, match="lacks the class"):
        Plan((replace(source, levels={"red": ("warm",)}),))
    small = StudySet("small", data.read(colour_folder(tmp_path / "small", each=4)))
    with pytest.raises(InputError, match=f"at least {FEWEST}"):
        Plan((small,))
    with pytest.raises(InputError, match="no labels"):
        Plan((StudySet("bare", replace(source.images, labels=None)),))


def made(model, kind, method, value, *, question="T1", used_on="a", fitted_on="a", metric="ece", n_fit=100):
    return Finding(question, model, kind, metric, used_on, fitted_on, method, n_fit, 100, value, None, None)


def outcomes(findings):
    return {claim.number: claim.outcome for claim in claims(findings)}


def test_without_models_enough_no_claim_is_tested():
    found = [made("one", "vlm", SHIPPED, 0.2, fitted_on=""), made("one", "vlm", OWN, 0.1)]
    assert set(outcomes(found).values()) == {"cannot be tested here"}


def test_the_first_claim_holds_fails_and_stays_open_by_its_rule():
    def study(vlm, supervised):
        return [
            made(f"{kind}{i}", kind, state, value + 0.001 * i, fitted_on="" if state == SHIPPED else "a")
            for kind, pair in (("vlm", vlm), ("supervised", supervised))
            for state, value in zip((SHIPPED, OWN), pair, strict=True)
            for i in range(4)
        ]

    assert outcomes(study((0.2, 0.01), (0.1, 0.03)))["A1"] == "holds"
    assert outcomes(study((0.05, 0.01), (0.1, 0.03)))["A1"] == "does not hold"
    assert outcomes(study((0.2, 0.030), (0.1, 0.031)))["A1"] == "not settled"


def test_few_labels_hold_within_a_hundredth():
    def study(few):
        return [
            made(f"m{i}", "vlm", f"{n} labels", value, question="F2", n_fit=n)
            for i in range(4)
            for n, value in ((50, few), (400, 0.02))
        ]

    assert outcomes(study(0.028))["A2"] == "holds"
    assert outcomes(study(0.035))["A2"] == "does not hold"


def test_prompts_and_levels_compare_with_the_temperature_of_the_same_prompt():
    found = [
        made(f"m{i}", "vlm", f"{p} -> {q}", value, question=question)
        for i in range(3)
        for question, (a, b) in (("T4", ("x", "y")), ("T3", ("level 0", "level 1")))
        for p, q, value in ((a, a, 0.02), (b, b, 0.03), (a, b, 0.04), (b, a, 0.03))
    ]
    assert outcomes(found)["A5"] == "holds"
    worse = [replace(each, value=0.2) if each.method == "level 0 -> level 1" else each for each in found]
    assert outcomes(worse)["A5"] == "does not hold"


def test_the_trend_is_the_rank_correlation_over_models_and_needs_five():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    right, error = rng.random(7).round(1), rng.random(7).round(1)
    assert spearman(right, error) == pytest.approx(spearmanr(right, error).statistic)
    assert r_squared(right, error) == pytest.approx(np.corrcoef(right, error)[0, 1] ** 2)
    assert r_squared(right, np.ones(7)) is None
    found = [
        made(f"m{i}", "vlm", SHIPPED, value, metric=metric)
        for i in range(7)
        for metric, value in (("accuracy", right[i]), ("ece", error[i]))
    ]
    (line,) = trend_table(found, ["a"], seed=0).rows
    assert line[:4] == ("a", "vlm", SHIPPED, 7)
    assert trend_table([each for each in found if each.model < "m4"], ["a"], seed=0) is None


def test_sets_of_one_folder_name_or_in_two_roles_are_told_apart(tmp_path):
    pets, cars, night = tmp_path / "pets" / "test", tmp_path / "cars" / "test", tmp_path / "night" / "test"
    found = sets_of((pets, cars), {"shift": (f"cars/test={night}",), "generated": (str(night),)}, (), "val")
    assert [(each["name"], each["role"], each["of"]) for each in found] == [
        ("pets/test", "source", ""),
        ("cars/test", "source", ""),
        ("night/test", "shift", "cars/test"),
        ("night/test (generated)", "generated", "pets/test"),
    ]
    assert {each["split"] for each in found} == {"val"}
    with pytest.raises(InputError, match="write more of its path"):
        sets_of((pets, cars), {"shift": (f"test={night}",)}, (), None)
    odd = tmp_path / "a=b"
    assert sets_of((pets,), {"shift": (str(odd),)}, (), None)[1]["path"] == str(odd)
    shown = sets_of((), {"shift": (f"groceries={night}",)}, (), None)
    assert [each["name"] for each in shown] == ["groceries", "bad camera", "test"]


def test_the_command_asks_resumes_repeats_and_names_what_failed(tmp_path, capsys):
    sets = colour_folder(tmp_path / "colours", each=12)
    levels = tmp_path / "levels.json"
    levels.write_text(json.dumps(LEVELS))
    out = tmp_path / "out"

    def run(*arguments):
        with pytest.raises(SystemExit) as stop:
            main(["study", *map(str, arguments), "--cache", str(tmp_path / "cache"), "--draws", "2"])
        return stop.value.code or 0, *capsys.readouterr()

    code, _, err = run(sets, "-m", "tiny", "--levels", f"colours={levels}", "-o", out)
    assert code == 0, err
    assert {path.name for path in out.iterdir()} == {"index.html", "models", "report.json", "tables"}
    kept = (out / "models" / "tiny.json").stat().st_mtime_ns
    code, shown, err = run(sets, "-m", "tiny", "-m", tmp_path / "none", "--levels", levels, "-o", out, "--json")
    assert code == 1
    assert "1 of 2 models failed" in err
    assert (out / "models" / "tiny.json").stat().st_mtime_ns == kept
    assert json.loads(shown)["rows"]
    code, _, err = run("--config", out / "report.json", "-m", "tiny", "-o", tmp_path / "again")
    assert code == 0, err
    first, again = (Report.load(place).content for place in (out, tmp_path / "again"))
    assert first.rows == again.rows
    code, _, err = run("--config", out / "report.json", "--own-classes", "-o", tmp_path / "new")
    assert code == 2
    assert "describe SETS" in err
    code, _, err = run(sets, "-o", tmp_path / "new")
    assert code == 2
    assert "expected models" in err
    written = tmp_path / "job.json"
    for change, words in (
        ({"models": [{"name": "tiny"}]}, "needs name and load"),
        ({"sets": ["colours"]}, "needs name and path"),
        ({"sets": [{"name": "colours"}]}, "lacks 'path'"),
    ):
        job = {"sets": [{"name": "colours", "path": str(sets)}], "models": [{"name": "tiny", "load": "tiny"}]}
        written.write_text(json.dumps({"format": "candid-study", "version": 1, **job, **change}))
        code, _, err = run("--config", written, "-o", tmp_path / "new")
        assert code == 2
        assert words in err
    with pytest.raises(SystemExit) as stop:
        main(["audit", "--config", str(out / "report.json"), "-o", str(tmp_path / "audit")])
    assert stop.value.code == 2
    assert "candid study --config" in capsys.readouterr().err
    code, _, err = run(sets, "-m", "tiny", "--prompts", "x", "-o", tmp_path / "new")
    assert code == 2
    assert "NAME=FILE" in err
