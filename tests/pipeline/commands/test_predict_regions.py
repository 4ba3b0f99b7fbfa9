"""predict from a bundle over faces takes the same way as extract did: the run's own clips get the run's answers."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.faces import embedding
from dualstream.features.faces.detection import REGISTRY, DetectorEntry
from dualstream.features.media import write_clip
from dualstream.pipeline.commands import export, extract, predict
from dualstream.pipeline.commands.extract import RunOptions
from dualstream.pipeline.corpus.manifest import Manifest, write_manifest
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.extraction.recipe import ExtractionOptions

from tests.features.planted_faces import AUDIO_HZ, ColourDetector, Drawn, bursts, image, rest, voice
from tests.pipeline.spoken_corpus import fit

CLIPS, SECONDS = 8, 2


@pytest.fixture(autouse=True)
def colour_detector() -> Iterator[None]:
    """Register the detector of colours."""
    REGISTRY.names()
    REGISTRY.add("colour", DetectorEntry("colour", ColourDetector, weights=True), __name__)
    yield
    del REGISTRY._entries["colour"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Fit a run on two faces, one of which talks."""
    return made(tmp_path)


def made(tmp_path: Path, **more: Any) -> Path:
    """Two faces, of which the red one talks in half of the clips: its emotion is joy, the other's anger."""
    rows = []
    for number in range(CLIPS):
        said, talks = bursts(number, SECONDS), number % 2
        mouths = [said, rest] if talks == 0 else [rest, said]
        faces = [Drawn(0, 10, mouths[0]), Drawn(1, 110, mouths[1])]
        frames = np.stack([image(faces, at / 25, seed=number) for at in range(SECONDS * 25)])
        write_clip(tmp_path / f"{number}.mp4", frames, 25, voice(said, SECONDS), AUDIO_HZ)
        emotion, sentiment = (("joy", "positive"), ("anger", "negative"))[talks]
        split = "train" if number < 6 else "dev"
        rows.append(
            Utterance(
                f"c{number}",
                f"{number}.mp4",
                split,
                speaker=f"s{talks}",
                emotion=emotion,
                sentiment=sentiment,
                dialogue=f"d{number}",
            )
        )
    write_manifest(Manifest(tuple(rows)), tmp_path / "manifest.csv")
    (tmp_path / "colours.bin").write_bytes(b"red, green, blue")
    options = ExtractionOptions(
        video=("cnn5",),
        video_weights=("random:0",),
        device="cpu",
        threads=1,
        region=("speaker", "frame"),
        face_detector="colour",
        face_weights=tmp_path / "colours.bin",
        **more,
    )
    extract.extract(
        tmp_path / "manifest.csv",
        root=tmp_path,
        out=tmp_path / "cache.h5",
        options=options,
        run=RunOptions(workers=1),
    )
    return fit(tmp_path / "cache.h5", "linear", tmp_path / "run")


@pytest.mark.slow
def test_a_bundle_over_faces_gives_the_runs_answers(run: Path, tmp_path: Path) -> None:
    export.export(run, tmp_path / "bundle")
    found = predict.predict(
        tmp_path / "bundle",
        [tmp_path / "manifest.csv"],
        predict.PredictOptions(page=tmp_path / "page.html", weights=(tmp_path / "colours.bin",)),
    )
    answers = {one["name"]: one for one in found.to_json()["utterances"]}
    with next(run.glob("predictions_*.csv")).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["id"] for row in rows} == {"c6", "c7"}
    for row in rows:
        for label in ("joy", "anger"):
            expected = float(np.exp(float(row[f"emotion_logp:{label}"])))
            assert answers[row["id"]]["emotion"]["seeds"][row["model"]][label] == pytest.approx(expected, abs=1e-5)
    assert (tmp_path / "page.html").read_text().count("data:image/jpeg") >= CLIPS
    with pytest.raises(UsageError, match="weights of its detector colour"):
        predict.predict(tmp_path / "bundle", [tmp_path / "0.mp4"])
    (tmp_path / "other.bin").write_bytes(b"cyan")
    with pytest.raises(UsageError, match="weights of its detector colour"):
        predict.predict(
            tmp_path / "bundle", [tmp_path / "0.mp4"], predict.PredictOptions(weights=(tmp_path / "other.bin",))
        )


class MeanColour:
    """Keeps the FaceEmbedder protocol: a person is a colour."""

    name = "colour"
    align = embedding.AlignSpec(16, (0.5, 0.4), (0.5, 0.7))
    same_person = 0.9

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "version": 1, "same_person": self.same_person}

    def embed(self, faces: Any) -> Any:
        return faces.mean(axis=(1, 2)).astype(np.float32)


@pytest.mark.slow
def test_a_bundle_that_speaker_names_were_used_for_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedder is not needed any more: there are no names, so nobody is told apart."""
    embedding.REGISTRY.names()
    entry = embedding.EmbedderEntry("colour", lambda weights: MeanColour(), weights=False)
    monkeypatch.setitem(embedding.REGISTRY._entries, "colour", (entry, __name__))
    run = made(tmp_path, identity=True, identity_embedder="colour")
    export.export(run, tmp_path / "bundle")
    monkeypatch.delitem(embedding.REGISTRY._entries, "colour")
    found = predict.predict(
        tmp_path / "bundle",
        [tmp_path / "0.mp4"],
        predict.PredictOptions(page=tmp_path / "page.html", weights=(tmp_path / "colours.bin",)),
    ).to_json()
    assert any("uses speaker names" in note for note in found["notes"])
    assert found["utterances"][0]["status"] == "ok"
    page = (tmp_path / "page.html").read_text()
    assert "A green box is the crop that the encoder saw" in page and "by margin" in page
