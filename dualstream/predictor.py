"""Predictor: a bundle that stays loaded, from clips to emotion and sentiment."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dualstream.api import PathLike, log, silent
from dualstream.cores import one_blas_thread
from dualstream.counting import counted
from dualstream.documents import JsonObject
from dualstream.pipeline.bundles.folder import read_bundle
from dualstream.pipeline.bundles.loaded import LoadedBundle, load
from dualstream.pipeline.bundles.predictions import UtteranceAnswer
from dualstream.pipeline.bundles.table_inputs import is_over_tables, load_tables, named_tables
from dualstream.pipeline.commands.predict import predictions_of, predictions_of_tables
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.experiments import integrity

WORKERS = 2


@dataclass(frozen=True)
class ClipPrediction:
    """What a bundle says of one utterance, or why it says nothing."""

    name: str
    """The path as it was given, or the manifest's id; of a segment, with its span."""
    emotion: str | None
    """None where there is no prediction, or the bundle has no head for emotion."""
    sentiment: str | None
    probabilities: dict[str, dict[str, float]]
    """Calibrated, by task and class; empty where there is no prediction."""
    reason: str
    """Why there is no prediction; else what was odd about the clip, mostly nothing."""
    start_s: float | None
    """Start of the segment in its recording, seconds; None: the whole file."""
    end_s: float | None
    document: JsonObject
    """All of it, as docs/bundle.md has it: uncalibrated, per seed, which streams are there."""

    @property
    def answered(self) -> bool:
        """Whether there is a prediction."""
        return self.document["status"] == "ok"

    def __repr__(self) -> str:
        if not self.answered:
            return f"ClipPrediction({self.name!r}, no prediction: {self.reason!r})"
        words = [
            f"{self.document[task]['answer']} {self.document[task]['probability']:.2f}"
            for task in self.probabilities
        ]
        return f"ClipPrediction({self.name!r}, {', '.join(words)})"


class Predictor:
    """A bundle in memory: weights are read and encoders built once, whatever is predicted afterwards.

    Parameters
    ----------
    bundle
        The folder that `export` made.
    weights
        Files of encoder weights that the bundle does not carry; their digests say which encoder each is for.
    device
        ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
    ffmpeg
        The binary; None: the one on PATH, else that of imageio-ffmpeg.

    Raises
    ------
    NoCacheError, CorruptError, FingerprintMismatchError, UsageError
        Where there is no bundle, it is damaged, or weights are missing or others.
    """

    def __init__(
        self,
        bundle: PathLike,
        *,
        weights: PathLike | Sequence[PathLike] = (),
        device: str = "auto",
        ffmpeg: PathLike | None = None,
    ) -> None:
        files = [weights] if isinstance(weights, str | os.PathLike) else weights
        self._ffmpeg = None if ffmpeg is None else Path(ffmpeg)
        self._bundle = read_bundle(Path(bundle))
        self._loaded: LoadedBundle | None = None
        if is_over_tables(self._bundle):
            if files or device not in ("auto", "cpu") or ffmpeg is not None:
                raise UsageError(
                    "weights, device and ffmpeg are of clips: this bundle reads tables; leave them out"
                )
        else:
            with silent(), one_blas_thread():
                self._loaded = load(
                    self._bundle, weights=[Path(one) for one in files], device=device, ffmpeg=self._ffmpeg
                )
        for note in [*self.notes, *self.warnings]:
            log.warning(note)

    @property
    def variant(self) -> str:
        """The fusion variant of its heads."""
        return self._bundle.variant

    @property
    def vocabulary(self) -> dict[str, list[str]]:
        """Class names of each task that it predicts."""
        return {task: list(self._bundle.vocabulary[task]) for task in self._bundle.calibration}

    @property
    def notes(self) -> list[str]:
        """What differs from where the features were made: decoder, kind of device; nothing is known of tables."""
        return [] if self._loaded is None else list(self._loaded.notes)

    @property
    def warnings(self) -> list[str]:
        """What is to be known of its heads, such as an encoder of random weights."""
        if self._loaded is not None:
            return list(self._loaded.warnings)
        specs = {name: one.spec for name, one in self._bundle.streams.items()}
        return integrity.with_random_weights(self._bundle.manifest.warnings, specs)

    def __repr__(self) -> str:
        streams = ", ".join(f"{name}={one['spec']['name']}" for name, one in self._bundle.streams.items())
        classes = ", ".join(f"{len(names)} {task} classes" for task, names in self.vocabulary.items())
        return f"Predictor({self.variant}, {streams}, {classes}, {counted(len(self._bundle.models), 'model')})"

    @one_blas_thread()
    def predict(
        self,
        files: PathLike | Iterable[PathLike] = (),
        *,
        tables: PathLike | Mapping[str, PathLike] | None = None,
        root: PathLike | None = None,
        segments: str | float | None = None,
        speaker: str = "",
        speaker_per_file: bool = False,
        workers: int = WORKERS,
        progress: bool = False,
    ) -> list[ClipPrediction]:
        """Predict emotion and sentiment of clips; every utterance has a prediction or a reason.

        Parameters
        ----------
        files
            A clip, a folder, a manifest (``.csv``) or a recording, or several of them. Beside `tables`:
            nothing, or a manifest that says which of their rows.
        tables
            Of a bundle over ready-made tables: the new table of each stream, ``{"video": "new.npz"}``, or the one
            of its only stream; read at each call.
        root
            The folder that a manifest's paths start from; None: its own.
        segments
            Cut recordings: ``"silence"``, a length in seconds, or a file of segments (.vtt, .srt, .rttm,
            .TextGrid, .eaf, .txt); None: a file is one utterance.
        speaker
            Who speaks where no manifest says it, for a bundle that normalises speakers; empty: unknown. The
            clips of one speaker in one call are normalised together.
        speaker_per_file
            With `segments`: each recording has one speaker, of its own.
        workers
            Clips that are decoded in parallel.
        progress
            Report on standard error: a bar on a terminal, else one line every 30 s.

        Raises
        ------
        UsageError
            Where there is no file at all, or the options don't fit them.
        FingerprintMismatchError
            Where a table has other columns than the one that the heads were fitted on.
        """
        listed = [files] if isinstance(files, str | os.PathLike) else list(files)
        if workers < 1:
            raise ValueError(f"workers is {workers}; expected 1 or more")
        if tables is not None or self._loaded is None:
            of_clips = {"root": root, "segments": segments, "speaker_per_file": speaker_per_file or None}
            if used := [name for name, value in of_clips.items() if value is not None]:
                raise UsageError(f"{', '.join(used)}: of clips, and this bundle reads tables; leave it out")
            return self._predict_tables([Path(one) for one in listed], tables or {}, speaker)
        with silent(not progress):
            found = predictions_of(
                self._loaded,
                [Path(one) for one in listed],
                root=None if root is None else Path(root),
                segments=None if segments is None else str(segments),
                speaker=speaker,
                speaker_per_file=speaker_per_file,
                workers=workers,
                ffmpeg=self._ffmpeg,
            )
        for text in found.warnings:
            log.warning(text)
        return [_prediction(one) for one in found.utterances]

    def _predict_tables(
        self, manifest: Sequence[Path], tables: PathLike | Mapping[str, PathLike], speaker: str
    ) -> list[ClipPrediction]:
        if isinstance(tables, Mapping):
            texts = [f"{name}={os.fspath(place)}" for name, place in tables.items()]
        else:
            texts = [os.fspath(tables)]
        with silent():
            loaded = load_tables(self._bundle, named_tables(self._bundle, texts))
            found = predictions_of_tables(loaded, manifest, speaker=speaker)
        for text in (*loaded.notes, *found.warnings):
            log.warning(text)
        return [_prediction(one) for one in found.utterances]


def _prediction(found: UtteranceAnswer) -> ClipPrediction:
    tasks = {"emotion": found.emotion, "sentiment": found.sentiment}
    return ClipPrediction(
        name=found.name,
        emotion=None if found.emotion is None else found.emotion.answer,
        sentiment=None if found.sentiment is None else found.sentiment.answer,
        probabilities={task: one.probabilities for task, one in tasks.items() if one is not None},
        reason=found.reason,
        start_s=found.start_s,
        end_s=found.end_s,
        document=found.to_json(),
    )
