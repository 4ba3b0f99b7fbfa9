"""docs/results.md: drawn from its figures alone, and what is measured for it."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import results
import results_page
import results_parts
from dualstream.features.acoustic import LISTS
from dualstream.heads.variants import registry
from results_parts import ROOT, ResultsJob, write_units
from results_streams import PARTS

FIGURES = json.loads((ROOT / "docs" / "results.json").read_text())
PAGE = (ROOT / "docs" / "results.md").read_text()


def test_page_is_what_its_figures_and_its_template_give():
    assert results_page.render(FIGURES) == PAGE
    assert "{{" not in PAGE


def test_page_follows_the_figures():
    changed = json.loads(json.dumps(FIGURES))
    row = next(row for row in changed["ravdess"]["rows"] if row["variant"] == "linear_audio")
    row["emotion"]["balanced_accuracy"]["mean"] = 0.123
    assert "0.123" in results_page.render(changed)


def test_page_shows_every_variant_and_the_majority_line():
    for name in ("ravdess", "ravdess_norm"):
        drawn = results_page.tables(FIGURES)[name]()
        assert all(f"`{one}`" in drawn for one in registry.names())
        assert "always " in drawn
    assert not FIGURES["made"]["quick"]


def test_tables_with_speaker_normalisation_are_labelled():
    for name in [name for name in FIGURES if name.endswith("_norm")]:
        assert FIGURES[name]["speaker_norm"]
        assert results_page.tables(FIGURES)[name]().startswith(
            "| variant (transductive) |"
        )  # on the quick page too
        before = results_page.TEMPLATE.read_text().split(f"{{{{table {name}}}}}")[0]
        assert "transductive" in before[-200:]


def test_lists_are_those_that_were_chosen_and_none_scores_the_corpus_it_was_chosen_on_unmarked():
    """The encoder's lists are what the study behind this page chose; whoever chooses again must land both."""
    for corpus, name in (("RAVDESS", "ravdess"), ("EMO-DB", "emodb")):
        assert set(FIGURES["columns"]["lists"][corpus]) == set(LISTS[name])
    for row in FIGURES["sets"]:
        own = {"acoustic": "RAVDESS", "acoustic:emodb": "EMO-DB"}.get(row["set"])
        assert row["optimistic"] == (own == row["corpus"])
    marked = results_page.tables(FIGURES)["sets RAVDESS"]()
    assert "acoustic (optimistic" in marked and "acoustic:emodb (optimistic" not in marked
    before = results_page.TEMPLATE.read_text().split("{{table ravdess_own}}")[0]
    assert "optimistic" in before[-200:]
    for name in ("ravdess", "ravdess_norm"):
        assert "ravdess.h5" in FIGURES[name]["command"]
    assert any(
        "--audio acoustic:emodb" in line and "ravdess.h5" in line for line in FIGURES["ravdess_cache"]["commands"]
    )


def test_what_moved_is_told_row_by_row():
    after = json.loads(json.dumps(FIGURES))
    assert results_page.moved(FIGURES, after) == []
    row = next(row for row in after["ravdess"]["rows"] if row["variant"] == "linear_audio")
    was = row["emotion"]["balanced_accuracy"]["mean"]
    row["emotion"]["balanced_accuracy"] |= {"mean": was + 0.05, "interval": [was, was + 0.1]}
    near = next(row for row in after["emodb"]["rows"] if row["variant"] == "linear_audio")
    near["emotion"]["balanced_accuracy"]["mean"] += 1e-9
    after["ravdess"]["rows"] = [
        row for row in after["ravdess"]["rows"] if row["variant"] != "late"
    ]  # gone: no move
    (one,) = results_page.moved(FIGURES, after)
    assert (one["part"], one["variant"], one["before"]) == ("ravdess", "linear_audio", was)
    drawn = results_page.moves([one]).splitlines()
    cells = f"| {was:.3f} | {was + 0.05:.3f} [{was:.3f}, {was + 0.1:.3f}] | +0.050 |"
    assert drawn[-1] == f"| `ravdess` | `linear_audio` {cells}" and len(drawn) == 3
    assert results_page.moves([]).startswith("Nothing moved") and "not noted" in results_page.moves(None)
    assert drawn[-1] in results_page.render({**FIGURES, "moved": [one]})


def test_some_parts_are_laid_over_the_figures_of_before(tmp_path):
    job = ResultsJob(tmp_path, tmp_path, 3, False)
    assert results.needed(["ravdess_own", "stress"], job) == ["ravdess_cache", "stress", "ravdess_own"]
    assert "meld" not in results.needed(list(PARTS), job)
    with pytest.raises(SystemExit, match=r"no part \['ravdes'\]; there are: emodb_cache"):
        results.needed(["ravdes"], job)
    changed = {**FIGURES["emodb"], "groups": 99}
    new = {"made": {**FIGURES["made"], "cpu_s": {"emodb": 7.0}}, "emodb": changed}
    whole = results.over(FIGURES, new)
    assert whole["emodb"]["groups"] == 99 and whole["made"]["cpu_s"]["emodb"] == 7.0
    assert whole["sets"] == FIGURES["sets"] and whole["made"]["cpu_s"]["sets"] == FIGURES["made"]["cpu_s"]["sets"]
    assert set(whole["made"]["kept"]) == {name for name in FIGURES if name in PARTS} - {"emodb"}
    page = results_page.render({**whole, "moved": []})
    assert "Of an earlier run are the figures of `emodb_cache`, " in page
    assert "All parts were measured in one run." in results_page.render(
        {**FIGURES, "made": {**FIGURES["made"], "kept": []}}
    )


def test_unknown_figures_are_refused():
    with pytest.raises(KeyError):
        results_page.render(FIGURES, "{{ravdess_folds.nobody}}")


def test_what_was_not_measured_says_so():
    less = {**FIGURES, "sets": [row for row in FIGURES["sets"] if row["set"] != "eGeMAPSv02"]}
    assert results_page.render(less, "{{sets.EMO-DB.eGeMAPSv02.LR}}") == results_page.NOT_MEASURED


def test_falls_are_compared_in_words():
    rows = [
        {
            "set": "acoustic",
            "corpus": "c",
            "model": "LR",
            "clean": 0.8,
            "noise": 0.5,
            "clipped": 0.79,
            "4 kHz": 0.7,
        },
        {
            "set": "eGeMAPSv02",
            "corpus": "c",
            "model": "LR",
            "clean": 0.6,
            "noise": 0.4,
            "clipped": 0.50,
            "4 kHz": 0.502,
        },
    ]
    said = results_page.values({**FIGURES, "stress": rows})
    assert said["stress.LR.less"] == "clipped"
    assert said["stress.LR.more"] == "noise" and said["stress.LR.alike"] == "4 kHz"
    assert said["stress.LR.ahead"] == "noise, clipped, 4 kHz"
    assert said["stress.LR.acoustic.noise"] == "-0.300"


def test_action_units_take_the_names_of_the_sounds(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    (tmp_path / "audio").mkdir()
    for name, seconds in (("03-01-03-01-01-01-01", 1.6), ("03-01-02-01-01-01-01", 1.0)):
        soundfile.write(tmp_path / "audio" / f"{name}.flac", np.zeros(int(seconds * 16000)), 16000)
    (tmp_path / "action_units.csv").write_text(
        "clip,au_00,au_01\n01-01-03-01-01-01-01,0.5,2\n01-01-02-01-01-01-01,9,9\n01-01-04-01-01-01-01,8,8\n"
    )
    write_units(tmp_path, tmp_path / "units.npz")
    with np.load(tmp_path / "units.npz") as table:
        assert set(table["id"]) == {"03-01-03-01-01-01-01"}  # calm is dropped, the other has no sound
        assert table["time_s"].tolist() == [0.25, 0.75, 1.25]
        assert (table["features"] == [0.5, 2]).all()
        assert table["columns"].tolist() == ["au_00", "au_01"]


def test_parts_are_measured_after_what_they_need_and_again_when_sources_change(tmp_path, monkeypatch):
    import results

    names = list(PARTS)
    for name, part in PARTS.items():
        assert all(names.index(needed) < names.index(name) for needed in part.needs)
        for pattern in part.sources:
            assert list(ROOT.glob(pattern)), pattern
    job = ResultsJob(tmp_path, tmp_path, 3, quick=False)
    before = results.part_key(job, "ravdess")
    assert results.part_key(ResultsJob(tmp_path, tmp_path, 5, quick=False), "ravdess") != before
    (tmp_path / "heads").mkdir()
    monkeypatch.setattr(results, "ROOT", tmp_path)
    (tmp_path / "heads" / "one.py").write_text("a = 1")
    first = results.part_key(job, "ravdess")
    (tmp_path / "heads" / "one.py").write_text("a = 2")
    assert results.part_key(job, "ravdess") != first != before


def test_numbers_of_the_page_do_not_stand_in_its_template():
    """Three decimals are a measurement: the template names measurements, it holds none."""
    assert not re.findall(r"\b0\.\d{3}\b", results_page.TEMPLATE.read_text())


def test_commands_are_shown_without_the_places_they_ran_in(tmp_path, monkeypatch):
    class Done:
        returncode = 0

    monkeypatch.setattr(results_parts.subprocess, "run", lambda *_, **__: Done())
    job = ResultsJob(tmp_path / "data", tmp_path / "scratch", 3, quick=False)
    shown = job.cli("extract", f"{tmp_path}/scratch/a.csv", "--root", f"{tmp_path}/data/emodb")
    assert shown == "dualstream extract results/a.csv --root DATA/emodb"


def write_corpora(data):
    """Write two small corpora laid out as EMO-DB and RAVDESS: tones that rise with the emotion's number."""
    soundfile = pytest.importorskip("soundfile")
    rng = np.random.default_rng(0)
    (data / "emodb").mkdir(parents=True)
    (data / "ravdess" / "audio").mkdir(parents=True)

    def write(path, emotion, speaker):
        time_s = np.arange(8000) / 16000
        sound = sum(np.sin(2 * np.pi * (120 + 15 * emotion + 5 * speaker) * k * time_s) / k for k in range(1, 12))
        sound = 0.1 * sound * (1 + np.sin(2 * np.pi * 4 * time_s)) + 0.003 * rng.standard_normal(len(time_s))
        soundfile.write(path, sound, 16000)

    for speaker in range(3):
        for emotion, letter in enumerate("WLEAFTN"):
            write(data / "emodb" / f"{3 + speaker:02d}a01{letter}a.flac", emotion, speaker)
    units = ["clip," + ",".join(f"au_{i:02d}" for i in range(35))]
    for actor in range(1, 6):
        for emotion in range(1, 9):
            for statement in (1, 2):
                name = f"-01-{emotion:02d}-01-{statement:02d}-01-{actor:02d}"
                write(data / "ravdess" / "audio" / f"03{name}.flac", emotion, actor)
                row = rng.standard_normal(35) + (np.arange(35) == emotion)
                units.append(f"01{name}," + ",".join(f"{value:.3f}" for value in row))
    (data / "ravdess" / "action_units.csv").write_text("\n".join(units) + "\n")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_quick_measures_both_corpora_from_the_files_to_the_page(tmp_path):
    pytest.importorskip("librosa")
    write_corpora(tmp_path / "data")
    words = [sys.executable, str(ROOT / "benchmarks" / "results.py"), "--quick", "--workers", "1"]
    words += ["--scratch", str(tmp_path / "scratch")]
    environment = os.environ | {"DUALSTREAM_DATA": str(tmp_path / "data")}
    before = PAGE
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    page = (tmp_path / "scratch" / "quick.md").read_text()
    for name in ("sets EMO-DB", "emodb", "emodb_norm", "sets RAVDESS", "ravdess", "ravdess_norm"):
        table = page.split(f"## {name}\n")[1].split("\n## ")[0]
        assert "| majority class |" in table or "| always " in table, name
    figures = json.loads((tmp_path / "scratch" / "quick.json").read_text())
    assert {row["status"] for row in figures["ravdess"]["rows"]} == {"done"}
    assert (ROOT / "docs" / "results.md").read_text() == before  # a first look leaves the page alone
    again = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert again.stdout.count("kept") == len(figures["made"]["cpu_s"])  # what was measured is not measured again


def test_without_the_data_it_says_which_folder_it_expects():
    words = [sys.executable, str(ROOT / "benchmarks" / "results.py"), "--quick"]
    environment = {key: value for key, value in os.environ.items() if key != "DUALSTREAM_DATA"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "the folder that holds emodb/ and ravdess/" in done.stderr
