"""Images in: folders, manifests and Hugging Face datasets become one `ImageSet`; decoding waits until it is asked."""

from candid.data.decode import DECODER, MAX_PIXELS, decode
from candid.data.embedded import Sample, sample, sample_folder
from candid.data.reading import read
from candid.data.shards import shard
from candid.data.views import AUGMENTATIONS, augment, view_random

__all__ = [
    "AUGMENTATIONS",
    "DECODER",
    "MAX_PIXELS",
    "Sample",
    "augment",
    "decode",
    "read",
    "sample",
    "sample_folder",
    "shard",
    "view_random",
]
