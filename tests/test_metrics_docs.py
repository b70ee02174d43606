"""The page on metrics is true: its Python runs, its names exist, no metric is missing, its nulls are what is drawn."""

import re
from pathlib import Path

import numpy as np
import pytest

from candid import metrics
from candid.metrics import calibration, cumulative, debiased, decomposition, equal_mass, kde, smooth

PAGE = (Path(__file__).parents[1] / "docs" / "metrics.md").read_text()
FIRST_COLUMN = re.findall(r"^\| ([^|]*) \|", PAGE, flags=re.MULTILINE)


def test_its_python_runs(capsys):
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(compile(block, "metrics.md", "exec"), {})
    assert re.match(r"ECE 0\.\d{3}, calibrated 0\.0\d\d, p = 0\.00", capsys.readouterr().out)


def test_its_first_column_names_metrics_that_exist():
    named = {name for cell in FIRST_COLUMN for name in re.findall(r"`(\w+)[`(]", cell)} - {"edges"}
    assert len(named) > 30
    assert named <= set(metrics.__all__)


@pytest.mark.parametrize("module", [calibration, cumulative, debiased, decomposition, equal_mass, kde, smooth])
def test_every_calibration_metric_is_in_its_table(module):
    named = {name for cell in FIRST_COLUMN for name in re.findall(r"`(\w+)[`(]", cell)}
    public = {re.sub("_of_(top|logits)$", "", name) for name in module.__all__ if name[0].islower()}
    assert public <= named


@pytest.mark.parametrize("name", re.findall(r"^\| `(\w+_of_top)` \| 0", PAGE, flags=re.MULTILINE))
def test_its_nulls_are_what_is_drawn(name):
    mean, high = re.search(rf"^\| `{name}` \| ([\d.]+) \(([\d.]+)\)", PAGE, flags=re.MULTILINE).groups()
    null = metrics.calibration_null(getattr(metrics, name), np.linspace(0.3, 1, 100), resamples=200)
    assert (f"{null.mean():.3f}", f"{np.quantile(null, 0.95):.3f}") == (mean, high)
