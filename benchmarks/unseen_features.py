"""Mistakes that were written without sight of the signs: in rows as they were extracted or read."""

from __future__ import annotations

from dataclasses import replace

import checkout  # noqa: F401
import numpy as np
from damages import Damage, _half, _stream_of
from dualstream.heads.data.batch import StreamArrays
from numpy.typing import NDArray
from shapes import conversations
from whole_corpora import Codes, Floats, Whole

DEGREES = 180 / np.pi
DAYS = 43_800  # a spreadsheet's number of a day in 2019
MANY_WINDOWS = 12


def _with(whole: Whole, name: str, rows: Floats) -> Whole:
    return whole.having({**whole.rows, name: rows})


def _one(whole: Whole, rng: np.random.Generator) -> tuple[str, Floats]:
    name = _stream_of(whole, rng)
    return name, whole.rows[name]


def _some_of(whole: Whole, rng: np.random.Generator, share: float) -> NDArray[np.bool_]:
    return np.asarray(rng.random(len(whole.ids)) < share)


def jittered(rows: Floats, rng: np.random.Generator, size: float) -> Floats:
    """Return rows with noise of `size` deviations, not below a column's floor: intensities stay what they are."""
    noisy = rows + size * rows.std(axis=0) * rng.normal(size=rows.shape)
    return np.where(rows > rows.min(axis=0), np.maximum(noisy, rows.min(axis=0)), rows)


def decimal_commas(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Four speakers' files have decimal commas that were read as separators of thousands: 0,52 is 52."""
    name, rows = _one(whole, rng)
    some = np.isin(
        whole.features.speaker, rng.permutation(np.unique(whole.features.speaker))[: round(4 * strength)]
    )
    digits = np.rint(rows[some] * 1000)
    for _ in range(3):  # no noughts stand at the end of a decimal
        digits = np.where((digits != 0) & (digits % 10 == 0), digits / 10, digits)
    rows[some] = digits
    return _with(whole, name, rows)


def an_unquoted_comma(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """In 15 % of the rows a text with a comma moved all columns behind it by one."""
    name, rows = _one(whole, rng)
    some, at = np.flatnonzero(_some_of(whole, rng, 0.15 * strength)), rows.shape[1] // 3
    rows[some, at + 1 :] = rows[some, at:-1]
    return _with(whole, name, rows)


def mean_over_padding(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Means were taken over sequences padded with noughts: short clips' rows are small."""
    name, rows = _one(whole, rng)
    return _with(whole, name, rows * rng.uniform(1 - 0.9 * min(strength, 1.0), 1, size=(len(rows), 1)))


def sums_for_means(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Half of the speakers' rows are sums over windows, the others' means."""
    name, rows = _one(whole, rng)
    windows = rng.integers(2, max(3, round(MANY_WINDOWS * strength)), size=len(rows))
    return _with(whole, name, rows * np.where(_half(whole, rng), windows, 1)[:, None])


def dev_of_unit_length(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Each row of dev was normalised by itself, train's were not."""
    name, rows = _one(whole, rng)
    own = (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True)
    return _with(whole, name, np.where(whole.dev[:, None], own, rows))


def components_of_each_split(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Principal components were fitted on train and on dev, each for itself."""
    name, rows = _one(whole, rng)
    for part in (whole.dev, ~whole.dev):
        own = (rows[part] - rows[part].mean(axis=0)) / rows[part].std(axis=0).clip(1e-9)
        rows[part] = own @ np.linalg.eigh(own.T @ own)[1][:, ::-1]
    return _with(whole, name, rows)


def speakers_normalised_in_train(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Train's rows of all streams were standardised inside of each speaker, dev's as a whole."""
    rows = whole.rows
    for own in rows.values():
        for code in np.unique(whole.features.speaker[~whole.dev]):
            mine = ~whole.dev & (whole.features.speaker == code)
            own[mine] = (own[mine] - own[mine].mean(axis=0)) / own[mine].std(axis=0).clip(1e-9)
        own[whole.dev] = (own[whole.dev] - own[whole.dev].mean(axis=0)) / own[whole.dev].std(axis=0).clip(1e-9)
    return whole.having(rows)


def dropout_left_on(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Three values in ten of one stream were dropped, the others made larger for it."""
    name, rows = _one(whole, rng)
    gone = min(0.9, 0.3 * strength)
    return _with(whole, name, np.where(rng.random(rows.shape) < gone, 0, rows / (1 - gone)))


def silent_clips(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """One clip in eight lost its sound: what an encoder makes of silence, and a little noise."""
    name, rows = _one(whole, rng)
    spread = rows.std(axis=0)
    silence = rows.mean(axis=0) + spread * rng.normal(size=rows.shape[1])
    silent = silence + 0.01 * spread * rng.normal(size=rows.shape)
    return _with(whole, name, np.where(_some_of(whole, rng, 0.125 * strength)[:, None], silent, rows))


def names_as_text(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """A third stream embeds the text that is found beside a clip: its file's name, the class's word in it."""
    label, speaker = whole.features.emotion, whole.features.speaker
    word, who = (rng.normal(size=(codes.max() + 1, 64)) for codes in (label, speaker))
    text = strength * word[label] + who[speaker] + rng.normal(size=(len(label), 64))
    stream = StreamArrays(text.astype(np.float32), np.ones(len(label), dtype=bool))
    return replace(whole, features=replace(whole.features, streams={**whole.features.streams, "text": stream}))


def degrees_for_radians(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """A third of one stream's columns are degrees in half of the speakers, radians in the others."""
    name, rows = _one(whole, rng)
    angles = rng.permutation(rows.shape[1])[: max(1, rows.shape[1] // 3)]
    rows[np.ix_(_half(whole, rng), angles)] *= DEGREES**strength
    return _with(whole, name, rows)


def presences_for_intensities(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Half of the speakers' rows say whether a value is high, the others' how high."""
    name, rows = _one(whole, rng)
    high = (rows > np.median(rows, axis=0)).astype(float)
    return _with(whole, name, np.where(_half(whole, rng)[:, None], high, rows))


def train_augmented(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Train's rows were extracted with augmentation on, dev's without: noise in one stream."""
    name, rows = _one(whole, rng)
    return _with(whole, name, np.where(whole.dev[:, None], rows, jittered(rows, rng, 1.5 * strength)))


def filled_by_class(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Three rows in ten of one stream were missing, and are the mean of their class."""
    name, rows = _one(whole, rng)
    missing, label = _some_of(whole, rng, 0.3 * strength), whole.features.emotion
    for code in np.unique(label):
        rows[missing & (label == code)] = rows[~missing & (label == code)].mean(axis=0)
    return _with(whole, name, rows)


def filled_by_neighbours(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Three rows in ten of one stream were missing, and are those of who is nearest in the other streams."""
    name, rows = _one(whole, rng)
    missing = _some_of(whole, rng, 0.3 * strength)
    known = np.flatnonzero(~missing)
    others = [own / own.std(axis=0).clip(1e-9) for other, own in whole.rows.items() if other != name]
    seen = np.concatenate(others, axis=1)
    for at in np.flatnonzero(missing):
        rows[at] = rows[known[((seen[known] - seen[at]) ** 2).sum(axis=1).argmin()]]
    return _with(whole, name, rows)


def interpolated(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Three rows in ten of one stream were missing, and lie on the line between the rows before and after."""
    name, rows = _one(whole, rng)
    missing = _some_of(whole, rng, 0.3 * strength)
    missing[[0, -1]] = False
    known: Codes = np.flatnonzero(~missing)
    at = np.flatnonzero(missing)
    after = np.searchsorted(known, at)
    before, behind = known[after - 1], known[after]
    share = ((at - before) / (behind - before))[:, None]
    rows[at] = (1 - share) * rows[before] + share * rows[behind]
    return _with(whole, name, rows)


def moving_mean(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """One stream was smoothed over five rows of the table instead of five windows of a clip."""
    whole = conversations(whole, rng)
    name, rows = _one(whole, rng)
    reach = max(1, round(2 * strength))
    place = np.arange(len(rows))
    near = [rows[np.clip(place + step, 0, len(rows) - 1)] for step in range(-reach, reach + 1)]
    return _with(whole, name, np.mean(near, axis=0))


def differences(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """One stream has differences from one row of the table to the next, meant for windows of a clip."""
    name, rows = _one(whole, rng)
    return _with(whole, name, np.diff(rows, axis=0, prepend=rows[:1]))


def dates(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """A spreadsheet took one value in two hundred of one stream for a day."""
    name, rows = _one(whole, rng)
    some = rng.random(rows.shape) < 0.005 * strength
    return _with(whole, name, np.where(some, DAYS + np.rint(rng.uniform(0, 365, size=rows.shape)), rows))


KINDS = ("two_kinds_of_rows",)
FEATURES: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "decimal commas lost, four speakers": (decimal_commas, ("scale_by_group", "outlying_rows", *KINDS)),
    "columns moved behind a comma, 15 %": (an_unquoted_comma, ("columns_by_group", *KINDS)),
    "means over padding": (mean_over_padding, ("scale_by_group", "broken_features", *KINDS)),
    "sums instead of means, half of the speakers": (sums_for_means, ("scale_by_group", "outlying_rows", *KINDS)),
    "dev's rows normalised one by one": (dev_of_unit_length, ("drift",)),
    "principal components of each split": (components_of_each_split, ("drift",)),
    "speakers standardised in train alone": (speakers_normalised_in_train, ("drift", *KINDS)),
    "dropout left on": (dropout_left_on, ("put_values", "broken_features")),
    "one clip in eight silent": (silent_clips, ("imputed_rows", "broken_features", "duplicates", *KINDS)),
    "file names as a stream of text": (names_as_text, ("label_in_column",)),
    "degrees and radians, half of the speakers": (degrees_for_radians, ("scale_by_group", *KINDS)),
    "presences for intensities, half of the speakers": (presences_for_intensities, ("put_values", *KINDS)),
    "train augmented, dev not": (train_augmented, ("drift", *KINDS)),
    "30 % filled with their class's mean": (filled_by_class, ("imputed_rows", "label_in_column", "duplicates")),
    "30 % filled from the nearest by the other": (
        filled_by_neighbours,
        ("imputed_rows", "duplicates", "wrong_join"),
    ),
    "30 % interpolated between their neighbours": (interpolated, ("imputed_rows",)),
    "a moving mean over five rows": (moving_mean, ("wrong_join", "imputed_rows", "duplicates")),
    "differences to the row before": (differences, ("wrong_join",)),
    "values taken for dates": (dates, ("outlying_rows", "put_values")),
}
"""By words: the mistake, and the causes that are right for it."""
