"""The manifest command: splits by speaker, emotions left out, sentiments, and never losing a hand-made file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dualstream.pipeline.commands.manifest import ManifestOptions, describe, main
from dualstream.pipeline.corpus.importers import names as importers
from dualstream.pipeline.corpus.manifest import ManifestError, read_manifest
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.options.generate import build
from dualstream.pipeline.options.parse import distinct_names
from typer.testing import CliRunner

from dualstream.cli import app
from tests.pipeline.corpora import touch
from tests.pipeline.option_values import values_of

EMODB = ["03a01Fa.wav", "08a01Wa.wav", "09a01La.wav", "09a01Na.wav"]


def test_defaults_put_everything_in_train(tmp_path: Path) -> None:
    out = tmp_path / "m.csv"
    document = main("emodb", touch(tmp_path / "emodb", EMODB), out)
    manifest = read_manifest(out)
    assert [(u.split, u.emotion, u.sentiment) for u in manifest] == [
        ("train", "joy", "positive"),
        ("train", "anger", "negative"),
        ("train", "boredom", "negative"),
        ("train", "neutral", "neutral"),
    ]
    assert document["written"] and document["sha256"] == manifest.sha256
    assert document["splits"] == {"train": 4, "dev": 0, "test": 0}
    assert document["emotions"] == {"neutral": 1, "joy": 1, "anger": 1, "boredom": 1}


def test_options_split_drop_and_leave_sentiments_out(tmp_path: Path) -> None:
    options = ManifestOptions(("08",), ("09",), ("boredom",), "none")
    main("emodb", touch(tmp_path / "emodb", EMODB), tmp_path / "m.csv", options)
    rows = [(u.id, u.split, u.sentiment) for u in read_manifest(tmp_path / "m.csv")]
    assert rows == [("03a01Fa", "train", ""), ("08a01Wa", "dev", ""), ("09a01Na", "test", "")]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (ManifestOptions(dev_speakers=("17",)), "found no speaker 17; there are 03, 08, 09"),
        (ManifestOptions(drop=("happy",)), "labelled happy; the emotions are anger, boredom, joy, neutral"),
        (ManifestOptions(drop=("anger", "boredom", "joy", "neutral")), "every utterance"),
    ],
)
def test_options_that_name_nothing_fail(options: ManifestOptions, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        main("emodb", touch(tmp_path / "emodb", EMODB), tmp_path / "m.csv", options)
    assert not (tmp_path / "m.csv").exists()


def test_a_speaker_can_not_be_in_two_splits() -> None:
    with pytest.raises(UsageError, match="03 are named for dev and for test"):
        ManifestOptions(("03",), ("03", "08"))


def test_a_corpus_with_splits_is_not_split_again(tmp_path: Path) -> None:
    root = touch(tmp_path / "c", ["train/joy/a.mp4", "test/joy/b.mp4"])
    with pytest.raises(UsageError, match="splits of its own"):
        main("folder", root, tmp_path / "m.csv", ManifestOptions(dev_speakers=("x",)))


def test_another_manifest_is_not_written_over(tmp_path: Path) -> None:
    out = tmp_path / "m.csv"
    root = touch(tmp_path / "emodb", EMODB)
    out.write_text("mine")
    assert not main("emodb", root, out, dry_run=True)["written"]
    with pytest.raises(ManifestError, match="--replace"):
        main("emodb", root, out)
    assert out.read_text() == "mine"
    assert main("emodb", root, out, replace=True)["written"]
    assert not main("emodb", root, out)["written"]  # the same again is no loss


def test_what_is_left_out_is_counted_and_listed(tmp_path: Path) -> None:
    odd = [f"{number:02}x.wav" for number in range(7)]
    root = touch(tmp_path / "emodb", [*EMODB, *odd, "a.txt", "b.txt", "c.csv", "d", "line\nbreak.wav"])
    words = ["manifest", "emodb", str(root), "--out", str(tmp_path / "m.csv"), "--dry-run"]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0
    shown = ", ".join(odd[:5])
    expected = (
        f"left out: 8 recordings whose name is not as the corpus names them (such as 03a01Fa.wav): {shown}, … 3 more\n"
        "left out: 4 files without the suffix of a clip: 2 .txt, 1 .csv, 1 without suffix\n"
    )
    assert expected in said.output
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0
    by_reason = {one["reason"]: one for one in json.loads(done.stdout)["left_out"]}
    assert by_reason["name"]["count"] == 8 and by_reason["name"]["names"] == [*odd, "line\nbreak.wav"]
    assert by_reason["suffix"]["names"] == ["a.txt", "b.txt", "c.csv", "d"]
    (root / "a.txt").unlink(), (root / "b.txt").unlink(), (root / "d").unlink()
    assert "left out: 1 file without the suffix of a clip: 1 .csv\n" in CliRunner().invoke(app, words).output
    clean = main("emodb", touch(tmp_path / "clean", EMODB), tmp_path / "m.csv", dry_run=True)
    assert clean["left_out"] == []


def test_pairs_are_counted_and_written(tmp_path: Path) -> None:
    root = touch(tmp_path / "c", ["joy/a.mp4", "joy/a.wav", "anger/b.mp4"])
    document = main("folder", root, tmp_path / "m.csv")
    assert document["pairs"] == 1 and document["utterances"] == 2
    assert "1 of them with their sound in a file of its own (column sound)" in describe(document)
    assert (tmp_path / "m.csv").read_text().splitlines() == [
        "id,path,split,start_s,end_s,dialogue,turn,speaker,emotion,sentiment,sound",
        "anger_b,anger/b.mp4,train,,,,,,anger,negative,",
        "joy_a,joy/a.mp4,train,,,,,,joy,positive,joy/a.wav",
    ]


def test_lists_of_names() -> None:
    assert distinct_names(" 13, 14,,13 ") == ("13", "14") and distinct_names("") == ()
    values = values_of(ManifestOptions)
    assert build(ManifestOptions, values | {"sentiment": "none"}).sentiment == "none"
    with pytest.raises(UsageError, match="expected one of: from-emotion, none"):
        build(ManifestOptions, values | {"sentiment": "both"})


def test_command(tmp_path: Path) -> None:
    root = touch(tmp_path / "emodb", EMODB)
    run = CliRunner()
    words = ["manifest", "emodb", str(root), "--out", str(tmp_path / "m.csv"), "--test-speakers", "09"]
    dry = run.invoke(app, [*words, "--dry-run"])
    assert dry.exit_code == 0 and "4 utterances: train 2, test 2" in dry.output and "not written" in dry.output
    assert not (tmp_path / "m.csv").exists()
    done = run.invoke(app, [*words, "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["splits"] == {"train": 2, "dev": 0, "test": 2}
    assert run.invoke(app, [*words, "--sentiment", "guess"]).exit_code == 2
    assert run.invoke(app, ["manifest", "emodb", str(tmp_path / "none")]).exit_code == 2
    assert run.invoke(app, ["manifest", "emoddb", str(root)]).exit_code == 2


def test_help_names_every_importer() -> None:
    shown = CliRunner().invoke(app, ["manifest", "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}).output
    assert all(name in shown for name in importers())
