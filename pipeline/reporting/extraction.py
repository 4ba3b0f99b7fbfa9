"""What `extract` did, as text."""

from __future__ import annotations

from dualstream.pipeline.extraction.request import ExtractReport, PartReport
from dualstream.pipeline.reporting.heartbeat import format_duration

SHOWN_FAILURES = 40
SHOWN_SHARDS = 20


def describe(report: ExtractReport) -> str:
    """Return the report as text for a person."""
    guess = report.estimate
    if guess is not None:
        lines = [f"would make {report.cache}: {report.made} of {report.utterances} clips, {report.kept} are done"]
        if guess.clips:
            time_text = "unknown" if guess.seconds is None else f"about {format_duration(guess.seconds)}"
            lines.append(
                f"time {time_text}, from {guess.measured} clips measured; about {guess.windows:,} windows, "
                f"{guess.shard_bytes / 1e6:,.1f} MB of shards"
            )
        lines.append(f"fingerprint {report.fingerprint}")
        lines += [f"{guess.absent} clips have no file and would fail"] if guess.absent else []
        return "\n".join([*lines, *(f"note: {text}" for text in report.notices)])
    lines = [
        f"{report.cache}: {report.utterances} utterances, {report.made} made and {report.kept} kept "
        f"in {format_duration(report.seconds)}",
        f"fingerprint {report.fingerprint}",
    ]
    lines += [] if report.part is None else _part(report.part)
    for name, facts in report.streams.items():
        windows = "" if facts.windows is None else f", {facts.windows:,} windows"
        road = f" by {facts.projection}" if facts.projection else ""
        lines.append(
            f"  {name}: {facts.encoder}, {facts.width} columns{road}; {facts.utterances:,} utterances{windows}"
        )
    if report.failed:
        lines.append(f"{len(report.failed)} clips failed and are masked:")
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
