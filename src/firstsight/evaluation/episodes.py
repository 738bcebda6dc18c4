"""N-way K-shot recognition: the published runs of Omniglot, and random episodes. N pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from firstsight.data.identities import PictureSet, group_of
from firstsight.data.runs import RunSet
from firstsight.errors import UserError
from firstsight.evaluation.embedded import CONFIDENCE, Embedded, embed, with_interval
from firstsight.evaluation.identification import Draw, OneShot, TemplateSpace, recognize
from firstsight.evaluation.pairs import drawn_pairs
from firstsight.evaluation.pixels import by_pixels, pixel_figures
from firstsight.evaluation.progress import OnProgress, silent
from firstsight.evaluation.verification import Verification, verification_figures, verify_pairs
from firstsight.models.folder import Model


@dataclass(frozen=True, eq=False, kw_only=True)
class EpisodesEvaluation(Embedded):
    """Recognition over runs or episodes; `details` says how they were made."""

    protocol: str
    one_shot: OneShot
    pixels: OneShot | None
    verification: Verification
    """Of the probes and what they met in their episodes."""
    clusters: Int64[Tensor, "N"]
    unit: str
    """What the intervals take for independent: runs, or identities."""
    details: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """One flat dict of plain values; shares are fractions."""
        found = self.one_shot
        return {
            **self.about(self.protocol),
            **with_interval("accuracy", found.accuracy, found.interval),
            "error": 1 - found.accuracy,
            **pixel_figures(self.pixels),
            "confidence": CONFIDENCE,
            **verification_figures(self.verification),
            **self.counts(),
            "trials": found.trials,
            "ways": found.ways,
            "identifications": found.identifications,
            **self.details,
        }


def evaluate_runs(model: Model, run_set: RunSet, *, on_progress: OnProgress = silent) -> EpisodesEvaluation:
    """The one-shot protocol of Lake et al. 2015: in each run recognize each test picture among its classes.

    A model that has seen these alphabets in training gets figures that are worth nothing.

    Raises:
        DataError: no picture can be read.
    """
    embedded = embed(model, run_set.pictures, on_progress=on_progress)
    drawn = [(np.array(run.training), np.array(run.test)) for run in run_set.runs]
    run_N = torch.zeros(len(run_set.pictures), dtype=torch.int64)
    for number, run in enumerate(run_set.runs):
        run_N[torch.tensor(run.training + run.test)] = number
    details = {"shots": 1, "runs": len(run_set.runs)}
    return _evaluation(embedded, "one-shot-runs", drawn, run_N, "runs", details, on_progress)


def evaluate_episodes(
    model: Model,
    pictures: PictureSet,
    *,
    ways: int = 20,
    shots: int = 1,
    episodes: int = 1000,
    within_groups: bool = False,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> EpisodesEvaluation:
    """In each episode enroll `shots` random pictures each of `ways` random identities, and identify one more of each.

    Args:
        model: what to measure.
        pictures: of identities that it was not trained on.
        ways: identities in an episode.
        shots: pictures enrolled of each.
        episodes: how many.
        within_groups: draw each episode from one group: the part of the names before the last "/", an alphabet say.
        seed: of the draws.
        on_progress: hears how far each stage is.

    Raises:
        DataError: no picture can be read.
        UserError: too few identities with enough pictures, in all or in every group.
    """
    group_N = groups(pictures) if within_groups else None
    drawn = episode_draws(
        torch.tensor(pictures.labels), ways=ways, shots=shots, episodes=episodes, seed=seed, group_N=group_N
    )
    embedded = embed(model, pictures, on_progress=on_progress)
    details = {"shots": shots, "within_groups": within_groups}
    if group_N is not None:
        details["groups"] = len({int(group_N[enrolled_C[0]]) for enrolled_C, _ in drawn})
    return _evaluation(embedded, "one-shot", drawn, embedded.labels, "identities", details, on_progress)


def groups(pictures: PictureSet) -> Int64[Tensor, "N"]:
    """The group of each picture: identities that share what stands before the last "/" of their names.

    Raises:
        UserError: no name has a "/".
    """
    named = [group_of(name) for name in pictures.names]
    if not any(named):
        raise UserError(
            f"{pictures.source} has no groups: no identity is named GROUP/NAME.",
            hint="Give the folder that holds the groups, or leave --within-groups out.",
        )
    number = {group: i for i, group in enumerate(sorted(set(named)))}
    return torch.tensor([number[named[label]] for label in pictures.labels])


def episode_draws(
    labels_N: Int64[Tensor, "N"],
    *,
    ways: int,
    shots: int,
    episodes: int,
    seed: int,
    group_N: Int64[Tensor, "N"] | None = None,
) -> list[Draw]:
    """For each episode the pictures to enroll, ordered by label, and one probe of each identity.

    Each group that has enough identities is drawn equally often.
    """
    labels = labels_N.numpy()
    pictures_of = {int(label): np.flatnonzero(labels == label) for label in np.unique(labels)}
    able = np.array([label for label, pictures in pictures_of.items() if len(pictures) > shots])
    group_of_label = {
        label: 0 if group_N is None else int(group_N[pictures[0]]) for label, pictures in pictures_of.items()
    }
    pools = [
        able[[group_of_label[label] == group for label in able.tolist()]]
        for group in sorted(set(group_of_label.values()))
    ]
    enough = [pool for pool in pools if len(pool) >= ways]
    if not enough or ways < 2:
        most = max(map(len, pools))
        where = "the largest group has" if group_N is not None else "there are"
        raise UserError(
            f"Episodes of {ways} identities with {shots + 1} pictures cannot be drawn: {where} {most}.",
            hint="Give fewer --ways (2 at least) or --shots, or more pictures.",
        )
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(episodes):
        chosen = np.sort(rng.choice(enough[rng.integers(len(enough))], size=ways, replace=False))
        taken = np.stack([rng.choice(pictures_of[int(label)], size=shots + 1, replace=False) for label in chosen])
        drawn.append((taken[:, :shots].reshape(-1), taken[:, shots]))
    return drawn


def _evaluation(
    embedded: Embedded,
    protocol: str,
    drawn: Sequence[Draw],
    clusters_N: Int64[Tensor, "N"],
    unit: str,
    details: dict[str, Any],
    on_progress: OnProgress,
) -> EpisodesEvaluation:
    space = TemplateSpace(embedded.embeddings)
    pairs = drawn_pairs(embedded.embeddings, embedded.labels, drawn)
    return EpisodesEvaluation(
        **vars(embedded),
        protocol=protocol,
        one_shot=recognize(space, embedded.labels, drawn, clusters_N=clusters_N, unit=unit, on_progress=on_progress),
        pixels=by_pixels(embedded, drawn, clusters_N=clusters_N, unit=unit, on_progress=on_progress),
        verification=verify_pairs(pairs, own=embedded.model.config.operating_point),
        clusters=clusters_N,
        unit=unit,
        details=details,
    )
