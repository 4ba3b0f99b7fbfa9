"""project: another width or kind from the shards, no clip touched, everything else as it was."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dualstream.pipeline.cache import read_cache, write_cache
from dualstream.pipeline.commands.project import ProjectOptions, describe, project
from dualstream.pipeline.errors import DualstreamError, FingerprintMismatchError, NoCacheError, UsageError
from dualstream.pipeline.extraction.build_cache import ProjectionChoice
from dualstream.pipeline.options.generate import build
from sklearn.decomposition import PCA

from tests.pipeline.option_values import values_of
from tests.pipeline.stubs import FakeReader, make_corpus, run_extract


@pytest.fixture
def out(tmp_path: Path) -> Path:
    out = tmp_path / "out" / "cache.h5"
    run_extract(make_corpus(tmp_path / "clips", 12), out)
    return out


def test_another_width_equals_sklearn_on_train(out: Path) -> None:
    before = read_cache(out)
    project(out, out=out.with_name("raw.h5"), options=ProjectOptions(kind="none"))
    document = project(out, options=ProjectOptions(kind="pca", width=3))
    cache, raw = read_cache(out), read_cache(out.with_name("raw.h5")).streams["video"]
    video = cache.streams["video"]
    assert raw.windows is not None and video.windows is not None and video.projection is not None
    assert raw.projection is None and raw.utterance.shape[1] == 12
    in_train = np.repeat(np.array(cache.utterances.split) == "train", np.diff(cache.offsets))
    model = PCA(3, svd_solver="full").fit(raw.windows[in_train].astype(np.float64))
    np.testing.assert_allclose(np.abs(model.transform(raw.windows)), np.abs(video.windows), atol=2e-5)
    assert document["after"]["video"]["width"] == 3 and document["before"]["video"]["width"] == 5
    assert cache.streams["audio"].utterance.tobytes() == before.streams["audio"].utterance.tobytes()
    assert cache.utterances.id == before.utterances.id and cache.utterances.sha256 == before.utterances.sha256
    assert "12" not in describe(document).splitlines()[1]


def test_and_back_gives_the_first_bytes(out: Path) -> None:
    before = out.read_bytes()
    project(out, options=ProjectOptions(kind="none"))
    assert out.read_bytes() != before
    project(out, options=ProjectOptions(kind="auto"))
    assert out.read_bytes() == before


def older(out: Path, kind: str) -> bytes:
    """Make the cache one of the first version of projections, which left components unturned; return its bytes."""
    project(out, options=ProjectOptions(kind="pca"))
    cache = read_cache(out)
    first = {"kind": kind, "widths": {}, "seed": 0}
    write_cache(out, replace(cache, provenance={**cache.provenance, "projection": first}))
    return out.read_bytes()


@pytest.mark.parametrize("kind", ["auto", "pca"])
def test_a_cache_of_the_first_version_is_brought_up_to_date(out: Path, kind: str) -> None:
    """It stays readable, and as it is, until `project` turns its components: the same rows as a new cache's."""
    new = read_cache(out)
    before = older(out, kind)
    notices: list[str] = []
    corpus = out.parents[1] / "clips" / "manifest.csv"
    reader = FakeReader()
    run_extract(corpus, out, reader=reader, notices=notices)
    assert out.read_bytes() == before and reader.calls == []
    assert any("--kind pca-turned` turns them" in text for text in notices)
    document = project(out, options=ProjectOptions())
    assert "video: 5 columns → 5 by pca-turned" in describe(document)
    cache = read_cache(out)
    assert cache.provenance["projection"]["version"] == 2
    assert cache.provenance["fingerprint"] == new.provenance["fingerprint"]
    for name in ("video", "audio"):
        assert cache.streams[name].utterance.tobytes() == new.streams[name].utterance.tobytes()


def test_clips_that_join_a_cache_of_the_first_version_go_through_its_kind(out: Path) -> None:
    older(out, "auto")
    (out.parents[1] / "clips" / "clip0.mp4").write_bytes(b"another clip")
    run_extract(out.parents[1] / "clips" / "manifest.csv", out)
    cache = read_cache(out)
    projection = cache.streams["video"].projection
    assert projection is not None and projection.kind == "pca"
    assert "version" not in cache.provenance["projection"]


def test_components_by_name_stay_as_they_are(out: Path) -> None:
    project(out, options=ProjectOptions(kind="pca"))
    notices: list[str] = []
    project(out, options=ProjectOptions(width=3), notice=notices.append)
    projection = read_cache(out).streams["video"].projection
    assert projection is not None and projection.kind == "pca" and len(projection.components) == 3
    assert len(notices) == 1 and "whitens them" in notices[0]


def test_the_seed_turns_otherwise(out: Path) -> None:
    rows = []
    for seed in (0, 1):
        project(out, options=ProjectOptions(kind="pca-turned", seed=seed))
        stream = read_cache(out).streams["video"]
        assert stream.projection is not None and stream.projection.fitted_on["rotation_seed"] == seed
        rows.append(stream.utterance.astype(np.float64))
    assert np.abs(rows[0] - rows[1]).max() > 0.01
    np.testing.assert_allclose(rows[0] @ rows[0].T, rows[1] @ rows[1].T, atol=1e-4)  # distances stay


def test_a_version_to_come_fails(out: Path) -> None:
    with pytest.raises(ValueError, match="version is 3; expected 1 to 2"):
        ProjectionChoice(version=3)
    cache = read_cache(out)
    later = {**cache.provenance["projection"], "version": 3}
    write_cache(out, replace(cache, provenance={**cache.provenance, "projection": later}))
    with pytest.raises(DualstreamError, match=r"not known here: .*version is 3"):
        project(out, options=ProjectOptions())


def test_extract_keeps_what_project_chose(out: Path, tmp_path: Path) -> None:
    project(out, options=ProjectOptions(width=3))
    before = out.read_bytes()
    reader = FakeReader()
    run_extract(tmp_path / "clips" / "manifest.csv", out, reader=reader)
    assert reader.calls == [] and out.read_bytes() == before


def test_gaussian_depends_on_its_seed_alone(out: Path) -> None:
    files = []
    for seed in (0, 0, 1):
        project(out, options=ProjectOptions(kind="gaussian", seed=seed))
        files.append(out.read_bytes())
    assert files[0] == files[1] != files[2]


def test_dry_run_writes_nothing(out: Path) -> None:
    before = out.read_bytes()
    document = project(out, options=ProjectOptions(kind="gaussian", dry_run=True))
    assert "after" not in document and out.read_bytes() == before


def test_options_fail(out: Path) -> None:
    with pytest.raises(UsageError, match="no stream smell; it has audio, video"):
        project(out, options=ProjectOptions(width=3, streams=("smell",)))
    with pytest.raises(UsageError, match="give both"):
        project(out, options=ProjectOptions(streams=("video",)))
    with pytest.raises(UsageError, match="more than 50 columns"):
        project(out, options=ProjectOptions(width=50))
    with pytest.raises(DualstreamError, match="12 columns before projection"):
        project(out, options=ProjectOptions(width=50, streams=("video",)))
    for kind in ("pca", "none"):
        with pytest.raises(UsageError, match=f"--seed 5 turns or draws a projection, and {kind} does neither"):
            project(out, options=ProjectOptions(kind=kind, seed=5))
    with pytest.raises(UsageError, match="--width 3 is for rows that are projected, and with none they stay"):
        project(out, options=ProjectOptions(kind="none", width=3))
    with pytest.raises(UsageError, match="expected one of: auto, pca"):
        build(ProjectOptions, values_of(ProjectOptions) | {"kind": "ica"})
    with pytest.raises(NoCacheError):
        project(out.with_name("none.h5"), options=ProjectOptions())


def test_shards_that_are_gone_or_others_fail(out: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.move(out.with_name("cache.h5.shards"), moved)
    with pytest.raises(DualstreamError, match="name their folder as --shards"):
        project(out, options=ProjectOptions())
    project(out, options=ProjectOptions(kind="gaussian", shards=moved))
    (tmp_path / "clips" / "clip0.mp4").write_bytes(b"other")
    run_extract(tmp_path / "clips" / "manifest.csv", tmp_path / "other" / "cache.h5")
    with pytest.raises(DualstreamError, match="others than"):
        project(out, options=replace(ProjectOptions(), shards=tmp_path / "other" / "cache.h5.shards"))


def test_pca_with_too_few_rows_fails(tmp_path: Path) -> None:
    out = tmp_path / "few" / "cache.h5"
    run_extract(make_corpus(tmp_path / "few-clips", 1), out)
    with pytest.raises(DualstreamError, match=r"stream video: .*more than 5 rows"):
        project(out, options=ProjectOptions(kind="pca"))


def test_what_is_no_cache_is_not_written_over(out: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper.csv"
    paper.write_text("not to be lost\n")
    with pytest.raises(UsageError, match=r"paper\.csv is there and is no cache; choose another --out"):
        project(out, out=paper, options=ProjectOptions(kind="none"))
    assert paper.read_text() == "not to be lost\n"
    with pytest.raises(UsageError, match="is a folder; name a file"):
        project(out, out=tmp_path, options=ProjectOptions(kind="none"))


def test_a_cache_of_another_extraction_is_not_written_over(out: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    cache = read_cache(out)
    write_cache(other, replace(cache, provenance={**cache.provenance, "fingerprint": "f" * 64}))
    before = other.read_bytes()
    with pytest.raises(FingerprintMismatchError, match=r"another extraction \(fingerprint ffff"):
        project(out, out=other, options=ProjectOptions(kind="none"))
    assert other.read_bytes() == before
    project(out, out=tmp_path / "own.h5", options=ProjectOptions(kind="none"))
    project(out, out=tmp_path / "own.h5", options=ProjectOptions(kind="auto"))  # of the same shards
    assert read_cache(tmp_path / "own.h5").streams["video"].projection is not None
