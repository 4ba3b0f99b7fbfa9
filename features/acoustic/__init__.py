"""192 acoustic columns: frames measured once (frames, pitch), summarised by segment (functionals, columns)."""

from dualstream.features.acoustic.columns import COLUMNS, GROUPS, LISTS, STANDING
from dualstream.features.acoustic.encoder import VERSION, AcousticConfig, AcousticEncoder, acoustic_features

__all__ = [
    "COLUMNS",
    "GROUPS",
    "LISTS",
    "STANDING",
    "VERSION",
    "AcousticConfig",
    "AcousticEncoder",
    "acoustic_features",
]
