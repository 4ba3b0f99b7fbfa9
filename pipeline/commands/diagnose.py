"""diagnose: say why joining the streams of a cache fails, with evidence, and what fixes it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from dualstream.heads.data.batch import UNLABELLED, FeatureSet
from dualstream.heads.diagnosis import Diagnosis
from dualstream.heads.diagnosis import diagnose as diagnose_features
from dualstream.heads.diagnosis.measures.coalitions import why_none
from dualstream.heads.diagnosis.options import DiagnosisOptions
from dualstream.heads.diagnosis.signs.table import Names
from dualstream.heads.diagnosis.trials import PATIENCE, has_windows
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import TASKS, FitOptions, Task
from dualstream.pipeline.cache import read_cache
from dualstream.pipeline.corpus.manifest import find_manifest, read_manifest
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.experiments import integrity
from dualstream.pipeline.experiments.diagnosis import DiagnosedCache, DiagnosisDocument, OtherCache
from dualstream.pipeline.experiments.error_rows import error_rows
from dualstream.pipeline.experiments.presence import Presence, label_counts, require_rule, taken
from dualstream.pipeline.experiments.protocol import ignored_options
from dualstream.pipeline.experiments.ranges import outliers, usual_ranges
from dualstream.pipeline.experiments.training_data import Corpus, read_corpus
from dualstream.pipeline.extraction.thumbnails import middle_frames, shown_faces
from dualstream.pipeline.options.emit import CommandResult
from dualstream.pipeline.options.heads import DiagnoseCommand, DiagnoseOptions
from dualstream.pipeline.provenance import utc_now
from dualstream.pipeline.reporting import diagnosis, terminal
from dualstream.pipeline.reporting.error_browser import BOXES, NATS, ErrorBrowser
from dualstream.pipeline.reporting.prediction_page import jpeg
from dualstream.pipeline.reporting.tables import presence_words
from dualstream.pipeline.storage.documents import write_json
from dualstream.pipeline.storage.folders import make_folder, require_writable
from numpy.typing import NDArray

DIAGNOSIS = "diagnosis.json"
log = logging.getLogger(__name__)
THUMBNAILS = 100  # utterances of the error browser that get a picture


def run(options: DiagnoseCommand) -> CommandResult:
    """Do what the command line asks."""
    asked = options.diagnose
    diagnosed = replace(asked.diagnosis, task=options.task or asked.diagnosis.task)
    asked = replace(asked, diagnosis=diagnosed, any_task=options.task is None)
    with terminal.ProgressLine() as line:
        found = diagnose(options.cache, options.out, asked, lambda what: line({"variant": what}))
    page = str(options.out / "report.html")
    return CommandResult(found, lambda: diagnosis.print_diagnosis(found, page))


def diagnose(
    cache: Path, out: Path, options: DiagnoseOptions, progress: Callable[[str], None] = lambda line: None
) -> DiagnosisDocument:
    """Diagnose a cache's train and dev splits; write diagnosis.json, the page and its figures into `out`.

    Returns
    -------
    What diagnosis.json holds.

    Raises
    ------
    UsageError
        Where nothing can be written to `out`, a stream or the train split is missing, or there are too few
        labelled dialogues.
    NoCacheError, CorruptError
        As the reader of caches does.
    """
    require_writable(out / DIAGNOSIS)
    require_rule(options.scored)
    _require_pictures(options)
    rows = _Diagnosed.read(cache, options)
    if options.manifest is not None and (why := _no_errors(rows.corpus, options)):
        raise UsageError(f"--manifest shows pictures in errors.html, and there would be none: {why}")
    odd, extracted = _said_of_rows(rows), rows.features()
    if options.speaker_norm:
        rows = rows.normalised()
    if options.any_task:
        task = _task(rows.corpus, options, rows.common)
        options = replace(options, diagnosis=replace(options.diagnosis, task=task))
    corpus = rows.corpus
    found = _found(rows, extracted if options.speaker_norm else None, options, progress)
    notes = [
        _presence_words(corpus, np.union1d(*rows.common), options),
        *_ignored(corpus, options),
        *_group_notes(found, corpus, rows.train),
        *_left_out(corpus, rows.common),
        *odd,
    ]
    found = replace(found, evidence=replace(found.evidence, notes=(*found.evidence.notes, *notes)))
    looked_at = "train and dev; the test split was not looked at"
    if rows.strangers is not None:
        looked_at = "train, and rows of test without their labels (whether an encoder knows train's labels)"
    document = DiagnosisDocument(
        cache=DiagnosedCache(cache.name, corpus.digest, corpus.fingerprint),
        against=OtherCache(options.against.name, rows.other.digest) if rows.other and options.against else None,
        streams=corpus.streams,
        specs=corpus.specs,
        speaker_norm=corpus.speaker_norm,
        scored=options.scored,
        looked_at=looked_at,
        found=found,
        created=utc_now(),
    )
    make_folder(out)
    write_json(out / DIAGNOSIS, document.stamped())
    diagnosis.diagnosis_report(document).write(out)
    _write_errors(found, corpus, rows.both, out, options, cache)
    return document


@dataclass(frozen=True, repr=False)
class _Diagnosed:
    """The rows that are diagnosed: of train and dev, and of the same utterances in another cache."""

    corpus: Corpus
    common: tuple[NDArray[np.int64], NDArray[np.int64]]
    """Of train and dev those that all caches hold."""
    train: NDArray[np.int64]
    """Of those of train the ones that the rule of scoring takes."""
    dev: NDArray[np.int64]
    other: Corpus | None = None
    twins: tuple[NDArray[np.int64], NDArray[np.int64]] = (np.empty(0, np.int64), np.empty(0, np.int64))
    """The other cache's rows of `train` and `dev`, in their order."""

    @classmethod
    def read(cls, cache: Path, options: DiagnoseOptions) -> _Diagnosed:
        """Read one cache, or two; raise UsageError where they have no train split, or none in common."""
        streams, norm = options.streams or None, options.speaker_norm
        corpus = read_corpus(cache, streams=streams, speaker_norm=norm)
        other = read_corpus(options.against, streams=streams, speaker_norm=norm) if options.against else None
        common = _parts(corpus, other)
        train, dev = (taken(corpus, part, options.scored) for part in common)
        if other is None:
            return cls(corpus, common, train, dev)
        twin_train, twin_dev = _parts(other, corpus)
        twins = (_in_order(corpus, other, twin_train, train), _in_order(corpus, other, twin_dev, dev))
        return cls(corpus, common, train, dev, other, twins)

    @property
    def both(self) -> NDArray[np.int64]:
        """Those of train, and those of dev behind them."""
        return np.concatenate((self.train, self.dev))

    @property
    def strangers(self) -> NDArray[np.int64] | None:
        """Rows of test, whose labels are not read, where there is no dev; else None."""
        splits = self.corpus.splits
        return np.flatnonzero(splits == "test") if not len(self.dev) and "test" in splits else None

    def features(self) -> tuple[FeatureSet, FeatureSet | None]:
        """Return the features of train and dev."""
        return _features(self.corpus, self.train, self.dev)

    def normalised(self) -> _Diagnosed:
        """Return them with each speaker normalised."""
        other = None if self.other is None else self.other.normalised(self.twins[0])
        return replace(self, corpus=self.corpus.normalised(self.train), other=other)


def _found(
    rows: _Diagnosed,
    extracted: tuple[FeatureSet, FeatureSet | None] | None,
    options: DiagnoseOptions,
    progress: Callable[[str], None],
) -> Diagnosis:
    """Measure the rows and name causes; `extracted`: the features before speakers were normalised."""
    hop_s, unlabelled = _hop_s(rows.corpus), rows.strangers
    settings = options.diagnosis if hop_s is None else replace(options.diagnosis, hop_s=hop_s)
    try:
        return diagnose_features(
            *rows.features(),
            settings,
            other=None if rows.other is None else _features(rows.other, *rows.twins),
            extracted=extracted,
            unlabelled=None if unlabelled is None else rows.corpus.take(unlabelled),
            names=_names(rows.corpus, rows.both),
            progress=progress,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def _require_pictures(options: DiagnoseOptions) -> None:
    """Refuse a manifest and a folder of clips that are not there, or that nothing would be shown of."""
    if options.manifest is None:
        if options.root is not None:
            raise UsageError(
                f"--root {options.root} says where the paths of --manifest start: give that too, or leave it out"
            )
        return
    if not options.diagnosis.measures:
        raise UsageError(
            f"--manifest {options.manifest} shows pictures in errors.html, which --no-measures leaves out: leave "
            "one out"
        )
    read_manifest(find_manifest(options.manifest, log.info))
    if options.root is not None and not options.root.is_dir():
        raise UsageError(
            f"--root {options.root} is not a directory; give the folder that the manifest's paths start from"
        )


def _no_errors(corpus: Corpus, options: DiagnoseOptions) -> str:
    """Return why no values of single utterances can be measured; empty where they can."""
    try:
        return why_none(options.diagnosis.fusion, tuple(corpus.streams))
    except ValueError as error:
        raise UsageError(str(error)) from error


def _ignored(corpus: Corpus, options: DiagnoseOptions) -> list[str]:
    """Return which options have no effect on any head that is fitted, a line each."""
    asked, windows = options.diagnosis, has_windows(corpus.features)
    fit = replace(asked.fit, tasks=(asked.task,))
    if fit.balance == FitOptions.balance and registry.takes_balance(registry.get(asked.fusion)):
        fit = replace(fit, balance_strength=FitOptions.balance_strength)  # of the balances that are tried
    names = [asked.fusion, "linear", *(["aligned"] if windows else [])]  # what changes are tried with
    words = ignored_options(names, fit, replace(DiagnosisOptions().fit, tasks=fit.tasks))
    if asked.fit.patience > PATIENCE and asked.fit.patience != FitOptions.patience:
        words.append(
            f"--patience {asked.fit.patience} has no effect: heads of a diagnosis wait {PATIENCE} epochs at most"
        )
    if asked.max_shift_s != DiagnosisOptions.max_shift_s and not windows:
        words.append(f"--max-shift {asked.max_shift_s:g} has no effect: a stream has no windows to shift")
    return words


def _names(corpus: Corpus, index: NDArray[np.int64]) -> Names:
    """Return what the utterances of train and dev are called, and their places in the manifest."""
    return Names(
        ids=tuple(corpus.ids[i] for i in index),
        speakers=tuple(corpus.speakers[index].tolist()),
        place=tuple(index.tolist()),
        columns=dict(corpus.column_names),
    )


def _write_errors(
    found: Diagnosis,
    corpus: Corpus,
    pooled: NDArray[np.int64],
    out: Path,
    options: DiagnoseOptions,
    cache: Path,
) -> None:
    """Write the error browser, where values of single utterances were measured; `pooled`: train, then dev."""
    measures = found.evidence.measures
    if measures is None or measures.utterances is None:
        return
    index, task = pooled[measures.utterances.rows], found.evidence.task
    names = getattr(corpus.features, f"{task}_names")
    rows = error_rows(measures.utterances, corpus, index, getattr(corpus.features, task)[index], names)
    thumbnails, faces = {}, {}
    if options.manifest is not None:
        manifest = find_manifest(options.manifest, log.info)
        root = options.root or manifest.parent
        faces = shown_faces(read_cache(cache))
        frames = middle_frames(read_manifest(manifest), root, {row.id for row in rows[:THUMBNAILS]}, faces)
        thumbnails = {name: jpeg(frame, frame.shape[1] / frame.shape[0]) for name, frame in frames.items()}
    browser = ErrorBrowser(
        title=f"What misled {found.evidence.fusion}",
        lead=f"{len(rows)} labelled utterances of train and dev, {found.evidence.task}, each answered by "
        "heads that did not see it; those that a stream spoke against most come first.",
        rows=rows,
        streams=measures.streams,
        notes=(NATS, *([BOXES] if faces else [])),
        thumbnails=thumbnails,
        classes=names,
    )
    browser.write(out)


def _group_notes(found: Diagnosis, corpus: Corpus, train: NDArray[np.int64]) -> list[str]:
    if found.evidence.grouped_by != "dialogue" or np.any(corpus.dialogues[train] != ""):
        return []
    return ["no dialogues are known: each utterance counts as one, and intervals take utterances for independent"]


def _left_out(corpus: Corpus, common: Sequence[NDArray[np.int64]]) -> list[str]:
    left_out = int(np.isin(corpus.splits, ("train", "dev")).sum()) - sum(map(len, common))
    return [f"{left_out} utterances that the other cache lacks were left out"] if left_out else []


def _said_of_rows(rows: _Diagnosed) -> list[str]:
    """Return what must be said of the encoders' weights and of odd rows, by their ids."""
    corpus = rows.corpus
    ranges = usual_ranges(corpus.features, rows.train, corpus.streams)
    odd = outliers(corpus.features, rows.both, ranges, ids=corpus.ids, columns=corpus.column_names)
    words = [text for one in odd for text in one.warnings(against="what is usual in train")]
    return [*integrity.random_weights(corpus.specs), *words]


def _task(corpus: Corpus, options: DiagnoseOptions, parts: Sequence[NDArray[np.int64]]) -> Task:
    """Return the task that is diagnosed: the one that is asked for, where it or neither has labels."""
    counts = label_counts(corpus.features, np.concatenate(parts))
    wanted = options.diagnosis.task
    return next((task for task in (wanted, *TASKS) if counts[task].any()), wanted)


def _presence_words(corpus: Corpus, candidates: NDArray[np.int64], options: DiagnoseOptions) -> str:
    """Say how many of the labelled utterances of train and dev had no features."""
    task = options.diagnosis.task
    labelled = getattr(corpus.features, task)[taken(corpus, candidates, options.scored)] != UNLABELLED
    facts = Presence.of(corpus, candidates, options.scored).missing(task, labelled)
    return presence_words(int(labelled.sum()), facts, "they are scored with the rest")


def _parts(corpus: Corpus, other: Corpus | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the utterances of train and dev, those of both caches where there are two."""
    known = set(other.ids) if other is not None else None
    parts = []
    for split in ("train", "dev"):
        index = np.flatnonzero(corpus.splits == split)
        parts.append(np.array([i for i in index if known is None or corpus.ids[i] in known], dtype=np.int64))
    if not len(parts[0]):
        if "train" in corpus.splits:
            raise UsageError("the two caches have no utterance of train in common; --against takes the same clips")
        raise UsageError(f"the cache has no train split; it has {sorted(corpus.split_sizes())}")
    return parts[0], parts[1]


def _in_order(
    corpus: Corpus, other: Corpus, twin: NDArray[np.int64], index: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the other cache's rows of the utterances that `index` names, in that order."""
    place = {other.ids[i]: i for i in twin}
    missing = [corpus.ids[i] for i in index if corpus.ids[i] not in place]
    if missing:
        raise UsageError(
            f"{len(missing)} utterances are in another split of the other cache, such as {missing[0]}"
        )
    return np.array([place[corpus.ids[i]] for i in index], dtype=np.int64)


def _features(
    corpus: Corpus, train: NDArray[np.int64], dev: NDArray[np.int64]
) -> tuple[FeatureSet, FeatureSet | None]:
    return corpus.take(train), corpus.take(dev) if len(dev) else None


def _hop_s(corpus: Corpus) -> float | None:
    """Return the distance between windows, read off the windows themselves."""
    starts, offsets = corpus.features.start_s, corpus.features.offsets
    inner = np.ones(max(0, len(starts) - 1), dtype=bool)
    cuts = offsets[1:-1] - 1
    inner[cuts[(cuts >= 0) & (cuts < len(inner))]] = False
    steps = np.diff(starts)[inner]
    return float(np.median(steps)) if len(steps) else None
