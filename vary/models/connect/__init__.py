"""Connectors: turn vision tokens (B, N, D) into image tokens (B, M, E) as wide as the language model.

Belongs here: one class per connector and one line in `CONNECTORS`; `chain` runs several of `STEPS`. May import torch.
Never here: how vocabularies are merged (`merge.py`). A connector tells its grid from sizes alone, so that the processor
can lay out a prompt without a model.
"""

from __future__ import annotations

from .chain import STEPS, Chain, run
from .experts import LanguageMoe
from .plain import Connector, Fold, Grid, Linear, Mlp, Norm, Shuffle, build, sizes_of
from .qformer import QFormer

CONNECTORS: dict[str, type[Connector]] = {"chain": Chain, "linear": Linear, "mlp": Mlp, "shuffle": Shuffle}

__all__ = [
    "CONNECTORS",
    "STEPS",
    "Chain",
    "Connector",
    "Fold",
    "Grid",
    "LanguageMoe",
    "Linear",
    "Mlp",
    "Norm",
    "QFormer",
    "Shuffle",
    "build",
    "run",
    "sizes_of",
]
