"""What the Python functions return: a document that reads like a dictionary, and views of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualstream.results import (
    CheckResult,
    ComparisonResult,
    DiagnosisResult,
    EvaluationResult,
    ExportResult,
    ExtractionResult,
    ManifestResult,
    Result,
    RunResult,
)

PLACE = Path("somewhere")


def metric(mean, interval=None):
    return {"mean": mean, "interval": interval}


SCORES = {
    "utterances": 12,
    "split": "dev",
    "tasks": {
        "emotion": {
            "balanced_accuracy": metric(0.5, [0.4, 0.6]),
            "accuracy": metric(0.25),
            "classes": ["joy"],
            "support": 3,
        },
        "sentiment": {"balanced_accuracy": metric(0.75)},
    },
}


def row(name, uar=None, status="done", reason=""):
    scores = None if uar is None else {"tasks": {"emotion": {"balanced_accuracy": metric(uar)}}}
    return {"variant": name, "status": status, "reason": reason, "scores": scores, "fit_s": 1.5}


COMPARED = {
    "metric": "balanced_accuracy", "split": "dev", "rows": [row("linear", 0.5), row("concat", 0.625), row("aligned", None, "failed", "no windows")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (
            ManifestResult({"utterances": 3, "splits": {"train": 2, "dev": 0, "test": 1}}, PLACE),
            "3 utterances: train 2, test 1",
        ),
        (
            ExtractionResult(
                {"utterances": 3, "failed": [{"id": "a", "reason": "x"}], "streams": {"audio": {"width": 192}}},
                PLACE,
            ),
            "3 utterances, 1 failed, audio 192",
        ),
        (
            ExtractionResult({"utterances": 3, "failed": [], "streams": {}}, PLACE),
            "3 utterances, 0 failed, nothing written",
        ),
        (
            RunResult({"config": {"variant": "linear"}, "scores": SCORES}, PLACE),
            "linear, 12 utterances of dev, emotion UAR 0.500, sentiment UAR 0.750",
        ),
        (
            EvaluationResult({"variant": "late", "scores": SCORES}, PLACE),
            "late, 12 utterances of dev, emotion UAR 0.500, sentiment UAR 0.750",
        ),
        (ComparisonResult(COMPARED, PLACE), "3 variants scored on dev, best emotion: concat 0.625"),
        (DiagnosisResult({"causes": [{"name": "drift"}, {"name": "leakage"}]}, PLACE), "causes: drift, leakage"),
        (DiagnosisResult({"causes": []}, PLACE), "causes: none"),
        (
            ExportResult({"variant": "linear", "models": 5, "streams": {"video": "cnn5"}, "files": []}, PLACE),
            "linear, 5 models, video=cnn5",
        ),
        (
            CheckResult({"utterances": 9, "counts": {"error": 1, "warning": 0, "note": 2}}, PLACE),
            "9 utterances, 1 error, 2 notes",
        ),
        (
            CheckResult({"utterances": 9, "counts": {"error": 0, "warning": 0, "note": 0}}, PLACE),
            "9 utterances, nothing found",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_result_in_a_line(result, shown):
    assert repr(result) == f"{type(result).__name__}({shown}, 'somewhere')"


def test_it_is_read_like_a_dictionary():
    found = ManifestResult({"utterances": 3, "splits": {}}, PLACE)
    assert found["utterances"] == 3 and dict(found) == {"utterances": 3, "splits": {}} and len(found) == 2
    assert "splits" in found and found.get("other") is None and list(found) == ["utterances", "splits"]
    with pytest.raises(KeyError):
        found["other"]
    assert found.path == PLACE


@pytest.mark.parametrize("kind", [RunResult, EvaluationResult])
def test_scores_are_a_line_per_task_and_metric(kind):
    document = {"scores": SCORES, "variant": "late", "config": {"variant": "late"}}
    assert kind(document, PLACE).table() == [
        ["task", "metric", "mean", "low", "high"],
        ["emotion", "balanced_accuracy", 0.5, 0.4, 0.6],
        ["emotion", "accuracy", 0.25, None, None],
        ["sentiment", "balanced_accuracy", 0.75, None, None],
    ]


def test_variants_that_failed_are_lines_too():
    assert ComparisonResult(COMPARED, PLACE).table() == [
        ["variant", "status", "reason", "emotion_balanced_accuracy", "fit_s"],
        ["linear", "done", "", 0.5, 1.5],
        ["concat", "done", "", 0.625, 1.5],
        ["aligned", "failed", "no windows", None, 1.5],
    ]


def test_clips_that_failed_causes_files_and_findings():
    failed = ExtractionResult({"failed": [{"id": "a", "reason": "empty"}], "utterances": 1, "streams": {}}, PLACE)
    assert failed.table() == [["id", "reason"], ["a", "empty"]]
    cause = {"name": "drift", "text": "t", "effect": 0.1, "advice": "a", "remedies": []}
    assert DiagnosisResult({"causes": [cause]}, PLACE).table()[1:] == [["drift", "t", 0.1, "a"]]
    assert ExportResult({"files": ["config.json"]}, PLACE).table() == [["file"], ["config.json"]]
    finding = {"code": "silent", "severity": "error", "what": "w", "means": "m", "cases": [1, 2]}
    assert CheckResult({"findings": [finding]}, PLACE).table()[1:] == [["silent", "error", "w", "m", 2]]


def test_a_notebook_shows_what_is_in_a_cell_as_text():
    found = ExtractionResult(
        {"failed": [{"id": "<b>a", "reason": "x & y"}], "utterances": 1, "streams": {}}, PLACE
    )
    page = found._repr_html_()
    assert "<td>&lt;b&gt;a</td><td>x &amp; y</td>" in page and page.count("<tr>") == 2


def test_a_table_is_a_data_frame():
    pytest.importorskip("pandas")
    frame = ComparisonResult(COMPARED, PLACE).to_pandas()
    assert (
        list(frame["variant"]) == ["linear", "concat", "aligned"]
        and frame["emotion_balanced_accuracy"].max() == 0.625
    )


def test_a_document_of_no_kind_has_no_views():
    bare = Result({}, PLACE)
    for view in (bare.summary, bare.table):
        with pytest.raises(NotImplementedError):
            view()
