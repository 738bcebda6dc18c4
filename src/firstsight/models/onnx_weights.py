"""The weights in an ONNX file, without the package onnx: the few messages of its format that hold tensors.

An ONNX file is a protocol buffer: fields, each with a number and one of four wire types. Of ModelProto we read the
graph (7), of GraphProto the initializers (5), of TensorProto dims (1), data_type (2), name (8), and raw_data (9) or
float_data (4), which are both the very bytes:
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. It is meant for files whose digest is known.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[Any]
_TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("u1"),
    3: np.dtype("i1"),
    6: np.dtype("<i4"),
    7: np.dtype("<i8"),
}
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5


def onnx_weights(encoded: bytes) -> dict[str, Weights]:
    """Every initializer of an ONNX file, by its name.

    Raises:
        ValueError: not an ONNX file, or with tensors that are not kept as raw data of a known type.
    """
    weights: dict[str, Weights] = {}
    for number, graph in _fields(memoryview(encoded)):
        if number == 7 and isinstance(graph, memoryview):
            tensors = (field for place, field in _fields(graph) if place == 5 and isinstance(field, memoryview))
            weights.update(map(_tensor, tensors))
    if not weights:
        raise ValueError("no weights in this ONNX file")
    return weights


def _tensor(message: memoryview) -> tuple[str, Weights]:
    shape: list[int] = []
    name, kind, raw = "", 0, memoryview(b"")
    for number, value in _fields(message):
        if isinstance(value, int):
            if number == 1:
                shape.append(value)
            elif number == 2:
                kind = value
        elif number == 1:
            shape += _packed(value)
        elif number == 8:
            name = bytes(value).decode()
        elif number in (4, 9):
            raw = value
    if kind not in _TYPES or len(raw) != prod(shape) * _TYPES[kind].itemsize:
        raise ValueError(f"the tensor {name} is not raw data of a known type")
    return name, np.frombuffer(raw, _TYPES[kind]).reshape(shape)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Each field's number, with an integer or the bytes that it holds."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in (_FIXED_32, _FIXED_64):
            size = 4 if kind == _FIXED_32 else 8
        else:
            raise ValueError(f"wire type {kind} at byte {at}")
        if at + size > len(message):
            raise ValueError(f"a field at byte {at} goes beyond the end")
        yield number, message[at : at + size]
        at += size


def _packed(message: memoryview) -> Iterator[int]:
    at = 0
    while at < len(message):
        value, at = _varint(message, at)
        yield value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """An integer of seven bits a byte, the lowest first, and where the next field begins."""
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value, at
    raise ValueError("the file ends within a number")
