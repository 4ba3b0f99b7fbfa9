"""--region through the whole of extraction: drawn faces in real files, a detector of colours, an encoder of colours."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.encoder import EncoderSpec
from dualstream.features.faces.drawing import CHOSEN_INK, OTHER_INK
from dualstream.features.faces.rows import ALONE, NO_FACE, OUT_OF_VIEW, STATES, UNDECIDED, FaceRows
from dualstream.features.media import write_clip
from dualstream.pipeline.cache import Cache, read_cache
from dualstream.pipeline.commands.extract import extract
from dualstream.pipeline.commands.inspect import inspect
from dualstream.pipeline.corpus import scratch
from dualstream.pipeline.corpus.checks.clips import Facts
from dualstream.pipeline.corpus.checks.registry import CheckedCorpus
from dualstream.pipeline.corpus.checks.rules.faces import speaker_out_of_view, undecided_speaker
from dualstream.pipeline.corpus.manifest import Manifest, read_manifest, write_manifest
from dualstream.pipeline.corpus.remote_root import RemoteRoot
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import FingerprintMismatchError, UsageError
from dualstream.pipeline.extraction import build_shards
from dualstream.pipeline.extraction.clip_workers import InProcess
from dualstream.pipeline.extraction.recipe import ExtractionOptions, make_recipe
from dualstream.pipeline.extraction.remote_clips import RemoteHasher
from dualstream.pipeline.extraction.request import RunOptions
from dualstream.pipeline.extraction.staleness import Hasher
from dualstream.pipeline.extraction.thumbnails import middle_frames, shown_faces
from dualstream.pipeline.reporting.faces_page import _read, write_faces
from dualstream.pipeline.reporting.inspection import describe

from tests.features.planted_faces import AUDIO_HZ, COLOURS, Drawn, bursts, image, rest, voice
from tests.pipeline.colours import build, colours_known

SECONDS = 4


@pytest.fixture(autouse=True, scope="module")
def colour_detector() -> Iterator[None]:
    """Register the detector of colours."""
    with colours_known():
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: Any, colour_detector: None) -> Path:
    """Three clips: a red face that talks beside a green one that rests, no face, and no file."""
    root = tmp_path_factory.mktemp("clips")
    said = bursts(11, SECONDS)
    drawn = {"two": [Drawn(0, 10, said), Drawn(1, 110, rest)], "none": [], "one": [Drawn(2, 60, said)]}
    for name, faces in drawn.items():
        frames = np.stack([image(faces, number / 25) for number in range(SECONDS * 25)])
        sound = voice(said, SECONDS)[: -AUDIO_HZ // 10]  # some ffmpegs write a part of a second too much
        write_clip(root / f"{name}.mp4", frames, 25, sound, AUDIO_HZ)
    rows = [Utterance(name, f"{name}.mp4", "train", emotion="joy") for name in ("two", "none", "one", "gone")]
    rows.append(Utterance("span", "two.mp4", "dev", start_s=1.0, end_s=3.0, emotion="joy"))
    write_manifest(Manifest(tuple(rows)), root / "m.csv")
    return root


@pytest.fixture(scope="module")
def speakers(corpus: Path, tmp_path_factory: Any) -> Path:
    """Return the cache of the speakers' faces."""
    path: Path = tmp_path_factory.mktemp("speakers") / "c.h5"
    run(corpus, path, "speaker")
    return path


def run(corpus: Path, out: Path, *regions: str, workers: int = 1, debug: Path | None = None, **more: Any) -> Cache:
    faces = {} if regions == ("frame",) else {"face_detector": "colour"}
    options = ExtractionOptions(video=("vgg16",), audio=("none",), region=regions, **faces, **more)
    recipe = partial(make_recipe, build_encoder=build)
    how = RunOptions(workers=workers, shard_size=2, projection="none", region_debug=debug)
    extract(corpus / "m.csv", root=corpus, out=out, options=options, run=how, build_recipe=recipe)
    return read_cache(out)


def colours(cache: Cache, stream: str, utterance: str) -> list[int | None]:
    """Return whose face each window's row shows; None where it is masked."""
    at = cache.utterances.id.index(utterance)
    found = cache.streams[stream]
    assert found.windows is not None and found.window_present is not None
    span = slice(int(cache.offsets[at]), int(cache.offsets[at + 1]))
    return [
        int(np.abs(np.array(COLOURS) - row).sum(axis=1).argmin()) if present else None
        for row, present in zip(found.windows[span], found.window_present[span], strict=True)
    ]


def test_rows_show_the_face_of_the_one_who_talks(speakers: Path) -> None:
    cache = read_cache(speakers)
    shown = [one for one in colours(cache, "video", "two") if one is not None]
    assert set(shown) == {0} and len(shown) >= 5
    assert set(colours(cache, "video", "one")) == {2}
    assert colours(cache, "video", "none") == [None] * 7
    assert colours(cache, "video", "gone") == [None]
    assert set(colours(cache, "video", "span")) <= {0, None}
    faces = cache.streams["video"].faces
    assert faces is not None
    one = slice(int(cache.offsets[2]), int(cache.offsets[3]))
    assert (faces.state[one] == ALONE).all() and np.isfinite(faces.score[one]).all()
    none = slice(int(cache.offsets[1]), int(cache.offsets[2]))
    assert (faces.state[none] == NO_FACE).all() and (faces.track[none] == -1).all()


def test_bytes_do_not_depend_on_workers_or_restarts(corpus: Path, tmp_path: Path) -> None:
    run(corpus, tmp_path / "a.h5", "speaker", "frame")
    run(corpus, tmp_path / "b.h5", "speaker", "frame", workers=3)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    (next((tmp_path / "b.h5.shards").glob("*/shard-00001.h5"))).unlink()
    (tmp_path / "b.h5").unlink()
    run(corpus, tmp_path / "b.h5", "speaker", "frame")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_regions_stand_side_by_side_and_frame_is_as_without(corpus: Path, tmp_path: Path) -> None:
    both = run(corpus, tmp_path / "both.h5", "face", "frame")
    alone = run(corpus, tmp_path / "frame.h5", "frame")
    assert sorted(both.streams) == ["video", "video.frame"]
    one, other = both.streams["video.frame"], alone.streams["video"]
    assert one.windows is not None and other.windows is not None
    np.testing.assert_array_equal(one.windows, other.windows)
    np.testing.assert_array_equal(both.start_s, alone.start_s)
    assert one.faces is None and both.streams["video"].faces is not None


def test_frame_alone_has_the_recipe_of_before(corpus: Path, tmp_path: Path) -> None:
    cache = run(corpus, tmp_path / "c.h5", "frame")
    assert "region" not in cache.streams["video"].spec["parameters"]
    assert "region" not in cache.provenance["recipe"]


def test_another_margin_is_another_fingerprint(corpus: Path, speakers: Path, tmp_path: Path) -> None:
    shutil.copy(speakers, tmp_path / "c.h5")
    with pytest.raises(FingerprintMismatchError, match="least_margin"):
        run(corpus, tmp_path / "c.h5", "speaker", speaker_margin=0.2)


def test_a_table_has_no_face(corpus: Path, tmp_path: Path) -> None:
    class Table:
        spec = EncoderSpec("table:t.csv", "video", 2, 2)

        def lookup(self, utterance_id: str, starts_s: Any, length_s: float) -> Any:
            raise AssertionError("not reached")

        extent_s = lookup

    options = ExtractionOptions(video=("vgg16",), audio=("none",), region=("face",), face_detector="colour")
    with pytest.raises(UsageError, match="needs a video encoder"):
        make_recipe(options, build_encoder=lambda *_: Table())


def test_inspect_sums_the_faces_up(speakers: Path) -> None:
    cache = read_cache(speakers)
    document = inspect(speakers)
    faces = document["streams"]["video"]["faces"]
    states = cache.streams["video"].faces
    assert states is not None
    assert faces["alone"] == int((states.state == ALONE).sum()) == 7
    assert faces["no face"] == 8  # seven windows of the clip without a face, and that of the missing one
    assert "faces: 8 windows no face, 7 windows alone, " in describe(document)


def test_faces_that_are_damaged_are_refused(speakers: Path) -> None:
    from dualstream.pipeline.cache import check

    cache = read_cache(speakers)
    stream = cache.streams["video"]
    assert stream.faces is not None
    wrong = replace(stream.faces, track=stream.faces.track * 0 - 1)
    with pytest.raises(ValueError, match="faces/track"):
        check(replace(cache, streams={"video": replace(stream, faces=wrong)}))


def test_check_tells_of_faces(corpus: Path) -> None:
    from dualstream.features.options import FaceOptions
    from dualstream.pipeline.commands.check import main
    from dualstream.pipeline.options.corpus import CheckOptions

    face = FaceOptions(region=("speaker",), face_detector="colour")
    found = main(corpus / "m.csv", corpus, CheckOptions(faces=True), face=face)
    cases = {one.code: [case.subject for case in one.cases] for one in found.findings}
    assert cases["no-face"] == ["none"]
    assert sorted(cases["several-faces"]) == ["span", "two"]
    assert "undecided-speaker" not in cases
    strict = main(corpus / "m.csv", corpus, CheckOptions(faces=True), face=replace(face, speaker_margin=5.0))
    assert "two" in [
        case.subject for one in strict.findings if one.code == "undecided-speaker" for case in one.cases
    ]


def test_check_without_faces_refuses_their_options(corpus: Path) -> None:
    from dualstream.features.options import FaceOptions
    from dualstream.pipeline.commands.check import main
    from dualstream.pipeline.options.corpus import CheckOptions

    for face in (FaceOptions(speaker_margin=1.0), FaceOptions(face_detector="blazeface")):
        with pytest.raises(UsageError, match="goes with --faces: give that too"):
            main(corpus / "m.csv", corpus, CheckOptions(), face=face)
    plain = main(corpus / "m.csv", corpus, CheckOptions())
    assert not {"no-face", "several-faces"} & {one.code for one in plain.findings}


def test_what_was_chosen_can_be_looked_at(corpus: Path, tmp_path: Path) -> None:
    from dualstream.features.media import DecodeSettings, read_clip
    from dualstream.features.windows import Sampling, WindowPlan

    folder = tmp_path / "debug"
    run(corpus, tmp_path / "c.h5", "speaker", debug=folder)
    assert sorted(one.name for one in folder.iterdir()) == [
        "faces.html", "none.mp4", "one.mp4", "span.mp4", "two.mp4"
    ]  # fmt: skip
    page = (folder / "faces.html").read_text()
    assert page.count("<section>") == 4 and "7 alone" in page and "<script" not in page
    body = page.partition("</style>")[2]
    assert 'style="stroke:var(--blue)"' in body and not re.search(
        r"#[0-9a-f]{6}", body
    )  # light or dark as the page is
    faces = read_cache(tmp_path / "c.h5").streams["video"].faces
    assert faces is not None
    two = faces.score[:7]
    assert f"score of the best face, {two.min():.2f} to {two.max():.2f}" in page
    assert "shaded: masked; from 0.5 to 3.5 s" in page  # centres of seven windows of a second, 0.5 s apart
    assert f"3.5 s: {STATES[faces.state[6]]}, score {two[6]:.2f}, margin {faces.margin[6]:.2f}" in page
    settings = DecodeSettings(frame_size_px=96)
    marked, plain = (
        read_clip(path, plan=WindowPlan(), sampling=Sampling(), settings=settings).frames[3].astype(int)
        for path in (folder / "one.mp4", corpus / "one.mp4")
    )
    green = (marked[:, :, 1] - marked[:, :, 0] > 60) & (marked[:, :, 1] - marked[:, :, 2] > 40)
    assert green.sum() > 30 > ((plain[:, :, 1] - plain[:, :, 0] > 60).sum())
    with pytest.raises(UsageError, match=r"--region-debug .* found --region frame"):
        run(corpus, tmp_path / "frame.h5", "frame", debug=folder)
    with pytest.raises(UsageError, match=r"m\.csv is not a folder"):
        run(corpus, tmp_path / "c.h5", "speaker", debug=corpus / "m.csv")


def test_clips_of_a_store_that_are_looked_at_stay_within_the_bound(
    corpus: Path, speakers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setattr(scratch, "LIMIT_BYTES", 1)  # so that each gets in alone
    system = fsspec.filesystem("memory")
    for path in corpus.glob("*.mp4"):
        system.pipe_file(f"/looked/{path.name}", path.read_bytes())
    options = ExtractionOptions(video=("vgg16",), audio=("none",), region=("speaker",), face_detector="colour")
    plan, hasher = make_recipe(options, build_encoder=build).plan, RemoteHasher(RemoteRoot("memory://looked"))
    with contextlib.closing(hasher):
        lost = write_faces(tmp_path, read_cache(speakers), read_manifest(corpus / "m.csv"), plan, hasher)
        assert [one.partition(":")[0] for one in lost] == ["gone"] and (tmp_path / "span.mp4").is_file()
        assert len(list(hasher._scratch.folder.iterdir())) == 1
    system.rm("/looked", recursive=True)


def test_pictures_of_errors_show_whose_face_was_taken(corpus: Path, speakers: Path) -> None:
    cache = read_cache(speakers)
    faces = shown_faces(cache)
    assert sorted(faces) == ["one", "span", "two"]  # the others show none
    found = middle_frames(read_manifest(corpus / "m.csv"), corpus, {"two", "none"}, faces)
    assert {name: frame.shape for name, frame in found.items()} == {"two": (96, 192, 3), "none": (96, 96, 3)}
    frame, crop = found["two"][:, :96].astype(int), found["two"][:, 96:]
    assert np.abs(crop[36:52, 36:60].mean(axis=(0, 1)) - COLOURS[0]).max() < 60  # the red one talks
    box = np.abs(frame - CHOSEN_INK).sum(axis=2) < 30
    rows, columns = np.nonzero(box)
    # The frame is 192 x 96, so it is shown at half its size, 24 px below the top; its left face is 48 px wide at 10.
    expected = np.array(faces["two"].box) * [96, 48, 96, 48] + [0, 24, 0, 24]
    assert abs(columns.min() - max(expected[0], 0)) <= 2 and abs(columns.max() - expected[2]) <= 3
    assert abs(rows.min() - max(expected[1], 24)) <= 2 and columns.max() < 60


def test_the_page_of_faces_draws_the_rivals(corpus: Path, speakers: Path, tmp_path: Path) -> None:
    options = ExtractionOptions(video=("vgg16",), audio=("none",), region=("speaker",), face_detector="colour")
    plan = make_recipe(options, build_encoder=build).plan
    cache, manifest = read_cache(speakers), read_manifest(corpus / "m.csv")
    span = slice(int(cache.offsets[0]), int(cache.offsets[1]))
    rows = cache.streams["video"].faces
    assert rows is not None
    with contextlib.closing(Hasher(corpus)) as hasher:
        two = FaceRows(**{name: value[span] for name, value in vars(rows).items()})
        shown = _read(manifest.utterances[0], two, cache.start_s[span], plan, hasher)
    assert len(shown.tracks) == 2 and shown.share == 1.0
    orange = np.abs(shown.frames[25].astype(int) - OTHER_INK).sum(axis=2) < 6
    green = np.abs(shown.frames[25].astype(int) - CHOSEN_INK).sum(axis=2) < 6
    assert np.nonzero(green)[1].mean() < 70 < 100 < np.nonzero(orange & (np.arange(192) > 90))[1].mean()


def test_out_of_view_is_not_undecided() -> None:
    def found(*states: int) -> dict[str, list[str]]:
        rows = FaceRows.nothing(len(states))
        faces = replace(rows, state=np.array(states, np.int32), in_view=np.ones(len(states), np.int32))
        fact = Facts(Utterance("u", "u.mp4", "train"), faces=faces)
        corpus = CheckedCorpus(Manifest((fact.utterance,)), clips=(fact,))
        rules = {"undecided-speaker": undecided_speaker, "speaker-out-of-view": speaker_out_of_view}
        return {code: [case.detail for case in rule(corpus)] for code, rule in rules.items()}

    assert found(OUT_OF_VIEW, OUT_OF_VIEW, OUT_OF_VIEW, ALONE) == {
        "undecided-speaker": [],
        "speaker-out-of-view": ["75% of its windows"],
    }
    assert found(UNDECIDED, UNDECIDED, OUT_OF_VIEW, ALONE) == {
        "undecided-speaker": ["50% of its windows undecided, 25% decided"],
        "speaker-out-of-view": [],
    }


def test_faces_are_found_by_pyav_as_by_ffmpeg(
    corpus: Path, speakers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any process; caches of when ffmpeg showed the pictures have another fingerprint."""
    pytest.importorskip("av")
    from dualstream.features.media import runner

    with monkeypatch.context() as patched:
        patched.setattr(build_shards, "clip_reading", lambda plan, hasher, **how: InProcess(hasher))
        started: list[Any] = []
        start = runner._start
        patched.setattr(runner, "_start", lambda *how: started.append(how) or start(*how))
        ours = run(corpus, tmp_path / "p.h5", "speaker", decoder="pyav")
    theirs = read_cache(speakers)
    assert not started
    assert ours.provenance["recipe"]["watched"] == "pyav" and "watched" not in theirs.provenance["recipe"]
    for utterance in ("two", "none", "one", "span"):
        assert colours(ours, "video", utterance) == colours(theirs, "video", utterance)
    mine, other = ours.streams["video"], theirs.streams["video"]
    np.testing.assert_array_equal(mine.windows, other.windows)
    assert mine.faces is not None and other.faces is not None
    np.testing.assert_array_equal(mine.faces.box, other.faces.box)
