"""The 192 columns: which statistic of which track each one is. docs/acoustic.md argues the choice.

Two lists stand here, each chosen on one corpus alone, so that either corpus can be scored with columns that it
had no part in.
"""

from __future__ import annotations

FAMILIES: dict[str, str] = {
    "level": "level",
    "cepstra_1_4": "cepstrum1 cepstrum2 cepstrum3 cepstrum4",
    "cepstra_5_8": "cepstrum5 cepstrum6 cepstrum7 cepstrum8",
    "cepstra_9_13": "cepstrum9 cepstrum10 cepstrum11 cepstrum12 cepstrum13",
    "bands_low": "band0 band1 band2 band3",
    "bands_high": "band4 band5 band6 band7",
    "tilt": "alpha hammarberg slope_low slope_mid rolloff50 rolloff85",
    "centres": "f1_centre f2_centre f3_centre high_centre",
    "flatness": "flatness f1_flatness f2_flatness f3_flatness high_flatness",
    "contrast": "contrast contrast0 contrast1 contrast2 contrast3",
    "flux": "flux attack",
    "pitch": "pitch",
    "steps": "pitch_step pitch_change jitter",
    "hnr": "hnr",
    "h1": "h1_h2 h1_h3 h1_a1 h1_a3",
    "harmonics": "harmonics_low harmonics_mid harmonics_high",
}
"""Tracks that are chosen together, since they measure one thing."""

_RHYTHM = "pitch_slope level_slope pitch_level hnr_level pitch_tilt tilt_level flux_level alpha_pitch h1_level"

_CHOSEN: dict[str, dict[str, str]] = {
    "ravdess": {
        "level": "mod20 mod10 mod2 mod1 voiced_p80 voiced_mod10 voiced_mod1",
        "cepstra_1_4": "p20 mod5 mod1 voiced_std voiced_p50 voiced_p80 voiced_mod5 voiced_mod2",
        "cepstra_5_8": "mean",
        "cepstra_9_13": "voiced_p20",
        "bands_low": "mod20 mod1 voiced_mod10 voiced_mod2",
        "centres": "mod10 voiced_mod5 voiced_mod1 rise",
        "flatness": "mod20 voiced_mod10",
        "contrast": "voiced_std voiced_mod10 voiced_mod2 voiced_mod1 rise",
        "flux": "mod5 mod2 voiced_p50 voiced_mod2 fall move",
        "pitch": "mean p20 p50 voiced_std voiced_p20 voiced_p50 voiced_mod20 voiced_mod5 voiced_mod2 voiced_mod1",
        "steps": "voiced_p20 voiced_p50 voiced_p80 voiced_mod1",
        "hnr": "voiced_p20 voiced_p50 voiced_mod10 voiced_mod5 rise fall",
        "h1": "std mod10 voiced_mod2 rise",
        "harmonics": "mean mod2 mod1 voiced_mod10",
        "rhythm": _RHYTHM,
    },
    "emodb": {
        "level": "std mod5 mod2 voiced_p50 voiced_mod20 voiced_mod10 voiced_mod5 voiced_mod2 fall",
        "cepstra_1_4": "voiced_p20 voiced_mod20 fall",
        "cepstra_5_8": "std voiced_p20 rise fall",
        "bands_low": "mod10 mod5 mod2 voiced_std voiced_mod2",
        "tilt": "voiced_mod5",
        "centres": "voiced_mod5",
        "flux": "p50 mod20 mod2 voiced_std voiced_p50 voiced_mod10 voiced_mod1 fall",
        "pitch": "mean std p20 p50 mod20 mod10 mod1 voiced_std voiced_p20 voiced_p50 voiced_p80 voiced_mod20 "
        "voiced_mod10 voiced_mod2 voiced_mod1",
        "steps": "p80 mod1 voiced_mean voiced_std voiced_p20 voiced_p80 voiced_mod1",
        "hnr": "std mod5 mod2 mod1 voiced_p20 voiced_p50 voiced_p80 voiced_mod5 voiced_mod2 voiced_mod1 "
        "rise fall move",
        "h1": "p20 mod10 mod5 mod1 voiced_mean rise",
        "harmonics": "std mod10 mod5 mod2 voiced_std voiced_p80 voiced_mod20 voiced_mod5 voiced_mod2",
        "rhythm": _RHYTHM,
    },
}


def _columns(family: str, statistics: str) -> tuple[str, ...]:
    tracks = FAMILIES.get(family, family).split()
    return tuple(f"{track}.{statistic}" for track in tracks for statistic in statistics.split())


LISTS: dict[str, tuple[str, ...]] = {
    corpus: tuple(column for pair in families.items() for column in _columns(*pair))
    for corpus, families in _CHOSEN.items()
}
"""The names of the 192 columns, in order, by the corpus that they were chosen on."""

DEFAULT_COLUMNS = "ravdess"
"""The list that `acoustic` has unless another is asked for."""

COLUMNS: tuple[str, ...] = LISTS[DEFAULT_COLUMNS]

GROUPS: dict[str, tuple[str, ...]] = {
    family: _columns(family, statistics) for family, statistics in _CHOSEN[DEFAULT_COLUMNS].items()
}
"""`COLUMNS` by what they measure."""
