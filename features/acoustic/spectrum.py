"""Tracks of the spectrum: tilt, where its energy lies, how flat it is, and how fast it moves."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class _Every(Container[str]):
    """What holds every name."""

    def __contains__(self, name: object) -> bool:
        return True


EVERY = _Every()
TINY = np.float32(1e-12)  # of the clip's loudness
SLOPES_HZ = {"slope_low": (60, 500), "slope_mid": (500, 1500)}
# The regions in which the first three formants move, and what lies above.
REGIONS_HZ = {"f1": (200, 1000), "f2": (900, 2800), "f3": (2300, 3800), "high": (3800, 7600)}


@dataclass(frozen=True)
class Spectra:
    """Spectra of T frames, power over the clip's loudness."""

    power: Floats
    """Shape (T, bins)."""
    log_power: Floats
    """dB, with a soft floor, shape (T, bins)."""
    log_mel: Floats
    """dB, with a soft floor, shape (T, mel bands)."""
    bin_hz: float

    def span(self, low_hz: float, high_hz: float) -> slice:
        """Return the bins from `low_hz` up to, without, `high_hz`."""
        return slice(int(np.ceil(low_hz / self.bin_hz)), int(np.ceil(high_hz / self.bin_hz)))


def decibels(power: Floats, depth_db: float) -> Floats:
    """Return 10·log10 of power, with a soft floor `depth_db` below 1."""
    return np.float32(10) * np.log10(power + np.float32(10 ** (-depth_db / 10)))


def spectral_tracks(spectra: Spectra, wanted: Container[str] = EVERY) -> dict[str, Floats]:
    """Return the tracks that one frame's spectrum says alone, those that are wanted, each of shape (T,).

    `alpha` (1-5 kHz over 60-1000 Hz), `hammarberg` (peak below 2 kHz over peak in 2-5 kHz) and the slopes
    follow Eyben et al. (2016), "The Geneva Minimalistic Acoustic Parameter Set",
    https://doi.org/10.1109/TAFFC.2015.2457417; `contrast` follows Jiang et al. (2002), "Music type
    classification by spectral contrast feature", over mel bands.
    """
    tracks: dict[str, Floats] = {}
    for names, measured in _MEASURED.items():
        if any(name in wanted for name in names):
            tracks |= measured(spectra)
    return {name: track for name, track in tracks.items() if name in wanted}


def _alpha(spectra: Spectra) -> dict[str, Floats]:
    high, low = (spectra.power[:, spectra.span(*at)].sum(axis=1) for at in ((1000, 5000), (60, 1000)))
    return {"alpha": decibels(high, 60) - decibels(low, 60)}


def _hammarberg(spectra: Spectra) -> dict[str, Floats]:
    low, high = (spectra.power[:, spectra.span(*at)].max(axis=1) for at in ((60, 2000), (2000, 5000)))
    return {"hammarberg": decibels(low, 60) - decibels(high, 60)}


def _slopes(spectra: Spectra) -> dict[str, Floats]:
    tracks = {}
    for name, (low_hz, high_hz) in SLOPES_HZ.items():
        bins = spectra.span(low_hz, high_hz)
        khz = np.arange(bins.start, bins.stop) * spectra.bin_hz / 1000
        centred = khz - khz.mean()
        tracks[name] = spectra.log_power[:, bins] @ (centred / (centred**2).sum()).astype(np.float32)  # dB per kHz
    return tracks


def _rolloffs(spectra: Spectra) -> dict[str, Floats]:
    found = zip((50, 85), _shares(spectra.power, (0.50, 0.85)), strict=True)
    return {f"rolloff{share}": np.log2(bin_ * spectra.bin_hz + 50).astype(np.float32) for share, bin_ in found}


def _centres(spectra: Spectra) -> dict[str, Floats]:
    tracks = {}
    for name, at in REGIONS_HZ.items():
        bins = spectra.span(*at)
        part = spectra.power[:, bins]
        hz = (np.arange(bins.start, bins.stop) * spectra.bin_hz).astype(np.float32)
        # Without energy the centre of mass is the region's middle.
        centre = (part @ hz + TINY * hz.sum()) / (part.sum(axis=1) + TINY * len(hz))
        tracks[f"{name}_centre"] = np.log2(centre)  # octaves
    return tracks


def _flatness(spectra: Spectra) -> dict[str, Floats]:
    tracks = {}
    for name, at in REGIONS_HZ.items():
        bins = spectra.span(*at)
        mean = spectra.power[:, bins].mean(axis=1)
        tracks[f"{name}_flatness"] = spectra.log_power[:, bins].mean(axis=1) - decibels(mean, 70)
    mean = (np.float32(10) ** (spectra.log_mel / 10)).mean(axis=1)
    return tracks | {"flatness": spectra.log_mel.mean(axis=1) - 10 * np.log10(mean)}


def _contrast(spectra: Spectra) -> dict[str, Floats]:
    log_mel = spectra.log_mel
    ordered = np.sort(log_mel, axis=1)
    fifth = log_mel.shape[1] // 5
    whole = ordered[:, -fifth:].mean(axis=1) - ordered[:, :fifth].mean(axis=1)
    quarters = np.sort(log_mel.reshape(len(log_mel), 4, -1), axis=2)  # (T, 4, mel bands / 4)
    parts = quarters[:, :, -3:].mean(axis=2) - quarters[:, :, :3].mean(axis=2)
    return {"contrast": whole} | {f"contrast{q}": parts[:, q] for q in range(4)}


_MEASURED: dict[tuple[str, ...], Callable[[Spectra], dict[str, Floats]]] = {
    ("alpha",): _alpha,
    ("hammarberg",): _hammarberg,
    tuple(SLOPES_HZ): _slopes,
    ("rolloff50", "rolloff85"): _rolloffs,
    tuple(f"{name}_centre" for name in REGIONS_HZ): _centres,
    ("flatness", *(f"{name}_flatness" for name in REGIONS_HZ)): _flatness,
    ("contrast", *(f"contrast{q}" for q in range(4))): _contrast,
}


def _shares(power: Floats, shares: tuple[float, ...]) -> list[NDArray[np.int64]]:
    """Return the first bins up to which each share of the power lies, shape (T,) each; two steps of 16 bins."""
    count, width = power.shape[1] // 16, 16
    parts = power[:, : count * width].reshape(len(power), count, width)
    coarse = np.cumsum(parts.sum(axis=2), axis=1)  # (T, count)
    rows = np.arange(len(power))
    found = []
    for share in shares:
        goal = coarse[:, -1] * np.float32(share)
        part = (coarse < goal[:, None]).sum(axis=1).clip(0, count - 1)
        before = np.where(part > 0, coarse[rows, part - 1], 0)
        inside = np.cumsum(parts[rows, part], axis=1) + before[:, None]  # (T, width)
        found.append(part * width + (inside < goal[:, None]).sum(axis=1))
    return found


def movement(log_mel: Floats) -> dict[str, Floats]:
    """Return how far the mel bands move from one frame to the next, dB, each of shape (T,)."""
    step = np.diff(log_mel, axis=0, prepend=log_mel[:1])
    return {"flux": np.abs(step).mean(axis=1), "attack": np.maximum(step, 0).mean(axis=1)}
