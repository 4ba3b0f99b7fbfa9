"""The study of diagnoses: what it counts as a false alarm."""

from contextlib import nullcontext
from types import SimpleNamespace

import study_diagnosis


def test_false_alarms_are_counted_where_nothing_of_the_kind_is_planted(monkeypatch, capsys):
    full = []

    def diagnosed(causes, seed, loss):
        full.append(causes)
        return ["whitened_projection"], 0.0

    monkeypatch.setattr(study_diagnosis, "diagnosed", diagnosed)
    monkeypatch.setattr(
        study_diagnosis, "ProcessPoolExecutor", lambda workers: nullcontext(SimpleNamespace(map=map))
    )
    assert study_diagnosis.false_alarms(("none",), 0, "cross_entropy") == ([], False) and not full
    found = study_diagnosis.false_alarms(("whitened_projection",), 0, "cross_entropy")
    assert found == (["whitened_projection"], True) and full == [("whitened_projection",)]

    answers = {"none": (["outlying_rows"], False), "drift": ([], True)}
    monkeypatch.setattr(study_diagnosis, "false_alarms", lambda causes, seed, loss: answers[causes[0]])
    study_diagnosis.count_false_alarms([("none",), ("drift",), ("whitened_projection",)], 2, "cross_entropy", 1)
    said = capsys.readouterr().out
    assert "named in 4 corpora without it" in said and "| `outlying_rows` | 2 |" in said
    assert "| `whitened_projection` | 0 |" in said and "2 had the sign of principal components" in said
