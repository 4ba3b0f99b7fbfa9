"""What the command line gives where nothing is typed."""

from typing import Any

from dualstream.pipeline.options.generate import parameters_of


def values_of(cls: type) -> dict[str, Any]:
    """Return the default of each option of a dataclass, by parameter name."""
    return {one.name: one.default for one in parameters_of(cls) if one.default is not one.empty}
