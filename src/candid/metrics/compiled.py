"""The passes of `rows` compiled by numba, one loop a row, vectorised: imported only for large logits.

LLVM does not vectorise exp by itself, so exp is written as a polynomial after x = k ln 2 + r, |r| <= ln 2 / 2, whose
Taylor remainder is below the format's rounding. Arguments are never positive; below -708 (-87) the result is 0 for us.
"""

import math
from typing import no_type_check

import numpy as np
from numba import njit

__all__ = ["inverse_mass", "inverse_mass_single", "mass", "most_probable", "tilted", "tilted_single"]

# Not "afn" or "ninf": sums may be reordered (that is what vectorises them), infinities must stay right.
RELAXED = {"reassoc", "contract", "nsz", "arcp", "nnan"}
LOG2_E = 1.0 / math.log(2.0)
LN_2 = math.log(2.0)
C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12 = (1.0 / math.factorial(i) for i in range(2, 13))
S2, S3, S4, S5, S6, S7 = (np.float32(1.0 / math.factorial(i)) for i in range(2, 8))
S0, S1, S_LOG2_E, S_LN_2, S_LOWEST = np.float32(0), np.float32(1), np.float32(LOG2_E), np.float32(LN_2), np.float32(-87)
LOWEST = -750.0
CHUNK = 256  # cells among which the highest is looked up again


@no_type_check
def _exp(x):
    x = x if x > -708.0 else -708.0
    k = np.rint(x * LOG2_E)
    r = x - k * LN_2
    p = ((((C12 * r + C11) * r + C10) * r + C9) * r + C8) * r + C7
    p = ((((((p * r + C6) * r + C5) * r + C4) * r + C3) * r + C2) * r + 1.0) * r + 1.0
    return p * np.int64((np.int64(np.int32(k)) + np.int64(1023)) << np.int64(52)).view(np.float64)


@no_type_check
def _exp_single(x):
    x = x if x > S_LOWEST else S_LOWEST
    k = np.rint(x * S_LOG2_E)
    r = x - k * S_LN_2
    p = ((((((S7 * r + S6) * r + S5) * r + S4) * r + S3) * r + S2) * r + S1) * r + S1
    return p * np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)


_exp = njit(inline="always")(_exp)
_exp_single = njit(inline="always")(_exp_single)


@no_type_check
def tilted(logits, top, beta, out):
    for i in range(logits.shape[0]):
        row, highest = logits[i], np.float64(top[i])
        total, first, second, third = 0.0, 0.0, 0.0, 0.0
        for j in range(row.shape[0]):
            gap = (np.float64(row[j]) - highest) * beta
            gap = gap if gap > LOWEST else LOWEST
            weight = _exp(gap)
            total += weight
            weight *= gap
            first += weight
            weight *= gap
            second += weight
            third += weight * gap
        out[0, i], out[1, i], out[2, i], out[3, i] = total, first, second, third


@no_type_check
def tilted_single(logits, top, beta, out):
    for i in range(logits.shape[0]):
        row, highest = logits[i], top[i]
        total, first, second, third = S0, S0, S0, S0
        for j in range(row.shape[0]):
            gap = (row[j] - highest) * beta
            gap = gap if gap > S_LOWEST else S_LOWEST
            weight = _exp_single(gap)
            total += weight
            weight *= gap
            first += weight
            weight *= gap
            second += weight
            third += weight * gap
        out[0, i], out[1, i], out[2, i], out[3, i] = total, first, second, third


@no_type_check
def mass(logits, top, beta, out):
    for i in range(logits.shape[0]):
        row, highest = logits[i], np.float64(top[i])
        total, squares = 0.0, 0.0
        for j in range(row.shape[0]):
            weight = _exp((np.float64(row[j]) - highest) * beta)
            total += weight
            squares += weight * weight
        out[0, i], out[1, i] = total, squares


@no_type_check
def inverse_mass(logits, top, beta, out):
    for i in range(logits.shape[0]):
        row, highest = logits[i], np.float64(top[i])
        total = 0.0
        for j in range(row.shape[0]):
            total += _exp((np.float64(row[j]) - highest) * beta)
        out[i] = 1.0 / total


@no_type_check
def inverse_mass_single(logits, top, beta, out):
    for i in range(logits.shape[0]):
        row, highest = logits[i], top[i]
        total = S0
        for j in range(row.shape[0]):
            total += _exp_single((row[j] - highest) * beta)
        out[i] = 1.0 / np.float64(total)


@no_type_check
def most_probable(probs, words, label, value, total):
    """`words` are the same numbers as integers, which order like them and vectorise: a sign bit makes the total NaN."""
    for i in range(probs.shape[0]):
        row, word = probs[i], words[i]
        most, signs, chunk, sums = word[0], word[0], 0, row[0] - row[0]
        for start in range(0, row.shape[0], CHUNK):
            part, part_words = row[start : start + CHUNK], word[start : start + CHUNK]
            highest = word[start]
            for j in range(part.shape[0]):  # from 0: an index that might be negative does not vectorise
                highest = max(highest, part_words[j])
                signs |= part_words[j]
                sums += part[j]
            if highest > most:
                most, chunk = highest, start
        while word[chunk] != most:
            chunk += 1
        label[i], value[i], total[i] = chunk, row[chunk], sums if signs >= 0 else math.nan


@no_type_check
def _jit(function):
    try:
        return njit(fastmath=RELAXED, cache=True)(function)
    except RuntimeError:  # no folder to keep the machine code in: compile anew in every process, under a second
        return njit(fastmath=RELAXED)(function)


tilted, tilted_single, mass = _jit(tilted), _jit(tilted_single), _jit(mass)
inverse_mass, inverse_mass_single = _jit(inverse_mass), _jit(inverse_mass_single)
most_probable = _jit(most_probable)
