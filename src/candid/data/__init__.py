"""Images in: folders, manifests and Hugging Face datasets become one `ImageSet`; decoding waits until it is asked."""

from candid.data.decode import DECODER, MAX_PIXELS, decode
from candid.data.embedded import Sample, sample, sample_folder
from candid.data.reading import read
from candid.data.shards import shard

__all__ = ["DECODER", "MAX_PIXELS", "Sample", "decode", "read", "sample", "sample_folder", "shard"]
