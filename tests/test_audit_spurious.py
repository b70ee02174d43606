"""Does the audit say whether what comes with a class is to blame, and keep quiet where nothing is?"""

import numpy as np
import pytest

from candid.types import Features, Head
from candid.workflows.auditing.evidence import Evidence
from candid.workflows.auditing.spurious import spurious
from candid.workflows.auditing.verdict import verdict

CLASSES, SCENES = ("cow", "camel"), ("grass", "sand")


def evidence(*, lean, core=1.0, n=800, groups=True, counts=None):
    """A head that leans on the scene by `lean`; the class is readable by `core`."""
    random = np.random.default_rng(0)
    y, a = np.arange(n) % 2, (np.arange(n) // 2) % 2
    keep = np.ones(n, bool) if counts is None else (y == a) | (np.arange(n) < counts)
    x = np.stack([core * (2 * y - 1) + random.normal(0, 0.7, n), 2.0 * a - 1 + random.normal(0, 0.3, n),
                  *random.normal(size=(6, n))], axis=1).astype(np.float32)[keep]  # fmt: skip
    x, y, a = x / np.linalg.norm(x, axis=1, keepdims=True), y[keep], a[keep]
    weights = np.zeros((2, 8), np.float32)
    weights[1, :2], weights[0, :2] = (1 - lean, lean), (lean - 1, -lean)
    known = Features(x, tuple(map(str, range(len(x)))), "m", y, a if groups else None, CLASSES, SCENES)
    return Evidence(head=Head(weights, CLASSES, 10.0), known=known)


def named(part):
    return {(row.metric, row.slice): row for row in part.rows}


def test_a_head_that_leans_on_the_scene_is_told_and_how_to_mend_it():
    part = spurious(evidence(lean=0.7))
    (gap,) = (row for row in part.rows if row.metric == "gap_within_class")
    assert gap.low > 0.2
    assert gap.slice in ("cow, sand", "camel, grass")
    rows = named(part)
    assert rows["attribute_read", gap.slice].low > 0.8
    assert rows["balanced_probe_gain", gap.slice].low > 0.1
    assert "--method dfr" in part.sections[0].answer
    reasons = verdict([*part.rows, *_accuracy()], detector="mcm").reasons
    (said,) = (reason for reason in reasons if reason.rule.startswith("Within a class"))
    assert said.level == "bad"
    assert "candid adapt --method dfr" in said.text


def test_a_head_that_does_not_lean_is_left_in_peace():
    part = spurious(evidence(lean=0.0))
    (gap,) = (row for row in part.rows if row.metric == "gap_within_class")
    assert gap.low <= 0
    assert "attribute_read" not in {row.metric for row in part.rows}
    assert part.sections[0].answer.startswith("No gap within a class is sure")


def test_without_features_of_the_class_another_last_layer_is_not_promised():
    part = spurious(evidence(lean=0.9, core=0.0))
    assert "would not surely help" in part.sections[0].answer
    assert "balanced_probe_gain" not in {row.metric for row in part.rows}


def test_accuracy_is_said_for_every_class_in_every_group():
    found = evidence(lean=0.5)
    rows = named(spurious(found))
    right = found.logits.argmax(axis=1) == found.truth
    own = (found.truth == 0) & (found.known.groups == 1)
    assert rows["accuracy", "class and group: cow, sand"].value == pytest.approx(right[own].mean())
    assert rows["accuracy", "class and group: cow, sand"].n == own.sum()


def test_too_few_images_of_a_cell_are_said_and_not_guessed_about():
    part = spurious(evidence(lean=1.0, counts=12))
    assert part.cannot_say == ("Whether an attribute is to blame for the gap: cow, sand has fewer than 5 images.",)


def test_no_groups_no_question():
    assert spurious(evidence(lean=0.9, groups=False)).rows == ()


def _accuracy():
    from candid.types import Estimate
    from candid.workflows.auditing.part import row

    return [row("accuracy", "all", Estimate(0.8, 0.77, 0.83, 800)),
            row("majority_share", "all", Estimate(0.5, 0.46, 0.54, 800))]  # fmt: skip
