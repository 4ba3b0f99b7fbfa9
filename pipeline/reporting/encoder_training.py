"""What `train-encoder` did, as text, and each epoch as a line."""

from __future__ import annotations

from dualstream.heads.evaluation.statistics import Estimate
from dualstream.pipeline.encoder_training.document import EncoderDocument, EpochNews, TrainReport
from dualstream.pipeline.reporting.heartbeat import format_duration
from dualstream.pipeline.reporting.tables import majority_rows

from dualstream.counting import counted

SHOWN_FAILURES = 40


def describe(report: TrainReport) -> str:
    """Return the report as text for a person."""
    document, plan = report.document, report.plan
    if plan is not None:
        return (
            f"would train {plan.encoder} ({plan.trained_parameters:,} of {plan.parameters:,} parameters) "
            f"on {counted(plan.utterances, 'utterance')}; {counted(plan.to_decode, 'clip')} to decode first"
        )
    assert document is not None
    head = (
        "trained in " + format_duration(report.seconds) if report.trained else "already exists, nothing was done"
    )
    lines = [f"{report.weights}: {head}"]
    lines.append(f"epoch {document.best_epoch} of {len(document.history)} was kept; licence: {document.licence}")
    for task, one in document.scores.items():
        scores, lacking = one.scores, one.without_sample
        constant = "; ".join(
            f"{name}: {line.accuracy:.3f} and {line.balanced_accuracy:.3f}"
            for name, line in majority_rows(scores.majority, scores.train_majority)
        )
        lines.append(
            f"  dev {task}: accuracy {_interval(scores.accuracy)}, balanced accuracy "
            f"{_interval(scores.balanced_accuracy)}; {constant}; {counted(scores.count, 'utterance')}"
            + (f", {lacking} of them without a sample" if lacking else "")
        )
        lines += [f"  warning: {task}: {text}" for text in scores.warnings]
    lines.append(f"  {_chosen_by(document)}; test was not looked at")
    if report.failed:
        lines.append(f"{counted(len(report.failed), 'clip')} gave no sample and took no part:")
        lines += [f"  {name}: {reason}" for name, reason in report.failed[:SHOWN_FAILURES]]
    return "\n".join(lines)


def _chosen_by(document: EncoderDocument) -> str:
    """Return which epoch was kept and what that means for the scores."""
    if not document.scores:
        return "no utterance of dev has both a sample and a label that train has: nothing was scored"
    if document.watches_dev:
        return "dev chose the epoch, so its scores are a little too good"
    return "all epochs were run, and the last was kept: dev had no part in that"


def epoch_line(news: EpochNews) -> str:
    """Return one epoch's record as a line."""
    record = news.record
    dev = "" if record.dev_score is None else f", dev macro F1 {record.dev_score:.3f}"
    return (
        f"epoch {record.epoch} of {news.epochs}: loss {record.train_loss:.3f}{dev}, "
        f"{format_duration(news.seconds)}, trains {', '.join(record.thawed)}"
    )


def _interval(estimate: Estimate) -> str:
    if estimate.interval is None:
        return f"{estimate.mean:.3f}"
    low, high = estimate.interval
    return f"{estimate.mean:.3f} [{low:.3f}, {high:.3f}]"
