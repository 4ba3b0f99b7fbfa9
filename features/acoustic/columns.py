"""The 192 columns: which statistic of which track each one is. docs/acoustic.md argues the choice."""

from __future__ import annotations

from features.acoustic.functionals import MODULATIONS, RHYTHM


def _of(tracks: str, statistics: str) -> tuple[str, ...]:
    return tuple(f"{track}.{statistic}" for track in tracks.split() for statistic in statistics.split())


_ALL_MODULATIONS = " ".join(MODULATIONS)

GROUPS: dict[str, tuple[str, ...]] = {
    "level": _of("level", f"mean std p20 p50 p80 rise fall {_ALL_MODULATIONS}"),
    "rhythm": _of("rhythm", " ".join(RHYTHM)),
    "pitch": (
        *_of("pitch", "voiced_mean voiced_std voiced_p20 voiced_p50 voiced_p80 voiced_skew rise fall"),
        *_of("pitch", " ".join(f"voiced_{m}" for m in MODULATIONS)),
        *_of("dpitch adpitch jitter", "voiced_mean voiced_std"),
        *_of(" ".join(f"phist{at}" for at in range(-12, 25, 4)), "voiced_mean"),
    ),
    "voice": (
        *_of("hnr", "voiced_p20 voiced_p80"),
        *_of("hnr h1h2 h1h3 h1a1 h1a3", "voiced_mean voiced_std"),
        *_of("h1h2 h1a1 h1a3", "voiced_p20 voiced_p80"),
    ),
    "shape": _of(
        "alpha hammarberg slope_low slope_mid rolloff50 rolloff85 f1_centroid f1_flat f2_centroid f2_flat "
        "f3_centroid f3_flat fh_centroid fh_flat flat flux rise contrast contrast0 contrast1 contrast2 contrast3",
        "mean std",
    ),
    "cepstra": (*_of(" ".join(f"c{i}" for i in range(1, 13)), "mean std"), *_of("c1 c2 c3 c4", "move")),
    "modulation": (
        *_of(" ".join(f"b{b}" for b in range(8)), _ALL_MODULATIONS),
        *_of("c1 c2 c3", "mod20 mod10 mod5"),
    ),
}
COLUMNS: tuple[str, ...] = tuple(column for group in GROUPS.values() for column in group)
