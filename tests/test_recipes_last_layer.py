"""The study of last layers: its sources, a network, its questions and tables, end to end on little of everything."""

from pathlib import Path

import pytest

PACK = Path(__file__).resolve().parents[2] / "shared" / "data"
pytestmark = pytest.mark.skipif(not (PACK / "cifar10_train.parquet").is_file(), reason="needs the data pack")


@pytest.mark.slow
def test_from_sources_to_tables(tmp_path, monkeypatch, capsys):
    from recipes.last_layer import networks, problems, small, summary

    monkeypatch.setattr("sys.argv", ["problems", str(PACK), str(tmp_path / "sources")])
    problems.main()
    for name in networks.SIZES:
        monkeypatch.setitem(networks.SIZES, name, (200, 1))
    given = ["--problems", "dominoes-clothes", "scenes", "--agreements", "0.9", "0.5"]
    monkeypatch.setattr("sys.argv", ["networks", str(tmp_path / "sources"), str(tmp_path / "nets"), *given])
    networks.main()
    for name in networks.SIZES:
        monkeypatch.setitem(small.VALIDATION, name, 200)
        monkeypatch.setitem(small.TEST, name, 200)
    monkeypatch.setattr("sys.argv", ["small", str(tmp_path / "sources"), str(tmp_path / "nets"), str(tmp_path / "out")])
    small.main()
    capsys.readouterr()
    monkeypatch.setattr("sys.argv", ["summary", str(tmp_path / "out")])
    summary.main()
    said = capsys.readouterr().out
    assert said.count("| dominoes-clothes | 0.90 |") >= 4
    assert "| scenes | 0.50 |" in said
