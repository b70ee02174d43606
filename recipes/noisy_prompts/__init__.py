"""The study of prompts learnt from noisy labels: its image sets, and how it is run."""
