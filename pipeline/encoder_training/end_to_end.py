"""What a trained encoder's own heads said of dev: kept inside its weights file, and a row of `compare`.

    weights.safetensors   dual_head.answers.TASK   log-probabilities, (U, C), one row per utterance
                          metadata "answers"       whose they are, and what must be the same elsewhere

The file is their only place, so that weights and answers can't be mixed up. Nothing here imports torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
from dualstream.features.single_read import read_hashed
from dualstream.heads.evaluation.majority import log_shares
from dualstream.heads.variants.registry import TASKS, Prediction, Task
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.encoder_training.document import EncoderDocument
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.experiments.comparison import EndToEndFacts, WeightsSeed
from dualstream.pipeline.experiments.history import ModelHistory
from dualstream.pipeline.experiments.predictions import Predictions
from dualstream.pipeline.experiments.protocol import Plan, truth
from dualstream.pipeline.experiments.training_data import Corpus
from dualstream.pipeline.memory import refuse_shortage
from dualstream.pipeline.provenance import digest_of, listed
from dualstream.pipeline.storage.documents import unpack_safetensors
from numpy.typing import NDArray
from safetensors import SafetensorError

from dualstream.counting import counted

PREFIX = "dual_head.answers."
METADATA = "answers"
VERSION = 1


class LabelsDigest(TypedDict):
    """Labelled utterances of a split, in one digest."""

    count: int
    sha256: str


class AnswersNote(TypedDict):
    """The metadata `answers`."""

    version: int
    utterances: list[tuple[str, str]]
    """(id, digest of the clip) of those that the rows are of."""
    dev: LabelsDigest
    train: LabelsDigest


@dataclass(frozen=True, repr=False)
class EndToEnd:
    """One trained encoder's answers for dev, read from its weights file."""

    path: Path
    sha256: str
    document: EncoderDocument
    """What the weights file says of itself: docs/training.md."""
    note: AnswersNote
    """The metadata `answers`."""
    log_p: dict[Task, NDArray[np.float64]]
    """Shape (U, C) by task, rows of exp() sum to 1."""

    @property
    def encoder(self) -> str:
        """Name of the encoder."""
        return self.document.encoder

    @property
    def seed(self) -> int:
        """Seed of its training."""
        return self.document.seed

    @property
    def stopped_by_dev(self) -> bool:
        """Whether dev chose the epoch."""
        return self.document.watches_dev

    @property
    def method(self) -> str:
        """Digest of the training but for its seed: models that share it are seeds of one row."""
        recipe = dict(self.document.recipe)
        recipe["training"] = {key: value for key, value in recipe["training"].items() if key != "seed"}
        if recipe["start"]["source"].startswith("random"):
            recipe["start"] = "random"
        return digest_of(recipe)

    def __repr__(self) -> str:
        return f"EndToEnd({self.encoder}, seed {self.seed}, {len(self.note['utterances'])} utterances of dev)"


def answers_note(
    utterances: Sequence[Utterance], sha256: Sequence[str], answered: NDArray[np.int64]
) -> AnswersNote:
    """Return the metadata `answers`, as JSON values.

    Parameters
    ----------
    utterances
        All labelled ones of train and dev.
    sha256
        Digest of each one's clip.
    answered
        Indices of those that the rows of `dual_head.answers.*` are of, in their order: all dev utterances
        with a sample.
    """
    return {
        "version": VERSION,
        "utterances": [(utterances[i].id, sha256[i]) for i in answered],
        "dev": _labels_digest((u.id, u.emotion, u.sentiment) for u in utterances if u.split == "dev"),
        "train": _labels_digest((u.id, u.emotion, u.sentiment) for u in utterances if u.split == "train"),
    }


def read_end_to_end(path: Path) -> EndToEnd:
    """Read the answers in a weights file.

    Raises
    ------
    UsageError
        Where there is no such file, train-encoder did not write it, or it holds no answers.
    """
    if not path.is_file():
        raise UsageError(f"--end-to-end {path}: there is no such file; train-encoder makes one")
    try:
        data, sha256 = read_hashed(path)
        arrays, facts = unpack_safetensors(data)
        log_p: dict[Task, NDArray[np.float64]] = {
            task: np.array(arrays[PREFIX + task]) for task in TASKS if PREFIX + task in arrays
        }
        document = json.loads(facts["document"])
        note: AnswersNote | None = json.loads(facts[METADATA]) if METADATA in facts else None
    except (SafetensorError, KeyError, ValueError) as error:
        refuse_shortage(error, f"while {path} is read")
        raise UsageError(
            f"--end-to-end {path}: no train-encoder wrote it, so it says nothing of any utterance"
        ) from error
    if note is None or note["version"] != VERSION or not log_p:
        raise UsageError(
            f"--end-to-end {path}: it holds no answers for dev; train-encoder writes them where there is a dev "
            "split (files of older versions lack them: train again)"
        )
    try:
        return EndToEnd(path, sha256, EncoderDocument.from_json(document), note, log_p)
    except ValueError as error:
        raise UsageError(f"--end-to-end {path}: what it says of itself is not whole: {error}") from error


def by_method(models: Sequence[EndToEnd]) -> dict[str, list[EndToEnd]]:
    """Return the models by the name of their row: those that differ in nothing but the seed share one.

    Raises
    ------
    UsageError
        Where a training is named twice.
    """
    groups: dict[str, list[EndToEnd]] = {}
    for model in models:
        groups.setdefault(model.method, []).append(model)
    named: dict[str, list[EndToEnd]] = {}
    for group in groups.values():
        seeds = [model.seed for model in group]
        if len(set(seeds)) < len(seeds):
            raise UsageError(f"--end-to-end: {', '.join(str(model.path) for model in group)} repeat a seed")
        encoders = [other[0].encoder for other in groups.values()]
        name = f"end-to-end {group[0].encoder}"
        if encoders.count(group[0].encoder) > 1:
            name += f" ({group[0].path.name.removesuffix('.safetensors')})"
        named[name if name not in named else f"{name} {len(named)}"] = group
    return named


def require_fit(model: EndToEnd, plan: Plan) -> None:
    """Refuse a model whose answers can't stand beside what the plan fits and scores.

    Raises
    ------
    UsageError
        Naming what differs: folds, vocabulary, labels or members of train and dev, clips.
    """
    corpus, what = plan.corpus, f"--end-to-end {model.path}"
    if plan.by is not None:
        raise UsageError(
            f"{what}: it was trained once, on all of train; folds would score it on clips that it has seen; "
            "compare without --folds"
        )
    for task in TASKS:
        here, there = list(corpus.vocabulary[task]), list(model.document.vocabulary[task])
        if here != there:
            raise UsageError(
                f"{what}: its classes of {task} are {', '.join(there)}; the cache's {', '.join(here)}"
            )
    for split, its in (("train", model.note["train"]), ("dev", model.note["dev"])):
        labels = _corpus_labels(corpus, split)
        if labels != its:
            raise UsageError(
                f"{what}: it was made with another manifest: its {split} has {its['count']} labelled utterances, "
                f"the cache's {labels['count']}"
                + (", and they are not the same ones" if labels["count"] == its["count"] else "")
            )
    digests = dict(zip(corpus.ids, corpus.clips, strict=True))
    changed = [name for name, sha256 in model.note["utterances"] if digests[name] and digests[name] != sha256]
    if changed:
        raise UsageError(
            f"{what}: it heard or saw other bytes of {counted(len(changed), 'clip')}: {listed(changed)}"
        )


def predictions_on(models: Sequence[EndToEnd], plan: Plan, tasks: Sequence[Task]) -> Predictions:
    """Return what models of one method answer for what the plan scores.

    An utterance without an answer gets train's shares of the classes, as a head answers for one without a stream.

    Raises
    ------
    UsageError
        As `require_fit`; or where the models have none of `tasks`.
    """
    for model in models:
        require_fit(model, plan)
    kept = [task for task in tasks if all(task in model.log_p for model in models)]
    if not kept:
        raise UsageError(f"--end-to-end {models[0].path}: it was trained for {', '.join(models[0].log_p)} alone")
    names = [plan.corpus.ids[i] for i in plan.scored]
    labels = truth(plan.corpus, plan.corpus.split("train"), kept)
    predictions = []
    for model in models:
        row = {name: number for number, (name, _) in enumerate(model.note["utterances"])}
        rows: dict[Task, NDArray[np.float64]] = {}
        for task in kept:
            prior = log_shares(np.bincount(labels[task][labels[task] >= 0], minlength=model.log_p[task].shape[1]))
            rows[task] = np.stack([model.log_p[task][row[name]] if name in row else prior for name in names])
        predictions.append(Prediction(rows.get("emotion"), rows.get("sentiment")))
    return Predictions(
        ids=tuple(names),
        split=plan.split,
        true=truth(plan.corpus, plan.scored, kept),
        models=tuple(predictions),
        names=tuple(f"seed {model.seed}" for model in models),
    )


def row_facts(models: Sequence[EndToEnd], plan: Plan) -> EndToEndFacts:
    """Return what a row says of its models: files, streams of the cache that they made, who got no answer."""
    answered = {name for model in models for name, _ in model.note["utterances"]}
    digests = {model.sha256 for model in models}
    return EndToEndFacts(
        encoder=models[0].encoder,
        weights=tuple(WeightsSeed(model.path.name, model.sha256, model.seed) for model in models),
        streams=tuple(
            head
            for head, spec in plan.corpus.specs.items()
            if (spec.get("weights") or {}).get("sha256") in digests
        ),
        without_answer=tuple(plan.corpus.ids[i] for i in plan.scored if plan.corpus.ids[i] not in answered),
    )


def histories(models: Sequence[EndToEnd]) -> tuple[ModelHistory, ...]:
    """Return the training curves, one per model, as those of heads are kept."""
    return tuple(
        ModelHistory(
            seed=model.seed,
            fold="",
            columns={
                key: tuple(getattr(record, key) for record in model.document.history)
                for key in ("train_loss", "dev_score", "dev_loss")
            },
            best_epoch=model.document.best_epoch - 1,
            stopped=model.document.stopped,
        )
        for model in models
    )


def _corpus_labels(corpus: Corpus, split: str) -> LabelsDigest:
    emotions, sentiments = ([*corpus.vocabulary[task], ""] for task in TASKS)  # -1, unlabelled, is the last
    rows = [
        (corpus.ids[i], emotions[corpus.features.emotion[i]], sentiments[corpus.features.sentiment[i]])
        for i in corpus.split(split)
    ]
    return _labels_digest(row for row in rows if row[1] or row[2])


def _labels_digest(rows: Iterable[tuple[str, str, str]]) -> LabelsDigest:
    ordered = sorted(rows)
    return {"count": len(ordered), "sha256": digest_of(ordered)}
