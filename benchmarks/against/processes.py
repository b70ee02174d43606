"""A contender in a process of its own: its CPU seconds and its peak memory."""

import json
import resource
import subprocess
import sys
import time
from functools import cache

import torch

__all__ = ["arguments", "asked", "peak", "timed"]


def arguments(parser):
    """The flags that every such benchmark has."""
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--contender", help="used by the benchmark itself")
    return parser.parse_args()


def asked(file: str, device: str, **setting) -> dict:
    """What the benchmark prints as JSON when it is called to contend with this setting; asked once."""
    return _asked(file, device, json.dumps(setting))


@cache
def _asked(file: str, device: str, setting: str) -> dict:
    command = [sys.executable, file, "--device", device, "--contender", setting]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def timed(go, device: str) -> float:
    """CPU seconds of this process, all threads together; on a GPU seconds of the clock."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    started = clock()
    go()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - started


def peak(device: str) -> float:
    """MB."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
