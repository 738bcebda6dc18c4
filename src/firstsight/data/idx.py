"""IDX files, the format of MNIST (http://yann.lecun.com/exdb/mnist): a header, then numbers, big-endian."""

import gzip
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from firstsight.errors import DataError

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_RANK = 8
_HINT = "Download it again; give the file as published, .gz or not."


def read_idx(path: str | Path) -> Tensor:
    """Read one IDX file, gzipped or not, as a tensor of its shape and type.

    MNIST's pictures are uint8, N x 28 x 28, and its labels uint8, N.

    Raises:
        DataError: missing, no IDX file, or with fewer or more numbers than its header says.
    """
    try:
        with open(path, "rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else open(path, "rb") as opened:
            code, rank = _header(opened.read(4), path)
            shape = struct.unpack(f">{rank}I", _exactly(opened.read(4 * rank), 4 * rank, path))
            kind = np.dtype(_TYPES[code])
            size = math.prod(shape) * kind.itemsize
            content = _exactly(_up_to(opened, size + 1), size, path)  # one more: nothing may follow
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.", hint="Check the path.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}).", hint=_HINT) from error
    values = np.frombuffer(content, kind).reshape(shape)
    return torch.from_numpy(values.astype(kind.newbyteorder("=")))


def _header(magic: bytes, path: str | Path) -> tuple[int, int]:
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or not 1 <= magic[3] <= _MAX_RANK:
        raise DataError(f"{path} is not an IDX file.", hint=_HINT)
    return magic[2], magic[3]


def _up_to(opened: gzip.GzipFile | io.BufferedReader, size: int) -> bytes:
    """Read in pieces: a file's claim must not decide how much memory is taken."""
    content = io.BytesIO()
    while (left := size - content.tell()) and (piece := opened.read(min(left, 2**24))):
        content.write(piece)
    return content.getvalue()


def _exactly(content: bytes, size: int, path: str | Path) -> bytes:
    if len(content) != size:
        wrong = "ends too early" if len(content) < size else "goes on after its last number"
        raise DataError(f"{path} is damaged: it {wrong}.", hint=_HINT)
    return content
