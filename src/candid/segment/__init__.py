"""Promptable segmentation: so far one step of interactive training."""
