"""The benchmark of calibrators runs with whatever peers are installed, and says which are not."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
COLUMNS = 28  # of a contender's name


@pytest.fixture(scope="module")
def printed():
    tasks = ["temperature", "ECE from logits", "LAC sets", "spline"]
    command = [sys.executable, "-W", "ignore", str(BENCHMARKS / "calibration.py"), "--quick", "--tasks", *tasks]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def rows(printed):
    """(task, contender) -> the rest of its line."""
    found, task = {}, ""
    for line in printed.splitlines():
        if line.endswith("5,000 x 100"):
            task = line.split(",")[0]
        elif line.startswith("  ") and line[2:3] != " ":
            found[task, line[2 : 2 + COLUMNS].strip()] = line[2 + COLUMNS :]
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
class TestQuick:
    def test_candid_is_right_in_every_task_by_a_reference_of_its_own(self, rows):
        ours = {key: line for key, line in rows.items() if key[1].startswith("candid")}
        assert len(ours) == 6
        assert not [key for key, line in ours.items() if "WRONG" in line or "failed" in line or len(line.split()) < 6]

    def test_a_wrong_peer_is_called_wrong(self, rows):
        pytest.importorskip("netcal")
        assert "WRONG" in rows["temperature", "netcal, float32"]  # its step vanishes in float32: T = 1

    def test_a_peer_that_is_not_installed_is_a_line(self, rows):
        try:
            import torchcp  # noqa: F401
        except ImportError:
            assert rows["LAC sets", "TorchCP"].startswith("not installed: ")
        else:
            pytest.skip("TorchCP is installed")

    def test_the_named_fastest_peer_is_right(self, printed, rows):
        names = [line.split("right, ")[1].split(":")[0] for line in printed.splitlines() if "fastest other" in line]
        assert names
        assert not [who for (_, who), line in rows.items() if who in names and "WRONG" in line]
