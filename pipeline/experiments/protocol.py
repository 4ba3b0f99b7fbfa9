"""Which utterances a variant is fitted on and which it is scored on: the splits, or folds by group.

The test split takes no part in anything here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from dualstream.features.encoder import is_learned_from_labels
from dualstream.heads.data.speaker_prior import SpeakerPrior
from dualstream.heads.search.speaker_weight import fit_speaker_prior
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import TASKS, FitOptions, Task
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.experiments.corpus_folds import Fold, folds, named_folds
from dualstream.pipeline.experiments.options import NO_PAIRS
from dualstream.pipeline.experiments.options import DecodingOptions as DecodingOptions
from dualstream.pipeline.experiments.options import ProtocolOptions as ProtocolOptions
from dualstream.pipeline.experiments.presence import ALL, PRESENT, Presence, label_counts, require_rule, taken
from dualstream.pipeline.experiments.training_data import SPEAKER_ONLY, Corpus
from numpy.typing import NDArray

from dualstream.counting import counted

WATCHED = "dev said when training was to stop, so that its scores are too good"
FOLDS = "folds"  # name of the predictions that each fold's models make for what was held out


@dataclass(frozen=True, repr=False)
class Plan:
    """Who is fitted on and who is scored, decided before any fit, the same for every variant."""

    corpus: Corpus
    parts: tuple[Fold, ...]
    """One where the splits decide: fitted on train, stopped and scored on dev."""
    by: str | None
    """What `--folds` said, such as ``speaker:4``; None where the splits decide."""
    rule: str = ALL
    """Which utterances count: `pipeline.experiments.presence`."""
    left_out: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Those that the rule leaves out of the scores."""
    priors: tuple[SpeakerPrior, ...] = ()
    """Of each fold, where speakers are normalised: learned from those that the fold leaves to fit on."""

    def corpus_for(self, part: Fold) -> Corpus:
        """Return the corpus as the models of a part read it: speakers drawn towards those that it is fitted on."""
        at = next((k for k, one in enumerate(self.parts) if one is part), None)
        if at is None or not self.priors:
            return self.corpus
        batch = self.corpus.split_codes()
        for own in (part.stop, part.held_out):
            batch[own] = batch.max() + 1
        return self.corpus.normalised_by(batch, part.fit, self.priors[at])

    @property
    def split(self) -> str:
        """Name of what is scored: ``dev`` or ``folds``."""
        return "dev" if self.by is None else FOLDS

    @property
    def scored(self) -> NDArray[np.int64]:
        """The utterances that are scored, in the order of the corpus."""
        return np.sort(np.concatenate([part.held_out for part in self.parts]))

    def fitted_on(self) -> NDArray[np.int64]:
        """The utterances whose labels a model for new utterances learns from: train, or all but test."""
        parts = [part.held_out for part in self.parts] if self.by else [self.parts[0].fit]
        return self.corpus.train(np.sort(np.concatenate(parts)))

    def training_counts(self) -> dict[Task, NDArray[np.int64]]:
        """Count the labels of train, or of all but test: of utterances with features and without."""
        parts = [*(part.held_out for part in self.parts), self.left_out] if self.by else [self.parts[0].fit]
        return label_counts(self.corpus.features, np.concatenate(parts))

    def presence(self) -> Presence:
        """Return which of the scored utterances have features."""
        return Presence.of(self.corpus, np.union1d(self.scored, self.left_out), self.rule)

    def stopped_by(self, name: str, options: FitOptions) -> str | None:
        """Return the split that said when a variant's training was to stop, where that is what is scored."""
        return self.split if self.by is None and looks_at_dev(name, options) else None

    def clusters(self) -> tuple[str, NDArray[np.int64]]:
        """Return (what, codes) of the groups that a bootstrap over `scored` resamples."""
        return self.corpus.clusters(self.scored, self.by)

    def describe(self, *, watched: bool = False) -> str:
        """Return one sentence for a person; `watched`: whether a fit stops by dev (`looks_at_dev`)."""
        if self.by is None:
            part = self.parts[0]
            lost = len(part.fit) - len(self.fitted_on())
            without = f"; {lost} without a stream left out" if lost else ""
            without += self._labelled()
            too_good = " (which also said when to stop: scores too good)" if watched else ""
            return (
                f"fitted on train ({len(part.fit) - lost}{without}), scored on dev ({len(part.held_out)}"
                f"{self._left_out()}){too_good}"
            )
        sizes = sorted({len(part.held_out) for part in self.parts})
        each = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else str(sizes[0])
        what, groups = self.clusters()
        joined = f", {len(np.unique(groups))} groups of speakers who share dialogues," if "group" in what else ""
        return (
            f"{counted(len(self.parts), 'fold')} by {self.by.partition(':')[0]}{joined} over "
            f"{counted(len(self.scored), 'utterance')} "
            f"({each} each{self._left_out()}{self._labelled()}); each scored by models that never saw it"
        )

    def _left_out(self) -> str:
        count = len(self.left_out)
        return f"; {count} without features left out of the scores" if count else ""

    def _labelled(self) -> str:
        """Say how many of those that are fitted on have a label, where some lack it."""
        index, features = self.fitted_on(), self.corpus.features
        known = {task: int((getattr(features, task)[index] >= 0).sum()) for task in TASKS}
        words = [f"{task} in {count}" for task, count in known.items() if 0 < count < len(index)]
        return f"; labelled: {', '.join(words)}" if words else ""


def trained_encoders(corpus: Corpus) -> list[str]:
    """Return which streams, by name and encoder, come of weights that were fitted on labels."""
    return [
        f"the encoder of {head} ({spec['name']})"
        for head, spec in corpus.specs.items()
        if is_learned_from_labels(spec)
    ]


def plan(corpus: Corpus, by: str | None = None, *, scored: str = ALL, normalise: bool = True) -> Plan:
    """Decide who is fitted on and who is scored; `scored` is a rule of `pipeline.experiments.presence`.

    A plan that is only described needs no speakers normalised, which takes seconds: `normalise`.

    Raises
    ------
    UsageError
        Where there is no train or dev split and no folds are asked for, there is no such rule, or it leaves
        nothing to score.
    """
    whole = _ruled(_all_scored(corpus, by), require_rule(scored))
    return _normalised(whole) if normalise else whole


def _normalised(whole: Plan) -> Plan:
    """Normalise speakers where the corpus asks for it: by those that each fold leaves to fit on, and by all."""
    corpus = whole.corpus
    if not corpus.to_normalise:
        return whole
    fitted_on = whole.parts[0].fit if whole.by is None else np.union1d(whole.scored, whole.left_out)
    done = replace(whole, corpus=corpus.normalised(fitted_on))
    if whole.by is None:
        return done
    return replace(done, priors=tuple(fit_speaker_prior(corpus.take(part.fit)) for part in whole.parts))


def _ruled(whole: Plan, rule: str) -> Plan:
    """Return the plan with the rule applied to what it holds out; a fold that is left with nothing goes."""
    corpus = whole.corpus
    parts = [replace(part, held_out=taken(corpus, part.held_out, rule)) for part in whole.parts]
    left_out = np.setdiff1d(whole.scored, np.concatenate([part.held_out for part in parts]))
    if len(left_out) == len(whole.scored):
        raise UsageError(f"--scored {PRESENT}: no utterance of {whole.split} has features; nothing can be scored")
    kept = tuple(part for part in parts if len(part.held_out))
    return replace(whole, parts=kept, rule=rule, left_out=left_out)


def _all_scored(corpus: Corpus, by: str | None) -> Plan:
    if by is not None:
        by = named_folds(corpus, by)
        return Plan(corpus, tuple(folds(corpus, by)), by)
    sizes = corpus.split_sizes()
    missing = [name for name in ("train", "dev") if not sizes.get(name)]
    if missing:
        there = ", ".join(f"{name or 'blank'} ({count})" for name, count in sizes.items())
        speakers = len(np.unique(corpus.speakers[corpus.speakers != ""]))
        way = f"--folds speaker ({speakers} speakers)" if speakers > 1 else "--folds dialogue, or --folds 5"
        raise UsageError(
            f"the cache has no {' and no '.join(missing)} split (its splits: {there}); scores need utterances "
            f"that nothing was fitted on: use {way} for a cross-validation"
        )
    dev = corpus.split("dev")
    return Plan(corpus, (Fold("dev", corpus.split("train"), dev, dev),), None)


def stored_folds(by: str | None, *, whole_dialogues: bool) -> str | None:
    """Return which folds a run was made with, as `plan` takes them.

    Runs that do not state `whole_dialogues` are of a time when folds by speaker cut dialogues.
    """
    if by is not None and by.partition(":")[0] == "speaker" and not whole_dialogues:
        return by.replace("speaker", SPEAKER_ONLY, 1)
    return by


def ignored_options(
    names: Sequence[str], options: FitOptions, default: FitOptions | None = None, *, ensemble: bool = False
) -> list[str]:
    """Return which options mean nothing to any of the variants, a line each.

    Parameters
    ----------
    default
        What they are where nothing is typed; None: as of `FitOptions`.
    ensemble
        Whether the seeds are averaged.
    """
    each = [registry.unused(name, options, default) for name in names]
    common = [key for key in each[0] if all(key in one for one in each)]
    words = []
    for key in common:
        reasons = list(dict.fromkeys(one[key] for one in each))
        words.append(
            f"--{key.replace('_', '-')} has no effect: {reasons[0] if len(reasons) == 1 else 'no variant uses it'}"
        )
    if ensemble and len(options.seeds) == 1:
        words.append("--ensemble has no effect: there is one seed")
    elif ensemble and all(registry.is_closed_form(name) for name in names):
        words.append("--ensemble has no effect: every seed of a solved variant is the same model")
    return words


def check_answering(plan: Plan, options: FitOptions, answering: DecodingOptions) -> None:
    """Say before any fit that nothing could be scored, or no pair be decoded.

    Raises
    ------
    UsageError
        Where nothing that would be scored is labelled, or joint decoding lacks a task or pairs.
    """
    if not any(np.any(codes >= 0) for codes in truth(plan.corpus, plan.scored, options.tasks).values()):
        raise UsageError(
            f"no utterance of {plan.split} is labelled for {' or '.join(options.tasks)}; there is nothing to score"
        )
    if answering.joint_decoding:
        fitted = plan.fitted_on()
        labels = truth(plan.corpus, fitted, TASKS).values()
        if set(options.tasks) != set(TASKS) or not np.any([np.all([codes >= 0 for codes in labels], axis=0)]):
            raise UsageError(NO_PAIRS)


def truth(corpus: Corpus, index: NDArray[np.int64], tasks: Sequence[Task]) -> dict[Task, NDArray[np.int64]]:
    """Return the class codes of both tasks' labels, those of `tasks` alone."""
    features = corpus.features
    codes = {"emotion": features.emotion, "sentiment": features.sentiment}
    return {task: codes[task][index] for task in tasks}


def looks_at_dev(name: str, options: FitOptions) -> bool:
    """Return whether a fit watches dev: trained variants with early stopping do, solved ones have no epochs."""
    return options.patience > 0 and not registry.is_closed_form(name)
