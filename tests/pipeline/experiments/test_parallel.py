"""Variants side by side: the same rows as one after the other, and no process that dies or is stopped loses another's."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline.cache import write_cache
from dualstream.pipeline.commands import compare
from dualstream.pipeline.experiments import protocol
from dualstream.pipeline.experiments.comparison import VariantRow
from dualstream.pipeline.experiments.parallel import VariantJob, fit_all
from dualstream.pipeline.experiments.protocol import DecodingOptions
from dualstream.pipeline.experiments.training_data import corpus_of
from dualstream.pipeline.reporting.terminal import event_words
from typer.testing import CliRunner

from dualstream import cli
from tests.pipeline.crashing import alive, wait_for
from tests.pipeline.planted_corpus import planted_cache

CHOSEN = ["linear_audio", "concat", "dialogue"]
QUICK = FitOptions(seeds=(0, 1), epochs=4, patience=2, hidden=16, threads=1)
BRIEF = FitOptions(seeds=(0,), epochs=20, patience=19, hidden=16, threads=1)
ENDLESS = FitOptions(seeds=(0,), epochs=100_000, patience=99_999, hidden=16, threads=1)


def work(fit: FitOptions = QUICK) -> VariantJob:
    return VariantJob(protocol.plan(corpus_of(planted_cache())), fit, DecodingOptions())


def untimed(rows: list[VariantRow]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.to_json().items() if key != "fit_s"} for row in rows]


def test_the_rows_are_those_of_one_after_the_other() -> None:
    alone, answers, _ = fit_all(work(), CHOSEN, workers=1)
    heard: list[dict[str, Any]] = []
    beside, others, interrupted = fit_all(work(), CHOSEN, workers=2, progress=heard.append)
    assert not interrupted
    assert [row["variant"] for row in beside] == CHOSEN
    assert repr(untimed(beside)) == repr(untimed(alone))
    for name in CHOSEN:
        for one, other in zip(answers[name].models, others[name].models, strict=True):
            np.testing.assert_array_equal(one.emotion, other.emotion)
    assert max(len(event["side_by_side"]) for event in heard) == 2
    assert heard[-1]["of"] == len(CHOSEN)


def test_an_interrupt_keeps_what_is_done() -> None:
    def stop(event: dict[str, Any]) -> None:
        told = {one["variant"]: one.get("epoch", 0) for one in event["side_by_side"]}
        if event["done"] == 1 and told.get("video", 0) >= 2:
            raise KeyboardInterrupt

    rows, predictions, interrupted = fit_all(
        work(ENDLESS), ["linear_audio", "video", "concat", "tensor"], workers=2, progress=stop
    )
    assert interrupted
    assert {row["variant"]: row["reason"] for row in rows} == {
        "linear_audio": "",
        "video": "interrupted before it was finished",
        "concat": "interrupted before it was finished",
        "tensor": "not reached",
    }
    assert list(predictions) == ["linear_audio"]


def _kill_at_work() -> None:
    for child in multiprocessing.active_children():
        os.kill(child.pid or 0, signal.SIGKILL)


def test_processes_that_are_killed_cost_no_row() -> None:
    """Those that were at work are fitted again, each alone; of what was done and what waited nothing is lost."""
    killed: list[dict[str, Any]] = []

    def kill(event: dict[str, Any]) -> None:
        if not killed and event["done"] and event["side_by_side"]:
            killed.append(event)
            _kill_at_work()

    chosen = ["linear_audio", "video", "linear"]
    rows, predictions, interrupted = fit_all(work(BRIEF), chosen, workers=2, progress=kill)
    assert killed and not interrupted
    alone, expected, _ = fit_all(work(BRIEF), chosen, workers=1)
    assert {row["status"] for row in rows} == {"done"} and sorted(predictions) == sorted(expected)
    assert repr(untimed(rows)) == repr(untimed(alone))


def test_one_whose_process_ends_each_time_is_a_reason() -> None:
    def kill(event: dict[str, Any]) -> None:
        if any(one["variant"] == "video" and one.get("epoch", 0) >= 2 for one in event["side_by_side"]):
            _kill_at_work()

    rows, _, _ = fit_all(work(ENDLESS), ["linear_audio", "video"], workers=2, progress=kill)
    assert [row["status"] for row in rows] == ["done", "failed"]
    assert "twice" in rows[1]["reason"] and "memory" in rows[1]["reason"]


KILLED = """
import multiprocessing, os, signal
from tests.pipeline.experiments.test_parallel import ENDLESS, fit_all, work
def end(event):
    if len(event["side_by_side"]) == 2 and all(one.get("epoch") for one in event["side_by_side"]):
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
fit_all(work(ENDLESS), ["video", "concat"], workers=2, progress=end)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
def test_processes_end_with_the_one_that_they_fit_for(tmp_path: Path) -> None:
    with open(tmp_path / "children", "w") as file:
        subprocess.run([sys.executable, "-c", KILLED], cwd=Path(__file__).parents[3], stdout=file, timeout=120)
    children = [int(one) for one in (tmp_path / "children").read_text().split()]
    assert len(children) == 2
    try:
        wait_for(lambda: not any(alive(one) for one in children))
    finally:
        for one in filter(alive, children):
            os.kill(one, signal.SIGKILL)


def test_events_read_as_one_line() -> None:
    event = {
        "side_by_side": [{"variant": "concat", "epoch": 3, "epochs": 40}, {"variant": "linear"}],
        "done": 4,
        "of": 19,
    }
    assert event_words(event) == "4 of 19 variants done; concat, epoch 3 of 40; linear"
    assert event_words({**event, "side_by_side": [], "done": 19}) == "19 of 19 variants done"


def test_the_command_asks_for_so_many_processes(tmp_path, monkeypatch) -> None:
    write_cache(tmp_path / "c.h5", planted_cache())
    asked: list[int] = []

    def in_turn(work: VariantJob, chosen: list[str], *, workers: int, **how: Any) -> Any:
        asked.append(workers)
        return fit_all(work, chosen, workers=1, **how)

    monkeypatch.setattr(compare, "fit_all", in_turn)
    words = [
        "compare",
        str(tmp_path / "c.h5"),
        "--fusions",
        "linear",
        "--seeds",
        "1",
        "--epochs",
        "1",
        "--no-report",
    ]
    found = CliRunner().invoke(cli.app, [*words, "--workers", "2", "--out", str(tmp_path / "cmp")])
    assert found.exit_code == 0 and asked == [2], found.output


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_command(tmp_path, workers) -> None:
    write_cache(tmp_path / "c.h5", planted_cache())
    words = [
        "compare",
        str(tmp_path / "c.h5"),
        "--seeds",
        "2",
        "--epochs",
        "2",
        "--no-report",
        "--workers",
        workers,
    ]
    found = CliRunner().invoke(cli.app, [*words, "--fusions", "concat", "--out", str(tmp_path / "cmp")])
    assert found.exit_code == 0, found.output
    assert "concat" in found.stdout
