"""What `predict` answers: the document that it prints, an entry for each utterance."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar, TypedDict

from dualstream.heads.data.speaker_batches import SpeakerBatch
from dualstream.heads.variants.options import Task

from dualstream.documents import Document, JsonObject

ANSWERED, FAILED = "ok", "failed"


class TimelinePoint(TypedDict, total=False):
    """The answer for a stretch of a clip."""

    time_s: float
    """Its middle."""
    start_s: float
    end_s: float
    emotion: dict[str, float] | None
    """Probability of each class; None where no stream has anything in the stretch, no key without a head."""
    sentiment: dict[str, float] | None


@dataclass(frozen=True)
class TaskAnswer(Document):
    """The answer to one task."""

    answer: str
    probability: float
    """Of the answer, calibrated."""
    probabilities: dict[str, float]
    """Of each class, calibrated."""
    uncalibrated: dict[str, float]
    """Of each class, the mean of the seeds."""
    seeds: dict[str, dict[str, float]]
    """Of each class, by seed."""


@dataclass(frozen=True)
class UtteranceAnswer(Document):
    """One utterance: its answers, or the reason why there are none."""

    name: str
    path: str | None
    start_s: float | None
    """Of a stretch of a recording; None: the whole file."""
    end_s: float | None
    status: str
    """``ok`` or ``failed``."""
    reason: str
    """Why there is no answer, or what was odd; empty: nothing."""
    sound: str | None = None
    """The file of the sound, where it is another one."""
    streams: dict[str, bool] | None = None
    """Which streams were there; None where there is no answer, as in all that follows."""
    far_outside: tuple[str, ...] = ()
    """In which streams it lies far outside of what the heads were fitted on."""
    duration_s: float | None = None
    sha256: str | None = None
    emotion: TaskAnswer | None = None
    sentiment: TaskAnswer | None = None
    speaker: str | None = None
    """Who speaks, where that is known and the bundle normalises speakers."""
    timeline: tuple[TimelinePoint, ...] | None = None
    """Answers along the clip, where they were asked for."""

    def task(self, task: Task) -> TaskAnswer | None:
        """Return the answer to one task."""
        return self.emotion if task == "emotion" else self.sentiment

    @property
    def missing(self) -> list[str]:
        """The streams that it lacks."""
        return [name for name, there in (self.streams or {}).items() if not there]

    def to_json(self) -> JsonObject:
        """Return JSON values: keys of what is not there, such as answers and ``timeline``, are left out."""
        own = super().to_json()
        head = ("name", "path", *(("sound",) if self.sound is not None else ()), "start_s", "end_s")
        keys = [*head, "status", "reason"]
        if self.status == ANSWERED:
            keys += ["streams", "far_outside", "duration_s", "sha256", "emotion", "sentiment"]
        keys += [key for key in ("speaker", "timeline") if own[key] is not None]
        return {key: own[key] for key in keys}


@dataclass(frozen=True)
class PredictionReport(Document):
    """What `predict` returns and prints."""

    FORMAT: ClassVar[str] = "dualstream predictions"

    bundle: str
    variant: str
    fingerprint: str
    notes: tuple[str, ...]
    """How this machine differs from the one that the features were made on."""
    warnings: tuple[str, ...]
    """Of the bundle: what must be said of any answer; of speakers: what these answers rest on."""
    vocabulary: dict[Task, tuple[str, ...]]
    """Classes of each task that has a head."""
    timeline_s: float | None
    """Length of the stretches of timelines."""
    utterances: tuple[UtteranceAnswer, ...]
    failed: int
    csv: str | None
    """Where the table is; None: not asked for, or it could not be written."""
    page: str | None
    speakers: tuple[SpeakerBatch, ...] = ()
    """What each speaker was normalised by, and how often each class was answered; empty: by nothing."""
    unwritten: tuple[str, ...] = ()
    """Why a table or page could not be written."""
    annotations: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Where the files for annotation tools are, by the option that asked for them."""

    def without(self, key: str, reason: str) -> PredictionReport:
        """Return it with a file of `key` (``csv``, ``page`` or an annotation's) that could not be written."""
        changed = dataclasses.replace(self, unwritten=(*self.unwritten, reason))
        if key not in ("csv", "page"):
            return changed
        return dataclasses.replace(changed, csv=None) if key == "csv" else dataclasses.replace(changed, page=None)
