"""How far an input is from what the model knows. Every score: higher = further from known."""

from candid.detect.boundaries import FDBD, NCI
from candid.detect.concepts import NegLabel, gl_mcm, neg_label, negative_labels
from candid.detect.mahalanobis import Mahalanobis, RelativeMahalanobis
from candid.detect.matching import SHE, KLMatching
from candid.detect.methods import METHODS, Detector, Method, cosines
from candid.detect.moments import Moments
from candid.detect.neighbours import Knn, NNGuide
from candid.detect.rectified import Dice, ReAct, ash, scale
from candid.detect.scores import energy, entropy, gen, grad_norm, max_logit, mcm, msp, odin
from candid.detect.subspace import Residual, ViM
from candid.detect.threshold import Guarantee, Threshold, UnderShift, conformal_threshold, threshold

__all__ = [
    "FDBD",
    "METHODS",
    "NCI",
    "SHE",
    "Detector",
    "Dice",
    "Guarantee",
    "KLMatching",
    "Knn",
    "Mahalanobis",
    "Method",
    "Moments",
    "NNGuide",
    "NegLabel",
    "ReAct",
    "RelativeMahalanobis",
    "Residual",
    "Threshold",
    "UnderShift",
    "ViM",
    "ash",
    "conformal_threshold",
    "cosines",
    "energy",
    "entropy",
    "gen",
    "gl_mcm",
    "grad_norm",
    "max_logit",
    "mcm",
    "msp",
    "neg_label",
    "negative_labels",
    "odin",
    "scale",
    "threshold",
]
