"""192 acoustic columns: frames measured once (frames, pitch), summarised by segment (functionals, columns)."""

from dualstream.features.acoustic.columns import COLUMNS, DEFAULT_COLUMNS, GROUPS, LISTS
from dualstream.features.acoustic.encoder import VERSION, AcousticConfig, AcousticEncoder, acoustic_features

__all__ = [
    "COLUMNS",
    "DEFAULT_COLUMNS",
    "GROUPS",
    "LISTS",
    "VERSION",
    "AcousticConfig",
    "AcousticEncoder",
    "acoustic_features",
]
