"""IDX files, well formed and not."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from firstsight.data.idx import read_idx
from firstsight.errors import DataError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(values: np.ndarray, kind: str = "u1") -> bytes:
    header = bytes([0, 0, CODES[kind], values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.astype(f">{kind}").tobytes()


@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("shape", [(7,), (5, 3, 4), (0, 2)])
@pytest.mark.parametrize("zipped", [False, True])
def test_every_type_and_shape(tmp_path: Path, kind: str, shape: tuple[int, ...], zipped: bool) -> None:
    values = np.random.default_rng(0).integers(0, 100, shape).astype(kind)
    content = idx(values, kind)
    (tmp_path / "file").write_bytes(gzip.compress(content, mtime=0) if zipped else content)
    read = read_idx(tmp_path / "file")
    assert read.dtype == torch.from_numpy(values).dtype
    assert torch.equal(read, torch.from_numpy(values))


WHOLE = idx(np.arange(12).reshape(3, 4))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "file is not an IDX file. Download it again"),
        (b"PNG" + WHOLE, "file is not an IDX file."),
        (b"\0\0\x07\x01" + WHOLE[4:], "file is not an IDX file."),
        (b"\0\0\x08\xff" + WHOLE[4:], "file is not an IDX file."),
        (WHOLE[:6], "file is damaged: it ends too early."),
        (WHOLE[:-1], "file is damaged: it ends too early."),
        (WHOLE + b"\0", "file is damaged: it goes on after its last number."),
        (b"\0\0\x0e\x03" + b"\xff" * 12, "file is damaged: it ends too early."),
        (gzip.compress(WHOLE, mtime=0)[:-9], "file cannot be read ("),
        (gzip.compress(WHOLE, mtime=0)[:10] + b"\xff" * 20, "file cannot be read ("),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_idx(tmp_path / "file")
    assert str(caught.value).startswith(f"{tmp_path}/{message}")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone.gz does not exist. Check the path."):
        read_idx(tmp_path / "gone.gz")


@pytest.mark.data
def test_mnist_as_published(shared_data: Path) -> None:
    pictures = read_idx(shared_data / "mnist" / "t10k-images-idx3-ubyte.gz")
    labels = read_idx(shared_data / "mnist" / "t10k-labels-idx1-ubyte.gz")
    assert (pictures.shape, pictures.dtype) == ((10_000, 28, 28), torch.uint8)
    assert labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
