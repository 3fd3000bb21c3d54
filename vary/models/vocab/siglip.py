"""SigLIP's image tower. Source: arXiv 2303.15343; epsilon and the tanh GELU are those of the published weights."""

from __future__ import annotations

from .vit import VitVocabulary


class SiglipVocabulary(VitVocabulary):
    """No class token, patches with bias; `layer=None` is the final norm's output, which the pooling head would take."""

    eps, activation, class_token = 1e-6, "tanh", False
