"""A prediction says what it rests on: random weights, rows far outside of what the heads were fitted on."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from dualstream.heads.evaluation.outliers import UsualRange
from dualstream.pipeline.bundles.folder import CARD, CONFIG, Bundle, read_bundle, write_bundle
from dualstream.pipeline.commands import export, predict
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.experiments.ranges import RANGES
from typer.testing import CliRunner

from dualstream import cli
from tests.pipeline.spoken_corpus import fit, make_cache, make_clips

RANDOM = "the encoder of video (cnn5) has random weights (random:0)"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("spoken")
    make_clips(root)
    make_cache(root)
    export.export(fit(root / "cache.h5", "linear", root / "linear"), root / "bundle")
    return root


def with_ranges(bundle: Bundle, out: Path, shift: dict[str, float]) -> Path:
    """Write the bundle as if its heads had been fitted on rows around `shift`, of deviation 1."""
    ranges = {}
    for name, by in shift.items():
        width = bundle.streams[name]["spec"]["width"]
        usual = UsualRange.of(by + np.random.default_rng(0).normal(size=(200, width)))
        assert usual is not None
        ranges[name] = usual
    out.mkdir()
    write_bundle(out, dataclasses.replace(bundle, ranges=ranges), card="")
    return out


def test_random_weights_are_on_the_card_and_with_every_answer(corpus: Path, tmp_path: Path) -> None:
    card = (corpus / "bundle" / CARD).read_text()
    assert "**Warning: the encoder of video (cnn5) has random weights (random:0)" in card
    clip = corpus / "clips" / "00.mp4"
    options = predict.PredictOptions(csv=tmp_path / "t.csv", page=tmp_path / "p.html")
    said: list[str] = []
    found = predict.predict(corpus / "bundle", [clip], options, notice=said.append)
    assert sum(text.startswith(RANDOM) for text in found["warnings"]) == 1
    assert sum(text.startswith(RANDOM) for text in said) == 1
    (row,) = csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text()))
    assert row["warnings"].startswith(RANDOM)
    assert RANDOM in (tmp_path / "p.html").read_text()


def test_a_bundle_of_an_earlier_time_still_answers_and_names_them(corpus: Path, tmp_path: Path) -> None:
    """Neither ranges nor warnings lie in it."""
    old = tmp_path / "old"
    bundle = read_bundle(corpus / "bundle")
    old.mkdir()
    write_bundle(old, dataclasses.replace(bundle, ranges={}), card="")
    document = json.loads((old / "config.json").read_text())
    del document["warnings"]
    (old / "config.json").write_text(json.dumps(document))
    assert not (old / RANGES).exists()
    found = predict.predict(old, [corpus / "clips" / "00.mp4"])
    assert found["utterances"][0]["status"] == "ok" and found["utterances"][0]["far_outside"] == []
    assert found["warnings"][0].startswith(RANDOM)


def test_a_clip_far_outside_says_so(corpus: Path, tmp_path: Path) -> None:
    place = with_ranges(read_bundle(corpus / "bundle"), tmp_path / "far", {"video": 1e6, "audio": 1e6})
    clip = corpus / "clips" / "00.mp4"
    options = predict.PredictOptions(csv=tmp_path / "t.csv", page=tmp_path / "p.html")
    (one,) = predict.predict(place, [clip], options)["utterances"]
    assert [text.split()[0] for text in one["far_outside"]] == ["video", "audio"]
    assert "beyond the limit" in one["far_outside"][0] and one["status"] == "ok"
    (row,) = csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text()))
    assert row["far_outside"] == "; ".join(one["far_outside"])
    assert "far outside of what the heads were fitted on" in (tmp_path / "p.html").read_text()
    shown = CliRunner().invoke(cli.app, ["predict", str(place), str(clip)])
    assert "far outside of what the heads were" in " ".join(shown.stdout.split())


def test_a_clip_like_those_of_training_says_nothing(corpus: Path, tmp_path: Path) -> None:
    bundle = read_bundle(corpus / "bundle")
    width = bundle.streams["video"]["spec"]["width"]
    rows = np.random.default_rng(0).normal(size=(200, width)) * 1e9  # the clip is well inside
    usual = UsualRange.of(rows)
    assert usual is not None
    (tmp_path / "b").mkdir()
    write_bundle(tmp_path / "b", dataclasses.replace(bundle, ranges={"video": usual}), card="")
    assert predict.predict(tmp_path / "b", [corpus / "clips" / "00.mp4"])["utterances"][0]["far_outside"] == []


def test_ranges_are_held_to_their_digest(corpus: Path, tmp_path: Path) -> None:
    place = with_ranges(read_bundle(corpus / "bundle"), tmp_path / "b", {"video": 0.0})
    assert RANGES in json.loads((place / CONFIG).read_text())["files"]
    assert set(read_bundle(place).ranges) == {"video"}
    (place / RANGES).write_bytes((place / RANGES).read_bytes()[:-1] + b"\x01")
    with pytest.raises(CorruptError, match="changed or damaged"):
        read_bundle(place)
    (place / RANGES).unlink()
    with pytest.raises(CorruptError, match="is missing"):
        read_bundle(place)
