"""hf: encoders through extract, compare's cache and predict: the same bytes however it is run, and refusals."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline.cache import read_cache
from dualstream.pipeline.commands import export, extract, fit_head, predict
from dualstream.pipeline.corpus.manifest import Manifest, read_manifest, write_manifest
from dualstream.pipeline.errors import FingerprintMismatchError, UsageError
from dualstream.pipeline.extraction.options import ExtractionOptions, RunOptions
from dualstream.pipeline.extraction.recipe import make_recipe
from dualstream.pipeline.extraction.shards import read_shard

from tests.features.encoders.hf_models import change_json, save_sound
from tests.features.encoders.test_expression import write as write_raw
from tests.pipeline.commands.test_predict import stored
from tests.pipeline.spoken_corpus import CLIPS, fit, make_clips


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("spoken")
    make_clips(root)
    save_sound(root / "whisper", "whisper")
    save_sound(root / "wavlm", "wavlm")
    return root


def options_for(corpus: Path, *audio: str, **changes: Any) -> ExtractionOptions:
    return ExtractionOptions(
        video=("none",), audio=tuple(f"hf:{corpus}/{one}" for one in audio), device="cpu", **changes
    )


def run(corpus: Path, out: Path, options: ExtractionOptions, manifest: str = "manifest.csv", **how: Any) -> Path:
    extract.extract(corpus / manifest, root=corpus, out=out, options=options, run=RunOptions(**how))
    return out


def rows_by_id(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all rows in the shards of a cache, by utterance."""
    found = {}
    for path in sorted(folder.glob("*/shard-*.h5")) or sorted(folder.glob("*/shard-*")):
        if path.suffix != ".json":
            for clip in read_shard(path).clips:
                found[clip.id] = b"".join(
                    one.utterance.tobytes() + one.windows.tobytes() for _, one in sorted(clip.streams.items())
                )
    return found


def test_workers_and_order_change_no_byte(corpus: Path, tmp_path: Path) -> None:
    options = options_for(corpus, "whisper@all", "wavlm")
    caches = [run(corpus, tmp_path / f"{n}.h5", options, workers=n) for n in (1, 2, 4)]
    assert len({path.read_bytes() for path in caches}) == 1
    cache = read_cache(caches[0])
    assert set(cache.streams) == {"audio", "audio.wavlm"}
    assert cache.streams["audio"].utterance.shape[1] == 5 * 24 and cache.streams["audio"].projection is None
    rows = list(read_manifest(corpus / "manifest.csv").utterances)
    random.Random(3).shuffle(rows)
    write_manifest(Manifest(tuple(rows)), corpus / "shuffled.csv")
    run(corpus, tmp_path / "shuffled.h5", options, "shuffled.csv", workers=2, shard_size=5)
    expected, found = (rows_by_id(tmp_path / f"{name}.h5.shards") for name in ("1", "shuffled"))
    assert len(expected) == len(rows) and found == expected


def test_scrambled_sound_is_another_recipe(corpus: Path, tmp_path: Path) -> None:
    plain = make_recipe(options_for(corpus, "wavlm"))
    scrambled = [make_recipe(options_for(corpus, "wavlm", scramble=s)) for s in (0.2, 0.3)]
    assert len({plain.fingerprint, *(one.fingerprint for one in scrambled)}) == 3
    assert "scramble_s" not in plain.document and scrambled[0].document["scramble_s"] == 0.2
    beside = run(corpus, tmp_path / "a.h5", options_for(corpus, "wavlm"))
    shutil.copytree(tmp_path / "a.h5.shards", tmp_path / "b.h5.shards")  # rows that must not be taken over
    other = run(corpus, tmp_path / "b.h5", options_for(corpus, "wavlm", scramble=0.2))
    first, second = (read_cache(path).streams["audio"] for path in (beside, other))
    assert np.array_equal(first.present, second.present)
    differs = (first.utterance != second.utterance).any(axis=1)
    assert np.array_equal(differs, first.present)


def test_context_shapes_the_rows(corpus: Path) -> None:
    prints = {make_recipe(options_for(corpus, "wavlm", context=one)).fingerprint for one in ("clip", "window")}
    assert len(prints) == 2


def test_the_note_does_not_outlive_the_folder(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus / "wavlm", tmp_path / "wavlm")
    options, memo = options_for(tmp_path, "wavlm@2"), tmp_path / "memo.json"
    first = make_recipe(options, memo=memo)
    assert make_recipe(options, memo=memo).fingerprint == first.fingerprint
    change_json(tmp_path / "wavlm" / "preprocessor_config.json", do_normalize=False)
    assert make_recipe(options, memo=memo).fingerprint != first.fingerprint


def test_versions_of_transformers_are_noted_where_it_shapes_rows(corpus: Path) -> None:
    hf = make_recipe(options_for(corpus, "wavlm")).environment["packages"]
    other = make_recipe(ExtractionOptions(video=("none",), audio=("acoustic",))).environment["packages"]
    assert "transformers" in hf and "transformers" not in other


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"audio": ("acoustic",), "context": "window"},
            r"--context window is for audio encoders that hear the whole",
        ),
        (
            {"audio": ("none",), "video": ("cnn5",), "video_weights": ("random:0",), "scramble": 0.2},
            "none is read",
        ),
        ({"audio": ("table:rows.csv",), "scramble": 0.2}, "none is read for --audio table:rows.csv"),
        ({"audio": ("hf:nowhere",)}, "there is no such folder"),
        ({"audio": ("hf:",)}, "names no folder"),
        ({"audio_weights": ("random:0",)}, "0 audio encoders take weights"),
        ({"scramble": 0.0}, "scramble"),
    ],
)
def test_options_that_do_not_fit_fail(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("id,x\nc00,1\n")
    with pytest.raises(UsageError, match=says):
        make_recipe(replace(options_for(corpus, "wavlm"), **changes))


@pytest.mark.parametrize("changes", [{}, {"context": "window"}])
def test_a_bundle_takes_the_folder_and_gives_the_runs_own_probabilities(
    corpus: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    cache = run(corpus, tmp_path / "cache.h5", options_for(corpus, "whisper@1-2", **changes))
    fit(cache, "linear_audio", tmp_path / "run")
    done = export.export(tmp_path / "run", tmp_path / "bundle")
    assert [one["encoder"] for one in done["needs_weights"]] == ["hf:whisper@1-2"]
    moved = shutil.copytree(corpus / "whisper", tmp_path / "moved")
    expected = stored(tmp_path / "run")
    for weights in (moved, moved / "model.safetensors"):
        options = predict.PredictOptions(weights=(weights,))
        found = predict.predict(tmp_path / "bundle", [corpus / "manifest.csv"], options=options)
        by_id = {one["name"]: one for one in found["utterances"]}
        silent = {name for name, one in by_id.items() if "emotion" not in one}
        assert silent == {f"c{CLIPS - 1:02d}"}
        for (model, name), tasks in expected.items():
            for task, values in ({} if name in silent else tasks).items():
                for label, p in values.items():
                    assert abs(by_id[name][task]["seeds"][model][label] - p) <= 1e-5
    with pytest.raises(UsageError, match="name the model's folder: --weights FOLDER"):
        predict.predict(tmp_path / "bundle", [corpus / "manifest.csv"])
    wrong = predict.PredictOptions(weights=(corpus / "wavlm",))
    with pytest.raises(FingerprintMismatchError, match="has other weights than those that were named"):
        predict.predict(tmp_path / "bundle", [corpus / "manifest.csv"], options=wrong)
    change_json(moved / "preprocessor_config.json", note="other")
    with pytest.raises(FingerprintMismatchError, match="is not the bundle's"):
        predict.predict(
            tmp_path / "bundle", [corpus / "manifest.csv"], options=predict.PredictOptions(weights=(moved,))
        )
    named = (corpus / "whisper" / "model.safetensors",)
    with pytest.raises(UsageError, match="needs its whole folder"):
        export.export(tmp_path / "run", tmp_path / "other", options=export.ExportOptions(with_weights=named))


def test_a_bundle_of_weighed_layers_gives_the_runs_own_probabilities(corpus: Path, tmp_path: Path) -> None:
    cache = run(corpus, tmp_path / "cache.h5", options_for(corpus, "whisper@all"))
    how = FitOptions(seeds=(0, 1), epochs=3, threads=1, layers="learned")
    fit_head.fit_head(cache, "audio", tmp_path / "run", fit=how, options=fit_head.FitHeadOptions(report=False))
    export.export(tmp_path / "run", tmp_path / "bundle")
    options = predict.PredictOptions(weights=(corpus / "whisper",))
    found = predict.predict(tmp_path / "bundle", [corpus / "manifest.csv"], options=options)
    by_id = {one["name"]: one for one in found["utterances"]}
    compared = 0
    for (model, name), tasks in stored(tmp_path / "run").items():
        for task, values in ({} if "emotion" not in by_id[name] else tasks).items():
            for label, p in values.items():
                assert abs(by_id[name][task]["seeds"][model][label] - p) <= 1e-5
                compared += 1
    assert compared


def test_raw_weights_go_the_whole_way(corpus: Path, tmp_path: Path) -> None:
    """Two files are one set of weights: the numbers change beside the manifest, and predict takes either of them."""
    write_raw(tmp_path, name="mine")
    manifest, numbers = tmp_path / "mine-weights_manifest.json", tmp_path / "mine.bin"
    options = ExtractionOptions(
        video=("expression",), video_weights=(str(manifest),), audio=("none",), device="cpu", threads=1
    )
    memo = tmp_path / "memo.json"
    before = make_recipe(options, memo=memo)
    cache = run(corpus, tmp_path / "cache.h5", options, projection="none")
    fit(cache, "linear_video", tmp_path / "run")
    export.export(tmp_path / "run", tmp_path / "bundle")
    expected = stored(tmp_path / "run")
    for weights in (manifest, numbers):
        how = predict.PredictOptions(weights=(weights,))
        found = predict.predict(tmp_path / "bundle", [corpus / "manifest.csv"], options=how)
        by_id = {one["name"]: one for one in found["utterances"]}
        for (model, name), tasks in expected.items():
            for label, p in tasks["emotion"].items():
                assert abs(by_id[name]["emotion"]["seeds"][model][label] - p) <= 1e-5
    write_raw(tmp_path, name="mine", seed=1)
    assert make_recipe(options, memo=memo).fingerprint != before.fingerprint
    how = predict.PredictOptions(weights=(manifest,))
    with pytest.raises(FingerprintMismatchError, match="has other weights than those that were named"):
        predict.predict(tmp_path / "bundle", [corpus / "manifest.csv"], options=how)


def test_the_cache_names_no_path_of_the_machine(corpus: Path, tmp_path: Path) -> None:
    cache = read_cache(run(corpus, tmp_path / "cache.h5", options_for(corpus, "wavlm")))
    assert str(corpus) not in json.dumps(cache.provenance)
