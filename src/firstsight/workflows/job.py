"""One training task, whatever it learns: what the workflows ask of it, and what it gives."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from torch import nn

from firstsight.config import Recipe
from firstsight.data.cache import Skipped
from firstsight.evaluation.protocols import Evaluation
from firstsight.evaluation.report import Headline, Section, Table
from firstsight.model_config import ModelConfig
from firstsight.models.folder import Model
from firstsight.training.feed import Feed
from firstsight.workflows.progress import OnProgress


@dataclass(frozen=True, eq=False)
class Outcome:
    """A trained model with its held-out figures, and what its report shows of them."""

    model: Model
    figures: dict[str, Any] = field(default_factory=dict)
    headlines: Sequence[Headline] = ()
    tables: Sequence[Table] = ()
    sections: Sequence[Section] = ()
    evaluation: Evaluation | None = None


@runtime_checkable
class Job(Protocol):
    """One training task. `recipe` has everything resolved; `config` says what the model is, before its weights;
    `start` is the model that is fine-tuned, None where weights begin at random; `warnings` are to be read before the
    run; `learned` and `held_out` count what there is, `held_out` empty where that is nothing; `names` are those of the
    identities or classes that are learned from; `figure` names what `validate` gives; `empty_cells` counts, by column,
    those of a table that were filled with the mean."""

    recipe: Recipe
    config: ModelConfig
    start: Model | None
    warnings: Sequence[str]
    feed: Feed
    learned: dict[str, int]
    held_out: dict[str, int]
    names: Sequence[str]
    figure: str
    unreadable: Sequence[Skipped]
    empty_cells: dict[str, int]

    @property
    def provenance(self) -> dict[str, Any]:
        """What the model folder says of the data."""

    def begin(self, network: nn.Module) -> None:
        """Look at the network before its first update."""

    def validate(self, network: nn.Module, at_most: int | None = None) -> float:
        """A held-out figure, the larger the better; of the first `at_most` examples where that is given."""

    def figures(self, network: nn.Module) -> dict[str, Any]:
        """The held-out figures that may be an objective, by the names that they have in a report."""

    def finish(self, model: Model, on_progress: OnProgress) -> Outcome:
        """Measure the trained model."""
