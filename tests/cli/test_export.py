"""The verb export."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from firstsight.cli.main import main
from firstsight.models import onnx_file
from firstsight.models.folder import Model


def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: Any) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["firstsight", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out, said.err


def test_it_says_what_goes_in_and_comes_out_and_replaces_nothing_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(_model: Model, path: Path) -> float:
        path.write_text("an ONNX file")
        return 2e-7

    monkeypatch.setattr(onnx_file, "write_onnx", write)
    words = ("export", "glyphs", "--onnx", tmp_path / "g.onnx")
    code, out, _ = typed(capsys, monkeypatch, *words)
    assert (code, out.split(": ", 1)[1].splitlines()) == (
        0,
        [
            "from pictures, batch x 1 x 32 x 32, to embeddings.",
            "onnxruntime agrees with the model within 2e-07.",
        ],
    )
    code, _, err = typed(capsys, monkeypatch, *words)
    assert (code, "is there already. Name another file, or replace it: --force" in " ".join(err.split())) == (2, True)
    said = json.loads(typed(capsys, monkeypatch, *words, "--force", "--json")[1])
    assert (said["input"], said["output"], said["apart"]) == (["pictures", 1, 32, 32], "embeddings", 2e-7)


def test_without_its_extra_it_says_what_to_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, _, err = typed(capsys, monkeypatch, "export", "glyphs", "--onnx", tmp_path / "g.onnx")
    assert (code, 'Type: pip install "firstsight[onnx]"' in " ".join(err.split())) == (2, True)
