"""The paper's claims held against the records, by rules that were written before any run (P5b: during the first).

P1 to P7 of Wu et al. 2023 (arxiv.org/abs/2307.11978) and two questions of ours. A rule looks at a difference between
two ways of training, paired by model, set, noise, rate and draw, averaged within each model-set pair, and takes the
mean over the pairs with a 95 % t interval. The difference must lie above its bound with its whole interval.
"""

from collections.abc import Sequence

from candid.workflows.claimed import Claim, decided
from candid.workflows.prompting.record import Record
from candid.workflows.prompting.rules import RULES

__all__ = ["CLAIMS", "claims"]

CLAIMS: dict[str, str] = {
    "P1": "Prompt tuning withstands wrong labels better than linear probes and than fine-tuning the text encoder.",
    "P2": "GCE makes it withstand them better still.",
    "P3": "Fixed class names regularise: learning them too (full-prompt, cls) is worse under noise.",
    "P4": "Right labels pull one way and wrong ones cancel out.",
    "P5": "The best context length depends on the data set.",
    "P5b": "With a quarter of the labels wrong prompts do better than zero-shot, whichever the model.",
    "P6": "Confusion noise is harder than random noise.",
    "P7": "Pseudo-labels train better prompts than zero-shot; drawn at random and with GCE they train better ones.",
    "X2": "Wrong labels leave calibration and the telling apart of unknown images as they are.",
    "X3": "Robustness is of the prompt itself: neither fewer epochs nor averaging several prompts makes it.",
}


def claims(records: Sequence[Record]) -> tuple[Claim, ...]:
    """Every claim with its outcome on these records."""
    return tuple(decided(number, text, list(RULES[number](records))) for number, text in CLAIMS.items())
