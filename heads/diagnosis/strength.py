"""What each stream gives alone, what both give together, and what the fused head really uses.

Shapley values split the fused score between the streams: with v(S) the balanced accuracy of a head on
the streams S, and chance for none,

    phi_video = ((v(video) - v()) + (v(both) - v(audio))) / 2       phi_audio likewise

which is exact for two players (Shapley 1953). They say what a stream is worth; how far the fitted head
leans on it is measured apart, by giving it the stream of another utterance, or hiding it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from dualstream.heads.data.batch import PAIR, stream_order
from dualstream.heads.diagnosis.changes import lent, without
from dualstream.heads.diagnosis.refit import Pool, Refit, predict, uar
from dualstream.heads.evaluation.calibration import log_softmax
from numpy.typing import NDArray

from dualstream.documents import JsonObject


@dataclass(frozen=True)
class Reliance:
    """How far a fitted fused head leans on one stream: its loss of balanced accuracy without it."""

    stream: str
    shuffled: float
    """With the stream of another utterance in its place."""
    masked: float
    """With the stream marked as missing."""


@dataclass(frozen=True)
class Strength:
    """Worth and use of two streams; balanced accuracies, 0 to 1, out of fold.

    Fields are called after the streams that most corpora have: ``video`` is the first of `streams`, ``audio`` the
    second. JSON and `alone` have the streams' own names.
    """

    chance: float
    video: float
    audio: float
    fused: float
    shapley_video: float
    shapley_audio: float
    lean: tuple[Reliance, Reliance]
    gradient_share_video: tuple[float, ...]
    """Share of the gradient's norm that flows into the video side, by epoch; empty where not recorded."""
    streams: tuple[str, str] = PAIR

    @property
    def alone(self) -> dict[str, float]:
        """Score of each stream by itself."""
        return dict(zip(self.streams, (self.video, self.audio), strict=True))

    @property
    def shapley(self) -> dict[str, float]:
        """Worth of each stream."""
        return dict(zip(self.streams, (self.shapley_video, self.shapley_audio), strict=True))

    @property
    def lean_share(self) -> dict[str, float]:
        """Share of each stream in what the head loses by shuffling; NaN where it leans on none."""
        losses = {lean.stream: max(0.0, lean.shuffled) for lean in self.lean}
        total = sum(losses.values())
        return {name: loss / total if total > 0 else float("nan") for name, loss in losses.items()}

    def to_json(self) -> JsonObject:
        """Return the values."""
        share = {k: None if np.isnan(v) else v for k, v in self.lean_share.items()}
        return {**_by_their_names(asdict(self), self.streams), "lean_share": share}


@dataclass(frozen=True)
class Complement:
    """Whether there is anything to gain from joining the streams."""

    only_video: float
    """Share of utterances that the video head alone gets right."""
    only_audio: float
    both: float
    neither: float
    oracle: float
    """Balanced accuracy of an oracle that picks the right stream: no choice between streams does better."""
    disagreement: float
    """Yule's Q of the two heads' errors (1: the same errors, 0: independent, -1: disjoint)."""
    streams: tuple[str, str] = PAIR
    """What is called video and audio here; JSON has these names."""

    def to_json(self) -> JsonObject:
        """Return the values."""
        return _by_their_names(asdict(self), self.streams)


def _by_their_names(values: JsonObject, streams: tuple[str, str]) -> JsonObject:
    """Return the values of a pair with its streams' own names in the keys."""
    names = dict(zip(PAIR, streams, strict=True))
    found = {}
    for key, value in values.items():
        before, _, last = key.rpartition("_")
        found[f"{before}_{names[last]}".lstrip("_") if last in names else key] = value
    found.pop("streams")
    return found


def strength(pooled: Pool, fused: Refit, video: Refit, audio: Refit, *, seed: int = 0) -> Strength:
    """Measure what the streams are worth and how far the fused head leans on each."""
    chance = chance_of(pooled)
    first, second = stream_order(pooled.features.streams)
    lean = tuple(reliance(pooled, fused, name, seed) for name in (first, second))
    column = f"gradient_share_{first}"
    shares = [
        model.history.columns[column]
        for models, _ in fused.models
        for model in models
        if column in model.history.columns
    ]
    shortest = min((len(share) for share in shares), default=0)
    mean_share = np.mean([share[:shortest] for share in shares], axis=0) if shortest else np.zeros(0)
    return Strength(
        chance=chance,
        video=video.score,
        audio=audio.score,
        fused=fused.score,
        shapley_video=((video.score - chance) + (fused.score - audio.score)) / 2,
        shapley_audio=((audio.score - chance) + (fused.score - video.score)) / 2,
        lean=(lean[0], lean[1]),
        gradient_share_video=tuple(float(value) for value in mean_share),
        streams=(first, second),
    )


def chance_of(pooled: Pool) -> float:
    """Return the balanced accuracy of guessing."""
    return 1 / int((np.bincount(pooled.truth, minlength=pooled.classes) > 0).sum())


def complement(pooled: Pool, video: Refit, audio: Refit) -> Complement:
    """Measure how far the single streams' errors are disjoint."""
    first, second = stream_order(pooled.features.streams)
    v, a = (mean_log_probabilities(one.log_probabilities).argmax(axis=1) == pooled.truth for one in (video, audio))
    both, neither = float(np.mean(v & a)), float(np.mean(~v & ~a))
    only_video, only_audio = float(np.mean(v & ~a)), float(np.mean(a & ~v))
    below = both * neither + only_video * only_audio
    either = v | a
    recalls = [either[pooled.truth == code].mean() for code in np.unique(pooled.truth)]
    return Complement(
        only_video=only_video,
        only_audio=only_audio,
        both=both,
        neither=neither,
        oracle=float(np.mean(recalls)),
        disagreement=(both * neither - only_video * only_audio) / below if below > 0 else 0.0,
        streams=(first, second),
    )


def late_sum(first: Refit, second: Refit) -> tuple[NDArray[np.float64], ...]:
    """Return the sum of two refits' log-probabilities, a seed each: the plainest fusion there is."""
    return tuple(
        log_softmax(one + two) for one, two in zip(first.log_probabilities, second.log_probabilities, strict=True)
    )


def mean_log_probabilities(rows: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the logarithm of the seeds' mean probabilities, shape (N, C)."""
    return np.log(np.mean(np.exp(rows), axis=0) + 1e-300)


def reliance(pooled: Pool, fused: Refit, name: str, seed: int) -> Reliance:
    """Measure what the fused head loses without one stream."""
    shuffled, masked = [], []
    for held, (models, change) in enumerate(fused.models):
        rows = pooled.rows([held])
        features = change(pooled.features.take(rows))
        truth = pooled.truth[rows]
        unrelated = lent(features, {name: np.random.default_rng((seed, held)).permutation(len(features))})
        without_stream = without(features, name)
        for model in models:
            whole = uar(predict(model, features, pooled.task), truth)
            shuffled.append(whole - uar(predict(model, unrelated, pooled.task), truth))
            masked.append(whole - uar(predict(model, without_stream, pooled.task), truth))
    return Reliance(name, float(np.mean(shuffled)), float(np.mean(masked)))
