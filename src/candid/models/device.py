"""Which device and number format a model runs in."""

from dataclasses import dataclass

import torch

from candid.errors import InputError, nearest

__all__ = ["Placement", "available", "place"]

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Placement:
    """Device, dtype of the weights, and the dtype of autocast (None: no autocast)."""

    device: torch.device
    dtype: torch.dtype
    autocast: torch.dtype | None = None

    @property
    def precision(self) -> str:
        """Number format of the forward, by which the feature cache tells runs apart: "float32", "float16 autocast"."""
        chosen = self.autocast or self.dtype
        return str(chosen).removeprefix("torch.") + (" autocast" if self.autocast else "")

    def casting(self) -> torch.autocast:
        """The block in which a forward runs under `autocast`, or as it is."""
        chosen = self.autocast or torch.float32
        return torch.autocast(self.device.type, dtype=chosen, enabled=self.autocast is not None)


def place(device: str, dtype: str) -> Placement:
    """The placement `device` and `dtype` stand for. "auto" is CUDA, then Apple's GPU, then the CPU; float32 weights.

    Autocast is float16, not bfloat16: its three more bits keep cosines, which the logit scale multiplies by up to 100.

    >>> place("cpu", "auto").dtype
    torch.float32
    """
    if dtype != "auto" and dtype not in DTYPES:
        raise InputError(f"expected dtype auto or one of {', '.join(DTYPES)}, got {dtype!r}; {nearest(dtype, DTYPES)}")
    where = _device(device)
    if dtype == "auto":
        return Placement(where, torch.float32, torch.float16 if where.type == "cuda" else None)
    return Placement(where, DTYPES[dtype])


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # what torch raises for an absent device
        cause = str(error).splitlines()[0]
        raise InputError(f"no device {name!r} here ({cause}); expected auto, cpu, cuda, cuda:N or mps") from error
    return device


def available() -> dict[str, str]:
    """The accelerators torch can use here, by name, for people to read."""
    found = {"auto": str(_device("auto")), "cpu threads": str(torch.get_num_threads())}
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        found[f"cuda:{index}"] = f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"
    return found
