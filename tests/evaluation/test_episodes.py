"""Published runs and random episodes: that they are drawn as they say, and counted in full."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from firstsight.data.identities import PictureSet, open_pictures
from firstsight.data.runs import open_runs
from firstsight.errors import UserError
from firstsight.evaluation.episodes import episode_draws, evaluate_episodes, evaluate_runs, groups
from firstsight.functional.quantize import quantize, template_distances
from firstsight.models.folder import Model
from firstsight.recognition.embed import embed_pictures


@pytest.fixture
def alphabets(tmp_path: Path, write_identities: Callable[..., Path]) -> PictureSet:
    counts = {"Greek/alpha": 4, "Greek/beta": 4, "Greek/gamma": 2, "Latin/a": 4, "Latin/b": 3, "Latin/c": 3, "odd": 4}
    return open_pictures(write_identities(tmp_path / "alphabets", counts, noise=120))


@pytest.mark.parametrize("shots", [1, 2])
def test_an_episode_enrolls_k_of_n_identities_and_probes_another_picture_of_each(shots: int) -> None:
    labels_N = torch.tensor([0] * 5 + [1] * 2 + [2] * 4 + [3] * 3 + [4])
    drawn = episode_draws(labels_N, ways=3, shots=shots, episodes=200, seed=0)
    seen = set()
    for enrolled_C, probes_M in drawn:
        labels = labels_N[probes_M].tolist()
        assert labels == sorted(set(labels))
        assert len(labels) == 3
        assert labels_N[enrolled_C].tolist() == np.repeat(labels, shots).tolist()
        assert not set(enrolled_C) & set(probes_M)
        assert len(set(enrolled_C)) == 3 * shots
        seen |= set(labels)
    assert seen == ({0, 1, 2, 3} if shots == 1 else {0, 2, 3})  # identity 4 has no second picture, 1 no third


def test_episodes_within_groups_stay_in_one_that_has_enough(alphabets: PictureSet) -> None:
    group_N = groups(alphabets)
    by_name = {alphabets.names[label]: int(group_N[i]) for i, label in enumerate(alphabets.labels)}
    assert by_name["Greek/alpha"] == by_name["Greek/beta"] != by_name["Latin/a"]
    assert len(set(by_name.values())) == 3
    drawn = episode_draws(torch.tensor(alphabets.labels), ways=3, shots=1, episodes=300, seed=0, group_N=group_N)
    used = [set(group_N[enrolled_C].tolist()) for enrolled_C, _ in drawn]
    assert all(len(group) == 1 for group in used)
    greek = sum(group == {by_name["Greek/alpha"]} for group in used)
    assert greek == pytest.approx(150, abs=40)
    assert greek + sum(group == {by_name["Latin/a"]} for group in used) == 300


@pytest.mark.parametrize(
    ("ways", "within", "message"),
    [(8, False, "Episodes of 8 identities with 2 pictures cannot be drawn: there are 7"),
     (4, True, "Episodes of 4 .* the largest group has 3"),
     (1, False, r"Give fewer --ways \(2 at least\)")],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(alphabets: PictureSet, ways: int, within: bool, message: str) -> None:
    group_N = groups(alphabets) if within else None
    with pytest.raises(UserError, match=message):
        episode_draws(torch.tensor(alphabets.labels), ways=ways, shots=1, episodes=1, seed=0, group_N=group_N)


def test_a_set_without_groups_is_refused_where_they_are_asked_for(alphabets: PictureSet) -> None:
    odd = alphabets.select(i for i, label in enumerate(alphabets.labels) if alphabets.names[label] == "odd")
    with pytest.raises(UserError, match="has no groups: no identity is named GROUP/NAME"):
        groups(odd)


@pytest.mark.parametrize("shots", [1, 2])
def test_accuracy_is_that_of_a_plain_loop(model: Model, alphabets: PictureSet, shots: int) -> None:
    found = evaluate_episodes(model, alphabets, ways=3, shots=shots, episodes=40, seed=5)
    q_ND = quantize(embed_pictures(model, [alphabets.read(i) for i in range(len(alphabets))]))
    d_NN = template_distances(q_ND, q_ND).numpy()
    labels = np.array(alphabets.labels)
    drawn = episode_draws(torch.tensor(labels), ways=3, shots=shots, episodes=40, seed=5)
    right = [
        labels[min(enrolled_C, key=lambda picture: d_NN[probe, picture])] == labels[probe]
        for enrolled_C, probes_M in drawn
        for probe in probes_M
    ]
    figures = found.to_json()
    assert figures["accuracy"] == pytest.approx(np.mean(right))
    assert 0.4 < np.mean(right) < 1
    counts = {key: figures[key] for key in ("protocol", "ways", "shots", "trials", "identifications", "within_groups")}
    assert counts == {
        "protocol": "one-shot", "ways": 3, "shots": shots, "trials": 40, "identifications": 120,
        "within_groups": False,
    }  # fmt: skip
    assert figures["accuracy_low"] < figures["accuracy"] < figures["accuracy_high"]
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_groups_are_counted(model: Model, alphabets: PictureSet) -> None:
    figures = evaluate_episodes(model, alphabets, ways=3, episodes=20, within_groups=True).to_json()
    assert (figures["within_groups"], figures["groups"]) == (True, 2)


def test_a_run_recognizes_its_tests_among_its_own_training_pictures(
    model: Model, tmp_path: Path, write_identities: Callable[..., Path]
) -> None:
    """Two runs of the same two patterns with the answers of the second turned round: all of its are wrong."""
    source = write_identities(tmp_path / "source", {"a": 2, "b": 2}, noise=1)
    for number, turned in ((1, False), (2, True)):
        run = tmp_path / "runs" / f"run{number:02d}"
        for kind in ("training", "test"):
            (run / kind).mkdir(parents=True)
        for i, name in enumerate("ab"):
            (run / "training" / f"class{i}.png").write_bytes((source / name / "0.png").read_bytes())
            (run / "test" / f"item{i}.png").write_bytes((source / name / "1.png").read_bytes())
        lines = [f"{run.name}/test/item{i}.png {run.name}/training/class{i ^ turned}.png\n" for i in (0, 1)]
        (run / "class_labels.txt").write_text("".join(lines))
    found = evaluate_runs(model, open_runs(tmp_path / "runs"))
    figures = found.to_json()
    assert (figures["accuracy"], figures["error"], figures["pixel_accuracy"]) == (0.5, 0.5, 0.5)
    assert (figures["runs"], figures["ways"], figures["identifications"]) == (2, 2, 4)
    wrong = {found.pictures.paths[mistake.probe] for mistake in found.one_shot.mistakes}
    assert wrong == {"run02/test/item0.png", "run02/test/item1.png"}
    assert (figures["accuracy_low"], figures["accuracy_high"]) == (0, 1), "one run of two was all wrong"
    assert figures["accuracy_by"] == "bootstrap over runs"
