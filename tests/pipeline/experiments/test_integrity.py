"""Encoders that know the labels, random weights, rows far outside: every table, page and document says so."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from dualstream.heads.diagnosis.evidence import DiagnosisOptions
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline import experiments
from dualstream.pipeline.cache import Cache, write_cache
from dualstream.pipeline.cache.model import StoredProjection
from dualstream.pipeline.commands.compare import CompareOptions, compare
from dualstream.pipeline.commands.diagnose import DiagnoseOptions, diagnose
from dualstream.pipeline.commands.evaluate import evaluate
from dualstream.pipeline.commands.fit_head import FitHeadOptions, describe, fit_head
from dualstream.pipeline.commands.inspect import inspect
from dualstream.pipeline.commands.report import report
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.experiments import integrity, protocol
from dualstream.pipeline.experiments.ranges import RANGES, read_ranges
from dualstream.pipeline.experiments.training_data import corpus_of

from tests.heads.diagnosis.without_signs import without_signs
from tests.pipeline.planted_corpus import planted_cache

FIT = FitOptions(seeds=(0,), penalty=64.0, epochs=3)
SIZES = {"train": 300, "dev": 100, "test": 100}
PLAIN = FitHeadOptions(report=False)


def changed(cache: Cache, name: str, rows: np.ndarray | None = None, **spec: object) -> Cache:
    stream = cache.streams[name]
    stream = dataclasses.replace(
        stream,
        utterance=stream.utterance
        if rows is None
        else np.where(stream.present[:, None], rows, 0).astype(np.float32),
        spec={**stream.spec, **spec},
    )
    return dataclasses.replace(cache, streams={**cache.streams, name: stream})


def memorising(seed: int = 0) -> Cache:
    """Return a cache whose video is the last layer of a network trained on train's emotions, from noise."""
    import torch

    cache = planted_cache(sizes=SIZES, widths=(32, 4), speakers=60, seed=seed)
    torch.manual_seed(seed)
    noise = torch.from_numpy(np.random.default_rng(seed).normal(size=(500, 60)).astype(np.float32))
    encoder = torch.nn.Sequential(
        torch.nn.Linear(60, 64), torch.nn.ReLU(), torch.nn.Linear(64, 32), torch.nn.ReLU()
    )
    head = torch.nn.Linear(32, 3)
    steps = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], 2e-3)
    truth = torch.from_numpy(cache.utterances.emotion[:300].astype(np.int64))
    for _ in range(60):
        for index in torch.randperm(300).split(64):
            steps.zero_grad()
            torch.nn.functional.cross_entropy(head(encoder(noise[index])), truth[index]).backward()
            steps.step()
    with torch.no_grad():
        return changed(cache, "video", encoder(noise).numpy())


def written(tmp_path: Path, cache: Cache) -> Path:
    write_cache(tmp_path / "cache.h5", cache)
    return tmp_path / "cache.h5"


def knows(warnings: list[str]) -> list[str]:
    return [text for text in warnings if "knows the emotion labels of train" in text]


def test_every_command_names_an_encoder_that_knows_the_labels(tmp_path) -> None:
    path = written(tmp_path, memorising())
    run = fit_head(path, "linear", tmp_path / "run", fit=FIT)
    said = knows(run.metrics["warnings"])
    assert len(said) == 2 and all(text.startswith("video") for text in said)  # by dev's rows, and by test's
    found = {(one["split"], one["stream"], one["task"]): one for one in run.config["certainty"]}
    assert found["dev", "video", "emotion"]["memorised"] and not found["dev", "audio", "emotion"]["memorised"]
    assert found["test", "video", "emotion"]["other_accuracy"] is None  # no label of test is read
    assert "knows the emotion labels of train" in (tmp_path / "run" / "report.html").read_text()
    assert knows(evaluate(tmp_path / "run")["scores"]["warnings"]) == said
    table = compare(
        path, tmp_path / "cmp", fit=FIT, options=CompareOptions(fusions=("linear_video",), report=False)
    )
    assert knows(table["warnings"]) == said and table["certainty"]
    # a head that doesn't read the stream doesn't rest on it
    assert not knows(fit_head(path, "linear_audio", tmp_path / "a", fit=FIT, options=PLAIN).metrics["warnings"])


@pytest.mark.slow
def test_a_diagnosis_names_it_first(tmp_path) -> None:
    quick = DiagnosisOptions(
        folds=3, fit=FitOptions(seeds=(0,), epochs=3, threads=1), interventions=(), limits=False
    )
    options = DiagnoseOptions(diagnosis=quick)
    found = diagnose(written(tmp_path, memorising()), tmp_path / "d", options)
    assert found["causes"][0]["name"] == "memorised_labels"
    page = (tmp_path / "d" / "report.html").read_text()
    assert "An encoder was fitted on these labels" in page
    # without dev, rows of test tell it, and the document says that they were read
    cache = memorising()
    no_dev = [name.replace("dev", "test") for name in cache.utterances.split]
    cache = dataclasses.replace(cache, utterances=dataclasses.replace(cache.utterances, split=no_dev))
    write_cache(tmp_path / "two.h5", cache)
    found = diagnose(tmp_path / "two.h5", tmp_path / "d2", options)
    assert found["causes"][0]["name"] == "memorised_labels"
    assert "rows of test without their labels" in found["looked_at"]


def test_an_honest_cache_is_not_accused(tmp_path) -> None:
    for seed in range(5):
        corpus = corpus_of(planted_cache(sizes=SIZES, speakers=60, seed=seed))
        found = integrity.memorised(corpus, ("video", "audio"))
        assert found.certainty and not found.warnings
    assert integrity.memorised(corpus_of(planted_cache(sizes={"dev": 90})), ("video",)).certainty == ()


RANDOM = {"source": "random:7", "sha256": "a" * 64, "licence": "none: random numbers"}


def test_random_weights_are_named_wherever_numbers_rest_on_them(tmp_path) -> None:
    path = written(tmp_path, changed(planted_cache(), "video", weights=RANDOM))
    words = "the encoder of video (planted) has random weights (random:7)"
    run = fit_head(path, "linear", tmp_path / "run", fit=FIT)
    documents = {
        "fit-head": run.metrics["warnings"],
        "dry run": describe(path, "linear", tmp_path / "no", fit=FIT, options=PLAIN)["warnings"],
        "evaluate": evaluate(tmp_path / "run")["scores"]["warnings"],
        "compare": compare(path, tmp_path / "cmp", fit=FIT, options=CompareOptions(fusions=("linear",)))[
            "warnings"
        ],
        "inspect": inspect(path)["warnings"],
    }
    for name, warnings in documents.items():
        assert sum(text.startswith(words) for text in warnings) == 1, name
    for page in ("run", "cmp"):
        assert words in (tmp_path / page / "report.html").read_text()
    alone = fit_head(path, "linear_audio", tmp_path / "audio", fit=FIT, options=PLAIN)
    assert not any("random weights" in text for text in alone.metrics["warnings"])


def projected(cache: Cache, name: str, kind: str) -> Cache:
    stream = cache.streams[name]
    width = stream.utterance.shape[1]
    made_by = StoredProjection(
        kind, np.zeros(width, np.float32), np.eye(width, dtype=np.float32), {"split": "train"}
    )
    spec = {**stream.spec, "raw_width": width}
    return dataclasses.replace(
        cache, streams={**cache.streams, name: dataclasses.replace(stream, spec=spec, projection=made_by)}
    )


def test_principal_components_as_they_are_are_named_beside_every_score(tmp_path) -> None:
    path = written(tmp_path, projected(projected(planted_cache(), "video", "pca"), "audio", "pca-turned"))
    words = "stream video: principal components as they are, which heads that standardise whiten"
    run = fit_head(path, "linear", tmp_path / "run", fit=FIT)
    table = CompareOptions(fusions=("linear",))
    documents = {
        "fit-head": run.metrics["warnings"],
        "dry run": describe(path, "linear", tmp_path / "no", fit=FIT, options=PLAIN)["warnings"],
        "evaluate": evaluate(tmp_path / "run")["scores"]["warnings"],
        "compare": compare(path, tmp_path / "cmp", fit=FIT, options=table)["warnings"],
        "inspect": inspect(path)["warnings"],
    }
    for name, warnings in documents.items():
        (said,) = [text for text in warnings if "principal components" in text]
        assert said.startswith(words) and "`project CACHE --kind pca-turned` turns them" in said, name
    for page in ("run", "cmp"):
        assert words in (tmp_path / page / "report.html").read_text()
    # a head that doesn't read the stream has nothing to do with it, and a cache of its own columns neither
    alone = fit_head(path, "linear_audio", tmp_path / "audio", fit=FIT, options=PLAIN)
    assert not any("principal components" in text for text in alone.metrics["warnings"])
    plain = compare(
        written(tmp_path, planted_cache()),
        tmp_path / "two",
        fit=FIT,
        options=dataclasses.replace(table, report=False),
    )
    assert not any("principal components" in text for text in plain["warnings"])


def test_pages_of_runs_of_an_earlier_time_name_random_weights_too(tmp_path) -> None:
    path = written(tmp_path, changed(planted_cache(), "video", weights=RANDOM))
    fit_head(path, "linear", tmp_path / "run", fit=FIT, options=PLAIN)
    place = tmp_path / "run" / "metrics.json"
    metrics = json.loads(place.read_text())
    place.write_text(json.dumps({**metrics, "warnings": []}))
    report([tmp_path / "run"])
    assert "has random weights (random:7)" in (tmp_path / "run" / "report.html").read_text()


def test_weights_that_call_themselves_synthetic_are_named() -> None:
    said = integrity.random_weights(
        {"video": {"name": "cnn5", "weights": {"source": "file", "licence": "Synthetic"}}}
    )
    assert said[0].startswith("the encoder of video (cnn5) has synthetic weights (file)")
    assert integrity.random_weights({"video": {"weights": None}, "audio": {"weights": {"licence": "MIT"}}}) == []


def broken() -> Cache:
    """Return a cache with one video value of 1e25 in train, one in test, and two audio rows of zeros."""
    cache = planted_cache()
    video, audio = cache.streams["video"].utterance.copy(), cache.streams["audio"].utterance.copy()
    video[[17, 321], 3] = 1e25
    audio[[5, 250]] = 0
    return changed(changed(cache, "video", video, column_names=[f"f{k}" for k in range(6)]), "audio", audio)


def test_rows_far_outside_are_named_with_their_columns(tmp_path) -> None:
    path = written(tmp_path, broken())
    run = fit_head(path, "linear", tmp_path / "run", fit=FIT, options=PLAIN)
    far = "rows lie far outside of the other rows: train_0017 (f3 1e+25)"
    zeros = "rows are all zeros without being marked as missing: train_0005, dev_0010"
    table = compare(path, tmp_path / "cmp", fit=FIT, options=CompareOptions(fusions=("linear",), report=False))
    for warnings in (run.metrics["warnings"], table["warnings"]):
        assert any(text.startswith("video: 1 of ") and text.endswith(far) for text in warnings)
        assert any(text.startswith("audio: 2 of ") and text.endswith(zeros) for text in warnings)
    scored = evaluate(tmp_path / "run")
    assert [one["id"] for one in scored["outliers"]["video"]["far"]] == ["test_0001"]
    (said,) = [text for text in scored["scores"]["warnings"] if "far outside" in text]
    assert "scored rows lie far outside of the rows that the run was fitted on: test_0001 (f3 1e+25)" in said


def test_inspect_and_diagnose_name_rows_and_columns(tmp_path) -> None:
    path = written(tmp_path, broken())
    document = inspect(path)
    assert {one["id"]: one["columns"] for one in document["outliers"]["video"]["far"]} == {
        "train_0017": {"f3": pytest.approx(1e25)},
        "test_0001": {"f3": pytest.approx(1e25)},
    }
    assert document["outliers"]["audio"]["zeros"] == ["train_0005", "dev_0010"]
    assert any("train_0017 (f3 1e+25)" in text for text in document["warnings"])
    fit = FitOptions(seeds=(0,), epochs=3, threads=1)
    quick = DiagnosisOptions(folds=3, fit=fit, interventions=(), limits=False, measures=False)
    with without_signs():
        found = diagnose(path, tmp_path / "d", DiagnoseOptions(diagnosis=quick))
    assert "outlying_rows" in {cause["name"] for cause in found["causes"]}
    notes = found["evidence"]["notes"]
    assert any("train_0017 (f3 1e+25)" in text for text in notes) and not any(
        "test_0001" in text for text in notes
    )


def test_windows_far_outside_are_named_by_inspect(tmp_path) -> None:
    cache = planted_cache()
    stream = cache.streams["audio"]
    windows = stream.windows.copy()
    at = int(cache.offsets[9]) + 1
    assert at < cache.offsets[10] and stream.window_present[at]
    windows[at, 2] = 1e12
    stream = dataclasses.replace(stream, windows=windows)
    document = inspect(written(tmp_path, dataclasses.replace(cache, streams={**cache.streams, "audio": stream})))
    assert [one["id"] for one in document["outliers"]["audio windows"]["far"]] == ["train_0009 window 1"]
    assert document["outliers"]["audio"]["far"] == []


def test_another_cache_with_other_units_is_said_to_lie_far_outside(tmp_path) -> None:
    path = written(tmp_path, planted_cache())
    fit_head(path, "linear", tmp_path / "run", fit=FIT, options=PLAIN)
    assert not any("far outside" in text for text in evaluate(tmp_path / "run")["scores"]["warnings"])
    loud = changed(planted_cache(), "audio", planted_cache().streams["audio"].utterance * 100)
    write_cache(tmp_path / "loud.h5", loud)
    found = evaluate(tmp_path / "run", cache=tmp_path / "loud.h5")
    assert len(found["outliers"]["audio"]["far"]) > 70 and found["outliers"]["video"]["far"] == []


def test_a_run_without_ranges_still_works(tmp_path) -> None:
    path = written(tmp_path, broken())
    fit_head(path, "linear", tmp_path / "run", fit=FIT, options=PLAIN)
    (tmp_path / "run" / RANGES).unlink()
    found = evaluate(tmp_path / "run")
    assert found["outliers"] == {} and found["scores"]["tasks"]


def test_damaged_ranges_fail(tmp_path) -> None:
    fit_head(written(tmp_path, broken()), "linear", tmp_path / "run", fit=FIT, options=PLAIN)
    assert set(read_ranges(tmp_path / "run", {"video": 6, "audio": 4})) == {"video", "audio"}
    with pytest.raises(CorruptError, match=r"video has shape \(6,\); expected \(9,\)"):
        read_ranges(tmp_path / "run", {"video": 9})
    (tmp_path / "run" / RANGES).write_bytes(b"\x00" * 40)
    with pytest.raises(CorruptError, match="does not hold the ranges"):
        read_ranges(tmp_path / "run", {"video": 6})


def sessions() -> Cache:
    """Two speakers a session who share its dialogues."""
    cache = planted_cache()
    number = np.array([int(name.removeprefix("dia")) for name in cache.utterances.dialogue])
    speaker = [f"ses{n % 4}{'FM'[i % 2]}" for i, n in enumerate(number)]
    return dataclasses.replace(cache, utterances=dataclasses.replace(cache.utterances, speaker=speaker))


def test_what_stands_on_both_sides_of_folds_is_said(tmp_path) -> None:
    path = written(tmp_path, sessions())
    told = {}
    for folds in ("speaker", "speaker-only:3", "dialogue:4"):
        options = FitHeadOptions(folds=folds, report=False)
        run = fit_head(path, "linear_audio", tmp_path / folds.replace(":", "_"), fit=FIT, options=options)
        told[folds] = run, [text for text in run.metrics["warnings"] if "scored utterances are of" in text]
    run, said = told["speaker"]
    assert said == [] and (run.metrics["unit"], run.metrics["tasks"]["emotion"]["groups"]) == ("speaker group", 4)
    assert "4 folds by speaker, 4 groups of speakers who share dialogues, over 320" in run.config["protocol"]
    assert "dialogues that folds by speaker-only cut" in told["speaker-only:3"][1][0]
    assert told["speaker-only:3"][0].metrics["unit"] == "speaker"
    assert told["dialogue:4"][1][0].startswith("320 of 320 scored utterances are of 8 speakers")
    assert told["dialogue:4"][1][0].endswith("--folds speaker holds people out")


def test_runs_of_an_earlier_time_keep_their_folds(tmp_path) -> None:
    """Folds by speaker cut dialogues then: whatever makes them again must make the same ones."""
    assert protocol.stored_folds("speaker:3", whole_dialogues=False) == "speaker-only:3"
    assert protocol.stored_folds("speaker:3", whole_dialogues=True) == "speaker:3"
    assert protocol.stored_folds("dialogue:3", whole_dialogues=False) == "dialogue:3"
    assert protocol.stored_folds(None, whole_dialogues=False) is None
    options = FitHeadOptions(folds="speaker:4", report=False)
    run = fit_head(written(tmp_path, sessions()), "linear_audio", tmp_path / "run", fit=FIT, options=options)
    assert experiments.read_run(tmp_path / "run").config.stored_folds == run.config["folds"] == "speaker:4"
