"""--layers through the commands: what runs, comparisons, pages and `inspect` say, and refusals."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.pipeline.cache import Cache, StoredProjection, write_cache
from typer.testing import CliRunner

from dualstream import cli
from tests.pipeline.planted_corpus import planted_cache

LAYERS = (0, 1, 2)


def layered_cache(**parameters: Any) -> Cache:
    """The planted cache with its audio as the second of three layers; the first is louder noise, the last silence."""
    cache = planted_cache(sizes={"train": 150, "dev": 50, "test": 20}, strength=3.0)
    audio = cache.streams["audio"]
    rng = np.random.default_rng(4)

    def beside(rows: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [5 * rng.normal(size=rows.shape), rows, np.zeros_like(rows)],
            axis=1,
            dtype=np.float32,
            casting="same_kind",
        )

    assert audio.windows is not None and audio.window_present is not None
    utterance, windows = beside(audio.utterance), beside(audio.windows)
    utterance[~audio.present], windows[~audio.window_present] = 0, 0
    stated = {
        "layers": list(LAYERS),
        "layers_joined": "each",
        "layer_width": audio.utterance.shape[1],
        **parameters,
    }
    width = utterance.shape[1]
    spec = {**audio.spec, "parameters": stated, "width": width, "raw_width": width}
    wide = dataclasses.replace(audio, utterance=utterance, windows=windows, spec=spec)  # type: ignore[arg-type]
    return dataclasses.replace(cache, streams={**cache.streams, "audio": wide})


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("layers") / "cache.h5"
    write_cache(place, layered_cache())
    return place


def run(*words: str | Path, status: int = 0) -> Any:
    """Run a command with --json; return its document, or what it says on standard error."""
    result = CliRunner().invoke(cli.app, [*map(str, words), "--json"])
    assert result.exit_code == status, result.stderr
    return json.loads(result.stdout) if status == 0 else result.stderr


@pytest.mark.parametrize("fusion", ["linear_audio", pytest.param("concat_norm", marks=pytest.mark.slow)])
def test_a_run_says_what_each_layer_weighs(cache: Path, tmp_path: Path, fusion: str) -> None:
    words = (
        "--layers",
        "learned",
        "--seeds",
        "2",
        "--epochs",
        "15",
        "--folds",
        "dialogue:3",
        "--out",
        tmp_path / "run",
    )
    found = run("fit-head", cache, "--fusion", fusion, *words)
    assert found["config"]["options"]["layers"] == "learned"
    assert len(found["history"]) == 2 * (3 + 1)  # each fold learns weights of its own
    for one in found["history"]:
        weights = one["layers"]["audio"]
        assert list(weights) == ["0", "1", "2"] and sum(weights.values()) == pytest.approx(1, abs=1e-5)
        assert max(weights, key=weights.__getitem__) == "1"
    assert "layers of audio" in (tmp_path / "run" / "report.html").read_text()
    scored = run("evaluate", tmp_path / "run")  # the run's own weights are read again
    assert scored["scores"]["tasks"]["emotion"]["balanced_accuracy"]["mean"] > 0.5
    again = run("fit-head", "--like", tmp_path / "run", cache, "--fusion", fusion, "--epochs", "1", "--dry-run")
    assert again["options"]["layers"] == "learned"


def test_a_comparison_weighs_layers_in_each_variant(cache: Path, tmp_path: Path) -> None:
    words = ("--fusions", "linear,linear_late", "--seeds", "1", "--epochs", "2", "--out", tmp_path / "out")
    found = run("compare", cache, "--layers", "1", *words)
    rows = {row["variant"]: row for row in found["rows"]}
    for name in ("audio", "linear_audio", "linear", "linear_late"):
        assert rows[name]["history"][0]["layers"] == {"audio": {"0": 0.0, "1": 1.0, "2": 0.0}}
    assert "layers" not in rows["linear_video"]["history"][0]
    assert "layers of audio in linear_late" in (tmp_path / "out" / "report.html").read_text()


def test_speakers_are_normalised_before_layers_are_weighed(cache: Path, tmp_path: Path) -> None:
    words = ("--layers", "learned", "--speaker-norm", "--folds", "dialogue:2", "--out", tmp_path / "run")
    found = run("fit-head", cache, "--fusion", "linear", *words)
    weights = [one["layers"]["audio"] for one in found["history"]]
    assert all(one["1"] > 0.5 for one in weights)


def test_inspect_says_how_many_layers_there_are(cache: Path) -> None:
    assert run("inspect", cache)["streams"]["audio"]["layers"] == [0, 1, 2]
    result = CliRunner().invoke(cli.app, ["inspect", str(cache)])
    assert "audio: planted, 12 columns (3 layers of 4: 0, 1, 2)" in result.stdout


@pytest.mark.parametrize("command", ["fit-head", "compare"])
@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ("3", "the cache has no layer 3 of audio; audio has 0, 1, 2"),
        ("video=mean", "the video stream has no layers (audio has 0, 1, 2)"),
        ("sharp", "layers are 'sharp'; expected learned, mean, all or the number of a layer"),
    ],
)
def test_what_is_not_there_fails(cache: Path, tmp_path: Path, command: str, layers: str, says: str) -> None:
    fusion = ("--fusion", "linear") if command == "fit-head" else ("--fusions", "linear")
    said = run(command, cache, *fusion, "--layers", layers, "--out", tmp_path / "out", status=2)
    assert says in " ".join(said.split()) and not (tmp_path / "out").exists()


def test_a_projection_leaves_no_layers() -> None:
    audio = layered_cache().streams["audio"]
    projection = StoredProjection("pca", np.zeros(12, np.float32), np.eye(12, dtype=np.float32), {})
    assert audio.layers == LAYERS and dataclasses.replace(audio, projection=projection).layers == ()


@pytest.mark.parametrize("how", ["no layers", "of other widths", "joined to their mean"])
def test_a_cache_without_layers_fails(tmp_path: Path, how: str) -> None:
    changes = {"no layers": {"layers": None}, "joined to their mean": {"layers_joined": "mean"}}
    cache = layered_cache(**changes.get(how, {"layer_width": None}))
    write_cache(tmp_path / "cache.h5", cache)
    words = ("--fusion", "linear", "--layers", "learned", "--out", tmp_path / "out")
    said = run("fit-head", tmp_path / "cache.h5", *words, status=2)
    assert "no stream of this corpus has layers; extract it with hf:FOLDER@all" in " ".join(said.split())
