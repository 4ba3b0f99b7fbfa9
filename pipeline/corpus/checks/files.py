"""Files below the data root that no row names."""

from __future__ import annotations

import os
from pathlib import Path

from dualstream.pipeline.corpus.manifest import Manifest
from dualstream.pipeline.corpus.remote_root import RemoteRoot
from dualstream.pipeline.storage.tree import files_below, is_media


def extra_files(manifest: Manifest, root: Path | RemoteRoot) -> tuple[str, ...]:
    """Return the clips and recordings below `root` that the manifest leaves out."""
    if isinstance(root, RemoteRoot) and not root.lists:
        return ()
    named = {os.path.normpath(path) for u in manifest for path in u.files}
    return tuple(path for path in files_below(root) if is_media(path) and path not in named)
