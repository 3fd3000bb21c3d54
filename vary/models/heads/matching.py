"""Score how well texts describe images: apart from each other (ITC), and both together (ITM).

Sources: BLIP, arXiv 2201.12086 section 3.2; BLIP-2, arXiv 2301.12597 section 3.1, whose first stage trains a Q-Former
by these losses; the trained Q-Former can then be the connector of a model.
Shapes: B images, C texts, N tokens of an image, D their width, T words, Q queries.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...io.errors import ConfigError
from ..connect import QFormer


class Matching(nn.Module):
    """Compare images and texts by a Q-Former that reads both.

    Args:
        former: The Q-Former; its configuration has `use_qformer_text_input`.
        width: Width in which both are compared.

    Raises:
        ConfigError: The Q-Former does not read texts.
    """

    def __init__(self, former: QFormer, width: int = 256):
        super().__init__()
        sizes: Any = former.qformer.config
        if not getattr(sizes, "use_qformer_text_input", False):
            raise ConfigError("this Q-Former does not read texts: its config needs use_qformer_text_input: true")
        self.former, inner = former, sizes.hidden_size
        self.words, self.positions = (
            nn.Embedding(count, inner) for count in (sizes.vocab_size, sizes.max_position_embeddings)
        )
        self.image, self.text, self.head = nn.Linear(inner, width), nn.Linear(inner, width), nn.Linear(inner, 2)
        self.temperature = nn.Parameter(torch.tensor(0.07))

    def contrast(self, tokens_BND: Tensor, ids_CT: Tensor, mask_CT: Tensor) -> Tensor:
        """Return the cosines (B, C) of images and texts; an image has that of its nearest query."""
        seen = F.normalize(self.image(self.former(tokens_BND, (1, tokens_BND.shape[1]))), dim=-1)
        read = self.former.qformer(query_embeds=self._embed(ids_CT), query_length=0, attention_mask=mask_CT)
        text = F.normalize(self.text(read.last_hidden_state[:, 0]), dim=-1)
        return (seen @ text.T).amax(1)

    def match(self, tokens_BND: Tensor, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Return the logits (B, 2) of "does not describe" and "describes", for the text of each image."""
        queries = self.former.queries.expand(len(tokens_BND), -1, -1)
        mask = torch.cat([mask_BT.new_ones(queries.shape[:2]), mask_BT], 1)
        both = torch.cat([queries, self._embed(ids_BT)], 1)
        out = self.former.qformer(
            query_embeds=both, query_length=queries.shape[1], attention_mask=mask, encoder_hidden_states=tokens_BND
        )
        return self.head(out.last_hidden_state[:, : queries.shape[1]]).mean(1)

    def loss(self, tokens_BND: Tensor, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Return the sum of both losses for images and their texts, at least two.

        Other texts of the batch are negatives. Those of `match` are drawn by their likeness, one for each image and one
        for each text.
        """
        scores = self.contrast(tokens_BND, ids_BT, mask_BT) / self.temperature
        own = torch.arange(len(scores), device=scores.device)
        contrast = sum(F.cross_entropy(s, own, label_smoothing=0.1) for s in (scores, scores.T)) / 2
        with torch.no_grad():
            alike = scores.masked_fill(torch.eye(len(scores), device=scores.device, dtype=torch.bool), -torch.inf)
            texts, images = (s.softmax(1).multinomial(1)[:, 0] for s in (alike, alike.T))
        image, text = torch.cat([own, own, images]), torch.cat([own, texts, own])
        logits = self.match(tokens_BND[image], ids_BT[text], mask_BT[text])
        return contrast + F.cross_entropy(logits, (image == text).long())

    def _embed(self, ids_BT: Tensor) -> Tensor:
        return self.words(ids_BT) + self.positions.weight[: ids_BT.shape[1]]


class BlipMatching(Matching):
    """Compare images and texts by a text encoder that can attend to an image (BLIP).

    Tokens of an image begin with its class token: they are those of a vocabulary with `pick: all`.

    Args:
        config: Sizes of transformers' `BlipTextModel`.
        seen: Width of the tokens of an image.
        width: Width in which both are compared.
    """

    def __init__(self, config: dict[str, Any], seen: int, width: int = 256):
        nn.Module.__init__(self)
        from transformers import BlipTextConfig, BlipTextModel

        sizes = BlipTextConfig(**config, encoder_hidden_size=seen)
        self.encoder, inner = BlipTextModel(sizes, add_pooling_layer=False), sizes.hidden_size
        self.image, self.text, self.head = nn.Linear(seen, width), nn.Linear(inner, width), nn.Linear(inner, 2)
        self.temperature = nn.Parameter(torch.tensor(0.07))

    def contrast(self, tokens_BND: Tensor, ids_CT: Tensor, mask_CT: Tensor) -> Tensor:
        """Return the cosines (B, C) of images and texts."""
        read = self.encoder(ids_CT, attention_mask=mask_CT).last_hidden_state[:, 0]
        return F.normalize(self.image(tokens_BND[:, 0]), dim=-1) @ F.normalize(self.text(read), dim=-1).T

    def match(self, tokens_BND: Tensor, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Return the logits (B, 2) of "does not describe" and "describes", for the text of each image."""
        seen = mask_BT.new_ones(tokens_BND.shape[:2])
        given = {"encoder_hidden_states": tokens_BND, "encoder_attention_mask": seen}
        return self.head(self.encoder(ids_BT, attention_mask=mask_BT, **given).last_hidden_state[:, 0])
