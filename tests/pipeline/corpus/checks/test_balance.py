"""Class counts and majority lines of a small manifest, counted by hand and by scikit-learn."""

from __future__ import annotations

import json

import pytest
from dualstream.pipeline.corpus.checks.balance import balance
from dualstream.pipeline.corpus.checks.findings import Case, Rule
from dualstream.pipeline.corpus.checks.tasks import label_of
from dualstream.pipeline.corpus.manifest import Manifest
from dualstream.pipeline.corpus.utterance import Utterance
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score


def manifest(**labels: list[str]) -> Manifest:
    rows = [(split, label) for split, names in labels.items() for label in names]
    return Manifest(
        tuple(Utterance(f"u{at}", f"{at}.mp4", split, emotion=label) for at, (split, label) in enumerate(rows))
    )


TRAIN = ["joy"] * 5 + ["anger"] * 2 + ["neutral"] * 3
DEV = ["anger"] * 4 + ["joy"] + [""]


def test_counts_are_in_melds_order_and_leave_blanks_out():
    found = balance(manifest(train=TRAIN, dev=DEV))["emotion"]
    assert list(found["splits"]["train"]["counts"].items()) == [("neutral", 3), ("joy", 5), ("anger", 2)]
    assert found["splits"]["dev"]["counts"] == {"neutral": 0, "joy": 1, "anger": 4}
    assert found["guess"] == "joy" and "test" not in found["splits"]
    assert found["outside_test"]["counts"] == {"neutral": 3, "joy": 6, "anger": 6}
    json.dumps(found.to_json())


@pytest.mark.parametrize("line", ["majority", "train_majority"])
def test_a_majority_line_is_scikit_learns(line):
    found = balance(manifest(train=TRAIN, dev=DEV))["emotion"]["splits"]["dev"][line]
    truth = [name for name in DEV if name]
    guess = [{"majority": "anger", "train_majority": "joy"}[line]] * len(truth)
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, guess))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, guess))
    assert found["macro_f1"] == pytest.approx(f1_score(truth, guess, average="macro"))
    assert found["weighted_f1"] == pytest.approx(f1_score(truth, guess, average="weighted", zero_division=0))


def test_a_task_without_labels_is_left_out():
    assert set(balance(manifest(train=TRAIN))) == {"emotion"}
    assert balance(manifest(train=["", ""])) == {}
    assert balance(manifest(train=TRAIN))["emotion"]["outside_test"] is None  # folds deal out that split alone


def test_without_train_the_first_split_guesses():
    found = balance(manifest(dev=["sadness"] * 2 + ["joy"], test=["joy"] * 3))["emotion"]
    assert found["guess"] == "sadness" and found["splits"]["test"]["train_majority"] is None


def test_the_label_of_a_task():
    row = Utterance("a", "a.mp4", "train", emotion="joy", sentiment="positive")
    assert (label_of(row, "emotion"), label_of(row, "sentiment")) == ("joy", "positive")


def test_a_rule_without_cases_is_no_finding():
    rule = Rule("too-short", "warning", "utterance", "hardly any length", "one window.", "times")
    assert rule.found([]) == []
    (found,) = rule.found((Case(f"u{n}", "0.1 s") for n in range(2)), "all of dialogue 3")
    assert found.code == "too-short" and found.to_json() == {
        "code": "too-short", "severity": "warning", "count": 2, "of": "utterance", "what": "hardly any length",
        "means": "one window.", "note": "all of dialogue 3",
        "cases": [{"subject": "u0", "detail": "0.1 s"}, {"subject": "u1", "detail": "0.1 s"}],
    }  # fmt: skip
