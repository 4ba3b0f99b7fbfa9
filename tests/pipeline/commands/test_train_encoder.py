"""train-encoder on clips of one colour and one tone each: from files to weights, to a cache, and back."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dualstream.features.encoder import EncoderOptions, build
from dualstream.features.media import write_clip
from dualstream.features.weights import HEAD_PREFIX, load_file
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline.cache import read_cache
from dualstream.pipeline.commands.compare import CompareOptions, compare
from dualstream.pipeline.commands.extract import RunOptions as ExtractRun
from dualstream.pipeline.commands.extract import extract
from dualstream.pipeline.commands.train_encoder import (
    SampleOptions,
    TrainingRunOptions,
    TrainReport,
    train_encoder,
)
from dualstream.pipeline.corpus.manifest import Manifest, Utterance, read_manifest, write_manifest
from dualstream.pipeline.encoder_training.options import TrainOptions
from dualstream.pipeline.errors import LockedError, UsageError
from dualstream.pipeline.extraction.recipe import ExtractionOptions
from dualstream.pipeline.storage.lock import locked
from safetensors import safe_open
from typer.testing import CliRunner

from dualstream import cli
from tests.clips import run_ffmpeg
from tests.pipeline.killed import die, in_child, wrapped

EMOTIONS = {"joy": "positive", "anger": "negative", "neutral": "neutral"}
COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))
TONES_HZ = (220.0, 600.0, 1600.0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 clips of 1.2 s: 12 of train, 6 of dev, and one more of dev that is no clip."""
    root = tmp_path_factory.mktemp("corpus")
    rows = []
    rng = np.random.default_rng(0)
    for number in range(18):
        kind = number % 3
        frames = np.clip(rng.normal(COLOURS[kind], 12, (10, 32, 32, 3)), 0, 255).astype(np.uint8)
        time_s = np.arange(19_200) / 16_000
        sound = 0.2 * np.sin(2 * np.pi * TONES_HZ[kind] * time_s) + rng.normal(0, 0.005, 19_200)
        write_clip(root / f"{number}.mp4", frames, 8.0, sound.astype(np.float32), 16_000)
        emotion = list(EMOTIONS)[kind]
        split = "train" if number < 12 else "dev"
        rows.append(Utterance(f"u{number}", f"{number}.mp4", split, None, None, f"d{number // 3}", number % 3, "",
                              emotion, EMOTIONS[emotion]))  # fmt: skip
    (root / "bad.mp4").write_bytes(b"no clip at all")
    rows.append(Utterance("bad", "bad.mp4", "dev", None, None, "d5", 3, "", "joy", "positive"))
    rows.append(Utterance("unseen", "nowhere.mp4", "test", None, None, "d9", 0, "", "joy", "positive"))
    write_manifest(Manifest(tuple(rows)), root / "m.csv")
    return root


def train(corpus: Path, out: Path, encoder: str, *, dry_run: bool = False, **options: Any) -> TrainReport:
    how = {"epochs": 6, "batch_size": 8, "patience": 6, "learning_rate": 3e-3, **options}
    run = TrainingRunOptions(
        device="cpu",
        workers=2,
        samples=corpus / f"{encoder}.samples",
        licence="CC0",
        checkpoint_s=0.0,
        dry_run=dry_run,
    )
    return train_encoder(
        corpus / "m.csv",
        root=corpus,
        out=out,
        sampling=SampleOptions(encoder),
        training=TrainOptions(**how),
        run=run,
    )


def apart(corpus: Path, root: Path) -> Path:
    """Write the corpus anew with its sounds in files of their own."""
    root.mkdir()
    rows = []
    for row in read_manifest(corpus / "m.csv"):
        if row.id.startswith("u") and row.id != "unseen":
            clip, stem = str(corpus / row.path), row.path.removesuffix(".mp4")
            run_ffmpeg("-i", clip, "-an", "-c", "copy", str(root / row.path))
            run_ffmpeg("-i", clip, "-vn", "-c:a", "pcm_f32le", str(root / f"{stem}.wav"))
            rows.append(replace(row, sound=f"{stem}.wav"))
    write_manifest(Manifest(tuple(rows)), root / "m.csv")
    return root


@pytest.mark.parametrize("encoder", ["cnn5", "bilstm"])
def test_pairs_of_film_and_sound_are_trained_on(corpus: Path, tmp_path: Path, encoder: str) -> None:
    root = apart(corpus, tmp_path / "apart")
    (root / "3.wav").unlink()
    report = train(root, tmp_path / "w.safetensors", encoder, epochs=1)
    missing = [name for name, _ in report.failed]
    assert missing == (["u3"] if encoder == "bilstm" else [])
    assert all("the sound 3.wav" in reason for _, reason in report.failed)
    (root / "4.wav").write_bytes((root / "5.wav").read_bytes())
    again = train(root, tmp_path / "w2.safetensors", encoder, dry_run=True)
    assert again["plan"]["to_decode"] == 18  # one file of samples holds them all, and is made again


def read_document(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        return dict(json.loads(file.metadata()["document"]))


@pytest.mark.parametrize(("encoder", "stream"), [("cnn5", "video"), ("bilstm", "audio")])
def test_from_clips_to_weights_to_a_cache(corpus: Path, tmp_path: Path, encoder: str, stream: str) -> None:
    out = tmp_path / "w.safetensors"
    report = train(corpus, out, encoder)
    assert report.exit_status == 3 and [name for name, _ in report.failed] == ["bad"]
    document = read_document(out)
    scores = document["scores"]["emotion"]
    # six are learned; the seventh, joy, gave no sample, and the prior of even classes answers the first of them
    assert scores["count"] == 7 and scores["without_sample"] == 1
    assert abs(scores["accuracy"]["mean"] - 6 / 7) < 1e-9 and scores["accuracy"]["interval"] is not None
    assert (scores["majority"]["name"], scores["train_majority"]["name"]) == ("joy", "neutral")
    assert abs(scores["majority"]["accuracy"] - 3 / 7) < 1e-9
    assert document["data"]["utterances"] == {"train": 12, "dev": 7} and document["licence"] == "CC0"
    assert not list(tmp_path.glob("*checkpoint*"))

    cache_path = tmp_path / "c.h5"
    chosen: dict[str, Any] = {"video": ("none",), "audio": ("none",)} | {stream: (encoder,)}
    chosen |= {f"{stream}_weights": (str(out),), "device": "cpu"}
    extract(
        corpus / "m.csv",
        root=corpus,
        out=cache_path,
        options=ExtractionOptions(**chosen),
        run=ExtractRun(workers=2),
    )
    cache = read_cache(cache_path)
    state, sha256, _ = load_file(out)
    spec = cache.provenance["recipe"]["streams"][stream]
    assert spec["weights"] == {"source": "file", "sha256": sha256, "licence": "CC0"}
    # the heads in the file, over the cache's rows, say of dev what train-encoder said
    rows = cache.streams[stream].windows
    assert rows is not None
    head = {name: state[f"{HEAD_PREFIX}{name}"].double().numpy() for name in ("weight", "bias")}
    logits = (rows @ head["weight"] + head["bias"])[:, :3]
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    dev = [
        i for i, split in enumerate(cache.utterances.split) if split == "dev" and cache.streams[stream].present[i]
    ]
    mean = np.stack([log_p[cache.offsets[i] : cache.offsets[i + 1]].mean(0) for i in dev])
    mean -= np.log(np.exp(mean).sum(1, keepdims=True))
    truth = np.array([cache.utterances.emotion[i] for i in dev])
    assert abs((mean.argmax(1) == truth).sum() / 7 - scores["accuracy"]["mean"]) < 1e-9
    loss = (np.log(3) - mean[np.arange(len(dev)), truth].sum()) / 7  # the clip without a sample: even shares
    assert abs(loss - scores["log_loss"]["mean"]) < 1e-4
    # and the file brings those answers along: a row of compare, on seven clips, for the broken one counts too
    found = compare(
        cache_path,
        tmp_path / "cmp",
        fit=FitOptions(seeds=(0,), epochs=1, threads=1),
        options=CompareOptions(fusions=[f"linear_{stream}"], report=False, end_to_end=(out,)),
    )
    (row,) = (row for row in found["rows"] if row["variant"] == f"end-to-end {encoder}")
    assert row["scores"]["tasks"]["emotion"]["accuracy"]["mean"] == pytest.approx(scores["accuracy"]["mean"])
    assert row["end_to_end"]["streams"] == [stream] and row["end_to_end"]["without_answer"] == ["bad"]


def test_a_run_that_stands_is_not_done_again_and_another_is_refused(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    assert train(corpus, out, "bilstm", epochs=1).trained
    before = out.read_bytes()
    again = train(corpus, out, "bilstm", epochs=1)
    assert not again.trained and out.read_bytes() == before and again.document["scores"]
    with pytest.raises(UsageError, match=r"recipe\.training\.seed: 1, there 0"):
        train(corpus, out, "bilstm", epochs=1, seed=1)
    (tmp_path / "other.safetensors").write_bytes(b"x")
    with pytest.raises(UsageError, match="no train-encoder wrote it"):
        train(corpus, tmp_path / "other.safetensors", "bilstm", epochs=1)


@pytest.mark.parametrize(
    ("encoder", "sampling", "training", "words"),
    [
        ("bilstm", {"fit": "crop"}, {}, "--fit crop shapes nothing here, since bilstm reads no pictures"),
        ("bilstm", {"sampling": "every:1"}, {}, "--sampling every:1 shapes nothing"),
        ("cnn5", {"channels": "mix"}, {}, "--channels mix shapes nothing here, since cnn5 reads no sound"),
        ("cnn5", {}, {"depth_rate": 0.5}, "--depth-rate 0.5 shapes nothing here, since no block is unfrozen"),
    ],
)
def test_options_that_would_shape_nothing_are_refused(
    corpus: Path, tmp_path: Path, encoder: str, sampling: dict[str, Any], training: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        train_encoder(
            corpus / "m.csv",
            root=corpus,
            out=tmp_path / "w.safetensors",
            sampling=SampleOptions(encoder, **sampling),
            training=TrainOptions(**training),
            run=TrainingRunOptions(device="cpu"),
        )


def test_a_kill_anywhere_ends_at_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "a" / "w.safetensors", tmp_path / "b" / "w.safetensors"
    train(corpus, whole, "bilstm", epochs=2)
    for number in (0, 4, 9):

        def task(number: int = number) -> None:
            wrapped(number, die)
            train(corpus, killed, "bilstm", epochs=2)

        assert in_child(task) == -signal.SIGKILL
        assert not killed.exists()
    train(corpus, killed, "bilstm", epochs=2)
    assert killed.read_bytes() == whole.read_bytes()
    assert {path.name for path in killed.parent.iterdir()} == {"w.safetensors", "w.safetensors.lock"}


def test_samples_are_decoded_once_and_again_where_damaged(corpus: Path, tmp_path: Path) -> None:
    train(corpus, tmp_path / "a.safetensors", "cnn5", epochs=1)
    (first,) = (corpus / "cnn5.samples").glob("*/samples-*.bin")
    stamp, raw = first.stat().st_mtime_ns, first.read_bytes()
    train(corpus, tmp_path / "b.safetensors", "cnn5", epochs=1)
    assert first.stat().st_mtime_ns == stamp
    first.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    train(corpus, tmp_path / "c.safetensors", "cnn5", epochs=1)
    assert first.read_bytes() == raw
    assert (tmp_path / "c.safetensors").read_bytes() == (tmp_path / "a.safetensors").read_bytes()


def test_one_training_at_a_time_decodes_samples_and_many_use_them(corpus: Path, tmp_path: Path) -> None:
    train(corpus, tmp_path / "a.safetensors", "bilstm", epochs=1)
    (place,) = (path for path in (corpus / "bilstm.samples").iterdir() if path.is_dir())
    with locked(place.with_name(place.name + ".lock")):
        train(corpus, tmp_path / "b.safetensors", "bilstm", epochs=1, seed=1)
        (one,) = place.glob("samples-*.bin")
        one.unlink()
        (place / "samples-00000.bin.tmp").write_bytes(b"what another training is writing")
        with pytest.raises(LockedError, match="held by another run") as caught:
            train(corpus, tmp_path / "c.safetensors", "bilstm", epochs=1, seed=2)
        assert "decodes the same samples" in caught.value.__notes__[0]
        assert (place / "samples-00000.bin.tmp").exists()
    assert train(corpus, tmp_path / "c.safetensors", "bilstm", epochs=1, seed=2).trained
    assert one.exists() and not list(place.glob("*.tmp"))


def test_dry_run_writes_nothing(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    done = CliRunner().invoke(
        cli.app,
        ["train-encoder", str(corpus / "m.csv"), "--root", str(corpus), "--encoder", "cnn5", "--out", str(out),
         "--dry-run", "--json"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["plan"]["to_decode"] == 19 and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--encoder", "resnet"], "bilstm, cnn5, vgg16"),
        (["--encoder", "cnn5", "--loss", "hinge"], "--loss is 'hinge'"),
        (["--encoder", "cnn5", "--unfreeze", "all"], "trains whole"),
        (["--encoder", "cnn5", "--weights", "imagenet"], "no published weights"),
        (["--encoder", "vgg16", "--weights", "nowhere.pth"], "does not exist"),
    ],
)
def test_words_that_do_not_fit(corpus: Path, tmp_path: Path, words: list[str], said: str) -> None:
    arguments = [
        "train-encoder",
        str(corpus / "m.csv"),
        "--root",
        str(corpus),
        "--out",
        str(tmp_path / "w.safetensors"),
    ]
    done = CliRunner().invoke(cli.app, [*arguments, "--dry-run", *words])
    assert done.exit_code == 2 and said in done.output


def test_a_trained_layer_over_a_backbone_is_what_extract_gives(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    plain = build("video", "torchvision:shufflenet_v2_x0_5", EncoderOptions(weights="random:0"))
    frames = np.random.default_rng(0).integers(0, 256, (2, plain.frame_size_px, plain.frame_size_px, 3), np.uint8)  # type: ignore[union-attr]
    embed = torch.nn.Linear(plain.spec.raw_width, 100)
    state = {name: x.contiguous() for name, x in plain.network.state_dict().items()}  # type: ignore[union-attr]
    state |= {f"embed.{name}": x for name, x in embed.state_dict().items()}
    path = tmp_path / "tuned.safetensors"
    save_file({**state, f"{HEAD_PREFIX}bias": torch.zeros(1, 3)}, path)
    tuned = build("video", "torchvision:shufflenet_v2_x0_5", EncoderOptions(weights=str(path)))
    assert (
        tuned.spec.raw_width == tuned.spec.width == 100
        and "100 columns trained over" in tuned.spec.parameters["layer"]
    )
    with torch.no_grad():
        expected = embed(torch.from_numpy(plain.encode_frames(frames)))  # type: ignore[union-attr]
    np.testing.assert_allclose(tuned.encode_frames(frames), expected, rtol=1e-4, atol=1e-5)  # type: ignore[union-attr]
    del state["embed.bias"]
    save_file(state, path)
    with pytest.raises(ValueError, match="embed layer"):
        build("video", "torchvision:shufflenet_v2_x0_5", EncoderOptions(weights=str(path)))


def test_torchs_threads_leave_a_core_and_are_set_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from dualstream.pipeline.commands import train_encoder as step

    seen: list[int] = []
    monkeypatch.setattr(step, "_trained", lambda *_: seen.append(torch.get_num_threads()))
    for cores, asked in ((4, None), (1, None), (4, 3)):
        monkeypatch.setattr(step, "available_cores", lambda count=cores: count)
        step.train_encoder(
            tmp_path / "manifest.csv",
            root=tmp_path,
            out=tmp_path / "out.safetensors",
            sampling=step.SampleOptions("cnn5"),
            training=TrainOptions(),
            run=step.TrainingRunOptions(threads=asked),
        )
    assert seen == [3, 1, 3]
    assert torch.get_num_threads() == 1
