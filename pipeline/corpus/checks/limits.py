"""From where on the doctor speaks up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Thresholds of the findings; what is measured is always reported with them."""

    short_s: float = 0.2
    """Below this a clip has hardly any length, seconds: five frames at 24 a second."""
    long_s: float = 30.0
    """Above this an utterance is very long, seconds."""
    overlap: float = 0.5
    """Share of the shorter of two stretches that both hold, from which on they overlap."""
    rare_train: int = 20
    """Fewer utterances of a class in train are rare."""
    rare_scored: int = 10
    """Fewer utterances of a class in dev or test are rare."""
    silent_dbfs: float = -60.0
    """Sound whose peak stays below this is silent, dB of full scale."""
    clipped_share: float = 1e-3
    """Share of samples at full scale from which on sound is clipped."""
    skew_s: float = 0.2
    """Starts or ends of picture and sound further apart are out of step, seconds."""
    length_off_s: float = 0.5
    """A clip whose length differs by more from its table's disagrees with it, seconds."""
    narrow_hz: int = 16_000
    """Sound sampled below this rate is narrow-band, Hz."""
    meld_large_bytes: int = 2_500_000
    """MELD's train clips over this size mostly have distorted sound, bytes."""
