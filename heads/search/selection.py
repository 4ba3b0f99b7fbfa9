"""Pick a variant by group-wise cross-validation over train and dev, and never do harm.

A fusion is taken only where it is significantly better than the best single stream: the paired test on
out-of-fold answers, corrected over all fusions (Holm), says so at the level `alpha`. Else the best single
stream is taken. Among fusions that are significantly better, the one with the best score.

Why not by dev: four dev speakers don't rank models. On RAVDESS the variants best on dev were among the
worst on test.

Where the corpus has one stream there is no fusion to take, and the best variant of that stream is taken.

The budget: a search costs no more than twice what its dearest candidate does when it is fitted for itself, so
that `auto` takes three times as long as that one at most. Its own fit has several seeds that share their
batches; in the search each fold is a fit of one seed, so three folds assigned once are what the budget allows
for those that are trained. Those that are solved are cheap, and a second deal makes the test surer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from dualstream.heads.data.batch import UNLABELLED, FeatureSet, join
from dualstream.heads.evaluation import confusion, statistics
from dualstream.heads.evaluation.folds import GROUP_BY, fold_codes, group_codes, groups_of, holds_apart
from dualstream.heads.variants import joint_fit, registry
from dualstream.heads.variants.decode import decode
from dualstream.heads.variants.registry import TASKS, FitOptions, Progress, Task
from numpy.typing import NDArray

from dualstream.cores import available_cores, one_core, threads
from dualstream.documents import Document

CANDIDATES = (
    "linear_video",
    "linear_audio",
    "video",
    "audio",
    "linear",
    "linear_late",
    "concat_norm",
    "aligned",
)
"""Cheap ones that between them read streams apart, added, multiplied, and moment by moment."""
FOLDS = 3  # the test counts every utterance, however many folds there are, and more folds cost more
PATIENCE = 5  # epochs, at most: a search compares candidates, it doesn't publish them
SETTLED = (0.001, 0.5)  # corrected p outside of which more repeats would change nothing
STOPPING = 8  # one part in this many of a fold's training groups decides when to stop

Codes = NDArray[np.int64]
Counts = NDArray[np.float64]


@dataclass(frozen=True)
class CandidateEvidence(Document):
    """What cross-validation said of one candidate."""

    candidate: str
    single: bool
    """Whether it reads one stream."""
    score: statistics.Estimate | None
    """Out of fold, one value a repeat; None where it can't be fitted on this corpus."""
    against_single: statistics.PairedDifference | None
    """Against the best single stream; None for single streams."""
    corrected_p: float | None
    """Of that comparison, corrected over all fusions."""
    chosen: bool
    reason: str
    """Why it was chosen or not."""


@dataclass(frozen=True)
class Choice(Document):
    """Which variant, and the table that says why."""

    name: str
    groups: str
    """What was kept whole: ``speaker`` or ``dialogue``."""
    utterances: int
    """That the folds were assigned from."""
    metric: str
    evidence: tuple[CandidateEvidence, ...]


@dataclass(frozen=True)
class SelectionOptions:
    """How `auto` picks."""

    candidates: tuple[str, ...] = CANDIDATES
    repeats: int = 2
    """Times that the folds are assigned to closed-form candidates, at most: no more where the first settles
    it, and those that are clearly behind sit out the later ones. Trained ones: once, see the budget above."""
    folds: str = "auto"
    """What is kept whole: speaker, dialogue, or auto (heads/evaluation/folds.py)."""
    metric: str = "balanced_accuracy"
    """A name of confusion.HEADLINES, averaged over the tasks."""
    alpha: float = 0.05
    """Chance of taking a fusion that is no better than the best single stream."""
    sample: int = 6_000
    """Of larger corpora whole groups are drawn until there are this many utterances: enough to be sure of a
    difference of two points, and what is chosen is then fitted on all of them."""

    def __post_init__(self) -> None:
        if self.repeats < 1 or not 0 < self.alpha < 1:
            raise ValueError(f"repeats is {self.repeats} and alpha {self.alpha}; expected 1 or more, and 0 to 1")
        if self.sample < 1:
            raise ValueError(f"sample is {self.sample}; expected 1 utterance or more")
        if self.folds not in GROUP_BY or self.metric not in confusion.HEADLINES:
            raise ValueError(
                f"folds {self.folds!r} by {self.metric!r}; expected one of {', '.join(GROUP_BY)} "
                f"and one of {', '.join(confusion.HEADLINES)}"
            )
        searches = [name for name in self.candidates if registry.is_search(name)]
        if searches:
            raise ValueError(f"{searches[0]} can't be a candidate of its own")
        if not any(len(registry.get(name).streams) == 1 for name in self.candidates):
            raise ValueError(f"none of {', '.join(self.candidates)} reads a single stream; auto falls back on one")

    @classmethod
    def of(cls, parameters: dict[str, Any]) -> SelectionOptions:
        """Read a variant's parameters; candidates may be words between commas."""
        settings = dict(parameters)
        asked = settings.get("candidates")
        if asked is not None:
            words = asked.split(",") if isinstance(asked, str) else asked
            settings["candidates"] = tuple(str(word).strip() for word in words)
        else:
            settings.pop("candidates", None)
        return cls(**settings)


def select(
    train: FeatureSet,
    dev: FeatureSet | None,
    *,
    options: FitOptions | None = None,
    selection: SelectionOptions | None = None,
    progress: Progress | None = None,
) -> Choice:
    """Choose among variants by cross-validation over train and dev together.

    Where ``options.patience`` is 0, dev is not to be looked at, and train alone is used.

    Raises
    ------
    ValueError
        Where no single stream can be fitted, nothing is labelled, or there is only one group.
    """
    options, selection = options or FitOptions(), selection or SelectionOptions()
    pooled = train
    if dev is not None and len(dev) and options.patience > 0:
        pooled = join(train, dev)
    grouped_by = groups_of(train, selection.folds, dev)[1]  # type: ignore[arg-type]
    if grouped_by == "speaker" and not holds_apart(group_codes(pooled, "speaker"), pooled.speaker):
        grouped_by = "dialogue"  # dev's dialogues connect what train alone keeps apart
    pooled = _sample(pooled, group_codes(pooled, grouped_by), selection.sample)
    trial = _Trial.of(pooled, grouped_by, options, selection)
    counted: dict[str, list[Counts]] = {}
    reasons: dict[str, str] = {}
    running = list(dict.fromkeys(selection.candidates))
    total, done = len(running) * selection.repeats, 0
    for repeat in range(selection.repeats):
        fold = fold_codes(trial.groups, trial.labels[trial.tasks[0]], FOLDS, seed=repeat)
        for name in list(running):
            news = _Told(progress, {"variant": f"auto: {name}", "epoch": done, "epochs": total})
            news({})
            done += 1
            try:
                counted.setdefault(name, []).append(trial.out_of_fold(name, fold, repeat, news))
            except ValueError as error:
                reasons[name] = str(error)
                counted.pop(name, None)
                running.remove(name)
        if repeat + 1 == selection.repeats or trial.settled(counted):
            break
        running = [name for name in trial.contenders(running, counted) if registry.is_closed_form(name)]
    return trial.choose(list(dict.fromkeys(selection.candidates)), counted, reasons)


@dataclass(frozen=True)
class _Told:
    """Tells of a candidate the same in all its folds and epochs; whoever listens may interrupt at each."""

    progress: Progress | None
    event: dict[str, Any]

    def __call__(self, event: dict[str, Any]) -> None:
        if self.progress is not None:
            self.progress(self.event)


@dataclass(frozen=True, repr=False)
class _Trial:
    """Train and dev together, and how candidates are compared on them."""

    pooled: FeatureSet
    groups: Codes
    grouped_by: str
    labels: dict[Task, Codes]
    classes: dict[Task, int]
    options: FitOptions
    selection: SelectionOptions
    tasks: tuple[Task, ...] = field(default=())

    @classmethod
    def of(cls, pooled: FeatureSet, grouped_by: str, options: FitOptions, selection: SelectionOptions) -> _Trial:
        tasks = tuple(task for task in options.tasks if (getattr(pooled, task) != UNLABELLED).any())
        if not tasks:
            raise ValueError(f"no training utterance has a label for {' or '.join(options.tasks)}")
        groups = group_codes(pooled, grouped_by)
        return cls(
            pooled=pooled,
            groups=np.unique(groups, return_inverse=True)[1].astype(np.int64),
            grouped_by=grouped_by,
            labels={task: getattr(pooled, task) for task in tasks},
            classes={task: len(getattr(pooled, f"{task}_names")) for task in tasks},
            options=options,
            selection=selection,
            tasks=tasks,
        )

    def out_of_fold(self, name: str, fold: Codes, repeat: int, news: Progress) -> Counts:
        """Fit a candidate once a fold and count its answers on what was held out, shape (G, cells).

        An interrupt that `news` raises ends all of it: a candidate that was stopped early says nothing.
        """
        closed_form = registry.is_closed_form(name)  # needs no utterances to stop by
        patience = min(self.options.patience, PATIENCE)
        options = replace(self.options, seeds=(repeat,), patience=patience, parameters={})
        answers: dict[Task, Codes] = {task: np.empty(len(self.pooled), np.int64) for task in self.tasks}

        def answer(number: int) -> None:
            fit, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            stop: FeatureSet | None = None
            if not closed_form and options.patience > 0 and len(np.unique(self.groups[fit])) > 1:
                inner = fold_codes(self.groups[fit], self.labels[self.tasks[0]][fit], STOPPING, seed=repeat)
                stop, fit = self.pooled.take(fit[inner == 0]), fit[inner != 0]
            part = self.pooled.take(fit)
            own = replace(options, parameters={"folds": self._grouped_in(part)}) if closed_form else options
            models = registry.fit(name, part, stop, options=own, progress=news)
            (model,) = joint_fit.joined(models, part, own, held_out=stop, again=False)
            if model.history.stopped == "interrupted":
                raise KeyboardInterrupt
            for task, codes in zip(TASKS, decode(model.predict(self.pooled.take(held))), strict=True):
                if task in self.tasks:
                    if codes is None:
                        raise ValueError(f"a fold has no label for {task}")
                    answers[task][held] = codes

        numbers = range(int(fold.max()) + 1)
        _side_by_side(answer, numbers, options.threads)
        cells = []
        for task in self.tasks:
            keep = self.labels[task] != UNLABELLED
            counts = confusion.group_confusions(
                self.labels[task][keep], answers[task][None, keep], self.classes[task], self.groups[keep]
            )[0]
            full = np.zeros((int(self.groups.max()) + 1, self.classes[task] ** 2))
            full[: len(counts)] = counts.reshape(len(counts), -1)
            cells.append(full)
        return np.concatenate(cells, axis=1)

    def _grouped_in(self, part: FeatureSet) -> str:
        """Return what a solved variant keeps whole when it chooses a penalty inside a part."""
        apart = holds_apart(group_codes(part, self.grouped_by), part.speaker)
        return self.grouped_by if self.grouped_by == "dialogue" or apart else "dialogue"

    def statistic(self, counts: Counts) -> NDArray[np.float64]:
        """Score counts (..., cells): the metric's mean over the tasks."""
        score = confusion.headline_statistic(self.selection.metric)
        scores, at = [], 0
        for task in self.tasks:
            size = self.classes[task]
            scores.append(score(counts[..., at : at + size**2].reshape(*counts.shape[:-1], size, size)))
            at += size**2
        return np.mean(scores, axis=0)

    def settled(self, counted: dict[str, list[Counts]]) -> bool:
        """Say whether every fusion's case is clear, and only one of them can win."""
        fusions, gaps, corrected = self.against_single(counted)
        likely = [n for n in fusions if gaps[n].difference > 0 and corrected[n] < SETTLED[1]]
        return not likely or (len(likely) == 1 and corrected[likely[0]] < SETTLED[0])

    def against_single(
        self, counted: dict[str, list[Counts]]
    ) -> tuple[list[str], dict[str, statistics.PairedDifference], dict[str, float]]:
        """Compare every fusion with the best single stream: (fusions, comparisons, corrected p)."""
        stacks = {name: np.stack(counts) for name, counts in counted.items()}
        singles = [name for name in stacks if _single(name)]
        if not singles:
            return [], {}, {}
        best = max(singles, key=lambda name: float(self.statistic(stacks[name].sum(1)).mean()))
        fusions = [name for name in stacks if not _single(name)]
        gaps = {name: statistics.compare(stacks[name], stacks[best], self.statistic) for name in fusions}
        corrected = statistics.holm([gaps[name].p_value for name in fusions])
        return fusions, gaps, dict(zip(fusions, corrected, strict=True))

    def contenders(self, running: list[str], counted: dict[str, list[Counts]]) -> list[str]:
        """Leave out who is clearly behind the leader; the best single stream always stays."""
        if len(running) < 2:
            return running
        stacks = {name: np.stack(counted[name]) for name in running}
        means = {name: float(self.statistic(stack.sum(1)).mean()) for name, stack in stacks.items()}
        leader = max(running, key=means.__getitem__)
        stay = {leader}
        singles = [name for name in running if _single(name)]
        if singles:
            stay.add(max(singles, key=means.__getitem__))
        for name in running:
            gap = statistics.compare(stacks[name], stacks[leader], self.statistic, swaps=1)
            if gap.high is None or gap.high >= 0:
                stay.add(name)
        return [name for name in running if name in stay]

    def choose(self, asked: list[str], counted: dict[str, list[Counts]], reasons: dict[str, str]) -> Choice:
        """Apply the rule that the module states."""
        stacks = {name: np.stack(counts) for name, counts in counted.items()}
        scores = {name: statistics.estimate(stack, self.statistic) for name, stack in stacks.items()}
        singles = [name for name in stacks if _single(name)]
        if not singles:
            raise ValueError(
                "auto could fit no single stream to fall back on: "
                + "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
            )
        fallback = max(singles, key=lambda name: scores[name].mean)
        fusions, gaps, corrected = self.against_single(counted)
        significant = [n for n in fusions if gaps[n].difference > 0 and corrected[n] <= self.selection.alpha]
        chosen = max(significant, key=lambda name: scores[name].mean) if significant else fallback

        def reason(name: str) -> str:
            if name in reasons:
                return reasons[name]
            if name == chosen and significant:
                return "best of those significantly better than any single stream"
            if name == fallback:
                streams = list(self.pooled.streams)
                return "best single stream" if len(streams) > 1 else f"best of {streams[0]}, the only stream"
            if _single(name):
                return "another single stream is better"
            return (
                "significantly better, but not the best"
                if name in significant
                else "not significantly better than the best single"
            )

        table = tuple(
            CandidateEvidence(
                candidate=name,
                single=_single(name),
                score=scores.get(name),
                against_single=gaps.get(name),
                corrected_p=corrected.get(name),
                chosen=name == chosen,
                reason=reason(name),
            )
            for name in asked
        )
        return Choice(chosen, self.grouped_by, len(self.pooled), self.selection.metric, table)


def _side_by_side(answer: Callable[[int], None], numbers: Sequence[int], cores: int | None) -> None:
    """Run fits on a core each; what they answer does not depend on how many there are."""
    with one_core(), threads(max(1, min(cores or available_cores(), len(numbers)))) as pool:
        running = [pool.submit(answer, number) for number in numbers]
        try:
            for one in running:
                one.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _sample(features: FeatureSet, groups: Codes, wanted: int) -> FeatureSet:
    """Return whole groups, drawn until `wanted` utterances are there, in the order they stood in."""
    if len(features) <= wanted:
        return features
    members, code = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(0).permutation(len(members))
    sizes = np.bincount(code)[order]
    drawn = order[: max(2, int(np.searchsorted(np.cumsum(sizes), wanted)) + 1)]
    return features.take(np.flatnonzero(np.isin(code, drawn)))


def _single(name: str) -> bool:
    return len(registry.get(name).streams) == 1
