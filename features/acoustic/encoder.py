"""The `acoustic` encoder: 192 named statistics of the sound, for every window and for the whole utterance."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from dualstream.features.acoustic.columns import DEFAULT_COLUMNS, LISTS
from dualstream.features.acoustic.frames import FRAMES_PER_S, SAMPLE_RATE_HZ, measure
from dualstream.features.acoustic.functionals import summarise, tracks_of
from dualstream.features.encoder import AUDIO_WIDTH, EncoderSpec, StreamFeatures
from numpy.typing import NDArray

from dualstream.cores import one_blas_thread

VERSION = 2


@dataclass(frozen=True)
class AcousticConfig:
    """Settings of the encoder; the defaults are those that docs/acoustic.md argues."""

    min_covered_s: float = 0.1
    """A window is masked where the stream covers less of it than this, seconds, above 0. A clip shorter
    than this counts all the same in the windows that hold all of it."""
    chosen_on: str = DEFAULT_COLUMNS
    """The corpus that the list of columns was chosen on, a key of `LISTS`. Scores on that very corpus flatter
    the list: there, take the other."""

    def __post_init__(self) -> None:
        if self.chosen_on not in LISTS:
            raise ValueError(
                f"no list of acoustic columns was chosen on {self.chosen_on!r}; there are: {', '.join(LISTS)}"
            )
        if not 0 < self.min_covered_s < float("inf"):
            raise ValueError(f"min_covered_s is {self.min_covered_s}; expected seconds above 0, such as 0.1")


@one_blas_thread()
def acoustic_features(
    audio: NDArray[np.float32],
    starts_s: NDArray[np.float64],
    length_s: float,
    covered_s: tuple[float, float],
    config: AcousticConfig | None = None,
) -> StreamFeatures:
    """Describe mono sound at 16 kHz, shape (S,), by the 192 columns of a list, per window and as a whole.

    Parameters are those of `AudioEncoder.encode_audio`. All numbers are finite and none changes with the
    sound's level. Frames are measured once, on the covered span, relative to that span's own loudness and
    pauses; the utterance's row is made from all of them, a window's row from those whose centre it holds.

    Where the stream covers not one sample, nothing is present. Sound without speech in it (digital silence)
    is present, and its columns say so: no active frames, statistics of frames 0.
    """
    config = config or AcousticConfig()
    columns = LISTS[config.chosen_on]
    rate, windows = SAMPLE_RATE_HZ, len(starts_s)
    begin = min(max(round(covered_s[0] * rate), 0), audio.size)
    end = min(max(round(covered_s[1] * rate), begin), audio.size)
    begin_s, end_s = begin / rate, end / rate
    overlap_s = np.minimum(starts_s + length_s, end_s) - np.maximum(starts_s, begin_s)  # (K,)
    needed_s = min(config.min_covered_s, end_s - begin_s, length_s)
    present = (overlap_s > 0) & (overlap_s >= needed_s - 1e-6)
    rows = np.zeros((windows, len(columns)), np.float32)
    centres_s = np.where(present, starts_s + length_s / 2, np.nan)
    if end == begin:
        return StreamFeatures(np.zeros(len(columns), np.float32), False, rows, present, centres_s)

    tracks = measure(audio[begin:end], tracks_of(columns))
    count = len(tracks.active)
    first = np.ceil((starts_s[present] - begin_s) * FRAMES_PER_S - 0.5).astype(np.int64).clip(0, count - 1)
    stop = np.ceil((starts_s[present] + length_s - begin_s) * FRAMES_PER_S - 0.5).astype(np.int64)
    stop = np.maximum(stop.clip(0, count), first + 1)
    values = summarise(tracks, np.append(first, 0), np.append(stop, count), columns)  # (present + 1, 192)
    rows[present] = values[:-1]
    return StreamFeatures(values[-1], True, rows, present, centres_s)


class AcousticEncoder:
    """`acoustic_features` as an `AudioEncoder`."""

    sample_rate_hz = SAMPLE_RATE_HZ

    def __init__(self, config: AcousticConfig | None = None) -> None:
        self.config = config or AcousticConfig()
        columns, other = LISTS[self.config.chosen_on], self.config.chosen_on != DEFAULT_COLUMNS
        self.spec = EncoderSpec(
            name=f"acoustic:{self.config.chosen_on}" if other else "acoustic",
            stream="audio",
            raw_width=len(columns),
            width=AUDIO_WIDTH,
            version=VERSION,
            parameters=asdict(self.config),
            column_names=columns,
        )

    def encode_audio(
        self,
        audio: NDArray[np.float32],
        starts_s: NDArray[np.float64],
        length_s: float,
        covered_s: tuple[float, float],
    ) -> StreamFeatures:
        """Keep `AudioEncoder.encode_audio`."""
        return acoustic_features(audio, starts_s, length_s, covered_s, self.config)

    def warm_up(self) -> None:
        """Describe a second of noise, for what is imported at first use: that takes seconds."""
        noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE_HZ).astype(np.float32)
        self.encode_audio(0.1 * noise, np.zeros(1), 1.0, (0.0, 1.0))
