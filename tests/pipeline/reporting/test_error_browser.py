"""The error browser: what it lists, in which order, and that nothing a corpus says becomes a part of the page."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from dualstream.features.media import write_clip
from dualstream.heads.diagnosis.evidence import DiagnosisOptions
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline.cache import write_cache
from dualstream.pipeline.commands.diagnose import DiagnoseOptions, diagnose
from dualstream.pipeline.corpus.manifest import Manifest
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.experiments.error_rows import ErrorRow
from dualstream.pipeline.extraction.thumbnails import middle_frames
from dualstream.pipeline.reporting.error_browser import ErrorBrowser

from tests.pipeline.planted_corpus import planted_cache

QUICK = DiagnosisOptions(
    fusion="concat_norm",
    folds=3,
    fit=FitOptions(seeds=(0,), epochs=4, patience=2, hidden=16, threads=1),
    interventions=(),
    limits=False,
)


def row(name: str, face: float, voice: float, **fields: object) -> ErrorRow:
    given = {
        "id": name, "split": "dev", "speaker": "Ross", "dialogue": "", "duration_s": float("nan"), "label": "joy",
        "answer": "anger", "probability": 0.25, "streams": {"face": face, "voice": voice},
        "alone": {"face": "joy", "voice": "anger"}, "lacks": (), "misled_by": "face" if face < 0 else "",
    }  # fmt: skip
    return ErrorRow(**{**given, **fields})  # type: ignore[arg-type]


def document(page: str):
    found = re.search(r'<script type="application/json" id="rows">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_a_page_holds_its_rows_and_runs_its_own_script_only() -> None:
    browser = ErrorBrowser("t", "l", [row("a", -2.0, 1.0), row("b", 0.5, 0.5, answer="joy")], ("face", "voice"))
    page = browser.html("errors-dev")
    assert '<a href="errors-dev.csv">' in page and page.count('<th scope="col"') == page.count("<th") - 1 == 7
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'" in page
    assert "http:" not in page and "https:" not in page and "innerHTML" not in page
    rows = document(page)["rows"]
    assert [(one["id"], one["right"], one["streams"], one["time"]) for one in rows] == [
        ("a", False, [-2.0, 1.0], ""), ("b", True, [0.5, 0.5], "")
    ]  # fmt: skip
    assert (
        '<option value="stream:face">most misled by face</option>' in page and 'name="speaker"' not in page
    )  # there is only one


def test_what_a_corpus_says_stays_text() -> None:
    bad = '</script><img src=x onerror="alert(1)">'
    page = ErrorBrowser(bad, bad, [row("a", -1, 0, speaker=bad), row("b", -1, 0)], ("face", "voice")).html()
    assert "<img src=x" not in page and page.count("</script>") == 2
    assert document(page)["rows"][0]["speaker"] == bad


def test_a_diagnosis_lists_train_and_dev_the_most_misled_first(tmp_path: Path) -> None:
    cache = planted_cache(sizes={"train": 90, "dev": 30, "test": 30})
    write_cache(tmp_path / "cache.h5", cache)
    diagnose(tmp_path / "cache.h5", tmp_path / "out", DiagnoseOptions(diagnosis=QUICK))
    with (tmp_path / "out" / "errors.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    truth = dict(zip(cache.utterances.id, cache.utterances.split, strict=True))
    assert len(rows) == 120 and {one["split"] for one in rows} == {"train", "dev"}
    assert all(truth[one["id"]] == one["split"] for one in rows)
    worst = [min(float(one["video_nats"]), float(one["audio_nats"])) for one in rows]
    assert worst == sorted(worst)
    codes = dict(zip(cache.utterances.id, cache.utterances.emotion.tolist(), strict=True))
    assert len({(codes[one["id"]], one["label"]) for one in rows}) == len({one["label"] for one in rows}) == 3
    page = (tmp_path / "out" / "errors.html").read_text()
    assert [one["id"] for one in document(page)["rows"]] == [one["id"] for one in rows]
    assert not {one for one, split in truth.items() if split == "test"} & {one["id"] for one in rows}
    assert '<a href="errors.html">' in (tmp_path / "out" / "report.html").read_text()
    assert '<a href="errors.csv">' in page


def test_without_measures_there_is_no_browser(tmp_path: Path) -> None:
    write_cache(tmp_path / "cache.h5", planted_cache(sizes={"train": 60, "dev": 20}))
    options = DiagnoseOptions(diagnosis=DiagnosisOptions(**{**vars(QUICK), "measures": False}))
    found = diagnose(tmp_path / "cache.h5", tmp_path / "out", options)
    assert found["measures"] is None and not (tmp_path / "out" / "errors.html").exists()
    assert "errors.html" not in (tmp_path / "out" / "report.html").read_text()


def test_thumbnails_come_from_the_middle_and_what_is_missing_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = np.zeros((20, 48, 64, 3), np.uint8)
    frames[8:12, :, :, 0] = 255  # red in the middle of two seconds
    write_clip(tmp_path / "a.mp4", frames, 10, None, 16_000)
    manifest = Manifest((Utterance("a", "a.mp4", "dev"), Utterance("b", "b.mp4", "dev")))
    found = middle_frames(manifest, tmp_path, {"a", "b"})
    assert set(found) == {"a"} and found["a"].shape == (96, 96, 3)
    red, green, _ = found["a"][48, 48]
    assert red > 150 > 80 > green
    assert "b: no thumbnail" in caplog.text
    assert middle_frames(manifest, tmp_path, {"c"}) == {}
