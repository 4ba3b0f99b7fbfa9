"""Planted corpora that were put together as they should be, of many sizes and kinds: for study_alarms.py.

Every stream is an encoder's view of an utterance's latent course: class, speaker, what the clip itself was like,
and noise of its own. What differs is how many rows, speakers and streams there are, how the encoder writes its
columns, whether there are windows, dialogues and missing rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import checkout  # noqa: F401
import numpy as np
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.diagnosis.changes import pooled_rows
from numpy.typing import NDArray
from whole_corpora import EMOTIONS, Floats, Whole

Columns = Callable[[np.random.Generator, Floats], Floats]
MELD_SHARES = (0.47, 0.12, 0.03, 0.07, 0.17, 0.03, 0.11)
EVEN = (1 / 7,) * 7
LATENT = 16
HOP_S = 0.5


@dataclass(frozen=True)
class CleanPlan:
    """What a corpus is like."""

    rows: int = 900
    speakers: int = 20
    shares: tuple[float, ...] = EVEN
    streams: dict[str, tuple[int, Columns]] = field(default_factory=dict)
    """Width and encoder of each stream."""
    told: tuple[float, ...] = (0.8, 0.6, 0.5, 0.4, 0.3)
    """How far the streams tell the class."""
    common: float = 0.5
    """Of what a clip is like beyond class and speaker, how much all streams see."""
    missing: float = 0.0
    """Share of rows that each stream but the first lacks."""
    windows: bool = False
    smooth: float = 0.0
    """Correlation of a window's course with that of the next."""
    dialogue: int = 0
    """Utterances of a dialogue, of several speakers; 0: no dialogues."""
    dev: bool = True
    one_sound: bool = False
    """Whether all streams are encoders of one and the same course."""


def linear(rng: np.random.Generator, latent: Floats, width: int) -> Floats:
    """Columns that mix the latent course, of uneven scale and place."""
    rows = latent @ rng.normal(size=(latent.shape[1], width)) / np.sqrt(latent.shape[1])
    rows = rows + 0.4 * rng.standard_t(6, size=rows.shape)
    return rows * np.exp(0.5 * rng.normal(size=width)) + 2 * rng.normal(size=width)


def columns(how: Callable[[np.random.Generator, Floats], Floats], width: int) -> tuple[int, Columns]:
    """Return an encoder whose linear columns are then written as `how` does."""
    return width, lambda rng, latent: how(rng, linear(rng, latent, width))


def plain(width: int) -> tuple[int, Columns]:
    """Return a stream of columns that are linear in what is planted."""
    return width, lambda rng, latent: linear(rng, latent, width)


def random_weights(width: int) -> tuple[int, Columns]:
    """Two layers of rectified units whose weights were never fitted."""

    def encode(rng: np.random.Generator, latent: Floats) -> Floats:
        hidden = np.maximum(linear(rng, latent, 2 * width) + 0.5, 0)
        return np.maximum(hidden @ rng.normal(size=(2 * width, width)) / np.sqrt(width) + 0.3, 0)

    return width, encode


def words(width: int) -> tuple[int, Columns]:
    """Counts of words in each row, weighted and normalised: sparse and not negative."""

    def encode(rng: np.random.Generator, latent: Floats) -> Floats:
        logits = latent @ rng.normal(size=(latent.shape[1], width)) * 0.35 - 1.2 * np.log(np.arange(1, width + 1))
        share = np.exp(logits - logits.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        counts = rng.poisson(share * rng.integers(4, 30, size=(len(latent), 1)))
        weighted = counts * np.log(len(latent) / (1 + (counts > 0).sum(axis=0)))
        return weighted / np.maximum(np.linalg.norm(weighted, axis=1, keepdims=True), 1e-9)

    return width, encode


def with_one_hot(width: int, values: int) -> tuple[int, Columns]:
    """Linear columns beside the indicators of a category (which microphone, say)."""

    def encode(rng: np.random.Generator, latent: Floats) -> Floats:
        category = np.eye(values)[rng.integers(values, size=len(latent))]
        return np.concatenate((linear(rng, latent, width - values), category), axis=1)

    return width, encode


def tails(rng: np.random.Generator, rows: Floats) -> Floats:
    """Give rows heavy tails."""
    middle = rows.mean(axis=0)
    return middle + (rows - middle) * np.sqrt(3 / rng.chisquare(3, size=rows.shape))


def skewed(rng: np.random.Generator, rows: Floats) -> Floats:
    """Energies: log-normal columns."""
    return np.exp((rows - rows.mean(axis=0)) / rows.std(axis=0))


def rounded(rng: np.random.Generator, rows: Floats) -> Floats:
    """Values of bfloat16: seven bits behind the leading one."""
    mantissa, exponent = np.frexp(rows)
    return np.ldexp(np.round(mantissa * 256) / 256, exponent)


def some_constant(rng: np.random.Generator, rows: Floats) -> Floats:
    """Make a fiftieth of the columns constant."""
    rows[:, rng.permutation(rows.shape[1])[: max(1, rows.shape[1] // 50)]] = 1.0
    return rows


def clipped_at_zero(rng: np.random.Generator, rows: Floats) -> Floats:
    """Intensities, as action units are: many zeros at their limit."""
    return np.maximum(rows - np.quantile(rows, 0.4, axis=0), 0)


def made(plan: CleanPlan, seed: int) -> Whole:
    """Draw a corpus."""
    rng = np.random.default_rng([seed, 11])
    count, people = plan.rows, plan.speakers
    label = rng.choice(len(plan.shares), size=count, p=plan.shares)
    speaker = rng.integers(people, size=count)
    dialogue = np.arange(count)
    if plan.dialogue:
        dialogue = np.arange(count) // plan.dialogue
        cast = rng.choice(people, size=(dialogue[-1] + 1, 3), p=_popular(people))
        speaker = cast[dialogue, rng.integers(3, size=count)]
    else:  # speaker by speaker, as folders are
        order = np.lexsort((label, speaker))
        label, speaker = label[order], speaker[order]
    lengths = rng.integers(2, 10, size=count) if plan.windows else np.ones(count, dtype=np.int64)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    owner = np.repeat(np.arange(count), lengths)
    clip, course = rng.normal(size=(count, LATENT)), _course(rng, offsets, plan)
    streams: dict[str, StreamArrays] = {}
    first: Floats | None = None
    for place, (name, (width, encode)) in enumerate(plan.streams.items()):
        told = plan.told[min(place, len(plan.told) - 1)]
        if plan.one_sound and first is not None:
            latent = first
        else:
            own = rng.normal(size=(count, LATENT))
            latent = (
                told * rng.normal(size=(len(plan.shares), LATENT))[label]
                + 0.8 * rng.normal(size=(people, LATENT))[speaker]
                + np.sqrt(plan.common) * clip @ _turn(rng)
                + np.sqrt(1 - plan.common) * own
            )[owner] + course[:, : LATENT // 2] @ rng.normal(size=(LATENT // 2, LATENT)) / 3
            latent = latent + (0.7 if plan.windows else 0.0) * rng.normal(size=latent.shape)
            first = latent if first is None else first
        rows = encode(rng, latent).astype(np.float32)
        assert rows.shape[1] == width
        there = rng.random(count) >= (plan.missing if place else 0.0)
        rows[~there[owner]] = 0
        if plan.windows:
            utterance, present = pooled_rows(rows, there[owner], offsets)
            streams[name] = StreamArrays(utterance, present, rows, there[owner])
        else:
            streams[name] = StreamArrays(rows, there)
    features = FeatureSet(
        streams=streams,
        offsets=offsets if plan.windows else np.zeros(count + 1, np.int64),
        start_s=(np.arange(len(owner)) - offsets[owner]) * HOP_S if plan.windows else np.zeros(0),
        emotion=label.astype(np.int64),
        sentiment=np.full(count, -1, np.int64),
        emotion_names=EMOTIONS,
        sentiment_names=("negative", "positive"),
        dialogue=dialogue.astype(np.int64),
        turn=np.zeros(count, np.int64),
        speaker=speaker.astype(np.int64),
    )
    held = dialogue if plan.dialogue or people < 5 else speaker
    some = rng.permutation(np.unique(held))[: round(0.25 * len(np.unique(held)))]
    ids = tuple(f"d{d:05d}-u{i:05d}-s{s:02d}" for i, (d, s) in enumerate(zip(dialogue, speaker, strict=True)))
    return Whole(features, np.isin(held, some) & plan.dev, ids)


def _popular(people: int) -> NDArray[np.float64]:
    weight = 1 / (1 + np.arange(people))
    return np.asarray(weight / weight.sum())


def _turn(rng: np.random.Generator) -> Floats:
    return np.linalg.qr(rng.normal(size=(LATENT, LATENT)))[0]


def _course(rng: np.random.Generator, offsets: NDArray[np.int64], plan: CleanPlan) -> Floats:
    """Return what moves within utterances in all streams alike, shape (W, LATENT)."""
    course = rng.normal(size=(offsets[-1], LATENT))
    if not plan.windows:
        return np.zeros_like(course)
    kept = plan.smooth
    for at in range(1, len(course)):
        course[at] = kept * course[at - 1] + np.sqrt(1 - kept**2) * course[at]
    return course


PAIR = {"audio": plain(64), "video": plain(24)}


def _sizes(rng: np.random.Generator) -> CleanPlan:
    names = ("audio", "video", "face", "pose", "text")[: int(rng.integers(2, 6))]
    return CleanPlan(
        rows=round(float(np.exp(rng.uniform(np.log(200), np.log(2_500))))),
        speakers=round(float(np.exp(rng.uniform(np.log(2), np.log(60))))),
        streams={name: plain(int(rng.integers(8, 120))) for name in names},
        shares=MELD_SHARES if rng.random() < 0.5 else EVEN,
        dialogue=8 if rng.random() < 0.4 else 0,
        missing=0.2 if rng.random() < 0.3 else 0.0,
        common=float(rng.uniform(0.0, 0.8)),
        dev=bool(rng.random() < 0.8),
    )


PLANS: dict[str, Callable[[np.random.Generator], CleanPlan]] = {
    "any sizes": _sizes,
    "10,000 rows": lambda rng: CleanPlan(rows=10_000, speakers=60, shares=MELD_SHARES, dialogue=9, streams=PAIR),
    "MELD's shares, dialogues": lambda rng: CleanPlan(
        rows=1_500, speakers=40, shares=MELD_SHARES, dialogue=9, streams=PAIR
    ),
    "streams share nothing but class and speaker": lambda rng: CleanPlan(streams=PAIR, common=0.0),
    "missing streams": lambda rng: CleanPlan(streams=PAIR | {"face": plain(40)}, missing=0.35),
    "windows": lambda rng: CleanPlan(rows=600, windows=True, smooth=0.5, streams=PAIR),
    "windows, dialogues": lambda rng: CleanPlan(rows=700, windows=True, smooth=0.7, dialogue=8, streams=PAIR),
    "two encoders of one sound": lambda rng: CleanPlan(
        rows=600,
        windows=True,
        smooth=0.8,
        one_sound=True,
        streams={"audio": plain(64), "whisper": random_weights(96)},
    ),
    "random weights": lambda rng: CleanPlan(streams={"audio": plain(64), "video": random_weights(100)}),
    "words": lambda rng: CleanPlan(streams={"audio": plain(64), "text": words(150)}),
    "one-hot columns": lambda rng: CleanPlan(streams={"audio": with_one_hot(40, 4), "video": plain(24)}),
    "one-hot stream": lambda rng: CleanPlan(streams=PAIR | {"where": with_one_hot(8, 6)}),
    "heavy tails": lambda rng: CleanPlan(streams={"audio": columns(tails, 64), "video": columns(skewed, 24)}),
    "narrow streams": lambda rng: CleanPlan(streams={"audio": plain(1), "video": plain(3)}, told=(1.5, 1.5)),
    "bfloat16": lambda rng: CleanPlan(streams={"audio": columns(rounded, 64), "video": columns(rounded, 24)}),
    "constant columns": lambda rng: CleanPlan(streams={"audio": columns(some_constant, 100), "video": plain(24)}),
    "intensities": lambda rng: CleanPlan(streams={"audio": plain(64), "video": columns(clipped_at_zero, 24)}),
}
"""By words: what is drawn."""


def clean(name: str, seed: int) -> Whole:
    """Draw a corpus of one of PLANS."""
    return made(PLANS[name](np.random.default_rng([seed, 5])), seed)
