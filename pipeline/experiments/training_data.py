"""From a cache to what heads take: which streams, which utterances, which folds.

Nothing here looks at a label except to carry it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.encoder import SpecDocument
from dualstream.heads.data.batch import PAIR, FeatureSet, StreamArrays, join, stream_order
from dualstream.heads.data.layers import layered
from dualstream.heads.data.normalisation import normalise_speakers
from dualstream.heads.data.speaker_prior import SpeakerPrior
from dualstream.heads.evaluation.folds import connected
from dualstream.heads.search.speaker_weight import fit_speaker_prior
from dualstream.heads.variants import registry
from dualstream.heads.variants.layer_option import chosen_layers
from dualstream.heads.variants.options import FitOptions, Task
from dualstream.pipeline.cache import Cache, Stream, read_cache_and_digest
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.provenance import Provenance
from numpy.typing import NDArray

SPEAKER_ONLY = "speaker-only"  # folds of whole speakers that cut the dialogues which they share
BY_SPEAKER = ("speaker", SPEAKER_ONLY)


@dataclass(frozen=True, repr=False)
class Corpus:
    """All utterances of a cache as heads see them, and where they come from."""

    features: FeatureSet
    ids: tuple[str, ...]
    clips: tuple[str, ...]
    """SHA-256 of each utterance's clip; an empty string where nothing was read."""
    splits: NDArray[np.str_]
    """Shape (N,); an empty string where the manifest has none."""
    dialogues: NDArray[np.str_]
    """Names, shape (N,); an empty string where unknown."""
    speakers: NDArray[np.str_]
    """Names, shape (N,); an empty string where unknown."""
    streams: dict[str, str]
    """Which stream of the cache stands for each that heads read, by the name that they know, in order."""
    specs: dict[str, SpecDocument]
    """Encoder spec of each of them."""
    digest: str
    """SHA-256 of the bytes that the cache was read from; of its arrays for a cache that never was a file."""
    provenance: Provenance
    projections: dict[str, str] = field(default_factory=dict)
    """Kind of the projection of those of them that the cache projected."""
    speaker_norm: bool = False
    """Whether heads read speaker-normalised rows (transductive)."""
    to_normalise: bool = False
    """Whether they are still as they were extracted: `plan`, which knows who is fitted on, normalises them."""
    prior: SpeakerPrior | None = None
    """Towards which each speaker was drawn; None where none was yet, or by rule 1."""
    durations_s: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """Of each utterance, seconds, shape (N,); NaN where its clip could not be read."""
    extracted: FeatureSet | None = None
    """The features as they were before speakers were drawn towards `prior`, where they were."""

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Corpus({self.features!r}, splits={self.split_sizes()})"

    def read_by(self, variant: str) -> tuple[str, ...]:
        """Return which of the streams a variant reads, or would, where the corpus lacks them."""
        return registry.get(variant).reads(self.features.streams)

    @property
    def column_names(self) -> dict[str, list[str] | None]:
        """Names of each stream's columns, where each has a meaning of its own."""
        return {head: spec.get("column_names") for head, spec in self.specs.items()}

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the extraction, empty where the cache states none."""
        return str(self.provenance.get("fingerprint", ""))

    @property
    def vocabulary(self) -> dict[Task, Sequence[str]]:
        """Class names of each task, in code order."""
        return {"emotion": self.features.emotion_names, "sentiment": self.features.sentiment_names}

    @property
    def usable(self) -> NDArray[np.bool_]:
        """True where at least one stream is there, shape (N,)."""
        masks = [stream.present for stream in self.features.streams.values()]
        return np.any(masks, axis=0)

    def split_codes(self) -> NDArray[np.int64]:
        """Return a code for each utterance's split, shape (N,)."""
        return np.unique(self.splits, return_inverse=True)[1].astype(np.int64)

    def split_sizes(self) -> dict[str, int]:
        """Return how many utterances each split has, in the order of the manifest."""
        return {split: int(np.sum(self.splits == split)) for split in dict.fromkeys(self.splits.tolist())}

    def split(self, name: str) -> NDArray[np.int64]:
        """Return the utterances of a split.

        Raises
        ------
        UsageError
            Where the cache has no utterance of that split; the message lists the splits there are.
        """
        index = np.flatnonzero(self.splits == name)
        if not len(index):
            sizes = ", ".join(f"{split or 'blank'} ({n})" for split, n in self.split_sizes().items())
            raise UsageError(f"the cache has no {name} split; its splits are: {sizes}")
        return index

    def train(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of `index` that something can be learned from: those with a stream."""
        return index[self.usable[index]]

    def take(self, index: NDArray[np.int64]) -> FeatureSet:
        """Return the features of the utterances that `index` names."""
        return self.features.take(index)

    def require_finite(self, index: NDArray[np.int64], streams: Iterable[str]) -> None:
        """Refuse NaN and infinite values in what a variant would read of these utterances.

        Raises
        ------
        UsageError
            Names the stream and the utterances.
        """
        for head in (one for one in streams if one in self.features.streams):
            bad = np.intersect1d(index, self.features.not_finite(head))
            if len(bad):
                shown = ", ".join(self.ids[i] for i in bad[:3]) + (", ..." if len(bad) > 3 else "")
                raise UsageError(
                    f"{head} ({self.streams[head]}) holds NaN or infinite values in {len(bad)} of {len(index)} "
                    f"utterances: {shown}; `inspect --verify` says more of them; extract them again"
                )

    def normalised(self, fitted_on: NDArray[np.int64], prior: SpeakerPrior | None = None) -> Corpus:
        """Return it with speakers normalised, each drawn towards what the utterances of `fitted_on` show.

        The rows that are fitted on are drawn towards the other speakers among them; of the others, each split is a
        batch of its own: neither sees another, and none has a part in the prior.

        Parameters
        ----------
        fitted_on
            Those that the heads learn from; none where `prior` was learned elsewhere.
        prior
            None: learned from `fitted_on`.
        """
        return self.normalised_by(self.split_codes(), fitted_on, prior)

    def normalised_by(
        self, batch: NDArray[np.int64], fitted_on: NDArray[np.int64], prior: SpeakerPrior | None = None
    ) -> Corpus:
        """Do what `normalised` does, with the code of each utterance's batch, shape (N,)."""
        raw = self.extracted or self.features
        train = raw.take(fitted_on)
        prior = prior or fit_speaker_prior(train)
        held_out = np.ones(len(self), dtype=np.bool_)
        held_out[fitted_on] = False
        rest = np.flatnonzero(held_out)
        done = join(prior.normalise_training(train), prior.normalise(raw.take(rest), batch[rest]))
        back = np.argsort(np.concatenate((fitted_on, rest)), kind="stable")
        done = done.take(back)
        features = replace(raw, streams={name: done.streams[name] for name in raw.streams})
        return replace(self, features=features, speaker_norm=True, to_normalise=False, prior=prior, extracted=raw)

    def normalised_by_rule_1(self) -> Corpus:
        """Return it with each speaker of a split normalised by that split only, as older runs were."""
        features = normalise_speakers(self.features, name_codes(self.splits))
        return replace(self, features=features, speaker_norm=True, to_normalise=False)

    def as_extracted(self) -> Corpus:
        """Return it as it was before speakers were drawn towards a prior."""
        if self.extracted is None:
            return self
        return replace(self, features=self.extracted, speaker_norm=False, prior=None, extracted=None)

    def clusters(self, index: NDArray[np.int64], folds: str | None = None) -> tuple[str, NDArray[np.int64]]:
        """Return (what, codes) of the groups that a bootstrap over `index` resamples.

        Dialogues where the manifest knows them, else speakers, else single utterances. Where `folds` held groups
        out, those: what was held out together is alike, so that nothing finer is resampled.
        """
        by = (folds or "").partition(":")[0]
        if by in BY_SPEAKER and np.any(self.speakers[index] != ""):
            return self.fold_groups(index, by)
        for what, values in (("dialogue", self.dialogues), ("speaker", self.speakers)):
            if what == "dialogue" and by in BY_SPEAKER:
                continue
            if np.any(values[index] != ""):
                coarse = what == "speaker" or by == "dialogue"  # folds take a name for one dialogue in all splits
                codes = name_codes(values) if coarse else self.features.dialogue
                return what, codes[index]
        return "utterance", np.arange(len(index), dtype=np.int64)

    def fold_groups(self, index: NDArray[np.int64], by: str) -> tuple[str, NDArray[np.int64]]:
        """Return (what, codes) of what folds over `index` hold out whole; who is unknown stands alone."""
        if by == "dialogue":
            return "dialogue", name_codes(self.dialogues)[index]
        speaker = name_codes(self.speakers)[index]
        if by == SPEAKER_ONLY:
            return "speaker", speaker
        groups = connected(speaker, self.features.dialogue[index])
        joined = len(np.unique(groups)) < len(np.unique(speaker))
        return ("speaker group" if joined else "speaker"), groups


def read_corpus(path: Path, *, streams: Mapping[str, str] | None = None, speaker_norm: bool = False) -> Corpus:
    """Read a cache file as a corpus.

    Raises
    ------
    NoCacheError
        Where there is no such file.
    CorruptError
        Where the file is not a cache, or is damaged.
    UsageError
        Where the streams that are asked for are not in it, or speakers are to be normalised and none is known.
    """
    cache, digest = read_cache_and_digest(path)
    return corpus_of(cache, digest=digest, streams=streams, speaker_norm=speaker_norm)


def corpus_of(
    cache: Cache, *, digest: str = "", streams: Mapping[str, str] | None = None, speaker_norm: bool = False
) -> Corpus:
    """Make a corpus of a cache in memory.

    Where `speaker_norm` is asked for, its rows are still as they were extracted: `normalised` needs to know who is
    fitted on. `streams` maps ``video`` and ``audio`` to names of streams in the cache. Without it each takes the
    stream of its own name, or the only one that an encoder of its kind made.
    """
    rows = cache.utterances
    chosen = _choose_streams(cache, streams)
    splits, dialogues = np.array(rows.split, dtype=np.str_), np.array(rows.dialogue, dtype=np.str_)
    speakers = np.array(rows.speaker, dtype=np.str_)
    features = FeatureSet(
        streams={head: _stream_arrays(cache.streams[name]) for head, name in chosen.items()},
        offsets=np.asarray(cache.offsets, dtype=np.int64),
        start_s=np.asarray(cache.start_s, dtype=np.float64),
        emotion=np.asarray(rows.emotion, dtype=np.int64),
        sentiment=np.asarray(rows.sentiment, dtype=np.int64),
        emotion_names=tuple(cache.vocabulary["emotion"]),
        sentiment_names=tuple(cache.vocabulary["sentiment"]),
        dialogue=_dialogue_codes(splits, dialogues),
        turn=_turns(np.asarray(rows.turn, dtype=np.int64)),
        speaker=name_codes(speakers, unknown=-1),
    )
    corpus = Corpus(
        features=features,
        ids=tuple(rows.id),
        clips=tuple(rows.sha256),
        splits=splits,
        dialogues=dialogues,
        speakers=speakers,
        streams=chosen,
        specs={head: cache.streams[name].spec for head, name in chosen.items()},
        digest=digest or _digest(cache),
        provenance=cache.provenance,
        projections=_projections(cache, chosen),
        durations_s=np.asarray(rows.duration_s, dtype=np.float64),
    )
    if speaker_norm and not np.any(speakers != ""):
        raise UsageError("--speaker-norm: no utterance has a speaker; the manifest's column `speaker` names them")
    return replace(corpus, speaker_norm=speaker_norm, to_normalise=speaker_norm)


def check_layers(corpus: Corpus, fit: FitOptions) -> None:
    """Say before any fit that no layers can be read as asked for.

    Raises
    ------
    UsageError
        Where ``--layers`` names a stream or a layer that is not there, or no stream has layers.
    """
    try:
        chosen_layers(fit.layers, layered(corpus.features))
    except ValueError as error:
        raise UsageError(str(error)) from error


def _projections(cache: Cache, chosen: Mapping[str, str]) -> dict[str, str]:
    found = {head: cache.streams[name].projection for head, name in chosen.items()}
    return {head: one.kind for head, one in found.items() if one is not None}


def _choose_streams(cache: Cache, asked: Mapping[str, str] | None) -> dict[str, str]:
    if asked:
        for head, name in asked.items():
            if head not in (*PAIR, name):
                raise UsageError(
                    f"--streams {head}={name}: heads know {' and '.join(PAIR)}, and streams by their own names: "
                    f"--streams {','.join(asked.values())}"
                )
            if name not in cache.streams:
                raise UsageError(f"the cache has no stream {name!r}; it has: {', '.join(sorted(cache.streams))}")
        return {head: asked[head] for head in stream_order(asked)}
    chosen = {}
    for head in PAIR:
        made = [name for name, stream in cache.streams.items() if stream.spec.get("stream", name) == head]
        if head in made or not made:
            chosen.update({head: head} if head in made else {})
        elif len(made) == 1:
            chosen[head] = made[0]
        else:
            raise UsageError(
                f"the cache has several {head} streams ({', '.join(sorted(made))}); "
                f"choose one: --streams {head}={sorted(made)[0]}"
            )
    if not chosen and cache.streams:
        there = list(cache.streams)
        raise UsageError(
            f"the cache has neither a video nor an audio stream; it has {', '.join(there)}: name those to read, "
            f"as in --streams {','.join(there)}"
        )
    if not chosen:
        raise UsageError("the cache has no stream; extract it with --video or --audio")
    return chosen


def _stream_arrays(stream: Stream) -> StreamArrays:
    return StreamArrays(stream.utterance, stream.present, stream.windows, stream.window_present, stream.layers)


def name_codes(values: NDArray[np.str_], unknown: int | None = None) -> NDArray[np.int64]:
    """Number the names in sorted order; empty ones are `unknown`, or each a code of its own."""
    kinds, code = np.unique(values, return_inverse=True)
    code = code.astype(np.int64)
    empty = values == ""
    if empty.any():
        code[empty] = unknown if unknown is not None else len(kinds) + np.arange(empty.sum())
    return code


def _dialogue_codes(splits: NDArray[np.str_], dialogues: NDArray[np.str_]) -> NDArray[np.int64]:
    """Number the dialogues. MELD counts dialogues anew in each split, so a name is one within its split."""
    named = np.where(dialogues == "", "", np.char.add(np.char.add(splits, "\x1f"), dialogues))
    return name_codes(named)


def _turns(turn: NDArray[np.int64]) -> NDArray[np.int64]:
    """Turns as they are; utterances without one stand in the order of the manifest."""
    return np.where(turn < 0, np.arange(len(turn)), turn)


def _digest(cache: Cache) -> str:
    sha = hashlib.sha256()
    rows = cache.utterances
    text: Sequence[Any] = (rows.id, rows.split, rows.dialogue, rows.speaker, sorted(cache.vocabulary.items()))
    sha.update(repr(text).encode())
    for array in (rows.turn, rows.emotion, rows.sentiment, cache.offsets, cache.start_s):
        sha.update(np.ascontiguousarray(array).tobytes())
    for name in sorted(cache.streams):
        stream = cache.streams[name]
        for part in (stream.utterance, stream.present, stream.windows, stream.window_present):
            sha.update(b"\x00" if part is None else np.ascontiguousarray(part).tobytes())
    return sha.hexdigest()
