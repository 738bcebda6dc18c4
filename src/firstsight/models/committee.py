"""A committee of small networks, as a stream leaves it: each has its own learning rate and its own view of a row.

B rows, F features, I inputs, E networks, M members (networks, their slow averages, and no-change), H hidden units, O
outputs, S memories of rows, T label inputs for each output.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from firstsight.model_config import Committee

LABEL_LAGS = 2
"""Labels before a row that its inputs show one by one."""
LABEL_MEMORY = (0.8, 0.98)
"""Shares that a running mean of labels keeps at each: of about 5 and 50 labels."""
ROW_MEMORY = (0.9, 0.98)
"""Shares that a running mean of rows keeps at each: of about 10 and 50 rows."""
FARTHEST = 5.0
"""Standard deviations at which a feature is cut off."""
PER_LABEL = LABEL_LAGS + len(LABEL_MEMORY)
PER_FEATURE = 2 + len(ROW_MEMORY)


def input_count(features: int, outputs: int) -> int:
    """I: a one for the bias; each feature, its change, and its distances to running means; what is known of labels."""
    return 1 + PER_FEATURE * features + PER_LABEL * outputs


class CommitteeNetwork(nn.Module):
    """What the committee says of the next row to come, standardized, after the last one that was learned.

    The scores are the members' outputs, weighted by how well each did lately. Labels that a row of the stream would
    have seen before it are those known when the model was written. `change_M` is 1 for members that say the change from
    the last number, else 0.
    """

    hidden_MIH: Tensor
    last_MKO: Tensor
    view_EI: Tensor
    weight_M: Tensor
    change_M: Tensor
    row_F: Tensor
    rows_SF: Tensor
    labels_OT: Tensor
    no_change_O: Tensor

    def __init__(self, config: Committee, features: int, outputs: int) -> None:
        super().__init__()
        inputs, networks = input_count(features, outputs), config.networks
        self.classes = config.classes
        for name, shape in {
            "hidden_MIH": (2 * networks, inputs, config.hidden),
            "last_MKO": (2 * networks, config.hidden + inputs, outputs),
            "view_EI": (networks, inputs),
            "weight_M": (2 * networks + 1,),
            "change_M": (2 * networks + 1,),
            "row_F": (features,),
            "rows_SF": (len(ROW_MEMORY), features),
            "labels_OT": (outputs, PER_LABEL),
            "no_change_O": (outputs,),
        }.items():
            self.register_buffer(name, torch.zeros(shape))

    def forward(self, row_BF: Float[Tensor, "B F"]) -> Float[Tensor, "B O"]:
        row_BF = row_BF.clamp(-FARTHEST, FARTHEST)
        changes = [row_BF - self.row_F, *(row_BF - mean_F for mean_F in self.rows_SF)]
        labels_BT = self.labels_OT.flatten().expand(len(row_BF), -1)
        x_BI = torch.cat([torch.ones_like(row_BF[:, :1]), row_BF, *changes, labels_BT], 1)
        x_MBI = (x_BI * self.view_EI[:, None]).repeat(2, 1, 1)
        hidden_MBH = torch.relu(x_MBI @ self.hidden_MIH)
        output_MBO = torch.cat([hidden_MBH, x_MBI], 2) @ self.last_MKO
        if self.classes:
            output_MBO = output_MBO.softmax(2)
        output_MBO = output_MBO + self.change_M[:-1, None, None] * self.no_change_O
        output_MBO = torch.cat([output_MBO, self.no_change_O.expand(1, len(row_BF), -1)])
        return torch.einsum("m,mbo->bo", self.weight_M, output_MBO)


class PicturesCommittee(nn.Module):
    """A committee whose rows are the embeddings of pictures, standardized as in the stream. D embedding."""

    mean_D: Tensor
    std_D: Tensor

    def __init__(self, embedding: nn.Module, committee: CommitteeNetwork, size: int) -> None:
        super().__init__()
        self.embedding, self.committee = embedding, committee
        self.register_buffer("mean_D", torch.zeros(size))
        self.register_buffer("std_D", torch.ones(size))

    def forward(self, x_BCHW: Float[Tensor, "B C H W"]) -> Float[Tensor, "B O"]:
        scores_BO: Tensor = self.committee((self.embedding(x_BCHW) - self.mean_D) / self.std_D)
        return scores_BO
