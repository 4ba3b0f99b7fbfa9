"""Real corpora that were put together as they should be, drawn anew by seed: for study_alarms.py.

A draw holds four in five of a corpus's speakers (a third of MELD's dialogues; of utterances where speakers aren't
known), of which a quarter are dev. Encoded rows cost minutes the first time and are kept in a folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
import soundfile
from dualstream.features.acoustic import AcousticConfig, acoustic_features
from dualstream.features.projection import PcaFit, turned
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.data.normalisation import normalise_speakers
from dualstream.heads.diagnosis.signs.table import Names
from dualstream.heads.variants.options import Task
from frozen_rows import (
    PLAN,
    SAMPLE_RATE_HZ,
    CorpusRows,
    action_units,
    cremad_votes,
    folder_of,
    kept_rows,
    packed,
    whisper_rows,
)
from numpy.typing import NDArray
from whole_corpora import Whole

Codes = NDArray[np.int64]
Streams = Mapping[str, StreamArrays]
CHOSEN_ON = {"ravdess": "emodb", "emodb": "ravdess"}  # acoustic columns that the corpus had no part in
WIDTHS = {"audio": 192, "video": 100}  # of projected streams
KEPT, DEV = 0.8, 0.25
UPPER = (0, 1, 2, 3, 4, 5, 6, 16)  # of MELD's 17 action units: brows, lids, cheeks, nose and blinks


@dataclass(frozen=True, repr=False)
class Clean:
    """A corpus as a diagnosis is given it."""

    train: FeatureSet
    dev: FeatureSet | None
    names: Names
    task: Task = "emotion"
    extracted: tuple[FeatureSet, FeatureSet | None] | None = None
    """Rows before speakers were normalised, where they were."""

    @classmethod
    def of(cls, whole: Whole, task: Task = "emotion") -> Clean:
        """Split a corpus; names keep the order of its table."""
        place = np.concatenate((np.flatnonzero(~whole.dev), np.flatnonzero(whole.dev)))
        names = Names(tuple(whole.ids[i] for i in place), place=tuple(place.tolist()))
        train, dev = whole.split()
        return cls(train, dev if len(dev) else None, names, task)

    def normalised(self) -> Clean:
        """Return it with rows normalised by speaker, each split by itself."""
        own = tuple(
            None if part is None else normalise_speakers(part, np.zeros(len(part), np.int64))
            for part in (self.train, self.dev)
        )
        assert own[0] is not None
        return replace(self, train=own[0], dev=own[1], extracted=(self.train, self.dev))


def drawn(whole: Whole, group: Codes, seed: int) -> Whole:
    """Return four in five groups, of which a quarter are dev."""
    rng = np.random.default_rng([seed, 7])
    codes = rng.permutation(np.unique(group))
    some = codes[: round(KEPT * len(codes))]
    at = np.flatnonzero(np.isin(group, some))
    return replace(whole.take(at), dev=np.isin(group[at], some[: max(1, round(DEV * len(some)))]))


def of_streams(
    streams: Streams,
    label: NDArray[np.str_],
    speaker: NDArray[np.str_],
    ids: tuple[str, ...],
    offsets: Codes | None,
) -> Whole:
    """Return a corpus of streams; without `offsets` its rows are whole utterances."""
    count = len(ids)
    bounds = np.zeros(count + 1, np.int64) if offsets is None else offsets
    place = np.arange(bounds[-1]) - np.repeat(bounds[:-1], np.diff(bounds))
    classes, codes = np.unique(label, return_inverse=True)
    features = FeatureSet(
        streams=dict(streams),
        offsets=bounds,
        start_s=place * PLAN.hop_s,
        emotion=codes.astype(np.int64),
        sentiment=np.full(count, -1, np.int64),
        emotion_names=tuple(classes.tolist()),
        sentiment_names=("negative", "positive"),
        dialogue=np.arange(count, dtype=np.int64),
        turn=np.zeros(count, np.int64),
        speaker=np.unique(speaker, return_inverse=True)[1].astype(np.int64),
    )
    return Whole(features, np.zeros(count, bool), ids)


def acoustic_rows(folder: Path, corpus: str, data: Path) -> CorpusRows:
    """Return the 192 acoustic columns of ``emodb`` or ``ravdess`` (without calm), by window and utterance."""
    files = sorted((data / corpus / ("audio" if corpus == "ravdess" else "")).glob("*.flac"))
    files = [path for path in files if corpus != "ravdess" or path.stem.split("-")[2] != "02"]
    config = AcousticConfig(chosen_on=CHOSEN_ON[corpus])

    def described(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        sound = soundfile.read(path, dtype="float32")[0]
        length_s = len(sound) / SAMPLE_RATE_HZ
        found = acoustic_features(sound, PLAN.starts_s(length_s), PLAN.length_s, (0.0, length_s), config)
        return found.windows, found.utterance

    names = [path.stem for path in files]
    field = (lambda n: n[5], lambda n: n[:2]) if corpus == "emodb" else (lambda n: n[6:8], lambda n: n[18:20])
    label, speaker = (np.array([one(name) for name in names]) for one in field)
    made = kept_rows(folder / f"acoustic-{corpus}.npz", lambda: packed(described(path) for path in files))
    return CorpusRows(corpus, **made, label=label, group=speaker, grouped_by="speaker", id=np.array(names))


@cache
def _sound(folder: Path, corpus: str, encoder: str) -> CorpusRows:
    data = folder_of("DUALSTREAM_DATA")
    if encoder == "acoustic":
        return acoustic_rows(folder, corpus, data)
    return whisper_rows(folder, folder_of("DUALSTREAM_WEIGHTS") / "whisper-tiny.en", corpus, data)


def _stream(rows: CorpusRows, windows: bool) -> StreamArrays:
    there = np.ones(len(rows.utterance), bool)
    seen = np.ones(len(rows.windows), bool)
    return StreamArrays(rows.utterance, there, rows.windows if windows else None, seen if windows else None)


def sounds(folder: Path, corpus: str, encoders: str, seed: int, *, windows: bool = False) -> Whole:
    """Return streams of one corpus: of ``acoustic``, ``whisper`` and ``units`` (RAVDESS's), joined by +."""
    streams, first = {}, None
    names = {"acoustic": "audio", "whisper": "audio", "units": "video"}
    for encoder in encoders.split("+"):
        name = names[encoder] if names[encoder] not in streams else encoder
        if encoder == "units":
            assert first is not None, "a sound comes first"
            units = action_units(folder_of("DUALSTREAM_DATA"), first.id.tolist())
            streams[name] = StreamArrays(units, np.ones(len(units), bool))
            continue
        rows = _sound(folder, corpus, encoder)
        first = first or rows
        streams[name] = _stream(rows, windows)
    assert first is not None
    offsets = first.offsets if windows else None
    whole = of_streams(streams, first.label, first.group, tuple(first.id.tolist()), offsets)
    order = np.lexsort((first.id, first.group))
    whole = whole.take(order)
    return drawn(whole, whole.features.speaker, seed)


def projected(whole: Whole) -> Whole:
    """Return a corpus whose streams are turned principal components, as `project` leaves them."""
    rows = {}
    for name, values in whole.rows.items():
        width = min(WIDTHS.get(name, 100), values.shape[1])
        fit = PcaFit(values.shape[1], width).partial_fit(values[~whole.dev].astype(np.float32)).fit()
        rows[name] = turned(fit).transform(values.astype(np.float32)).astype(np.float64)
    return whole.having(rows)


@cache
def _votes() -> Whole:
    rows, votes = cremad_votes(folder_of("DUALSTREAM_DATA"))
    ids = tuple(row["id"] for row in rows)
    there = np.ones(len(ids), bool)
    streams = {name: StreamArrays(one.astype(np.float32), there) for name, one in votes.items()}
    label, speaker = (np.array([row[key] for row in rows]) for key in ("emotion", "speaker"))
    return of_streams(streams, label, speaker, ids, None)


def cremad(seed: int) -> Whole:
    """Return the votes of people who heard, and who saw, CREMA-D's clips."""
    whole = _votes()
    return drawn(whole, whole.features.speaker, seed)


@cache
def _faces() -> tuple[FeatureSet, Codes]:
    from study_joint import SCALE_END, meld_face

    features, train, _ = meld_face(folder_of("DUALSTREAM_DATA") / "meld")
    face = features.streams["video"].utterance
    upper = list(UPPER)
    # what is broken in it is there, and is named: left out, with the rows of which one half saw nothing
    seen = (face < SCALE_END).all(axis=1) & face[:, upper].any(axis=1) & np.delete(face, UPPER, 1).any(axis=1)
    halves = {"video": StreamArrays(face[:, upper], seen), "audio": StreamArrays(np.delete(face, UPPER, 1), seen)}
    return replace(features, streams=halves), train


def meld(seed: int, task: Task) -> Clean:
    """Return MELD's faces, upper and lower halves: a third of train's dialogues, and of dev's."""
    features, train = _faces()
    rng = np.random.default_rng([seed, 7])
    codes = np.unique(features.dialogue)
    use = np.flatnonzero(np.isin(features.dialogue, rng.permutation(codes)[: len(codes) // 3]))
    of_train = np.isin(use, train)
    parts = [features.take(use[of_train]), features.take(use[~of_train])]
    ids = [f"u{i:05d}" for i in (*use[of_train], *use[~of_train])]
    return Clean(parts[0], parts[1], Names(tuple(ids)), task)


@cache
def _cached(folder: Path, corpus: str, video: str, audio: str) -> tuple[FeatureSet, tuple[str, ...]]:
    from dualstream.pipeline.commands.demo import run_command
    from dualstream.pipeline.experiments.training_data import read_corpus

    data, path = folder_of("DUALSTREAM_DATA") / corpus, folder / f"{corpus}.h5"
    if not path.exists():
        asked = [
            "extract",
            str(data / "manifest.csv"),
            "--root",
            str(data),
            "--video",
            f"table:{data / video}.npz",
        ]
        run_command(
            [*asked, "--audio", f"table:{data / audio}.npz" if audio else "acoustic", "--out", str(path)], print
        )
    found = read_corpus(path)
    there = np.all([one.present for one in found.features.streams.values()], axis=0)  # POM lacks half of the faces
    use = np.flatnonzero((found.splits != "test") & there)
    return found.features.take(use), tuple(found.ids[i] for i in use)


def tables(folder: Path, corpus: str, video: str, audio: str, seed: int) -> Clean:
    """Return a corpus that is a folder of tables: ``mosi``, ``pom_aligned``, ``mmmo_aligned``; of sentiments."""
    features, ids = _cached(folder, corpus, video, audio)
    codes = np.unique(features.speaker)
    group = features.speaker if len(codes) > 1 else np.arange(len(features))
    rng = np.random.default_rng([seed, 7])
    names = rng.permutation(np.unique(group))
    some = names[: max(5, round(KEPT * len(names)))]
    dev = some[: max(1, round(DEV * len(some)))]
    whole = Whole(features, np.isin(group, dev), ids).take(np.flatnonzero(np.isin(group, some)))
    return Clean.of(whole, "sentiment")


Draw = Callable[[Path, int], Clean]


def _of(make: Callable[[Path, int], Whole]) -> Draw:
    return lambda folder, seed: Clean.of(make(folder, seed))


def _sounds(corpus: str, encoders: str, *, windows: bool = False) -> Callable[[Path, int], Whole]:
    return lambda folder, seed: sounds(folder, corpus, encoders, seed, windows=windows)


def _projected(encoders: str) -> Callable[[Path, int], Whole]:
    return lambda folder, seed: projected(sounds(folder, "ravdess", encoders, seed))


REAL: dict[str, Draw] = {
    "RAVDESS, whisper and units": _of(_sounds("ravdess", "whisper+units")),
    "RAVDESS, acoustic and units": _of(_sounds("ravdess", "acoustic+units")),
    "RAVDESS, acoustic, whisper and units": _of(_sounds("ravdess", "acoustic+whisper+units")),
    "RAVDESS, acoustic and whisper": _of(_sounds("ravdess", "acoustic+whisper")),
    "RAVDESS, acoustic and whisper, windows": _of(_sounds("ravdess", "acoustic+whisper", windows=True)),
    "RAVDESS, whisper and units, projected": _of(_projected("whisper+units")),
    "RAVDESS, acoustic and units, normalised": lambda folder, seed: Clean.of(
        sounds(folder, "ravdess", "acoustic+units", seed)
    ).normalised(),
    "EMO-DB, acoustic and whisper": _of(_sounds("emodb", "acoustic+whisper")),
    "EMO-DB, acoustic and whisper, windows": _of(_sounds("emodb", "acoustic+whisper", windows=True)),
    "CREMA-D, votes": _of(lambda folder, seed: cremad(seed)),
    "MELD, halves of the face, emotion": lambda folder, seed: meld(seed, "emotion"),
    "MELD, halves of the face, sentiment": lambda folder, seed: meld(seed, "sentiment"),
    "MOSI, face and sound, windows": lambda f, s: tables(f, "mosi", "face_geometry", "", s),
    "POM, face and sound": lambda f, s: tables(f, "pom_aligned", "video_words", "audio_words", s),
    "ICT-MMMO, face and sound": lambda f, s: tables(f, "mmmo_aligned", "video_words", "audio_words", s),
}
"""By words: a draw of a real corpus."""
