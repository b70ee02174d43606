"""The energy study end to end on small networks: what it measures, keeps, goes on with, and decides."""

import json

import numpy as np
import pytest
import torch
from checkpoints import clip_checkpoint
from PIL import Image

from candid import data, detect, metrics, models, workflows
from candid.errors import InputError
from candid.models import cifar
from candid.report import Report
from candid.workflows.outliers.plan import OutlierPlan, plan_of
from candid.workflows.outliers.record import OutlierRecord
from candid.workflows.outliers.rules import claims

CLASSES = ("apple", "boat")


def folder_of(root, name, n, classes, shade, seed):
    rng = np.random.default_rng(seed)
    for i in range(n):
        label = i % len(classes)
        pixels = np.clip(rng.normal(shade, 40, (32, 32, 3)), 0, 255).astype(np.uint8)
        pixels[16 * label : 16 * label + 16] //= 2
        place = root / name / classes[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{i}.png")
    return root / name


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("energy")
    torch.manual_seed(1)
    network = cifar.WideResNet(depth=10, classes=2).eval()
    cifar.save(root / "net", network, CLASSES, mean=(0.5,) * 3, std=(0.25,) * 3)
    for name, n, classes, shade, seed in (
        ("test", 60, CLASSES, 90, 0), ("train", 80, CLASSES, 90, 1), ("near", 40, ("x",), 130, 2),
        ("far", 40, ("y",), 200, 3), ("outliers", 50, ("z",), 170, 4),
    ):  # fmt: skip
        folder_of(root, name, n, classes, shade, seed)
    return root


def arguments(world, out, *more):
    flags = [f"--{name}={world / name}" for name in ("test", "train", "outliers", "near", "far")]
    return ["reproduce", "energy", *flags, "-m", str(world / "net"), "-o", str(out), "--no-cache", *more]


def test_the_command_measures_fine_tunes_goes_on_and_repeats(world, tmp_path, run):
    out, chosen = tmp_path / "out", ("--objectives", "energy,ce", "--steps", 3, "--detectors", "msp,energy,knn,ash")
    code, _, err = run(*arguments(world, out, *chosen))
    assert code == 0, err
    assert {each.name for each in (out / "runs").iterdir()} == {
        "net-test-as-it-is.json", "net-test-energy.json", "net-test-ce.json"
    }  # fmt: skip
    assert (out / "networks" / "net-test-energy" / "model.safetensors").exists()
    content = Report.load(out).content
    assert [section.id for section in content.sections] == ["detectors", "temperature", "identity", "threshold"]
    table = (out / "tables" / "detectors.csv").read_text().splitlines()
    assert len(table) == 1 + 3 * (1 + 4 * 2)  # header; per state accuracy and four detectors on two sets
    before = {path: path.stat().st_mtime_ns for path in out.rglob("runs/*")}
    code, _, err = run(*arguments(world, out, *chosen))
    assert code == 0, err
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("runs/*")}
    again = ("reproduce", "energy", "--config", out / "report.json", "-o", tmp_path / "b", "--no-cache", "--json")
    code, text, err = run(*again)
    assert code == 0, err
    assert json.loads(text)["rows"] == [row.model_dump(mode="json") for row in content.rows]


def test_a_network_of_another_recipe_is_not_taken_for_this_one_s(world, tmp_path):
    far = {"name": "far", "path": str(world / "far")}
    weights = []
    for steps in (1, 1, 2):
        job = {"sets": [{"name": "s", "test": str(world / "test"), "train": str(world / "train"), "ood": [far]}],
               "questions": ["identity"], "objectives": ["ce"], "steps": steps}  # fmt: skip
        workflows.energy_study({"net": str(world / "net")}, plan_of(job), tmp_path, cache=False)
        weights.append((tmp_path / "networks" / "net-s-ce" / "model.safetensors").read_bytes())
        for path in (tmp_path / "runs").iterdir():
            path.unlink()
    assert weights[0] == weights[1]
    assert weights[1] != weights[2]


def test_numbers_are_those_of_the_metrics_on_the_model_s_scores(world, tmp_path):
    far = {"name": "far", "path": str(world / "far")}
    job = {"sets": [{"name": "s", "test": str(world / "test"), "ood": [far]}],
           "questions": ["detectors", "temperature", "threshold"], "detectors": ["energy"],
           "temperatures": [1, 10]}  # fmt: skip
    workflows.energy_study({"net": str(world / "net")}, plan_of(job), tmp_path, cache=False)
    stored = json.loads(next((tmp_path / "runs").iterdir()).read_text())["records"]
    model = models.load(str(world / "net"))
    known, unknown = (
        model.head(workflows.encode(model, data.read(world / name), cache=False).vectors) for name in ("test", "far")
    )
    for temperature in (1.0, 10.0):
        expected = metrics.separation(
            detect.energy(known, temperature=temperature), detect.energy(unknown, temperature=temperature)
        )
        found = next(r for r in stored if r["question"] == "temperature" and r["temperature"] == temperature)
        for name, value in expected.estimates().items():
            assert found["numbers"][name] == value.value
            assert found["numbers"][f"{name}_low"] == value.low
    accuracy = next(r["numbers"]["accuracy"] for r in stored if r["question"] == "detectors" and not r["detector"])
    assert 0 <= accuracy <= 1
    promises = {r["detector"]: r for r in stored if r["question"] == "threshold"}
    assert promises["rows"]["numbers"]["kept"] <= 1
    assert "cannot promise" in promises["sure"]["note"]


def test_a_vision_language_model_is_asked_in_words_and_not_fine_tuned(tmp_path):
    job = {"sets": [{"name": "groceries", "test": "embedded"}], "questions": ["detectors"], "detectors": ["mcm", "msp"]}
    report = workflows.energy_study({"tiny": "tiny"}, plan_of(job), tmp_path)
    assert report.content.verdict.headline.startswith("1 models, 3 unknown sets")
    shown = [figure.title for section in report.content.sections for figure in section.figures]
    assert "tiny: every detector, mean over unknown sets" in shown


def test_scores_that_need_the_network_are_measured_too(world, tmp_path):
    clip = models.load(str(clip_checkpoint(tmp_path / "clip")))
    job = {"sets": [{"name": "s", "test": str(world / "test"), "ood": [{"name": "far", "path": str(world / "far")}]}],
           "questions": ["detectors"], "detectors": ["odin", "gl-mcm", "neg-label"]}  # fmt: skip
    workflows.energy_study({"clip": str(tmp_path / "clip")}, plan_of(job), tmp_path / "out", cache=False)
    stored = json.loads(next((tmp_path / "out" / "runs").iterdir()).read_text())["records"]
    found = {each["detector"]: each["numbers"] for each in stored if each["set"]}
    assert {*found} == {"odin", "gl-mcm", "neg-label"}
    known, unknown = data.read(world / "test"), data.read(world / "far")
    head = models.zero_shot(clip, known.classes)
    sides = []
    for images in (known, unknown):
        pixels = np.stack([clip.prepare(images.read(i)) for i in range(len(images))])
        patches = models.encode_patches(clip, pixels) @ head.weights.T
        sides.append(detect.gl_mcm(clip.encode_prepared(pixels) @ head.weights.T, patches))
    assert found["gl-mcm"]["auroc"] == pytest.approx(metrics.auroc(*sides), abs=2e-3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"detectors": ["enrgy"]}, "no detector named 'enrgy'"),
        ({"questions": ["detector"]}, "no question named"),
        ({"objectives": ["energy"]}, "no outliers to fine-tune with"),
        ({"sets": [{"name": "a"}]}, "a plan needs 'test'"),
        ({"epochs": 0}, "1 or more"),
    ],
)
def test_plans_that_cannot_be_are_refused(change, said):
    job = {"sets": [{"name": "groceries", "test": "embedded"}]} | change
    with pytest.raises(InputError, match=said):
        plan_of(job)
    with pytest.raises(InputError, match="at least one set"):
        OutlierPlan(())


def records(**wanted):
    """Records of four models on one set: FPR95 and AUROC of each state and score, accuracies, and an exact identity."""
    made = []
    for i in range(4):
        model, wobble = f"m{i}", 0.002 * i
        for (state, score), (fpr, auroc) in wanted["scores"].items():
            numbers = {"fpr_known_positive_first": fpr + wobble, "auroc": auroc - wobble}
            made.append(OutlierRecord("detectors", model, "k", state, "u", "far", score, 1.0, 9, 9, numbers))
        for state, right in wanted["accuracy"].items():
            made.append(
                OutlierRecord("detectors", model, "k", state, "", "", "", 1.0, 9, 0, {"accuracy": right + wobble})
            )
        numbers = {
            "error": wanted["error"],
            "auroc_energy": 0.9 + wobble,
            "auroc_top": 0.91 + wobble,
            "auroc_sum": 0.85,
        }
        made.append(OutlierRecord("identity", model, "k", "as it is", "u", "far", "msp", 1.0, 9, 9, numbers))
    return made


def test_claims_follow_from_the_numbers_by_their_rules():
    good = {
        "scores": {("as it is", "msp"): (0.6, 0.8), ("as it is", "energy"): (0.4, 0.9),
                   ("energy", "energy"): (0.2, 0.95), ("ce", "energy"): (0.41, 0.9)},
        "accuracy": {"as it is": 0.9, "energy": 0.895}, "error": 1e-12,
    }  # fmt: skip
    assert [each.outcome for each in claims(records(**good))] == ["holds"] * 4
    worse = good | {"accuracy": {"as it is": 0.9, "energy": 0.85}, "error": 1e-3}
    assert [each.outcome for each in claims(records(**worse))] == ["does not hold", "holds", "does not hold", "holds"]
    without = good | {"scores": {name: value for name, value in good["scores"].items() if name[0] == "as it is"}}
    assert [each.outcome for each in claims(records(**without))][2:] == ["cannot be tested here"] * 2
