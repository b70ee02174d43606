"""The ways to retrain a last layer, as rows: what each needs beside vectors and labels, and when to prefer it."""

from collections.abc import Callable
from dataclasses import dataclass

from candid.groups.choosing import Retrained
from candid.groups.dfr import retrain_last_layer
from candid.groups.from_errors import reweight_by_confidence, upweight_errors, use_hardest

__all__ = ["METHODS", "Method"]


@dataclass(frozen=True)
class Method:
    """`retrain(vectors, labels, groups, *, seed, ...)`; with `needs` "groups" they must be given, with "head" a head
    to start from must, and groups, where given, only choose the setting."""

    retrain: Callable[..., Retrained]
    needs: str
    prefer: str


METHODS: dict[str, Method] = {
    "afr": Method(reweight_by_confidence, "head", "no group labels, and a head whose confidence falls on rare cases"),
    "dfr": Method(retrain_last_layer, "groups", "groups are labelled: the surest way"),
    "jtt": Method(upweight_errors, "head", "no group labels, and errors that are mostly the attribute's fault"),
    "self": Method(use_hardest, "head", "no group labels, and few rows to keep"),
}
