"""Files for annotation tools, read by those tools' own libraries, and read again as segments."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dualstream.pipeline.bundles.predictions import PredictionReport, TaskAnswer, UtteranceAnswer
from dualstream.pipeline.bundles.segment_files import Segment, read_segments, segments_of
from dualstream.pipeline.bundles.timeline import Timeline
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.reporting.annotation_files import check_places, write_annotations
from dualstream.pipeline.reporting.annotations import KINDS, recordings, write
from dualstream.pipeline.reporting.colours import colours
from dualstream.pipeline.reporting.prediction_page import prediction_page
from dualstream.pipeline.reporting.prediction_report import show
from dualstream.pipeline.reporting.recording_overview import clock, ticks

EMOTIONS, SENTIMENTS = ("joy", 'an "odd" <class> & more'), ("positive", "negative")
SPANS = [(0.5, 2.0), (2.0, 3.25), (3605.0, 3607.5)]  # the second follows on the first, the last is after an hour


def task(answer: str, names: tuple[str, str], probability: float) -> TaskAnswer:
    other = next(name for name in names if name != answer)
    shares = {answer: probability, other: 1 - probability}
    return TaskAnswer(answer, probability, shares, shares, {})


def answered(path: str, start_s: float, end_s: float, number: int, speaker: str | None = None) -> UtteranceAnswer:
    name = f"{path} [{start_s:.2f}-{end_s:.2f} s]"
    emotion, sentiment = EMOTIONS[number % 2], SENTIMENTS[number % 2]
    return UtteranceAnswer(
        name, path, start_s, end_s, "ok", "", streams={"audio": True}, duration_s=end_s - start_s, speaker=speaker,
        emotion=task(emotion, EMOTIONS, 0.75), sentiment=task(sentiment, SENTIMENTS, 0.5 + 0.125 * number),
    )  # fmt: skip


def report(*said: UtteranceAnswer) -> PredictionReport:
    return PredictionReport(
        "b", "linear", "f", (), (), {"emotion": EMOTIONS, "sentiment": SENTIMENTS}, None, said,
        sum(one.status == "failed" for one in said), None, None,
    )  # fmt: skip


@pytest.fixture
def one() -> PredictionReport:
    marks = [
        answered("film.mp4", *span, number, "Al <x>" if number else None) for number, span in enumerate(SPANS)
    ]
    silent = UtteranceAnswer("film.mp4 [9.00-10.00 s]", "film.mp4", 9.0, 10.0, "failed", "no sound")
    return report(marks[0], silent, marks[2], marks[1])


def written(kind: str, told: PredictionReport, folder: Path) -> Path:
    (recording,) = recordings(told)
    path = folder / f"film{KINDS[kind]}"
    path.write_text(write(kind, recording), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["vtt", "srt"])
def test_subtitles(one: PredictionReport, kind: str, tmp_path: Path) -> None:
    webvtt = pytest.importorskip("webvtt")
    path = written(kind, one, tmp_path)
    cues = list(webvtt.read(str(path)) if kind == "vtt" else webvtt.from_srt(str(path)))
    assert [(cue.start, cue.end) for cue in cues] == [
        ("00:00:00.500", "00:00:02.000"), ("00:00:02.000", "00:00:03.250"), ("01:00:05.000", "01:00:07.500"),
    ]  # fmt: skip
    assert cues[0].text.splitlines() == ["joy 0.75", "positive 0.50"]
    assert cues[1].text.splitlines()[-1] == "negative 0.62"
    if kind == "vtt":
        assert (
            "<v Al &lt;x&gt;>an &quot;odd" not in path.read_text()
            and "&lt;class&gt; &amp; more" in path.read_text()
        )


def test_elan(one: PredictionReport, tmp_path: Path) -> None:
    elan = pytest.importorskip("pympi.Elan")
    eaf = elan.Eaf(str(written("elan", one, tmp_path)))
    assert set(eaf.get_tier_names()) == {"emotion", "emotion probability", "sentiment", "sentiment probability"}
    spans = [(round(1000 * start_s), round(1000 * end_s)) for start_s, end_s in SPANS]
    found = sorted(eaf.get_annotation_data_for_tier("emotion"))
    assert [(start, end) for start, end, _ in found] == spans
    assert [text for _, _, text in found] == [EMOTIONS[0], EMOTIONS[1], EMOTIONS[0]]
    shares = sorted(eaf.get_ref_annotation_data_for_tier("sentiment probability"))
    assert [row[2] for row in shares] == ["0.50", "0.62", "0.75"]
    assert eaf.media_descriptors[0]["MEDIA_URL"] == "film.mp4"


def test_praat(one: PredictionReport, tmp_path: Path) -> None:
    textgrid = pytest.importorskip("praatio.textgrid")
    grid = textgrid.openTextgrid(str(written("textgrid", one, tmp_path)), includeEmptyIntervals=False)
    assert grid.tierNames == ("emotion", "emotion probability", "sentiment", "sentiment probability")
    assert grid.maxTimestamp == 3607.5
    entries = grid.getTier("emotion").entries
    assert [(start, end) for start, end, _ in entries] == SPANS
    assert [one.label for one in entries] == [EMOTIONS[0], EMOTIONS[1], EMOTIONS[0]]
    assert [one.label for one in grid.getTier("emotion probability").entries] == ["0.75"] * 3


def test_audacity_and_rttm(one: PredictionReport, tmp_path: Path) -> None:
    lines = [line.split("\t") for line in written("audacity", one, tmp_path).read_text().splitlines()]
    assert [(float(start), float(end)) for start, end, _ in lines] == SPANS
    assert lines[0][2] == "joy 0.75, positive 0.50"
    with written("rttm", one, tmp_path).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 and {row["file"] for row in rows} == {"film"}
    assert [row["type"] for row in rows[:2]] == ["EMOTION", "SENTIMENT"]
    assert rows[3] == {
        "type": "SENTIMENT", "file": "film", "channel": "1", "onset_s": "2.000", "duration_s": "1.250",
        "label": "negative", "probability": "0.6250", "speaker": "Al <x>",
    }  # fmt: skip


def test_overlapping_stretches_take_further_tiers(tmp_path: Path) -> None:
    """No tier of Praat or ELAN may hold two at once."""
    told = report(*(answered("film.mp4", start_s, start_s + 2, 0) for start_s in (0.0, 1.0, 2.0)))
    textgrid, elan = pytest.importorskip("praatio.textgrid"), pytest.importorskip("pympi.Elan")
    grid = textgrid.openTextgrid(str(written("textgrid", told, tmp_path)), includeEmptyIntervals=False)
    assert [e.start for e in grid.getTier("emotion").entries] == [0.0, 2.0]
    assert [e.start for e in grid.getTier("emotion 2").entries] == [1.0]
    eaf = elan.Eaf(str(written("elan", told, tmp_path)))
    assert eaf.get_annotation_data_for_tier("emotion 2") == [(1000, 3000, "joy")]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "rttm"])
def test_what_is_written_cuts_again(one: PredictionReport, kind: str, tmp_path: Path) -> None:
    found = read_segments(str(written(kind, one, tmp_path)))
    np.testing.assert_allclose([(one.start_s, one.end_s) for one in found], SPANS, atol=1e-3)


def test_files_of_the_tools_libraries_cut(tmp_path: Path) -> None:
    """Two speakers, a tier each, as praatio and pympi write them; a tier behind @ alone."""
    textgrid, elan = pytest.importorskip("praatio.textgrid"), pytest.importorskip("pympi.Elan")
    spans = {"Ann": [(0.5, 1.5), (4.0, 5.0)], "Bob": [(1.5, 2.5)]}
    eaf, grid = elan.Eaf(), textgrid.Textgrid()
    for name, marks in spans.items():
        eaf.add_tier(name)
        for start_s, end_s in marks:
            eaf.add_annotation(name, round(1000 * start_s), round(1000 * end_s), "hm")
        entries = [(*mark, 'so "7" [2]') for mark in marks]
        grid.addTier(textgrid.IntervalTier(name, entries, 0, 6))
    eaf.to_file(str(tmp_path / "a.eaf"))
    for style in ("long_textgrid", "short_textgrid"):
        grid.save(str(tmp_path / f"{style}.TextGrid"), format=style, includeBlankSpaces=True)
    for name in ("a.eaf", "long_textgrid.TextGrid", "short_textgrid.TextGrid"):
        found = read_segments(str(tmp_path / name))
        assert [(s.start_s, s.end_s, s.speaker) for s in found] == [
            (0.5, 1.5, "Ann"), (1.5, 2.5, "Bob"), (4.0, 5.0, "Ann"),
        ]  # fmt: skip
        assert [s.start_s for s in read_segments(f"{tmp_path / name}@Bob")] == [1.5]
        with pytest.raises(UsageError, match=r"no tier 'Eve' with segments; it has Ann, Bob"):
            read_segments(f"{tmp_path / name}@Eve")
    utf16 = (tmp_path / "long_textgrid.TextGrid").read_text().encode("utf-16")
    (tmp_path / "u.TextGrid").write_bytes(utf16)
    assert len(read_segments(str(tmp_path / "u.TextGrid"))) == 3


def test_rttm_names_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "x.rttm"
    path.write_text(
        ";; made by x\nSPEAKER a 1 1.5 2.0 <NA> <NA> s1 <NA> <NA>\nSPEAKER b 1 0 1 <NA> <NA> <NA> <NA> <NA>\n"
    )
    found = read_segments(str(path))
    assert segments_of(found, Path("q/a.mp4"), alone=False) == [Segment(1.5, 3.5, "s1", "a")]
    assert segments_of(found, Path("b.wav"), alone=True) == [Segment(0.0, 1.0, "", "b")]
    with pytest.raises(UsageError, match="no line of c; its recordings are a, b"):
        segments_of(found, Path("c.wav"), alone=True)
    assert segments_of(found[:1], Path("c.wav"), alone=True) == found[:1]  # of one recording, whatever its name


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.vtt", "WEBVTT\n", "holds no segment"),
        ("a.rttm", "SPEAKER a 1 x 1 <NA> <NA> s <NA>\n", "can't be read as .rttm: could not convert"),
        ("a.rttm", "SPEAKER a 1\n", "line 1 has 3 fields"),
        ("a.TextGrid", 'File type = "ooTextFile"\nObject class = "Pitch"\n', "does not begin as a TextGrid"),
        (
            "a.TextGrid",
            '"ooTextFile" "TextGrid" 0 5 <exists> 9000000000 "IntervalTier"',
            "expected a text in quotes",
        ),
        ("a.eaf", '<!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>', "declares entities"),
        ("a.eaf", "<a>", "can't be read as .eaf"),
    ],
)
def test_files_of_segments_that_cannot_be_read_fail(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=message):
        read_segments(str(tmp_path / name))
    with pytest.raises(UsageError, match="No such file"):
        read_segments(str(tmp_path / f"other{Path(name).suffix}"))


# Where files go


def test_a_file_each_into_a_folder(tmp_path: Path) -> None:
    told = report(answered("x/a.mp4", 0, 1, 0), answered("y/a.mp4", 0, 1, 0), answered("b.wav", 0, 1, 0))
    done = write_annotations(told, {"vtt": tmp_path, "srt": tmp_path})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"a.mp4-000.vtt", "a.mp4-001.vtt", "b.vtt", "a.mp4-000.srt", "a.mp4-001.srt", "b.srt"}
    assert [Path(place).name for place in done.annotations["vtt"]] == ["a.mp4-000.vtt", "a.mp4-001.vtt", "b.vtt"]


def test_what_was_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = report(answered("x/a.mp4", 0, 1, 0), answered("b.wav", 0, 1, 0))
    show(replace(write_annotations(told, {"vtt": tmp_path, "elan": tmp_path}), page="page.html"))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("written: ")]
    files = [tmp_path / name for name in ("a.vtt", "b.vtt", "a.eaf", "b.eaf")]
    assert lines == ["written: page.html", *(f"written: {file}" for file in files)]


def test_one_file_for_several_recordings_is_refused(tmp_path: Path) -> None:
    from dualstream.pipeline.bundles.inputs import Item

    items = [Item("a.mp4", Path("a.mp4")), Item("b.mp4", Path("b.mp4"))]
    with pytest.raises(UsageError, match=r"--vtt .*x\.vtt is one file, and there are 2 recordings"):
        check_places({"vtt": tmp_path / "x.vtt"}, items, replace=False)
    odd = [Item("a\\nb.mp4", Path("a\nb.mp4"))]  # is written by the name that can be printed
    (tmp_path / "a\\nb.vtt").touch()
    with pytest.raises(UsageError, match=r"a.*nb\.vtt already exists"):
        check_places({"vtt": tmp_path}, odd, replace=False)
    (tmp_path / "b.srt").touch()
    with pytest.raises(UsageError, match=r"b\.srt already exists"):
        check_places({"srt": tmp_path}, items, replace=False)
    check_places({"srt": tmp_path}, items, replace=True)


def test_the_options_of_each_kind_name_its_place(tmp_path: Path) -> None:
    from dualstream.pipeline.options.bundles import PredictOptions

    places = {kind: tmp_path / kind for kind in KINDS}
    assert PredictOptions(**places, csv=tmp_path / "t.csv").annotations == places
    assert PredictOptions(elan=tmp_path).annotations == {"elan": tmp_path} and PredictOptions().annotations == {}


# The page of a recording


def timeline(duration_s: float, rng: np.random.Generator) -> Timeline:
    """As of a real clip: a window each half second, eight frames of 224 squared, of noise that JPEG can't shrink."""
    count = max(1, round(duration_s * 2) - 1)
    shares = rng.dirichlet(np.ones(2), count)
    frames = tuple((float(t), rng.integers(0, 255, (224, 224, 3), dtype=np.uint8)) for t in range(8))
    centres_s = np.arange(count) / 2 + 0.5
    spans_s = np.stack([centres_s - 1, centres_s + 1], axis=1)
    return Timeline(centres_s, spans_s, {"emotion": shares, "sentiment": shares}, frames, 16 / 9, duration_s)


@pytest.mark.parametrize("length_s", [1.0, 2.5, 5.0])
def test_the_page_of_ten_minutes_stays_below_a_megabyte(length_s: float) -> None:
    pytest.importorskip("PIL")
    rng = np.random.default_rng(0)
    count = int(600 / length_s)
    said = [answered("film.mp4", k * length_s, (k + 1) * length_s, k % 3) for k in range(count)]
    shared = timeline(length_s, rng)
    seven = {**shared.probabilities, "emotion": rng.dirichlet(np.ones(7), len(shared.time_s))}
    names = {"emotion": (*EMOTIONS, "fear", "sadness", "disgust", "anger", "neutral"), "sentiment": SENTIMENTS}
    shares = dict.fromkeys(names["emotion"], 1 / 7)
    said = [replace(one, emotion=TaskAnswer("joy", 0.9, shares, shares, {})) for one in said]
    page = prediction_page(
        replace(report(*said), vocabulary=names), [replace(shared, probabilities=seven)] * count
    )
    assert len(page.encode()) < 1_000_000
    assert page.count("<rect") == 2 * count and page.count('<a href="#u') == 2 * count
    assert 'id="u1"' in page and f'id="u{count}"' in page
    assert ">09:00</text>" in page and page.count("data:image/jpeg") >= 8
    assert "film.mp4 09:55–10:00" in page or length_s < 5


def test_a_colour_stands_for_a_class_whatever_the_order() -> None:
    names = ["joy", "neutral", "sadness", "awe", "Anger"]
    assert colours(names) == colours(names[::-1]) and len(set(colours(names).values())) == len(names)


def test_clock_and_ticks() -> None:
    assert [clock(s) for s in (0, 59.4, 61, 3599.6, 3661)] == ["00:00", "00:59", "01:01", "1:00:00", "1:01:01"]
    assert ticks(0, 600) == [60.0 * k for k in range(11)] and ticks(61.2, 64.0) == [61.5, 62, 62.5, 63, 63.5, 64]


def test_a_recording_that_a_manifest_cuts_is_headed_by_its_file(one: PredictionReport) -> None:
    """Rows of a manifest are called by their ids, which are not the recording's name."""
    rows = [
        replace(answered("clips/film <1>.mp4", *span, number), name=f"dia{number}")
        for number, span in enumerate(SPANS)
    ]
    page = prediction_page(report(*rows), [None] * len(rows))
    assert page.count("<h2") == 1 and "<h2>film &lt;1&gt;.mp4</h2>" in page
    assert '<h3 id="u1">dia0 00:00–00:02</h3>' in page
    cut = prediction_page(one, [None] * len(one.utterances))  # --segments: names begin with the recording's
    assert "<h2>film.mp4</h2>" in cut
