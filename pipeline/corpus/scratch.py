"""A bounded folder of fetched clips: a file is there while somebody holds it, and goes when room is needed.

Files that many utterances share (spans of a film) are fetched once as long as they fit.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from dualstream.pipeline.corpus.clip_files import NoClipError
from dualstream.pipeline.corpus.remote_root import RemoteFile, RemoteRoot
from dualstream.pipeline.storage.temporary import OWNER, is_abandoned, owner

LIMIT_BYTES = 2 << 30  # a file that is larger still gets in, alone
PREFIX = "dualstream-clips-"

_NAME = re.compile(rf"{PREFIX}({OWNER})-\w+")


class Scratch:
    """Clips of a remote root, as files of this machine, in a folder of TMPDIR."""

    def __init__(self, root: RemoteRoot, limit_bytes: int | None = None) -> None:
        self.root = root
        self.limit_bytes = LIMIT_BYTES if limit_bytes is None else limit_bytes
        self._sizes: dict[str, int] = {}
        """Files that are here or may come, in the order of their last use."""
        self._holds: Counter[str] = Counter()
        self._failures: dict[str, NoClipError] = {}
        self._fetching: dict[str, threading.Lock] = {}
        self._digests: dict[str, tuple[RemoteFile, str]] = {}
        """Of each file that ever came: what the store said of it, and the SHA-256 of its bytes."""
        self._changed = threading.Condition()
        _remove_of_the_dead()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{owner()}-"))
        self._end = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def held(self, *paths: str) -> Iterator[None]:
        """Keep room for some files, and those that are fetched meanwhile, within the block."""
        wanted = list(dict.fromkeys(paths))
        self._reserve(wanted)
        try:
            yield
        finally:
            with self._changed:
                for path in wanted:
                    self._holds[path] -= 1
                    if not self._holds[path]:
                        self._failures.pop(path, None)
                self._changed.notify_all()

    def fetch(self, path: str) -> Path:
        """Return a file's place here; it is fetched where it isn't here yet. Call it within `held`.

        Raises
        ------
        NoClipError
            Where it can't be had; within one block that is found out once.
        """
        place = self.folder / self._name(path)
        with self._changed:
            lock = self._fetching.setdefault(path, threading.Lock())
        with lock:
            if (failure := self._failures.get(path)) is not None:
                raise NoClipError(failure.kind, failure.text)
            if not place.exists():
                coming = place.with_name("coming-" + place.name)
                try:
                    self._note(path, *self.root.fetch(path, coming))
                except NoClipError as error:
                    self._failures[path] = error
                    raise
                os.replace(coming, place)
                with self._changed:
                    self._sizes[path] = place.stat().st_size
        return place

    def digest(self, path: str) -> str:
        """Return the SHA-256 of a file as the store states it now; it is fetched where that is not known.

        Raises
        ------
        NoClipError
            Where it can't be had.
        """
        facts, known = self.root.file(path), self._digests.get(path)
        if known is None or not known[0].is_same(facts):
            with self.held(path):
                self.fetch(path)
        return self._digests[path][1]

    def _note(self, path: str, facts: RemoteFile, sha256: str) -> None:
        """Note what came of a file; other bytes of what is the same file by the store are refused."""
        known = self._digests.get(path)
        if known is not None and known[0].is_same(facts) and known[1] != sha256:
            raise NoClipError(
                "unfetched",
                f"other bytes came than before (SHA-256 {sha256[:12]}, {known[1][:12]} before) of what is the "
                "same file by its size and tag; the next run tries again",
            )
        self._digests[path] = (RemoteFile(facts.size_bytes, facts.version), sha256)

    def close(self) -> None:
        """Remove the folder."""
        self._end()

    def _reserve(self, paths: list[str]) -> None:
        with self._changed:
            sizes = {path: size for path in paths if (size := self._size(path)) is not None}
            while True:
                fresh = {path: size for path, size in sizes.items() if path not in self._sizes}
                if not fresh:
                    break
                self._make_room(sum(fresh.values()), keep=paths)
                if sum(self._sizes.values()) + sum(fresh.values()) <= self.limit_bytes or not +self._holds:
                    break
                self._changed.wait()
            for path in paths:
                self._holds[path] += 1
                if path in sizes:
                    self._sizes[path] = self._sizes.pop(path, sizes[path])

    def _make_room(self, needed_bytes: int, keep: list[str]) -> None:
        """Drop files that nobody holds, those first that were used longest ago."""
        for path in list(self._sizes):
            if sum(self._sizes.values()) + needed_bytes <= self.limit_bytes:
                return
            if not self._holds[path] and path not in keep:
                del self._sizes[path]
                with contextlib.suppress(OSError):
                    (self.folder / self._name(path)).unlink()

    def _size(self, path: str) -> int | None:
        if path in self._sizes:
            return self._sizes[path]
        try:
            return max(0, self.root.file(path).size_bytes)
        except NoClipError:
            return None

    @staticmethod
    def _name(path: str) -> str:
        """Return a name that no other path has, with the path's suffix."""
        suffix = re.sub(r"[^A-Za-z0-9.]", "", Path(path).suffix)[:10]
        return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:32] + suffix


def _remove_of_the_dead() -> None:
    """Remove folders whose processes were killed, and none of a machine or container that shares TMPDIR."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        found = _NAME.fullmatch(folder.name)
        if found is not None and is_abandoned(folder, found[1]):
            shutil.rmtree(folder, ignore_errors=True)
