"""Three streams: the one that is wrong is named, the others are not, and a sound corpus has nothing wrong."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from dualstream.heads.diagnosis import diagnose
from dualstream.heads.diagnosis.alignment import OffsetCurve
from dualstream.heads.diagnosis.causes.label_in_column import found_in as label_in_column
from dualstream.heads.diagnosis.causes.misaligned import misaligned
from dualstream.heads.diagnosis.causes.scale_mismatch import scale_mismatch
from dualstream.heads.diagnosis.causes.starved_sampling import starved_sampling
from dualstream.heads.diagnosis.causes.wrong_join import wrong_join
from dualstream.heads.diagnosis.conclusion import conclude, idle
from dualstream.heads.diagnosis.delays import delays
from dualstream.heads.diagnosis.evidence import DiagnosisOptions, Evidence, leave_out
from dualstream.heads.diagnosis.pairs import Offsets, Pair
from dualstream.heads.diagnosis.refit import Trial
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.joins import LABELS, Join, joins
from dualstream.heads.diagnosis.signs.label_columns import columns_of_labels
from dualstream.heads.diagnosis.signs.settled import settled
from dualstream.heads.diagnosis.strength import Complement, Reliance, Strength
from dualstream.heads.diagnosis.subsets import subset_trial, worth
from dualstream.heads.variants.registry import FitOptions

from tests.heads.diagnosis.measured import NAN, change, curve, estimate, evidence, gain, seen, space
from tests.heads.diagnosis.three_streams import WIDTHS, Fault, plant, table

STREAMS = tuple(WIDTHS)
PAIRS = tuple(itertools.combinations(STREAMS, 2))
QUICK = DiagnosisOptions(
    folds=3,
    fit=FitOptions(seeds=(0,), patience=3, threads=1),
    interventions=("standardise",),
    measures=False,
    limits=False,
)


# ---- what is known by hand


def test_shapley_values_are_the_means_over_all_orders() -> None:
    score = {(): 0.25, ("a",): 0.5, ("b",): 0.4, ("c",): 0.25, ("a", "b"): 0.7, ("a", "c"): 0.55, ("b", "c"): 0.4}
    score["a", "b", "c"] = 0.8
    made = {known: SimpleNamespace(score=value) for known, value in score.items()}
    alone, some = ({k: v for k, v in made.items() if len(k) == size} for size in (1, 2))
    values, named = worth(
        0.25,
        {name: one for (name,), one in alone.items()},  # type: ignore[misc]
        {frozenset(known): one for known, one in some.items()},  # type: ignore[misc]
        made["a", "b", "c"],  # type: ignore[arg-type]
    )
    orders = list(itertools.permutations("abc"))
    for name in "abc":
        steps = [
            score[tuple(sorted((*order[: order.index(name)], name)))]
            - score[tuple(sorted(order[: order.index(name)]))]
            for order in orders
        ]
        assert values[name] == pytest.approx(np.mean(steps))
    assert sum(values.values()) == pytest.approx(0.8 - 0.25)
    assert named == {"+".join(known): value for known, value in score.items() if known}


@pytest.mark.parametrize(
    ("fusion", "known", "fitted"),
    [
        ("concat", {"face"}, "single:face"),
        ("concat", {"voice", "face"}, "concat:voice+face"),
        ("linear", {"pose"}, "linear:pose"),
        ("linear_late", {"face", "pose"}, "linear_late:face+pose"),
    ],
)
def test_some_streams_are_joined_as_all_are(fusion: str, known: set[str], fitted: str) -> None:
    trial = subset_trial(Trial("as it is", fusion, FitOptions()), frozenset(known), STREAMS)
    assert (trial.fusion, trial.prepare) == (fitted, None)


def test_heads_over_windows_have_the_others_hidden() -> None:
    train, _ = plant(count=80)
    trial = subset_trial(Trial("as it is", "aligned", FitOptions()), frozenset({"voice", "pose"}), STREAMS)
    assert trial.fusion == "aligned" and trial.prepare is not None
    hidden = trial.prepare(train)(train)
    assert [bool(hidden.streams[name].present.any()) for name in STREAMS] == [True, False, True]


def offset(by_s: float | None, weight: float = 0.5) -> OffsetCurve:
    """Return a curve that peaks there; None: where it could be anywhere."""
    made = curve("unknown" if by_s is None else "shifted" if by_s else "aligned", by_s or 0.0, (by_s or 0.0,) * 2)
    return replace(made, agreement=np.full(9, weight))


@pytest.mark.parametrize(
    ("offsets", "late_s"),
    [
        ((1.0, 0.0, -1.0), {"face": 1.0}),  # voice-face, voice-pose, face-pose
        ((0.0, 1.5, 1.5), {"pose": 1.5}),
        ((-0.5, -0.5, 0.0), {"voice": 0.5}),
        ((0.0, 0.0, 0.0), {}),
        ((1.0, None, None), {"face": 1.0}),  # of two, the second
        ((1.0, -1.0, -2.0), {"face": 1.0, "pose": -1.0}),  # three clocks: the first stream's is theirs
        ((None, None, 1.0), {"pose": 1.0}),
    ],
)
def test_the_stream_is_late_that_all_pairs_say_is_late(
    offsets: tuple[float, ...], late_s: dict[str, float]
) -> None:
    found = [(pair, offset(by_s)) for pair, by_s in zip(PAIRS, offsets, strict=True)]
    assert delays(STREAMS, found) == late_s


# ---- which pair accuses whom


def join(
    one: str, other: str, kind: str, moved: str = "", best: str = "1 row earlier over the whole table"
) -> Join:
    source = tuple(np.roll(np.arange(5), -1).tolist()) if kind == "order" else ()
    return Join(one, other, 1.0, best if source else "as they stand", 50.0, kind, moved, source)  # type: ignore[arg-type]


def test_a_stream_that_two_others_accuse_is_moved_whatever_the_labels_say() -> None:
    found = settled(
        [
            join("voice", "face", "order", "face"),
            join("voice", "pose", "related"),
            join("face", "pose", "order", "pose", "1 row later over the whole table"),
            join("voice", LABELS, "related"),
        ],
        STREAMS,
    )
    assert [one.moved for one in found] == ["face", "", "face", ""]
    assert {one.best for one in found if one.moved} == {"1 row earlier over the whole table"}
    assert (found[0].source, found[2].source) == (
        (1, 2, 3, 4, 0),
        (4, 0, 1, 2, 3),
    )  # the other side, the other way


def test_of_two_streams_the_labels_have_the_last_word() -> None:
    found = [join("voice", "face", "order", "voice")]
    assert settled(found, STREAMS[:2]) == tuple(found)


def test_a_blind_stream_that_goes_with_a_third_is_not_shuffled() -> None:
    found = settled(
        [
            join("voice", "face", "shuffled", "face"),
            join("voice", "pose", "related"),
            join("face", "pose", "related"),
        ],
        STREAMS,
    )
    assert [one.kind for one in found] == ["unknown", "related", "related"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("shifted", "face is joined wrongly to voice and pose"),
        ("shuffled", "face says nothing of the class, and shares nothing with voice or pose"),
        ("noise", "face says nothing of the class, and shares nothing with voice or pose"),
    ],
)
def test_the_stream_that_stands_wrong_is_named(fault: Fault, words: str) -> None:
    found = wrong_join(evidence(signs=seen_of(fault)))
    assert found is not None and words in found.text


def test_streams_that_stand_right_are_not_named() -> None:
    assert wrong_join(evidence(signs=seen_of("none"))) is None


def test_a_wrong_stream_is_named_wherever_it_stands() -> None:
    for wrong in ("voice", "pose"):
        found = wrong_join(evidence(signs=seen_of("shifted", wrong)))
        assert found is not None and found.text.startswith(f"{wrong} is joined wrongly to ")
        assert found.advice.endswith(f"take each row of {wrong} from 1 row later over the whole table")


def test_the_column_that_is_the_label_is_named_with_its_stream() -> None:
    signs = replace(seen_of("label"), label_columns=columns_of_labels(table("label")))
    found = label_in_column(signs, "emotion")
    assert found is not None and found.text.startswith("column 0 of face alone tells the emotion")


def seen_of(fault: Fault, wrong: str = "face") -> Signs:
    rows = table(fault, wrong)
    return Signs(
        ids=rows.ids,
        speaker_names=rows.speaker_names,
        speaker=tuple(rows.speaker.tolist()),
        dev=tuple(rows.dev.tolist()),
        streams=STREAMS,
        known_speakers=1.0,
        joins=settled(joins(rows), STREAMS),
    )


# ---- causes of what was measured


def of_three(*changes: Any, offsets: tuple[float | None, ...] = (0.0, 0.0, 0.0), **fields: Any) -> Evidence:
    """Return evidence of three streams of which nothing is wrong."""
    names = STREAMS
    none = Complement({"voice": 0.1, "face": 0.1}, 0.3, 0.3, 0.7, 0.1)
    pairs = tuple(
        Pair(pair, estimate(0.55), gain(0.05), none, 0.2, Offsets(pair, offset(by_s), None))
        for pair, by_s in zip(PAIRS, offsets, strict=True)
    )
    lean = tuple(Reliance(name, 0.1, 0.1) for name in names)
    strength = Strength(0.25, dict.fromkeys(names, 0.5), 0.6, dict.fromkeys(names, 0.1), lean, {})
    whole = {
        "strength": strength,
        "complement": Complement(dict.fromkeys(names, 0.1), 0.3, 0.3, 0.7, NAN),
        "coverage": {name: seen(name) for name in names},
        "spaces": {name: space(name) for name in names},
        "scores": {name: estimate(0.5) for name in (*names, "late_sum")} | {"fused": estimate(0.6)},
        "best_single": "voice",
        "curve": None,
        "redundancy": NAN,
        "pairs": pairs,
    }
    return evidence(*changes, **(whole | fields))


def test_the_late_stream_is_named_against_the_others() -> None:
    found = misaligned(of_three(offsets=(1.0, 0.0, -1.0)))
    assert found is not None
    assert found.text.startswith(
        "face runs +1.0 s against voice and pose; the streams agree best with face +1.0 s"
    )
    assert found.advice.startswith("shift face by -1.0 s before")
    assert misaligned(of_three()) is None


def test_the_loud_stream_and_the_soft_one_are_named() -> None:
    fixed = change("standardise", 0.1)
    for scales, words in (((1, 90, 2), "face values are 45 times as large as voice and pose values"),
                          ((50, 1, 60), "voice and pose values are 50 times as large as face values")):  # fmt: skip
        spaces = {name: space(name, scale=float(one)) for name, one in zip(STREAMS, scales, strict=True)}
        found = scale_mismatch(of_three(fixed, spaces=spaces))
        assert found is not None and found.text.startswith(words)


def test_the_starved_stream_is_held_against_those_that_are_fed() -> None:
    seen_s = dict(zip(STREAMS, (1.0, 0.2, 0.6), strict=True))
    found = starved_sampling(of_three(coverage={name: seen(name, windows_seen=s) for name, s in seen_s.items()}))
    assert found is not None and "face has a row for 20% of an utterance's windows, voice for 100%; " in found.text


def test_a_stream_that_adds_nothing_is_named_and_what_does_as_well() -> None:
    found = of_three(
        change(leave_out("voice"), -0.1), change(leave_out("face"), 0.004), change(leave_out("pose"), -0.03)
    )
    assert found.adds["voice"].difference == pytest.approx(0.1)
    assert found.adds["voice"].interval == pytest.approx((0.09, 0.11))
    assert idle(found) == ("face",)
    (cause,) = conclude(found)
    assert cause.name == "nothing_wrong"
    assert "; face adds nothing that could be measured to the others (-0.4%, -1.4% to +0.6%): " in cause.text
    assert "--streams voice,pose does as well" in cause.text


def test_nothing_is_called_idle_where_much_may_hide() -> None:
    assert idle(of_three(change(leave_out("face"), 0.0, half=0.1))) == ()


def test_evidence_of_two_streams_keeps_its_keys() -> None:
    found = evidence().to_json()
    keys = [
        "chance",
        "video",
        "audio",
        "fused",
        "shapley_video",
        "shapley_audio",
        "lean",
        "gradient_share_video",
        "lean_share",
    ]
    assert list(found["strength"])[: len(keys)] == keys
    assert list(found["complement"]) == ["only_video", "only_audio", "both", "neither", "oracle", "disagreement"]
    assert found["pairs"] == [] and found["adds"] == {} and found["offset_curve"]["verdict"] == "aligned"


# ---- whole diagnoses


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "name", "words"),
    [
        ("none", "nothing_wrong", "The streams complement each other"),
        ("shifted", "wrong_join", "face is joined wrongly to voice and pose"),
        ("shuffled", "wrong_join", "face says nothing of the class"),
        ("noise", "wrong_join", "face says nothing of the class"),
        ("label", "label_in_column", "column 0 of face"),
        ("scale", "scale_mismatch", "face values are"),
    ],
)
def test_the_fault_is_named_with_its_stream(fault: Fault, name: str, words: str) -> None:
    train, dev = plant(fault)
    found = diagnose(train, dev, replace(QUICK, fusion="concat" if fault == "scale" else "linear"))
    json.dumps(found.to_json(), allow_nan=False)
    assert [cause.name for cause in found.causes] == [name]
    assert found.causes[0].text.startswith(words)
    others = found.evidence.adds["voice"], found.evidence.adds["pose"]
    if fault in ("shifted", "shuffled", "noise"):
        assert found.evidence.strength.shapley["face"] < 0.05
        assert all(gain.low is not None and gain.low > 0 for gain in others)
        assert idle(found.evidence) == ("face",)
