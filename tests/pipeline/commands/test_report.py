"""report: one page that loads nothing, escapes everything, and shows what the documents say."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pytest
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline import experiments
from dualstream.pipeline.cache import Cache, write_cache
from dualstream.pipeline.commands.evaluate import evaluate
from dualstream.pipeline.commands.fit_head import FitHeadOptions, fit_head
from dualstream.pipeline.commands.report import report
from dualstream.pipeline.errors import NoCacheError, UsageError
from dualstream.pipeline.experiments.history import ModelHistory
from dualstream.pipeline.experiments.predictions import read_predictions
from dualstream.pipeline.experiments.protocol import DecodingOptions
from dualstream.pipeline.reporting import figures
from dualstream.pipeline.reporting.drawing import STYLE
from dualstream.pipeline.reporting.tables import Row, console, print_scores
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from typer.testing import CliRunner

from dualstream import cli
from tests.figure_files import drawn_files
from tests.pipeline.planted_corpus import planted_cache

QUICK = FitOptions(seeds=(0, 1), epochs=3, patience=2, hidden=8, threads=1)
HOSTILE = "<script>alert(1)</script>"


class Page(HTMLParser):
    """What a page holds: tags with their attributes, text, and what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.alts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "action", "data", "background", "poster"):
                self.loads.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)
            if name in ("alt", "aria-label"):
                self.alts.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """Return a run that no test changes."""
    return fitted(tmp_path_factory.mktemp("plain"), planted_cache())


@pytest.fixture(scope="module")
def written(plain, tmp_path_factory) -> tuple[Path, ...]:
    """Return the files of the page of `plain`, the page first; no test changes them."""
    with drawn_files():
        return report([plain], out=tmp_path_factory.mktemp("written") / "page")


def fitted(folder: Path, cache: Cache, name: str = "run", fusion: str = "concat") -> Path:
    if not (folder / "cache.h5").exists():
        write_cache(folder / "cache.h5", cache)
    fit_head(folder / "cache.h5", fusion, folder / name, fit=QUICK, options=FitHeadOptions(report=False))
    return folder / name


def hostile_cache() -> Cache:
    cache = planted_cache()
    return dataclasses.replace(
        cache,
        vocabulary={
            "emotion": [HOSTILE, '"><img src=x onerror=1>', "$\\frac{1}$ & 'co'"],
            "sentiment": ["a", "b", "c"],
        },
        provenance={"fingerprint": "f" * 64, "note": f"</pre>{HOSTILE}"},
        streams={
            name: dataclasses.replace(stream, spec={**stream.spec, "name": HOSTILE})
            for name, stream in cache.streams.items()
        },
    )


def test_page_shows_what_the_documents_say(tmp_path) -> None:
    run = fitted(tmp_path, planted_cache())
    evaluate(run)
    with drawn_files():
        written = report([run])
    assert written[0] == run / "report.html" and all(len(path.read_bytes()) > 1_000 for path in written)
    page = Page(written[0].read_text())
    config = experiments.read_run(run).config
    scores = experiments.read_run(run).metrics["tasks"]["emotion"]["balanced_accuracy"]
    for expected in (
        *(f"{100 * scores['mean']:.1f}", "majority class: neutral", "weighted F1", "calib. error"),
        *(config["cache"]["digest"], config["cache"]["fingerprint"], "planted, 6 columns", "scored once"),
        *("bootstrap over 16 dialogues", "learning_rate", "On the test split", "Scored once"),
    ):
        assert expected in page.text
    # scores, confusion and classes of test, confusion, classes, training
    assert len(page.alts) == 6 and all(page.alts)


def test_evaluate_puts_what_test_says_on_the_page_at_once(tmp_path) -> None:
    """Tables with every score and interval, confusion and classes; numbers by scikit-learn of what was predicted."""
    write_cache(tmp_path / "cache.h5", planted_cache())
    run = tmp_path / "run"
    fit_head(tmp_path / "cache.h5", "concat", run, fit=QUICK)
    assert "never scored" in (run / "report.html").read_text()
    found = CliRunner().invoke(cli.app, ["evaluate", str(run)])
    assert found.exit_code == 0 and f"on the run's page too: {run / 'report.html'}" in found.stdout
    text = (run / "report.html").read_text()
    page = Page(text)
    assert "never scored" not in page.text and "scored once, last on" in page.text
    own = text[text.index("On the test split") : text.index("How it answers")]
    assert "80 labelled utterances, second line: 95 % interval by a bootstrap over 16 dialogues" in own
    said = read_predictions(run / "predictions_test.csv", experiments.read_run(run).config["vocabulary"])
    scores = json.loads((run / "metrics_test.json").read_text())["tasks"]
    for task in ("emotion", "sentiment"):
        answers = [said.answers(i, task) for i in range(len(said.models))]
        for name, score in (
            ("accuracy", accuracy_score),
            ("balanced_accuracy", balanced_accuracy_score),
            ("weighted_f1", lambda true, one: f1_score(true, one, average="weighted")),
            ("macro_f1", lambda true, one: f1_score(true, one, average="macro")),
        ):
            low, high = (100 * end for end in scores[task][name]["interval"])
            mean = 100 * np.mean([score(said.true[task], one) for one in answers])
            assert f"{mean:.1f} ±" in own and f"{low:.1f}–{high:.1f}" in own
    assert {"confusion_test.png", "per_class_test.png"} <= {path.name for path in (run / "figures").iterdir()}
    assert sum("Confusion" in alt for alt in page.alts) == 2


def test_a_run_without_a_page_is_left_without(plain, tmp_path) -> None:
    shutil.copytree(plain.parent, tmp_path / "moved")
    assert evaluate(tmp_path / "moved" / "run")["report"] is None
    assert not (tmp_path / "moved" / "run" / "report.html").exists()


def test_scores_are_shown_whatever_becomes_of_the_page(tmp_path, monkeypatch) -> None:
    run = fitted(tmp_path, planted_cache())
    (run / "report.html").touch()

    def broken(*_: object) -> None:
        raise OSError("no fonts")

    monkeypatch.setattr("dualstream.pipeline.reporting.report.run_report", broken)
    found = CliRunner().invoke(cli.app, ["evaluate", str(run)])
    assert "UAR" in found.stdout and found.exit_code != 0
    assert len(experiments.read_test_log(run)) == 1


def test_a_fit_that_replaced_another_says_whose_scores_they_were(tmp_path) -> None:
    run = fitted(tmp_path, planted_cache())
    evaluate(run)
    options = FitHeadOptions(replace=True)
    fit_head(tmp_path / "cache.h5", "linear", run, fit=FitOptions(seeds=(0,)), options=options)
    page = (run / "report.html").read_text()
    assert "scored once, by a fit that this one replaced" in page and "On the test split" not in page
    evaluate(run)
    assert "scored 2 times (1 by replaced fits)" in (run / "report.html").read_text()


def test_scores_of_another_cache_are_called_that(tmp_path) -> None:
    run = fitted(tmp_path, planted_cache())
    (run / "report.html").touch()
    write_cache(tmp_path / "other.h5", planted_cache(seed=1))
    digest = evaluate(run, cache=tmp_path / "other.h5")["cache"]["digest"]
    page = (run / "report.html").read_text()
    assert f"another cache than the run&#x27;s: SHA-256 {digest}" in page
    assert "this is not the cache that the run was fitted on" in page


def test_figures_are_png_files_too_and_the_same(written) -> None:
    names = [path.name for path in written[1:]]
    drawn_names = ("scores_balanced_accuracy", "confusion", "per_class", "curves")
    assert names == [f"{name}.{kind}" for name in drawn_names for kind in ("png", "pdf")]
    for path in written[1::2]:
        image = matplotlib.image.imread(io.BytesIO(path.read_bytes()), format="png")
        assert image.shape[1] > 800 and image.std() > 0.01
    text = written[0].read_text()
    drawn = [ElementTree.fromstring(one) for one in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)]
    assert len(drawn) == 4
    words = [" ".join(one.itertext()) for one in drawn]
    assert "majority class" in words[0] and "UAR (balanced accuracy), per cent" in words[0]
    assert all("var(--ink)" in one for one in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert "#1f2933" not in text.partition("</style>")[2]  # what a dark page would hide


@drawn_files()
def test_fonts_of_pdf_files_can_be_edited(plain, tmp_path, font_kind, monkeypatch) -> None:
    """Journals refuse Type 3; TrueType is `CIDFontType2` inside a file."""
    monkeypatch.setitem(STYLE, "pdf.fonttype", font_kind)
    pdf = [path.read_bytes() for path in report([plain], out=tmp_path) if path.suffix == ".pdf"]
    assert len(pdf) == 4
    assert all(b"/CIDFontType2" in one and b"/Type3" not in one for one in pdf)


def test_page_loads_nothing_and_runs_nothing(written) -> None:
    page = Page(written[0].read_text())
    assert page.loads and all(load.startswith("#") for load in page.loads)  # what a drawing uses twice
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & set(page.tags)
    assert page.handlers == []


def test_hostile_names_stay_text(tmp_path) -> None:
    text = report([fitted(tmp_path, hostile_cache())])[0].read_text()
    page = Page(text)
    assert "<script" not in text and "onerror=1>" not in text.replace("onerror=1&gt;", "")
    assert page.text.count(HOSTILE) >= 2
    assert "script" not in page.tags and page.handlers == []


def test_several_runs_stand_side_by_side(plain, tmp_path) -> None:
    one = plain
    two = fitted(tmp_path, planted_cache(), "other", "linear_video")
    with pytest.raises(UsageError, match="--out"):
        report([one, two])
    written = report([one, two], out=tmp_path / "page")
    page = Page(written[0].read_text())
    assert "2 runs compared" in page.text and "run: concat" in page.text and "other: linear_video" in page.text
    assert len({path.name for path in written}) == len(written) == 15


def test_runs_of_different_caches_are_warned_of(plain, tmp_path) -> None:
    two = fitted(tmp_path, planted_cache(seed=1), fusion="linear_video")
    text = report([plain, two], out=tmp_path / "page")[0].read_text()
    assert "different caches" in text


def test_runs_scored_on_other_utterances_are_not_ranked(plain, tmp_path) -> None:
    """Each kind of rows has its majority line and its own words; no row is the best of both."""
    folded = FitHeadOptions(folds="speaker:3", report=False)
    fit_head(plain.parent / "cache.h5", "linear", tmp_path / "folded", fit=QUICK, options=folded)
    text = report([plain, tmp_path / "folded"], out=tmp_path / "page")[0].read_text()
    majority = [line for line in text.split("<tr") if "majority class: neutral" in line]
    assert ["80 utterances of dev" in line for line in majority] == [True, False] * 2  # of each task
    assert ["320 utterances, out of fold" in line for line in majority] == [False, True] * 2
    assert (
        "run: concat: 80 labelled utterances, second line: 95 % interval by a bootstrap over 16 dialogues" in text
    )
    assert (
        "folded: linear: 320 labelled utterances, second line: 95 % interval by a bootstrap over 6 speakers"
        in text
    )
    assert 'class="best' not in text and "emotion, UAR" not in text
    assert "80 or 320 utterances" in text
    same = report([plain, plain], out=tmp_path / "same")[0].read_text()
    assert 'class="best' in same and same.count("majority class: neutral") == 2


def test_ensembles_joint_answers_and_solved_rows_are_called_that(plain, written, tmp_path) -> None:
    both = FitHeadOptions(report=False, answering=DecodingOptions(ensemble=True, joint_decoding=True))
    run = fit_head(plain.parent / "cache.h5", "linear", tmp_path / "both", fit=QUICK, options=both)
    page = Page(report([tmp_path / "both"])[0].read_text())
    assert "linear (ensemble of 2, joint decoding)" in page.text
    assert "the answer is the likeliest pair of labels that training showed" in page.text
    assert "one and the same model for every seed" not in page.text  # one model, no spread
    out = io.StringIO()
    print_scores(console(out), "emotion", [Row("linear", run.metrics)])
    assert "one model (ensemble of 2)" in out.getvalue() and "(ensemble of 2, joint" not in out.getvalue()
    assert "likeliest pair" in " ".join(out.getvalue().split())
    each = FitHeadOptions(report=False)
    plainly = fit_head(plain.parent / "cache.h5", "linear", tmp_path / "plainly", fit=QUICK, options=each)
    out = io.StringIO()
    print_scores(console(out), "emotion", [Row("linear", run.metrics), Row("linear", plainly.metrics)])
    assert "linear (ensemble of 2, joint decoding)" in out.getvalue()  # where rows differ, each says so
    assert "one and the same model for every seed" in report([tmp_path / "plainly"])[0].read_text()
    assert "one and the same model for every seed" not in written[0].read_text()


def test_what_test_said_is_given_with_its_interval(plain, tmp_path) -> None:
    shutil.copytree(plain.parent, tmp_path / "moved")
    scores = evaluate(tmp_path / "moved" / "run")["scores"]["tasks"]["emotion"]["balanced_accuracy"]
    page = Page(report([tmp_path / "moved" / "run"])[0].read_text())
    low, high = (100 * end for end in scores["interval"])
    assert f"emotion UAR {100 * scores['mean']:.1f} % (95 % interval {low:.1f}–{high:.1f})" in page.text
    assert "Scored once, last on" in page.text


def test_what_is_no_run_fails(tmp_path) -> None:
    with pytest.raises(NoCacheError, match="no run"):
        report([tmp_path])
    with pytest.raises(UsageError):
        report([])


@drawn_files()
def test_same_run_draws_the_same_bytes(plain, written, tmp_path) -> None:
    again = report([plain], out=tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in written]


def test_a_solved_variant_has_no_curves() -> None:
    assert figures.curves([ModelHistory(0, "", {}, None, "converged")]) is None


@drawn_files()
def test_seeds_of_different_lengths_and_gaps_are_drawn() -> None:
    history = [
        ModelHistory(0, "", {"train_loss": (3.0, 2.0, None), "task_cosine": (0.1, -0.2)}, 1, ""),
        ModelHistory(1, "", {"train_loss": (3.0,), "task_cosine": ()}, None, ""),
    ]
    picture = figures.curves(history)
    assert picture is not None and picture.png.startswith(b"\x89PNG")
    drawn = picture.drawing.inline
    assert "stroke: var(--green)" in drawn and not re.search(
        r"(fill|stroke): #", drawn
    )  # light or dark as the page


def test_command(plain, tmp_path) -> None:
    found = CliRunner().invoke(cli.app, ["report", str(plain), "--out", str(tmp_path / "page"), "--json"])
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["report"] == str(tmp_path / "page" / "report.html")
    assert len(json.loads(found.stdout)["figures"]) == 8
    assert CliRunner().invoke(cli.app, ["report", str(tmp_path / "none")]).exit_code == 10


def test_a_table_replaces_such_a_table_and_nothing_else(plain, tmp_path) -> None:
    tables = [tmp_path / f"scores{ending}" for ending in (".csv", ".md", ".tex")]
    report([plain], out=tmp_path / "page", tables=tables)
    first = [table.read_bytes() for table in tables]
    report([plain], out=tmp_path / "page", tables=tables)
    assert [table.read_bytes() for table in tables] == first
    for table in tables:
        table.write_text("id,path,split\nnot to be lost\n")
        with pytest.raises(UsageError, match="already exists and is no table of scores; name another"):
            report([plain], out=tmp_path / "page", tables=[table])
        assert "not to be lost" in table.read_text()


def test_a_table_in_a_folder_that_is_not_there_fails_before_the_page(plain, tmp_path) -> None:
    with pytest.raises(UsageError, match=r"--table .*: there is no folder"):
        report([plain], out=tmp_path / "page", tables=[tmp_path / "nowhere" / "scores.csv"])
    assert not (tmp_path / "page").exists()
