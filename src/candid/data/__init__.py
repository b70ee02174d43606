"""Images in: folders, manifests and Hugging Face datasets become one `ImageSet`; decoding waits until it is asked."""

from candid.data.codecs import Codec, as_jpeg, codec_of
from candid.data.coop_splits import OwnSplit, own_split
from candid.data.decode import DECODER, MAX_PIXELS, decode
from candid.data.embedded import Sample, sample, sample_folder
from candid.data.grouped import GROUPED, GroupTable, read_group_table, read_grouped
from candid.data.reading import read
from candid.data.shards import shard, subset
from candid.data.spurious import STYLES, correlate, dominoes, in_styles, on_scenes
from candid.data.unlike import UNLIKE, unlike
from candid.data.views import AUGMENTATIONS, augment, view_random
from candid.data.wordlist import words

__all__ = [
    "AUGMENTATIONS",
    "DECODER",
    "GROUPED",
    "MAX_PIXELS",
    "STYLES",
    "UNLIKE",
    "Codec",
    "GroupTable",
    "OwnSplit",
    "Sample",
    "as_jpeg",
    "augment",
    "codec_of",
    "correlate",
    "decode",
    "dominoes",
    "in_styles",
    "on_scenes",
    "own_split",
    "read",
    "read_group_table",
    "read_grouped",
    "sample",
    "sample_folder",
    "shard",
    "subset",
    "unlike",
    "view_random",
    "words",
]
