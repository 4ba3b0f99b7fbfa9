"""What docs/results.md shows of layers, votes and faces: drawn from small planted figures, and measured on planted tables."""

import csv
import json

import numpy as np
import pytest
import results_page
import results_streams_page as page
from results_parts import ROOT, ResultsJob
from results_streams import FACE_WHISPER, JOINED, WHISPER, cremad_votes, write_clean, write_train_dev


def scored(variant, uar, *, status="done", single=False):
    """Make a row: weighted F1 a tenth above, interval 0.05 to both sides."""
    around = {"mean": uar, "interval": [uar - 0.05, uar + 0.05]}
    f1 = {"mean": uar + 0.1, "interval": [uar + 0.05, uar + 0.15]}
    emotion = {"balanced_accuracy": around, "weighted_f1": f1, "calibrated_log_loss": {"mean": 0.5}}
    done = status == "done"
    return {
        "variant": variant,
        "single": single,
        "status": status,
        "fit_s": 2.4,
        "emotion": emotion if done else None,
    }


def comparison(*rows, norm=False):
    """Make a comparison whose first row is the best single stream; each other is 0.1 ahead of it."""
    tests = [
        {"variant": row["variant"], "difference": 0.1, "interval": [0.02, 0.2], "p_holm": 0.0004}
        for row in rows[1:]
    ]
    line = {"name": "anger", "balanced_accuracy": 1 / 7, "weighted_f1": 0.0912}
    return {
        "rows": list(rows),
        "tests": tests,
        "majority": {"emotion": line},
        "best_single": rows[0]["variant"],
        "speaker_norm": norm,
        "stream_gains": [
            {
                "stream": "face",
                "without": "late:a+b",
                "difference": -0.01,
                "interval": [-0.05, 0.03],
                "p_holm": 0.66,
            }
        ],
        "pairs": [
            {"variant": "linear", "against": "audio", "difference": 0.1, "interval": [0.0, 0.2], "p_holm": 0.0202}
        ],
    }


def lines_of(drawn):
    """Return the cells of a table's lines, without its head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in drawn.splitlines()[2:]]


def test_a_comparison_has_each_row_that_was_fitted_its_lead_and_the_majority():
    found = comparison(
        scored("audio", 0.7, single=True), scored("late", 0.8), scored("gated", 0.9, status="failed")
    )
    assert lines_of(page.compared(found)) == [
        ["`audio`", "0.700 [0.650, 0.750]", "0.800", "0.50", "", "", "2"],
        ["`late`", "0.800 [0.750, 0.850]", "0.900", "0.50", "+0.100 [+0.020, +0.200]", "<0.001", "2"],
        ["always anger", "0.143", "0.091", "", "", "", ""],
    ]
    assert "over `audio` [95 %]" in page.compared(found)
    assert page.compared(comparison(scored("audio", 0.7), norm=True)).startswith("| variant (transductive) |")


def test_differences_keep_their_sign_and_say_of_what():
    found = comparison(scored("audio", 0.7))
    assert lines_of(page.gains(found["stream_gains"])) == [
        ["`face`", "`late:a+b`", "-0.010 [-0.050, +0.030]", "0.660"]
    ]
    assert lines_of(page.pairs(found["pairs"])) == [["`linear`", "`audio`", "+0.100 [+0.000, +0.200]", "0.020"]]


def test_a_goal_is_reached_or_missed_by_so_much():
    three = [scored(name, 0.8393) for name in (*JOINED, "auto")]
    two = [scored(f"{name}:{FACE_WHISPER}", 0.9) for name in JOINED]
    alone = [scored(f"linear:{WHISPER}", 0.86), scored(f"single:{WHISPER}", 0.85)]
    rows = [*alone, *two, *three]
    document = {part: comparison(*rows) for _, part, _, _ in page.GOALS}
    drawn = lines_of(page.goals(document))
    verdicts = {(what, variant): verdict for what, variant, _, _, verdict in drawn}
    assert verdicts["RAVDESS, three streams", "`auto`"] == "missed by 0.0007"
    assert verdicts["RAVDESS, three streams, speaker-normalised", "`linear`"] == "missed by 0.0707"
    reached = {what for (what, _), verdict in verdicts.items() if verdict == "reached"}
    assert reached and all(float(goal) <= 0.9 for what, _, goal, _, _ in drawn if what in reached)
    assert len(drawn) == sum(len(variants) for _, _, variants, _ in page.GOALS)


def test_columns_of_the_projection_stand_under_their_width():
    names = (f"linear:{WHISPER}", *(f"{one}:{FACE_WHISPER}" for one in JOINED), *JOINED)
    kinds = [comparison(*(scored(name, uar) for name in names)) for uar in (0.1, 0.2, 0.3, 0.4)]
    document = {
        "ravdess_whisper": kinds[0],
        "unprojected": {"as_is": kinds[1], "norm": kinds[3]},
        "ravdess_whisper_norm": kinds[2],
    }
    drawn = page.unprojected(document)
    assert "| 192 columns | 384 columns | 192, transductive | 384, transductive |" in drawn
    assert [line[0] for line in lines_of(drawn)] == [f"`{name}`" for name in names]
    for line in lines_of(drawn):
        assert [cell[:5] for cell in line[1:]] == ["0.100", "0.200", "0.300", "0.400"]


def test_layers_are_held_to_the_best_single_one_on_each_corpus():
    def corpus(shift):
        return {
            "uar": {
                "best single layer": [80.0 + shift, 75.0, 85.0],
                "learned": [79.0 + shift, 74.0, 84.0],
            },
            "over_best_single": {"learned": [-1.0, -4.0, 2.0 + shift]},
        }

    drawn = lines_of(page.layers({"emodb": corpus(0.0), "ravdess": corpus(5.0)}))
    assert drawn == [
        ["best single layer", "0.800 [0.750, 0.850]", "", "0.850 [0.750, 0.850]", ""],
        [
            "learned",
            "0.790 [0.740, 0.840]",
            "-0.010 [-0.040, +0.020]",
            "0.840 [0.740, 0.840]",
            "-0.010 [-0.040, +0.070]",
        ],
    ]


def test_faces_are_shown_as_found_and_cleaned_with_the_majority_line():
    found = {
        "as_found": comparison(scored("linear_video", 0.15)),
        "clean": comparison(scored("linear_video", 0.16), scored("auto", 0.2, status="failed")),
        "removed": {"broken": 3, "empty": 2, "kept": 7},
    }
    assert lines_of(page.meld_face(found)) == [
        ["as found", "`linear_video`", "0.250 [0.200, 0.300]", "0.150 [0.100, 0.200]"],
        ["without broken and empty rows", "`linear_video`", "0.260 [0.210, 0.310]", "0.160 [0.110, 0.210]"],
        ["", "always anger", "0.091", "0.143"],
    ]
    said = page.values({"meld_face": found})
    assert said == {"meld_face.broken": "3", "meld_face.empty": "2", "meld_face.kept": "7"}
    assert page.values({}) == {}


def test_tables_are_there_where_their_figures_are():
    made = {"quick": False}
    assert set(page.tables({"made": made})) == {"anchors"}
    votes = {"made": made, "cremad_votes": comparison(scored("video", 0.7), scored("late", 0.75))}
    assert set(page.tables(votes)) == {"anchors", "cremad_votes", "pairs cremad_votes", "gains cremad_votes"}
    drawn = page.tables(votes)["cremad_votes"]()
    assert lines_of(drawn)[1][0] == "`late`"
    assert set(page.tables({**votes, "made": {"quick": True}})) == set()


def test_every_published_figure_says_where_it_stands():
    rows = lines_of(page.anchors())
    assert len(rows) == len(page.ANCHORS)
    for *_, source in rows:
        opened = "](https://" in source or source == "computed from the annotations"
        assert opened or "source not opened" in source, source
    for *_, source in results_page.PUBLISHED:
        assert (
            "https://" in source
            or source in ("computed from the annotations", "the same")
            or "grew from" in source
        )


def test_broken_and_empty_rows_are_counted_and_left_out(tmp_path):
    rows = np.ones((6, 3), np.float32)
    rows[1, 2] = 147.0  # beyond OpenFace's scale
    rows[2] = 0.0  # no face
    rows[3, 0] = np.nan
    rows[4] = [5.0, 0.0, 0.0]  # the end of the scale itself is a value
    ids = np.array([f"u{number}" for number in range(6)])
    np.savez(tmp_path / "table.npz", id=ids, features=rows, columns=np.array(["a", "b", "c"]))
    counts = write_clean(tmp_path / "table.npz", tmp_path / "clean.npz")
    assert counts == {"broken": 2, "empty": 1, "kept": 3}
    with np.load(tmp_path / "clean.npz") as table:
        assert table["id"].tolist() == ["u0", "u4", "u5"]
        np.testing.assert_array_equal(table["features"], rows[[0, 4, 5]])
        assert table["columns"].tolist() == ["a", "b", "c"]


def test_melds_test_split_is_not_in_the_manifest_of_faces(tmp_path):
    write_train_dev(tmp_path / "some.csv")
    with (tmp_path / "some.csv").open() as file:
        found = [row["split"] for row in csv.DictReader(file)]
    assert {one: found.count(one) for one in set(found)} == {"train": 9989, "dev": 1109}


@pytest.mark.slow
def test_votes_of_two_kinds_are_joined_from_their_tables_to_the_figures(tmp_path):
    """Each kind of vote tells one of two binary halves of the class, so that only both together tell it."""
    folder, rng = tmp_path / "data" / "cremad_votes", np.random.default_rng(0)
    folder.mkdir(parents=True)
    (tmp_path / "scratch").mkdir()
    names, lines, halves = ["anger", "disgust", "fear", "joy"], [], []
    for number in range(480):
        truth, actor = number % 4, number // 20
        split = "train" if actor < 16 else "dev"
        lines.append(f"c{number:03d},c{number:03d}.flv,{split},,,,,{actor},{names[truth]},")
        halves.append((truth // 2, truth % 2))
    (folder / "manifest.csv").write_text(
        "id,path,split,start_s,end_s,dialogue,turn,speaker,emotion,sentiment\n" + "\n".join(lines) + "\n"
    )
    ids = np.array([line[:4] for line in lines])
    for place, name in enumerate(("video_votes", "audio_votes")):
        shares = np.eye(2)[[one[place] for one in halves]] + 0.3 * rng.random((480, 2))
        np.savez(folder / f"{name}.npz", id=ids, features=shares.astype(np.float32))
    found = cremad_votes(ResultsJob(tmp_path / "data", tmp_path / "scratch", 1, quick=False))
    uar = {row["variant"]: row["emotion"]["balanced_accuracy"]["mean"] for row in found["rows"] if row["emotion"]}
    assert abs(uar["linear_video"] - 0.5) < 0.1 and abs(uar["linear_audio"] - 0.5) < 0.1
    assert uar["linear"] == 1.0 and uar["auto"] > 0.95
    assert found["commands"][0].startswith("dualstream extract DATA/cremad_votes/manifest.csv --video table:DATA/")
    assert "always " in page.compared(found) and json.dumps(found)


def test_the_page_and_its_figures_are_of_these_parts():
    figures = json.loads((ROOT / "docs" / "results.json").read_text())
    for name in ("layers", "cremad_votes", "meld_face", "unprojected", "goals", "anchors"):
        assert page.tables(figures)[name]() in (ROOT / "docs" / "results.md").read_text()
