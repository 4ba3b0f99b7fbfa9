"""Faces as pages draw them: planted clips, whose boxes and colours are known."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from typing import Any

import numpy as np
import pytest
from dualstream.features.faces.drawing import CHOSEN_INK, OTHER_INK, draw_box
from dualstream.features.faces.region import Crops, FaceMethod, FaceReading
from dualstream.features.faces.rows import ALONE, BY_MARGIN, NO_FACE, FaceRows
from dualstream.features.faces.scene import Scene
from dualstream.features.faces.scorers.sync import Sync
from dualstream.features.media import Clip
from dualstream.features.windows import Sampling, WindowPlan
from dualstream.pipeline.bundles.timeline import FaceView, Timeline
from dualstream.pipeline.reporting.face_drawing import score_curve, with_boxes
from dualstream.pipeline.reporting.prediction_page import prediction_page

from tests.features.planted_faces import (
    HEIGHT,
    RATE,
    WIDTH,
    ColourDetector,
    Drawn,
    bursts,
    image,
    picture,
    rest,
    voice,
)
from tests.pipeline.reporting.test_annotations import answered, report

LEFT, RIGHT = (0.1, 0.2, 0.4, 0.9), (0.6, 0.2, 0.9, 0.9)
DURATION_S = 3


def rows(state: int, *, score: float = 2.0, margin: float = 1.5) -> FaceRows:
    """Return the rows of two windows: one that shows LEFT, track 4, in this way, and one without a face."""
    faces = FaceRows.nothing(2)
    faces.state[0], faces.track[0], faces.box[0], faces.in_view[0] = state, 4, LEFT, 2
    faces.score[:], faces.margin[0] = (score, score / 2), margin
    return faces


def inked(frame: np.ndarray, ink: tuple[int, int, int], x: float, y: float) -> bool:
    """Return whether a pixel near a place, as shares of the picture, has a colour."""
    row, column = round(y * frame.shape[0]), round(x * frame.shape[1])
    near = frame[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].reshape(-1, 3)
    return bool((np.abs(near.astype(int) - ink).max(axis=1) < 8).any())


def test_the_chosen_box_and_those_of_the_others() -> None:
    pytest.importorskip("PIL")
    grey = np.full((100, 200, 3), 128, np.uint8)
    drawn = with_boxes(grey, rows(BY_MARGIN), 0, [RIGHT], words=False)
    assert inked(drawn, CHOSEN_INK, 0.1, 0.5) and inked(drawn, CHOSEN_INK, 0.4, 0.5)
    assert inked(drawn, OTHER_INK, 0.6, 0.5) and inked(drawn, OTHER_INK, 0.9, 0.5)
    assert (drawn[50, 50] == 128).all() and (grey == 128).all()
    masked = with_boxes(grey, rows(BY_MARGIN), 1, [LEFT, RIGHT], words=False)
    assert inked(masked, OTHER_INK, 0.1, 0.5) and not inked(masked, CHOSEN_INK, 0.1, 0.5)
    told = with_boxes(grey, rows(BY_MARGIN), 0, [])
    assert not np.array_equal(told, with_boxes(grey, rows(BY_MARGIN), 0, [], words=False))


def test_scores_are_drawn_and_masked_windows_shaded() -> None:
    drawn = score_curve(rows(ALONE), np.array([0.5, 1.0]))
    assert drawn.count('class="masked"') == 1 and drawn.count("<polyline") == 1  # one margin makes no line
    assert "score of the best face, 1.00 to 2.00" in drawn and "from 0.5 to 1.0 s" in drawn


def read(scene_px: int) -> Crops:
    """Return the crops of two drawn faces, of which the red one, on the left, talks."""
    said = bursts(4, DURATION_S)
    faces = [Drawn(0, 10, said), Drawn(1, 120, rest)]
    plan = WindowPlan()
    reading = FaceReading(FaceMethod(ColourDetector(), Sync()), plan, Sampling(), 48, scene_px)
    watcher = reading.watch(DURATION_S)
    for number in range(int(DURATION_S * RATE)):
        watcher.see(picture(image(faces, number / RATE), number / RATE))
    watcher.end()
    parts: dict[str, Any] = {
        "starts_s": plan.starts_s(DURATION_S),
        "duration_s": DURATION_S,
        "audio": voice(said, DURATION_S),
        "watcher": watcher,
        "picture_gap_s": 1 / RATE,
    }
    nothing = {one.name: None for one in dataclasses.fields(Clip) if one.name not in parts}
    return reading.crops(Clip(**parts, **nothing), {"speaker"})["speaker"]


def test_what_stands_around_faces_is_kept_where_it_is_asked_for() -> None:
    crops = read(scene_px=96)
    assert sorted(crops.scenes) == list(range(len(crops.faces)))
    assert read(scene_px=0).scenes == {}
    for window, scene in crops.scenes.items():
        assert scene.picture.shape == (48, 96, 3) and len(scene.faces) == 2
        assert scene.time_s == pytest.approx(window * 0.5 + 0.5, abs=0.5 / RATE + 1e-6)
        centres = sorted((left + right) / 2 * WIDTH for left, _, right, _ in scene.faces.values())
        assert centres == pytest.approx([10 + 24, 120 + 24], abs=3)
        assert scene.picture[round(44 / HEIGHT * 48), round(20 / WIDTH * 96), 0] > 180  # red, on the left
        if crops.faces.track[window] >= 0:
            assert scene.faces[crops.faces.track[window]] == pytest.approx(crops.faces.box[window], abs=1e-6)


def test_the_page_of_a_prediction_shows_rivals_scores_and_crops() -> None:
    image_of = pytest.importorskip("PIL.Image")
    scene = Scene(np.full((180, 320, 3), 128, np.uint8), 0.5, {4: LEFT, 7: RIGHT})
    views = (
        FaceView(0, scene, np.full((48, 48, 3), (250, 0, 250), np.uint8)),
        FaceView(1, dataclasses.replace(scene, time_s=1.0), None),
    )
    centres_s = np.array([0.5, 1.0])
    shares = np.tile([0.7, 0.3], (2, 1))
    shown = Timeline(
        time_s=centres_s,
        span_s=np.stack([centres_s - 0.5, centres_s + 0.5], axis=1),
        probabilities={"emotion": shares, "sentiment": shares},
        thumbnails=((0.5, np.full((48, 48, 3), 9, np.uint8)),),
        aspect=1.0,
        duration_s=1.5,
        faces=rows(BY_MARGIN),
        views=views,
    )
    said = report(dataclasses.replace(answered("film.mp4", 0.0, 1.5, 0), start_s=None, end_s=None))
    page = prediction_page(said, [shown])
    assert "by margin, score 2.00, margin 1.50</figcaption>" in page and "no face, score 1.00</figcaption>" in page
    assert page.count('class="masked"') == 1 and "score of the best face" in page
    assert rows(BY_MARGIN).state[1] == NO_FACE
    alone = dataclasses.replace(shown, views=views[:1])
    text = re.findall(r"image/jpeg;base64,([^\"]+)", prediction_page(said, [alone]))
    frame = np.asarray(image_of.open(io.BytesIO(base64.b64decode(text[0]))))
    assert frame.shape == (96, round(96 * 320 / 180) + 96, 3)  # the picture, and the crop beside it
    crop, around = frame[:, -90:].astype(int), frame[:, :-96].astype(int)
    assert (np.abs(crop.mean(axis=(0, 1)) - (250, 0, 250)) < 12).all()
    right = around[30:70, round(0.6 * around.shape[1]) - 2 : round(0.6 * around.shape[1]) + 3].reshape(-1, 3)
    assert (right[:, 0] - right[:, 2] > 60).any()  # orange
    left = around[30:70, round(0.1 * around.shape[1]) - 2 : round(0.1 * around.shape[1]) + 3].reshape(-1, 3)
    assert (left[:, 1] - left[:, 0] > 60).any()  # green


def test_a_box_that_leaves_the_picture_is_drawn_at_its_edge() -> None:
    picture = np.full((20, 40, 3), 128, np.uint8)
    draw_box(picture, (-0.5, 0.25, 1.5, 1.0))
    green = (picture == CHOSEN_INK).all(axis=2)
    expected = np.zeros((20, 40), bool)
    expected[5:20] = True
    expected[7:18, 2:38] = False
    np.testing.assert_array_equal(green, expected)
