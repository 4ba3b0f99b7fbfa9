"""extract --part of faces in clips of a store that fails now and then, killed and repeated: the bytes of a plain run."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.media import write_clip
from dualstream.pipeline.commands.extract import extract
from dualstream.pipeline.corpus import remote_root
from dualstream.pipeline.corpus.manifest import Manifest, write_manifest
from dualstream.pipeline.corpus.remote_root import RemoteRoot
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.extraction.recipe import ExtractionOptions, make_recipe
from dualstream.pipeline.extraction.request import ExtractReport, RunOptions

from tests.features.planted_faces import AUDIO_HZ, Drawn, bursts, image, voice
from tests.pipeline.colours import build, colours_known
from tests.pipeline.faulty_store import PASSING, Store, a_folder, registered
from tests.pipeline.killed import die, in_child, wrapped

CLIPS, SECONDS = 8, 0.6


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Clips of one face in three places, and one that is not there."""
    root = tmp_path / "clips"
    root.mkdir()
    said = bursts(11, 1)
    for number in range(3):
        frames = np.stack([image([Drawn(number, 50 * number, said)], at / 12) for at in range(int(12 * SECONDS))])
        write_clip(root / f"drawn{number}.mp4", frames, 12, voice(said, SECONDS), AUDIO_HZ)
    for number in range(CLIPS):
        (root / f"clip{number}.mp4").write_bytes((root / f"drawn{number % 3}.mp4").read_bytes())
    rows = [Utterance(f"u{number}", f"clip{number}.mp4", "train") for number in range(CLIPS)]
    write_manifest(Manifest([*rows, Utterance("gone", "gone.mp4", "train")]), root / "m.csv")
    return root


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(remote_root, "PAUSE_S", 0.001)
    with colours_known(), registered(monkeypatch) as made:
        yield made


def run(corpus: Path, out: Path, root: Any, part: str = "") -> ExtractReport:
    options = ExtractionOptions(video=("vgg16",), audio=("none",), region=("face",), face_detector="colour")
    how = RunOptions(workers=1, shard_size=1, **({"part": part} if part else {"projection": "none"}))
    recipe = partial(make_recipe, build_encoder=build)
    return extract(corpus / "m.csv", root=root, out=out, options=options, run=how, build_recipe=recipe)


@pytest.mark.skipif(sys.platform == "win32", reason="runs are forked and killed")
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_parts_of_a_store_that_fails_killed_and_repeated(
    corpus: Path, store: Store, tmp_path: Path, seed: int
) -> None:
    chance, out = random.Random(seed), tmp_path / "out" / "cache.h5"
    run(corpus, tmp_path / "plain" / "cache.h5", corpus)
    for number in range(CLIPS):
        store.put(f"clips/clip{number}.mp4", (corpus / f"clip{number}.mp4").read_bytes())
    failing = [one for one in PASSING if not one.__name__.startswith("changed")] + [a_folder]
    parts = [f"{number}/{count}" for count in (1, 3, 7) for number in range(1, count + 1)]
    chance.shuffle(parts)
    for part in [*parts[:5], parts[0]]:
        for number in range(CLIPS):  # some of them fail so often that they are records of this part
            name = f"clips/clip{number}.mp4"
            store.faults[name] = [chance.choice(failing) for _ in range(chance.choice((0, 0, 1, 2, 3)))]
            store.silent[name] = chance.choice((0, 0, 1, 2))

        def killed(part: str = part) -> None:
            wrapped(chance.randrange(30), die)
            run(corpus, out, RemoteRoot("faulty://clips"), part)

        assert in_child(killed) in (0, -signal.SIGKILL)
        assert {one.id for one in run(corpus, out, RemoteRoot("faulty://clips"), part).failed} >= (
            {"gone"} if part == "1/1" else set()
        )
    store.faults.clear()
    store.silent.clear()
    assert [one.id for one in run(corpus, out, RemoteRoot("faulty://clips")).failed] == ["gone"]
    assert out.read_bytes() == (tmp_path / "plain" / "cache.h5").read_bytes()
    assert not list(out.parent.rglob("*.tmp"))
    assert not list((tmp_path / "tmp").glob("dualstream-clips-*"))
