"""What a fitted run is scored on: utterances of its own cache or of another one, and what is odd about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.variants.registry import TASKS
from dualstream.pipeline.errors import FingerprintMismatchError, NoCacheError, UsageError
from dualstream.pipeline.experiments import protocol
from dualstream.pipeline.experiments.presence import ALL, Presence, taken
from dualstream.pipeline.experiments.run_folder import Run
from dualstream.pipeline.experiments.speaker_prior import read_speaker_prior
from dualstream.pipeline.experiments.training_data import Corpus, read_corpus
from numpy.typing import NDArray


@dataclass(frozen=True, repr=False)
class EvaluationTarget:
    """What a run is scored on."""

    run: Run
    corpus: Corpus
    """Its speakers normalised as the run's were."""
    split: str
    index: NDArray[np.int64]
    """The utterances that are scored."""
    presence: Presence
    odd: list[str]
    """What is odd about scoring the run on this cache; empty where it is the one that the run was fitted on."""
    named: bool
    """Whether the cache was named."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The streams that the run's variant reads."""
        return self.corpus.read_by(self.run.config.variant)

    @property
    def joined(self) -> list[str]:
        """Those of the cache's streams, in its order, that the variant reads."""
        return [stream for stream in self.corpus.features.streams if stream in self.reads]

    @cached_property
    def features(self) -> FeatureSet:
        """The rows of the utterances that are scored."""
        return self.corpus.take(self.index)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be said of the cache, and of a split whose labels had a part in the fit."""
        return (*self.odd, *_known(self.run, self.split, same=not self.odd))


def evaluation_target(
    run: Run, split: str, *, cache: Path | None, streams: Mapping[str, str] | None, scored: str | None
) -> EvaluationTarget:
    """Read what is to be scored.

    Raises
    ------
    NoCacheError
        Where the run's cache is not there.
    FingerprintMismatchError
        Where the cache is not the one that the run was fitted on, or another one that was named has
        other widths or classes.
    UsageError
        Where the cache has no such split, or nothing in it has features.
    """
    corpus = read_corpus(
        cache or _own_cache(run), streams=streams or run.config.streams, speaker_norm=run.config.speaker_norm
    )
    odd = _check_same(run, corpus, named=cache is not None)
    corpus = _normalised(run, corpus)
    rule = scored or run.config.scored
    candidates = corpus.split(split)
    index = taken(corpus, candidates, rule)
    if not len(index):
        raise UsageError(f"no utterance of {split} has features; with --scored {ALL} the prior would be scored")
    presence = Presence.of(corpus, candidates, rule)
    target = EvaluationTarget(run, corpus, split, index, presence, odd, named=cache is not None)
    corpus.require_finite(index, target.reads)
    return target


def _normalised(run: Run, corpus: Corpus) -> Corpus:
    """Return the corpus with its speakers normalised as the run's were: by its prior, or as older versions did."""
    if not run.config.speaker_norm:
        return corpus
    if run.config.speaker_prior is None:
        return corpus.normalised_by_rule_1()
    assert run.path is not None
    return corpus.normalised(np.empty(0, np.int64), read_speaker_prior(run.path))


def _own_cache(run: Run) -> Path:
    stored = run.config.cache.path
    assert run.path is not None
    if stored is None:
        raise UsageError(f"{run.path} was fitted on a cache that was never a file; name one: --cache FILE")
    place = (run.path / stored).resolve()
    if not place.is_file():
        raise NoCacheError(
            f"the cache that {run.path} was fitted on is not at {place} any more; say where it is: --cache FILE"
        )
    return place


def _check_same(run: Run, corpus: Corpus, *, named: bool) -> list[str]:
    """Return what is odd about scoring this run on this cache; raise where it makes no sense."""
    fitted = run.config.cache
    same = corpus.digest == fitted.digest
    if same and corpus.streams == run.config.streams:
        return []
    if not named and not same:
        raise FingerprintMismatchError(
            f"the cache changed since {run.path} was fitted: its digest is {corpus.digest[:16]}…, the run's is "
            f"{fitted.digest[:16]}…; fit again, or name the cache if you mean it: --cache FILE"
        )
    widths = {head: stream.width for head, stream in corpus.features.streams.items()}
    if widths != run.config.widths:
        raise FingerprintMismatchError(
            f"the run was fitted on streams of widths {run.config.widths}; this cache has {widths}"
        )
    for task in TASKS:
        unknown = sorted(set(corpus.vocabulary[task]) - set(run.config.vocabulary[task]))
        if unknown:
            raise FingerprintMismatchError(
                f"this cache has {task} classes that the run never saw: {', '.join(unknown)}; "
                f"it knows {', '.join(run.config.vocabulary[task])}"
            )
    if same:
        given, read = (", ".join(names.values()) for names in (corpus.streams, run.config.streams))
        return [f"these are not the streams that the run was fitted on: {given} stand for {read}"]
    warnings = ["this is not the cache that the run was fitted on"]
    if corpus.fingerprint != fitted.fingerprint or corpus.specs != run.config.specs:
        warnings.append(
            "its features were made in another way (fingerprint "
            f"{corpus.fingerprint[:16] or 'not stated'}, the run's {fitted.fingerprint[:16] or 'not stated'}): "
            "the scores are of features that the models were not fitted for"
        )
    return warnings


def _known(run: Run, split: str, *, same: bool) -> list[str]:
    """Return what must be said of a split whose labels had a part in the fit; nothing of test, which has none."""
    config = run.config
    if split == "test":
        return []
    where = "" if same else f"the {split} split of the cache that it was fitted on: where these are its clips, "
    if split == "train" or config.folds is not None:
        return [f"{where}this run was fitted on these utterances: the scores say how well it knows them, not more"]
    if split == "dev" and config.choice is not None and config.options.patience > 0:
        return [f"{where}auto chose {config.choice.name} with dev's labels among others: its scores are too good"]
    if split == "dev" and protocol.looks_at_dev(config.variant, config.options):
        return [f"{where}{protocol.WATCHED}"]
    return []
