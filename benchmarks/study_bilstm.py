"""bilstm trained from scratch beside the acoustic columns: RAVDESS by split, EMO-DB by speaker folds.

RAVDESS without calm: trained on actors 01-12, scored on 13-16. EMO-DB: five folds of two speakers. Nothing is
chosen on what is scored: training runs a fixed number of epochs and never looks at dev, a linear head's penalty is
chosen by cross-validation over the training speakers, and either corpus gets the acoustic columns that were chosen
on the other. The number of epochs comes from `--part epochs`: actors 11 and 12, by models of actors 01-10. Every
row uses the same loss (logit_adjusted).

    DUALSTREAM_DATA=FOLDER python benchmarks/study_bilstm.py [--part ravdess,emodb] [--seeds 3]

prints Markdown tables: UAR of emotion, mean over seeds, 95 % intervals over speakers. One thread.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
import soundfile
import torch
from dualstream.features.acoustic import AcousticConfig, AcousticEncoder
from dualstream.features.encoder import AudioEncoder, EncoderOptions
from dualstream.features.encoders.bilstm import BiLstmEncoder
from dualstream.features.log_mel import SAMPLE_RATE_HZ
from dualstream.features.media import DecodeSettings, decoder_version, find_ffmpeg
from dualstream.features.networks.bilstm import BiLstm
from dualstream.features.trainable import build_trainable
from dualstream.features.weights import HEAD_PREFIX, random_record
from dualstream.features.windows import Sampling, WindowPlan
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.evaluation import metrics
from dualstream.heads.evaluation.majority import majority_lines
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline.corpus.importers import emodb, ravdess
from dualstream.pipeline.corpus.labels import EMOTIONS, SENTIMENTS, sentiment_of, vocabulary
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.encoder_training.engine import EncoderTraining
from dualstream.pipeline.encoder_training.objective import SampleLabels
from dualstream.pipeline.encoder_training.options import TrainOptions
from dualstream.pipeline.encoder_training.samples import SampleRecipe, Samples, open_samples
from numpy.typing import NDArray

from dualstream.cores import one_core

Array = NDArray[np.float64]
LOSS = "logit_adjusted"
PLAN = WindowPlan()
ACOUSTIC = "acoustic, linear head"
OWN = "bilstm, its own heads"
WHOLE = "bilstm over whole clips, linear head"
MEAN = "bilstm, mean of windows, linear head"


@dataclass(frozen=True, repr=False)
class LabelledSounds:
    """Sounds, labels, and which utterances are fitted on and scored in each fold."""

    name: str
    root: Path
    utterances: list[Utterance]
    folds: list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]
    columns_of: str
    """The corpus that the list of acoustic columns was chosen on: not this one."""

    @property
    def names(self) -> tuple[str, ...]:
        """The emotions, in code order."""
        return vocabulary((one.emotion for one in self.utterances), EMOTIONS)

    @property
    def emotion(self) -> NDArray[np.int64]:
        """Codes of the emotions, shape (N,)."""
        return np.array([self.names.index(one.emotion) for one in self.utterances])

    @property
    def sentiment(self) -> NDArray[np.int64]:
        """Codes of the sentiments that follow from them, shape (N,)."""
        return np.array([SENTIMENTS.index(sentiment_of(one.emotion)) for one in self.utterances])

    @property
    def speaker(self) -> NDArray[np.int64]:
        """Codes of the speakers, shape (N,)."""
        return np.unique([one.speaker for one in self.utterances], return_inverse=True)[1]


@one_core()
def main() -> None:
    """Run the parts that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", default="ravdess,emodb", help="ravdess, emodb, epochs; comma-separated")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of bilstm, one per seed")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--folder", type=Path, help="keeps the decoded samples; default: a temporary one")
    options = parser.parse_args()
    if not os.environ.get("DUALSTREAM_DATA"):
        sys.exit("set DUALSTREAM_DATA to the folder that holds emodb/ and ravdess/audio/")
    torch.set_num_threads(1)
    data = Path(os.environ["DUALSTREAM_DATA"])
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for part in options.part.split(","):
            corpus = read_corpus(part, data)
            started_s = time.process_time()
            study(corpus, options, folder, curve=part == "epochs")
            print(f"\n({part}: {time.process_time() - started_s:.0f} s of processor time)\n", flush=True)


def read_corpus(part: str, data: Path) -> LabelledSounds:
    """Return a corpus and its folds."""
    if part == "emodb":
        root = data / "emodb"
        rows = list(emodb.rows(root))
        speakers = sorted({one.speaker for one in rows})
        held = [np.isin([one.speaker for one in rows], speakers[k::5]) for k in range(5)]
        return LabelledSounds("EMO-DB", root, rows, [(~part, part) for part in held], "ravdess")
    if part not in ("ravdess", "epochs"):
        sys.exit(f"--part {part}: expected ravdess, emodb or epochs")
    root = data / "ravdess" / "audio"
    rows = [one for one in ravdess.rows(root) if one.emotion != "calm"]
    actor = np.array([int(one.speaker) for one in rows])
    if part == "epochs":
        return LabelledSounds(
            "RAVDESS, actors 11-12", root, rows, [(actor <= 10, (actor > 10) & (actor <= 12))], "emodb"
        )
    return LabelledSounds("RAVDESS", root, rows, [(actor <= 12, (actor > 12) & (actor <= 16))], "emodb")


def study(corpus: LabelledSounds, options: argparse.Namespace, folder: Path, *, curve: bool) -> None:
    """Train, fit, score and print one corpus."""
    ffmpeg = find_ffmpeg()
    one = build_trainable("bilstm", None)
    recipe = SampleRecipe(
        decode=DecodeSettings(frame_size_px=None, sample_rate_hz=SAMPLE_RATE_HZ),
        windows=PLAN,
        sampling=Sampling(),
        cut=one.cut,
        cut_parameters=one.cut_parameters,
        decoder=decoder_version(ffmpeg),
        ffmpeg=ffmpeg,
    )
    samples = open_samples(folder / corpus.name, corpus.utterances, recipe, corpus.root, workers=1)
    sounds = [soundfile.read(corpus.root / row.path, dtype="float32")[0] for row in corpus.utterances]
    scored = np.any([held for _, held in corpus.folds], axis=0)
    shape = (len(corpus.utterances), len(corpus.names))
    said: dict[str, list[Array]] = {ACOUSTIC: [np.zeros(shape)]}
    measured = rows_of(AcousticEncoder(AcousticConfig(chosen_on=corpus.columns_of)), sounds)[0]
    for fit, held in corpus.folds:
        said[ACOUSTIC][0][held] = linear(corpus, measured, fit, held)
    for seed in range(options.seeds):
        for name in (OWN, WHOLE, MEAN):
            said.setdefault(name, []).append(np.zeros(shape))
        for fit, held in corpus.folds:
            training = train(corpus, samples, fit, held, seed, options, folder)
            if curve:
                scores = ", ".join(f"{record['dev_score']:.3f}" for record in training.position.history)
                print(f"seed {seed}, macro F1 of both tasks after each epoch: {scores}", flush=True)
            at, found = training.predict(held)
            said[OWN][seed][at] = found["emotion"]
            whole, mean = rows_of(frozen(training), sounds)
            said[WHOLE][seed][held] = linear(corpus, whole, fit, held)
            said[MEAN][seed][held] = linear(corpus, mean, fit, held)
            print(f"seed {seed}: {held.sum()} held out, {time.process_time():.0f} s", file=sys.stderr, flush=True)
        # a table after each seed: a run that is cut short has said what it found
        report(corpus, {name: [rows[scored] for rows in models] for name, models in said.items()}, scored)


def train(
    corpus: LabelledSounds,
    samples: Samples,
    fit: NDArray[np.bool_],
    held: NDArray[np.bool_],
    seed: int,
    options: argparse.Namespace,
    folder: Path,
) -> EncoderTraining:
    """Train bilstm for all epochs; held-out scores are in the history and decide nothing."""
    labels = SampleLabels(
        corpus.emotion,
        corpus.sentiment,
        {"emotion": len(corpus.names), "sentiment": len(SENTIMENTS)},
        train=fit,
        dev=held,
    )
    how = TrainOptions(
        epochs=options.epochs, patience=0, learning_rate=options.learning_rate, loss=LOSS, seed=seed
    )
    checkpoint = folder / "checkpoint.safetensors"
    checkpoint.unlink(missing_ok=True)
    training = EncoderTraining(
        build_trainable("bilstm", None), samples, labels, how, device=torch.device("cpu"), identity="study",
        checkpoint=checkpoint,
    )  # fmt: skip
    training.run()
    return training


def frozen(training: EncoderTraining) -> BiLstmEncoder:
    """Return what `extract` makes of the weights."""
    net = BiLstm()
    net.load_state_dict(
        {name: array for name, array in training.state().items() if not name.startswith(HEAD_PREFIX)}
    )
    return BiLstmEncoder(net, random_record(0, net.state_dict()), EncoderOptions(device="cpu"))


def rows_of(encoder: AudioEncoder, sounds: Sequence[NDArray[np.float32]]) -> tuple[Array, Array]:
    """Return utterance rows, and the means of the window rows, shape (N, 192) each."""
    whole, mean = [], []
    for sound in sounds:
        duration_s = len(sound) / SAMPLE_RATE_HZ
        found = encoder.encode_audio(sound, PLAN.starts_s(duration_s), PLAN.length_s, (0.0, duration_s))
        whole.append(found.utterance)
        mean.append(found.windows[found.window_present].mean(0))
    return np.array(whole, np.float64), np.array(mean, np.float64)


def linear(corpus: LabelledSounds, rows: Array, fit: NDArray[np.bool_], held: NDArray[np.bool_]) -> Array:
    """Return log-probabilities of the held-out utterances by `linear_audio` on these rows."""
    count = len(rows)
    whole = FeatureSet(
        streams={"audio": StreamArrays(rows.astype(np.float32), np.ones(count, np.bool_))},
        offsets=np.zeros(count + 1, np.int64),
        start_s=np.zeros(0),
        emotion=corpus.emotion,
        sentiment=corpus.sentiment,
        emotion_names=corpus.names,
        sentiment_names=SENTIMENTS,
        dialogue=np.arange(count),
        turn=np.zeros(count, np.int64),
        speaker=corpus.speaker,
    )
    options = FitOptions(seeds=(0,), loss=LOSS, tasks=("emotion",), patience=0, parameters={"folds": "speaker"})
    (model,) = registry.fit("linear_audio", whole.take(np.flatnonzero(fit)), None, options=options)
    found = model.predict(whole.take(np.flatnonzero(held))).emotion
    assert found is not None
    return found


def report(corpus: LabelledSounds, said: dict[str, list[Array]], scored: NDArray[np.bool_]) -> None:
    """Print a row each, and its difference from the acoustic columns."""
    truth, speaker, names = corpus.emotion[scored], corpus.speaker[scored], corpus.names
    print(f"### {corpus.name}: {len(truth)} utterances of {len(np.unique(speaker))} speakers\n")
    print("| row | UAR | 95 % over speakers | seeds | over acoustic | p |\n|---|---|---|---|---|---|")
    for name, models in said.items():
        uar = metrics.score(models, truth, names, groups=speaker).balanced_accuracy
        seeds = ", ".join(f"{value:.3f}" for value in uar.seeds)
        gap = ""
        if name != ACOUSTIC:
            found = metrics.compare_models(models, said[ACOUSTIC], truth, speaker, classes=len(names))
            gap = f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}] | {found.p_value:.3f}"
        print(f"| {name} | {uar.mean:.3f} | {uar.low:.3f} to {uar.high:.3f} | {seeds} | {gap or ' | '} |")
    line, _ = majority_lines(np.bincount(truth, minlength=len(names)), names)
    assert line is not None
    print(f"| always {line.name} | {line.balanced_accuracy:.3f} | | | | |", flush=True)


if __name__ == "__main__":
    main()
