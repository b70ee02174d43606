"""The page on calibrators is true: its tables are the code's, its figures measured."""

import inspect
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from candid import calibrate
from candid.arrays import softmax

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "calibrators.md").read_text()
REAL = ROOT.parent / "shared" / "data" / "real_probs.npz"
NAMES = sorted(calibrate.METHODS)


def table(first_column: str, second: str) -> dict[str, list[str]]:
    """Cells of the table with these first two headings, by the first cell without its backticks."""
    lines = PAGE[PAGE.index(f"| {first_column} | {second} ") :].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {row[0].strip("` "): row[1:] for row in rows}


METHODS, DETAILS = table("name", "class"), table("name", "learns")


def test_every_method_is_in_its_first_table_in_the_classes_own_words():
    expected = {name: [f"`{m.__name__}`", m.returns, m.prefer] for name, m in calibrate.METHODS.items()}
    assert expected == METHODS


@pytest.mark.parametrize("name", NAMES)
def test_the_options_of_every_method_are_listed_with_their_defaults(name):
    listed = dict(re.findall(r"`(\w+)=([^`]+)`", DETAILS[name][1]))
    parameters = inspect.signature(calibrate.METHODS[name].fit).parameters.values()
    options = {p.name: repr(p.default).replace("'", '"') for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert listed == options


@pytest.mark.parametrize("name", [name for name in NAMES if calibrate.METHODS[name].needs == "labels"])
def test_what_it_says_of_the_answer_is_so(name):
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=(3000, 5))
    labels = (logits / 1.7 + rng.gumbel(size=logits.shape)).argmax(axis=1)
    for claim in DETAILS[name][2].split("; "):
        variant, _, kept = claim.rpartition(": ")
        options = dict(re.findall(r'`(\w+)="([^"]+)"`', variant))
        calibrated = calibrate.METHODS[name].fit(logits[:400], labels[:400], **options)(logits)
        ordered = np.take_along_axis(calibrated, logits.argsort(axis=1), axis=1)
        same, rising = (calibrated.argmax(axis=1) == logits.argmax(axis=1)), np.diff(ordered, axis=1) >= -1e-15
        assert kept in ("no", "order")
        assert same.all() == rising.all() == (kept == "order")


@pytest.mark.skipif(not REAL.exists(), reason="the folder of real network outputs is not here")
@pytest.mark.parametrize("data", ["cifar10_lenet5", "cifar100_wrn16_4"])
@pytest.mark.parametrize("method", ["none", "temperature", "isotonic, top-label", "spline", "histogram-binning"])
def test_its_figures_are_what_the_benchmark_measures(method, data):
    benchmark = runpy.run_path(str(ROOT / "benchmarks" / "calibrators_on_real_probs.py"))
    with np.load(REAL) as pack:
        logits, labels = pack[f"{data}_logp"].astype(np.float32), pack[f"{data}_label"].astype(int)
    found = benchmark["scores"](benchmark["fits"]()[method], logits, labels)[0]
    heading = re.search(r"^\| ECE \|(.*)\|$", PAGE, flags=re.MULTILINE).group(1).split(" | ")
    column = [each.strip() for each in heading].index(data)
    assert float(table("ECE", "cifar10_lenet5")[method][column].strip("| ")) == pytest.approx(found, abs=6e-4)


def test_zeros_of_the_textbook_are_only_had_by_asking():
    logits = np.log([[0.9, 0.1]] * 3 + [[0.2, 0.8]] * 3)
    for name in ("histogram-binning", "isotonic"):
        labels = np.array([0, 0, 0, 1, 1, 1])
        method = calibrate.METHODS[name]
        assert method.fit(logits, labels, smoothing=0.0)(logits).min() < 1e-9
        assert method.fit(logits, labels)(logits).min() == pytest.approx(1 / (2 * (6 + 1)))
    assert softmax(calibrate.METHODS["temperature"].fit(logits, np.array([0, 0, 1, 1, 1, 0]))(logits)).min() > 0
