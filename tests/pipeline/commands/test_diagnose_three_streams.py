"""diagnose of three streams: the document, the page, the terminal and the error browser have all of them."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from dualstream.heads.diagnosis.evidence import DiagnosisOptions
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline.cache import Cache, write_cache
from dualstream.pipeline.commands.diagnose import DiagnoseOptions, diagnose
from dualstream.pipeline.reporting.diagnosis import print_diagnosis
from typer.testing import CliRunner

import cli
from tests.figure_files import drawn_files
from tests.pipeline.planted_corpus import planted_cache

NAMES = ("face", "voice", "pose")
QUICK = DiagnosisOptions(
    fusion="linear", folds=3, fit=FitOptions(seeds=(0,), threads=1), interventions=("standardise",)
)
PAIRS = tuple(itertools.combinations(NAMES, 2))


def three() -> Cache:
    """Return a cache in which anger is in face and, weaker, in pose, and joy in voice."""
    cache, rng = planted_cache(sizes={"train": 120, "dev": 40}, strength=3.0), np.random.default_rng(3)
    face = cache.streams["video"]
    assert face.windows is not None and face.window_present is not None
    turn = rng.normal(size=(6, 6)) / 6
    rows, windows = (
        ((values @ turn + rng.normal(size=values.shape)) * there[:, None]).astype(np.float32)
        for values, there in ((face.utterance, face.present), (face.windows, face.window_present))
    )
    made = (face, cache.streams["audio"], dataclasses.replace(face, utterance=rows, windows=windows))
    streams = {
        name: dataclasses.replace(one, name=name, spec={**one.spec, "stream": name})
        for name, one in zip(NAMES, made, strict=True)
    }
    return dataclasses.replace(cache, streams=streams)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a diagnosis, with what the terminal said in it."""
    folder = tmp_path_factory.mktemp("three")
    write_cache(folder / "cache.h5", three())
    options = DiagnoseOptions(diagnosis=QUICK, streams={name: name for name in NAMES})
    with drawn_files():
        document = diagnose(folder / "cache.h5", folder / "out", options)
    with (folder / "out" / "said.txt").open("w") as file, contextlib.redirect_stdout(file):
        print_diagnosis(document, "report.html")
    return folder / "out"


def test_the_document_has_every_stream_every_two_and_every_one_left_out(out: Path) -> None:
    found = json.loads((out / "diagnosis.json").read_text())
    evidence, strength = found["evidence"], found["evidence"]["strength"]
    assert found["streams"] == {name: name for name in NAMES}
    assert set(evidence["scores"]) == {"fused", *NAMES, "late_sum"}
    assert set(strength["coalitions"]) == {*NAMES, *("+".join(pair) for pair in PAIRS), "+".join(NAMES)}
    assert sum(strength["shapley"].values()) == pytest.approx(strength["fused"] - strength["chance"])
    assert [tuple(pair["streams"]) for pair in evidence["pairs"]] == list(PAIRS)
    assert all(pair["offset_curve"]["shift_s"] for pair in evidence["pairs"])
    assert list(evidence["adds"]) == list(NAMES) and set(evidence["complement"]["only"]) == set(NAMES)
    for name in NAMES:  # what a stream adds is what leaving it out takes
        left_out = evidence["interventions"][f"without {name}"]
        assert left_out["gain"]["difference"] == -evidence["adds"][name]["difference"]
        others = "+".join(other for other in NAMES if other != name)
        assert left_out["score"]["mean"] == pytest.approx(strength["coalitions"][others])
        assert left_out["remedy"] == f"--streams {others.replace('+', ',')}"
    assert evidence["adds"]["voice"]["interval"][0] > 0.1  # joy is there alone
    measures = found["measures"]
    assert measures["streams"] == list(NAMES) and set(measures["interaction"]["pairs"]) == {
        "+".join(pair) for pair in PAIRS
    }
    assert [curve["stream"] for curve in measures["robustness"]] == list(NAMES)
    information = measures["information"]
    assert set(information["unique"]) == set(information["against_rest"]) == set(NAMES)
    assert set(information["against_rest"]["voice"]["unique"]) == {"voice", "face+pose"}
    assert set(information["pairs"]) == {"+".join(pair) for pair in PAIRS}
    # joy is in voice alone: what voice has to itself, whoever is asked
    low, _ = information["against_rest"]["voice"]["unique"]["voice"]["interval"]
    assert low > 0 and information["pairs"]["face+voice"]["unique"]["voice"]["bits"] > 0.1
    assert found["causes"][0]["name"] == "nothing_wrong"


def test_terminal_and_page_say_it_of_every_stream(out: Path) -> None:
    said, page = " ".join((out / "said.txt").read_text().split()), (out / "report.html").read_text()
    for name in NAMES:
        assert f"{name} alone" in said and f"without {name}" in said and f"{name} added to the others:" in said
        assert f"<dt>{name} alone</dt>" in page and f"<dt>{name} added to the others</dt>" in page
    for one, other in PAIRS:
        assert f"{one} and {other} alone:" in said and f"alignment of {one} and {other}:" in said
        assert f"<dt>alignment of {one} and {other}</dt>" in page
    assert "the best single stream" in said and "video" not in page and "audio" not in page
    assert (
        "<dt>bits, voice against the rest</dt>" in page and "bits, voice against the rest: told by either" in said
    )
    assert "<dt>bits, face and pose by themselves</dt>" in page and "bits, face and pose by themselves:" in said
    assert "Each stream against all others joined" in page
    drawn = {path.name: path.stat().st_size for path in (out / "figures").iterdir()}
    assert "worth.png" in drawn and min(drawn.values()) > 1_000


def test_the_error_browser_has_every_stream(out: Path) -> None:
    with (out / "errors.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 160 and {f"{name}_nats" for name in NAMES} <= set(rows[0])
    assert {row["misled_by"] for row in rows} == {"", *NAMES}
    assert all(f'<option value="{name}">' in (out / "errors.html").read_text() for name in NAMES)


def test_a_cache_of_other_names_says_what_to_type(tmp_path: Path) -> None:
    write_cache(tmp_path / "cache.h5", three())
    found = CliRunner().invoke(cli.app, ["diagnose", str(tmp_path / "cache.h5"), "--out", str(tmp_path / "out")])
    assert found.exit_code == 2
    said = " ".join(found.stderr.split())
    assert "neither a video nor an audio stream; it has" in said and "--streams " in said
