"""The data doctor on manifests alone: leakage, labels, turns, lengths, MELD's faults by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from dualstream.pipeline.commands.check import CheckOptions, main
from dualstream.pipeline.corpus.checks import registry
from dualstream.pipeline.corpus.checks.balance import balance
from dualstream.pipeline.corpus.checks.clips import Facts
from dualstream.pipeline.corpus.checks.findings import SEVERITIES, Finding
from dualstream.pipeline.corpus.manifest import Manifest, Utterance, read_manifest, write_manifest
from dualstream.pipeline.errors import UsageError
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from typer.testing import CliRunner

from dualstream.cli import app

REPOSITORY = Path(__file__).parents[4]


def row(name: str, split: str = "train", **values: object) -> Utterance:
    """Return an utterance that is sound in itself: its own clip, dialogue and speaker."""
    usual = {"dialogue": f"d{name}", "turn": 0, "speaker": f"s{name}", "emotion": "joy", "sentiment": "positive"}
    return Utterance(name, f"{name}.mp4", split, **{**usual, **values})  # type: ignore[arg-type]


def cut(name: str, split: str, start_s: float, end_s: float, **values: object) -> Utterance:
    extra = {"episode": "e1", "table_start_s": str(start_s), "table_end_s": str(end_s)}
    return row(name, split, extra=extra, **values)


def examine(rows: Sequence[Utterance]) -> dict[str, Finding]:
    findings = registry.examine(registry.CheckedCorpus(Manifest(tuple(rows))))
    assert len({finding.code for finding in findings}) == len(findings)
    return {finding.code: finding for finding in findings}


def cases(findings: dict[str, Finding], code: str) -> dict[str, str]:
    return {case.subject: case.detail for case in findings[code].cases}


def sound_rows() -> list[Utterance]:
    """Return enough rows that nothing but notes are found."""
    return [
        row(f"{split}{emotion}{i}", split, emotion=emotion, sentiment=sentiment)
        for split in ("train", "dev", "test")
        for emotion, sentiment in (("joy", "positive"), ("anger", "negative"))
        for i in range(20)
    ]


def test_a_sound_manifest_has_notes_alone() -> None:
    assert set(examine(sound_rows())) == {"sentiment-follows"}


# What splits share


def test_the_same_stretch_in_two_splits() -> None:
    rows = [cut(name, split, 1, 2) for name, split in (("a", "train"), ("b", "test"), ("c", "dev"))]
    found = examine([*rows, cut("d", "train", 5, 6)])
    assert cases(found, "span-across-splits") == {"b": "the same as a; the same as c", "c": "the same as a"}
    assert found["span-across-splits"].note == "1 of test with train, 1 of test with dev, 1 of dev with train"
    assert found["span-across-splits"].rule.severity == "error"
    assert "span-repeated" not in found and "overlap-across-splits" not in found


@pytest.mark.parametrize(
    ("other", "code", "detail"),
    [
        (("test", 3.0, 7.0), "overlap-across-splits", "100% with a"),  # the whole of the shorter one
        (("test", 5.0, 15.0), "overlap-across-splits", "50% with a"),
        (("test", 5.1, 15.1), None, ""),
        (("test", 10.0, 12.0), None, ""),  # touching is not sharing
        (("train", 5.0, 15.0), "overlap-within-split", "50% with a"),
        (("train", 0.0, 10.0), "span-repeated", "the same as a"),
    ],
)
def test_overlap_counts_from_half_of_the_shorter(
    other: tuple[str, float, float], code: str | None, detail: str
) -> None:
    found = examine([cut("a", "train", 0, 10), cut("b", *other)])
    codes = {name for name in found if name.startswith(("span-", "overlap-"))}
    assert codes == ({code} if code else set())
    if code:
        assert cases(found, code) == {"b": detail}


def test_a_stretch_of_another_episode_is_another_stretch() -> None:
    other = cut("b", "test", 0, 10)
    other = row("b", "test", extra={**other.extra, "episode": "e2"})
    assert "span-across-splits" not in examine([cut("a", "train", 0, 10), other])


def test_rows_of_one_file() -> None:
    whole, again = (Utterance(n, "x.mp4", s) for n, s in (("a", "train"), ("b", "test")))
    assert cases(examine([whole, again]), "span-across-splits") == {"b": "the same as a"}
    first, second = Utterance("a", "x.mp4", "train", 0.0, 2.0), Utterance("b", "x.mp4", "test", 1.0, 3.0)
    assert cases(examine([first, second]), "overlap-across-splits") == {"b": "50% with a"}
    apart = Utterance("b", "x.mp4", "test", 2.0, 3.0)
    assert not {"overlap-across-splits", "span-across-splits"} & set(examine([first, apart]))


def test_shared_dialogues_speakers_episodes_and_lines() -> None:
    found = examine(
        [
            row("a", dialogue="d", speaker="Ann", extra={"episode": "e1", "line": "7"}),
            row("b", "test", dialogue="d", turn=1, speaker="Bo", extra={"episode": "e2"}),
            row("c", "dev", speaker="Ann", extra={"episode": "e1", "line": "7"}),
            row("d", "test", speaker="Cy", extra={"line": "8"}),
            row("e", "test", speaker="Cy", extra={"line": "8"}),
        ]
    )
    assert cases(found, "shared-dialogue") == {"d": "in train, test"}
    assert cases(found, "shared-speaker") == {"Ann": "1 row of dev"}
    assert found["shared-speaker"].note == "1 of the 1 dev speakers, with 1 row"
    assert cases(found, "shared-episode") == {"e1": "1 row of dev"}
    assert cases(found, "same-line") == {"c": "as a"}


# Labels


def test_labels_that_lack_or_are_odd() -> None:
    found = examine(
        [
            row("a"),
            row("b", emotion="Happy"),
            row("c", emotion="", sentiment="Positive"),
            row("d", emotion="awe", sentiment=""),
            row("e", emotion="joy", sentiment="negative"),
            row("f", emotion="surprise", sentiment="negative"),
        ]
    )
    assert cases(found, "label-missing") == {"c": "no emotion", "d": "no sentiment"}
    assert cases(found, "label-spelling") == {
        "Happy": "1 row; joy is the usual emotion",
        "Positive": "1 row; positive is the usual sentiment",
    }
    assert cases(found, "label-foreign") == {"awe": "1 row, emotion"}
    assert cases(found, "sentiment-contradicts") == {"e": "joy, negative"}
    assert cases(found, "split-missing") == {"dev": "", "test": ""}
    assert "unlabelled" not in found


def test_a_corpus_without_labels() -> None:
    found = examine([row("a", emotion="", sentiment=""), row("b", emotion="", sentiment="")])
    assert cases(found, "unlabelled") == {"emotion": "", "sentiment": ""} and "label-missing" not in found


def test_classes_that_a_split_lacks() -> None:
    rows = [*sound_rows(), row("x", "test", emotion="fear", sentiment="negative")]
    rows += [row(f"y{i}", emotion="disgust", sentiment="negative") for i in range(20)]
    found = examine(rows)
    assert cases(found, "class-untrained") == {"fear": "emotion"}
    assert cases(found, "class-unscored") == {"disgust": "emotion, none in dev and test"}
    assert cases(found, "class-rare") == {"fear": "1 row of test, emotion"}


def test_one_class_is_nothing_to_tell_apart() -> None:
    """By task; classes of dev and test don't count, and a task without labels is another finding."""
    rows = [row("a"), row("b"), row("c", "dev", emotion="anger", sentiment="positive")]
    assert cases(examine(rows), "class-alone") == {"joy": "emotion", "positive": "sentiment"}
    rows = [row("a", sentiment=""), row("b", emotion="anger", sentiment="")]
    assert "class-alone" not in examine(rows)


def test_emotions_that_settle_the_sentiment() -> None:
    rows = [row("a"), row("b", emotion="surprise"), row("c", emotion="surprise", sentiment="negative")]
    found = examine(rows)
    assert cases(found, "sentiment-follows") == {"joy": "always positive"}
    assert found["sentiment-follows"].note == "1 of the 3 rows with both labels"


def test_unknown_speakers_and_dialogues() -> None:
    found = examine([row("a", speaker=""), row("b", dialogue="", turn=None)])
    assert cases(found, "speaker-unknown") == {"a": ""} and cases(found, "dialogue-unknown") == {"b": ""}


# Turns and lengths


def test_turns() -> None:
    def turn(name: str, number: int, start_s: float) -> Utterance:
        return cut(name, "train", start_s, start_s + 0.5, dialogue="d", turn=number)

    found = examine([turn("a", 1, 10), turn("b", 3, 9), turn("c", 3, 20), turn("d", 4, 30)])
    assert cases(found, "turn-repeated") == {"d": "turn 3"}
    assert cases(found, "turn-gap") == {"d": "2 left out, the first is turn 0"}
    assert cases(found, "time-backwards") == {"d": "at b"}
    fine = examine([turn("a", 0, 10), turn("b", 1, 10)])
    assert not {"turn-repeated", "turn-gap", "time-backwards"} & set(fine)


def test_lengths_by_the_table() -> None:
    found = examine(
        [
            cut("a", "train", 0, 0.199),
            cut("b", "train", 10, 10.2),
            cut("c", "train", 20, 50),
            cut("d", "train", 100, 130.001),
            cut("e", "train", 200, 199),
            row("f", extra={"table_start_s": "soon", "table_end_s": "1"}),
            Utterance("g", "long.mp4", "train", 5.0, 5.1),
        ]
    )
    assert cases(found, "table-too-short") == {"g": "0.100 s", "a": "0.199 s"}
    assert cases(found, "table-too-long") == {"d": "30.0 s"}
    assert cases(found, "table-time-invalid") == {"e": "from '200' to '199'", "f": "from 'soon' to '1'"}


# Class balance


def test_majority_line_is_scikit_learns() -> None:
    rows = [row(f"a{i}", emotion="anger", sentiment="negative") for i in range(5)]
    rows += [row("b"), row("t0", "test", emotion="anger"), row("t1", "test")]
    rows += [row("t2", "test", emotion="fear"), row("t3", "test", emotion="fear")]
    document = balance(Manifest(tuple(rows)))["emotion"]
    truth = ["anger", "joy", "fear", "fear"]
    assert document["guess"] == "anger"
    test = document["splits"]["test"]
    assert test["counts"] == {"fear": 2, "joy": 1, "anger": 1}
    for line, name in ((test["majority"], "fear"), (test["train_majority"], "anger")):
        guess = [name] * 4
        assert line.pop("name") == name
        assert line == pytest.approx(
            {
                "accuracy": accuracy_score(truth, guess),
                "balanced_accuracy": balanced_accuracy_score(truth, guess),
                "weighted_f1": f1_score(truth, guess, average="weighted", zero_division=0),
                "macro_f1": f1_score(truth, guess, average="macro", zero_division=0),
            }
        )
    assert document["splits"]["train"]["train_majority"] is None and document["outside_test"] is None


# MELD


@pytest.fixture(scope="module")
def meld() -> dict[str, Finding]:
    checkup = main(REPOSITORY / "data_manifest.csv", None, CheckOptions(media=False))
    assert checkup.exit_status == 0
    return {finding.code: finding for finding in checkup.findings}


def test_melds_leakage(meld: dict[str, Finding]) -> None:
    assert meld["span-across-splits"].note == "3 of test with train, 2 of dev with train"
    assert cases(meld, "span-across-splits") | {
        "test_dia85_utt0": "the same as train_dia12_utt7",
        "test_dia85_utt1": "the same as train_dia12_utt8",
    } == cases(meld, "span-across-splits")
    assert meld["shared-episode"].note.startswith("142 of the 143 test episodes")
    assert meld["same-line"].note.startswith("205 of test")
    assert "shared-dialogue" not in meld


def test_melds_table_faults(meld: dict[str, Finding]) -> None:
    assert len(meld["table-too-short"].cases) == 146
    assert cases(meld, "table-too-short")["test_dia155_utt3"] == "0.000 s"
    assert cases(meld, "table-too-short")["train_dia338_utt3"] == "0.006 s"
    assert cases(meld, "table-too-long") == {
        "test_dia38_utt4": "304.9 s",
        "test_dia220_utt0": "235.1 s",
        "train_dia309_utt0": "41.0 s",
    }
    assert len(meld["time-backwards"].cases) == 31 and len(meld["turn-gap"].cases) == 76
    assert len(meld["sentiment-follows"].cases) == 6  # all but surprise


def test_melds_known_faults_by_name(meld: dict[str, Finding]) -> None:
    assert cases(meld, "meld-unreadable") == {"train_dia125_utt3": ""}
    assert cases(meld, "meld-absent") == {"dev_dia110_utt7": ""}
    assert cases(meld, "meld-missing-dialogue") == {"train_dia60": ""}
    assert len(meld["meld-wrong-time"].cases) == 5


def test_melds_faults_are_not_seen_elsewhere() -> None:
    """The demo's corpus is laid out as MELD's, with other people in it."""
    rows = [row("train_dia125_utt3", speaker="Speaker 1"), row("dev_dia110_utt7", "dev", speaker="Speaker 2")]
    assert not any(code.startswith("meld-") for code in examine(rows))


def test_a_known_fault_that_is_mended_is_not_reported() -> None:
    manifest = read_manifest(REPOSITORY / "data_manifest.csv")
    clips = tuple(Facts(u, "missing" if u.id == "dev_dia110_utt7" else "") for u in manifest)
    corpus = registry.CheckedCorpus(manifest, clips=clips)
    codes = ("meld-unreadable", "meld-absent")
    found = {finding.code: finding for code in codes for finding in registry.CHECKS.get(code).run(corpus)}
    assert "meld-unreadable" not in found and cases(found, "meld-absent") == {"dev_dia110_utt7": ""}


def test_melds_majority_line() -> None:
    line = balance(read_manifest(REPOSITORY / "data_manifest.csv"))["emotion"]["splits"]["test"]["majority"]
    assert (round(line["accuracy"], 4), round(line["weighted_f1"], 3), round(line["macro_f1"], 3)) == (
        *(0.4812, 0.313, 0.093),
    )


# The command


def test_command(tmp_path: Path) -> None:
    rows = [*sound_rows(), cut("a", "train", 1, 2), cut("b", "test", 1, 2, emotion="[red]anger")]
    write_manifest(Manifest(tuple(rows)), tmp_path / "m.csv")
    words = ["check", str(tmp_path / "m.csv"), "--no-media"]
    run = CliRunner()
    shown = run.invoke(app, words)
    assert shown.exit_code == 0
    assert "span-across-splits" in shown.output and "majority: joy: accuracy" in shown.output
    assert "[red]anger" in shown.output  # not taken for markup
    document = json.loads(run.invoke(app, [*words, "--json"]).stdout)
    assert document["looked_at"] == "table alone" and document["unusable"] == []
    leak = next(finding for finding in document["findings"] if finding["code"] == "span-across-splits")
    assert leak["cases"] == [{"subject": "b", "detail": "the same as a"}]
    assert leak["count"] == 1 and leak["severity"] == "error" and leak["means"]
    assert run.invoke(app, [*words, "--strict"]).exit_code == 1
    assert run.invoke(app, words[:2]).exit_code == 2  # clips are to be looked at, and no root is given


def test_no_root_fails() -> None:
    with pytest.raises(UsageError, match="--no-media"):
        main(REPOSITORY / "data_manifest.csv", None)


def test_every_fault_says_what_it_means_and_stands_in_the_docs() -> None:
    page = (REPOSITORY / "docs" / "manifest.md").read_text("utf-8")
    for rule in registry.rules():
        assert rule.severity in SEVERITIES and rule.what and rule.means.endswith("."), rule.code
        assert f"| {rule.severity} | `{rule.code}` | {rule.what} | {rule.means} |" in page, rule.code
