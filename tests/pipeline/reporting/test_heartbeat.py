"""Plain lines of progress where standard error is no terminal."""

import json
import re
import time

import pytest
from dualstream.pipeline.cache import write_cache
from dualstream.pipeline.reporting import heartbeat
from dualstream.pipeline.reporting.heartbeat import Heartbeat, format_duration
from dualstream.pipeline.reporting.progress import Progress
from dualstream.pipeline.reporting.terminal import ProgressLine, event_words, share_done, time_left_s
from typer.testing import CliRunner

from dualstream import cli
from tests.pipeline.planted_corpus import planted_cache

TICK_S = 0.02


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(heartbeat, "EVERY_S", TICK_S)


def wait_for(text, read, limit_s=10.0):
    """Read standard error until it holds `text`; return all that was read."""
    seen, end = "", time.monotonic() + limit_s
    while text not in seen and time.monotonic() < end:
        time.sleep(TICK_S)
        seen += read().err
    return seen


def test_clips_are_counted_with_rate_time_left_and_failures(quick, capsys):
    with Progress(12) as progress:
        for k in range(3):
            progress.advance(failed=k == 0)
        progress.rate.started_s = time.monotonic() - 60  # 3 clips in a minute: 9 more take 3 minutes
        seen = wait_for("left", capsys.readouterr)
    assert re.search(
        r"^\[\d+ m?s\] clips: 3 of 12 done, 0\.05/s, (3 min 0 s|2 min 59 s) left, 1 failed$", seen, re.M
    )


def test_nothing_is_printed_before_the_first_beat(capsys):
    with Progress(12) as progress:
        progress.advance(failed=False)
    assert capsys.readouterr().err == ""


def test_the_innermost_heartbeat_reports_alone(quick, capsys):
    with Heartbeat(lambda: "outer"):
        with Heartbeat(lambda: "inner"):
            wait_for("inner", capsys.readouterr)
            assert "outer" not in wait_for("inner", capsys.readouterr)
        assert "outer" in wait_for("outer", capsys.readouterr)


def test_a_silent_heartbeat_silences_the_outer_one(quick, capsys):
    with Heartbeat(lambda: "outer"), Heartbeat(lambda: "drawn", silent=True):
        time.sleep(5 * TICK_S)
        assert capsys.readouterr().err == ""


def test_parts_that_are_shorter_than_a_beat_are_heard(monkeypatch, capsys):
    """The clock is the command's, not each part's: no part lasts as long as a beat, and lines come all the same."""
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.2)
    with Heartbeat(lambda: "outer"):
        end = time.monotonic() + 10
        seen = ""
        while "part" not in seen and time.monotonic() < end:
            with Heartbeat(lambda: "part"):
                time.sleep(0.05)
            seen += capsys.readouterr().err
    assert re.search(r"^\[\d+ m?s\] part$", seen, re.M)


def test_no_line_comes_after_the_end(quick, capsys):
    with ProgressLine() as line:
        line({"variant": "concat", "epoch": 3, "epochs": 60})
        assert "concat, epoch 3 of 60" in wait_for("concat", capsys.readouterr)
        line.stop()
        time.sleep(2 * TICK_S)
        capsys.readouterr()
        time.sleep(5 * TICK_S)
        assert capsys.readouterr().err == ""


def test_a_closed_standard_error_is_no_failure(quick, monkeypatch):
    class Closed:
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Closed())
    with Heartbeat(lambda: "at work") as beat:
        time.sleep(3 * TICK_S)
        assert beat.line().endswith("at work")


def test_compare_counts_its_variants():
    event = {"variant": "gated", "epoch": 2, "epochs": 60, "done": 4, "of": 17}
    assert event_words(event) == "variant 5 of 17: gated, epoch 2 of 60"


@pytest.mark.parametrize(
    ("event", "share"),
    [
        ({"variant": "a", "done": 4, "of": 16}, 0.25),
        ({"variant": "a", "done": 4, "of": 16, "epoch": 20, "epochs": 40}, 4.5 / 16),
        ({"variant": "a", "done": 0, "of": 2, "epoch": 20, "epochs": 40, "fold": 3, "folds": 5}, 0.25),
        ({"side_by_side": [{"epoch": 3, "epochs": 4}, {"epoch": 1, "epochs": 4}], "done": 1, "of": 4}, 0.5),
    ],
)
def test_how_much_of_a_comparison_is_done(event, share):
    assert share_done(event) == pytest.approx(share)


def test_compare_says_how_long_the_rest_takes():
    assert time_left_s(0.25, 60.0) == pytest.approx(180) and time_left_s(0.001, 60.0) is None
    assert time_left_s(1.0, 60.0) is None
    with ProgressLine() as line:
        line({"variant": "concat", "done": 1, "of": 4})
        line._began_s -= 60
        assert line._heartbeat.line().endswith("variant 2 of 4: concat, about 3 min 0 s left")
        line({"variant": "concat", "epoch": 3, "epochs": 60})  # of one fit among an unknown number
        assert "left" not in line._heartbeat.line()


def test_json_on_standard_output_and_lines_on_standard_error(quick, tmp_path):
    cache = tmp_path / "cache.h5"
    write_cache(cache, planted_cache())
    words = ["compare", str(cache), "--fusions", "concat", "--epochs", "8", "--out", str(tmp_path / "cmp")]
    words += ["--seeds", "2"]
    done = CliRunner().invoke(cli.app, [*words, "--no-report", "--json", "--workers", "1"])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["rows"]
    assert "concat" in {row["variant"] for row in rows}
    assert re.search(rf"^\[\d+ m?s\] variant \d of {len(rows)}: \w+", done.stderr, re.M)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.85, "850 ms"), (12, "12 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text
