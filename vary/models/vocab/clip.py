"""CLIP's image tower: Vary's first vocabulary (arXiv 2312.06109 section 3.3).

Vary takes ViT-L/14 at 224 px, layer -2, without the class token. Source: CLIP, arXiv 2103.00020; norm epsilon 1e-5 and
the quick GELU are those of the published weights.
"""

from __future__ import annotations

from .vit import VitVocabulary


class ClipVocabulary(VitVocabulary):
    """Class token, norm before the first block, patches without bias; ViT-L/14 at 224 px gives 256 x 1024 tokens."""

    eps, activation, class_token = 1e-5, "quick", True
