"""How figures become bytes: PNG and PDF files, and SVG that takes a page's colours. No pyplot, no global state."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from dualstream.pipeline.reporting.colours import INKS, OTHERS, Ink, contrast

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FileKind = Literal["png", "pdf"]
DPI = 144
PX_PER_INCH = 114  # on a page: letters about as large as the text around them
INK, MUTED, GRID = "#1f2933", "#6b7785", "#e3e8ee"
BLUE, ORANGE, RED, GREEN, PURPLE, GREY = "#2563a8", "#c2621b", "#9a3b3b", "#2f7d4f", "#7a4fa3", "#98a3af"
DARKEST, LIGHTEST, ON, OFF = "#10151a", "#fefeff", "#fefefe", "#10151b"
"""Of words on a class's colour: dark on any page; light on any; light on a light page and dark on a dark one; and
the other way round."""
GROUND, DARK_GROUND = "#ffffff", "#14191f"
VARIABLES = {
    INK: "ink", MUTED: "muted", GRID: "line", GREY: "grey",
    BLUE: "blue", ORANGE: "orange", RED: "red", GREEN: "green", PURPLE: "purple",
    ON: "on", OFF: "off", DARKEST: "darkest", LIGHTEST: "lightest",
    **{ink.light: ink.name for ink in (*INKS, *OTHERS)},
}  # fmt: skip
"""What a page's style sheet calls these colours, so that a figure inside it is light or dark as the page is."""
FONTS = "'DejaVu Sans', Verdana, sans-serif"
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$x$"
    "legend.frameon": False,
    "svg.fonttype": "none",  # words stay words: they can be searched, and read aloud
    "svg.hashsalt": "dualstream",  # else the names inside are random
    "pdf.fonttype": 42,  # journals want fonts that they can edit
}
NO_DATES = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


def words_on(ink: Ink, share: float) -> str:
    """Return the colour of words that stand out on a class's of this opacity, on light pages and dark ones."""
    dark_on_light = contrast(DARKEST, ink.light, share, GROUND) >= contrast(LIGHTEST, ink.light, share, GROUND)
    dark_on_dark = contrast(DARKEST, ink.dark, share, DARK_GROUND) >= contrast(
        LIGHTEST, ink.dark, share, DARK_GROUND
    )
    if dark_on_light:
        return DARKEST if dark_on_dark else OFF
    return ON if dark_on_dark else LIGHTEST


class Drawing:
    """One figure, laid out once; the same input gives the same bytes of each kind."""

    def __init__(self, figure: Figure) -> None:
        self._figure = figure

    def file(self, kind: FileKind) -> bytes:
        """Return the bytes of a file of its own, on white ground."""
        return self._saved(kind, facecolor="white")

    @cached_property
    def inline(self) -> str:
        """The drawing as an ``<svg>`` element for a page, as wide as its place and in the page's colours."""
        text = self._saved("svg", transparent=True).decode()
        text = text[text.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
        text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text))
        text = text.replace(
            "<svg ", f'<svg style="max-width:{self._figure.get_figwidth() * PX_PER_INCH:.0f}px" ', 1
        )
        text = text.replace("*{stroke-linejoin", "figure svg *{stroke-linejoin").replace("'DejaVu Sans'", FONTS)
        for colour, name in VARIABLES.items():
            text = re.sub(rf"(fill|stroke): {colour}", rf"\1: var(--{name})", text)
        return text

    def _saved(self, kind: str, **how: Any) -> bytes:
        import matplotlib

        buffer = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            self._figure.savefig(buffer, format=kind, metadata=NO_DATES[kind], **how)
        return buffer.getvalue()


@dataclass(frozen=True)
class DrawnFigure:
    """One figure and what is said of it."""

    name: str
    """File name without its ending."""
    title: str
    caption: str
    """What to read off it."""
    drawing: Drawing
    seen: str = ""
    """What there is to see, in words, for who can't see it."""

    @property
    def png(self) -> bytes:
        """The figure as the bytes of a PNG file."""
        return self.drawing.file("png")


def render(draw: Callable[[Figure], None], width: float, height: float) -> Drawing:
    """Return a drawing of so many inches, laid out."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # it would be done again for each kind of file
    return Drawing(figure)
