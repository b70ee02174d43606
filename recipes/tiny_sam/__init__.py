"""The embedded tiny SAM: scenes of cut-outs and real nuclei, training by the paper's loop, its card."""
