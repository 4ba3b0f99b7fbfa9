"""--speaker-alone: a face alone in its shot that does not follow the voice is masked, or taken by its speaker's name."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.faces.region import make_method, method_as_stated
from dualstream.features.faces.rows import ALONE, BY_IDENTITY, UNDECIDED
from dualstream.features.media import write_clip
from dualstream.features.options import FaceOptions
from dualstream.pipeline.cache import Cache, read_cache
from dualstream.pipeline.commands.extract import extract
from dualstream.pipeline.corpus.manifest import Manifest, write_manifest
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import FingerprintMismatchError
from dualstream.pipeline.extraction.recipe import ExtractionOptions, make_recipe
from dualstream.pipeline.extraction.request import RunOptions

from tests.features.planted_faces import AUDIO_HZ, Drawn, bursts, image, rest, voice
from tests.pipeline.colours import build, colours_known

SECONDS, LEAST = 2, 0.05  # of sync's scores: a mouth that follows the voice has 0.2 and more, one at rest 0
RED, GREEN = range(2)
ROWS = [
    *(("red talks", "anna", "train") for _ in range(5)),
    *(("green talks", "bela", "train") for _ in range(5)),
    ("red listens", "bela", "dev"),
    ("red listens", "anna", "dev"),
    ("silent", "anna", "dev"),
]


@pytest.fixture(autouse=True, scope="module")
def colours() -> Iterator[None]:
    """Register a detector and an embedder of colours."""
    with colours_known():
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write clips of one face each, and their manifest."""
    root = tmp_path_factory.mktemp("clips")
    said = bursts(11, SECONDS)
    heard = voice(said, SECONDS)
    clips = {
        "red talks": (Drawn(RED, 10, said), heard),
        "green talks": (Drawn(GREEN, 60, said), heard),
        "red listens": (Drawn(RED, 10, rest), heard),
        "silent": (Drawn(RED, 10, rest), np.zeros_like(heard)),
    }
    for name, (face, sound) in clips.items():
        frames = np.stack([image([face], number / 25) for number in range(SECONDS * 25)])
        write_clip(root / f"{name}.mp4", frames, 25, sound[: -AUDIO_HZ // 10], AUDIO_HZ)
    rows = [
        Utterance(f"u{number:02d}", f"{clip}.mp4", split, speaker=name, emotion="joy")
        for number, (clip, name, split) in enumerate(ROWS)
    ]
    write_manifest(Manifest(tuple(rows)), root / "all.csv")
    write_manifest(Manifest((rows[0], rows[-3], rows[-1])), root / "few.csv")
    return root


def run(manifest: Path, out: Path, **more: Any) -> Cache:
    extract(
        manifest,
        root=manifest.parent,
        out=out,
        options=ExtractionOptions(
            video=("vgg16",), audio=("none",), device="cpu", region=("speaker",), face_detector="colour", **more
        ),
        run=RunOptions(workers=2, shard_size=5, projection="none"),
        build_recipe=partial(make_recipe, build_encoder=build),
    )
    return read_cache(out)


def states(cache: Cache) -> list[set[int]]:
    """Return the states of each utterance's windows."""
    stream = cache.streams["video"]
    assert stream.faces is not None and stream.window_present is not None
    shown = np.isin(stream.faces.state, (ALONE, BY_IDENTITY))
    np.testing.assert_array_equal(stream.window_present, shown)  # what is undecided is masked
    spans = zip(cache.offsets, cache.offsets[1:], strict=False)
    return [set(stream.faces.state[int(first) : int(end)].tolist()) for first, end in spans]


def test_who_listens_is_masked_and_who_talks_is_not(root: Path, tmp_path: Path) -> None:
    manifest = root / "few.csv"
    assert states(run(manifest, tmp_path / "plain.h5")) == [{ALONE}] * 3
    bounded = run(manifest, tmp_path / "c.h5", speaker_alone=LEAST)
    assert states(bounded) == [{ALONE}, {UNDECIDED}, {ALONE}]  # where nothing is heard it is taken
    faces = bounded.streams["video"].faces
    assert faces is not None
    listening = slice(int(bounded.offsets[1]), int(bounded.offsets[2]))
    assert (faces.score[listening] < LEAST).all() and (faces.track[listening] == -1).all()
    assert (faces.in_view[listening] == 1).all()
    with pytest.raises(FingerprintMismatchError, match="least_alone"):
        run(manifest, tmp_path / "c.h5")


def test_a_speaker_who_listens_is_taken_by_name(root: Path, tmp_path: Path) -> None:
    """The red one is anna: shown in her own utterance, not in that of bela."""
    named = run(
        root / "all.csv", tmp_path / "c.h5", speaker_alone=LEAST, identity=True, identity_embedder="colour"
    )
    assert named.provenance["identity"]["tied"] == {"anna": 1, "bela": 1}
    assert states(named)[10:12] == [{UNDECIDED}, {BY_IDENTITY}]


def test_it_travels_and_is_stated_for_predict() -> None:
    options = FaceOptions(region=("speaker",), face_detector="colour", speaker_alone=-1.5)
    method = make_method(options)
    assert method is not None
    stated = method.to_json("speaker")
    assert stated["least_alone"] == -1.5
    assert method_as_stated(stated, {}).alone == pickle.loads(pickle.dumps(method)).alone == -1.5
    plain = make_method(FaceOptions(region=("speaker",), face_detector="colour"))
    assert plain is not None and "least_alone" not in plain.to_json("speaker")
