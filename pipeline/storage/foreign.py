"""Plain arrays out of an HDF5 file that others made, read without following anything out of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.memory import refuse_shortage
from numpy.typing import NDArray

Values = NDArray[np.float64]

LARGEST_ARRAY_BYTES = 64 << 20
LARGEST_COUNT = 1_000_000  # links that are looked at
ALLOWED_FILTERS = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32)


def number_arrays(path: Path, group: str) -> Iterator[tuple[str, Values]]:
    """Yield (path below `group`, array) for each dataset of numbers there, by path; the rest is passed over.

    `group` may begin with ``*``, which stands for the file's only group at the top.

    Raises
    ------
    MemoryShortageError
        Where there is no room for an array.
    CorruptError
        Where the file is no HDF5, has no such group, or anything below the group is a soft or external link,
        a virtual or externally stored array, compressed by an unknown filter, or larger than 64 MiB.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:  # a network mount may know no locks, and we only read
            yield from _below(_descend(file, group, path), "", path, [0])
    except (OSError, RuntimeError, KeyError) as e:
        refuse_shortage(e, f"while {path} is read")
        raise CorruptError(f"{path} can't be read as HDF5: {e}") from e


def _descend(file: h5py.File, group: str, path: Path) -> h5py.Group:
    here: h5py.Group = file
    for name in group.split("/"):
        names = list(here)
        if name == "*" and len(names) == 1:
            name = names[0]
        found = _open(here, name, path) if name in names else None
        if not isinstance(found, h5py.Group):
            raise CorruptError(f"{path}: found {', '.join(names[:10]) or 'nothing'}; expected a group {group}")
        here = found
    return here


def _below(group: h5py.Group, prefix: str, path: Path, count: list[int]) -> Iterator[tuple[str, Values]]:
    for name in sorted(group):
        count[0] += 1
        if count[0] > LARGEST_COUNT:
            raise CorruptError(f"{path} holds more than {LARGEST_COUNT} objects")
        found = _open(group, name, path)
        if isinstance(found, h5py.Dataset):
            if found.dtype.kind in "fiu":
                yield prefix + name, _values(found, path)
        elif prefix.count("/") < 8:
            yield from _below(found, f"{prefix}{name}/", path, count)


def _open(group: h5py.Group, name: str, path: Path) -> h5py.Group | h5py.Dataset:
    """Open a member that lies in the file itself."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise CorruptError(f"{path}: {name!r} is a link to elsewhere; expected plain groups and arrays")
    found = group[name]
    if not isinstance(found, h5py.Group | h5py.Dataset):
        raise CorruptError(f"{path}: {name!r} is a {type(found).__name__}; expected plain groups and arrays")
    return found


def _values(dataset: h5py.Dataset, path: Path) -> Values:
    plan = dataset.id.get_create_plist()
    filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    outside = plan.get_layout() == h5py.h5d.VIRTUAL or plan.get_external_count() > 0
    if outside or any(code not in ALLOWED_FILTERS for code in filters):
        raise CorruptError(f"{path}: {dataset.name} is stored in a way that is not read; expected a plain array")
    if dataset.size * 8 > LARGEST_ARRAY_BYTES:
        raise CorruptError(f"{path}: {dataset.name} declares {dataset.size} values; expected at most 8 million")
    return np.asarray(dataset[()], dtype=np.float64)
