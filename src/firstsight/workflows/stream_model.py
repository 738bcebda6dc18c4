"""The model that a stream leaves: it predicts the next arrivals."""

from dataclasses import replace

import torch

from firstsight.config import StreamRecipe
from firstsight.model_config import Columns, ModelConfig
from firstsight.models.committee import CommitteeNetwork, PicturesCommittee
from firstsight.models.folder import Model, make_model
from firstsight.workflows.stream_session import Session


def model_of(session: Session, recipe: StreamRecipe, embedder: Model | None, *, name: str) -> Model | None:
    """What was learned so far, as a model of rows, or of pictures that `embedder` embeds; None before anything was."""
    if session.learner is None or not session.learner.examples:
        return None
    committee, buffers = session.learner.for_model()
    mean_F, std_F = session.learner.context.standard.moments
    columns = Columns(features=session.reader.features, mean=tuple(mean_F.tolist()), std=tuple(std_F.tolist()))
    outputs = tuple(session.names)
    if not session.classes:
        mean, std = session.numbers.moments
        columns = replace(columns, target_mean=tuple(mean.tolist()), target_std=tuple(std.tolist()))
        outputs = (recipe.stream.target,)
        buffers["no_change_O"] = (session.last - mean) / std
    trained = {"data": recipe.stream.source, "examples": session.learner.examples, "arrivals": session.arrivals}
    config = ModelConfig(
        task=recipe.stream.task, columns=columns, committee=committee, outputs=outputs, trained=trained
    )
    network = CommitteeNetwork(committee, len(columns.features), len(outputs))
    network.load_state_dict({name: torch.tensor(array, dtype=torch.float32) for name, array in buffers.items()})
    if embedder is None:
        return make_model(network, config, name=name)
    seen = embedder.config
    config = replace(config, columns=None, network=seen.network, preprocessing=seen.preprocessing)
    whole = PicturesCommittee(embedder.network, network, len(columns.features))
    whole.mean_D.copy_(torch.tensor(mean_F))
    whole.std_D.copy_(torch.tensor(std_F))
    return make_model(whole, config, name=name)
