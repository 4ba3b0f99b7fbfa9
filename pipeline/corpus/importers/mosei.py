"""CMU-MOSEI: sentences of online monologues; labels from CMU_MOSEI_Labels.csd.

Zadeh et al., "Multimodal Language Analysis in the Wild: CMU-MOSEI Dataset and Interpretable Dynamic Fusion
Graph", ACL 2018, https://github.com/CMU-MultiComp-Lab/CMU-MultimodalSDK. Seven numbers stand for a sentence:
sentiment from -3 to 3, then how much there is, from 0 to 3, of happiness, sadness, anger, surprise, disgust
and fear.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from dualstream.pipeline.corpus.manifest import ManifestError
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.storage.foreign import number_arrays
from dualstream.pipeline.storage.tree import files_below, is_hidden, is_media, is_video
from numpy.typing import NDArray

LABELS = "CMU_MOSEI_Labels.csd"
FOLDS = "cmu_mosei_std_folds.py"
EMOTIONS = ("joy", "sadness", "anger", "surprise", "disgust", "fear")  # columns 1 to 6
FOLD_NAMES = {"standard_train_fold": "train", "standard_valid_fold": "dev", "standard_test_fold": "test"}
READS = re.compile(rf"(?:.*/)?(?:{re.escape(LABELS)}|{re.escape(FOLDS)})")
DEFAULT_FOLDER = "Raw/Videos/Full/Combined"


def rows(root: Path) -> Sequence[Utterance]:
    """Return CMU-MOSEI's labelled sentences, video by video, each a span of its whole film, in order of time.

    The emotion is the strongest of the six; ``neutral`` where all are 0, and blank where two are equally
    strong. The sentiment is the sign of its number. Where ``cmu_mosei_std_folds.py`` lies below `root`, its
    lists are read (never run) as the splits, and videos in none of them are left out, as is usual; else all
    are ``train``. Films are looked for by name; the whole sound serves where there is no film.

    Raises
    ------
    ManifestError
        Where the table of labels is missing, or is of another shape.
    CorruptError
        Where it can't be read as HDF5.
    """
    files = files_below(root)
    table = _find(files, LABELS)
    if table is None:
        raise ManifestError(f"{root}: found no {LABELS}; expected CMU-MOSEI's labels as its SDK downloads them")
    folds = _find(files, FOLDS)
    split_of = None if folds is None else _folds(root / folds)
    clips = _whole_clips(files)
    arrays: dict[str, dict[str, NDArray[np.float64]]] = defaultdict(dict)
    for path, values in number_arrays(root / table, "*/data"):
        video, _, name = path.partition("/")
        arrays[video][name] = values
    problems = [f"{video}: {fault}" for video, found in arrays.items() if (fault := _fault(found))]
    if problems:
        raise ManifestError(f"{table}: found arrays of another shape:", problems)
    utterances: list[Utterance] = []
    for video, found in arrays.items():
        if split_of is None or video in split_of:
            path = clips.get(video, f"{DEFAULT_FOLDER}/{video}.mp4")
            utterances += _sentences(video, path, "train" if split_of is None else split_of[video], found)
    return utterances


def left_out(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the labelled videos that none of the lists of splits names."""
    files = files_below(root)
    table, folds = _find(files, LABELS), _find(files, FOLDS)
    if table is None or folds is None:
        return
    split_of = _folds(root / folds)
    for video in dict.fromkeys(path.partition("/")[0] for path, _ in number_arrays(root / table, "*/data")):
        if video not in split_of:
            yield "split", video


def _sentences(video: str, path: str, split: str, found: Mapping[str, NDArray[np.float64]]) -> Iterable[Utterance]:
    spans, scores = found["intervals"], found["features"]  # (n, 2) seconds, (n, 7)
    order = np.argsort(spans[:, 0], kind="stable")
    for turn, row in enumerate(order):
        start_s, end_s = (max(0.0, float(value)) for value in spans[row])  # a few start before the film
        yield Utterance(
            f"{video}_{turn}",
            path,
            split,
            start_s,
            end_s,
            dialogue=video,
            turn=turn,
            emotion=_emotion(scores[row, 1:]),
            sentiment=("neutral", "positive", "negative")[int(np.sign(scores[row, 0]))],
        )


def _emotion(strengths: NDArray[np.float64]) -> str:
    strongest = np.flatnonzero(strengths == strengths.max())
    if strengths.max() <= 0:
        return "neutral"
    return EMOTIONS[strongest[0]] if len(strongest) == 1 else ""


def _fault(found: Mapping[str, NDArray[np.float64]]) -> str:
    """Say in which way a video's arrays are not those of the label table; empty where they are."""
    spans, scores = found.get("intervals"), found.get("features")
    if spans is None or scores is None:
        return f"found {', '.join(found) or 'nothing'}; expected intervals and features"
    if spans.ndim != 2 or spans.shape[1] != 2 or scores.shape != (len(spans), 1 + len(EMOTIONS)):
        return f"found intervals {spans.shape} and features {scores.shape}; expected (n, 2) and (n, 7)"
    if not (np.isfinite(spans).all() and np.isfinite(scores).all()):
        return "found values that are no numbers"
    if not (np.maximum(spans[:, 1], 0) > np.maximum(spans[:, 0], 0)).all():
        return "found an interval that does not end after its start"
    return ""


def _folds(path: Path) -> dict[str, str]:
    """Return the split of each video, from the lists in the SDK's Python file, without running it."""
    split_of: dict[str, str] = {}
    for statement in ast.parse(path.read_text("utf-8")).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            split = FOLD_NAMES.get(statement.targets[0].id)
            if split:
                split_of.update(dict.fromkeys(ast.literal_eval(statement.value), split))
    if set(split_of.values()) != set(FOLD_NAMES.values()):
        raise ManifestError(f"{path}: expected lists named {', '.join(FOLD_NAMES)}")
    return split_of


def _whole_clips(files: Iterable[str]) -> dict[str, str]:
    """Return the path of each whole film, or sound where there is no film, by its name."""
    whole = [p for p in files if is_media(p) and not is_hidden(p) and "segmented" not in p.lower()]
    best = sorted(whole, key=lambda p: (not is_video(p), p.count("/"), p), reverse=True)
    return {path.split("/")[-1].rpartition(".")[0]: path for path in best}


def _find(files: Iterable[str], name: str) -> str | None:
    return min((p for p in files if p.split("/")[-1] == name), key=lambda p: (p.count("/"), p), default=None)
