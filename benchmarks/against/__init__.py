"""Every calibrator, metric and prediction set of candid beside the packages that have it: who, on what, judged how."""

import os

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # before numpy: CPU seconds of threads that wait for each other say little
