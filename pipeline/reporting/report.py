"""From runs to their report: which figures and facts go on the page, and the files that come out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dualstream.features.encoder import SpecDocument
from dualstream.heads.search.choice import CandidateEvidence, Choice
from dualstream.heads.variants import registry
from dualstream.pipeline.experiments import FIGURES, REPORT, Run, folder_name
from dualstream.pipeline.experiments.comparison import Comparison, PairedTest, VariantRow
from dualstream.pipeline.experiments.diagnosis import DiagnosedCache
from dualstream.pipeline.experiments.experiment import reads_one
from dualstream.pipeline.experiments.history import ModelHistory
from dualstream.pipeline.experiments.integrity import with_random_weights
from dualstream.pipeline.experiments.run_config import CacheOrigin, LogEntry, LoggedScore, RunConfig
from dualstream.pipeline.experiments.scores import HEADLINE, SplitScores
from dualstream.pipeline.reporting import figures
from dualstream.pipeline.reporting.drawing import DrawnFigure, FileKind
from dualstream.pipeline.reporting.layers import layer_words
from dualstream.pipeline.reporting.page import Section, page
from dualstream.pipeline.reporting.tables import Row, difference_interval, scores_mark
from dualstream.pipeline.storage.documents import write_bytes
from dualstream.pipeline.storage.folders import make_folder

from dualstream.counting import counted
from dualstream.documents import plain


@dataclass(frozen=True, repr=False)
class ReportPage:
    """A page and its figures, drawn."""

    html: str
    pictures: tuple[DrawnFigure, ...]

    def write(self, folder: Path, kinds: Sequence[FileKind] = ("png",)) -> list[Path]:
        """Write the page, and each figure as such files beside it; return their paths, the page first."""
        make_folder(folder / FIGURES)
        places = []
        for picture in self.pictures:
            for kind in kinds:
                places.append(folder / FIGURES / f"{picture.name}.{kind}")
                write_bytes(places[-1], picture.drawing.file(kind))
        write_bytes(folder / REPORT, self.html.encode())
        return [folder / REPORT, *places]


def run_row(run: Run, *, named: bool = False) -> Row:
    """Return a run as a line of the score tables; `named`: with the name of its folder."""
    single = reads_one(run.config.variant)
    what = scored_name(run.config)
    return Row(f"{run.name}: {what}" if named else what, run.metrics, single=single)


def run_rows(runs: Sequence[Run]) -> list[Row]:
    """Return all that runs were scored on as lines of score tables: their own split, and test where it was."""
    rows = [run_row(run, named=len(runs) > 1) for run in runs]
    tested = [(row, run.other_scores("test")) for row, run in zip(rows, runs, strict=True)]
    return rows + [replace(row, scores=scores) for row, scores in tested if scores is not None]


def chosen_name(name: str, choice: Choice | None) -> str:
    """Return a variant's name, and for ``auto`` what it chose."""
    return name if choice is None else f"{name}: {choice.name}"


def scored_name(config: RunConfig) -> str:
    """Return a run's variant, and for ``auto`` what it chose where the run's scores come from."""
    if config.choice is not None and config.folds is not None and not config.chosen:
        return f"{config.variant}: each fold's own choice"  # runs of versions that did not note it
    return (
        with_choices(config.variant, config.chosen) if config.folds else chosen_name(config.variant, config.choice)
    )


def with_choices(variant: str, chosen: Sequence[str]) -> str:
    """Return a variant's name, and for ``auto`` what it chose: with folds, in how many of them."""
    counts = {name: chosen.count(name) for name in sorted(set(chosen), key=chosen.index)}
    words = [
        name if len(chosen) == 1 else f"{name} ({count} of {counted(len(chosen), 'fold')})"
        for name, count in counts.items()
    ]
    return variant + (f": {', '.join(words)}" if words else "")


def run_report(runs: Sequence[Run]) -> ReportPage:
    """Draw the report of one run, or of several side by side."""
    several = len(runs) > 1
    rows = [run_row(run, named=several) for run in runs]
    first = runs[0]
    shared: list[DrawnFigure] = [
        figures.score_lines(
            [row.title for row in rows], [run.metrics for run in runs], metric, name=f"scores_{metric}"
        )
        for metric in ((HEADLINE, "weighted_f1") if several else (HEADLINE,))
    ]
    sections = [part for i, run in enumerate(runs) for part in _run_sections(run, str(i + 1) if several else "")]
    title = (
        f"{counted(len(runs), 'run')} compared: {_caches(runs)}"
        if several
        else f"{first.config.variant} on {first.config.cache.name}: {' and '.join(first.metrics.tasks)}"
    )
    warnings = [] if several else _said_of(first)
    if several and len({run.config.cache.digest for run in runs}) > 1:
        warnings.append(
            "these runs were fitted on different caches: their rows are not scores of the same features"
        )
    if several and len({(run.metrics.split, run.metrics.utterances) for run in runs}) > 1:
        warnings.append("these runs were scored on different utterances: compare their rows with care")
    html = page(
        title,
        _names(runs) if several else lead(first),
        rows=rows,
        pictures=shared,
        sections=sections,
        warnings=warnings,
    )
    return ReportPage(html, (*shared, *(picture for section in sections for picture in section.pictures)))


def _said_of(run: Run) -> list[str]:
    """Return a run's warnings, those of its encoders among them."""
    reads = registry.get(run.config.variant).reads(run.config.specs)
    specs = {head: spec for head, spec in run.config.specs.items() if head in reads}
    return with_random_weights(run.metrics.warnings, specs)


def evidence_words(one: CandidateEvidence) -> str:
    """Return why `auto` took a candidate or not, with what it measured."""
    if one.score is None:
        return one.reason
    words = f"{100 * one.score.mean:.1f}"
    against = one.against_single
    if against is not None:
        words += f", {100 * against.difference:+.1f} to the best single stream"
        if against.interval:
            words += f" ({difference_interval(against.interval)})"
        words += f", p (Holm) {one.corrected_p:.4f}"
    return f"{words}: {one.reason}"


def evidence_note(choice: Choice) -> str:
    """Return what the numbers of `evidence_words` are."""
    return (
        f"{choice.metric.replace('_', ' ')}, mean over the tasks, per cent, out of fold over whole "
        f"{choice.groups}s of {counted(choice.utterances, 'utterance')} that auto could see"
    )


def comparison_rows(comparison: Comparison) -> list[Row]:
    """Return a comparison's variants as lines of the score tables, each with its test and its time."""
    tests = {(test.variant, test.task): test for test in comparison.tests}
    rows = []
    for row in comparison.rows:
        extra: dict[str, dict[str, str]] = {}
        for task in row.scores.tasks if row.scores else ():
            against = comparison.best_single.get(task)
            cells = {f"UAR less {against}": "", "p (Holm)": ""} if against else {}
            test = tests.get((row.variant, task))
            if test:
                cells = {f"UAR less {against}": difference_cell(test), "p (Holm)": f"{test.p_holm:.4f}"}
            extra[task] = {**cells, "fit": "" if row.fit_s is None else f"{row.fit_s:.1f} s"}
        note = f"{row.status}: {row.reason}" if row.reason else ""
        rows.append(
            Row(with_choices(row.variant, row.chosen), row.scores, note=note, extra=extra, single=row.single)
        )
    return rows


def difference_cell(test: PairedTest) -> str:
    """Return ``+3.2`` and below it the interval."""
    text = f"{100 * test.difference:+.1f}"
    if test.interval:
        text += f"\n{difference_interval(test.interval)}"
    return text


def comparison_report(comparison: Comparison) -> ReportPage:
    """Draw the report of a comparison; details for the best single stream and the best fusion alone."""
    rows = comparison_rows(comparison)
    done = [(row, row.scores) for row in comparison.rows if row.scores]
    pictures: list[DrawnFigure] = []
    if done:
        names = [row.variant + scores_mark(scores) for row, scores in done]
        every = [scores for _, scores in done]
        pictures = [figures.score_lines(names, every, m, name=f"scores_{m}") for m in (HEADLINE, "weighted_f1")]
    singles, fusions = ([pair for pair in done if _reads_one(pair[0]) is single] for single in (True, False))
    sections = [
        Section(
            title=f"Best {what}: {best[0].variant}{scores_mark(best[1])}",
            pictures=detail_pictures(best[1], best[0].history, folder_name(best[0].variant)),
        )
        for what, best in (("single stream", next(iter(singles), None)), ("fusion", next(iter(fusions), None)))
        if best is not None
    ]
    if comparison.stream_gains:
        sections.append(
            Section(
                "What each stream adds", gains_lead(comparison), facts=gain_facts(comparison), facts_title="UAR"
            )
        )
    sections.append(
        Section(
            title="How it was done",
            facts=cache_facts(comparison.cache, comparison.streams, comparison.specs)
            | comparison_layers(comparison)
            | {"seconds to import torch": f"{comparison.import_torch_s:.1f}"},
            documents={
                "options of the fits": comparison.options,
                "provenance of the cache": comparison.cache.provenance,
            },
        )
    )
    seeds = len(comparison.options.seeds)
    words = f"{comparison.protocol}; {counted(seeds, 'seed')} a variant."
    if comparison.interrupted:
        words += " Interrupted: rows that were not finished have no scores."
    html = page(
        f"{comparison.cache.name}: {len(done)} variant{'s' if len(done) != 1 else ''} compared",
        words + made_on(comparison.created),
        rows=rows,
        pictures=pictures,
        comparisons=[_marked(test, comparison) for test in comparison.tests],
        sections=sections,
        warnings=with_random_weights(comparison.warnings, comparison.specs),
    )
    return ReportPage(html, (*pictures, *(picture for section in sections for picture in section.pictures)))


def comparison_layers(comparison: Comparison) -> dict[str, str]:
    """Return how much each layer of a network weighs in each variant, where any was weighed."""
    return {
        f"layers of {stream} in {row.variant}": words
        for row in comparison.rows
        for stream, words in layer_words(row.history).items()
    }


def gains_lead(comparison: Comparison) -> str:
    """Return how it was measured what each stream adds."""
    (whole,) = dict.fromkeys(one.variant for one in comparison.stream_gains)
    return (
        f"{whole} over all {len(comparison.streams)} streams, less the same without the one; each interval is by "
        "itself, p (Holm) is corrected over the streams of a task."
    )


def gain_facts(comparison: Comparison) -> dict[str, str]:
    """Return what each stream adds to the others, by task and stream, in words."""
    facts = {}
    for one in comparison.stream_gains:
        words = f"{100 * one.difference:+.1f} points"
        if one.interval:
            words += f" ({difference_interval(one.interval)})"
        facts[f"{one.task}: {one.stream}"] = f"{words}, p (Holm) {one.p_holm:.4f}; without it: {one.without}"
    return facts


def _reads_one(row: VariantRow) -> bool:
    """Whether a row is of one stream: ``auto`` is where it chose nothing else."""
    return row.single or (bool(row.chosen) and all(reads_one(name) for name in row.chosen))


def _marked(test: PairedTest, comparison: Comparison) -> PairedTest:
    """Return a test with its two variants called as they are in the tables."""
    marks = {row.variant: scores_mark(row.scores) for row in comparison.rows}
    return replace(test, variant=test.variant + marks[test.variant], against=test.against + marks[test.against])


def detail_pictures(scores: SplitScores, history: Sequence[ModelHistory], suffix: str = "") -> list[DrawnFigure]:
    """Draw the figures of one run: confusion, classes, training; `suffix` keeps their names apart."""
    ending = f"_{suffix}" if suffix else ""
    drawn = [
        figures.confusion(scores, name=f"confusion{ending}"),
        figures.per_class(scores, name=f"per_class{ending}"),
        figures.curves(history, name=f"curves{ending}"),
    ]
    return [picture for picture in drawn if picture is not None]


def cache_facts(
    cache: CacheOrigin | DiagnosedCache, streams: Mapping[str, str], specs: Mapping[str, SpecDocument]
) -> dict[str, str]:
    """Return where the features come from, in words."""
    facts = {
        "cache": f"{cache.name}, SHA-256 {cache.digest}",
        "fingerprint of the extraction": cache.fingerprint or "not stated",
    }
    for head, name in streams.items():
        spec = specs.get(head, {})
        words = [str(spec.get("name", "unknown encoder")), f"{spec.get('width', '?')} columns"]
        weights = spec.get("weights")
        if weights:
            words.append(f"weights {weights.get('source', '?')} ({str(weights.get('sha256', ''))[:12]})")
        if spec.get("parameters"):
            words.append(json.dumps(spec["parameters"], ensure_ascii=False))
        facts[f"{head} stream ({name})"] = ", ".join(words)
    return facts


def lead(run: Run) -> str:
    """Return one sentence on what a run is."""
    config = run.config
    seeds = len(config.options.seeds)
    words = f"{config.protocol}; {counted(seeds, 'seed')}; fitted in {config.fit_s:.1f} s."
    return words + made_on(config.created)


def made_on(created: str) -> str:
    """Return the day of a document's time stamp as a sentence; nothing for one without."""
    return f" Made on {created[:10]}." if created else ""


def _run_sections(run: Run, suffix: str) -> list[Section]:
    """Return the run's own part of the page, and what test said where it was asked."""
    config = run.config
    facts = cache_facts(config.cache.origin, config.streams, config.specs)
    facts["fitted on"] = f"{counted(config.fitted_on.utterances, 'utterance')}, SHA-256 {config.fitted_on.sha256}"
    facts |= {f"layers of {stream}": words for stream, words in layer_words(run.history).items()}
    facts["versions"] = ", ".join(f"{name} {version}" for name, version in config.versions.items())
    facts["test split"] = test_words(run.test_log)
    if config.choice:
        facts |= {f"auto: {one.candidate}": evidence_words(one) for one in config.choice.evidence}
        facts["auto: the numbers"] = evidence_note(config.choice)
    options = {key: value for key, value in plain(config.options).items() if key != "seeds"}
    own = Section(
        title=f"{run.name}: {config.variant}" if suffix else "How it answers",
        lead=lead(run) if suffix else "",
        facts=facts,
        warnings=_said_of(run) if suffix else (),
        pictures=detail_pictures(run.metrics, run.history, suffix),
        documents={
            "options of the fit": options,
            **({"why auto chose it": config.choice} if config.choice else {}),
            "provenance of the cache": config.cache.provenance,
        },
    )
    test = run.other_scores("test")
    return [own] if test is None else [_test_section(run, test, suffix), own]


def _test_section(run: Run, test: SplitScores, suffix: str) -> Section:
    """Return what test said the last time: the tables, confusion and classes."""
    said = test_words(run.test_log)
    words = f"{said[0].upper()}{said[1:]}."
    if run.test_log and run.test_log[-1].cache.digest != run.config.cache.digest:
        words += f" That was another cache than the run's: SHA-256 {run.test_log[-1].cache.digest}."
    if len(run.test_log) > 1:
        words += " Choosing by what test said makes its scores too good to be true."
    return Section(
        f"{run.name}: on the test split" if suffix else "On the test split",
        words,
        rows=[Row(chosen_name(run.config.variant, run.config.choice), test)],
        warnings=test.warnings,
        pictures=detail_pictures(test, (), f"test_{suffix}" if suffix else "test"),
    )


def test_words(log: Sequence[LogEntry]) -> str:
    """Return how often the test split was scored, before a run was fitted anew too, and what came out last."""
    if not log:
        return "never scored"
    last = log[-1].scores.tasks
    words = ", ".join(f"{task} UAR {_with_interval(one[HEADLINE])}" for task, one in last.items())
    times = "once" if len(log) == 1 else f"{len(log)} times"
    earlier = sum(entry.earlier_fit for entry in log)
    if earlier:
        times += ", by a fit that this one replaced" if earlier == len(log) else f" ({earlier} by replaced fits)"
    return f"scored {times}, last on {log[-1].when}: {words}"


def _with_interval(value: LoggedScore) -> str:
    words = f"{100 * value.mean:.1f} %"
    if value.interval is None:
        return words
    low, high = value.interval
    return f"{words} (95 % interval {100 * low:.1f}–{100 * high:.1f})"


def _caches(runs: Sequence[Run]) -> str:
    return ", ".join(dict.fromkeys(run.config.cache.name for run in runs))


def _names(runs: Sequence[Run]) -> str:
    return ", ".join(run.name for run in runs)
