"""What is read, who is fitted and scored, and how models answer; the command line shows it without NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from dualstream.heads.variants.options import TASKS, FitOptions, Task
from dualstream.pipeline.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from dualstream.pipeline.experiments.predictions import Predictions
    from numpy.typing import NDArray

Scored = Literal["all", "present"]
NO_PAIRS = "--decoding pairs or --joint-decoding needs both tasks, and training utterances with both labels"


@dataclass(frozen=True)
class DecodingOptions:
    """How the models' log-probabilities become answers.

    Models that answer both tasks as one (`heads.variants.joint`) are asked for that and nothing else.
    """

    ensemble: bool = False
    """Average the seeds' probabilities into one model.

    It is that model which is scored."""
    joint_decoding: bool = False
    """Deprecated: --decoding pairs."""

    def apply(self, predictions: Predictions, pairs: NDArray[np.bool_]) -> Predictions:
        """Return the predictions of the ensemble, or with decoded answers, or as they are.

        Parameters
        ----------
        predictions
            One per seed.
        pairs
            Which pairs training showed to the models that answer each utterance, shape (N, E, S).

        Raises
        ------
        UsageError
            Where joint decoding is asked for and a task is missing, or no pair was seen.
        """
        from dualstream.heads.variants.decode import joint_decode
        from dualstream.heads.variants.ensemble import ensemble

        if self.ensemble:
            models, names = (ensemble(predictions.models),), (f"ensemble of {len(predictions.models)}",)
            predictions = replace(predictions, models=models, names=names)
        if self.joint_decoding:
            if set(predictions.true) != set(TASKS) or not pairs.any((1, 2)).all():
                raise UsageError(NO_PAIRS)
            decoded: list[dict[Task, NDArray[np.int64]]] = []
            for model in predictions.models:
                emotion, sentiment = joint_decode(model, pairs)
                decoded.append({"emotion": emotion, "sentiment": sentiment})
            predictions = replace(predictions, decoded=tuple(decoded))
        return predictions


def agreed(fit: FitOptions, answering: DecodingOptions) -> tuple[FitOptions, DecodingOptions]:
    """Return both saying the same of `--decoding pairs`, which `--joint-decoding` is an older word for."""
    if answering.joint_decoding:
        fit = replace(fit, decoding="pairs")
    return fit, replace(answering, joint_decoding=fit.decoding == "pairs")


@dataclass(frozen=True, kw_only=True)
class ProtocolOptions:
    """What a fit and a comparison are told alike: what is read, who is fitted and scored, how models answer."""

    folds: str | None = None
    """Cross-validate in place of dev: speaker (with all who share their dialogues), dialogue, speaker:4, or a
    number; speaker-only:4 cuts dialogues."""
    streams: Mapping[str, str] = field(default_factory=dict)
    """Streams to join, any number: NAME,NAME,... or video=NAME,audio=NAME; default: video and audio."""
    speaker_norm: bool = False
    """Normalise each speaker by its own unlabelled utterances, drawn towards training speakers (transductive)."""
    scored: Scored = "all"
    """all: utterances without features are scored too, answered by the prior; present: they are left out."""
    answering: DecodingOptions = field(default_factory=DecodingOptions)
    """Ensemble over seeds, joint decoding."""
