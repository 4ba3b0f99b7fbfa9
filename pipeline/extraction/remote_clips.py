"""Clips that are fetched before they are read: the Hasher of a remote root."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dualstream.pipeline.corpus.clip_files import NoClipError
from dualstream.pipeline.corpus.remote_root import RemoteRoot
from dualstream.pipeline.corpus.scratch import Scratch
from dualstream.pipeline.extraction.staleness import ABSENT, DigestKey, Hasher


class RemoteHasher(Hasher):
    """Sizes and versions as a store states them, and the bytes of what was fetched."""

    reads_cheaply = False

    def __init__(self, root: RemoteRoot, paths: Iterable[str] = ()) -> None:
        super().__init__(Path())
        self._remote = root
        self._scratch = Scratch(root)
        root.look(paths)

    def held(self, *paths: str) -> contextlib.AbstractContextManager[None]:
        """Keep files that are fetched in the block until its end."""
        return self._scratch.held(*paths)

    def bring(self, *paths: str) -> None:
        """Fetch files: what is said of them from here on is said of the bytes that came."""
        for path in paths:
            self.place(path)

    def for_worker(self, *paths: str) -> Hasher:
        """Fetch a clip's files and return who knows where they are: a worker asks no store."""
        return FetchedHasher({path: self._fetched(path) for path in paths})

    def known(self, *paths: str) -> dict[DigestKey, str]:
        """Return nothing: digests are kept by what the store says of a file, not by where it was fetched to."""
        return {}

    def stop(self) -> None:
        """End what other threads wait for: answers of the store, and files that come."""
        self._remote.give_up()

    def close(self) -> None:
        """Remove what was fetched."""
        self._scratch.close()

    def require(self, path: str) -> Path:
        """Fetch a file and return where it is here.

        Raises
        ------
        NoClipError
            Where it can't be had.
        """
        self._remote.file(path)
        return self._scratch.fetch(path)

    def is_unanswered(self, *paths: str) -> bool:
        """Tell whether the store does not say if a clip is there: what was made of it stands then."""
        return any(self._is_unanswered(path) for path in paths)

    def _is_unanswered(self, path: str) -> bool:
        try:
            self._remote.file(path)
        except NoClipError as error:
            return error.kind == "unfetched"
        return False

    def is_readable(self, path: str) -> bool:
        """Tell whether the store still answers for a file."""
        try:
            self._remote.file(path, fresh=True)
        except NoClipError:
            return False
        return True

    def is_gone(self, files: Iterable[str], sha256: str) -> bool:
        """Tell whether the store lost a clip; one that it has and does not give is that clip's record."""
        return not all(map(self.is_readable, files))

    def _stat(self, path: str) -> tuple[int, int]:
        try:
            found = self._remote.file(path)
        except NoClipError:
            return ABSENT
        return max(0, found.size_bytes), found.version

    def _fetched(self, path: str) -> FetchedFile:
        try:
            found: Path | NoClipError = self.require(path)
        except NoClipError as error:
            found = error
        return FetchedFile(found, self._stat(path), self._digest(path))

    def _digest(self, path: str) -> str:
        try:
            return self._scratch.digest(path)
        except NoClipError:
            return ""


@dataclass(frozen=True)
class FetchedFile:
    """A file of a store as the process that fetched it knows it."""

    place: Path | NoClipError
    """Where it is on this machine, or why it is not."""
    stat: tuple[int, int]
    sha256: str


class FetchedHasher(Hasher):
    """Files that another process of this machine fetched, and holds for as long as they are needed here."""

    def __init__(self, files: Mapping[str, FetchedFile]) -> None:
        super().__init__(Path())
        self._files = files

    def require(self, path: str) -> Path:
        """Return where a file is here; raise NoClipError, as it was raised there, where it could not be had."""
        place = self._files[path].place
        if isinstance(place, NoClipError):
            raise place
        return place

    def known(self, *paths: str) -> dict[DigestKey, str]:
        """Return nothing that the other process does not know."""
        return {}

    def _stat(self, path: str) -> tuple[int, int]:
        return self._files[path].stat

    def _digest(self, path: str) -> str:
        return self._files[path].sha256


def hasher_of(root: Path | RemoteRoot, paths: Iterable[str] = ()) -> Hasher:
    """Return who looks at the clips below a root; `paths` are those that will be asked for."""
    return RemoteHasher(root, paths) if isinstance(root, RemoteRoot) else Hasher(root)
