"""A store that fsspec reads, in this process's memory, which does to clips what stores do to them."""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

fsspec = pytest.importorskip("fsspec")

Fault = Callable[["Store", str, Path], None]


class Store(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """Files in this process's memory, given as its faults say."""

    protocol = "faulty"
    cachable = False
    files: ClassVar[dict[str, bytes]] = {}
    tags: ClassVar[Counter[str]] = Counter()
    faults: ClassVar[dict[str, list[Fault]]] = {}
    """Of each file, what happens at one try after the other; then all is well."""
    states: ClassVar[tuple[str, ...]] = ("md5Hash", "etag")
    silent: ClassVar[dict[str, int]] = {}
    """How many questions for a file's size are not answered."""
    gets: ClassVar[Counter[str]] = Counter()

    def put(self, name: str, data: bytes) -> None:
        self.files[name] = data
        self.tags[name] += 1

    def info(self, path: str, **more: Any) -> dict[str, Any]:
        name = self._strip_protocol(path)
        if name == "clips":
            return {"name": name, "size": 0, "type": "directory"}
        if self.silent.get(name, 0) > 0:
            self.silent[name] -= 1
            raise ConnectionError("503 Service Unavailable")
        if name not in self.files:
            raise FileNotFoundError(name)
        said = {"md5Hash": base64.b64encode(hashlib.md5(self.files[name]).digest()).decode(),
                "etag": f"{self.tags[name]}"}  # fmt: skip
        return {"name": name, "size": len(self.files[name]), "type": "file"} | {
            key: said[key] for key in self.states
        }

    def ls(self, path: str, detail: bool = True, **more: Any) -> list[Any]:
        found = [Store.info(self, name) for name in self.files if not self.silent.get(name)]
        return found if detail else [one["name"] for one in found]

    def get_file(self, rpath: str, lpath: str, callback: Any = None, **more: Any) -> None:
        name = self._strip_protocol(rpath)
        self.gets[name] += 1
        if name not in self.files:
            raise FileNotFoundError(name)
        faults = self.faults.get(name, [])
        (faults.pop(0) if faults else whole)(self, name, Path(lpath))


def whole(store: Store, name: str, target: Path) -> None:
    target.write_bytes(store.files[name])


def half(store: Store, name: str, target: Path) -> None:
    target.write_bytes(store.files[name][: len(store.files[name]) // 2])


def half_and_ends(store: Store, name: str, target: Path) -> None:
    half(store, name, target)
    raise ConnectionError("reset by peer")


def appended(store: Store, name: str, target: Path) -> None:
    """Go on at the end of what is there, as a package might that resumes."""
    with open(target, "ab") as file:
        file.write(store.files[name])


def longer(store: Store, name: str, target: Path) -> None:
    target.write_bytes(store.files[name] + b"0\r\n\r\n")


def damaged(store: Store, name: str, target: Path) -> None:
    target.write_bytes(bytes(one ^ (number == 3) for number, one in enumerate(store.files[name])))


def shifted(store: Store, name: str, target: Path) -> None:
    """Ranges that come in the wrong order."""
    data = store.files[name]
    target.write_bytes(data[9:] + data[:9])


def zipped(store: Store, name: str, target: Path) -> None:
    target.write_bytes(gzip.compress(store.files[name]))


def nothing(store: Store, name: str, target: Path) -> None:
    """Say that all went well."""


def empty(store: Store, name: str, target: Path) -> None:
    target.touch()


def a_folder(store: Store, name: str, target: Path) -> None:
    """As fsspec does where a store calls the place a folder."""
    target.mkdir()


def refused(store: Store, name: str, target: Path) -> None:
    raise PermissionError("403")


def changed_midway(store: Store, name: str, target: Path) -> None:
    """A file of the same size takes the place of another between two ranges."""
    old = store.files[name]
    store.put(name, bytes(255 - one for one in old))
    target.write_bytes(old[:9] + store.files[name][9:])


def changed_before(store: Store, name: str, target: Path) -> None:
    store.put(name, store.files[name] + b" and more")
    whole(store, name, target)


PASSING = (half, half_and_ends, appended, longer, zipped, nothing, empty, a_folder, refused, changed_midway,
           changed_before)  # fmt: skip
OF_EQUAL_SIZE = (damaged, shifted)


@contextmanager
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Have an empty store answer at faulty://clips."""
    fsspec.register_implementation("faulty", Store, clobber=True)
    for name, fresh in {"files": {}, "tags": Counter(), "faults": {}, "silent": {}, "gets": Counter()}.items():
        monkeypatch.setattr(Store, name, fresh)
    yield Store()
