"""How badly a label fits a row of probabilities: the scores behind LAC, APS, RAPS and SAPS, lower = fits better.

LAC (also THR) scores 1 - p_y. The others walk down the row from its most probable label: their scores never fall along
the way, so the labels scoring at most a threshold are the first few of that walk, and a row is decided by one count.
Labels that fit the calibration and sets that are predicted take their scores from the same lines of code, in float64
and in the same order of addition: a score that equals the threshold is inside, to the last bit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

from candid.errors import InputError, nearest
from candid.metrics.rows import row_blocks
from candid.types import Labels, Probs

__all__ = ["ConformalMethod", "Scoring"]

ConformalMethod = Literal["lac", "aps", "raps", "saps"]
FIRST_STEPS = 64  # of the walk; four times as many while the last of them is still inside some row's set
HASHED = 32  # largest probabilities of a row that decide its random number


@dataclass(frozen=True)
class Scoring:
    """A score and its constants. `penalty` is RAPS' lambda or SAPS' weight, `rank` RAPS' k_reg.

    `randomised` takes a share U of the last step to the label instead of all of it, U uniform in [0, 1), one a row.
    """

    method: str
    penalty: float
    rank: int
    randomised: bool
    seed: int

    def __post_init__(self) -> None:
        if self.method not in get_args(ConformalMethod):
            raise InputError(f"no method {self.method!r}; {nearest(str(self.method), get_args(ConformalMethod))}")

    def of_labels(
        self, probs: Probs, labels: Labels, which: Int[np.ndarray, " m"] | None = None
    ) -> Float[np.ndarray, " m"]:
        """Score of the own label of the rows `which`; LAC's is -p_y, which keeps the digits 1 - p_y rounds away."""
        if self.method == "lac":
            own = probs[np.arange(len(probs)), labels] if which is None else probs[which, labels[which]]
            lac: Float[np.ndarray, " m"] = np.negative(own, dtype=np.float64)
            return lac
        which = np.arange(len(probs)) if which is None else which
        out = np.empty(len(which))
        for part, block in blocks(probs, which):
            out[part] = self.at(descending(block), places(block, labels[which[part]]))
        return out

    def sets(self, probs: Probs, cuts: Float[np.ndarray, " rows_or_one"]) -> Bool[np.ndarray, "n k"]:
        """Labels that score at most `cuts`, one number for all rows or one a row."""
        out = np.empty(probs.shape, dtype=bool)
        for rows, block in blocks(probs):
            limit = cuts if len(cuts) == 1 else cuts[rows]
            if self.method == "lac":
                np.greater_equal(block, at_least(-limit[:, None], block.dtype), out=out[rows])
            else:
                ordered = descending(block)
                out[rows] = first_labels(block, ordered, self.counts(ordered, limit))
        return out

    def sets_by_class(self, probs: Probs, cuts: Float[np.ndarray, " k"]) -> Bool[np.ndarray, "n k"]:
        """Labels that score at most their own class's number in `cuts`."""
        out = np.empty(probs.shape, dtype=bool)
        for rows, block in blocks(probs):
            if self.method == "lac":
                np.greater_equal(block, at_least(-cuts, block.dtype), out=out[rows])
            else:
                order, ordered = ranked(block)
                steps = self.walk(ordered, self.uniforms(ordered), block.shape[1])
                np.put_along_axis(out[rows], order, steps <= cuts[order], axis=1)
        return out

    def at(self, ordered: Float[np.ndarray, "n k"], place: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Score of the label at `place` on each row's walk, counted from 0."""
        steps = self.walk(ordered, self.uniforms(ordered), int(place.max()) + 1)
        own: Float[np.ndarray, " n"] = steps[np.arange(len(place)), place]
        return own

    def counts(
        self, ordered: Float[np.ndarray, "n k"], cuts: Float[np.ndarray, " rows_or_one"]
    ) -> Int[np.ndarray, " n"]:
        """How many labels of each row, from the most probable on, score at most `cuts`."""
        uniform = self.uniforms(ordered)
        length = min(FIRST_STEPS, ordered.shape[1])
        while True:
            inside = self.walk(ordered, uniform, length) <= cuts[:, None]
            if length == ordered.shape[1] or not inside[:, -1].any():
                count: Int[np.ndarray, " n"] = inside.sum(axis=1)
                return count
            length = min(4 * length, ordered.shape[1])

    def walk(
        self, ordered: Float[np.ndarray, "n k"], uniform: Float[np.ndarray, " n"], length: int
    ) -> Float[np.ndarray, "n length"]:
        """Scores of the `length` most probable labels, never falling; infinite where the probability is exactly 0."""
        probs = ordered[:, :length].astype(np.float64)
        steps: Float[np.ndarray, "n length"]
        place = np.arange(1, length + 1)
        if self.method == "saps":
            steps = probs[:, :1] + self.penalty * (place - 2 + uniform[:, None])
            steps[:, 0] = uniform * probs[:, 0]
        else:
            steps = uniform[:, None] * probs
            steps[:, 1:] += np.cumsum(probs[:, :-1], axis=1)  # term by term from the left, whatever the length
            if self.penalty > 0:
                steps += self.penalty * np.maximum(place - self.rank, 0)
        steps[probs == 0] = np.inf
        return steps

    def uniforms(self, ordered: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
        """One number a row in [0, 1), from a hash of the row's largest probabilities and the seed; 1 if not randomised.

        The same row gets the same number in every batch, position, precision it was stored in, and order of classes.
        """
        if not self.randomised:
            return np.ones(len(ordered))
        values = ordered[:, :HASHED].astype(np.float64)
        keys = np.random.default_rng(self.seed).integers(2**64, size=values.shape[1], dtype=np.uint64)
        word = _mixed(_mixed(values.view(np.uint64) ^ keys).sum(axis=1, dtype=np.uint64))
        uniform: Float[np.ndarray, " n"] = (word >> np.uint64(11)) * 2.0**-53
        return uniform


def blocks(
    probs: Probs, which: Int[np.ndarray, " m"] | None = None
) -> Iterator[tuple[slice, Float[np.ndarray, "rows k"]]]:
    """Blocks of the rows `which`, all by default; float16 as float32, where sorting has fast code."""
    wide = np.promote_types(probs.dtype, np.float32)
    for part in row_blocks(len(probs) if which is None else len(which), probs.shape[1]):
        yield part, probs[part if which is None else which[part]].astype(wide, copy=False)


def at_least(values: Float[np.ndarray, "*shape"], dtype: np.dtype[Any]) -> Float[np.ndarray, "*shape"]:
    """The smallest numbers of `dtype` that are not below `values`: a block is compared with them unconverted."""
    rounded: Float[np.ndarray, "*shape"] = values.astype(dtype)
    return np.where(rounded < values, np.nextafter(rounded, dtype.type(np.inf)), rounded)


def descending(block: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Each row's values from the largest down. Values are sorted, not indices: that is several times faster."""
    ordered: Float[np.ndarray, "n k"] = np.sort(block, axis=1)[:, ::-1]
    return ordered


def ranked(block: Float[np.ndarray, "n k"]) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """Labels of each row from the most probable on, equal ones by index, and their values.

    A non-negative float32 sorts like its bits: with the index behind them one word holds both, which sorts fastest.
    """
    if block.dtype != np.float32:
        order = np.argsort(-block, axis=1, kind="stable")
        return order, np.take_along_axis(block, order, axis=1)
    bits = (block + np.float32(0)).view(np.uint32)  # -0 becomes +0
    words = (~bits).astype(np.uint64) << np.uint64(32) | np.arange(block.shape[1], dtype=np.uint64)
    words.sort(axis=1)
    return words.astype(np.uint32).astype(np.intp), (~(words >> np.uint64(32)).astype(np.uint32)).view(np.float32)


def places(block: Float[np.ndarray, "n k"], labels: Labels) -> Int[np.ndarray, " n"]:
    """How many labels come before each row's own: those more probable, and equal ones of lower index."""
    own = block[np.arange(len(block)), labels][:, None]
    place: Int[np.ndarray, " n"] = np.count_nonzero(block > own, axis=1)
    tied = np.flatnonzero(np.count_nonzero(block >= own, axis=1) > place + 1)
    before = np.arange(block.shape[1]) < labels[tied, None]
    place[tied] += np.count_nonzero((block[tied] == own[tied]) & before, axis=1)
    return place


def first_labels(
    block: Float[np.ndarray, "n k"], ordered: Float[np.ndarray, "n k"], counts: Int[np.ndarray, " n"]
) -> Bool[np.ndarray, "n k"]:
    """The `counts` most probable labels of each row; of equal ones, those of lower index come first."""
    last = ordered[np.arange(len(block)), counts - 1][:, None]
    sets: Bool[np.ndarray, "n k"] = block >= last
    sets[counts == 0] = False
    tied = np.flatnonzero(np.count_nonzero(sets, axis=1) > counts)
    equal = block[tied] == last[tied]
    above = block[tied] > last[tied]
    room = counts[tied] - np.count_nonzero(above, axis=1)
    sets[tied] = above | (equal & (np.cumsum(equal, axis=1) <= room[:, None]))
    return sets


def _mixed(words: UInt64[np.ndarray, "*shape"]) -> UInt64[np.ndarray, "*shape"]:
    """Every bit of a 64-bit word depends on every bit of the one given. Steele et al. 2014 (SplitMix64)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: UInt64[np.ndarray, "*shape"] = words ^ (words >> np.uint64(31))
    return mixed
