"""Fitting many variants by one plan, each a row: one after the other, or in parallel in processes of their own.

Whatever happens to one variant is a row with its reason and costs no other its own, also where a process ends;
an interrupt ends the list and keeps what is done. Processes are started afresh, not forked: a fork inherits locks
that threads hold.
"""

from __future__ import annotations

import dataclasses
import logging
import multiprocessing
import os
import queue
import signal
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from dualstream.heads.linear.shared import SharedFits, sharing
from dualstream.heads.variants import registry
from dualstream.heads.variants.contract import ProgressEvent
from dualstream.heads.variants.registry import FitOptions, Progress
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.experiments import experiment
from dualstream.pipeline.experiments.comparison import FAILED, INTERRUPTED, NOT_APPLICABLE, VariantRow
from dualstream.pipeline.experiments.experiment import reads_one
from dualstream.pipeline.experiments.interrupt import graceful_interrupt
from dualstream.pipeline.experiments.predictions import Predictions
from dualstream.pipeline.experiments.protocol import DecodingOptions, Plan
from dualstream.pipeline.memory import shortage_words

from dualstream.cores import available_cores, one_blas_thread
from dualstream.processes import end_with

log = logging.getLogger(__name__)

Fitted = tuple[VariantRow, Predictions | None]
LARGE = 2_000  # utterances that are fitted on: from here on a process more is worth its two seconds of start
POLL_S = 0.2  # how often the processes' news are read
UNREACHED = "not reached"
UNFINISHED = "interrupted before it was finished"
LOST = "its process ended without an answer, twice, at last with no other beside it (was memory short?)"


@dataclass(frozen=True)
class VariantJob:
    """What every variant is given."""

    plan: Plan
    fit: FitOptions
    answering: DecodingOptions

    def row(self, name: str, report: Progress) -> Fitted:
        """Fit one variant and score it; whatever goes wrong is said in the row."""
        fit = registry.own_options(name, self.fit)
        try:
            report({"variant": name})
            done = experiment.run(name, self.plan, fit, self.answering, progress=report, for_new=False)
        except KeyboardInterrupt:
            return without_scores(name, INTERRUPTED, UNFINISHED), None
        except (ValueError, UsageError) as error:
            return without_scores(name, NOT_APPLICABLE, str(error)), None
        except Exception as error:
            # whatever it is: one variant's fault may not cost the others' rows
            log.info("%s failed", name, exc_info=True)
            reason = shortage_words(error) or f"{type(error).__name__}: {error}"
            return without_scores(name, FAILED, reason), None
        return done.row, done.predictions


def fit_all(
    work: VariantJob, chosen: Sequence[str], *, workers: int | None = None, progress: Progress | None = None
) -> tuple[list[VariantRow], dict[str, Predictions], bool]:
    """Fit variants and score them.

    Parameters
    ----------
    work
        The plan, and how to fit and answer.
    chosen
        Names of variants.
    workers
        Variants that are fitted at a time, each in a process of its own; 1: one after the other, here. None:
        one a core where there is much to fit, else 1.
    progress
        Called with every epoch, and ``{"done", "of"}`` counting variants; with several workers, now and then,
        with all that are being fitted: ``{"side_by_side": [event, ...], "done", "of"}``.

    Returns
    -------
    A row for each name in the order of `chosen`, the predictions of those that were fitted, and whether an
    interrupt ended the list.
    """
    if workers is None:
        workers = available_cores() if len(work.plan.fitted_on()) >= LARGE else 1
    workers = min(workers, len(chosen))
    with graceful_interrupt(progress) as report:
        pairs = _in_turn(work, chosen, report) if workers <= 1 else _at_once(work, chosen, workers, report)
    rows = [pairs[name][0] if name in pairs else without_scores(name, INTERRUPTED, UNREACHED) for name in chosen]
    predictions = {name: answered for name, (_, answered) in pairs.items() if answered is not None}
    return rows, predictions, any(row.status == INTERRUPTED for row in rows)


Pairs = dict[str, Fitted]


def _in_turn(work: VariantJob, chosen: Sequence[str], report: Progress) -> Pairs:
    pairs: Pairs = {}
    with sharing():
        for done, name in enumerate(chosen):
            place = {"done": done, "of": len(chosen)}
            pairs[name] = work.row(name, lambda event, place=place: report(event | place))  # type: ignore[misc]
            if pairs[name][0].status == INTERRUPTED:
                break
    return pairs


def _at_once(work: VariantJob, chosen: Sequence[str], workers: int, report: Progress) -> Pairs:
    """Keep `workers` processes busy; those that one took with it as it ended are fitted again, one at a time.

    `report` is told ``{"side_by_side", "done", "of"}``: the last event of each variant that is being fitted.
    """
    threads = work.fit.threads or max(1, available_cores() // workers)
    work = dataclasses.replace(work, fit=dataclasses.replace(work.fit, threads=threads))
    expensive = [name for name in reversed(chosen) if registry.is_search(name) or registry.get(name).needs_windows]
    ordered = [*expensive, *(name for name in chosen if name not in expensive)]  # no dear one alone at the end
    pairs: Pairs = {}
    goes_on = _pooled(work, ordered, workers, report, pairs, of=len(chosen))
    for name in [name for name in ordered if name not in pairs]:
        if goes_on:
            log.warning("%s is fitted again: a process ended without an answer", name)
            goes_on = _pooled(work, [name], 1, report, pairs, of=len(chosen))
        if goes_on and name not in pairs:
            pairs[name] = without_scores(name, FAILED, LOST), None
    return pairs


def _pooled(
    work: VariantJob, names: Sequence[str], workers: int, report: Progress, pairs: Pairs, *, of: int
) -> bool:
    """Fit variants in processes, and put what comes of them to `pairs`; say whether no interrupt ended it.

    Where a process ends without an answer, so do the others, and what they had is not among the pairs.
    """
    context = multiprocessing.get_context("spawn")
    news, stop = context.Queue(), context.Event()
    waiting = [*names]
    running: dict[Future[Fitted], str] = {}
    latest: dict[str, ProgressEvent] = {}
    is_interrupted = False
    with ProcessPoolExecutor(workers, context, _init_worker, (work, news, stop, os.getpid())) as pool:
        try:
            while running or (waiting and not is_interrupted):
                while waiting and len(running) < workers and not is_interrupted:
                    name = waiting.pop(0)
                    running[pool.submit(_fit_here, name)] = name
                finished, _ = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
                for future in finished:
                    pairs[running[future]] = future.result()
                    latest.pop(running.pop(future), None)
                _drain(news, latest)
                told = [latest.get(name, {"variant": name}) for name in running.values()]
                try:
                    report({"side_by_side": told, "done": len(pairs), "of": of})
                except KeyboardInterrupt:
                    is_interrupted = True
                    stop.set()
        except BrokenProcessPool:
            log.info("a process that fitted variants ended without an answer")
        finally:
            stop.set()
    return not is_interrupted


def _drain(news: Any, latest: dict[str, ProgressEvent]) -> None:
    """Keep of each variant the last that its process told."""
    try:
        while True:
            name, event = news.get_nowait()
            latest[name] = event
    except queue.Empty:
        return


def without_scores(name: str, status: str, reason: str) -> VariantRow:
    """Return the row of a variant that has none."""
    return VariantRow(name, reads_one(name), status=status, reason=reason)


# ---- in a process of its own


_here: dict[str, Any] = {}


def _init_worker(work: VariantJob, news: Any, stop: Any, parent: int) -> None:
    """Keep what every task of this process needs; interrupts are the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(parent)
    _here.update(work=work, news=news, stop=stop, fits=SharedFits())


@one_blas_thread()
def _fit_here(name: str) -> Fitted:
    def report(event: ProgressEvent) -> None:
        _here["news"].put((name, event))
        if _here["stop"].is_set():
            raise KeyboardInterrupt

    work: VariantJob = _here["work"]
    with sharing(_here["fits"]):
        return work.row(name, report)
