"""docs/own_features.md: its commands typed and its code run, in order, over files as other programs leave them."""

from __future__ import annotations

import importlib.util
import pickle
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.pipeline.cache import read_cache
from dualstream.pipeline.storage.csd import csd_bytes
from typer.testing import CliRunner

from dualstream import cli
from tests.pages import blocks

PAGE = "own_features"
COUNT = 24
WORDS = {"lightning": "Lightning", "datasets": "datasets"}


def commands() -> list[str]:
    return [line[2:] for block in blocks(PAGE, "console") for line in block.splitlines()]


def frames_of(number: int, width: int = 4) -> np.ndarray[Any, Any]:
    rows = np.random.default_rng((9, number)).normal(size=(60, width)).astype(np.float32)
    rows[:, 0] += 4 * (number % 2) - 2
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files by the names that the page uses: two emotions, told by the first column."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    root = tmp_path_factory.mktemp("own")
    ids = [f"u{number:02d}" for number in range(COUNT)]
    emotions = [("joy", "anger")[number % 2] for number in range(COUNT)]
    splits = ["train" if number < 16 else "dev" for number in range(COUNT)]
    spans = [f"{3 * number},{3 * number + 2}" for number in range(COUNT)]
    lines = [",".join(["id,path,split,start_s,end_s,speaker,emotion"])]
    lines += [
        f"{i},film.mp4,{s},{span},s{n % 4},{e}"
        for n, (i, s, span, e) in enumerate(zip(ids, splits, spans, emotions, strict=True))
    ]
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    rows = [f"clips/{i}.wav,s{n % 4},{e}" for n, (i, e) in enumerate(zip(ids, emotions, strict=True))]
    (root / "corpus.csv").write_text("\n".join(["file,speaker,emotion", *rows]) + "\n")
    for name in ("hubert-UTT", "hubert-FRA", "clip-FRA", "openface"):
        (root / name).mkdir()
    for number, name in enumerate(ids):
        rows_of = frames_of(number)
        np.save(root / "hubert-UTT" / f"{name}.npy", rows_of.mean(axis=0))
        np.save(root / "hubert-FRA" / f"{name}.npy", rows_of)
        np.save(root / "clip-FRA" / f"{name}.npy", rows_of[:30])
        faces = [f"{t}, 0, {t / 25}, 0.98, 1, {row[0]:.3f}" for t, row in enumerate(rows_of[:40])]
        head = "frame, face_id, timestamp, confidence, success, AU01_r"
        (root / "openface" / f"{name}.csv").write_text("\n".join([head, *faces, "41, 0, 1.7, 0.1, 0, 9"]) + "\n")
    means = [frames_of(number).mean(axis=0) for number in range(COUNT)]
    lld = [
        f"clips/{i}.wav,0 days,0 days 00:00:02,{','.join(map(str, row))}"
        for i, row in zip(ids, means, strict=True)
    ]
    (root / "egemaps.csv").write_text("\n".join(["file,start,end,F0,loudness,jitter,shimmer", *lld]) + "\n")
    table = {"id": ids, "emotion": emotions, "embedding": [row.tolist() for row in means]}
    parquet.write_table(pyarrow.table(table), root / "embeddings.parquet")
    starts = np.arange(0, 3 * COUNT, 0.5)
    film = np.concatenate([frames_of(int(start // 3))[:1] for start in starts])
    (root / "COVAREP.csd").write_bytes(
        csd_bytes("COVAREP", [("film", (film, np.stack([starts, starts + 0.5], axis=1)))], {})
    )
    half = {"train": range(16), "valid": range(16, COUNT)}
    data = {
        mode: {
            "id": [f"v$_${n}" for n in numbers],
            "vision": np.stack([frames_of(n) for n in numbers]), "audio": np.stack([frames_of(n) for n in numbers]),
            "regression_labels": np.array([1.0 if n % 2 else -1.0 for n in numbers]),
        }
        for mode, numbers in half.items()
    }  # fmt: skip
    (root / "unaligned_50.pkl").write_bytes(pickle.dumps(data))
    return root


@pytest.fixture(scope="module")
def typed(folder: Path) -> dict[str, str]:
    """Type every command of the page, in order; return what each printed."""
    said = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in commands():
            words = shlex.split(line)
            assert words[0] == "dualstream"
            more = ["--epochs", "2", "--seeds", "1", "--no-report"] if words[1] == "fit-head" else []
            done = CliRunner().invoke(cli.app, [*words[1:], *more])
            assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception}"
            said[line] = done.output
    return said


def test_every_command_runs(typed: dict[str, str]) -> None:
    assert len(typed) >= 16


def test_each_layout_becomes_the_same_story(folder: Path, typed: dict[str, str]) -> None:
    """The first column tells the emotion in every cache, and each has all utterances."""
    for name in ("utt", "fra", "covarep", "egemaps", "embeddings", "faces", "plain", "again"):
        cache = read_cache(folder / f"{name}.h5")
        stream = cache.streams["video" if name == "faces" else "audio"]
        assert len(cache.utterances) == COUNT and stream.present.all(), name
        told = stream.utterance[:, 0] > 0
        names = np.array(cache.vocabulary["emotion"])[cache.utterances.emotion]
        assert (told == (names == "anger")).mean() > 0.95, name
    frames = read_cache(folder / "fra.h5").streams["audio"]
    assert frames.windows is not None and frames.spec["parameters"]["rate_hz"] == 50
    np.testing.assert_allclose(frames.windows[0], frames_of(0)[:50].mean(axis=0), rtol=1e-4, atol=1e-6)
    covarep = read_cache(folder / "covarep.h5")
    assert covarep.streams["audio"].windows is not None
    assert read_cache(folder / "mosi.h5").vocabulary["sentiment"] == ["positive", "negative"]


def test_what_is_left_out_is_said(typed: dict[str, str]) -> None:
    said = next(text for line, text in typed.items() if "table:openface" in line)
    assert f"{COUNT} rows are left out, in which no face was found (success 0)" in said
    assert "frame, face_id, confidence, success are no features" in said


def test_the_bundle_answers(folder: Path, typed: dict[str, str]) -> None:
    lines = (folder / "answers.csv").read_text().splitlines()
    assert len(lines) == 1 + COUNT and lines[1].startswith("u00,")


@pytest.mark.parametrize("code", blocks(PAGE, "python"), ids=lambda code: code.split("\n")[0][:40])
def test_every_piece_is_python(code: str) -> None:
    compile(code, "piece", "exec")


@pytest.mark.slow
def test_the_code_runs_in_order(
    folder: Path, typed: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """But for packages that are not installed here, each of which stands by itself."""
    pytest.importorskip("pandas")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HOME", str(folder / "hf"))  # what `datasets` keeps for itself
    space: dict[str, Any] = {"__name__": "page"}
    left_out = [name for name in WORDS if importlib.util.find_spec(name) is None]
    for code in blocks(PAGE, "python"):
        if not any(f"import {name}" in code or f"from {name}" in code for name in left_out):
            exec(compile(code, "page", "exec"), space)
    said = capsys.readouterr().out
    expected = [
        "scikit-learn",
        "pandas",
        "PyTorch",
        *(word for name, word in WORDS.items() if name not in left_out),
    ]
    assert [line.split()[0] for line in said.splitlines() if line.split()[0] in expected] == expected
