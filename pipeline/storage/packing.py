"""Values to an HDF5 image, in memory or straight in a file: the same values give the same bytes either way."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import h5py
import numpy as np
from dualstream.pipeline.storage.descriptor import WriteFile
from dualstream.pipeline.storage.rows import RowsOnDisk, blocks
from dualstream.pipeline.storage.schema import TEXT, Field, Schema, Value, require_all
from dualstream.pipeline.storage.sealed import HEADER_BYTES
from dualstream.pipeline.storage.texts import Texts, encoded
from numpy.typing import NDArray

CHUNK_BYTES = 1 << 20  # large enough to be few, small enough to stay in a core's cache while it is checked
SMALLEST_CHUNK_BYTES = 4096
LARGEST_TEXT_BYTES = 16 << 20


def pack(schema: Schema, values: Mapping[str, Value]) -> memoryview:
    """Build an HDF5 image with room for a sealed header. The same values give the same bytes.

    Raises
    ------
    ValueError
        Where a value does not fit its field, or a field is unknown or absent: a fault of the caller.
    """
    buffer = io.BytesIO()
    _write_all(schema, values, buffer, lambda: None)
    return buffer.getbuffer()


def pack_into(descriptor: int, schema: Schema, values: Mapping[str, Value]) -> None:
    """Build the image that `pack` builds in a file that is open and empty; rows go there a block at a time.

    HDF5 works in a thread of its own: an interrupt reaches this one, and never HDF5.

    Raises
    ------
    ValueError
        As `pack`.
    OSError
        Where the disk is full or refuses.
    """
    file = WriteFile(descriptor)
    with ThreadPoolExecutor(1, thread_name_prefix="dualstream-seal") as thread:
        done = thread.submit(_write_all, schema, values, file, file.require)
        try:
            done.result()
        except BaseException as error:
            file.failure = file.failure or error  # the thread ends after its block
            raise
    file.flush()
    file.require()


def encode(path: str, value: str | Sequence[str]) -> NDArray[Any]:
    """Return a text, or a column of them, as HDF5 holds it: UTF-8 of fixed length.

    Raises
    ------
    ValueError
        Where one holds a zero byte or is too long.
    """
    try:
        array = value.raw if isinstance(value, Texts) else encoded([value] if isinstance(value, str) else value)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from error
    if array.dtype.itemsize > LARGEST_TEXT_BYTES:
        raise ValueError(
            f"{path} holds a text of {array.dtype.itemsize:,} bytes; expected at most {LARGEST_TEXT_BYTES:,}"
        )
    return array.reshape(()) if isinstance(value, str) else array


def _write_all(
    schema: Schema, values: Mapping[str, Value], target: io.BytesIO | WriteFile, after_block: Callable[[], None]
) -> None:
    require_all(schema, set(values))
    with h5py.File(target, "w", libver=("v108", "v108"), userblock_size=HEADER_BYTES) as file:
        file.attrs.create("format", f"dualstream-{schema.kind}", dtype=_text_type(32))
        file.attrs.create("version", schema.version, dtype="<i4")
        for path, value in values.items():
            field = schema.field(path)
            if field is None:
                raise ValueError(f"{path} is not part of a {schema.kind}")
            _write(file, path, value, field, after_block)


def _write(file: h5py.File, path: str, value: Value, field: Field, after_block: Callable[[], None]) -> None:
    array: NDArray[Any] | RowsOnDisk
    if field.dtype == TEXT:
        assert isinstance(value, Sequence), f"{path} is no text"
        array = encode(path, value)
        dtype: Any = _text_type(array.dtype.itemsize)
    else:
        array = value if isinstance(value, RowsOnDisk) else np.asarray(value)
        dtype = np.dtype(field.dtype)
        if array.dtype != dtype:
            raise ValueError(f"{path} has type {array.dtype}; expected {dtype}")
    if array.ndim != field.rank:
        raise ValueError(f"{path} has shape {array.shape}; expected {field.rank} axes")
    options: dict[str, Any] = {}
    rows = max(1, len(array) if array.ndim else 1)
    if array.ndim and array.nbytes > SMALLEST_CHUNK_BYTES:
        rows = max(1, min(len(array), CHUNK_BYTES // (array.nbytes // len(array))))
        options = {"chunks": (rows, *array.shape[1:]), "fletcher32": True}
    dataset = file.create_dataset(path, shape=array.shape, dtype=dtype, **options).id
    if not array.ndim:
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(array), mtype=dataset.get_type())
    elif array.nbytes:
        _write_blocks(dataset, array, rows, after_block)


def _write_blocks(
    dataset: h5py.h5d.DatasetID, array: NDArray[Any] | RowsOnDisk, rows: int, after_block: Callable[[], None]
) -> None:
    """Write whole chunks, one after the other, as HDF5 itself does with a whole array."""
    space, kind = dataset.get_space(), dataset.get_type()
    for span, block in blocks(array, rows):
        space.select_hyperslab((span.start, *(0 for _ in block.shape[1:])), block.shape)
        dataset.write(h5py.h5s.create_simple(block.shape), space, np.ascontiguousarray(block), mtype=kind)
        after_block()


def _text_type(length: int) -> Any:
    return h5py.string_dtype("utf-8", length)
