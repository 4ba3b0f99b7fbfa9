"""192 acoustic columns: frames measured once (frames, pitch), summarised by segment (functionals, columns)."""

from features.acoustic.columns import COLUMNS, GROUPS
from features.acoustic.encoder import VERSION, AcousticConfig, AcousticEncoder, acoustic_features

__all__ = ["COLUMNS", "GROUPS", "VERSION", "AcousticConfig", "AcousticEncoder", "acoustic_features"]
