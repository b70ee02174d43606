"""The study of generated sets: toy distributions, real generators, and sets made bad on purpose."""
