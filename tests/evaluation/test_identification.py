"""One-shot recognition: against a plain loop, scikit-learn, and examples worked by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor

from firstsight.errors import UserError
from firstsight.evaluation import identification as module
from firstsight.evaluation.bounds import binomial_interval
from firstsight.evaluation.identification import TemplateSpace, affordable_trials, draws, one_shot, recognize
from firstsight.evaluation.pixels import PixelSpace
from firstsight.functional.quantize import quantize, template_distances


def scattered(counts: list[int], *, spread: float = 1.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels_N = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels_N = labels_N[torch.randperm(len(labels_N), generator=generator)]
    centers_ID = torch.randn(len(counts), 8, generator=generator)
    x_ND = centers_ID[labels_N] + spread * torch.randn(len(labels_N), 8, generator=generator)
    return torch.nn.functional.normalize(x_ND), labels_N


@pytest.mark.parametrize("ways", [None, 3])
def test_each_trial_enrolls_one_of_each_and_probes_all_their_others(ways: int | None) -> None:
    _, labels_N = scattered([5, 1, 3, 4])
    labels = labels_N.numpy()
    seen: set[int] = set()
    for enrolled_C, probes_M in draws(labels_N, trials=60, seed=3, ways=ways):
        identities = labels[enrolled_C].tolist()
        assert identities == sorted(set(identities))
        assert len(identities) == (ways or 4)
        assert sorted([*enrolled_C, *probes_M]) == np.flatnonzero(np.isin(labels, identities)).tolist()
        seen |= set(enrolled_C.tolist())
    assert seen == set(range(13))  # every picture is enrolled in some trial


def test_accuracy_mistakes_and_confusions_against_a_plain_loop() -> None:
    x_ND, labels_N = scattered([6, 5, 1, 7])
    result = recognize(TemplateSpace(x_ND), labels_N, draws(labels_N, trials=20, seed=1), worst=100)
    d_NN = template_distances(quantize(x_ND), quantize(x_ND)).numpy()
    labels = labels_N.numpy()
    right = total = 0
    confusions: dict[tuple[int, int], int] = {}
    gaps: dict[int, float] = {}
    for enrolled_C, probes_M in draws(labels_N, trials=20, seed=1):
        for probe in probes_M:
            taken_for = min(enrolled_C, key=lambda picture: d_NN[probe, picture])
            total += 1
            if labels[taken_for] == labels[probe]:
                right += 1
                continue
            key = labels[probe], labels[taken_for]
            confusions[key] = confusions.get(key, 0) + 1
            (own,) = enrolled_C[labels[enrolled_C] == labels[probe]]
            gaps[probe] = max(gaps.get(probe, 0), d_NN[probe, own] - d_NN[probe, taken_for])
    assert result.accuracy == pytest.approx(right / total)
    assert 0.3 < result.accuracy < 0.95, "an example without mistakes, or of nothing else, shows nothing"
    assert (result.identifications, result.trials, result.ways) == (total, 20, 4)
    assert {(true, other): n for true, other, n in result.confusions} == confusions
    assert [n for *_, n in result.confusions] == sorted(confusions.values(), reverse=True)
    found = {m.probe: m.distance_to_right - m.distance for m in result.mistakes}
    assert found == pytest.approx(gaps)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    for mistake in result.mistakes:
        assert labels[mistake.right] == labels[mistake.probe] != labels[mistake.taken_for]
        assert mistake.distance == pytest.approx(d_NN[mistake.probe, mistake.taken_for])


def test_only_the_worst_mistakes_are_kept() -> None:
    x_ND, labels_N = scattered([6, 5, 1, 7])
    drawn = draws(labels_N, trials=20, seed=0)
    every, few = (recognize(TemplateSpace(x_ND), labels_N, drawn, worst=n).mistakes for n in (100, 3))
    assert len(every) > 3
    assert few == every[:3]


def test_identities_far_apart_are_never_mistaken_and_still_not_certain() -> None:
    result = one_shot(torch.eye(4).repeat_interleave(5, dim=0), torch.arange(4).repeat_interleave(5), trials=10)
    assert (result.accuracy, result.mistakes, result.confusions) == (1.0, (), ())
    assert result.interval.low == binomial_interval(20, 20).low


def test_of_equally_near_pictures_the_one_enrolled_first_is_taken() -> None:
    """All embeddings alike: the gallery answers with its first, identity 0, which is right for its one probe of 3."""
    result = one_shot(torch.ones(6, 4), torch.tensor([0, 0, 1, 1, 2, 2]), trials=5)
    assert result.accuracy == pytest.approx(1 / 3)
    assert {(true, other) for true, other, _ in result.confusions} == {(1, 0), (2, 0)}


def test_templates_are_searched_lot_by_lot_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    x_ND, labels_N = scattered([6, 5, 7])
    drawn = draws(labels_N, trials=4, seed=2)
    heard: list[int] = []
    whole = TemplateSpace(x_ND).nearest(drawn, heard.append)
    monkeypatch.setattr(module, "PROBES_AT_ONCE", 6)
    parts = TemplateSpace(x_ND).nearest(drawn, heard.append)
    assert heard == [15] * 4 + [6, 6, 3] * 4
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("space", [TemplateSpace, PixelSpace])
def test_what_could_not_be_embedded_is_known_by_nobody(space: type[TemplateSpace | PixelSpace]) -> None:
    """Two identities of two pictures; one picture is unreadable. Drawn for enrollment, its identity is unknown and its
    other picture is taken for the only one enrolled; drawn as probe, it is wrong itself. The others are right."""
    x_ND = torch.eye(2).repeat_interleave(2, dim=0)
    x_ND[0] = torch.nan
    labels_N = torch.tensor([0, 0, 1, 1])
    result = recognize(space(x_ND), labels_N, draws(labels_N, trials=50, seed=0))
    assert result.identifications == 100
    assert result.recognized.tolist() == [0, 0, result.probed[2], result.probed[3]]
    assert result.accuracy == pytest.approx(0.5)
    assert result.confusions == ((0, 1, int(result.probed[1])),)
    assert result.mistakes == ()  # there was no right picture to be farther than the wrong one


def test_a_gallery_that_nobody_could_be_enrolled_in_knows_nobody() -> None:
    x_ND = torch.full((4, 3), torch.nan)
    result = one_shot(x_ND, torch.tensor([0, 0, 1, 1]), trials=3)
    assert (result.accuracy, result.mistakes) == (0.0, ())


def test_the_same_seed_gives_the_same_figures_and_another_one_others() -> None:
    x_ND, labels_N = scattered([6, 5, 7])
    first, again, other = (one_shot(x_ND, labels_N, trials=5, seed=seed) for seed in (0, 0, 1))
    assert (first.accuracy, first.mistakes) == (again.accuracy, again.mistakes)
    assert not np.array_equal(first.probed, other.probed)


@pytest.mark.parametrize(
    ("labels", "ways", "message"),
    [
        ([0, 0, 0], None, "among 1 cannot be measured on 1 identities"),
        ([0, 1, 2], None, "of which 0 have a second picture"),
        ([0, 0, 1, 1], 5, "among 5 cannot be measured on 2 identities"),
    ],
)
def test_too_few_identities_are_refused(labels: list[int], ways: int | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        one_shot(torch.eye(4)[: len(labels)], torch.tensor(labels), ways=ways)


def test_by_default_no_more_trials_than_their_comparisons_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four identities, 13 pictures: 4 x 9 comparisons a trial, as in what is drawn."""
    labels_N = scattered([5, 1, 3, 4])[1]
    for allowed, trials in ((10_000, 200), (200 * 36, 200), (200 * 36 - 1, 199), (36, 1), (5, 1)):
        monkeypatch.setattr(module, "COMPARISONS", allowed)
        assert affordable_trials(labels_N, 200) == trials
        compared = sum(
            len(enrolled_C) * len(probes_M) for enrolled_C, probes_M in draws(labels_N, trials=trials, seed=0)
        )
        assert compared <= allowed or trials == 1
