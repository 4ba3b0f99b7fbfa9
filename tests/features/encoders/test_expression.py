"""expression: raw numbers and JSON to a network, against the same arithmetic written out in NumPy and SciPy."""

from __future__ import annotations

import json
import math
import os
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.encoder import EncoderOptions, build, is_learned_from_labels
from dualstream.features.encoders.expression import NAME, digest_of, files_of
from dualstream.features.encoders.frozen import FrozenFrameEncoder
from dualstream.features.single_read import digest_of_file
from numpy.typing import NDArray
from scipy.signal import correlate

CHANNELS = (3, 32, 64, 128, 256)
MEAN = np.array([122.782, 117.001, 104.298])
MANIFEST = f"{NAME}-weights_manifest.json"
Tensors = dict[str, NDArray[np.float64]]


def shapes() -> dict[str, tuple[int, ...]]:
    """The tensors' names and shapes, as face-api publishes them."""
    found: dict[str, tuple[int, ...]] = {}
    for block, (before, after) in enumerate(pairwise(CHANNELS)):
        for number in range(4):
            name, width = f"dense{block}/conv{number}", before if number == 0 else after
            if (block, number) == (0, 0):
                found[f"{name}/filters"] = (3, 3, width, after)
            else:
                found[f"{name}/depthwise_filter"] = (3, 3, width, 1)
                found[f"{name}/pointwise_filter"] = (1, 1, width, after)
            found[f"{name}/bias"] = (after,)
    return {**found, "fc/weights": (256, 7), "fc/bias": (7,)}


def write(folder: Path, *, seed: int = 0, kind: str = "uint8", name: str = NAME) -> Tensors:
    """Write random weights, quantized but for the biases; return what their numbers stand for."""
    rng = np.random.default_rng(seed)
    entries, data, tensors = [], b"", {}
    for key, shape in shapes().items():
        if "bias" in key:
            values = rng.normal(scale=0.1, size=shape).astype("<f4")
            entries.append({"name": key, "shape": list(shape), "dtype": "float32"})
            data, tensors[key] = data + values.tobytes(), values.astype(np.float64)
            continue
        top = {"uint8": 255, "uint16": 65535}[kind]
        numbers = rng.integers(0, top + 1, shape).astype({"uint8": "<u1", "uint16": "<u2"}[kind])
        scale = 4.0 / top / math.sqrt(np.prod(shape[:3]))
        low = -0.5 * top * scale
        entries.append(
            {"name": key, "shape": list(shape), "dtype": "float32",
             "quantization": {"dtype": kind, "scale": scale, "min": low}}
        )  # fmt: skip
        data, tensors[key] = data + numbers.tobytes(), numbers * scale + low
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}-weights_manifest.json").write_text(
        json.dumps([{"paths": [f"{name}.bin"], "weights": entries}])
    )
    (folder / f"{name}.bin").write_bytes(data)
    return tensors


def same(x: NDArray[np.float64], stride: int) -> NDArray[np.float64]:
    """Pad (H, W, C) as TensorFlow's SAME does for a 3x3 filter: https://www.tensorflow.org/api_docs/python/tf/nn."""
    side = x.shape[0]
    total = max((math.ceil(side / stride) - 1) * stride + 3 - side, 0)
    return np.pad(x, ((total // 2, total - total // 2), (total // 2, total - total // 2), (0, 0)))


def convolve(x: NDArray[np.float64], t: Tensors, name: str, stride: int) -> NDArray[np.float64]:
    x = same(x, stride)
    if f"{name}/filters" in t:
        filters = t[f"{name}/filters"]
        maps = [correlate(x, filters[..., o], "valid")[::stride, ::stride, 0] for o in range(filters.shape[3])]
        return np.stack(maps, axis=2) + t[f"{name}/bias"]
    each = t[f"{name}/depthwise_filter"]
    maps = [correlate(x[..., c], each[..., c, 0], "valid")[::stride, ::stride] for c in range(each.shape[2])]
    return np.stack(maps, axis=2) @ t[f"{name}/pointwise_filter"][0, 0] + t[f"{name}/bias"]


def features(frame: NDArray[np.uint8], t: Tensors) -> NDArray[np.float64]:
    """Do what face-api's FaceFeatureExtractor does with a square frame of 112 px."""
    x = (frame.astype(np.float64) - MEAN) / 255
    for block in range(4):
        out = [np.maximum(convolve(x, t, f"dense{block}/conv0", 2), 0)]
        for number in range(1, 4):
            read = np.maximum(np.sum(out, axis=0), 0)
            out.append(convolve(read, t, f"dense{block}/conv{number}", 1))
        x = np.maximum(np.sum(out, axis=0), 0)
    assert x.shape == (7, 7, 256)
    return x.mean((0, 1))


def make(weights: Any) -> FrozenFrameEncoder:
    made = build("video", "expression", EncoderOptions(weights=None if weights is None else str(weights)))
    assert isinstance(made, FrozenFrameEncoder)
    return made


def frames(count: int = 2) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(5).integers(0, 256, (count, 14, 14, 3), dtype=np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_rows_are_those_of_the_same_arithmetic_elsewhere(tmp_path: Path, kind: str) -> None:
    tensors = write(tmp_path, kind=kind, name="mine")
    encoder = make(tmp_path / "mine-weights_manifest.json")
    expected = np.stack([features(one, tensors) for one in frames()])
    np.testing.assert_allclose(encoder.encode_frames(frames()), expected, atol=1e-5 * expected.max())
    assert (encoder.spec.raw_width, encoder.spec.width, encoder.frame_size_px) == (256, 100, 112)


@pytest.mark.parametrize("named", ["mine-weights_manifest.json", "mine.bin"])
def test_the_weights_by_any_of_their_files(tmp_path: Path, named: str) -> None:
    write(tmp_path, name="mine")
    spec = make(tmp_path / named).spec
    assert spec.weights is not None and spec.weights["source"] == "file"
    assert spec.weights["sha256"] == digest_of_file(tmp_path / "mine.bin") == digest_of(tmp_path / named)
    assert {one.name for one in files_of("", str(tmp_path / named))} == {"mine-weights_manifest.json", "mine.bin"}
    assert is_learned_from_labels(spec.to_json())


def test_numbers_in_two_files_are_one(tmp_path: Path) -> None:
    write(tmp_path / "one", name="mine")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    place = tmp_path / "two" / "mine-weights_manifest.json"
    data = (tmp_path / "two" / "mine.bin").read_bytes()
    (tmp_path / "two" / "mine.bin").unlink()
    for name, part in (("a.bin", data[:1001]), ("b.bin", data[1001:])):
        (tmp_path / "two" / name).write_bytes(part)
    place.write_text(place.read_text().replace('["mine.bin"]', '["a.bin", "b.bin"]'))
    one, two = make(tmp_path / "one" / "mine.bin"), make(place)
    assert np.array_equal(one.encode_frames(frames()), two.encode_frames(frames()))


def change(folder: Path, **how: Any) -> None:
    """Change the first entry of the manifest."""
    place = folder / "mine-weights_manifest.json"
    groups = json.loads(place.read_text())
    groups[0]["weights"][0].update(how)
    place.write_text(json.dumps(groups))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            lambda f: (f / "mine.bin").write_bytes((f / "mine.bin").read_bytes()[:-3]),
            "passes the end of its numbers",
        ),
        (lambda f: (f / "mine.bin").write_bytes((f / "mine.bin").read_bytes() + b"x"), "describes 329468 bytes"),
        (lambda f: (f / "mine.bin").unlink(), "lacks mine.bin, which mine-weights_manifest.json names"),
        (lambda f: (f / "mine-weights_manifest.json").write_text("{"), "can't be read as a manifest"),
        (lambda f: change(f, name="dense9/conv0/filters"), "is not of the expression network"),
        (lambda f: change(f, quantization={"dtype": "uint8", "scale": float("nan"), "min": 0}), "NaN or infinity"),
        (lambda f: change(f, quantization={"dtype": "int4", "scale": 1, "min": 0}), "describes no tensor"),
        (lambda f: change(f, shape=[3, 3, 32, 3]), "is not of the expression network"),
        (lambda f: change(f, shape=[-3, -3, 3, 32]), "passes the end"),
    ],
)
def test_damaged_weights_fail(tmp_path: Path, spoil: Any, says: str) -> None:
    write(tmp_path, name="mine")
    spoil(tmp_path)
    with pytest.raises((ValueError, OSError), match=says):
        make(tmp_path / "mine-weights_manifest.json")


def test_numbers_outside_the_folder_are_not_read(tmp_path: Path) -> None:
    write(tmp_path / "in", name="mine")
    (tmp_path / "in" / "mine.bin").rename(tmp_path / "mine.bin")
    place = tmp_path / "in" / "mine-weights_manifest.json"
    place.write_text(place.read_text().replace('["mine.bin"]', '["../mine.bin"]'))
    with pytest.raises(ValueError, match=r"names \.\./mine\.bin; expected files beside it"):
        make(place)


def test_published_files_have_the_published_digest(tmp_path: Path) -> None:
    write(tmp_path)  # other numbers under the published name
    with pytest.raises(
        ValueError, match=rf"{NAME}\.bin: its sha256 is [0-9a-f]+, what was published has 9a9840f2"
    ):
        make(tmp_path)


def test_missing_weights_name_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for call in (lambda: make(None), lambda: files_of("", None)):
        with pytest.raises(FileNotFoundError, match=r"`dualstream weights get expression` fetches them \(MIT\)"):
            call()
    with pytest.raises(FileNotFoundError, match="is not there; expected the folder that holds"):
        make(tmp_path / "nowhere")


@pytest.mark.skipif("DUALSTREAM_WEIGHTS" not in os.environ, reason="DUALSTREAM_WEIGHTS is not set")
def test_the_published_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(os.environ["DUALSTREAM_WEIGHTS"]) / "face"
    groups = json.loads((folder / MANIFEST).read_text())
    data, position, tensors = (folder / f"{NAME}.bin").read_bytes(), 0, {}
    for entry in groups[0]["weights"]:
        count, coded = math.prod(entry["shape"]), entry.get("quantization")
        raw = np.frombuffer(data, "<u1" if coded else "<f4", count, position).astype(np.float64)
        position += count * (1 if coded else 4)
        values = raw * coded["scale"] + coded["min"] if coded else raw
        tensors[entry["name"]] = values.reshape(entry["shape"])
    assert {name: one.shape for name, one in tensors.items()} == shapes()
    expected = np.stack([features(one, tensors) for one in frames()])
    encoder = make(folder)
    np.testing.assert_allclose(encoder.encode_frames(frames()), expected, atol=1e-5 * expected.max())
    assert encoder.spec.weights is not None and encoder.spec.weights["licence"] == "MIT"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = tmp_path / "dualstream" / "weights" / "expression"
    shutil.copytree(folder, place)
    assert make(None).spec.to_json() == encoder.spec.to_json()
