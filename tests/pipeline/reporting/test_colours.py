"""One colour for each class on every page: told apart by everybody, on light pages and on dark ones."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest
from dualstream.heads.evaluation.metrics import score
from dualstream.pipeline.corpus.labels import EMOTIONS, SENTIMENTS
from dualstream.pipeline.experiments.error_rows import ErrorRow
from dualstream.pipeline.experiments.scores import SplitScores, TaskScores
from dualstream.pipeline.reporting import figures
from dualstream.pipeline.reporting.colours import INKS, OTHERS, colours, contrast
from dualstream.pipeline.reporting.drawing import DARK_GROUND, DARKEST, GROUND, LIGHTEST, OFF, ON, words_on
from dualstream.pipeline.reporting.error_browser import ErrorBrowser
from dualstream.pipeline.reporting.style import html_page
from numpy.typing import NDArray

# Machado, Oliveira and Fernandes, 2009, full severity, on linear RGB
SEEN_BY = {
    "everybody": np.eye(3),
    "no red": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "no green": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "no blue": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
SHADES = [(ink.light, GROUND) for ink in (*INKS, *OTHERS)] + [(ink.dark, DARK_GROUND) for ink in (*INKS, *OTHERS)]
CORPORA = {  # as their importers name the classes
    "meld": EMOTIONS,
    "sentiments": SENTIMENTS,
    "emodb": ("neutral", "fear", "sadness", "joy", "disgust", "anger", "boredom"),
    "ravdess": (*EMOTIONS, "calm"),
    "iemocap": ("neutral", "sadness", "joy", "anger", "excitement", "frustration"),
}


def lab(colour: str, eyes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return CIELAB of what such eyes see."""
    rgb = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = XYZ @ np.clip(eyes @ linear, 0, 1) / XYZ.sum(axis=1)
    fx, fy, fz = (np.cbrt(v) if v > 216 / 24389 else (24389 / 27 * v + 16) / 116 for v in (x, y, z))
    return np.array([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


@pytest.mark.parametrize("eyes", SEEN_BY)
@pytest.mark.parametrize("shade", ["light", "dark"])
@pytest.mark.parametrize("corpus", CORPORA)
def test_classes_are_told_apart(corpus: str, shade: str, eyes: str) -> None:
    """Colours 2.3 apart are just told apart side by side; these are 18 and more, for bars and lines that aren't."""
    found = {name: lab(getattr(ink, shade), SEEN_BY[eyes]) for name, ink in colours(CORPORA[corpus]).items()}
    near = min((float(np.linalg.norm(found[a] - found[b])), a, b) for a, b in combinations(found, 2))
    assert near[0] >= 18, near


@pytest.mark.parametrize(("colour", "ground"), SHADES)
def test_colours_stand_out_from_the_ground(colour: str, ground: str) -> None:
    assert contrast(colour, ground) >= 3  # WCAG 2.2, 1.4.11


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # as WebAIM's checker says
    assert contrast("#ffffff", "#000000", share=0.0, ground="#ffffff") == pytest.approx(1)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.6, 0.8, 1.0])
@pytest.mark.parametrize("ink", [*INKS, *OTHERS], ids=lambda ink: ink.name)
def test_words_on_a_colour_can_be_read(ink: object, share: float) -> None:
    on_light = {OFF: "#10151a", ON: "#ffffff", DARKEST: "#10151a", LIGHTEST: "#ffffff"}
    on_dark = {OFF: "#ffffff", ON: "#10151a", DARKEST: "#10151a", LIGHTEST: "#ffffff"}
    words = words_on(ink, share)  # type: ignore[arg-type]
    assert contrast(on_light[words], ink.light, share, GROUND) >= 4  # type: ignore[attr-defined]
    assert contrast(on_dark[words], ink.dark, share, DARK_GROUND) >= 4  # type: ignore[attr-defined]


def test_a_page_declares_each_colour_for_light_and_dark() -> None:
    page = html_page("t", "")
    light, dark = page.split("@media screen and (prefers-color-scheme:dark) { :root { --of-")
    for ink in (*INKS, *OTHERS):
        assert f"--{ink.name}:{ink.light}" in light and f"{ink.name}:{ink.dark}" in f"of-{dark}"


def test_the_figures_of_a_run_have_a_colour_for_each_class() -> None:
    """And each is found in both figures, in the page's own shades."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(7), 6)
    shares = np.log(rng.dirichlet(np.ones(7), len(truth)) + np.eye(7)[truth])
    log_p = shares - np.log(np.exp(shares).sum(axis=1, keepdims=True))
    found = score(log_p, truth, EMOTIONS, groups=np.arange(len(truth)) // 2, resamples=10)
    split = SplitScores("dev", len(truth), "dialogue", ("seed 0",), {"emotion": TaskScores.of(found, None)})
    for picture in (figures.confusion(split), figures.per_class(split)):
        drawn = set(re.findall(r"fill: var\(--(of-[a-z]+)\)", picture.drawing.inline))
        assert drawn == {f"of-{name}" for name in EMOTIONS}, picture.name


def test_the_error_browser_has_the_same_colours_and_order() -> None:
    row = ErrorRow(
        "a", "dev", "", "", 1.0, "anger", "joy", 0.2, {"face": -1.0}, {"face": "awe"}, (), "face"
    )  # fmt: skip
    other = ErrorRow("b", "dev", "", "", 1.0, "joy", "anger", 0.2, {"face": -1.0}, {"face": "joy"}, (), "face")
    page = ErrorBrowser("t", "l", [row, other], ("face",), classes=EMOTIONS).html()
    found = re.search(r'"colours": (\{.*?\})', page)
    assert found is not None
    expected = {name: ink.name for name, ink in colours([*EMOTIONS, "awe"]).items()}
    assert all(f'"{name}": "{ink}"' in found[1] for name, ink in expected.items())
    assert page.index('<option value="joy">') < page.index('<option value="anger">')  # MELD's order, not by name
