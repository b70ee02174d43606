"""The energy study (Liu et al., NeurIPS 2020): sets, networks, fine-tunings, and what they say."""
