"""report.html, which opens from disk and needs nothing else, and report.json, its numbers."""

import html
import io
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from firstsight.atomic import in_utf8, write_atomically
from firstsight.errors import StorageError
from firstsight.plain import finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HTML, JSON = "report.html", "report.json"


@dataclass(frozen=True)
class Headline:
    """One figure to remember: `value` large, `label` above it, `note` below."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row names it."""

    heading: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure: `caption` tells how to read it, `alt` what it shows, for those who cannot see it."""

    figure: "Figure"
    caption: str
    alt: str
    wide: bool = False


@dataclass(frozen=True)
class Section:
    """A heading with plots below it; one without plots is not shown."""

    heading: str
    plots: Sequence[Plot]
    text: str = ""


def write_report(
    folder: str | Path,
    *,
    title: str,
    summary: str,
    data: Mapping[str, Any],
    headlines: Sequence[Headline] = (),
    tables: Sequence[Table] = (),
    sections: Sequence[Section] = (),
    footer: str = "",
) -> Path:
    """Write `report.html` and `report.json` into `folder`, each whole or not at all; give the page's path.

    All texts are plain: whatever stands in them is shown, none of it is read as HTML. In `data` a figure that is
    not finite becomes null.

    Raises:
        StorageError: the folder cannot be written.
    """
    folder = Path(folder)
    page = report_page(title, summary, headlines, tables, sections, footer)
    numbers = json.dumps(finite(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / JSON, in_utf8(numbers))
        write_atomically(folder / HTML, in_utf8(page))
    except OSError as error:
        raise StorageError(
            f"The report cannot be written into {folder}: {error.strerror}.", hint="Free space or name another --out."
        ) from error
    return folder / HTML


def report_page(
    title: str,
    summary: str,
    headlines: Sequence[Headline] = (),
    tables: Sequence[Table] = (),
    sections: Sequence[Section] = (),
    footer: str = "",
) -> str:
    """The page as one string."""
    template = resources.files("firstsight.evaluation").joinpath("report.template.html").read_text("utf-8")
    numbered = iter(range(1, 10_000))
    return Template(template).substitute(
        title=html.escape(title),
        summary=html.escape(summary),
        headlines=_headlines(headlines),
        tables="\n".join(_table(table) for table in tables),
        sections="\n".join(
            _section(section, [next(numbered) for _ in section.plots]) for section in sections if section.plots
        ),
        footer=html.escape(footer or "Made by firstsight."),
    )


def svg(figure: "Figure", *, alt: str, prefix: str) -> str:
    """A figure as inline SVG in the page's own font and text color; `prefix` keeps its ids apart from others'."""
    from firstsight.evaluation.plots import INK, SAME, style

    buffer = io.StringIO()
    with style(), warnings.catch_warnings():
        # of a name in Chinese, say: the browser has the letters that matplotlib's own font lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", dpi=160, metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text[text.index("<svg") :], flags=re.DOTALL)

    def page_tag(match: re.Match[str]) -> str:
        tag = re.sub(r'^<g id="[^"]*"', "<g", match[0])
        tag = re.sub(r'((?<= id=")|(?<=url\(#)|(?<=href="#))', prefix, tag)
        tag = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", tag)
        return tag.replace(INK, "currentColor").replace(SAME.lower(), "var(--blue)")

    # inside tags only: what stands between them is text, some of it the user's
    text = re.sub(r"<[^<>]*>", page_tag, text)
    width = round(figure.get_figwidth() * 96)
    opening = f'<svg role="img" aria-label="{html.escape(alt)}" style="max-width: {width}px" '
    return opening + re.sub(r' (width|height)="[\d.]+pt"', "", text.strip(), count=2).removeprefix("<svg ")


def _headlines(headlines: Sequence[Headline]) -> str:
    if not headlines:
        return ""
    tiles = [
        f"<div><dt>{html.escape(tile.label)}</dt>"
        f'<dd class="value">{html.escape(tile.value)}</dd><dd class="note">{html.escape(tile.note)}</dd></div>'
        for tile in headlines
    ]
    return f'<dl class="headlines">{"".join(tiles)}</dl>'


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in table.columns)
    rows = "\n".join(
        f'<tr><th scope="row">{html.escape(name)}</th>{"".join(f"<td>{html.escape(cell)}</td>" for cell in cells)}</tr>'
        for name, *cells in table.rows
    )
    return (
        f'<section><h2>{html.escape(table.heading)}</h2>\n<div class="scroll"><table>'
        f"<caption>{html.escape(table.caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>"
        "</table></div></section>"
    )


def _section(section: Section, numbers: Sequence[int]) -> str:
    figures = "\n".join(
        f"<figure{' class=wide' * plot.wide}>{svg(plot.figure, alt=plot.alt, prefix=f'f{number}-')}"
        f"<figcaption>{html.escape(plot.caption)}</figcaption></figure>"
        for number, plot in zip(numbers, section.plots, strict=True)
    )
    text = f"<p>{html.escape(section.text)}</p>\n" * bool(section.text)
    return f'<section><h2>{html.escape(section.heading)}</h2>\n{text}<div class="figures">{figures}</div></section>'
