"""Score tables as files: each format read by a reader of its own, numbers by scikit-learn."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline import experiments
from dualstream.pipeline.cache import write_cache
from dualstream.pipeline.commands.evaluate import evaluate
from dualstream.pipeline.commands.fit_head import FitHeadOptions, fit_head
from dualstream.pipeline.experiments.predictions import read_predictions
from sklearn.metrics import balanced_accuracy_score, f1_score
from typer.testing import CliRunner

from dualstream import cli
from tests.figure_files import drawn_files
from tests.pipeline.planted_corpus import planted_cache


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    write_cache(folder / "cache.h5", planted_cache())
    fit = FitOptions(seeds=(0, 1), epochs=2, hidden=8, threads=1)
    fit_head(folder / "cache.h5", "concat", folder / "run_1", fit=fit, options=FitHeadOptions(report=False))
    evaluate(folder / "run_1")
    return folder / "run_1"


@pytest.fixture(scope="module")
def tables(run: Path) -> dict[str, str]:
    """Return the text of the run's table in each format, by its ending."""
    folder = run.parent / "tables"
    folder.mkdir()
    places = [folder / f"scores{ending}" for ending in (".csv", ".md", ".tex")]
    words = ["report", str(run), "--out", str(folder / "page"), "--json"]
    words += [word for place in places for word in ("--table", str(place))]
    with drawn_files():
        found = CliRunner().invoke(cli.app, words)
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert told["tables"] == [str(place) for place in places]
    kinds = [Path(figure).suffix for figure in told["figures"]]
    assert kinds.count(".pdf") == kinds.count(".png") == len(kinds) / 2 > 0
    assert all(Path(figure).read_bytes()[:4] in (b"%PDF", b"\x89PNG") for figure in told["figures"])
    return {place.suffix: place.read_text() for place in places}


def test_csv_holds_what_scikit_learn_says(run: Path, tables: dict[str, str]) -> None:
    rows = list(csv.DictReader(tables[".csv"].splitlines()))
    assert [(row["task"], row["variant"]) for row in rows if row["scored"].endswith("of test")][:2] == [
        ("emotion", "majority: neutral"),
        ("emotion", "concat"),
    ]
    for split in ("dev", "test"):
        name = f"predictions_{split}.csv"
        said = read_predictions(run / name, experiments.read_run(run).config.vocabulary)
        for task in ("emotion", "sentiment"):
            (row,) = [
                row
                for row in rows
                if row["task"] == task
                and row["variant"].startswith("concat")
                and row["scored"].endswith(f"of {split}")
            ]
            answers = [said.answers(i, task) for i in range(2)]
            true = said.true[task]
            uar = [100 * balanced_accuracy_score(true, one) for one in answers]
            weighted = [100 * f1_score(true, one, average="weighted") for one in answers]
            assert float(row["UAR"]) == pytest.approx(np.mean(uar), rel=1e-5)
            assert float(row["UAR sd"]) == pytest.approx(np.std(uar, ddof=1), rel=1e-4, abs=1e-4)
            assert float(row["weighted F1"]) == pytest.approx(np.mean(weighted), rel=1e-5)
            assert float(row["UAR low"]) <= float(row["UAR"]) <= float(row["UAR high"])


def test_markdown_and_latex_have_the_same_cells(tables: dict[str, str]) -> None:
    markdown, latex = tables[".md"], tables[".tex"]
    in_markdown = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in markdown.splitlines()
        if line.startswith("| ")
    ]
    in_latex = [
        [cell.strip() for cell in line.removesuffix(" \\\\").split(" & ")]
        for line in latex.splitlines()
        if line.endswith("\\\\")
    ]
    plain = [
        [cell.replace("$\\pm$", "±").replace("--", "–").replace("$\\dagger$", "†") for cell in line]
        for line in in_latex
    ]
    assert plain == in_markdown and len(plain) >= 4 * 3 and {len(line) for line in plain} == {8}
    assert latex.count("\\begin{tabular}") == latex.count("\\end{tabular}") == 4


def test_names_are_escaped_for_latex(run: Path, tmp_path: Path) -> None:
    fit = FitOptions(seeds=(0,), threads=1)
    fit_head(
        run.parent / "cache.h5",
        "linear_audio",
        run.parent / "run_2",
        fit=fit,
        options=FitHeadOptions(report=False),
    )
    words = ["report", str(run), str(run.parent / "run_2"), "--out", str(tmp_path)]
    found = CliRunner().invoke(cli.app, [*words, "--table", str(tmp_path / "both.tex")])
    assert found.exit_code == 0, found.output
    assert "run\\_2: linear\\_audio" in (tmp_path / "both.tex").read_text()


def test_another_ending_is_refused_before_anything_is_written(run: Path, tmp_path: Path) -> None:
    words = ["report", str(run), "--out", str(tmp_path / "page"), "--table", str(tmp_path / "scores.xlsx")]
    found = CliRunner().invoke(cli.app, words)
    assert found.exit_code == 2 and ".csv, .md, .tex" in found.stderr and not (tmp_path / "page").exists()
