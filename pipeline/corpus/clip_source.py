"""Where the data doctor gets clips from: a folder of this machine, or a store that they are fetched from."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dualstream.pipeline.corpus.clip_files import require_file, resolve
from dualstream.pipeline.corpus.remote_root import RemoteRoot
from dualstream.pipeline.corpus.scratch import Scratch


@dataclass(frozen=True, repr=False)
class ClipSource:
    """The clips below a root, as files of this machine."""

    root: Path | RemoteRoot
    scratch: Scratch | None

    @classmethod
    def of(cls, root: Path | RemoteRoot, paths: Sequence[str]) -> ClipSource:
        """Look where the clips are; of a store, ask for all of them at once."""
        if isinstance(root, Path):
            return cls(root, None)
        root.look(paths)
        return cls(root, Scratch(root))

    def held(self, *paths: str) -> contextlib.AbstractContextManager[None]:
        """Keep files that are fetched in the block until its end."""
        return contextlib.nullcontext() if self.scratch is None else self.scratch.held(*paths)

    def stop(self) -> None:
        """End what other threads wait for: answers of a store, and files that come."""
        if not isinstance(self.root, Path):
            self.root.give_up()

    def size_bytes(self, path: str) -> int:
        """Return the size of a file, which is not opened."""
        if isinstance(self.root, Path):
            return resolve(self.root, path).stat().st_size
        return self.root.file(path).size_bytes

    def place(self, path: str) -> Path:
        """Return where a file is on this machine; one of a store is fetched.

        Raises
        ------
        NoClipError, EscapingPathError, OSError
            Where there is none, or it can't be had.
        """
        if isinstance(self.root, Path):
            place = resolve(self.root, path)
            require_file(os.path.join(self.root, path))
            return place
        assert self.scratch is not None
        self.root.file(path)
        return self.scratch.fetch(path)
