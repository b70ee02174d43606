"""One pass over logits that keeps what every later number needs, a few bytes a row: `metrics.judge`."""

from candid.metrics import Judged, judge

__all__ = ["Judged", "judge"]
