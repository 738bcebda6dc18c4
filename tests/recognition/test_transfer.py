"""Export and import: what comes back is what went out, all of it or nothing."""

import base64
import json
from pathlib import Path

import pytest
from tiny_models import pixel_model, random_templates

from firstsight.errors import AlreadyEnrolled, DataError, GalleryError, OtherModel
from firstsight.models.folder import Model
from firstsight.recognition import rows, transfer
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.transfer import export_lines, import_lines

NAMES = ["ada", "Ångström", "bob", "ada", "cyd", "bob"]


@pytest.fixture
def full(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> Gallery:
    """Four identities, two of them with two templates; batches of two."""
    monkeypatch.setattr(rows, "_READ_AT_ONCE", 2)
    monkeypatch.setattr(transfer, "_AT_ONCE", 2)
    pictures = [b"png %d" % i if i != 2 else None for i in range(6)]
    for name, template, picture in zip(NAMES, random_templates(6), pictures, strict=True):
        gallery.enroll(name, template, picture, add=True)
    return gallery


def held(gallery: Gallery) -> list[tuple[object, ...]]:
    with gallery.storage.reading() as connection:
        rows_ = [row for batch in rows.stored(connection, gallery.terms.cipher) for row in batch]
    return [(row.name, row.template, row.picture, row.enrolled_at, row.model_identity) for row in rows_]


def test_what_comes_back_is_what_went_out(full: Gallery, tmp_path: Path) -> None:
    heard = []
    out = tmp_path / "g.jsonl"
    assert export_lines(full, out, pictures=True, on_progress=lambda *now: heard.append(now)) == (4, 6)
    with Gallery(tmp_path / "other.sqlite") as other:
        assert import_lines(out, other, on_progress=lambda *now: heard.append(now)) == (4, 6)
        assert held(other) == held(full)
        assert [*other.enrollments()] == [*full.enrollments()]
        assert (other.model_identity, len(other)) == (full.model_identity, 4)
        other.bind_model(pixel_model("tiny"))
        found = other.search(random_templates(6), k=1)
        assert [match.name for (match,) in found] == NAMES
    assert heard == [(2, 6), (4, 6), (6, 6)] * 2


def test_a_line_can_be_read_by_any_program(full: Gallery, tmp_path: Path) -> None:
    export_lines(full, tmp_path / "g.jsonl")
    head, first, *_ = map(json.loads, (tmp_path / "g.jsonl").read_text("utf-8").splitlines())
    assert (head["firstsight_gallery"], head["identities"], head["templates"]) == (1, 4, 6)
    assert head["model_identity"] == full.model_identity
    assert base64.b64decode(first["template"]) == random_templates(6)[0].numpy().tobytes()
    assert set(first) == {"name", "enrolled_at", "template"}, "pictures were not asked for"


def test_it_is_added_to_who_is_there_but_nobody_is_replaced(full: Gallery, tmp_path: Path, model: Model) -> None:
    export_lines(full, tmp_path / "g.jsonl")
    for name in ("zoe", "bob"):
        with Gallery(tmp_path / f"{name}.sqlite") as other:
            other.bind_model(model)
            other.enroll(name, random_templates(1, seed=9)[0])
            if name == "zoe":
                import_lines(tmp_path / "g.jsonl", other)
                assert other.names() == ["zoe", "ada", "Ångström", "bob", "cyd"]
                assert len(other) == 5
                held_by = {name: [copy.path for copy in other.forget(name).copies] for name in ("zoe", "bob")}
                assert held_by == {"zoe": [], "bob": [str(tmp_path / "g.jsonl")]}
            else:
                with pytest.raises(AlreadyEnrolled, match=r"^bob is enrolled in .*bob\.sqlite already"):
                    import_lines(tmp_path / "g.jsonl", other)
                assert other.names() == ["bob"]


def test_templates_of_another_model_stay_out(full: Gallery, tmp_path: Path) -> None:
    export_lines(full, tmp_path / "g.jsonl")
    other_model = pixel_model("other", size=4)
    with Gallery(tmp_path / "other.sqlite") as other:
        with pytest.raises(OtherModel, match="cannot be compared with those of runs/other"):
            import_lines(tmp_path / "g.jsonl", other, model=(other_model.identity, "runs/other"))
        other.bind_model(other_model)
        other.enroll("zoe", random_templates(1, size=16)[0])
        with pytest.raises(OtherModel, match="cannot be compared with those of other"):
            import_lines(tmp_path / "g.jsonl", other)
        assert other.names() == ["zoe"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda lines: lines[:-1], "has 5 templates, and says 6"),
        (lambda lines: [*lines[:-1], lines[-1][:40]], "line 7 is damaged"),
        (lambda lines: [lines[0], lines[1].replace('"ada"', '" "'), *lines[2:]], "line 2: A name is empty"),
        (lambda lines: [lines[0], lines[1].replace('e": "', 'e": "*'), *lines[2:]], "line 2 is damaged"),
        (lambda lines: [*lines[:5], '{"name": "x", "enrolled_at": "2026-01-01", "template": "AQI="}', lines[6]],
         "the template of x has not 64 bytes"),
        (lambda lines: lines[1:], "is no exported gallery"),
        (lambda lines: ["[]"], "is no exported gallery"),
        (lambda lines: [lines[0].replace('gallery": 1', 'gallery": 2'), *lines[1:]], "has format 2"),
    ],
)  # fmt: skip
def test_of_a_damaged_file_nobody_is_enrolled(full: Gallery, tmp_path: Path, damage, said: str) -> None:
    out = tmp_path / "g.jsonl"
    export_lines(full, out)
    out.write_text("\n".join(damage(out.read_text("utf-8").splitlines())), "utf-8")
    with Gallery(tmp_path / "other.sqlite") as other:
        with pytest.raises(DataError, match=said):
            import_lines(out, other)
        assert (other.names(), len(other), other.model_identity) == ([], 0, None)


def test_an_export_that_fails_leaves_the_one_before(full: Gallery, tmp_path: Path) -> None:
    out = tmp_path / "g.jsonl"
    out.write_text("before")

    def fail(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_lines(full, out, force=True, on_progress=fail)
    assert out.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir() if "jsonl" in file.name] == ["g.jsonl"]


def test_nobody_is_no_export(gallery: Gallery, tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="Nobody is enrolled"):
        export_lines(gallery, tmp_path / "g.jsonl")
    assert not (tmp_path / "g.jsonl").exists()
