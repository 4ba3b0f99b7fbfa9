"""How to read a network's layers from the cache: one, their mean, learned weights, or all side by side.

Emotion by unseen speakers on EMO-DB (one speaker out in turn) and RAVDESS (16 actors in four folds, no calm), rows
of the encoder of whisper-tiny.en, every layer stored once (``hf:FOLDER@all``). All that is chosen is chosen inside
the training folds. Differences are of UAR, paired by utterance, with a 95 % interval over speakers.

    python benchmarks/study_layers.py --data DATA --weights FOLDER --scratch build/layers

writes ``layers.json`` beside the caches; `figures` returns what it holds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from checkout import ROOT
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.data.layers import LayerMix
from dualstream.heads.linear.layer_choice import choose_layers
from dualstream.heads.variants import registry
from dualstream.heads.variants.layered import layer_weights
from dualstream.heads.variants.options import FitOptions
from dualstream.pipeline.experiments.protocol import plan
from dualstream.pipeline.experiments.training_data import Corpus, read_corpus
from numpy.typing import NDArray

CORPORA = {"emodb": ("emodb", ()), "ravdess": ("ravdess", ("--drop", "calm"))}
FOLDS = {"emodb": "speaker", "ravdess": "speaker:4"}
OPTIONS = FitOptions(tasks=("emotion",), decoding="separate", loss="cross_entropy")
TRAINED = replace(OPTIONS, seeds=(0, 1, 2))
RESAMPLES = 2_000
BEST = "best single layer"
THEIRS = "best layer of the other corpus"

Codes = NDArray[np.int64]
Figures = dict[str, Any]


@dataclass(frozen=True)
class LayersCase:
    """One corpus: its rows and its folds."""

    name: str
    corpus: Corpus

    @property
    def features(self) -> FeatureSet:
        """Emotion, the audio stream's utterance rows and their layers."""
        return self.corpus.features

    def folds(self) -> Iterator[tuple[Codes, Codes]]:
        """Return (fitted on, held out) of each fold; what a trained variant would stop by is fitted on too."""
        for part in plan(self.corpus, FOLDS[self.name]).parts:
            yield np.sort(np.concatenate([part.fit, part.stop])), part.held_out


def extract(
    data: Path, weights: Path, scratch: Path, *, context: str = "clip", corpora: Sequence[str] = tuple(CORPORA)
) -> dict[str, Path]:
    """Make the manifests and caches that are not there yet; return the caches."""
    caches = {}
    for name in corpora:
        importer, words = CORPORA[name]
        manifest, ending = scratch / f"{name}.csv", "" if context == "clip" else f"_{context}"
        caches[name] = scratch / f"{name}_all{ending}.h5"
        if caches[name].exists():
            continue
        root = str(data / name)
        _cli("manifest", importer, root, *words, "--out", str(manifest), "--replace")
        _cli(
            *("extract", str(manifest), "--root", root, "--video", "none", "--audio", f"hf:{weights}@all"),
            *("--context", context, "--out", str(caches[name])),
        )
    return caches


def figures(caches: dict[str, Path]) -> Figures:
    """Measure these corpora; return scores, differences and layer weights as JSON values.

    Of two, each is also read by the layers that the other one chose.
    """
    cases = {name: LayersCase(name, read_corpus(path)) for name, path in caches.items()}
    found: Figures = {}
    for name, case in cases.items():
        other = next((one for key, one in cases.items() if key != name), None)
        found[name] = _measured(case, other)
    return found


def _measured(case: LayersCase, other: LayersCase | None) -> Figures:
    numbers = case.features.streams["audio"].layers
    answers: dict[str, list[Codes]] = {f"layer {one}": _answers(case, OPTIONS, str(one)) for one in numbers}
    losses, picks = _inner_losses(case), []
    best = np.empty(len(case.features), np.int64)
    for loss, (_, held_out) in zip(losses, case.folds(), strict=True):
        picks.append(int(numbers[int(np.argmin(loss))]))
        best[held_out] = answers[f"layer {picks[-1]}"][0][held_out]
    answers[BEST] = [best]
    weights: list[dict[int, float]] = []
    answers["learned"] = _answers(case, OPTIONS, "learned", weights)
    for how in ("mean", "all"):
        answers[how] = _answers(case, OPTIONS, how)
    networks = {how: how for how in ("mean", "learned", "all")}
    theirs: list[float] | None = None
    if other is not None:
        mix = choose_layers(other.features, "audio", None, OPTIONS).weights
        theirs = mix.tolist()
        answers["learned on the other corpus"] = _answers(_reweighed(case, mix), OPTIONS, None)
        alone = str(numbers[int(np.argmin(_layer_losses(other.features)))])
        answers[THEIRS] = answers[f"layer {alone}"]
        networks = {THEIRS: alone, **networks}
    for title, how in networks.items():
        answers[f"network: {title}"] = _answers(case, TRAINED, how, name="audio")
    return {
        "utterances": len(case.features),
        "speakers": len(np.unique(case.features.speaker)),
        "folds": FOLDS[case.name],
        "picked": picks,
        "weights": weights,
        "weights_of_the_other": theirs,
        "uar": {how: _interval(case, one) for how, one in answers.items()},
        "over_best_single": {
            how: _interval(case, one, answers[BEST]) for how, one in answers.items() if how != BEST
        },
    }


def _answers(
    case: LayersCase, options: FitOptions, layers: str | None, weights: list[dict[int, float]] | None = None, *,
    name: str = "linear_audio",
) -> list[Codes]:  # fmt: skip
    """Return what each seed's models say of every utterance held out, shape (N,) each."""
    options = replace(options, layers=layers)
    seeds = options.seeds if name == "audio" else options.seeds[:1]
    said = np.empty((len(seeds), len(case.features)), np.int64)
    for fit, held_out in case.folds():
        own = replace(options, seeds=seeds, patience=0)
        models = registry.fit(name, case.features.take(fit), None, options=own)
        for row, model in zip(said, models, strict=True):
            rows = model.predict(case.features.take(held_out)).emotion
            assert rows is not None
            row[held_out] = rows.argmax(1)
        if weights is not None:
            weights.append(layer_weights(models[0])["audio"])
    return list(said)


def _inner_losses(case: LayersCase) -> list[list[float]]:
    """Return each layer's loss on training utterances that were held out, for each fold."""
    return [_layer_losses(case.features.take(fit)) for fit, _ in case.folds()]


def _layer_losses(train: FeatureSet) -> list[float]:
    """Return each layer's loss in nats out of fold, by the head that is fitted: the least over its penalties."""
    losses = []
    for number in train.streams["audio"].layers:
        model = registry.fit("linear_audio", train, options=replace(OPTIONS, layers=str(number), seeds=(0,)))[0]
        facts = model.state()[1]["facts"]["losses"]["emotion"][0]
        losses.append(min(facts.values()))
    return losses


def _reweighed(case: LayersCase, weights: NDArray[np.float64]) -> LayersCase:
    """Return a corpus whose layers are mixed by given weights; columns standardised by all rows, no label seen."""
    stream = case.features.streams["audio"]
    mixed = LayerMix.standardised(stream, weights).stream(stream)
    features = replace(case.features, streams={**case.features.streams, "audio": mixed})
    return LayersCase(case.name, replace(case.corpus, features=features))


def _interval(case: LayersCase, answers: list[Codes], less: list[Codes] | None = None) -> list[float]:
    """Return UAR, or its difference to `less`, in per cent: the mean over seeds and a bootstrap over speakers."""
    truth, speaker = case.features.emotion, case.features.speaker
    speakers, rng = np.unique(speaker), np.random.default_rng(0)
    rows = [np.flatnonzero(speaker == one) for one in speakers]

    def score(index: Codes) -> float:
        def uar(said: Codes) -> float:
            return float(np.mean([(said[index][truth[index] == k] == k).mean() for k in np.unique(truth[index])]))

        own = np.mean([uar(one) for one in answers])
        return 100 * float(own - (np.mean([uar(one) for one in less]) if less is not None else 0))

    drawn = [
        score(np.concatenate([rows[k] for k in rng.integers(0, len(rows), len(rows))])) for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return [round(one, 2) for one in (score(np.arange(len(truth))), float(low), float(high))]


def _cli(*words: str) -> None:
    subprocess.run([sys.executable, str(ROOT / "cli.py"), *words], cwd=ROOT, check=True)


def _shown(found: Figures) -> str:
    lines = []
    for name, one in found.items():
        lines += [
            "",
            f"{name}: {one['utterances']} utterances of {one['speakers']} speakers, --folds {one['folds']}",
        ]
        lines += [f"  best single layer, by fold: {one['picked']}"]
        for how, (value, low, high) in one["uar"].items():
            less = one["over_best_single"].get(how)
            words = (
                f"   less the best single layer {less[0]:+.1f} ({less[1]:+.1f} to {less[2]:+.1f})" if less else ""
            )
            lines.append(f"  {how:<36} {value:5.1f} ({low:.1f}–{high:.1f}){words}")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write layers.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="the folder of whisper-tiny.en")
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--context", choices=("clip", "window"), default="clip")
    parser.add_argument("--corpora", nargs="+", choices=tuple(CORPORA), default=list(CORPORA))
    given = parser.parse_args()
    given.scratch.mkdir(parents=True, exist_ok=True)
    found = figures(
        extract(given.data, given.weights, given.scratch, context=given.context, corpora=given.corpora)
    )
    name = "layers.json" if given.context == "clip" else f"layers_{given.context}.json"
    (given.scratch / name).write_text(json.dumps(found, indent=1) + "\n")
    print(_shown(found))


if __name__ == "__main__":
    main()
