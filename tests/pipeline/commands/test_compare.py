"""compare: one table, tests against the best single stream, a failure is a row, Ctrl-C keeps what is done."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions, Progress
from dualstream.pipeline import experiments
from dualstream.pipeline.cache import write_cache
from dualstream.pipeline.commands.compare import CompareOptions, choose, compare_on, describe, failed_rows
from dualstream.pipeline.commands.fit_head import fit_head_on
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.experiments.protocol import DecodingOptions
from dualstream.pipeline.experiments.training_data import corpus_of
from dualstream.pipeline.reporting.report import comparison_rows
from dualstream.pipeline.reporting.tables import TOO_GOOD, console, print_scores
from typer.testing import CliRunner

from dualstream import cli
from tests.figure_files import drawn_files
from tests.pipeline.planted_corpus import constant_variant, planted_cache
from tests.registries import variants

ROOT = Path(__file__).resolve().parents[3]
QUICK = FitOptions(seeds=(0, 1), epochs=3, patience=2, hidden=16, threads=1)
SINGLES = ["video", "audio"]
LINEAR = registry.get("linear")


@pytest.fixture
def few() -> Iterator[None]:
    """Cut the registry down to the single streams and concatenation."""
    with variants(only=(*SINGLES, "concat")):
        yield


def compared(tmp_path, fusions=None, fit: FitOptions = QUICK, progress: Progress | None = None, **options) -> dict:
    """Compare on the planted cache; drawing is left to the tests that look at the page."""
    corpus = options.pop("corpus", None) or corpus_of(planted_cache())
    options = {"report": False} | options
    return compare_on(
        corpus, tmp_path / "cmp", choose(fusions), fit=fit, options=CompareOptions(**options), progress=progress
    )


def row_of(document: dict, name: str) -> dict:
    return next(row for row in document["rows"] if row["variant"] == name)


def test_fusion_of_complementary_streams_beats_the_better_one(few, tmp_path) -> None:
    corpus = corpus_of(planted_cache(sizes={"train": 400, "dev": 200}, strength=3.0))
    found = compared(tmp_path, corpus=corpus, fit=dataclasses.replace(QUICK, epochs=20, patience=4))
    assert [row["status"] for row in found["rows"]] == ["done"] * 3
    assert [row["single"] for row in found["rows"]] == [True, True, False]
    uar = {row["variant"]: row["scores"]["tasks"]["emotion"]["balanced_accuracy"]["mean"] for row in found["rows"]}
    best = max(SINGLES, key=uar.get)
    assert found["best_single"]["emotion"] == best
    test = next(t for t in found["tests"] if (t["variant"], t["task"]) == ("concat", "emotion"))
    assert test["against"] == best
    assert test["difference"] == pytest.approx(uar["concat"] - uar[best])
    assert test["difference"] > 0.05 and test["interval"][0] > 0 and test["p_value"] < 0.05
    assert {row["variant"] for row in found["tests"] if row["task"] == "emotion"} == {"concat", *SINGLES} - {best}


def test_p_values_are_corrected_by_holm(few, tmp_path) -> None:
    found = compared(tmp_path)
    own = sorted((t for t in found["tests"] if t["task"] == "emotion"), key=lambda t: t["p_value"])
    # by hand: the smallest of two times two, the other at least as large
    assert own[0]["p_holm"] == pytest.approx(min(1, 2 * own[0]["p_value"]))
    assert own[1]["p_holm"] == pytest.approx(max(own[0]["p_holm"], own[1]["p_value"]))


@pytest.mark.parametrize(
    ("folds", "patience", "stopped"), [(None, 4, "dev"), (None, 0, None), ("dialogue:3", 4, None)]
)
def test_rows_that_were_stopped_by_what_is_scored_say_so(few, tmp_path, folds, patience: int, stopped) -> None:
    """Beside the scores, in the terminal's table and on the page; solved rows look at no dev label."""
    registry.register(LINEAR, __name__)
    fit = dataclasses.replace(QUICK, seeds=(0,), epochs=2, patience=patience)
    found = compared(tmp_path, fit=fit, folds=folds, report=True)
    marks = {row["variant"]: row["scores"]["stopped_by"] for row in found["rows"]}
    assert marks == {"video": stopped, "audio": stopped, "concat": stopped, "linear": None}
    out = io.StringIO()
    print_scores(console(out), "emotion", comparison_rows(found))
    for text in (out.getvalue(), (tmp_path / "cmp" / "report.html").read_text()):
        text = " ".join(text.split())
        assert ("concat †" in text) is (stopped is not None) and "linear †" not in text
        note = (
            "† dev said when training was to stop: these scores are too good, and rows without † at a disadvantage"
        )
        assert (note in text) is (stopped is not None)


def test_tests_that_can_show_nothing_are_called_that(few, tmp_path) -> None:
    few_people = corpus_of(planted_cache(speakers=4))
    found = compared(tmp_path, corpus=few_people, folds="speaker")
    # four speakers can be swapped in 16 ways: a two-sided p of 2 / 16, and two tests are corrected by two
    said = [text for text in found["warnings"] if "can't give a p (Holm)" in text]
    assert said[0].startswith("emotion: 2 tests over 4 speakers can't give a p (Holm) below 0.25")
    assert min(test["p_holm"] for test in found["tests"]) >= 0.25
    assert not [text for text in compared(tmp_path / "more")["warnings"] if "p (Holm)" in text]  # 16 dialogues


def test_rows_are_single_streams_then_fusions_best_first(few, tmp_path, monkeypatch) -> None:
    registry.register(dataclasses.replace(constant_variant(), streams=("video", "audio")), __name__)
    found = compared(tmp_path)
    names = [row["variant"] for row in found["rows"]]
    assert set(names[:2]) == set(SINGLES) and names[2:] == ["concat", "constant"]
    scores = [row["scores"]["tasks"]["emotion"]["balanced_accuracy"]["mean"] for row in found["rows"]]
    assert scores[0] >= scores[1]
    assert any(warning.startswith("constant: ") and "collapse" in warning for warning in found["warnings"])


def test_a_failing_variant_is_a_row_with_its_reason(few, tmp_path) -> None:
    def fail(options: FitOptions, progress: Progress | None) -> None:
        raise ZeroDivisionError("planted")

    def refuse(options: FitOptions, progress: Progress | None) -> None:
        raise ValueError("needs smell-o-vision")

    registry.register(constant_variant("broken", fail), __name__)
    registry.register(constant_variant("picky", refuse), __name__)
    found = compared(tmp_path, report=True)
    assert row_of(found, "broken")["status"] == "failed"
    assert row_of(found, "broken")["reason"] == "ZeroDivisionError: planted"
    assert row_of(found, "picky")["status"] == "not applicable"
    assert row_of(found, "concat")["status"] == "done"
    assert failed_rows(found) == ["broken"]
    page = (tmp_path / "cmp" / "report.html").read_text()
    assert "ZeroDivisionError: planted" in page and "needs smell-o-vision" in page


def test_every_table_of_normalised_speakers_is_called_transductive(few, tmp_path) -> None:
    corpus = corpus_of(planted_cache(), speaker_norm=True)
    compared(tmp_path, corpus=corpus, report=True, fit=dataclasses.replace(QUICK, seeds=(0,)))
    page = (tmp_path / "cmp" / "report.html").read_text()
    for name in ("concat", *SINGLES):
        assert f'<th scope="row">{name} (transductive) {TOO_GOOD}</th>' in page  # dev stopped them, too
        assert f"<td>{name}</td>" not in page  # in the scores or in the paired tests
    assert "Best fusion: concat (transductive)" in page
    assert "the best of 3 rows by these very scores" in page and "by itself, not corrected" in page


def test_a_corpus_of_one_stream_has_rows_that_do_not_apply(few, tmp_path) -> None:
    cache = planted_cache()
    corpus = corpus_of(dataclasses.replace(cache, streams={"audio": cache.streams["audio"]}))
    found = compared(tmp_path, corpus=corpus)
    status = {row["variant"]: row["status"] for row in found["rows"]}
    assert status == {"audio": "done", "video": "not applicable", "concat": "not applicable"}
    assert row_of(found, "concat")["reason"] == "concat reads the video stream; this corpus has audio alone"
    assert failed_rows(found) == []


def test_ctrl_c_keeps_the_finished_rows(few, tmp_path) -> None:
    def stop(event: dict) -> None:
        if event["variant"] == "concat" and event.get("epoch") == 2:
            raise KeyboardInterrupt

    registry.register(constant_variant(), __name__)
    found = compared(tmp_path, fusions=["concat", "constant"], progress=stop, report=True)
    assert found["interrupted"]
    status = {row["variant"]: row["status"] for row in found["rows"]}
    # the constant variant calls itself a single stream, so it was fitted before
    assert status == {"video": "done", "audio": "done", "constant": "done", "concat": "interrupted"}
    assert json.loads((tmp_path / "cmp" / experiments.COMPARISON).read_text())["interrupted"]
    assert (tmp_path / "cmp" / "report.html").is_file()


def test_single_streams_come_along_always(few) -> None:
    assert choose(["concat"]) == [*SINGLES, "concat"]
    assert choose(["audio"]) == SINGLES
    with pytest.raises(UsageError, match="no fusion variant is called 'magic'"):
        choose(["magic"])


def test_settings_go_to_the_variants_that_know_them(few, tmp_path) -> None:
    seen = {}

    def look(options: FitOptions, progress: Progress | None) -> None:
        seen.update(options.parameters)

    registry.register(dataclasses.replace(constant_variant("tunable", look), parameters={"rank": 4}), __name__)
    found = compared(tmp_path, fit=dataclasses.replace(QUICK, parameters={"rank": 8}))
    assert seen == {"rank": 8}
    assert row_of(found, "concat")["status"] == "done"


def test_a_balance_goes_to_the_variants_that_can_have_one(few, tmp_path) -> None:
    """Singles are fitted without it, as they are where nobody asks for one, and what joins is held to the best."""
    fit = dataclasses.replace(QUICK, balance="auxiliary")
    plain, document = compared(tmp_path / "plain"), compared(tmp_path, fit=fit)
    for name in SINGLES:
        assert row_of(document, name)["scores"] == row_of(plain, name)["scores"]
    assert row_of(document, "concat")["scores"] != row_of(plain, "concat")["scores"]
    others = {"concat", *SINGLES} - {document["best_single"]["emotion"]}
    assert {test["variant"] for test in document["tests"] if test["task"] == "emotion"} == others
    assert not document["warnings"] and not row_of(document, "concat")["reason"]


def test_a_balance_that_no_variant_can_have_is_named(few, tmp_path) -> None:
    write_cache(tmp_path / "c.h5", planted_cache())
    fit = dataclasses.replace(QUICK, balance="umt")
    options = CompareOptions(fusions=("video",))
    planned = describe(tmp_path / "c.h5", tmp_path / "cmp", fit=fit, options=options)
    assert list(planned.variants) == SINGLES and not planned.left_out
    assert "--balance has no effect: no variant uses it" in planned.warnings


def test_a_setting_that_nobody_knows_fails(few, tmp_path) -> None:
    with pytest.raises(UsageError, match="speed"):
        compared(tmp_path, fit=dataclasses.replace(QUICK, parameters={"speed": 8}))


def test_folds_hold_for_every_variant(few, tmp_path) -> None:
    found = compared(tmp_path, folds="speaker:3")
    assert found["split"] == "folds"
    assert {row["scores"]["utterances"] for row in found["rows"]} == {320}
    assert {row["scores"]["unit"] for row in found["rows"]} == {"speaker"}


def test_auto_is_called_by_what_it_chose_in_each_fold(monkeypatch, tmp_path) -> None:
    """On one sound stream that tells all, auto falls back on it, and is then no fusion of the page."""
    cache = planted_cache()
    blank = dataclasses.replace(
        cache.streams["video"], utterance=np.zeros_like(cache.streams["video"].utterance), windows=None,
        window_present=None, time_s=None,
    )  # fmt: skip
    corpus = corpus_of(dataclasses.replace(cache, streams=cache.streams | {"video": blank}))
    fit = dataclasses.replace(QUICK, parameters={"candidates": "linear_audio,linear_video,linear", "repeats": 1})
    chosen = ["auto", "linear_audio", "linear_late"]
    found = compare_on(corpus, tmp_path / "cmp", chosen, fit=fit, options=CompareOptions(folds="speaker:2"))
    row = row_of(found, "auto")
    assert row["chosen"] == ["linear_audio", "linear_audio"]
    # with more folds some are kept to stop by; what it chose stops by none, and learns from all that its like does
    more = compare_on(
        corpus, tmp_path / "more", chosen, fit=fit, options=CompareOptions(folds="speaker:3", report=False)
    )
    assert set(row_of(more, "auto")["chosen"]) == {"linear_audio"}
    assert row_of(more, "auto")["scores"]["tasks"] == row_of(more, "linear_audio")["scores"]["tasks"]
    page = (tmp_path / "cmp" / "report.html").read_text()
    assert "auto: linear_audio (2 of 2 folds)" in page
    assert "Best fusion: linear_late" in page


def test_joint_decoding_of_one_task_is_refused_before_anything_is_fitted(few, tmp_path) -> None:
    fit = dataclasses.replace(QUICK, tasks=("emotion",))
    with pytest.raises(UsageError, match="needs both tasks"):
        compared(tmp_path, fit=fit, answering=DecodingOptions(joint_decoding=True))


def test_options_that_no_variant_uses_are_named_once(few, tmp_path) -> None:
    found = compared(tmp_path, fit=dataclasses.replace(QUICK, penalty=2.0))
    assert [text for text in found["warnings"] if "--penalty" in text] == [
        "--penalty has no effect: no variant uses it"
    ]


def test_fits_outlive_a_page_that_can_t_be_drawn(few, tmp_path, monkeypatch) -> None:
    def broken(*_: Any) -> None:
        raise OSError("no fonts")

    monkeypatch.setattr("dualstream.pipeline.reporting.report.comparison_report", broken)
    monkeypatch.setattr("dualstream.pipeline.reporting.report.run_report", broken)
    with pytest.raises(OSError, match="no fonts"):
        compared(tmp_path, fusions=("concat",), report=True)
    assert len(json.loads((tmp_path / "cmp" / "compare.json").read_text())["rows"]) == 3
    with pytest.raises(OSError, match="no fonts"):
        fit_head_on(corpus_of(planted_cache()), "concat", tmp_path / "run", fit=QUICK)
    assert experiments.read_run(tmp_path / "run").config["variant"] == "concat"


def test_documents_hold_no_nan(few, tmp_path) -> None:
    compared(tmp_path)

    def walk(value: Any) -> None:
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(item)
        assert not isinstance(value, float) or math.isfinite(value)

    walk(json.loads((tmp_path / "cmp" / experiments.COMPARISON).read_text(), parse_constant=lambda text: math.nan))


def test_dry_run_says_what_would_be_fitted(few, tmp_path) -> None:
    cache = planted_cache()
    write_cache(tmp_path / "c.h5", dataclasses.replace(cache, streams={"audio": cache.streams["audio"]}))
    solved = dataclasses.replace(constant_variant("solved"), streams=("audio",), kind="solved")
    registry.register(solved, __name__)
    words = ["compare", str(tmp_path / "c.h5"), "--out", str(tmp_path / "cmp"), "--dry-run", "--seeds", "3"]
    found = CliRunner().invoke(cli.app, [*words, "--folds", "speaker:2", "--json"])
    assert found.exit_code == 0, found.output
    planned = json.loads(found.stdout)
    assert planned["variants"] == ["audio", "solved"]
    assert planned["left_out"] == {
        name: f"{name} reads the video stream; this corpus has audio alone" for name in ("video", "concat")
    }
    assert planned["fits"] == 2 * (3 + 1)  # in two folds three seeds, and what is solved once for all
    assert planned["splits"] == {"train": 240, "dev": 80, "test": 80}
    emotion = np.asarray(cache.utterances.emotion)[:320]
    majority = planned["scored"]["tasks"]["emotion"]["majority"]
    assert (majority["name"], majority["accuracy"]) == ("neutral", pytest.approx(np.mean(emotion == 0)))
    printed = CliRunner().invoke(cli.app, words)
    for expected in (
        "left out: concat reads the video stream",
        "3 seeds: 4 fits",
        "majority: neutral",
        "train 240",
    ):
        assert expected in printed.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["c.h5"]
    wrong = CliRunner().invoke(cli.app, [*words, "--set", "speed=3"])
    assert wrong.exit_code == 2 and "speed" in wrong.stderr


def test_dry_run_imports_no_torch(tmp_path) -> None:
    write_cache(tmp_path / "c.h5", planted_cache())
    script = (
        "import sys, cli\n"
        f"sys.argv = ['dualstream', 'compare', {str(tmp_path / 'c.h5')!r}, '--dry-run']\n"
        "try:\n    cli.app()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print('LOADED', 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    count = len(registry.names())
    assert f"would fit {count} of {count} variants" in found.stdout and "LOADED False" in found.stdout


def test_dry_run_leaves_out_what_reads_broken_rows(few, tmp_path) -> None:
    cache = planted_cache()
    rows = cache.streams["video"].utterance.copy()
    rows[3] = np.nan
    write_cache(
        tmp_path / "c.h5",
        dataclasses.replace(
            cache, streams=cache.streams | {"video": dataclasses.replace(cache.streams["video"], utterance=rows)}
        ),
    )
    planned = describe(tmp_path / "c.h5", tmp_path / "cmp", fit=QUICK, options=CompareOptions())
    assert planned["variants"] == ["audio"]
    assert all("utterances: train_0003;" in planned["left_out"][name] for name in ("video", "concat"))


def test_command(few, tmp_path) -> None:
    write_cache(tmp_path / "c.h5", planted_cache())
    words = ["compare", str(tmp_path / "c.h5"), "--seeds", "2", "--epochs", "2", "--threads", "1"]
    with drawn_files():
        found = CliRunner().invoke(cli.app, [*words, "--fusions", "concat", "--out", str(tmp_path / "cmp")])
    assert found.exit_code == 0, found.output
    drawn = sorted((tmp_path / "cmp" / "figures").iterdir())
    assert drawn and all(path.stat().st_size > 1_000 for path in drawn)
    printed = " ".join(found.stdout.split())
    for expected in (
        "majority: neutral",
        "p (Holm)",
        "best single stream",
        "rows: single streams, then fusions, each by UAR of emotion",
        "video",
        "audio",
        "concat",
        "fit",
    ):
        assert expected in printed
    assert (tmp_path / "cmp" / "report.html").is_file()
    words.append("--no-report")
    again = CliRunner().invoke(cli.app, [*words, "--out", str(tmp_path / "cmp")])
    assert again.exit_code == 2 and "--replace" in again.stderr
    registry.register(constant_variant("broken", lambda options, progress: 1 / 0), __name__)
    third = CliRunner().invoke(cli.app, [*words, "--out", str(tmp_path / "cmp"), "--replace", "--json"])
    assert third.exit_code == 3
    assert json.loads(third.stdout) == json.loads(Path(tmp_path / "cmp" / experiments.COMPARISON).read_text())
