"""Any folder: one folder per class, or per split and class, or loose clips without labels.

ROOT/joy/a.mp4              emotion joy, split train
ROOT/test/joy/a.mp4         emotion joy, split test; where train, dev or test is every clip's first folder
ROOT/positive/a.mp4         sentiment positive; where the classes are positive, negative, neutral
ROOT/a.mp4                  unlabelled, split train
ROOT/joy/a.mp4, a.wav       one utterance: the video, and its sound in a file of the same name (storage/pairs.py);
                            so are ROOT/video/joy/a.mp4 and ROOT/audio/joy/a.wav
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dualstream.pipeline.corpus.labels import SENTIMENTS, canonical_emotion
from dualstream.pipeline.corpus.manifest import ManifestError
from dualstream.pipeline.corpus.pairs import pair, without_words
from dualstream.pipeline.corpus.utterance import MAX_ID_CHARACTERS, Utterance
from dualstream.pipeline.corpus.utterance_columns import UtteranceColumns
from dualstream.pipeline.storage.tree import media_below, others

SPLIT_FOLDERS = {"train": "train", "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev", "test": "test"}

DIGEST_CHARACTERS = 8

NAME = re.compile(r"(?s).*")  # any
SPARE = "sound"  # what is left out is a second sound of a video


def rows(root: Path) -> Sequence[Utterance]:
    """Return one utterance for each clip or recording below `root`, by path."""
    found = media_below(root)
    if not found:
        raise ManifestError(f"{root}: found no clip or recording; expected files such as joy/a.mp4{others(root)}")
    pairs = pair(found)
    others_files = {*pairs.sound_of.values(), *pairs.spare}
    paths = [path for path in found if path not in others_files]

    def above(path: str) -> list[str]:
        return without_words(path) if pairs.apart else path.split("/")[:-1]

    folders = {tuple(above(path)) for path in paths}
    has_splits = all(below and below[0].lower() in SPLIT_FOLDERS for below in folders)
    label_of = {below: _label(below[1 if has_splits else 0 :]) for below in folders}
    classes = set(label_of.values()) - {""}
    is_sentiment = classes <= set(SENTIMENTS) and classes != {"neutral"}
    ids = _ids(paths)

    def made(path: str) -> Utterance:
        below = tuple(above(path))
        return Utterance(
            ids[path],
            path,
            SPLIT_FOLDERS[below[0].lower()] if has_splits else "train",
            emotion="" if is_sentiment else label_of[below],
            sentiment=label_of[below] if is_sentiment else "",
            sound=pairs.sound_of.get(path, ""),
        )

    return UtteranceColumns.of(map(made, paths))


def _label(folders: Sequence[str]) -> str:
    return canonical_emotion(folders[0]) if folders else ""


def _ids(paths: Sequence[str]) -> dict[str, str]:
    """Name each path: its own text where that will do, else shortened and with a digest of the path."""
    plain = {path: re.sub(r"[^A-Za-z0-9._-]", "_", path.replace("/", "_").rpartition(".")[0]) for path in paths}
    times = Counter(plain.values())
    for path, name in plain.items():
        if not _will_do(path, name, times):
            plain[path] = _digested(path, name)
    return plain


def _will_do(path: str, name: str, times: Counter[str]) -> bool:
    kept_whole = name == path.replace("/", "_").rpartition(".")[0]
    return kept_whole and times[name] == 1 and len(name) <= MAX_ID_CHARACTERS and bool(name.strip("."))


def _digested(path: str, name: str) -> str:
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:DIGEST_CHARACTERS]
    return f"{name[: MAX_ID_CHARACTERS - DIGEST_CHARACTERS - 1]}-{digest}"
