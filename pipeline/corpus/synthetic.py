"""A drawn face and a voice-like sound: clips whose emotion is known, for the demo and for tests.

No one is imitated here: the face is a few ellipses, the voice a pulse train through three resonances.
The emotion shows in one burst of each clip, in face and voice at the same time; before and after it
both are neutral.

    clip   0 ──────────[burst_start ─── burst_end)──────── duration
    face   neutral      expression                neutral
    voice  neutral      prosody                   neutral

Face and voice complete each other: the voice tells how aroused a speaker is (low, neutral, high) and little
else, so that it can't name all seven emotions; the face tells them apart, but only in its burst.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FRAME_RATE_HZ = 12.5
SAMPLE_RATE_HZ = 16_000
WIDTH_PX, HEIGHT_PX = 192, 144
BACKGROUND = (0.35, 0.38, 0.42)  # RGB, 0 to 1: all are filmed before the same wall, by a camera that stands still
RAMP_S = 0.12  # time that an expression takes to come and to go
FORMANTS_HZ = ((730, 1090, 2440), (530, 1840, 2480), (570, 840, 2410), (300, 870, 2240))  # a e o u
FORMANT_BANDWIDTH_HZ = (80.0, 110.0, 160.0)


@dataclass(frozen=True)
class Expression:
    """How one emotion looks and sounds, each value relative to neutral."""

    mouth_curve: float
    """Corners of the mouth: 1 up (smile), -1 down."""
    brow_angle: float
    """Inner ends of the brows: 1 raised (sad), -1 lowered (angry)."""
    eye_open: float
    """0 closed, 1 as in neutral, 1.6 wide."""
    pitch: float
    """Factor on the speaker's pitch."""
    loudness_db: float
    """Level against neutral, dB."""
    rate: float
    """Factor on the syllable rate."""
    breath: float
    """Share of noise in the voice's source, 0 to 1."""


EXPRESSIONS: dict[str, Expression] = {
    "neutral": Expression(0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.05),
    "surprise": Expression(0.1, 0.5, 1.6, 1.50, 6.0, 1.40, 0.06),
    "fear": Expression(-0.4, 0.6, 1.5, 1.52, 5.5, 1.45, 0.08),
    "sadness": Expression(-0.9, 0.9, 0.6, 0.82, -6.0, 0.68, 0.30),
    "joy": Expression(1.0, 0.1, 0.9, 1.48, 6.0, 1.38, 0.05),
    "disgust": Expression(-0.8, -0.6, 0.5, 0.83, -5.5, 0.70, 0.28),
    "anger": Expression(-0.7, -1.0, 1.2, 1.46, 6.5, 1.42, 0.05),
}


@dataclass(frozen=True)
class Speaker:
    """What stays the same over all clips of one speaker."""

    skin: tuple[float, float, float]
    """RGB, 0 to 1."""
    head_size: float
    """Half height of the head as a share of the picture's height."""
    pitch_hz: float
    tract: float
    """Factor on the formants: above 1 for a short vocal tract."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Speaker:
        """Draw a speaker."""
        tone = float(rng.uniform(0.82, 0.88))
        return cls(
            skin=(tone, 0.80 * tone, 0.65 * tone),
            head_size=float(rng.uniform(0.395, 0.405)),
            pitch_hz=float(rng.choice([rng.uniform(95, 135), rng.uniform(175, 230)])),
            tract=float(rng.uniform(0.92, 1.12)),
        )


@dataclass(frozen=True)
class Script:
    """What happens in one clip."""

    emotion: str
    """A key of EXPRESSIONS."""
    duration_s: float
    burst_start_s: float
    """The emotion shows in the half-open span [burst_start_s, burst_end_s)."""
    burst_end_s: float

    def strength(self, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far the expression is on at each instant, 0 to 1, shape of `time_s`."""
        rise = (time_s - self.burst_start_s) / RAMP_S
        fall = (self.burst_end_s - time_s) / RAMP_S
        return np.clip(np.minimum(rise, fall) + 0.5, 0.0, 1.0)


def perform(
    script: Script, speaker: Speaker, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw and voice one clip.

    Returns
    -------
    frames
        RGB, shape (F, HEIGHT_PX, WIDTH_PX, 3), FRAME_RATE_HZ frames a second.
    audio
        Mono, shape (S,), SAMPLE_RATE_HZ, full scale ±1.
    """
    audio, syllables = _voice(script, speaker, rng)
    frames = _face(script, speaker, syllables, rng)
    return frames, audio


def _voice(
    script: Script, speaker: Speaker, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the samples, shape (S,), and the syllables' envelope, 0 to 1, shape (S,)."""
    from scipy.signal import lfilter  # late: half a second

    count = round(script.duration_s * SAMPLE_RATE_HZ)
    time_s = np.arange(count) / SAMPLE_RATE_HZ
    on = script.strength(time_s)
    neutral, aim = EXPRESSIONS["neutral"], EXPRESSIONS[script.emotion]

    def track(name: str) -> NDArray[np.float64]:
        return getattr(neutral, name) + on * (getattr(aim, name) - getattr(neutral, name))

    phase = np.cumsum(3.6 * rng.uniform(0.9, 1.1) * track("rate")) / SAMPLE_RATE_HZ + rng.uniform()
    syllables = np.clip(np.sin(2 * np.pi * phase), 0, None) ** 0.6
    wander = np.interp(time_s, np.linspace(0, script.duration_s, 8), rng.normal(0, 0.05, 8))
    pitch_hz = speaker.pitch_hz * rng.uniform(0.93, 1.07) * track("pitch") * (1 + wander)
    cycle = np.cumsum(pitch_hz) / SAMPLE_RATE_HZ
    pulses = np.diff(np.floor(cycle), prepend=0.0) * np.sqrt(SAMPLE_RATE_HZ / pitch_hz)
    breath = track("breath")
    source = (1 - breath) * lfilter([1.0], [1.0, -0.9], pulses) + breath * rng.normal(0, 1.0, count)
    vowel = (np.floor(phase) % len(FORMANTS_HZ)).astype(np.int64)
    voiced = np.zeros(count)
    for index, formants_hz in enumerate(FORMANTS_HZ):
        sound = source
        for formant_hz, bandwidth_hz in zip(formants_hz, FORMANT_BANDWIDTH_HZ, strict=True):
            radius = np.exp(-np.pi * bandwidth_hz / SAMPLE_RATE_HZ)
            angle = 2 * np.pi * formant_hz * speaker.tract / SAMPLE_RATE_HZ
            sound = lfilter([1 - radius], [1.0, -2 * radius * np.cos(angle), radius**2], sound)
        voiced += np.where(vowel == index, sound, 0.0)
    voiced *= syllables * 10 ** (track("loudness_db") / 20)
    loudest = np.sqrt(np.mean(voiced**2)) + 1e-9
    level = 0.05 * 10 ** (np.mean(on) * aim.loudness_db / 20) * 10 ** (rng.normal(0, 2) / 20)
    audio = np.clip(voiced / loudest * level + rng.normal(0, 0.001, count), -1, 1)
    return audio.astype(np.float32), syllables


def _face(
    script: Script, speaker: Speaker, syllables: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the frames, shape (F, H, W, 3)."""
    count = max(1, round(script.duration_s * FRAME_RATE_HZ))
    time_s = np.arange(count) / FRAME_RATE_HZ
    on = script.strength(time_s).astype(np.float32)
    neutral, aim = EXPRESSIONS["neutral"], EXPRESSIONS[script.emotion]

    def track(name: str) -> NDArray[np.float32]:
        level = getattr(neutral, name) + on * np.float32(getattr(aim, name) - getattr(neutral, name))
        return level[:, None, None]  # (F, 1, 1)

    spoken = syllables[np.minimum((time_s * SAMPLE_RATE_HZ).astype(np.int64), len(syllables) - 1)]
    mouth_open = (0.02 + 0.10 * spoken).astype(np.float32)[:, None, None]
    sway = (0.02 * np.sin(2 * np.pi * (0.4 * time_s + rng.uniform()))).astype(np.float32)[:, None, None]
    # Head coordinates: (0, 0) the middle of the face, 1 the half height of the head.
    rows, columns = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX].astype(np.float32)
    scale_px = np.float32(speaker.head_size * HEIGHT_PX)
    y = (rows - np.float32(HEIGHT_PX * rng.uniform(0.50, 0.52))) / scale_px
    x = (columns - np.float32(WIDTH_PX * rng.uniform(0.49, 0.51))) / scale_px - sway
    sharpness = scale_px / np.float32(1.5)  # edges are 1.5 pixels soft

    def inside(distance: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.clip(np.float32(0.5) - distance * sharpness, 0.0, 1.0)

    head = inside(np.hypot(x / 0.78, y) - 1.0)
    side = np.abs(x)
    eye = inside((np.hypot((side - 0.32) / 0.15, (y + 0.22) / (0.10 * track("eye_open"))) - 1) * 0.08)
    pupil = inside(np.hypot(side - 0.32, y + 0.22) - 0.06) * eye
    brow_y = -0.46 - 0.12 * track("brow_angle") * (0.5 - (side - 0.12) / 0.4)
    brow = inside(np.abs(y - brow_y) - 0.045) * inside(np.abs(side - 0.32) - 0.2)
    bow = 0.45 - 0.22 * track("mouth_curve") * ((x / 0.34) ** 2 - 0.5)
    mouth = inside(np.abs(y - bow) - mouth_open - 0.02) * inside(np.abs(x) - 0.34)

    light = rng.uniform(0.95, 1.05)
    background = np.asarray(BACKGROUND, dtype=np.float32)
    picture = np.broadcast_to(background, (count, HEIGHT_PX, WIDTH_PX, 3))
    for mask, colour in (
        (head, speaker.skin),
        (eye, (0.95, 0.95, 0.95)),
        (pupil, (0.1, 0.08, 0.06)),
        (brow, (0.15, 0.1, 0.08)),
        (mouth, (0.55, 0.12, 0.15)),
    ):
        cover = mask[..., None]
        picture = picture + cover * (np.asarray(colour, dtype=np.float32) - picture)
    grain = rng.normal(0, 0.02, (HEIGHT_PX, WIDTH_PX, 1))
    picture = picture * np.float32(light) + grain.astype(np.float32)
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8)
