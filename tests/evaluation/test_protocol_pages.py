"""The reports of the single protocols show their figures, and what they left out of none."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from firstsight.data.identities import PictureSet, open_pictures
from firstsight.data.pairs import read_pairs
from firstsight.evaluation.episodes import evaluate_episodes
from firstsight.evaluation.folds import evaluate_pairs
from firstsight.evaluation.open_set import evaluate_open_set
from firstsight.evaluation.protocol_pages import protocol_table, write_protocol
from firstsight.evaluation.retrieval import evaluate_retrieval
from firstsight.evaluation.sections import lookalike_section, lookalikes, percent
from firstsight.model_config import OperatingPoint
from firstsight.models.folder import Model, set_operating_point


@pytest.fixture
def people(tmp_path: Path, write_identities: Callable[..., Path]) -> PictureSet:
    folder = write_identities(tmp_path / "people", {"a": 3, "b": 3, "c": 3, "d": 3}, noise=110)
    (folder / "b" / "2.png").write_bytes(b"broken")
    return open_pictures(folder)


def test_pairs(model: Model, people: PictureSet, tmp_path: Path) -> None:
    lines = ["2 2", "a 0 1", "b 0 1", "a 0 b 0", "a 1 c 0", "c 0 2", "b 1 2", "c 1 d 1", "d 0 a 9"]
    (tmp_path / "pairs.txt").write_text("\n".join(lines))
    evaluation = evaluate_pairs(model, people, read_pairs(tmp_path / "pairs.txt", people))
    page = write_protocol(tmp_path / "out", evaluation, title="Pairs", summary="").read_text("utf-8")
    figures = evaluation.to_json()
    assert f"{percent(figures['accuracy'])} ± {percent(figures['standard_error'])}" in page
    assert "2 in all: a picture is missing or cannot be read." in page
    assert '<th scope="row">d/0.png</th><td>a 9</td>' in page
    assert page.count("<svg") == 5
    assert json.loads((tmp_path / "out" / "report.json").read_text("utf-8")) == figures


def headings(page: str) -> list[str]:
    return re.findall("<h2>(.*?)</h2>", page)


def test_episodes(model: Model, people: PictureSet, tmp_path: Path) -> None:
    evaluation = evaluate_episodes(model, people, ways=3, episodes=30)
    page = write_protocol(tmp_path, evaluation, title="Episodes", summary="").read_text("utf-8")
    assert percent(evaluation.one_shot.accuracy) in page
    assert percent(evaluation.pixels.accuracy) in page
    assert "30 random episodes of 3 identities, 1 enrolled of each; 90 identifications." in page
    true, other, count = evaluation.one_shot.confusions[0]
    assert f"{people.names[true]} taken for {people.names[other]}</th><td>{count}</td>" in page
    assert "b/2.png" in page
    assert headings(page) == [
        "Figures", "The same or not", "Look-alikes", "Pictures that could not be read", "How far apart", "Confusion",
        "The gallery from above", "Hardest pairs",
    ]  # fmt: skip


def test_retrieval(model: Model, people: PictureSet, tmp_path: Path) -> None:
    evaluation = evaluate_retrieval(model, people)
    page = write_protocol(tmp_path, evaluation, title="Retrieval", summary="").read_text("utf-8")
    for share in (evaluation.retrieval.precision_at_1, evaluation.retrieval.r_precision, evaluation.retrieval.map_at_r):
        assert f"<td>{percent(share)}</td>" in page
    assert set(headings(page)) >= {
        "The same or not", "How far apart", "The gallery from above", "Hardest pairs",
    }  # fmt: skip


def test_open_set(model: Model, people: PictureSet, tmp_path: Path) -> None:
    point = OperatingPoint(threshold=0.75, target=0.01, accepted=0, comparisons=300, identities=30)
    evaluation = evaluate_open_set(set_operating_point(model, point), people, trials=20)
    table = protocol_table(evaluation)
    assert [row[0] for row in table.rows] == [
        "Right decisions at the threshold 0.750", "DIR at the threshold 0.750", "FPIR at the threshold 0.750",
        "DIR at FPIR 10 %", "DIR at FPIR 1 %", "DIR at FPIR 0.1 %",
    ]  # fmt: skip
    assert [row[1] for row in table.rows[:2]] == [
        percent(evaluation.open_set.accuracy),
        percent(evaluation.open_set.dir),
    ]
    assert [row[2] for row in table.rows[3:]] == ["too few strangers"] * 3
    page = write_protocol(tmp_path, evaluation, title="Open set", summary="").read_text("utf-8")
    assert "20 random choices of 2 identities to enroll from one picture each" in page
    assert "the tightest FPIR is 0.25" in page
    assert headings(page)[-4:] == [
        "With strangers at the door", "Confusion", "The gallery from above", "Hardest pairs",
    ]  # fmt: skip


def test_a_section_without_plots_is_not_shown(
    model: Model, tmp_path: Path, write_identities: Callable[..., Path]
) -> None:
    easy = open_pictures(write_identities(tmp_path / "easy", {"a": 3, "b": 3, "c": 3}, noise=1))
    evaluation = evaluate_retrieval(model, easy)
    assert evaluation.retrieval.precision_at_1 == 1
    page = write_protocol(tmp_path / "out", evaluation, title="", summary="").read_text("utf-8")
    assert headings(page) == ["Figures", "The same or not", "How far apart", "The gallery from above", "Hardest pairs"]


def test_the_matrix_of_lookalikes_counts_what_was_confused(model: Model, people: PictureSet) -> None:
    evaluation = evaluate_episodes(model, people, ways=3, episodes=60)
    (plot,) = lookalike_section(evaluation, evaluation.one_shot).plots
    share_OO = plot.figure.axes[0].images[0].get_array()
    shown = lookalikes(evaluation.one_shot)
    recognized = np.bincount(evaluation.labels, weights=evaluation.one_shot.recognized)
    confused = {(true, other): count for true, other, count in evaluation.one_shot.confusions}
    assert len(shown) > 2
    for i, true in enumerate(shown):
        counts = [recognized[true] if true == other else confused.get((true, other), 0) for other in shown]
        np.testing.assert_allclose(share_OO[i], np.array(counts) / sum(counts))
