"""One contender in a process of its own: seconds of CPU, memory above the state before the call, the value found."""

import contextlib
import ctypes
import importlib
import json
import logging
import os
import resource
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from against.inputs import Data
from against.tasks import Task

CALLS, ENOUGH = 6, 4.0  # calls of one contender, unless they have taken this many seconds together
ONCE = 8.0  # a first call that takes longer is the only one
DATA_LIMIT = 12 << 30
Row = dict[str, Any]


def in_own_process(script: str, folder: Path, task: str, name: str, limit: int) -> Row:
    """What `one` printed there, or why there is nothing."""
    command = [sys.executable, "-W", "ignore", script, "--one", str(folder), task, name, str(limit)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        row: Row = json.loads(done.stdout.splitlines()[-1])
        return row
    if done.returncode in (-24, -9, 152):
        return {"why": f"stopped after {limit} s of CPU"}
    lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
    return {"why": f"failed: {lines[-1][:90]}"}


def in_a_fork(folder: Path, task: Task, name: str, limit: int) -> Row:
    """The same from a copy of this process, which has imported what is slow to import: for `--quick`."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            row = one(str(folder), task, name, limit)
        except BaseException as error:  # the copy must end here whatever happened
            row = {"why": f"failed: {type(error).__name__}: {str(error)[:70]}"}
        os.write(writing, json.dumps(row).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    found: Row = json.loads(text) if text else {"why": f"stopped after {limit} s of CPU"}
    return found


def import_slow(names: Sequence[str]) -> None:
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def one(folder: str, task: Task, name: str, limit: int) -> Row:
    """Measures in this process. The first call includes late imports and compilation, the best leaves it out."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    resource.setrlimit(resource.RLIMIT_DATA, (DATA_LIMIT, DATA_LIMIT))
    data = Data(Path(folder))
    contender = task.reference if name == "reference" else task.contenders[name]
    assert contender is not None
    try:
        call = contender(data)
    except ImportError as error:
        return {"why": f"not installed: {error.name or error}"}
    except AttributeError as error:
        return {"why": f"not in this version: {error}"}
    times: list[float] = []
    memory, result = 0.0, None
    _stop_after(limit)
    while len(times) < CALLS and (sum(times) < ENOUGH or (len(times) == 1 and times[0] < ONCE)):
        result = None
        state, start = _forget_peak(), _cpu()
        result = call()
        times.append(_cpu() - start)
        memory = _peak() - state
    row: Row = {"first": times[0], "best": min(times), "memory": memory}
    if callable(result):  # a fit: what it returns applies it to the rows held out
        start = _cpu()
        result = result()
        row["apply"] = _cpu() - start
    return {**row, "value": task.value(result, data)}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _stop_after(seconds: int) -> None:
    end = int(_cpu()) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (end, end + 5))


def _forget_peak() -> float:
    """Gives freed memory back, so that it counts again when used again; then resident memory, the new peak, in MB."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> float:
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
