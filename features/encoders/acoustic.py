"""acoustic: the 192 named statistics of sound of features/acoustic, by the list that the argument names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualstream.features.encoder import EncoderOptions, register
from dualstream.features.packages import require

if TYPE_CHECKING:
    from dualstream.features.acoustic import AcousticEncoder


@register("audio", "acoustic")
def build_acoustic(argument: str, options: EncoderOptions) -> AcousticEncoder:
    """Build the encoder; `argument` names another list, as in ``acoustic:emodb``.

    It has no weights, and runs on the CPU whatever the options say.

    Raises
    ------
    MissingPackageError
        Where librosa is not installed.
    """
    require("librosa", "acoustic features")
    from dualstream.features.acoustic import DEFAULT_COLUMNS, AcousticConfig, AcousticEncoder

    return AcousticEncoder(AcousticConfig(chosen_on=argument or DEFAULT_COLUMNS))
