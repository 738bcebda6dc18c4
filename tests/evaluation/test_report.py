"""The page and its numbers: whole, self-contained, safe, and readable without eyes."""

import errno
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from firstsight.errors import StorageError
from firstsight.evaluation.pages import embedding_section, learning_section, write_evaluation
from firstsight.evaluation.plots import style
from firstsight.evaluation.protocols import Evaluation
from firstsight.evaluation.report import Headline, Plot, Section, Table, report_page, svg, write_report

HOSTILE = """</title></svg><script>alert("1")</script> & 'it' id="x" url(#y) $title ${z} 张三"""
VOID = {"meta", "br", "link", "img"}


class Page(HTMLParser):
    """Tags, ids, references and texts of a page; complains of a tag that is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def labeled_figure(text: str) -> Figure:
    with style():
        figure = Figure(figsize=(3, 2))
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1])
        axes.set_title(text)
        axes.grid()
    return figure


def page_of(text: str) -> str:
    return report_page(
        text,
        text,
        [Headline(text, text, text)],
        [Table(text, text, ["", text], [[text, text]])],
        [Section(text, [Plot(labeled_figure("One"), text, text), Plot(labeled_figure("Two"), text, text, wide=True)])],
        text,
    )


def test_what_users_write_is_shown_and_never_read_as_html() -> None:
    page = Page(page_of(HOSTILE))
    assert not page.all("script")
    # title, h1, summary; headline x 3; h2, caption, column, row and cell; h2 and two captions; footer
    assert sum(HOSTILE in text for text in page.texts) == 3 + 3 + 5 + 3 + 1
    assert [svg["aria-label"] for svg in page.all("svg")] == [HOSTILE, HOSTILE]


def test_text_inside_a_figure_is_kept_to_the_letter() -> None:
    """Ids and colors are rewritten, but in tags only."""
    text = '<g id="x"> url(#y) #010203 张三'
    page = Page("<div>" + svg(labeled_figure(text), alt="", prefix="f1-") + "</div>")
    assert text in [part.strip() for part in page.texts]


def test_the_page_needs_no_other_file_and_no_network() -> None:
    text = page_of("Plain")
    page = Page(text)
    assert not page.all("link") + page.all("img") + page.all("script")
    links = [value for _, attributes in page.tags for key, value in attributes.items() if key in ("src", "href")]
    assert all(str(value).startswith(("#", "data:")) for value in links)
    assert not re.search(r"@import|url\((?!#)", text)


def test_ids_are_unique_and_references_lead_somewhere() -> None:
    text = page_of("Plain")
    ids = [str(attributes["id"]) for _, attributes in Page(text).tags if "id" in attributes]
    references = re.findall(r"url\(#([^)]*)\)|href=\"#([^\"]*)\"", text)
    assert len(set(ids)) == len(ids)
    assert ids
    assert {one or other for one, other in references} == set(ids)


def test_figures_take_the_color_and_the_font_of_the_page() -> None:
    text = svg(labeled_figure("T"), alt="", prefix="")
    assert "currentColor" in text
    assert "#010203" not in text
    assert "DejaVu" not in text


def test_the_page_can_be_read_without_eyes(evaluation: Evaluation, tmp_path: Path) -> None:
    text = write_evaluation(tmp_path, evaluation, title="Six people", summary="How well.").read_text("utf-8")
    page = Page(text)
    assert page.all("html")[0]["lang"] == "en"
    headings = [tag for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == "h1"
    assert set(headings[1:]) == {"h2"}
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.all("svg"))
    assert all(th["scope"] in ("col", "row") for th in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table")) == 3
    assert len(page.all("figure")) == len(page.all("figcaption")) == 9


def test_an_evaluation_is_told_in_full(evaluation: Evaluation, tmp_path: Path) -> None:
    before = [
        learning_section([1.0, 0.5], [1.0, 0.2]),
        embedding_section(evaluation, -evaluation.embeddings, unseen=["dan"]),
    ]
    path = write_evaluation(
        tmp_path / "run", evaluation, title="Six people", summary="How well.", before=before, data={"loss": 0.5}
    )
    assert path == tmp_path / "run" / "report.html"
    page = " ".join(Page(path.read_text("utf-8")).texts)
    figures = json.loads((tmp_path / "run" / "report.json").read_text("utf-8"))
    assert figures == {**evaluation.to_json(), "loss": 0.5}
    for share in (figures["accuracy"], figures["pixel_accuracy"], figures["eer"], figures["val_at_far_1e-1"]):
        assert f"{share:.1%}".replace("%", " %") in page
    assert figures["val_at_far_1e-3_refused"] in page
    assert "ada/broken.png" in page
    assert "6 identities, 28 pictures; one-shot: 30 random choices" in page
    assert "never trained on: dan." in page


def test_what_is_not_finite_becomes_null(tmp_path: Path) -> None:
    write_report(tmp_path, title="", summary="", data={"a": float("nan"), "b": [float("inf"), {"c": 1.5}], "d": (1,)})
    assert json.loads((tmp_path / "report.json").read_text()) == {"a": None, "b": [None, {"c": 1.5}], "d": [1]}


def test_the_same_report_is_the_same_file() -> None:
    assert page_of("Plain") == page_of("Plain")


def test_a_full_disk_leaves_the_old_report_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(tmp_path, title="Old", summary="", data={"a": 1})
    old = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError) as caught:
        write_report(tmp_path, title="New", summary="", data={"a": 2})
    assert str(caught.value) == (
        f"The report cannot be written into {tmp_path}: No space left on device. Free space or name another --out."
    )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == old


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"into .*file/run: Not a directory\."):
        write_report(tmp_path / "file" / "run", title="", summary="", data={})
