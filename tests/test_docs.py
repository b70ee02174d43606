"""The pages are true: their Python runs, their links lead somewhere, the changelog knows the version."""

import re
from pathlib import Path

import pytest

import candid
from candid import detect, generative, groups

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Both pages encode the same photos with the same model: once is enough."""
    return str(tmp_path_factory.mktemp("cache"))


def run_python(page):
    """Runs the Python blocks of a page, each by itself, and returns them as one text."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, page.name, "exec"), {})
    return "\n".join(blocks)


def test_the_python_of_the_readme_runs(monkeypatch, cache, capsys):
    monkeypatch.setenv("CANDID_CACHE", cache)
    run_python(ROOT / "README.md")
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_the_python_of_the_calibrators_page_prints_what_it_says(monkeypatch, cache, capsys):
    monkeypatch.setenv("CANDID_CACHE", cache)
    said = re.findall(r"print\(.*\)  # (.*)", run_python(ROOT / "docs" / "calibrators.md"))
    number = re.compile(r"\d+(?:\.\d+)?")
    shown, expected = (list(map(float, number.findall(text))) for text in (capsys.readouterr().out, " ".join(said)))
    assert shown == pytest.approx(expected, abs=0.02)


def test_the_python_of_the_detectors_page_prints_what_it_says(monkeypatch, cache, capsys):
    monkeypatch.setenv("CANDID_CACHE", cache)
    code = run_python(ROOT / "docs" / "detectors.md")
    assert re.findall(r"^# (.*AUROC.*)$", code, flags=re.MULTILINE) == capsys.readouterr().out.splitlines()


def test_the_python_of_the_energy_page_runs(capsys):
    run_python(ROOT / "docs" / "energy.md")
    assert "Margins" in capsys.readouterr().out


def test_every_detector_has_its_row_on_the_page():
    rows = re.findall(r"^\| (`.*?`) \|", (ROOT / "docs" / "detectors.md").read_text(), flags=re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([\w-]+)`", row)} >= {*detect.METHODS}


def test_the_changelog_names_this_version():
    assert f"## {candid.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("name", ["audit", "embed", "predict", "study", "doctor", "adapt", "reproduce"])
def test_the_readme_or_its_pages_show_every_command(name):
    assert any(f"candid {name}" in page.read_text() for page in PAGES)


def test_every_console_command_in_the_readme_is_one_that_exists():
    from candid.cli import COMMANDS

    for block in re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL):
        for line in block.splitlines():
            if line.startswith("candid "):
                assert line.split()[1] in COMMANDS


def test_the_python_of_the_groups_page_runs():
    run_python(ROOT / "docs" / "groups.md")


def test_the_python_of_the_page_on_generated_sets_runs_and_its_table_is_whole():
    run_python(ROOT / "docs" / "generated.md")
    rows = re.findall(r"^\| `(\w+At)\(", (ROOT / "docs" / "generated.md").read_text(), flags=re.MULTILINE)
    assert sorted(rows) == sorted(row.at.__name__ for row in generative.METHODS.values())


def test_every_way_to_retrain_has_its_row_on_the_page():
    rows = re.findall(r"^\| `([\w-]+)` \|", (ROOT / "docs" / "groups.md").read_text(), flags=re.MULTILINE)
    assert {*rows} == {*groups.METHODS}
