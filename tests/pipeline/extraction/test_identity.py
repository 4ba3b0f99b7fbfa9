"""--identity through the whole of extraction: planted faces and speakers, an embedder of colours, silent clips."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.faces.rows import BY_IDENTITY, BY_MARGIN, UNDECIDED
from dualstream.features.media import write_clip
from dualstream.pipeline.cache import Cache, read_cache
from dualstream.pipeline.commands.extract import extract
from dualstream.pipeline.commands.inspect import inspect
from dualstream.pipeline.commands.project import project
from dualstream.pipeline.corpus.manifest import Manifest, write_manifest
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import FingerprintMismatchError, UsageError
from dualstream.pipeline.extraction.options import ProjectOptions
from dualstream.pipeline.extraction.recipe import ExtractionOptions, make_recipe
from dualstream.pipeline.extraction.request import RunOptions
from dualstream.pipeline.reporting.inspection import describe

from tests.features.planted_faces import AUDIO_HZ, COLOURS, Drawn, bursts, image, rest, voice
from tests.pipeline.colours import build, colours_known

SECONDS = 2
RED, GREEN, BLUE = range(3)


@pytest.fixture(autouse=True, scope="module")
def colours() -> Iterator[None]:
    """Register a detector and an embedder of colours."""
    with colours_known():
        yield


# What a clip shows, who speaks, and in which split. Of each, so many utterances.
ROWS = [
    *(("red-blue", "anna", "train") for _ in range(5)),
    *(("green-blue", "bela", "train") for _ in range(5)),
    ("red-green", "anna", "dev"),
    ("red-green", "bela", "test"),
    ("red-green", "", "dev"),
    ("red-green", "cleo", "dev"),
    ("green-speaks", "anna", "dev"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: Any) -> Path:
    """Write clips of two faces: silent ones, and one in which the green one speaks."""
    root: Path = tmp_path_factory.mktemp("clips")
    said = bursts(11, SECONDS)
    silent = np.zeros(SECONDS * AUDIO_HZ, np.float32)
    clips = {
        "red-blue": ([Drawn(RED, 10, rest), Drawn(BLUE, 110, rest)], silent),
        "green-blue": ([Drawn(GREEN, 10, rest), Drawn(BLUE, 110, rest)], silent),
        "red-green": ([Drawn(RED, 10, rest), Drawn(GREEN, 110, rest)], silent),
        "green-speaks": ([Drawn(RED, 10, rest), Drawn(GREEN, 110, said)], voice(said, SECONDS)),
    }
    for name, (faces, sound) in clips.items():
        frames = np.stack([image(faces, number / 25) for number in range(SECONDS * 25)])
        write_clip(root / f"{name}.mp4", frames, 25, sound[: -AUDIO_HZ // 10], AUDIO_HZ)
    return root


def manifest(path: Path, speakers: list[str] | None = None) -> Path:
    """Write the manifest, its speakers replaced where others are given."""
    names = speakers or [speaker for _, speaker, _ in ROWS]
    rows = [
        Utterance(f"u{number:02d}", f"{clip}.mp4", split, speaker=name, emotion="joy")
        for number, ((clip, _, split), name) in enumerate(zip(ROWS, names, strict=True))
    ]
    write_manifest(Manifest(tuple(rows)), path)
    return path


def run(
    root: Path, out: Path, *, speakers: list[str] | None = None, workers: int = 1, identity: bool = True
) -> tuple[Cache, list[str]]:
    """Extract; return the cache and what was said."""
    told: list[str] = []
    more: dict[str, Any] = {"identity": True, "identity_embedder": "colour"} if identity else {}
    options = ExtractionOptions(
        video=("vgg16",), audio=("none",), region=("speaker",), face_detector="colour", **more
    )
    extract(
        manifest(out.with_suffix(".csv"), speakers),
        root=root,
        out=out,
        options=options,
        run=RunOptions(workers=workers, shard_size=5, projection="none"),
        notice=told.append,
        build_recipe=partial(make_recipe, build_encoder=build),
    )
    return read_cache(out), told


def shown(cache: Cache, number: int) -> tuple[set[int], set[int]]:
    """Return the states of an utterance's windows, and whose faces they show."""
    stream = cache.streams["video"]
    assert stream.faces is not None and stream.windows is not None and stream.window_present is not None
    span = slice(int(cache.offsets[number]), int(cache.offsets[number + 1]))
    rows = stream.windows[span][stream.window_present[span]]
    whose = {int(np.abs(np.array(COLOURS) - row).sum(axis=1).argmin()) for row in rows}
    return set(stream.faces.state[span].tolist()), whose


@pytest.fixture(scope="module")
def made(root: Path, tmp_path_factory: Any) -> tuple[Path, list[str]]:
    """Return the cache that speaker names were used for, and what was said."""
    out: Path = tmp_path_factory.mktemp("made") / "c.h5"
    return out, run(root, out)[1]


def test_planted_speakers_are_recovered(made: tuple[Path, list[str]]) -> None:
    cache = read_cache(made[0])
    for number, (_, speaker, _) in enumerate(ROWS[:12]):
        assert shown(cache, number) == ({BY_IDENTITY}, {RED if speaker == "anna" else GREEN}), ROWS[number]
    assert [shown(cache, number) for number in (12, 13)] == [({UNDECIDED}, set())] * 2  # no name, and a new one
    stream = cache.streams["video"]
    assert stream.present[:12].all() and not stream.present[12:14].any()
    np.testing.assert_allclose(stream.utterance[0], stream.windows[: int(cache.offsets[1])].mean(axis=0))  # type: ignore[index]


def test_what_the_sound_decides_stays_whatever_the_name(made: tuple[Path, list[str]]) -> None:
    """The last clip's voice is the green one's; the manifest says anna, who is red."""
    states, whose = shown(read_cache(made[0]), len(ROWS) - 1)
    assert BY_MARGIN in states and GREEN in whose
    alone = shown(read_cache(made[0]), len(ROWS) - 1)[1]
    assert alone <= {GREEN, RED}


def test_it_says_that_names_were_used(made: tuple[Path, list[str]]) -> None:
    out, told = made
    (line,) = [one for one in told if "--identity" in one]
    assert "uses the manifest's speaker names" in line and "2 go with 2 speakers" in line
    provenance = read_cache(out).provenance
    stated = provenance["identity"]
    assert stated["uses_speaker_names"] is True and stated["split"] == "train"
    assert (stated["utterances"], stated["groups"], stated["tied"]) == (10, 3, {"anna": 1, "bela": 1})
    assert stated["windows"]["video"] == int((read_cache(out).streams["video"].faces.state == BY_IDENTITY).sum())  # type: ignore[union-attr]
    region: Any = read_cache(out).streams["video"].spec["parameters"]["region"]
    assert "speaker names" in region["identity"]["uses"]
    document = inspect(out)
    assert "speaker names" in describe(document) and "by identity" in describe(document)


def test_names_of_dev_and_test_are_not_fitted_on(root: Path, made: tuple[Path, list[str]], tmp_path: Path) -> None:
    before = read_cache(made[0])
    names = [speaker if split == "train" else "bela" for _, speaker, split in ROWS]
    after, _ = run(root, tmp_path / "c.h5", speakers=names)
    same = ("utterances", "groups", "tied", "sha256")
    assert [before.provenance["identity"][key] for key in same] == [
        after.provenance["identity"][key] for key in same
    ]  # type: ignore[literal-required]
    trained = int(before.offsets[10])
    for one, other in zip(
        vars(before.streams["video"].faces).values(), vars(after.streams["video"].faces).values(), strict=True
    ):
        np.testing.assert_array_equal(one[:trained], other[:trained])
    assert shown(after, 10) == ({BY_IDENTITY}, {GREEN})  # each row is chosen by its own name


def test_names_that_go_with_nobody_leave_all_as_without(root: Path, tmp_path: Path) -> None:
    names = [("anna", "bela")[number % 2] for number in range(len(ROWS))]
    wrong, told = run(root, tmp_path / "wrong.h5", speakers=names)
    plain, _ = run(root, tmp_path / "plain.h5", speakers=names, identity=False)
    assert wrong.provenance["identity"]["tied"] == {} and any("0 go with 0 speakers" in one for one in told)
    for name in ("utterance", "windows", "window_present", "time_s"):
        np.testing.assert_array_equal(getattr(wrong.streams["video"], name), getattr(plain.streams["video"], name))
    np.testing.assert_array_equal(wrong.streams["video"].faces.state, plain.streams["video"].faces.state)  # type: ignore[union-attr]
    assert "identity" not in plain.provenance


def test_bytes_do_not_depend_on_workers_or_restarts(
    root: Path, made: tuple[Path, list[str]], tmp_path: Path
) -> None:
    out = tmp_path / "c.h5"
    run(root, out, workers=3)
    assert out.read_bytes() == made[0].read_bytes()
    next(out.parent.glob("c.h5.shards/*/shard-00001.h5")).unlink()
    out.unlink()
    run(root, out)
    assert out.read_bytes() == made[0].read_bytes()


def test_projecting_again_chooses_the_same_faces(made: tuple[Path, list[str]], tmp_path: Path) -> None:
    out = shutil.copytree(made[0].parent, tmp_path / "again") / "c.h5"
    before = read_cache(out)
    project(out, options=ProjectOptions(kind="gaussian", width=2))
    after = read_cache(out)
    assert after.streams["video"].utterance.shape[1] == 2
    assert after.provenance["identity"] == before.provenance["identity"]
    np.testing.assert_array_equal(after.streams["video"].faces.state, before.streams["video"].faces.state)  # type: ignore[union-attr]


def test_it_is_another_fingerprint_and_needs_the_speaker(
    root: Path, made: tuple[Path, list[str]], tmp_path: Path
) -> None:
    with pytest.raises(FingerprintMismatchError, match="identity"):
        run(root, made[0], identity=False)
    with pytest.raises(UsageError, match="goes with --region speaker"):
        ExtractionOptions(region=("face",), face_detector="colour", identity=True, identity_embedder="colour")
