"""A network that was trained on train's labels is found by its features; honest streams are not accused."""

from dataclasses import replace

import numpy as np
import pytest
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.evaluation.memorised import certainty

EVEN = np.full(7, 1 / 7)
MELD = np.array([0.47, 0.16, 0.12, 0.12, 0.07, 0.03, 0.03])
WITHOUT_LABELS = ("test",)


def corpus(rng, means, count, speakers, *, strength, shares=EVEN, first=0, shift=0.0, gain=1.0, voices=0.5):
    """Speakers with voices of their own, classes with means of theirs, one utterance a dialogue."""
    classes, width = means.shape
    speaker = np.arange(count) % speakers
    emotion = rng.choice(classes, count, p=shares)
    rows = strength * means[emotion] + voices * rng.normal(size=(speakers, width))[speaker]
    rows = gain * (rows + rng.normal(size=(count, width)) + shift * rng.normal(size=width))
    return FeatureSet(
        streams={"video": StreamArrays(rows.astype(np.float32), np.ones(count, dtype=bool))},
        offsets=np.zeros(count + 1, np.int64),
        start_s=np.zeros(0),
        emotion=emotion,
        sentiment=np.full(count, -1),
        emotion_names=tuple(f"class {k}" for k in range(classes)),
        sentiment_names=(),
        dialogue=np.arange(count),
        turn=np.zeros(count, np.int64),
        speaker=first + speaker,
    )


def splits(seed, *, count=600, speakers=12, other=200, others=4, width=100, strength=0.08, shares=EVEN, **changed):
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(len(shares), width))
    told = {"strength": strength, "shares": shares, "voices": changed.pop("voices", 0.5)}
    train = corpus(rng, means, count, speakers, **told)
    return train, corpus(rng, means, other, others, first=100, **{**told, **changed})


def encoded(train, other, seed, epochs=60):
    """Train a network on train's labels, and give both splits its last hidden layer for features."""
    import torch

    torch.manual_seed(seed)
    rows = [torch.from_numpy(part.streams["video"].utterance) for part in (train, other)]
    layers = [torch.nn.Linear(rows[0].shape[1], 64), torch.nn.ReLU(), torch.nn.Linear(64, 32), torch.nn.ReLU()]
    encoder, head = torch.nn.Sequential(*layers), torch.nn.Linear(32, len(train.emotion_names))
    truth = torch.from_numpy(train.emotion)
    steps = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], 2e-3)
    for _ in range(epochs):
        for index in torch.randperm(len(truth)).split(64):
            steps.zero_grad()
            torch.nn.functional.cross_entropy(head(encoder(rows[0][index])), truth[index]).backward()
            steps.step()
    with torch.no_grad():
        made = [encoder(one).numpy() for one in rows]
    return tuple(
        replace(part, streams={"video": StreamArrays(one, np.ones(len(one), dtype=bool))})
        for part, one in zip((train, other), made, strict=True)
    )


def found(train, other, *, labelled=True):
    name = "dev" if labelled else "test"
    answer = certainty(train, {name: other}, "video", "emotion", unlabelled=WITHOUT_LABELS)
    return answer[name].memorised if name in answer else False


@pytest.mark.slow
@pytest.mark.parametrize("shares", [EVEN, MELD], ids=["even", "uneven"])
def test_a_network_trained_on_these_labels_is_found(shares):
    pairs = [encoded(*splits(seed, shares=shares), seed) for seed in range(20)]
    assert sum(found(*pair) for pair in pairs) >= 19
    assert sum(found(*pair, labelled=False) for pair in pairs) >= 19  # no label of the other split is needed


@pytest.mark.slow
def test_a_network_that_learned_something_too_is_found():
    """In train a probe is right in 99 %, on new people in half."""
    pairs = [encoded(*splits(seed, width=40, strength=0.3), seed) for seed in range(20)]
    assert sum(found(*pair) for pair in pairs) >= 19


@pytest.mark.slow
def test_a_small_corpus_tells_too():
    pairs = [encoded(*splits(seed, count=120, speakers=6, other=60, others=2), seed) for seed in range(20)]
    assert sum(found(*pair) for pair in pairs) >= 19


HONEST = {
    "weak": {},
    "strong": {"strength": 0.5, "width": 40},
    "uneven": {"strength": 0.2, "width": 40, "shares": MELD},
    "other rooms": {"strength": 0.3, "width": 40, "shift": 1.0},
    "other gain": {"strength": 0.5, "width": 40, "gain": 0.4},
    "other gain and room": {"strength": 0.5, "width": 40, "gain": 0.5, "shift": 1.0},
    "loud voices": {"strength": 0.5, "width": 40, "voices": 2.0},
    "small": {"strength": 0.5, "width": 40, "count": 80, "speakers": 4, "other": 40, "others": 2},
    "small, wide": {"strength": 0.2, "width": 192, "count": 80, "speakers": 4, "other": 40, "others": 2},
    "small, other room": {
        "strength": 0.5, "width": 40, "count": 80, "speakers": 4, "other": 40, "others": 2, "shift": 1.0, "gain": 0.6,
    },
    "small, uneven": {"strength": 0.5, "width": 40, "shares": MELD, "count": 120, "speakers": 6, "other": 40},
    "one new voice": {"strength": 0.5, "width": 40, "count": 60, "speakers": 3, "other": 40, "others": 1},
}  # fmt: skip


QUICK = ("small", "small, uneven", "one new voice")


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[] if one in QUICK else pytest.mark.slow) for one in HONEST]
)
def test_honest_streams_are_not_accused(name):
    for seed in range(40):
        train, other = splits(1000 + seed, **HONEST[name])
        assert not found(train, other) and not found(train, other, labelled=False), seed


def test_labels_of_a_split_that_is_named_unlabelled_are_not_read():
    train, other = splits(0, strength=0.3)
    shuffled = replace(other, emotion=np.random.default_rng(0).permutation(other.emotion))
    one, two = (
        certainty(train, {"test": part}, "video", "emotion", unlabelled=WITHOUT_LABELS)["test"]
        for part in (other, shuffled)
    )
    assert one == two and one.other_accuracy is None


def test_what_can_t_be_told_is_left_out():
    train, other = splits(0)
    assert certainty(train, {"dev": other.take(np.arange(20))}, "video", "emotion") == {}
    assert certainty(train, {"dev": other}, "video", "sentiment") == {}  # nothing is labelled
    one_class = replace(train, emotion=np.zeros(len(train), np.int64))
    assert certainty(one_class, {"dev": other}, "video", "emotion") == {}
    only = replace(other, emotion=np.zeros(len(other), np.int64))
    assert certainty(train, {"dev": only}, "video", "emotion") == {}  # other classes than train's
    # new people whom no fold can stand for: all train speakers share dialogues
    connected = replace(train, dialogue=np.arange(len(train)) // 50)
    assert certainty(connected, {"dev": other}, "video", "emotion") == {}


def test_missing_and_broken_rows_are_left_out():
    train, other = encoded(*splits(3), 3)
    rows = train.streams["video"].utterance.copy()
    present = np.ones(len(rows), dtype=bool)
    present[:20], rows[:20], rows[20:25] = False, 0, np.nan
    patched = replace(train, streams={"video": StreamArrays(rows, present)})
    assert found(patched, other)
