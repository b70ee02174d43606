"""The page of the small study says what its published numbers say."""

import csv
import re
from pathlib import Path

import pytest

from candid.workflows.studying.claims import claims
from candid.workflows.studying.finding import COLUMNS, Finding

PAGE = Path(__file__).parents[1] / "docs" / "studies" / "vlm_calibration.md"
TABLES = PAGE.with_suffix("")


@pytest.fixture(scope="module")
def findings():
    found = []
    for path in sorted(TABLES.glob("*.csv")):
        with path.open(newline="") as file:
            rows = csv.DictReader(file)
            assert tuple(rows.fieldnames) == COLUMNS
            found += [finding(row) for row in rows]
    return found


def finding(row):
    numbers = {name: float(row[name]) if row[name] else None for name in ("value", "low", "high")}
    return Finding(**{**row, **numbers, "n": int(row["n"]), "n_fit": int(row["n_fit"])})


def test_every_claim_has_the_outcome_and_evidence_of_the_published_numbers(findings):
    page = PAGE.read_text()
    for claim in claims(findings):
        assert f"| {claim.number} | {claim.text} | {claim.outcome} | {claim.evidence} |" in page


def test_the_models_and_the_images_are_as_many_as_the_page_says(findings):
    kinds = {each.model: each.kind for each in findings}
    assert sorted(kinds.values()).count("vlm") == 11
    assert sorted(kinds.values()).count("supervised") == 4
    assert "15 models, none failed" in PAGE.read_text()


def test_the_table_of_models_prints_the_published_errors(findings):
    page = PAGE.read_text()
    shown = {(f.model, f.method): f for f in findings if (f.question, f.metric, f.used_on) == ("T1", "ece", "cifar10")}
    assert len(shown) == 30
    for (model, _), each in shown.items():
        (line,) = re.findall(rf"^\| `{model}` \| [\d.]+ % \|.*$", page, flags=re.MULTILINE)
        assert f"{each.value:.3f} ({each.low:.3f} to {each.high:.3f})" in line
