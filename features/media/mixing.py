"""What of a sound's channels is used: the centre, the mix, or what is left where two cancel or one is silent.

The filter of channels.py gives the centre, the mix, and the difference (the mix with its right side inverted). Two
microphones of which one is wired upside down, or a mono sound whose second channel is inverted, are loud in every
player, and their mix is silence.
"""

from __future__ import annotations

import math

import numpy as np
from dualstream.features.media.channels import channel_count, has_centre
from dualstream.features.media.decode import Decoded
from dualstream.features.media.settings import Channels
from numpy.typing import NDArray

SILENCE = 1e-4  # a channel whose peak stays below is silent
FAINT = 10.0  # a centre this many times (20 dB) below the other channels holds no speech that can be heard
CANCELS = 4.0  # a mix this many times (12 dB) below the difference: the sides have a correlation below -0.88
DEAD = 32.0  # one of two channels this many times (30 dB) below the other is not connected
NOTE = "channels: "  # how the notes of this module begin
CENTRE, MIX, DIFFERENCE = range(3)


def choose(audio: Decoded, wanted: Channels, notes: list[str]) -> tuple[NDArray[np.float32] | None, str]:
    """Return the sound, shape (S,), or None, and the policy that was applied; say in `notes` what is unusual."""
    assert audio.samples is not None
    layout = _layout(audio)
    if wanted == "center" and not has_centre(layout):
        notes.append(f"no sound: the layout {layout} has no centre channel")
        return None, "center"
    use = "used" if wanted == "center" else "not used, the mix is"
    if wanted != "mix" and _is_faint(audio):
        below = _below(_loudness(audio, CENTRE), max(_loudness(audio, MIX), _loudness(audio, DIFFERENCE)))
        silent = "silent and others are not" if audio.samples.peak[CENTRE] < SILENCE else f"{below} the others"
        notes.append(f"{NOTE}the centre of {layout} is {silent}: it is {use}")
    both = audio.samples.array()  # (S, 2)
    if _takes_centre(audio, wanted):
        return np.ascontiguousarray(both[:, CENTRE]), "center"
    mix = np.ascontiguousarray(both[:, MIX])
    if audio.inverted:
        below = _below(_loudness(audio, DIFFERENCE), _loudness(audio, MIX))
        notes.append(
            f"{NOTE}those of {layout} cancel, their sum is {below}: the right side is inverted for the mix"
        )
    elif _one_is_dead(audio):
        notes.append(f"{NOTE}one of the two of {layout} is silent: the other one alone is used")
        mix *= 2  # the mean of two, of which one is nothing
    return mix, "mix"


def cancels(audio: Decoded, wanted: Channels) -> bool:
    """Tell whether the mix is to be used, and its two sides take each other away."""
    assert audio.samples is not None
    if _takes_centre(audio, wanted) or (wanted == "center") or audio.inverted:
        return False
    loud = audio.samples.peak[DIFFERENCE] >= SILENCE
    return bool(loud and _loudness(audio, MIX) * CANCELS < _loudness(audio, DIFFERENCE))


def _takes_centre(audio: Decoded, wanted: Channels) -> bool:
    return has_centre(_layout(audio)) and (wanted == "center" or (wanted == "auto" and not _is_faint(audio)))


def _is_faint(audio: Decoded) -> bool:
    """Tell whether there is a centre and next to nothing in it, while other channels are heard."""
    assert audio.samples is not None
    others = max(_loudness(audio, MIX), _loudness(audio, DIFFERENCE))
    heard = max(audio.samples.peak[MIX], audio.samples.peak[DIFFERENCE]) >= SILENCE
    return bool(has_centre(_layout(audio)) and heard and _loudness(audio, CENTRE) * FAINT < others)


def _one_is_dead(audio: Decoded) -> bool:
    """Tell whether one of two channels is silent: left and right are mix plus and minus difference."""
    assert audio.samples is not None
    if channel_count(_layout(audio)) != 2 or audio.samples.peak[MIX] < SILENCE:
        return False
    both = audio.samples.energy[MIX] + audio.samples.energy[DIFFERENCE]
    apart = 2 * abs(audio.samples.product)
    return bool((both - apart) * DEAD**2 < both + apart)


def _layout(audio: Decoded) -> str:
    return audio.report.audio.layout if audio.report.audio is not None else ""


def _loudness(audio: Decoded, channel: int) -> float:
    """Return the root of a channel's sum of squares; only ratios of it are used."""
    assert audio.samples is not None
    return math.sqrt(audio.samples.energy[channel])


def _below(quiet: float, loud: float) -> str:
    return f"{20 * math.log10(loud / quiet) if quiet > 0 else math.inf:.0f} dB below"
