"""Files below the data root that no row names."""

from __future__ import annotations

import os
from pathlib import Path

from dualstream.pipeline.corpus.checks.findings import Case, Finding, found
from dualstream.pipeline.corpus.checks.meld import examine_files as meld_files
from dualstream.pipeline.corpus.manifest import Manifest
from dualstream.pipeline.storage.tree import files_below, is_hidden, is_media


def examine_files(manifest: Manifest, root: Path) -> list[Finding]:
    """Return the clips and recordings below `root` that the manifest leaves out, MELD's known ones by name."""
    named = {os.path.normpath(path) for u in manifest for path in u.files}
    extra = [path for path in files_below(root) if is_media(path) and path not in named]
    hidden = [path for path in extra if is_hidden(path)]
    known, rest = meld_files(manifest, [path for path in extra if not is_hidden(path)])
    return [
        *known,
        *found("extra-file", (Case(path) for path in rest)),
        *found("hidden-file", (Case(path) for path in hidden)),
    ]
