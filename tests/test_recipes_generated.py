"""The study of generated sets, end to end on few samples: toys, real sets where the data pack is, tables."""

from pathlib import Path

import pytest

PACK = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.mark.slow
def test_from_sets_to_tables(tmp_path, monkeypatch, capsys):
    from recipes.generated import run, summary

    given = ["run", str(tmp_path), "--samples", "120", "--small", "120", "--seeds", "1"]
    monkeypatch.setattr(run, "REPEATS", 2)
    if (PACK / "generated_sets.npz").is_file():
        from recipes.energy.networks import published

        published(PACK / "resnet20_cifar10_weights.npz", 20, tmp_path / "nets" / "resnet20")
        given += ["--data", str(PACK), "--published", str(tmp_path / "nets")]
    monkeypatch.setattr("sys.argv", given)
    run.main()
    first = (tmp_path / "numbers.csv").read_bytes()
    run.main()  # everything is there already
    assert (tmp_path / "numbers.csv").read_bytes() == first
    capsys.readouterr()
    monkeypatch.setattr("sys.argv", ["summary", str(tmp_path)])
    summary.main()
    said = capsys.readouterr().out
    assert "G1: what one outlier changes" in said
    assert "## mode drop" in said
    assert ("## codecs" in said) == (PACK / "generated_sets.npz").is_file()


def test_what_counts_as_falling():
    from recipes.generated.summary import falls

    assert falls([0.9, 0.8, 0.81, 0.5])
    assert not falls([0.9, 0.5, 0.6, 0.2])  # up by more than 0.02 on the way
    assert not falls([0.9, 0.88])
    assert not falls([0.9])
