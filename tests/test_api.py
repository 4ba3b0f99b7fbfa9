"""The Python functions do what the commands do, print nothing, and return what can be looked at."""

import csv
import json
import logging
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from dualstream.pipeline.cache import write_cache
from dualstream.pipeline.commands import compare as compare_command
from dualstream.pipeline.commands import fit_head as fit_command
from dualstream.pipeline.errors import NoCacheError, UsageError
from dualstream.pipeline.reporting import heartbeat
from dualstream.pipeline.reporting.progress import Progress

import dualstream
from tests.heads.diagnosis.without_signs import without_signs
from tests.pipeline.planted_corpus import planted_cache


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    place = tmp_path_factory.mktemp("api") / "cache.h5"
    write_cache(place, planted_cache())
    return place


@pytest.fixture(scope="module")
def run(cache):
    return dualstream.fit_head(str(cache), "linear", cache.parent / "run", seeds=[0], report=False)


def test_read_cache_takes_a_text(cache):
    found = dualstream.read_cache(str(cache))
    assert len(found.utterances) == 400
    with pytest.raises(NoCacheError):
        dualstream.read_cache(str(cache) + ".not")


def test_fit_head_writes_the_commands_run_and_prints_nothing(cache, run, tmp_path, capfd):
    again = dualstream.fit_head(cache, "linear", tmp_path / "api", seeds=[0], report=False)
    options = fit_command.FitHeadOptions(report=False)
    by_command = fit_command.fit_head(
        cache, "linear", tmp_path / "command", fit=fit_command.FitOptions(seeds=(0,)), options=options
    )
    assert again["scores"] == by_command.metrics.to_json()
    assert capfd.readouterr() == ("", "")
    with (tmp_path / "api" / "predictions_dev.csv").open(newline="") as file:  # accuracy, counted by hand
        rows = list(csv.DictReader(file))
    accuracy = again["scores"]["tasks"]["emotion"]["accuracy"]["mean"]
    assert accuracy == pytest.approx(np.mean([row["emotion"] == row["emotion_predicted"] for row in rows]))
    uar = again["scores"]["tasks"]["emotion"]["balanced_accuracy"]["mean"]
    assert repr(again).startswith(f"RunResult(linear, 80 utterances of dev, emotion UAR {uar:.3f}, sentiment UAR")
    table = again.to_pandas()
    assert table.set_index(["task", "metric"]).loc[("emotion", "accuracy"), "mean"] == accuracy


def test_an_option_changes_the_fit(cache, run, tmp_path):
    heavy = dualstream.fit_head(cache, "linear", tmp_path / "run", seeds=[0], penalty=1e9, report=False)
    assert heavy["config"]["options"]["penalty"] == 1e9
    scores = [one["scores"]["tasks"]["emotion"]["log_loss"]["mean"] for one in (run, heavy)]
    assert scores[0] < scores[1]


def test_folds_and_answering_are_keywords(cache, tmp_path):
    found = dualstream.fit_head(
        cache, "linear", tmp_path / "run", folds="speaker:3", ensemble=True, seeds=[0, 1], report=False
    )
    assert found["config"]["folds"] == "speaker:3" and found["config"]["answering"]["ensemble"] is True
    assert found["scores"]["models"] == ["ensemble of 2"]


def test_fit_head_fails_as_the_command_does(cache, run):
    with pytest.raises(UsageError, match="already exists"):
        dualstream.fit_head(cache, "linear", run.path, report=False)
    with pytest.raises(TypeError, match="did you mean epochs"):
        dualstream.fit_head(cache, "linear", run.path, epoch=1)


def test_evaluate_logs_each_look_at_test(run):
    first, second = (dualstream.evaluate(run.path) for _ in range(2))
    assert (first["times_before"], second["times_before"]) == (0, 1)
    assert repr(first).startswith("EvaluationResult(linear, 80 utterances of test, emotion UAR 0.")
    assert dualstream.evaluate(run.path, "dev")["split"] == "dev"


def test_compare_has_the_commands_rows(cache, tmp_path):
    found = dualstream.compare(
        cache,
        tmp_path / "api",
        fusions=["linear", "linear_video", "linear_audio"],
        seeds=[0],
        report=False,
        epochs=2,
    )
    stored = json.loads((tmp_path / "api" / "compare.json").read_text())
    assert [row["variant"] for row in found["rows"]] == [row["variant"] for row in stored["rows"]]
    table = found.to_pandas().set_index("variant")
    for row in stored["rows"]:
        mean = row["scores"]["tasks"]["emotion"]["balanced_accuracy"]["mean"]
        assert table.loc[row["variant"], "emotion_balanced_accuracy"] == mean
    best = table["emotion_balanced_accuracy"].idxmax()
    assert f"best emotion: {best} " in repr(found)
    assert compare_command.choose(["linear"])[-1] in table.index


@without_signs()
def test_diagnose_takes_a_text_for_the_other_cache(cache, tmp_path):
    found = dualstream.diagnose(
        cache,
        tmp_path / "d",
        fusion="linear",
        interventions=(),
        seeds=[0],
        against=str(cache),
        task="sentiment",
        limits=False,
        measures=False,
    )
    assert found["against"]["name"] == "cache.h5"
    assert repr(found).startswith("DiagnosisResult(causes: ")
    assert len(found.to_pandas()) == len(found["causes"])
    with pytest.raises(TypeError, match="has no option 'tasks'"):
        dualstream.diagnose(cache, tmp_path / "d", tasks=["emotion"])


class Text(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = set(), ""

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.text += data


def test_results_are_tables_in_a_notebook(run):
    page = Text()
    page.feed(run._repr_html_())
    assert page.tags <= {"p", "b", "table", "tr", "td"} and "balanced_accuracy" in page.text


def test_a_library_draws_no_bar_even_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with heartbeat.silenced(), Progress(3) as progress:
        progress.advance(failed=False)
    assert capsys.readouterr().err == ""
    with Progress(3) as progress:
        progress.advance(failed=False)
    assert "clips" in capsys.readouterr().err


def test_notes_are_logged_and_never_printed():
    logger = logging.getLogger("dualstream")
    assert dualstream.fit_head is not None  # loads the functions
    assert any(isinstance(handler, logging.NullHandler) for handler in logger.handlers)
