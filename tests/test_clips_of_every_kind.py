"""Every command of stage 1, as typed, on folders that lack something: none ends with a traceback.

Either task alone, either stream alone, one class, no dev split, rows without labels: manifest, check, extract, project,
inspect, train-encoder, and what stage 2 makes of the cache: a bundle with ONNX, and its answer for a clip.
"""

from __future__ import annotations

import json
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from dualstream.features.media import write_clip
from numpy.typing import NDArray

from tests.test_corpora_of_every_kind import QUICK, done, typed

COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))
SAMPLES = 12_800  # 0.8 s
SPLITS = ("train",) * 4 + ("dev",) * 2 + ("test",)
SMALL = ["--epochs", "1", "--batch-size", "8", "--device", "cpu", "--licence", "CC0"]
FREE = ["--video", "cnn5", "--video-weights", "random:0", "--device", "cpu"]
TRAINED = {"video": "cnn5", "audio": "bilstm"}


@dataclass(frozen=True)
class Kind:
    """A folder of clips, and what is right of it."""

    classes: tuple[str, ...] = ("joy", "anger")
    splits: tuple[str, ...] = SPLITS
    loose: int = 0
    """Clips of train that no class folder holds."""
    streams: tuple[str, ...] = ("video", "audio")
    words: tuple[str, ...] = ()
    """For `manifest`."""
    tasks: tuple[str, ...] = ("emotion", "sentiment")


KINDS = {
    "sentiment alone": Kind(("positive", "negative"), tasks=("sentiment",)),
    "emotion alone": Kind(words=("--sentiment", "none"), tasks=("emotion",)),
    "video alone": Kind(streams=("video",)),
    "audio alone": Kind(streams=("audio",)),
    "one class": Kind(("joy",)),
    "no dev": Kind(splits=("train",) * 5 + ("test",)),
    "rows without labels": Kind(loose=4),
    "no labels": Kind(classes=(), loose=8, tasks=()),
}
CLASSES = {"positive": "positive", "negative": "negative", "joy": "positive", "anger": "negative"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_from_clips_to_an_answer(kind: str, tmp_path: Path) -> None:
    made = KINDS[kind]
    root, manifest, cache = tmp_path / "root", tmp_path / "m.csv", tmp_path / "c.h5"
    clips = draw(root, made)
    done("manifest", "folder", root, "--out", manifest, *made.words)
    checked = json.loads(done("check", manifest, "--root", root, "--json").stdout)
    codes = {one["code"] for one in checked["findings"]}
    done("check", manifest, "--root", root)
    assert ("class-alone" in codes) is (kind == "one class") and "unreadable" not in codes
    assert set(checked["balance"]) == set(made.tasks)

    extract = ["extract", manifest, "--root", root, "--out", cache, *FREE]
    assert json.loads(done(*extract, "--json").stdout)["failed"] == []
    done("project", cache, "--width", "4")
    inspected = json.loads(done("inspect", cache, "--verify", "--json").stdout)
    done("inspect", cache)
    for stream in ("video", "audio"):
        there = {split: one["present"] for split, one in inspected["streams"][stream]["coverage"].items()}
        assert sum(there.values()) == (len(clips) if stream in made.streams else 0)
    for task in ("emotion", "sentiment"):
        assert (inspected["labels"][task]["majority"] is not None) is (task in made.tasks)

    for stream, encoder in TRAINED.items():
        trained(encoder, stream, kind, tmp_path)
    answer(kind, cache, clips[0], tmp_path)


def trained(encoder: str, stream: str, kind: str, folder: Path) -> None:
    """Train an encoder, extract with it and compare its own answers; or be told in a sentence why that can't be."""
    made = KINDS[kind]
    weights, cache = folder / f"{encoder}.safetensors", folder / f"{encoder}.h5"
    clips = ["--root", folder / "root"]
    train = ["train-encoder", folder / "m.csv", *clips, "--encoder", encoder, "--out", weights, *SMALL]
    refused = ""
    if not made.tasks:
        refused = "no labelled utterance in the train split"
    elif "dev" not in made.splits:
        refused = "use --patience 0 to train all epochs unwatched"
    elif stream not in made.streams:
        refused = f"gave {encoder} a sample; the first, "
    if refused:
        found = typed(*train)
        assert found.exit_code == 2 and refused in found.stderr
        if "dev" in made.splits or not made.tasks:
            return
        train += ["--patience", "0"]
    document = json.loads(done(*train, "--json").stdout)
    assert set(document["scores"]) == (set(made.tasks) if "dev" in made.splits else set())
    for scores in document["scores"].values():
        said = "training showed only one class: there was nothing to tell apart" in scores["warnings"]
        assert said is (kind == "one class")
    done(*train)  # again, as text
    other = next(one for one in TRAINED if one != stream)
    own = [f"--{stream}", encoder, f"--{stream}-weights", weights, f"--{other}", "none", "--device", "cpu"]
    done("extract", folder / "m.csv", *clips, "--out", cache, *own)
    compare = ["compare", cache, "--fusions", f"linear_{stream}", "--end-to-end", weights, "--no-report"]
    found = typed(*compare, "--out", folder / f"compared-{encoder}", "--json", *QUICK)
    if "dev" not in made.splits:
        assert found.exit_code == 2 and "the cache has no dev split" in found.stderr
        return
    rows = {row["variant"]: row for row in json.loads(found.stdout)["rows"]}
    assert set(rows[f"end-to-end {encoder}"]["scores"]["tasks"]) == set(made.tasks)


def answer(kind: str, cache: Path, clip: Path, folder: Path) -> None:
    """Fit what can be fitted, export it with ONNX, and ask it of a clip; each task that was labelled is answered."""
    made, run, bundle = KINDS[kind], folder / "run", folder / "bundle"
    fit = ["fit-head", cache, "--fusion", "concat" if len(made.streams) == 2 else made.streams[0], "--out", run]
    if not made.tasks or "dev" not in made.splits:
        found = typed(*fit, *QUICK)
        assert found.exit_code == 2 and ("no dev split" in found.stderr or "is labelled" in found.stderr)
        fit += ["--folds", "3"]
    if not made.tasks:
        found = typed(*fit, *QUICK)
        assert found.exit_code == 2 and "there is nothing to score" in found.stderr
        assert not run.exists()
        return
    done(*fit, "--no-report", *QUICK)
    exported = json.loads(done("export", run, "--out", bundle, "--onnx", "--json").stdout)
    assert set(exported["calibration"]) == set(made.tasks) and (bundle / "head.onnx").is_file()
    predict = ["predict", bundle, clip, "--timeline", "0.4"]
    (one,) = json.loads(done(*predict, "--json").stdout)["utterances"]
    assert one["status"] == "ok"
    assert {task for task in ("emotion", "sentiment") if one.get(task) is not None} == set(made.tasks)
    done(*predict, "--page", folder / "p.html", "--csv", folder / "p.csv")
    assert (folder / "p.html").is_file() and (folder / "p.csv").is_file()


@pytest.mark.parametrize("lacking", ["train", "dev"])
def test_a_split_that_gives_no_sample(lacking: str, tmp_path: Path) -> None:
    root, manifest = tmp_path / "root", tmp_path / "m.csv"
    for split in ("train", "dev"):
        streams = ("video",) if split == lacking else ("video", "audio")
        draw(root, Kind(splits=(split,) * 2, streams=streams))
    done("manifest", "folder", root, "--out", manifest)
    train = ["train-encoder", manifest, "--root", root, "--encoder", "bilstm", "--out", tmp_path / "w.safetensors"]
    found = typed(*train, *SMALL)
    if lacking == "train":
        assert found.exit_code == 2 and "has both a label and a sample; nothing can be learned" in found.stderr
    else:  # all is said, nothing is claimed of dev
        assert found.exit_code == 3 and "4 clips gave no sample and took no part" in found.stdout
        assert (
            "no utterance of dev has both a sample and a label that train has: nothing was scored" in found.stdout
        )
        assert "chose the epoch" not in found.stdout


def test_classes_that_training_did_not_show_are_named_beside_dev_scores(tmp_path: Path) -> None:
    root, manifest = tmp_path / "root", tmp_path / "m.csv"
    draw(root, Kind(("joy",), splits=("train",) * 3))
    draw(root, Kind(("joy", "anger"), splits=("dev",) * 2))
    done("manifest", "folder", root, "--out", manifest)
    train = ["train-encoder", manifest, "--root", root, "--encoder", "bilstm", "--out", tmp_path / "w.safetensors"]
    said = done(*train, *SMALL, "--patience", "0").stdout
    assert "warning: emotion: 2 of 4 scored utterances are of classes that training did not show" in said
    assert "warning: emotion: training showed only one class" in said
    assert "all epochs were run, and the last was kept: dev had no part in that" in said


def draw(root: Path, kind: Kind) -> list[Path]:
    """Draw a folder per split and class: a colour and a tone for each class. Return the clips."""
    ending = ".mp4" if "video" in kind.streams else ".wav"
    paths = [
        (root / split / name / f"{name}{number}{ending}", tuple(CLASSES).index(name))
        for name in kind.classes
        for number, split in enumerate(kind.splits)
    ]
    paths += [(root / "train" / f"loose{number}{ending}", number) for number in range(kind.loose)]
    for seed, (path, which) in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        _draw_clip(path, np.random.default_rng((which, seed)), which % 3, kind.streams)
    return sorted(path for path, _ in paths)


def _draw_clip(path: Path, rng: np.random.Generator, which: int, streams: tuple[str, ...]) -> None:
    time_s = np.arange(SAMPLES) / 16_000
    audio = 0.2 * np.sin(2 * np.pi * (220 + 180 * which) * time_s) + rng.normal(0, 0.005, SAMPLES)
    if "video" not in streams:
        _write_wave(path, audio)
        return
    frames = np.clip(rng.normal(COLOURS[which], 12, (8, 32, 32, 3)), 0, 255).astype(np.uint8)
    write_clip(path, frames, 10.0, audio.astype(np.float32) if "audio" in streams else None, 16_000)


def _write_wave(path: Path, audio: NDArray[np.float64]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.round(audio * 32_000).astype("<i2").tobytes())
