"""diagnose: a document, a page and figures; train and dev alone are looked at; what doesn't fit is refused by name."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.heads.data.normalisation import LABEL
from dualstream.heads.diagnosis.evidence import DiagnosisOptions
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline.cache import Cache, write_cache
from dualstream.pipeline.commands.diagnose import DiagnoseOptions, diagnose
from dualstream.pipeline.errors import DualstreamError, UsageError
from typer.testing import CliRunner

from dualstream import cli
from tests.heads.diagnosis.without_signs import without_signs
from tests.pipeline.planted_corpus import planted_cache

QUICK = DiagnosisOptions(
    fusion="concat_norm",
    folds=3,
    fit=FitOptions(seeds=(0,), epochs=8, patience=3, hidden=16, threads=1),
    interventions=("standardise",),
    limits=False,
    measures=False,
)
WHOLE = dataclasses.replace(QUICK, measures=True)


def diagnosed(folder: Path, cache: Cache, diagnosis: DiagnosisOptions = QUICK, **options: Any) -> dict[str, Any]:
    folder.mkdir()
    write_cache(folder / "cache.h5", cache)
    return diagnose(folder / "cache.h5", folder / "out", DiagnoseOptions(diagnosis=diagnosis, **options))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return the folder and the document of a diagnosis that no test changes, without what stands in the rows."""
    folder = tmp_path_factory.mktemp("plain") / "plain"
    with without_signs():
        return folder, diagnosed(folder, planted_cache())


def small() -> Cache:
    return planted_cache(sizes={"train": 90, "dev": 30, "test": 30})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the document of a diagnosis of a small corpus, with everything that is measured."""
    return diagnosed(tmp_path_factory.mktemp("whole") / "small", small(), WHOLE)


def test_test_rows_change_nothing(whole: dict[str, Any], tmp_path: Path) -> None:
    cache = small()
    emotion = cache.utterances.emotion.copy()
    held = np.flatnonzero(np.asarray(cache.utterances.split) == "test")
    emotion[held] = np.roll(emotion[held], 1)
    other = dataclasses.replace(cache, utterances=dataclasses.replace(cache.utterances, emotion=emotion))
    one, two = whole, diagnosed(tmp_path / "two", other, WHOLE)
    for part in ("causes", "evidence", "measures"):
        assert one[part] == two[part]
    assert one["evidence"]["utterances"] == 90 + 30


@without_signs()
def test_what_lacks_features_is_noted_or_left_out(plain: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """Of 320 every 25th has no stream, 12 of them, and 12 more no video (every 20th, less each fifth of those)."""
    folder, every = plain
    present = diagnosed(tmp_path / "present", planted_cache(), scored="present")
    assert (every["scored"], every["evidence"]["utterances"]) == ("all", 320)
    assert any(
        "of 320 scored utterances 25 no video, 12 no audio, 12 neither" in n for n in every["evidence"]["notes"]
    )
    assert (present["scored"], present["evidence"]["utterances"]) == ("present", 308)
    assert any("12 without features are left out" in note for note in present["evidence"]["notes"])
    emotion = planted_cache().utterances.emotion[:320]
    assert every["evidence"]["majority"]["accuracy"] == np.bincount(emotion).max() / 320
    assert "majority class: neutral" in (folder / "out" / "report.html").read_text()


def test_command_prints_one_document_and_leaves_a_page(tmp_path: Path) -> None:
    write_cache(tmp_path / "cache.h5", planted_cache(sizes={"train": 120, "dev": 40}, strength=3.0))
    words = [
        "diagnose",
        str(tmp_path / "cache.h5"),
        "--fusion",
        "linear",
        "--folds",
        "3",
        "--seeds",
        "1",
        "--json",
    ]
    result = CliRunner().invoke(cli.app, [*words, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document == json.loads((tmp_path / "out" / "diagnosis.json").read_text())
    assert document["causes"][0]["name"] == "nothing_wrong"  # one stream tells anger, the other joy
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Joining works" in page and "in brackets 95 % intervals by a bootstrap over" in page
    scores = document["evidence"]["scores"]
    assert f"<dt>audio alone</dt><dd>{scores['audio']['mean']:.1%}" in page
    assert (
        document["evidence"]["interventions"]["rebalance classes"]["remedy"] in page
    )  # what to do, beside its gain
    assert document["evidence"]["offset_curve"]["peak_s"] is not None
    assert 'src="http' not in page


@without_signs()
def test_normalised_speakers_are_called_transductive_and_hide_no_copy(tmp_path: Path) -> None:
    cache = planted_cache(sizes={"train": 120, "dev": 40})
    dev = np.flatnonzero(np.asarray(cache.utterances.split) == "dev")[:20]
    streams = {}
    for name, stream in cache.streams.items():
        rows, present = stream.utterance.copy(), stream.present.copy()
        rows[dev], present[dev] = rows[: len(dev)], present[: len(dev)]
        streams[name] = dataclasses.replace(
            stream, utterance=rows, present=present, windows=None, window_present=None, time_s=None
        )
    leaky = dataclasses.replace(cache, streams=streams)
    plain = diagnosed(tmp_path / "plain", leaky)
    normed = diagnosed(tmp_path / "normed", leaky, speaker_norm=True)
    assert normed["speaker_norm"] and not plain["speaker_norm"]
    for key in ("copies", "spaces"):
        assert normed["evidence"][key] == plain["evidence"][key]
    assert plain["evidence"]["copies"] > 10
    assert normed["evidence"]["scores"]["fused"] != plain["evidence"]["scores"]["fused"]
    assert any(LABEL in note for note in normed["evidence"]["notes"])
    page = (tmp_path / "normed" / "out" / "report.html").read_text()
    for expected in (
        "why concat_norm (transductive) does",
        "<dt>video alone (transductive)</dt>",
        "standardise (transductive)",
    ):
        assert expected in page
    assert "(transductive)" not in (tmp_path / "plain" / "out" / "report.html").read_text()


def test_normalised_speakers_are_called_transductive_on_the_terminal(tmp_path: Path) -> None:
    write_cache(tmp_path / "cache.h5", planted_cache(sizes={"train": 80, "dev": 24}))
    words = ["diagnose", str(tmp_path / "cache.h5"), "--fusion", "linear", "--folds", "3", "--seeds", "1"]
    found = CliRunner().invoke(cli.app, [*words, "--speaker-norm", "--no-limits", "--out", str(tmp_path / "out")])
    assert found.exit_code == 0, found.output
    marked = ("out of fold (transductive)", "audio alone (transductive)", "linear, as it is (transductive)", LABEL)
    for expected in marked:
        assert expected in " ".join(found.stdout.split())


def test_of_two_caches_the_utterances_of_both_are_looked_at(tmp_path: Path) -> None:
    whole = planted_cache(sizes={"train": 60, "dev": 20})
    renamed = [f"new{i}" if i % 10 == 3 else name for i, name in enumerate(whole.utterances.id)]
    other = dataclasses.replace(whole, utterances=dataclasses.replace(whole.utterances, id=renamed))
    write_cache(tmp_path / "other.h5", other)
    found = diagnosed(tmp_path / "one", whole, against=tmp_path / "other.h5")
    assert found["evidence"]["utterances"] == 72
    assert "8 utterances that the other cache lacks were left out" in found["evidence"]["notes"]
    assert found["evidence"]["interventions"]["other features"]["gain"]["difference"] == 0  # the same features
    strange = dataclasses.replace(other.utterances, id=[f"new{i}" for i in range(80)])
    write_cache(tmp_path / "strange.h5", dataclasses.replace(whole, utterances=strange))
    with pytest.raises(UsageError, match="no utterance of train in common"):
        diagnose(
            tmp_path / "one" / "cache.h5",
            tmp_path / "out",
            DiagnoseOptions(QUICK, against=tmp_path / "strange.h5"),
        )


def test_utterances_without_dialogues_are_called_that(tmp_path: Path) -> None:
    cache = planted_cache(sizes={"train": 60, "dev": 20})
    alone = dataclasses.replace(cache.utterances, dialogue=[""] * 80, speaker=[""] * 80)
    found = diagnosed(tmp_path / "one", dataclasses.replace(cache, utterances=alone))
    assert any(note.startswith("no dialogues are known") for note in found["evidence"]["notes"])
    named = diagnosed(tmp_path / "two", cache)
    assert not any(note.startswith("no dialogues are known") for note in named["evidence"]["notes"])


def test_a_curve_without_a_point_is_words_and_no_figure(tmp_path: Path) -> None:
    few = planted_cache(sizes={"train": 60, "dev": 20})  # fewer pairs of windows than one shift needs
    found = diagnosed(tmp_path / "one", few)
    assert found["evidence"]["offset_curve"]["verdict"] == "unknown"
    assert not (tmp_path / "one" / "out" / "figures" / "offset_curve.png").exists()
    assert "Too few windows of both streams" in (tmp_path / "one" / "out" / "report.html").read_text()


def test_diagnose_fails_by_name(tmp_path: Path) -> None:
    cache = planted_cache(sizes={"train": 60, "dev": 20, "test": 20})
    write_cache(tmp_path / "cache.h5", cache)
    result = CliRunner().invoke(cli.app, ["diagnose", str(tmp_path / "cache.h5"), "--fusion", "conkat"])
    assert result.exit_code == 2
    assert "conkat" in result.output and "concat_norm" in result.output
    moved = [{"train": "dev", "dev": "train"}.get(name, name) for name in cache.utterances.split]
    swapped = dataclasses.replace(cache, utterances=dataclasses.replace(cache.utterances, split=moved))
    write_cache(tmp_path / "swapped.h5", swapped)
    with pytest.raises(UsageError, match="in another split of the other cache"):
        diagnose(tmp_path / "cache.h5", tmp_path / "out", DiagnoseOptions(QUICK, against=tmp_path / "swapped.h5"))


def test_a_place_that_cannot_be_written_is_named_before_the_work(tmp_path: Path) -> None:
    write_cache(tmp_path / "cache.h5", planted_cache())
    (tmp_path / "file").write_text("a file")
    said: list[str] = []
    with pytest.raises(UsageError, match="is a file; expected a folder"):
        diagnose(tmp_path / "cache.h5", tmp_path / "file", DiagnoseOptions(diagnosis=QUICK), progress=said.append)
    assert not said
    assert (tmp_path / "file").read_text() == "a file"


def test_a_manifest_that_cannot_be_read_is_told_before_the_work(tmp_path: Path) -> None:
    write_cache(tmp_path / "cache.h5", planted_cache())
    said: list[str] = []
    for options in ({"manifest": tmp_path / "nowhere.csv"}, {"root": tmp_path / "nowhere"}):
        whole = tmp_path / "whole.csv"
        whole.write_text(
            "id,path,split,start_s,end_s,dialogue,turn,speaker,emotion,sentiment\na,a.mp4,train,,,,,,joy,positive\n"
        )
        asked = DiagnoseOptions(WHOLE, **{"manifest": whole, **options})
        with pytest.raises(DualstreamError, match="nowhere") as refused:
            diagnose(tmp_path / "cache.h5", tmp_path / "out", asked, progress=said.append)
        assert refused.value.exit_status == 2
    assert not said and not (tmp_path / "out").exists()


def test_streams_of_other_names_stand_for_video_and_audio(whole: dict[str, Any], tmp_path: Path) -> None:
    """The help says so, and so it is."""
    cache = small()
    names = {"video": "face", "audio": "whisper"}
    streams = {name: dataclasses.replace(cache.streams[head], name=name) for head, name in names.items()}
    named = dataclasses.replace(cache, streams=streams)
    one = diagnosed(tmp_path / "as_named", named, streams=names)
    assert (one["causes"], one["evidence"]) == (whole["causes"], whole["evidence"])
    help_ = " ".join(CliRunner().invoke(cli.app, ["diagnose", "--help"]).stdout.split())
    assert "Streams to join, two to five: NAME,NAME,... or video=NAME,audio=NAME" in help_
