"""What of a mistake would have been found in a corpus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["share", "factor", "speakers", "seconds", "any"]


@dataclass(frozen=True)
class Limit:
    """What of a mistake would have been found."""

    mistake: str
    smallest: float | None
    """Strength from which on it is found, in `unit`; None where none that was planted would be."""
    words: str
    unit: Unit = "share"
    """``share`` of rows or labels, ``factor`` of a scale, number of ``speakers``, ``seconds`` of a clock; ``any``:
    there is one strength."""

    @property
    def seen(self) -> bool:
        """Whether some strength of it would have been found."""
        return self.smallest is not None

    @property
    def told(self) -> str:
        """The mistake and its smallest strength, in words."""
        return f"{self.words} ({self.at})" if self.at else self.words

    @property
    def at(self) -> str:
        """The smallest strength, in words; an empty string where there is one strength, or none is found."""
        if not self.smallest:
            return ""
        found = {
            "share": f"{self.smallest:.1%}" if self.smallest < 0.05 else f"{self.smallest:.0%}",
            "factor": f"{self.smallest:.2g} times",
            "speakers": f"{self.smallest:.0f}",
            "seconds": f"{self.smallest:.1f} s",
            "any": "",
        }[self.unit]
        return f"from {found} on" if found else ""
