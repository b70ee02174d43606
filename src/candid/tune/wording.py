"""Class names as tokens, laid out as CoOp does: head, context, name, rest of the context, tail.

Zhou et al. 2022, arxiv.org/abs/2109.01134, section 3.1. The head is what the tokenizer puts first, the tail is "." and
the end token. Which tokens are a name's is read from whole sentences, since tokenizers join across borders.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Literal

from candid.errors import InputError, nearest

__all__ = ["POSITIONS", "Ids", "Position", "Tokenise", "Wording", "ended", "learned", "written"]

Position = Literal["end", "middle", "front"]
POSITIONS: tuple[Position, ...] = ("end", "middle", "front")
PLACEHOLDERS = ("X", "x", "a", "the", "of")  # a word of one token, whichever the tokenizer has

Ids = tuple[int, ...]
Tokenise = Callable[[Sequence[str]], list[list[int]]]


@dataclass(frozen=True)
class Wording:
    """One prompt a class: `head + context[:before] + name + context[before:] + tail`.

    `context` holds ids where the words are written and is None where vectors will stand there. `texts` are sentences
    of the same numbers of tokens, for towers that only take text.
    """

    classes: tuple[str, ...]
    head: Ids
    before: int
    after: int
    names: tuple[Ids, ...]
    tails: tuple[Ids, ...]
    texts: tuple[str, ...]
    context: Ids | None = None

    @property
    def length(self) -> int:
        """Number of context tokens."""
        return self.before + self.after

    def part(self, classes: slice) -> "Wording":
        """The wording of some of the classes."""
        parts = {name: getattr(self, name)[classes] for name in ("classes", "names", "tails", "texts")}
        return replace(self, **parts)

    def lengths(self) -> list[int]:
        """Tokens of each class's whole prompt."""
        fixed = len(self.head) + self.length
        return [fixed + len(name) + len(tail) for name, tail in zip(self.names, self.tails, strict=True)]


def learned(
    tokenise: Tokenise,
    classes: Sequence[str],
    *,
    length: int,
    position: Position = "end",
    limit: int | None = None,
    distinct: bool = True,
) -> Wording:
    """The wording with `length` context vectors at a position; `limit` is the most tokens that the tower takes.

    Names that are not `distinct` give equal rows, which is for controls alone.
    """
    names = _names(classes, distinct)
    if position not in POSITIONS:
        raise InputError(f"no class position {position!r}; {nearest(str(position), POSITIONS)}")
    if length < 1:
        raise InputError(f"expected 1 context token or more, got {length}")
    word = _placeholder(tokenise, length)
    texts = tuple(f"{' '.join([word] * length)} {name}." for name in names)
    found = [tuple(ids) for ids in tokenise(texts)]
    alone = [tuple(ids) for ids in tokenise(names)]
    head, end = _specials(tokenise)
    start = len(head) + length
    _fits(classes, found, limit)
    spoken, tails = [], []
    for ids, own in zip(found, alone, strict=True):
        rest, bare = ids[start:], own[len(head) : len(own) - len(end)]
        name = rest[: len(bare)] if rest[: len(bare)] == bare else rest[: len(rest) - len(end)]
        spoken.append(name)
        tails.append(rest[len(name) :])
    before = {"end": length, "middle": length // 2, "front": 0}[position]
    return Wording(tuple(classes), head, before, length - before, tuple(spoken), tuple(tails), texts)


def written(tokenise: Tokenise, classes: Sequence[str], *, template: str, limit: int | None = None) -> Wording:
    """The wording of a template: the words around `{}` are the context, the end token is the tail."""
    if template.count("{}") != 1:
        raise InputError(f"a template needs {{}} once, where the class name goes, got {template!r}")
    names = _names(classes)
    texts = tuple(template.replace("{}", name) for name in names)
    found = [tuple(ids) for ids in tokenise(texts)]
    _fits(classes, found, limit)
    head, end = _specials(tokenise)
    around = [tuple(ids)[len(head) :] for ids in tokenise([part.strip() for part in template.split("{}")])]
    before, after = (ids[: len(ids) - len(end)] for ids in around)
    bodies = [ids[len(head) : len(ids) - len(end)] for ids in found]
    # The words common to all classes, at most those of the template, and never a whole name.
    first = min(len(_common(before, body[:-1])) for body in bodies)
    last = min(len(_common(after[::-1], body[first + 1 :][::-1])) for body in bodies)
    context = bodies[0][:first] + (bodies[0][len(bodies[0]) - last :] if last else ())
    spoken = tuple(body[first : len(body) - last] for body in bodies)
    return Wording(tuple(classes), head, first, last, spoken, (end,) * len(names), texts, context)


def ended(wording: Wording, tokenise: Tokenise) -> Wording:
    """The wording of a template whose last full stop is no context but part of the tail, as in CoOp's prompts."""
    ids, end = tokenise(["x."])[0], len(_specials(tokenise)[1])
    stop = tuple(ids[len(ids) - end - 1 : len(ids) - end])
    if not wording.after or wording.context is None or wording.context[-1:] != stop:
        return wording
    tails = tuple((*stop, *tail) for tail in wording.tails)
    return replace(wording, after=wording.after - 1, tails=tails, context=wording.context[:-1])


def _names(classes: Sequence[str], distinct: bool = True) -> list[str]:
    if isinstance(classes, str):
        raise InputError("expected a sequence of class names, got one string; put it in a list")
    if not classes:
        raise InputError("expected at least one class, got none")
    if empty := [i for i, name in enumerate(classes) if not name.strip()]:
        raise InputError(f"class names must not be empty, number {empty[0]} is {classes[empty[0]]!r}; name every class")
    if distinct and (twice := [name for name, n in Counter(classes).items() if n > 1]):
        raise InputError(f"class names must differ, {twice[0]!r} appears more than once; merge or rename it")
    return [name.replace("_", " ") for name in classes]


def _specials(tokenise: Tokenise) -> tuple[Ids, Ids]:
    """What the tokenizer puts before and after every text."""
    one, other = (tuple(ids) for ids in tokenise(["a", "the of"]))
    head = _common(one, other)
    return head, _common(one[::-1], other[::-1])[::-1]


def _common(one: Ids, other: Ids) -> Ids:
    """What both begin with."""
    return tuple(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _placeholder(tokenise: Tokenise, length: int) -> str:
    head, end = map(len, _specials(tokenise))
    for word in PLACEHOLDERS:
        ids = tokenise([" ".join([word] * length)])[0]
        if len(ids) == head + length + end and len(set(ids[head : head + length])) <= 2:
            return word
    raise InputError(f"none of {', '.join(PLACEHOLDERS)} is one token of this tokenizer; prompts cannot be laid out")


def _fits(classes: Sequence[str], found: Sequence[Ids], limit: int | None) -> None:
    longest = max(range(len(found)), key=lambda i: len(found[i]))
    if limit is not None and len(found[longest]) > limit:
        raise InputError(
            f"the prompt of {classes[longest]!r} takes {len(found[longest])} tokens, the tower has {limit}; "
            f"shorten the context or the name by {len(found[longest]) - limit}"
        )
