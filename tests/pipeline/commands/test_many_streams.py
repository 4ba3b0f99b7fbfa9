"""Streams by their own names, any number: fit-head, compare and evaluate, from the words to the documents."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline import experiments
from dualstream.pipeline.cache import Cache, Stream, write_cache
from dualstream.pipeline.commands.compare import choose, compare_on
from dualstream.pipeline.commands.evaluate import evaluate
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.experiments.stream_gains import variants_without
from dualstream.pipeline.experiments.training_data import corpus_of
from dualstream.pipeline.options.heads import CompareOptions
from typer.testing import CliRunner

import dualstream
from dualstream import cli
from tests.pipeline.planted_corpus import planted_cache

NAMES = ("whisper", "acoustic", "face")
QUICK = FitOptions(seeds=(0,), epochs=3, hidden=8, threads=1)


def three() -> Cache:
    """Return the planted cache: video as face, audio as whisper, and acoustic, which is noise of five columns."""
    cache = planted_cache()
    rng = np.random.default_rng(5)
    audio = cache.streams["audio"]
    assert audio.windows is not None and audio.window_present is not None
    rows = (rng.normal(size=(len(audio.utterance), 5)) * audio.present[:, None]).astype(np.float32)
    windows = (rng.normal(size=(len(audio.windows), 5)) * audio.window_present[:, None]).astype(np.float32)
    noise = dataclasses.replace(audio, utterance=rows + np.float32(0), windows=windows + np.float32(0))
    streams = {"face": cache.streams["video"], "whisper": audio, "acoustic": noise}
    return dataclasses.replace(cache, streams={name: renamed(one, name) for name, one in streams.items()})


def renamed(stream: Stream, name: str) -> Stream:
    spec = {**stream.spec, "width": stream.utterance.shape[1], "raw_width": stream.utterance.shape[1]}
    return dataclasses.replace(stream, name=name, spec=spec)


@pytest.fixture(scope="module")
def cache_path(tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("three") / "cache.h5"
    write_cache(path, three())
    return path


@pytest.fixture(scope="module")
def compared(tmp_path_factory, cache_path) -> Path:
    out: Path = tmp_path_factory.mktemp("compared") / "cmp"
    words = [
        "--streams",
        ",".join(NAMES),
        "--fusions",
        "linear",
        "--seeds",
        "1",
        "--epochs",
        "2",
        "--workers",
        "1",
    ]
    found = CliRunner().invoke(cli.app, ["compare", str(cache_path), *words, "--out", str(out)])
    assert found.exit_code == 0, found.output
    (out / "said.txt").write_text(found.stdout)
    return out


def test_compare_has_each_stream_all_but_each_and_all(compared: Path) -> None:
    document = json.loads((compared / "compare.json").read_text())
    rows = {row["variant"]: row for row in document["rows"]}
    singles = {f"{kind}:{name}" for kind in ("single", "linear") for name in NAMES}
    without = {"linear_late:acoustic+face", "linear_late:whisper+face", "linear_late:whisper+acoustic"}
    assert set(rows) == {*singles, *without, "linear", "linear_late"}
    assert {name for name, row in rows.items() if row["single"]} == singles
    assert list(document["streams"].items()) == [(name, name) for name in NAMES]
    assert all(best.split(":")[0] in ("single", "linear") for best in document["best_single"].values())


def test_compare_says_what_each_stream_adds(compared: Path) -> None:
    document = json.loads((compared / "compare.json").read_text())
    uar = {
        row["variant"]: row["scores"]["tasks"]["emotion"]["balanced_accuracy"]["mean"] for row in document["rows"]
    }
    gains = {one["stream"]: one for one in document["stream_gains"] if one["task"] == "emotion"}
    assert list(gains) == list(NAMES)
    for name, gain in gains.items():
        others = "+".join(other for other in NAMES if other != name)
        assert (gain["variant"], gain["without"]) == ("linear_late", f"linear_late:{others}")
        assert gain["difference"] == pytest.approx(uar["linear_late"] - uar[gain["without"]])
        assert gain["p_holm"] >= gain["p_value"]
    assert min(gains["face"]["difference"], gains["whisper"]["difference"]) > 0.15
    assert abs(gains["acoustic"]["difference"]) < 0.08
    said, page = (compared / "said.txt").read_text(), (compared / "report.html").read_text()
    for text in (said, page):
        assert "hat each stream adds" in text
        assert (
            f"emotion: face{': ' if text is said else '</dt><dd>'}{100 * gains['face']['difference']:+.1f} points"
            in text
        )


def test_a_comparison_made_like_it(compared: Path, cache_path: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "again")
    found = CliRunner().invoke(
        cli.app,
        ["compare", str(cache_path), "--like", str(compared), "--workers", "1", "--no-report", "--out", out],
    )
    assert found.exit_code == 0, found.output
    first, second = (json.loads((Path(p) / "compare.json").read_text()) for p in (compared, out))
    assert first["stream_gains"] == second["stream_gains"]
    assert [row["variant"] for row in first["rows"]] == [row["variant"] for row in second["rows"]]


def test_a_run_keeps_its_streams_in_order(cache_path: Path, tmp_path: Path) -> None:
    words = ["--fusion", "concat_norm", "--streams", "face,acoustic,whisper", "--seeds", "1", "--epochs", "2"]
    for place, more in (("run", words), ("again", ["--like", str(tmp_path / "run")])):
        line = ["fit-head", str(cache_path), *more, "--no-report", "--out", str(tmp_path / place)]
        found = CliRunner().invoke(cli.app, line)
        assert found.exit_code == 0, found.output
    runs = [experiments.read_run(tmp_path / place) for place in ("run", "again")]
    assert [list(run.config.streams) for run in runs] == [["face", "acoustic", "whisper"]] * 2
    models = [experiments.read_models(tmp_path / place / experiments.WEIGHTS)[0] for place in ("run", "again")]
    (first, second) = (model.state()[0] for model in models)
    assert first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)
    assert models[0].inner.settings.streams == ("face", "acoustic", "whisper")


@pytest.mark.parametrize("fusion", ["linear_late", "bottleneck"])
def test_evaluate_scores_test_over_the_runs_streams(fusion: str, cache_path: Path, tmp_path: Path) -> None:
    options = {"seeds": (0,), "epochs": 2, "hidden": 8, "report": False, "streams": NAMES}
    dualstream.fit_head(cache_path, fusion, tmp_path / "run", **options)
    assert list(experiments.read_run(tmp_path / "run").config.streams) == list(NAMES)
    found = evaluate(tmp_path / "run", split="test")
    assert found.scores.tasks["emotion"].count == 80


def test_speakers_are_normalised_over_any_streams(tmp_path: Path) -> None:
    corpus = corpus_of(three(), streams={name: name for name in NAMES}, speaker_norm=True)
    options = CompareOptions(report=False, workers=1)
    found = compare_on(corpus, tmp_path / "cmp", ["linear:face", "linear_late"], fit=QUICK, options=options)
    assert all(row.scores is not None and row.scores.speaker_norm for row in found.rows)


@pytest.mark.slow
def test_folds_and_auto_over_three(tmp_path: Path) -> None:
    corpus = corpus_of(three(), streams={name: name for name in NAMES})
    options = CompareOptions(report=False, workers=1, folds="dialogue:3")
    fit = dataclasses.replace(QUICK, patience=0)
    found = compare_on(
        corpus, tmp_path / "cmp", ["linear:face", "linear:whisper", "auto"], fit=fit, options=options
    )
    chosen = next(row for row in found.rows if row.variant == "auto")
    assert set(chosen.chosen) <= {"linear", "linear_late", "linear_lda_late", "lda_late"}
    assert chosen.choice is not None
    asked = [one.candidate for one in chosen.choice.evidence]
    assert asked[:3] == ["linear:whisper", "linear:acoustic", "linear:face"] and "single:face" in asked
    assert chosen.scores is not None and chosen.scores.mean("emotion") > 0.7


def test_one_stream_by_its_name(cache_path: Path, tmp_path: Path) -> None:
    line = ["compare", str(cache_path), "--streams", "face", "--seeds", "1", "--epochs", "2", "--workers", "1"]
    found = CliRunner().invoke(
        cli.app, [*line, "--fusions", "linear_late,auto", "--no-report", "--out", str(tmp_path / "c")]
    )
    assert found.exit_code == 0, found.output
    document = json.loads((tmp_path / "c" / "compare.json").read_text())
    rows = {row["variant"]: row for row in document["rows"]}
    assert set(rows) == {"single:face", "linear:face", "linear_late", "auto"} and document["stream_gains"] == []
    assert rows["linear_late"]["status"] == "not applicable" and "face alone" in rows["linear_late"]["reason"]
    assert rows["auto"]["chosen"][0] in ("linear:face", "single:face")


def test_which_variants_are_compared() -> None:
    chosen = choose(None, NAMES)
    assert "video" not in chosen and "linear_audio" not in chosen and "single" not in chosen
    assert chosen[:6] == [f"{kind}:{name}" for kind in ("single", "linear") for name in NAMES]
    assert choose(["concat"], ("video", "face"))[:4] == ["video", "single:face", "linear_video", "linear:face"]
    assert variants_without(("a", "b")) == {} and variants_without("abc")["a"] == "linear_late:b+c"
    with pytest.raises(UsageError, match="no fusion variant is called 'magic'"):
        choose(["magic"], NAMES)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--streams", "face,magic", "--fusion", "concat"], "no stream 'magic'; it has: acoustic, face, whisper"),
        (
            ["--streams", "text=face", "--fusion", "concat"],
            "heads know video and audio, and streams by their own names",
        ),
        (["--streams", "face,face", "--fusion", "concat"], "each once"),
        (
            ["--streams", "face", "--fusion", "concat"],
            "concat joins two streams or more; this corpus has face alone",
        ),
        (
            ["--streams", "face,whisper", "--fusion", "linear:acoustic"],
            "linear:acoustic reads the acoustic stream",
        ),
        (["--streams", "face,whisper", "--fusion", "concat:face+acoustic"], "reads the acoustic stream"),
    ],
)
def test_what_can_t_be_read_is_said(cache_path: Path, tmp_path: Path, words: list[str], said: str) -> None:
    found = CliRunner().invoke(cli.app, ["fit-head", str(cache_path), *words, "--out", str(tmp_path / "run")])
    assert found.exit_code == 2 and said in found.stderr
