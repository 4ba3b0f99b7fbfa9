"""extract as a function, and a bundle that stays loaded: what the commands say, from one reading of the weights."""

import shutil

import numpy as np
import pytest
from dualstream.features import encoder as encoders
from dualstream.pipeline.commands import export, predict
from dualstream.pipeline.errors import NoCacheError, UsageError

import dualstream
from dualstream.predictor import ClipPrediction
from tests.pipeline.spoken_corpus import CLIPS, make_clips


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("face")
    make_clips(root)
    made = dualstream.extract(
        str(root / "manifest.csv"),
        root / "cache.h5",
        root=root,
        video="cnn5",
        video_weights="random:0",
        device="cpu",
        threads=1,
        workers=1,
    )
    assert (
        repr(made)
        == f"ExtractionResult({CLIPS} utterances, 0 failed, audio 192, video 100, '{root / 'cache.h5'}')"
    )
    dualstream.fit_head(root / "cache.h5", "linear", root / "run", seeds=[0], report=False)
    export.export(root / "run", root / "bundle")
    return root


def test_extract_continues_and_prints_nothing(corpus, capfd):
    before = (corpus / "cache.h5").read_bytes()
    again = dualstream.extract(
        corpus / "manifest.csv", corpus / "cache.h5", root=corpus, video="cnn5", video_weights="random:0",
        device="cpu", threads=1, workers=1,
    )  # fmt: skip
    assert (again["made"], again["kept"]) == (0, CLIPS)
    assert (corpus / "cache.h5").read_bytes() == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "fp16"}, "precision is 'fp16'; expected one of: fp32, bf16"),
        ({"executor": "slurm"}, "executor is 'slurm'; expected one of: local, ray"),
        ({"projection": "umap"}, "projection is 'umap'; expected one of"),
        ({"fit": "zoom"}, "fit is 'zoom'; expected one of"),
    ],
)
def test_extract_fails_on_values_that_there_are_not(corpus, options, words):
    with pytest.raises(UsageError, match=words):
        dualstream.extract(corpus / "manifest.csv", corpus / "no.h5", root=corpus, **options)
    assert not list(corpus.glob("no.h5*"))


def test_a_predictor_says_what_the_command_says_and_builds_encoders_once(corpus, monkeypatch, capfd):
    built = []
    build = encoders.build
    for module in ("dualstream.pipeline.bundles.inference",):
        monkeypatch.setattr(f"{module}.build", lambda *words: built.append(words[1]) or build(*words))
    predictor = dualstream.Predictor(str(corpus / "bundle"))
    clips = sorted((corpus / "clips").glob("*.mp4"))
    one = predictor.predict(clips[0])
    every = predictor.predict([str(clip) for clip in clips])
    assert sorted(built) == ["acoustic", "cnn5"]
    assert len(one) == 1 and len(every) == CLIPS
    assert capfd.readouterr() == ("", "")
    expected = predict.predict(corpus / "bundle", clips)["utterances"]
    for mine, theirs in zip(every, expected, strict=True):
        assert mine.answered and mine.name == theirs["name"]
        assert (mine.emotion, mine.sentiment) == (theirs["emotion"]["answer"], theirs["sentiment"]["answer"])
        assert mine.probabilities["emotion"] == theirs["emotion"]["probabilities"]
        assert sum(mine.probabilities["sentiment"].values()) == pytest.approx(1)
        assert f"{mine.emotion} {max(mine.probabilities['emotion'].values()):.2f}" in repr(mine)
    for label, p in one[0].probabilities["emotion"].items():
        assert every[0].probabilities["emotion"][label] == pytest.approx(p, abs=1e-5)
    assert repr(predictor) == (
        "Predictor(linear, video=cnn5, audio=acoustic, 2 emotion classes, 2 sentiment classes, 1 model)"
    )
    assert predictor.variant == "linear" and set(predictor.vocabulary) == {"emotion", "sentiment"}
    assert any("random" in warning for warning in predictor.warnings)


def test_what_cannot_be_predicted_has_its_reason(corpus, tmp_path):
    good = shutil.copy(corpus / "clips" / "00.mp4", tmp_path)
    (tmp_path / "broken.mp4").write_bytes(b"no clip")
    found = dualstream.Predictor(corpus / "bundle").predict([tmp_path / "broken.mp4", good, tmp_path / "gone.mp4"])
    assert [one.answered for one in found] == [False, True, False]
    for one in (found[0], found[2]):
        assert (one.emotion, one.sentiment, one.probabilities) == (None, None, {})
        assert one.reason and one.reason in repr(one)
    assert isinstance(found[1], ClipPrediction)


def test_manifests_and_segments(corpus):
    predictor = dualstream.Predictor(corpus / "bundle")
    by_manifest = predictor.predict(corpus / "manifest.csv")
    assert [one.name for one in by_manifest] == [f"c{k:02d}" for k in range(CLIPS)]
    cut = predictor.predict(corpus / "clips" / "00.mp4", segments=0.8)
    assert [(one.start_s, one.end_s) for one in cut[:1]] == [(0.0, pytest.approx(0.8))] and len(cut) >= 2
    assert np.isclose(cut[1].start_s, 0.8)


def test_a_predictor_fails_by_what_is_wrong(corpus, tmp_path):
    with pytest.raises(NoCacheError, match="there is no bundle"):
        dualstream.Predictor(tmp_path / "nothing")
    predictor = dualstream.Predictor(corpus / "bundle")
    with pytest.raises(UsageError, match="there is no file"):
        predictor.predict([])
    with pytest.raises(ValueError, match="workers is 0; expected 1 or more"):
        predictor.predict(corpus / "clips", workers=0)
