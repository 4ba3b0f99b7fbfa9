"""What every registered cause of a failing fusion must do, whoever wrote it."""

from __future__ import annotations

import json

import pytest
from dualstream.heads.diagnosis import Diagnosis, causes, diagnose
from dualstream.heads.diagnosis.causes import Cause
from dualstream.heads.diagnosis.causes.outlying_rows import is_severe
from dualstream.heads.diagnosis.conclusion import conclude
from dualstream.heads.diagnosis.evidence import DiagnosisOptions, Evidence
from dualstream.heads.diagnosis.outlying import Outlying
from dualstream.heads.variants.options import FitOptions
from planted_causes import PlantOptions, plant

from tests.registries import scratch

QUICK = DiagnosisOptions(folds=3, fit=FitOptions(seeds=(0,), epochs=4, threads=1), interventions=("standardise",))


@pytest.fixture(scope="module")
def found() -> Diagnosis:
    return diagnose(*plant(PlantOptions(("leakage",), seed=3, utterances=160)), QUICK)


@pytest.mark.parametrize("name", causes.names())
def test_it_answers_for_itself_in_json(name: str, found: Diagnosis) -> None:
    entry = causes.REGISTRY.get(name)
    assert entry.rule.__doc__ and entry.name == name
    unknown = set(entry.explained_by) - {causes.ALL, *causes.names()}
    assert not unknown and name not in entry.explained_by
    answer = entry.rule(found.evidence)
    if answer is not None:
        assert answer.name == name and answer.text and answer.advice
        document = answer.to_json()
        assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_ours_are_weighed_as_ever() -> None:
    ours = [name for name in causes.names() if causes.REGISTRY.module_of(name).startswith("dualstream.")]
    assert ours == [
        "memorised_labels",
        "label_in_column",
        "missing_by_class",
        "same_stream",
        "scale_by_group",
        "columns_by_group",
        "two_kinds_of_rows",
        "outlying_rows",
        "broken_features",
        "imputed_rows",
        "put_values",
        "leakage",
        "duplicates",
        "wrong_join",
        "wrong_labels",
        "wrong_speakers",
        "shared_speakers",
        "label_noise",
        "drift",
        "starved_sampling",
        "varying_offsets",
        "misaligned",
        "whitened_projection",
        "scale_mismatch",
        "one_stream_dominates",
        "too_little_data",
        "collapse",
        "no_complement",
    ]


def test_one_function_is_a_cause(found: Diagnosis) -> None:
    def fans(evidence: Evidence) -> Cause | None:
        return Cause("fans", "fans are heard", 0.0, None, (), "switch them off")

    before = [cause.name for cause in conclude(found.evidence)]
    assert before[0] == "leakage"
    with scratch(causes.REGISTRY):
        causes.cause(rank=1)(fans)
        assert [cause.name for cause in conclude(found.evidence)] == ["fans", *before]
    with scratch(causes.REGISTRY):
        causes.cause(rank=1, explained_by="leakage")(fans)
        assert [cause.name for cause in conclude(found.evidence)] == before
    with pytest.raises(ValueError, match="cause 'leakage' is registered twice"):
        causes.cause(rank=1)(causes.REGISTRY.get("leakage").rule)


@pytest.mark.parametrize(
    ("rows", "far", "worst", "severe"),
    [(175, 1, 1.6, False), (175, 2, 1.6, False), (175, 3, 1.6, True), (1000, 5, 1.6, False), (1000, 6, 1.6, True),
     (175, 1, 20.0, True)],
)  # fmt: skip
def test_a_row_or_two_a_little_outside_are_no_cause(rows: int, far: int, worst: float, severe: bool) -> None:
    assert is_severe(Outlying("audio", rows, far, worst)) is severe
