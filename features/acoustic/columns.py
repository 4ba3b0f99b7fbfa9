"""The 192 columns: which statistic of which track each one is. docs/acoustic.md argues the choice."""

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

_STATISTICS: dict[str, str] = {
    "level": "std mod2 voiced_std voiced_mod20 voiced_mod2 voiced_mod1",
    "cepstra_1_4": "rise fall mod20 mod10 mod5 mod2 mod1 voiced_std voiced_p20",
    "cepstra_5_8": "rise voiced_p20",
    "bands_low": "mod10 mod1 voiced_mod2",
    "bands_high": "voiced_p20",
    "tilt": "p80 voiced_std voiced_mod20",
    "centres": "mod1 voiced_mod5",
    "flatness": "mod10 mod5 voiced_p80",
    "contrast": "voiced_mod10 voiced_mod1",
    "flux": "p50 mod20 voiced_p20 voiced_mod5",
    "pitch": "std move mod20 voiced_std voiced_p20 voiced_p80 voiced_mod10 voiced_mod2 voiced_mod1",
    "steps": "p20 voiced_p20 voiced_p80 voiced_mod1",
    "hnr": "mean std p80 rise fall mod2 voiced_p20 voiced_p80 voiced_mod5 voiced_mod2",
    "h1": "p20 rise mod20 mod10 mod5 voiced_mod1",
    "harmonics": "mod2",
}
_RHYTHM = "pitch_slope level_slope pitch_level hnr_level pitch_tilt tilt_level flux_level alpha_pitch h1_level"

GROUPS: dict[str, tuple[str, ...]] = {
    family: tuple(f"{track}.{statistic}" for track in FAMILIES[family].split() for statistic in statistics.split())
    for family, statistics in _STATISTICS.items()
} | {"rhythm": tuple(f"rhythm.{statistic}" for statistic in _RHYTHM.split())}
"""Columns by what they measure."""

COLUMNS: tuple[str, ...] = tuple(column for group in GROUPS.values() for column in group)
"""The names of the 192 columns, in order."""
