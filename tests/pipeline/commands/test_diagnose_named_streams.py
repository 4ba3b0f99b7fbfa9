"""diagnose: two streams of other names than video and audio are measured alike, under their own names."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from dualstream.heads.diagnosis import diagnose as diagnose_features
from dualstream.heads.diagnosis.evidence import DiagnosisOptions
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline.cache import Cache, write_cache
from dualstream.pipeline.commands.diagnose import DiagnoseOptions, diagnose
from planted_causes import PlantOptions, plant

from tests.heads.many_streams import corpus
from tests.pipeline.planted_corpus import planted_cache

QUICK = DiagnosisOptions(
    fusion="linear",
    folds=3,
    fit=FitOptions(seeds=(0,), threads=1),
    interventions=("standardise",),
    measures=False,
    limits=False,
)
CALLED = {"video": "face", "audio": "whisper"}


def named(cache: Cache) -> Cache:
    streams = {new: dataclasses.replace(cache.streams[old], name=new) for old, new in CALLED.items()}
    return dataclasses.replace(cache, streams=streams)


def diagnosed(folder: Path, cache: Cache, **options: Any) -> dict[str, Any]:
    folder.mkdir()
    write_cache(folder / "cache.h5", cache)
    diagnose(folder / "cache.h5", folder / "out", DiagnoseOptions(diagnosis=QUICK, **options))
    return json.loads((folder / "out" / "diagnosis.json").read_text())


def test_other_names_are_measured_as_video_and_audio_are(tmp_path: Path) -> None:
    cache = planted_cache(sizes={"train": 120, "dev": 40})
    plain = diagnosed(tmp_path / "plain", cache)["evidence"]
    other = diagnosed(tmp_path / "named", named(cache), streams={"face": "face", "whisper": "whisper"})
    found = other["evidence"]
    for old, new in CALLED.items():
        for part in ("scores", "coverage"):
            there, expected = found[part][new], plain[part][old]
            assert {**there, "stream": ""} == {**expected, "stream": ""}
        assert found["strength"][new] == plain["strength"][old]
        assert found["strength"][f"shapley_{new}"] == plain["strength"][f"shapley_{old}"]
        assert found["complement"][f"only_{new}"] == plain["complement"][f"only_{old}"]
    assert found["best_single"] == CALLED[plain["best_single"]]
    said = json.dumps({key: other[key] for key in ("causes", "evidence")})
    assert "video" not in said and "audio" not in said
    page = (tmp_path / "named" / "out" / "report.html").read_text()
    assert "<dt>face alone</dt>" in page and "right by face alone" in page and "video alone" not in page


@pytest.mark.slow
def test_of_other_names_the_late_one_is_named() -> None:
    train, dev = plant(PlantOptions(("misaligned",), seed=3))
    parts = [
        dataclasses.replace(part, streams={new: part.streams[old] for old, new in CALLED.items()})
        for part in (train, dev)
    ]
    known = next(cause for cause in diagnose_features(train, dev, QUICK).causes if cause.name == "misaligned")
    told = next(cause for cause in diagnose_features(*parts, QUICK).causes if cause.name == "misaligned")
    assert "with whisper" in told.text and "against face" in told.text and "shift whisper by" in told.advice
    assert told.text.replace("whisper", "audio").replace("face", "video") == known.text


def test_six_streams_fail() -> None:
    features = corpus("each", 0, 120)
    many = {f"s{k}": features.streams["face"] for k in range(6)}
    with pytest.raises(ValueError, match=r"6 streams .* have 63 combinations.*--streams s0,s1,s2,s3,s4"):
        diagnose_features(dataclasses.replace(features, streams=many), None, QUICK)


def test_a_stream_called_as_a_score_is_fails() -> None:
    features = corpus("each", 0, 120)
    streams = {"fused": features.streams["face"], "voice": features.streams["acoustic"]}
    with pytest.raises(ValueError, match=r"a stream is called 'fused'.*give it another name"):
        diagnose_features(dataclasses.replace(features, streams=streams), None, QUICK)


def test_a_variant_that_joins_two_of_three_fails() -> None:
    options = dataclasses.replace(QUICK, fusion="linear:whisper+face")
    with pytest.raises(ValueError, match=r"linear:whisper\+face reads whisper, face; .*--streams whisper,face"):
        diagnose_features(corpus("each", 0, 120), None, options)
