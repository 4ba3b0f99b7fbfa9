"""An HDF5 image to arrays. Reading lists what is allowed and refuses the rest, before any value is read.

HDF5 can name other files, declare terabytes in a kilobyte and expand a thousandfold; a check that forbids
what it knows forgets one kind. So a `Schema` says which names there may be, of which type and rank, and a
file with anything else in it is not read at all.
"""

from __future__ import annotations

import io
import math
import zlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.memory import refuse_shortage
from dualstream.pipeline.storage.descriptor import ReadFile
from dualstream.pipeline.storage.packing import LARGEST_TEXT_BYTES, SMALLEST_CHUNK_BYTES, encode
from dualstream.pipeline.storage.rows import RowsOnDisk, blocks, in_blocks
from dualstream.pipeline.storage.schema import TEXT, Field, Schema, Value, Values, require_all
from dualstream.pipeline.storage.texts import Texts
from numpy.typing import NDArray

LARGEST_CHUNK_BYTES = 64 << 20
LARGEST_DECLARED_BYTES = 64 << 30
LARGEST_EXPANSION = 50  # declared bytes over the file's bytes, above SMALL_BYTES
SMALL_BYTES = 64 << 20
LARGEST_COUNT = 512  # objects in a file
DEFLATE, SHUFFLE, FLETCHER32 = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32
FILTER_ORDER = {SHUFFLE: 0, DEFLATE: 1, FLETCHER32: 2}  # the order in which they may be applied
LAYOUTS = (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED)

Image = NDArray[np.uint8] | ReadFile


def unpack(schema: Schema, image: NDArray[np.uint8], name: str) -> Values:
    """Validate an HDF5 image against `schema`, then read all of it. `name` is what errors call the file.

    Raises
    ------
    CorruptError
        Where it is not HDF5, or holds anything that the schema does not list.
    MemoryShortageError
        Where there is no room for its values.
    """
    with _validated(schema, image, name) as found:
        return {path: _read(dataset, schema.field(path)) for path, dataset in found.items()}  # type: ignore[arg-type]


def require_holds(schema: Schema, image: Image, values: Mapping[str, Value], name: str) -> None:
    """Validate an HDF5 image as `unpack` does, and compare what it holds with `values`, a block at a time.

    Raises
    ------
    CorruptError
        Where it holds anything else: memory or HDF5 failed.
    """
    with _validated(schema, image, name) as found:
        for path in found.keys() | values.keys():
            if path not in found or path not in values or not _holds(found[path], path, values[path]):
                raise CorruptError(
                    f"{name}: /{path} as just written does not hold the values that went into it: is the memory "
                    "sound?"
                )


def unpack_open(schema: Schema, descriptor: int, name: str) -> Values:
    """Do what `unpack` does for an open file, and leave what may be large in it.

    Fields that are `on_disk` are `RowsOnDisk`, columns of texts `Texts`. The descriptor is
    closed with the last of them.

    Raises
    ------
    CorruptError, MemoryShortageError
        As `unpack`; reading rows later raises them too.
    """
    source = ReadFile(descriptor, owns=True)
    with _validated(schema, source, name, stays_open=True) as found:
        values: Values = {}
        for path, dataset in found.items():
            field = schema.field(path)
            assert field is not None, "validated"
            if field.on_disk:
                _check_deflate(dataset)
                values[path] = _on_disk(dataset, field, name)
            else:
                values[path] = _read(dataset, field, as_list=False)
        return values


def _on_disk(dataset: h5py.h5d.DatasetID, field: Field, name: str) -> RowsOnDisk:
    field_bytes = math.prod(map(int, dataset.shape[1:])) * dataset.get_type().get_size()

    def read(start: int, stop: int) -> NDArray[Any]:
        with _refused(f"{name} does not give its rows", name, [(stop - start) * field_bytes]):
            rows = np.empty((stop - start, *dataset.shape[1:]), np.dtype(field.dtype))
            if rows.size:
                space = dataset.get_space()
                space.select_hyperslab((start, *(0 for _ in rows.shape[1:])), rows.shape)
                dataset.read(h5py.h5s.create_simple(rows.shape), space, rows)
        return rows

    rows = RowsOnDisk(dataset.shape, field.dtype, read)
    return rows if field.rank > 1 else in_blocks(rows)


def _holds(dataset: h5py.h5d.DatasetID, path: str, value: Value) -> bool:
    array = encode(path, value) if isinstance(value, Sequence) else value
    there = h5py.Dataset(dataset)
    if there.shape != array.shape or there.dtype.itemsize != array.dtype.itemsize:
        return False
    if not array.ndim:
        return bool(np.asarray(there[()], array.dtype).tobytes() == np.asarray(array).tobytes())
    return all(np.asarray(there[span], array.dtype).tobytes() == rows.tobytes() for span, rows in blocks(array))


@contextmanager
def _validated(
    schema: Schema, image: Image, name: str, *, stays_open: bool = False
) -> Iterator[dict[str, h5py.h5d.DatasetID]]:
    """Give the datasets of an image that is of `schema`; what fails inside is said of `name`."""
    source = image if isinstance(image, ReadFile) else _Image(image)
    length = source.seek(0, io.SEEK_END)
    needed_bytes = [length]
    with _refused(f"{name} is not a dualstream {schema.kind} that we read", name, needed_bytes):
        file = h5py.File(source, "r", rdcc_nbytes=0)  # else HDF5 keeps a chunk of every dataset
        try:
            _check_root(schema, file, name)
            found: dict[str, h5py.h5d.DatasetID] = {}
            _collect(schema, file.id, "", found, name)
            require_all(schema, set(found))
            needed_bytes.append(_check_sizes(found, length))
            yield found
        finally:
            if not stays_open:
                file.close()


@contextmanager
def _refused(said: str, name: str, needed_bytes: Sequence[int]) -> Iterator[None]:
    """Say what reading raises inside as a CorruptError, or as a MemoryShortageError."""
    try:
        yield
    except CorruptError:
        raise
    except (
        OSError,
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        OverflowError,
        MemoryError,
        zlib.error,
    ) as error:
        refuse_shortage(error, f"while {name} is read", needed_bytes=sum(needed_bytes))
        raise CorruptError(f"{said}: {error}") from error


class _Image(io.RawIOBase):
    """A file object over bytes in memory, without a copy of them."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self._view = image.data
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._view)}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, target: Any) -> int:
        block = self._view[self._position : self._position + len(target)]
        target[: len(block)] = block
        self._position += len(block)
        return len(block)


# Reading


def _check_root(schema: Schema, file: h5py.File, name: str) -> None:
    attributes = {}
    for key in ("format", "version"):
        if not h5py.h5a.exists(file.id, key.encode()):
            raise CorruptError(f"{name} has no attribute {key}: it is no dualstream {schema.kind}")
        attribute = h5py.h5a.open(file.id, key.encode())
        kind, space = attribute.get_type(), attribute.get_space()
        plain = kind.get_class() == h5py.h5t.INTEGER or (
            kind.get_class() == h5py.h5t.STRING and not kind.is_variable_str()
        )
        if not plain or space.get_simple_extent_ndims() != 0 or kind.get_size() > 64:
            raise CorruptError(f"{name} has an attribute {key} of an unexpected type")
        value = np.zeros((), dtype=kind.dtype)
        attribute.read(value)
        attributes[key] = value.item()
    if h5py.h5a.get_num_attrs(file.id) != len(attributes):
        raise CorruptError(f"{name} has attributes beside format and version")
    found = attributes["format"]
    found = found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)
    if found != f"dualstream-{schema.kind}":
        raise CorruptError(f"{name} is of format {found!r}; expected 'dualstream-{schema.kind}'")
    version = attributes["version"]
    if not isinstance(version, int) or not 1 <= version <= schema.version:
        raise CorruptError(
            f"{name} is of format version {version}; this dualstream reads 1 to {schema.version}. "
            "Install a newer dualstream, or make the file again with this one"
        )


def _collect(
    schema: Schema, group: h5py.h5g.GroupID, at: str, found: dict[str, h5py.h5d.DatasetID], name: str
) -> None:
    """Walk hard links to known names and gather the datasets, none of which is read yet."""
    if group.get_num_objs() > LARGEST_COUNT:
        raise CorruptError(f"{name} holds more than {LARGEST_COUNT} objects in /{at}")
    for index in range(group.get_num_objs()):
        raw = group.get_objname_by_idx(index)
        path = f"{at}/{raw.decode('utf-8', 'replace')}".lstrip("/")
        if group.links.get_info(raw).type != h5py.h5l.TYPE_HARD:
            raise CorruptError(f"{name}: /{path} is a link; a {schema.kind} holds no soft or external links")
        is_group, field = schema.is_group(path), schema.field(path)
        if not is_group and field is None:
            raise CorruptError(f"{name}: /{path} is not part of a {schema.kind}")
        opened = h5py.h5o.open(group, raw)
        if isinstance(opened, h5py.h5g.GroupID) and is_group:
            _no_attributes(opened, path, name)
            _collect(schema, opened, path, found, name)
        elif isinstance(opened, h5py.h5d.DatasetID) and field is not None:
            _no_attributes(opened, path, name)
            _check_dataset(opened, path, field, name)
            found[path] = opened
        else:
            raise CorruptError(f"{name}: /{path} is a {type(opened).__name__}; expected another kind of object")
        if len(found) > LARGEST_COUNT:
            raise CorruptError(f"{name} holds more than {LARGEST_COUNT} datasets")


def _no_attributes(opened: Any, path: str, name: str) -> None:
    if h5py.h5a.get_num_attrs(opened):
        raise CorruptError(f"{name}: /{path} has attributes; only the root has any")


def _check_dataset(dataset: h5py.h5d.DatasetID, path: str, field: Field, name: str) -> None:
    plan = dataset.get_create_plist()
    # Layout first: asking a virtual dataset for its extent already opens the files that it names.
    if plan.get_layout() not in LAYOUTS:
        raise CorruptError(f"{name}: /{path} has a virtual layout; values must lie in the file itself")
    if plan.get_external_count():
        raise CorruptError(f"{name}: /{path} keeps its values in another file")
    filters = [plan.get_filter(index)[0] for index in range(plan.get_nfilters())]
    order = [FILTER_ORDER.get(code, -1) for code in filters]
    if -1 in order or order != sorted(set(order)):
        raise CorruptError(
            f"{name}: /{path} has the filters {filters}; expected shuffle, deflate, fletcher32 at most"
        )
    kind = dataset.get_type()
    if field.dtype == TEXT:
        fits = (
            isinstance(kind, h5py.h5t.TypeStringID)
            and not kind.is_variable_str()
            and kind.get_cset() == h5py.h5t.CSET_UTF8
            and kind.get_strpad() == h5py.h5t.STR_NULLPAD
            and kind.get_size() <= LARGEST_TEXT_BYTES
        )
    else:
        fits = kind.equal(h5py.h5t.py_create(np.dtype(field.dtype), logical=True))
    if not fits:
        raise CorruptError(f"{name}: /{path} is not of type {field.dtype}")
    space = dataset.get_space()
    rank = {h5py.h5s.SCALAR: 0, h5py.h5s.SIMPLE: space.get_simple_extent_ndims()}.get(
        space.get_simple_extent_type(), -1
    )
    if rank != field.rank:
        raise CorruptError(f"{name}: /{path} has {rank} axes; expected {field.rank}")
    if rank and space.get_simple_extent_dims() != space.get_simple_extent_dims(maxdims=True):
        raise CorruptError(f"{name}: /{path} can grow; expected a fixed shape")
    if plan.get_layout() == h5py.h5d.CHUNKED:
        shape, chunk = space.get_simple_extent_dims(), plan.get_chunk()
        size = math.prod(map(int, chunk)) * kind.get_size()
        whole = math.prod(map(int, shape)) * kind.get_size()
        inside = all(0 < side <= full for side, full in zip(chunk, shape, strict=True))
        if not inside or not min(SMALLEST_CHUNK_BYTES, whole) <= size <= LARGEST_CHUNK_BYTES:
            raise CorruptError(
                f"{name}: /{path} has chunks {chunk} in shape {shape}; expected 4 KiB to 64 MiB each"
            )


def _check_sizes(found: Mapping[str, h5py.h5d.DatasetID], file_bytes: int) -> int:
    """Return the bytes of all values; refuse what a file of this length can't hold."""
    declared = 0
    for dataset in found.values():
        declared += math.prod(map(int, dataset.shape)) * dataset.get_type().get_size()
    most = min(LARGEST_DECLARED_BYTES, max(SMALL_BYTES, LARGEST_EXPANSION * file_bytes))
    if declared > most:
        raise CorruptError(
            f"it declares {declared:,} bytes of values in a file of {file_bytes:,}; expected at most {most:,}"
        )
    return declared


def _read(dataset: h5py.h5d.DatasetID, field: Field, *, as_list: bool = True) -> Value:
    kind = dataset.get_type()
    is_text = field.dtype == TEXT
    _check_deflate(dataset)
    memory = kind.dtype if is_text else np.dtype(field.dtype)
    array = np.empty(dataset.shape, dtype=memory)
    if array.size:
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, array, mtype=kind if is_text else None)
    if not is_text:
        return array
    if array.ndim == 0:
        return bytes(array.item()).decode("utf-8")
    texts = Texts(array)
    if as_list:
        return list(texts)
    deque(texts, maxlen=0)  # what is no UTF-8 is refused now
    return texts


def _check_deflate(dataset: h5py.h5d.DatasetID) -> None:
    """Refuse a chunk that inflates to more than a chunk: HDF5 itself would follow it to any size."""
    plan = dataset.get_create_plist()
    filters = [plan.get_filter(index)[0] for index in range(plan.get_nfilters())]
    if DEFLATE not in filters:
        return
    expected = math.prod(map(int, plan.get_chunk())) * dataset.get_type().get_size()
    for index in range(dataset.get_num_chunks()):
        info = dataset.get_chunk_info(index)
        skipped, raw = dataset.read_direct_chunk(info.chunk_offset)
        raw = raw[:-4] if filters[-1] == FLETCHER32 and not skipped & (1 << (len(filters) - 1)) else raw
        if skipped & (1 << filters.index(DEFLATE)):
            continue
        inflater = zlib.decompressobj()
        if len(inflater.decompress(raw, expected + 1)) != expected or not inflater.eof:
            raise CorruptError(f"a compressed chunk does not hold the {expected:,} bytes that it declares")
