"""A data root that goes away while clips are read: nothing of it is sealed, and what was sealed stands."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dualstream.features.media import Clip, DecodeSettings, MediaError
from dualstream.features.windows import Sampling, WindowPlan
from dualstream.pipeline.cache import read_cache
from dualstream.pipeline.corpus.manifest import read_manifest
from dualstream.pipeline.encoder_training import samples
from dualstream.pipeline.encoder_training.samples import SampleRecipe, open_samples
from dualstream.pipeline.extraction.presence import ClipsGoneError

from tests.pipeline.stubs import FakeReader, make_corpus, run_extract


class Leaving:
    """A reader under which files go away just before the clip number `at` is read."""

    def __init__(self, root: Path, at: int, take: Callable[[Path], None]) -> None:
        self.root, self.at, self.take, self.calls = root, at, take, 0
        self.real = FakeReader()

    def __call__(self, path: Path, **how: Any) -> Clip:
        if self.calls == self.at:
            self.take(self.root)
        self.calls += 1
        try:
            return self.real(path, **how)
        except FileNotFoundError as error:
            raise MediaError("missing", "ffmpeg: No such file or directory") from error


def everything(root: Path) -> None:
    for path in root.glob("clip*.mp4"):
        path.unlink()


def only(*numbers: int) -> Callable[[Path], None]:
    def take(root: Path) -> None:
        for number in numbers:
            (root / f"clip{number}.mp4").unlink(missing_ok=True)

    return take


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_corpus(tmp_path / "clips", 20)
    return tmp_path / "clips"


def shards(out: Path) -> list[str]:
    return sorted(path.name for path in out.parent.rglob("shard-*.h5"))


def run(root: Path, out: Path, reader: Any = None, **how: Any) -> Any:
    return run_extract(root / "manifest.csv", out, reader=reader, shard_size=10, workers=1, **how)


def test_a_root_that_goes_away_is_not_sealed(root: Path, tmp_path: Path) -> None:
    out, kept = tmp_path / "out" / "cache.h5", tmp_path / "kept"
    shutil.copytree(root, kept)
    with pytest.raises(ClipsGoneError, match=r"of the 10 clips of shard 1 were under .*--keep-going") as caught:
        run(root, out, Leaving(root, 13, everything))
    assert caught.value.exit_status == 1
    assert shards(out) == ["shard-00000.h5"]  # the one that was whole
    assert not out.exists()
    shutil.copytree(kept, root, dirs_exist_ok=True)
    assert run(root, out).failed == []


def test_told_to_go_on_it_records_them_as_missing(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "cache.h5"
    report = run(root, out, Leaving(root, 13, everything), keep_going=True)
    assert report.exit_status == 3
    gone = [reason for _, reason in report.failed]
    assert 4 <= len(gone) <= 7
    assert all(reason.startswith(("missing: ", "changed: ")) for reason in gone)


@pytest.mark.parametrize(("lost", "stops"), [((14, 15), False), ((14, 15, 16), True)])
def test_a_fifth_of_a_shard_is_single_files_more_is_not(
    root: Path, tmp_path: Path, lost: tuple[int, ...], stops: bool
) -> None:
    out = tmp_path / "out" / "cache.h5"
    reader = Leaving(root, 1, only(*lost))
    if stops:
        with pytest.raises(ClipsGoneError, match="3 of the 10 clips of shard 1"):
            run(root, out, reader)
    else:
        assert [name for name, _ in run(root, out, reader).failed] == ["u14", "u15"]


def test_clips_that_never_were_there_are_failures_as_ever(root: Path, tmp_path: Path) -> None:
    only(*range(10, 18))(root)
    report = run(root, tmp_path / "out" / "cache.h5")
    assert [name for name, _ in report.failed] == [f"u{i}" for i in range(10, 18)]


def test_clips_that_can_not_be_decoded_are_failures_as_ever(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path / "clips", 10, contents=dict.fromkeys(range(9), b"bad"))
    assert len(run(manifest.parent, tmp_path / "out" / "cache.h5").failed) == 9


def test_a_mount_that_went_away_between_two_runs_costs_no_shard(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "cache.h5"
    run(root, out)
    before = {path: path.read_bytes() for path in out.parent.rglob("*.h5")}
    only(*range(5))(root)
    with pytest.raises(ClipsGoneError, match=r"5 of the 20 clips were read by an earlier run .*--keep-going"):
        run(root, out)
    assert {path: path.read_bytes() for path in out.parent.rglob("*.h5")} == before
    assert len(run(root, out, keep_going=True).failed) == 5
    assert read_cache(out).utterances.status[:6] == ["failed"] * 5 + ["ok"]


def test_a_file_that_was_taken_out_is_a_failure_as_ever(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "cache.h5"
    run(root, out)
    only(*range(4))(root)
    assert len(run(root, out).failed) == 4


@pytest.mark.parametrize("keep_going", [False, True])
def test_samples_of_a_root_that_goes_away_are_not_kept(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep_going: bool
) -> None:
    import numpy as np

    reader = Leaving(root, 3, everything)

    def read(path: Path, *, ffmpeg: str, **how: Any) -> Clip:
        return reader(path, **how)

    def cut(clip: Clip, length_s: float) -> tuple[Any, Any]:
        assert clip.frames is not None
        return clip.frames[:1], np.ones(1, np.int64)

    monkeypatch.setattr(samples, "read_clip", read)
    recipe = SampleRecipe(
        decode=DecodeSettings(frame_size_px=4),
        windows=WindowPlan(1.0, 0.5),
        sampling=Sampling.parse("aligned"),
        cut=cut,
        cut_parameters={},
        decoder="fake",
        ffmpeg="ffmpeg",
    )
    folder, utterances = tmp_path / "samples", tuple(read_manifest(root / "manifest.csv"))

    def opened() -> Any:
        return open_samples(folder, utterances, recipe, root, workers=1, keep_going=keep_going)

    if keep_going:
        assert len(opened().failed) > 10
        return
    with pytest.raises(ClipsGoneError, match="clips of samples 0"):
        opened()
    assert not list(folder.rglob("samples-*.bin"))
