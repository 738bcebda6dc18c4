"""The head that makes an embedding: a linear map, then unit length (FaceNet section 3).

B batch, F features of the trunk, D embedding.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class UnitLength(nn.Module):
    """x -> x / ||x||, so that squared distances lie in 0 ... 4 whatever the network."""

    def forward(self, x_BD: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        return F.normalize(x_BD, dim=1)


def embedding_head(features: int, embedding_size: int) -> nn.Sequential:
    """B x `features` -> B x `embedding_size`, each row of unit L2 length."""
    return nn.Sequential(nn.Linear(features, embedding_size), UnitLength())
