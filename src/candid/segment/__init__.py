"""Promptable segmentation on any `Segmenter`: prompts, automatic masks, trust in them, training."""
