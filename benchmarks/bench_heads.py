"""Training at MELD's size: against scikit-learn and a plain loop, every variant, and the share of the peak.

    python benchmarks/bench_heads.py [--parts mlp,variants,compare] [--repeat 5] [--threads 1,2]

Random features of MELD's shape: 9,989 train and 1,109 dev utterances, 100 and 192 columns, 8 windows on
average. Times are of training alone: what a run of one epoch takes is taken from a run of several. In the
part `mlp` MLPClassifier learns one task, all others two but where it is said; the candidates take turns, and
ratios are medians of ratios within a turn; processor seconds stand beside wall seconds, since they tell a
busy machine from slow code.

`loop` is what people write: a DataLoader over a TensorDataset, one model, one Adam step a batch. With
Lightning installed its Trainer runs the same model, bare (no logger, checkpoints, bar or summary) and with
its defaults.

Asked for: concat 0.75 or less of MLPClassifier per model and epoch and a fifth or less of the loop;
crossmodal 6 s or less per seed and epoch (a twentieth of MMSA's MulT); all variants together, 5 seeds, 300 s.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import logging
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from tempfile import TemporaryDirectory

import checkout  # noqa: F401
import numpy as np
import torch
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

TRAIN, DEV, WINDOWS, TURNS = 9989, 1109, 8, 10
WIDTHS = {"video": 100, "audio": 192}
EMOTION_SHARES = np.array([0.4715, 0.1206, 0.0268, 0.0684, 0.1745, 0.0271, 0.1111])  # MELD's train
SENTIMENT_OF = np.array([0, 1, 2, 2, 1, 2, 2])
SEEDS, BATCH, HIDDEN = 5, 256, 128
BARE = FitOptions(loss="cross_entropy", dropout=0.0, modality_dropout=0.0, patience=0, seeds=tuple(range(SEEDS)))
OURS = "concat, 5 seeds, as MLPClassifier"
Timed = tuple[float, float]  # wall seconds, processor seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default="mlp,variants,compare")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", default="1,2", help="thread counts, one table each")
    parser.add_argument("--variants", default="", help="names; default: all")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")  # scikit-learn says that it has not converged: it was not to
    parts = options.parts.split(",")
    names = options.variants.split(",") if options.variants else [*registry.names(), "dialogue:aligned"]
    train, dev = random_corpus(TRAIN, 0), random_corpus(DEV, 1)
    load = os.getloadavg()[0]
    print(f"{len(os.sched_getaffinity(0))} cores, load {load:.1f}, torch {torch.__version__}\n")
    peak = matrix_peak()
    print(f"matrix products on one core: {peak:.0f} GFLOP/s\n")
    for threads in map(int, options.threads.split(",")):
        print(f"## {threads} thread(s)\n")
        if "mlp" in parts:
            mlp(train, threads, options.repeat)
        if "variants" in parts:
            table(train, [name for name in names if trained(name)], threads, peak)
        if "compare" in parts:
            compare(train, dev, names, threads)


def mlp(train: FeatureSet, threads: int, repeat: int) -> None:
    """One hidden layer over both streams' rows: candidates in turns."""
    candidates: dict[str, Callable[[], Timed]] = {
        "MLPClassifier": lambda: _sklearn(train, threads),
        OURS: lambda: _ours("concat", train, BARE, threads),
        "the same, emotion alone": lambda: _ours("concat", train, replace(BARE, tasks=("emotion",)), threads),
        "concat, 5 seeds, with its defaults": lambda: _ours("concat", train, FitOptions(patience=0), threads),
        "loop (DataLoader)": lambda: _loop(train, threads),
    }
    if importlib.util.find_spec("lightning"):
        candidates["loop (Lightning, bare)"] = lambda: _lightning(train, threads, bare=True)
        candidates["loop (Lightning, its defaults)"] = lambda: _lightning(train, threads, bare=False)
    turns = [{name: run() for name, run in candidates.items()} for _ in range(repeat)]
    print(
        "| per model and epoch | wall ms | processor ms | of MLPClassifier, wall | processor | ours by it, wall |"
    )
    print("|---|---|---|---|---|---|")
    for name in candidates:
        wall, used = (np.median([turn[name][k] for turn in turns]) * 1e3 for k in (0, 1))
        ratios = [np.median([turn[name][k] / turn["MLPClassifier"][k] for turn in turns]) for k in (0, 1)]
        ours = np.median([turn[OURS][0] / turn[name][0] for turn in turns])
        print(f"| {name} | {wall:.1f} | {used:.1f} | {ratios[0]:.2f} | {ratios[1]:.2f} | {ours:.2f} |")
    print()


def table(train: FeatureSet, names: list[str], threads: int, peak: float) -> None:
    """Every trained variant: seconds, and how much of what the machine can do."""
    print("| variant | s per epoch, 5 seeds | s per seed and epoch | processor s | GFLOP | share of peak |")
    print("|---|---|---|---|---|---|")
    for name in names:
        wall, used = (value * SEEDS for value in _ours(name, train, FitOptions(patience=0), threads, epochs=2))
        work = flops(name, train)
        busy = work / used / peak
        print(f"| {name} | {wall:.2f} | {wall / SEEDS:.2f} | {used:.2f} | {work:.1f} | {busy:.0%} |", flush=True)
    print("\nShare of peak: matrix products of an epoch, counted, per processor second.\n")


def compare(train: FeatureSet, dev: FeatureSet, names: list[str], threads: int) -> None:
    """All variants as `compare` fits them: 5 seeds, early stopping on dev."""
    print("| variant | wall s | processor s | epochs |")
    print("|---|---|---|---|")
    walls, useds = [], []
    for name in names:
        start, used = time.perf_counter(), time.process_time()
        models = registry.fit(name, train, dev, options=FitOptions(threads=threads))
        for model in models:
            model.predict(dev)
        walls.append(time.perf_counter() - start)
        useds.append(time.process_time() - used)
        epochs = max((len(model.history.columns.get("train_loss", ())) for model in models), default=0)
        print(f"| {name} | {walls[-1]:.1f} | {useds[-1]:.1f} | {epochs or 'solved'} |", flush=True)
    print(f"| all | {sum(walls):.0f} | {sum(useds):.0f} | |\n")


def random_corpus(count: int, seed: int) -> FeatureSet:
    """Draw a corpus with MELD's class shares and a weak signal in every row."""
    rng = np.random.default_rng(seed)
    emotion = rng.choice(7, count, p=EMOTION_SHARES / EMOTION_SHARES.sum())
    lengths = np.clip(rng.lognormal(np.log(WINDOWS) - 0.25, 0.7, count).round().astype(int), 1, 64)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    streams = {}
    for name, width in WIDTHS.items():
        centres = 0.15 * np.random.default_rng(width).normal(size=(7, width))
        windows = np.repeat(centres[emotion], lengths, axis=0) + rng.normal(size=(offsets[-1], width))
        rows = np.add.reduceat(windows, offsets[:-1]) / lengths[:, None] + rng.normal(size=(count, width))
        streams[name] = StreamArrays(
            rows.astype(np.float32), np.ones(count, bool), windows.astype(np.float32), np.ones(offsets[-1], bool)
        )
    order = np.arange(count)
    return FeatureSet(
        streams=streams,
        offsets=offsets,
        start_s=0.5 * (np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)),
        emotion=emotion,
        sentiment=SENTIMENT_OF[emotion],
        emotion_names=tuple("abcdefg"),
        sentiment_names=tuple("xyz"),
        dialogue=order // TURNS,
        turn=order % TURNS,
        speaker=order % 6,
    )


def trained(name: str) -> bool:
    """Tell whether a variant is trained by epochs (the linear ones are solved, auto is a choice)."""
    return registry.get(name).kind == "trained"


def matrix_peak(size: int = 1024) -> float:
    """Return the best of ten products of two large matrices on one thread, GFLOP per processor second."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    a, best = torch.randn(size, size), 0.0
    for _ in range(10):
        used = time.process_time()
        a @ a
        best = max(best, 2e-9 * size**3 / (time.process_time() - used))
    torch.set_num_threads(before)
    return best


def flops(name: str, train: FeatureSet) -> float:
    """Count the matrix products of one epoch over 5 seeds, GFLOP, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        registry.fit(name, train, None, options=FitOptions(epochs=1, threads=1))
    return 1e-9 * float(counter.get_total_flops())


def _ours(name: str, train: FeatureSet, options: FitOptions, threads: int, epochs: int = 3) -> Timed:
    def run(count: int) -> Timed:
        return _timed(
            lambda: registry.fit(name, train, None, options=replace(options, epochs=count, threads=threads))
        )

    short, long = run(1), run(1 + epochs)
    wall, used = ((b - a) / epochs / SEEDS for a, b in zip(short, long, strict=True))
    return wall, used


def _sklearn(train: FeatureSet, threads: int, epochs: int = 3) -> Timed:
    rows = _rows(train)

    def run(count: int) -> Timed:
        model = MLPClassifier((HIDDEN,), batch_size=BATCH, max_iter=count, random_state=0, n_iter_no_change=99)
        with threadpool_limits(threads):
            return _timed(lambda: model.fit(rows, train.emotion))

    short, long = run(1), run(1 + epochs)
    wall, used = ((b - a) / epochs for a, b in zip(short, long, strict=True))
    return wall, used


def _loop(train: FeatureSet, threads: int) -> Timed:
    model = nn.Sequential(nn.Linear(sum(WIDTHS.values()), HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))
    optimiser = torch.optim.Adam(model.parameters())
    loader = DataLoader(_dataset(train), BATCH, shuffle=True)

    def epoch() -> None:
        for rows, emotion, sentiment in loader:
            optimiser.zero_grad()
            _two_losses(model(rows), emotion, sentiment).backward()
            optimiser.step()

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    epoch()
    result = _timed(epoch)
    torch.set_num_threads(before)
    return result


def _lightning(train: FeatureSet, threads: int, *, bare: bool, epochs: int = 3) -> Timed:
    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(sum(WIDTHS.values()), HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))

        def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
            return _two_losses(self.net(batch[0]), batch[1], batch[2])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters())

    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")

    def run(count: int, folder: str) -> Timed:
        trainer = lightning.Trainer(
            max_epochs=count,
            accelerator="cpu",
            default_root_dir=folder,
            **dict.fromkeys(off, False) if bare else {},
        )
        loader = DataLoader(_dataset(train), BATCH, shuffle=True)
        return _timed(lambda: trainer.fit(Module(), loader))

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    with TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        short, long = run(1, folder), run(1 + epochs, folder)
    torch.set_num_threads(before)
    wall, used = ((b - a) / epochs for a, b in zip(short, long, strict=True))
    return wall, used


def _two_losses(logits: torch.Tensor, emotion: torch.Tensor, sentiment: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(logits[:, :7], emotion) + nn.functional.cross_entropy(
        logits[:, 7:], sentiment
    )


def _dataset(train: FeatureSet) -> TensorDataset:
    return TensorDataset(*map(torch.from_numpy, (_rows(train), train.emotion, train.sentiment)))


def _rows(train: FeatureSet) -> NDArray[np.float32]:
    return np.concatenate([train.streams[name].utterance for name in WIDTHS], axis=1)


def _timed(run: Callable[[], object]) -> Timed:
    wall, used = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - used


if __name__ == "__main__":
    main()
