"""What `extract` did, as text."""

from __future__ import annotations

from dualstream.pipeline.extraction.request import ExtractReport, PartReport
from dualstream.pipeline.reporting.heartbeat import format_duration

from dualstream.counting import counted

SHOWN_FAILURES = 40
SHOWN_SHARDS = 20


def describe(report: ExtractReport) -> str:
    """Return the report as text for a person."""
    guess = report.estimate
    if guess is not None:
        lines = [
            f"would make {report.cache}: {report.made} of {counted(report.utterances, 'clip')}, "
            f"{report.kept} are done"
        ]
        if guess.clips:
            time_text = "unknown" if guess.seconds is None else f"about {format_duration(guess.seconds)}"
            lines.append(
                f"time {time_text}, from {counted(guess.measured, 'clip')} measured; about "
                f"{counted(guess.windows, 'window', ',')}, {guess.shard_bytes / 1e6:,.1f} MB of shards"
            )
        lines.append(f"fingerprint {report.fingerprint}")
        lines += [f"{counted(guess.absent, 'clip')} without a file would fail"] if guess.absent else []
        return "\n".join([*lines, *(f"note: {text}" for text in report.notices)])
    lines = [
        f"{report.cache}: {counted(report.utterances, 'utterance')}, {report.made} made and {report.kept} kept "
        f"in {format_duration(report.seconds)}",
        f"fingerprint {report.fingerprint}",
    ]
    lines += [] if report.part is None else _part(report.part)
    for name, facts in report.streams.items():
        windows = "" if facts.windows is None else f", {counted(facts.windows, 'window', ',')}"
        road = f" by {facts.projection}" if facts.projection else ""
        lines.append(
            f"  {name}: {facts.encoder}, {counted(facts.width, 'column')}{road}; "
            f"{counted(facts.utterances, 'utterance', ',')}{windows}"
        )
    if report.failed:
        lines.append(f"{counted(len(report.failed), 'clip')} failed and stay masked:")
        lines += [f"  {name}: {reason}" for name, reason in report.failed[:SHOWN_FAILURES]]
        if len(report.failed) > SHOWN_FAILURES:
            lines.append(f"  … and {len(report.failed) - SHOWN_FAILURES} more: inspect --json lists all")
    return "\n".join(lines)


def _part(part: PartReport) -> list[str]:
    there = part.shards_of_all - len(part.missing)
    line = (
        f"part {part.part}: {part.shards_made} of its {part.shards} shards made; {there} of all "
        f"{part.shards_of_all} shards are there"
    )
    if not part.missing:
        return [line, "run the same command without --part to seal the cache"]
    shown = ", ".join(map(str, part.missing[:SHOWN_SHARDS]))
    more = f" and {len(part.missing) - SHOWN_SHARDS} more" if len(part.missing) > SHOWN_SHARDS else ""
    return [f"{line}, missing: {shown}{more}", "the other parts, or the same command without --part, make them"]
