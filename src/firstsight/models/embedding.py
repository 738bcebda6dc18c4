"""The head that makes an embedding: a linear map, then unit length (FaceNet section 3).

B batch, F features of the trunk, D embedding.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class UnitLength(nn.Module):
    """x -> x / ||x||, so that squared distances lie in 0 ... 4 whatever the network.

    In fp32 or better, under autocast too.
    """

    def forward(self, x_BD: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        with torch.autocast(x_BD.device.type, enabled=False):
            return F.normalize(_fp32(x_BD), dim=1)


class EmbeddingHead(nn.Sequential):
    """B x F -> B x D, each row of unit L2 length, in fp32 or better under autocast too.

    Half precision has too few digits for embeddings that lie close together, as they do before they are learned.
    """

    def __init__(self, features: int, embedding_size: int) -> None:
        super().__init__(nn.Linear(features, embedding_size), UnitLength())

    def forward(self, x_BF: Float[Tensor, "B F"]) -> Float[Tensor, "B D"]:
        linear, unit_length = self
        with torch.autocast(x_BF.device.type, enabled=False):
            x_BD: Tensor = unit_length(linear(_fp32(x_BF)))
        return x_BD


def _fp32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
