"""Files that are whole or not there, and who may read them."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_models import pixel_model

from firstsight.atomic import appearing_whole, write_atomically
from firstsight.models.folder import save_model


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0o077, 0o027, 0o022, 0o002])
def test_the_umask_says_who_may_read_what_is_written(umask: Callable[[int], int], mask: int, tmp_path: Path) -> None:
    """As with a plain open(): reports and models show faces."""
    umask(mask)
    write_atomically(tmp_path / "report.html", b"<p>")
    save_model(pixel_model("mine"), tmp_path / "model")
    assert mode(tmp_path / "report.html") == 0o666 & ~mask
    assert mode(tmp_path / "model") == 0o777 & ~mask
    assert {mode(path) for path in (tmp_path / "model").iterdir()} == {0o666 & ~mask}


def test_what_was_closed_to_others_stays_closed(umask: Callable[[int], int], tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    for allowed in (0o600, 0o640):
        write_atomically(report, b"<p>")
        report.chmod(allowed)
        write_atomically(report, b"<p>anew")
        assert (mode(report), report.read_bytes()) == (allowed, b"<p>anew")
    folder, weights = tmp_path / "model", tmp_path / "model" / "model.safetensors"
    save_model(pixel_model("mine"), folder)
    folder.chmod(0o700)
    weights.chmod(0o600)
    save_model(pixel_model("mine"), folder)
    assert (mode(folder), mode(weights)) == (0o700, 0o600)


def test_what_is_private_stays_so(umask: Callable[[int], int], tmp_path: Path) -> None:
    umask(0)
    with appearing_whole(tmp_path / "keys.json") as fresh:
        assert mode(fresh) == 0o600
    assert mode(tmp_path / "keys.json") == 0o600
