"""The training loop on planted samples in memory: it learns them, it unfreezes as told, and a kill changes nothing."""

from __future__ import annotations

import dataclasses
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dualstream.features.encoder import EncoderOptions, build
from dualstream.features.encoders.frozen import FrozenFrameEncoder
from dualstream.features.networks import bilstm, cnn5
from dualstream.features.trainable import build_trainable, prepare_frames
from dualstream.features.weights import HEAD_PREFIX
from dualstream.pipeline.encoder_training.checkpoint import packed, read_checkpoint, write_checkpoint
from dualstream.pipeline.encoder_training.document import EpochNews
from dualstream.pipeline.encoder_training.engine import EncoderTraining
from dualstream.pipeline.encoder_training.objective import SampleLabels
from dualstream.pipeline.encoder_training.options import TrainOptions
from dualstream.pipeline.encoder_training.samples import Samples
from dualstream.pipeline.errors import CorruptError, UsageError

from tests.pipeline.killed import die, in_child, wrapped

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # a forked child must not need threads that stayed behind
    yield
    torch.set_num_threads(before)


def planted(kind: str, utterances: int = 24, per: int = 3, size: int = 32) -> tuple[Samples, SampleLabels]:
    """Emotion in the level of the frames, sentiment in half of the emotions; a third of the utterances is dev."""
    rng = np.random.default_rng(0)
    emotion = np.arange(utterances) % 4
    owner = np.repeat(np.arange(utterances), per)
    if kind == "bilstm":
        x = rng.normal(0, 1, (len(owner), 8, bilstm.BANDS)).astype(np.float32) - 6
        x += 3 * emotion[owner][:, None, None]
        lengths = rng.integers(4, 9, len(owner))
    else:
        x = rng.integers(0, 40, (len(owner), size, size, 3)) + 50 * emotion[owner][:, None, None, None]
        x, lengths = x.astype(np.uint8), np.ones(len(owner), np.int64)
    dev = np.arange(utterances) % 12 >= 8
    half = len(owner) // 2
    samples = Samples((x[:half], x[half:]), lengths.astype(np.int64), owner, ("",) * utterances, ())
    return samples, SampleLabels(emotion, emotion // 2, {"emotion": 4, "sentiment": 2}, ~dev, dev)


def make(folder: Path, kind: str, name: str = "c", **options: Any) -> EncoderTraining:
    samples, labels = planted(kind, size=cnn5.SIZE_PX if kind == "cnn5" else 32)
    how = TrainOptions(**{"epochs": 3, "batch_size": 16, "patience": 3, **options})
    one = build_trainable(kind, "random:0")
    return EncoderTraining(
        one, samples, labels, how, device=CPU, identity="i", checkpoint=folder / f"{name}.safetensors",
        checkpoint_s=0.0,
    )  # fmt: skip


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("balance", ["fixed", "uncertainty", "surgery"])
def test_it_learns_what_is_planted(tmp_path: Path, balance: str) -> None:
    training = make(
        tmp_path, "bilstm", epochs=15, patience=0, task_balance=balance, learning_rate=1e-2, loss="weighted"
    )
    history = training.run()
    at, found = training.predict(training.labels.dev)
    assert at.tolist() == [8, 9, 10, 11, 20, 21, 22, 23]
    assert (found["emotion"].argmax(1) == at % 4).mean() >= 0.9
    assert (found["sentiment"].argmax(1) == at % 4 // 2).mean() >= 0.9
    assert history[-1]["train_loss"] < history[0]["train_loss"] / 2


def test_an_utterance_is_the_mean_of_its_samples(tmp_path: Path) -> None:
    training = make(tmp_path, "bilstm")
    x, lengths = training.samples.gather(np.arange(24, 27))  # utterance 8
    net = training.net.eval()
    with torch.no_grad():
        logits = training.head(net(torch.from_numpy(x), torch.from_numpy(lengths))[None]).emotion[0]
    expected = torch.log_softmax(logits.double().mean(0), -1)  # the same: a sample's norm shifts all classes alike
    at, found = training.predict(training.labels.dev)
    np.testing.assert_allclose(found["emotion"][at.tolist().index(8)], expected, atol=1e-5)


def test_dev_picks_the_epoch_and_ends_training(tmp_path: Path) -> None:
    training = make(tmp_path, "bilstm", epochs=30, patience=2, learning_rate=1e-2)
    history = training.run()
    best = training.progress.best_epoch
    scores, losses = ([record[key] for record in history] for key in ("dev_score", "dev_loss"))
    last_gain = max(scores.index(max(scores)), losses.index(min(losses)), best)
    assert len(history) < 30 and len(history) == last_gain + 3
    ranks = [(record["dev_score"], -record["dev_loss"]) for record in history]
    assert best == ranks.index(max(ranks))
    again = training._look()  # the weights that are left are those of that epoch
    assert again["dev_score"] == history[best]["dev_score"] and again["dev_loss"] == history[best]["dev_loss"]


@pytest.mark.parametrize(
    ("answers", "stops"),
    [
        ([(True, 0.30), (False, 0.32), (False, 0.34), (False, 0.36), (False, 0.36), (False, 0.35)], 5),
        ([(True, 0.30), (False, 0.28), (False, 0.29), (False, 0.40)], 2),
        ([(True, 0.36), (False, 0.30), (True, 0.37), (False, 0.30), (False, 0.30)], 4),
    ],
    ids=["the loss still falls", "neither gains", "the score gains"],
)
def test_patience_counts_from_the_last_gain_in_score_or_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: list[tuple[bool, float]], stops: int
) -> None:
    """Answers of an epoch: whether they are right, and the probability of the true class."""
    training = make(tmp_path, "bilstm", epochs=30, patience=2)
    dev = np.flatnonzero(training.labels.dev)
    training.labels = dataclasses.replace(
        training.labels, emotion=np.zeros(24, np.int64), sentiment=np.full(24, -1)
    )

    def said(wanted: Any) -> Any:
        right, p = answers[training.progress.epoch]
        first = (1 - p) / 3 if right else p + 0.01
        row = [p, first, *[(1 - p - first) / 2] * 2]
        return dev, {"emotion": np.log(np.tile(row, (len(dev), 1))), "sentiment": np.zeros((len(dev), 2))}

    monkeypatch.setattr(training, "predict", said)
    for epoch in range(stops + 1):
        training.progress.epoch = epoch
        training._look()
        assert bool(training.progress.stopped) == (epoch == stops)
    assert training.progress.best_epoch == max(epoch for epoch in range(stops + 1) if answers[epoch][0])


def test_the_weights_are_the_seeds_and_another_seeds_are_not(tmp_path: Path) -> None:
    states = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        training = make(tmp_path, "bilstm", name, seed=seed, epochs=1)
        training.run()
        states.append(training.state())
    assert same(states[0], states[1]) and not same(states[0], states[2])


@pytest.mark.parametrize(("kind", "kills"), [("bilstm", 5), pytest.param("cnn5", 2, marks=pytest.mark.slow)])
def test_kills_at_random_moments_change_nothing(tmp_path: Path, kind: str, kills: int) -> None:
    options = {"epochs": 2, "resample": True, "task_balance": "uncertainty"}
    whole = make(tmp_path, kind, "whole", **options)
    history = whole.run()
    chance = random.Random(kind)

    def task(calls: int) -> None:
        training = make(tmp_path, kind, "killed", **options)
        wrapped(calls, die)
        training.run()

    died = 0
    for _ in range(kills):
        calls = chance.randint(1, 9)
        status = in_child(lambda calls=calls: task(calls))  # type: ignore[misc]
        assert status in (0, -signal.SIGKILL)
        died += status != 0
        for leftover in tmp_path.glob("*.tmp"):
            leftover.unlink()  # as the command does under its lock
    assert died >= 2
    resumed = make(tmp_path, kind, "killed", **options)
    assert resumed.run() == history
    assert same(resumed.state(), whole.state())


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "bilstm", epochs=1).run()
    other = make(tmp_path, "bilstm", epochs=1)
    other.identity = "another"
    with pytest.raises(UsageError, match="other options or other data"):
        other.run()


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    write_checkpoint(path, {"x": torch.arange(100.0)}, {"a": 1})
    tensors, note = read_checkpoint(path)
    assert torch.equal(tensors["x"], torch.arange(100.0)) and note == {"a": 1}
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)
    with pytest.raises(CorruptError, match="damaged"):
        read_checkpoint(path)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(CorruptError, match="remove it"):
        read_checkpoint(path)


def test_blocks_must_be_the_encoders(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="trains whole"):
        make(tmp_path, "bilstm", unfreeze=("fc7",))
    with pytest.raises(ValueError, match="bilstm, cnn5, vgg16"):
        build_trainable("resnet", None)


@pytest.mark.slow
def test_mixed_precision_computes_in_bf16_and_keeps_float32(tmp_path: Path) -> None:
    exact, mixed = (make(tmp_path, "cnn5", p, epochs=1, patience=0, precision=p) for p in ("fp32", "bf16"))
    exact.run()
    mixed.run()
    one, other = exact.state()["embed.weight"], mixed.state()["embed.weight"]
    assert other.dtype == torch.float32
    assert (
        not torch.equal(one, other) and torch.nn.functional.cosine_similarity(one.ravel(), other.ravel(), 0) > 0.9
    )


@pytest.mark.slow
def test_vgg16_moves_the_thawed_blocks_alone(tmp_path: Path) -> None:
    one = build_trainable("vgg16", "random:0")
    small = dataclasses.replace(one, prepare=prepare_frames(32, (0.5,) * 3, (0.25,) * 3, None))
    samples, labels = planted("vgg16", utterances=3, per=1)
    labels = dataclasses.replace(labels, train=np.ones(3, bool), dev=np.zeros(3, bool))
    options = TrainOptions(epochs=3, batch_size=3, patience=0, unfreeze=("block5", "block4"), unfreeze_every=2)
    before = {name: array.clone() for name, array in small.net.named_parameters()}
    seen: list[list[str]] = []

    def moved(news: EpochNews) -> None:
        now = training.state()
        seen.append([name for name, old in before.items() if not torch.equal(now[small.file_name(name)], old)])

    training = EncoderTraining(
        small, samples, labels, options, device=CPU, identity="v", checkpoint=tmp_path / "v.safetensors",
        report=moved,
    )  # fmt: skip
    training.run()  # three steps, one an epoch
    embed = ["embed.weight", "embed.bias"]
    block5 = [f"net.features.{layer}.{part}" for layer in (24, 26, 28) for part in ("weight", "bias")]
    assert [sorted(names) for names in seen] == [sorted(embed), sorted(embed), sorted(embed + block5)]
    path = tmp_path / "vgg16.safetensors"
    path.write_bytes(packed(training.state(), {"licence": "none"}))
    encoder = build("video", "vgg16", EncoderOptions(weights=str(path)))  # extract takes the file for what it is
    assert encoder.spec.raw_width == 100 and isinstance(encoder, FrozenFrameEncoder)
    for name, array in training.state().items():
        if not name.startswith(HEAD_PREFIX):
            inside = name if name.startswith("embed.") else f"net.{name}"
            assert torch.equal(encoder.network.state_dict()[inside], array), name
