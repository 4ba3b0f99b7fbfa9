"""config.json of a bundle: what is read of older ones, and what is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from dualstream.pipeline.bundles.manifest import BundleManifest

SPEC = {"name": "cnn5", "stream": "video", "raw_width": 8, "width": 4, "weights": None, "has_windows": True}
OLD = {
    "variant": "linear_video",
    "streams": {"video": {"name": "video", "spec": SPEC, "projection": None, "carried": None}},
    "recipe": {"version": 1},
    "recipe_sections": {"version": "0"},
    "fingerprint": "f",
    "vocabulary": {"emotion": ["joy", "anger"], "sentiment": []},
    "calibration": {"emotion": {"sharpness": 1, "split": "dev", "utterances": 3, "log_loss": [0.7, 0.6]}},
    "joint_pairs": [[True], [False]],
    "fitted_on": {"utterances": 3, "sha256": "s", "counts": {"emotion": [2, 1], "sentiment": []}, "pairs": []},
    "created_with": {"numpy": "1"},
    "onnx": None,
    "files": {"models.safetensors": "d"},
}


def test_an_older_one_without_warnings_is_read_and_written_with_its_keys() -> None:
    found = BundleManifest.from_json(OLD)
    assert found.warnings == () and found.streams["video"].spec["width"] == 4
    assert found.calibration["emotion"].log_loss == (0.7, 0.6)
    np.testing.assert_array_equal(found.pairs, [[True], [False]])
    assert found.to_json() == OLD | {"warnings": [], "speaker_norm": None}
    assert list(found.stamped())[:2] == ["format", "version"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"streams": {}}, r"there are no streams; expected one or more"),
        ({"streams": {"audio": OLD["streams"]["video"]}}, "the encoder of audio is one of video"),  # type: ignore[index]
        ({"calibration": {"emotion": {"sharpness": -1, "split": "dev", "utterances": 3}}}, "sharpness of -1"),
        ({"calibration": {"emotion": {"sharpness": True, "split": "dev", "utterances": 3}}}, "expected float"),
        ({"vocabulary": {"emotion": ["joy"]}}, "no classes of sentiment"),
        ({"variant": 3}, r"BundleManifest\.variant: found int 3; expected str"),
        ({"recipe": []}, r"BundleManifest\.recipe: found list \[\]; expected an object"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        BundleManifest.from_json(OLD | change)
