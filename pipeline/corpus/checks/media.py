"""Faults that the clips themselves show, judged from their facts."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from dualstream.features.media.mixing import NOTE as CHANNELS_NOTE
from dualstream.pipeline.corpus.checks.clips import Facts
from dualstream.pipeline.corpus.checks.findings import Case, Finding, found
from dualstream.pipeline.corpus.checks.leakage import table_span
from dualstream.pipeline.corpus.checks.limits import Limits
from dualstream.pipeline.corpus.pairs import pair
from dualstream.pipeline.corpus.utterance import SPLITS

UNUSABLE = ("missing", "escapes-root", "unreadable")
SPAN_TOLERANCE_S = 0.05  # a span may end a frame after the last packet


def examine_media(facts: Sequence[Facts], limits: Limits) -> list[Finding]:
    """Return what is wrong with the clips."""
    cases: dict[str, list[Case]] = defaultdict(list)
    for fact in facts:
        for code, detail in _faults(fact, limits):
            cases[code].append(Case(fact.utterance.id, detail))
    findings = [finding for code, some in cases.items() for finding in found(code, some)]
    return [*findings, *_apart(facts), *_duplicates(facts)]


def _faults(fact: Facts, limits: Limits) -> Iterator[tuple[str, str]]:
    """Yield (code, what was measured) of one utterance."""
    if fact.fault:
        yield fact.fault, fact.reason
        return
    yield from _streams(fact, limits)
    yield from _length(fact, limits)
    yield from _sound(fact, limits)


def _streams(fact: Facts, limits: Limits) -> Iterator[tuple[str, str]]:
    probe = fact.probe
    assert probe is not None
    video, audio = probe.video, probe.audio
    if audio is None:
        yield "no-sound", ""
    else:
        if audio.channels > 2:
            yield "multichannel", f"{audio.channels} channels, {audio.layout}"
        if audio.sample_rate_hz < limits.narrow_hz:
            yield "narrow-band", f"{audio.sample_rate_hz} Hz"
    if video is None:
        yield "no-picture", ""
    elif video.still:
        yield "still-picture", ""
    elif audio is not None and fact.utterance.start_s is None:
        start_s, end_s = audio.start_s - video.start_s, audio.end_s - video.end_s
        if max(abs(start_s), abs(end_s)) > limits.skew_s:
            yield "desynchronised", f"sound starts {_later(start_s)} and ends {_later(end_s)} than the picture"
    if probe.warnings:
        yield "damaged", "; ".join(probe.warnings)
    if probe.unused_sound:
        yield "two-sounds", f"heard is {fact.utterance.sound}"


def _apart(facts: Sequence[Facts]) -> list[Finding]:
    """Find videos without sound whose sound, by its name, is an utterance of its own."""
    whole = {
        fact.utterance.path: fact for fact in facts if fact.probe is not None and len(fact.utterance.files) == 1
    }
    halves = [path for path, fact in whole.items() if fact.probe and not (fact.probe.audio and fact.probe.video)]
    cases, across = [], 0
    for video, sound in pair(halves).sound_of.items():
        if (probe := whole[video].probe) is None or probe.video is None:  # sound under the suffix of a video
            continue
        one, other = whole[video].utterance, whole[sound].utterance
        across += one.split != other.split
        cases.append(Case(one.id, f"{sound} is {other.id} of {other.split}"))
    return found("pair-apart", cases, f"{across} of them in two splits" if across else "")


def _length(fact: Facts, limits: Limits) -> Iterator[tuple[str, str]]:
    probe, utterance = fact.probe, fact.utterance
    assert probe is not None
    if utterance.end_s is not None:
        if utterance.end_s > probe.duration_s + SPAN_TOLERANCE_S:
            yield "span-beyond-end", f"to {utterance.end_s:.3f} s of {probe.duration_s:.3f} s"
        return
    if probe.duration_s < limits.short_s:
        yield "too-short", f"{probe.duration_s:.3f} s"
    elif probe.duration_s > limits.long_s:
        yield "too-long", f"{probe.duration_s:.1f} s"
    span = table_span(utterance)
    if span is not None and abs(probe.duration_s - (span[1] - span[0])) > limits.length_off_s:
        yield "length-disagrees", f"{probe.duration_s:.3f} s, by the table {span[1] - span[0]:.3f} s"


def _sound(fact: Facts, limits: Limits) -> Iterator[tuple[str, str]]:
    loudness = fact.loudness
    if loudness is None:
        return
    assert fact.probe is not None
    if loudness.errors and not fact.probe.warnings:
        yield "damaged", "; ".join(loudness.notes) or f"{loudness.errors} errors while decoding"
    if math.isnan(loudness.peak):
        return
    for note in loudness.notes:
        if note.startswith(CHANNELS_NOTE):
            yield "odd-channels", note.removeprefix(CHANNELS_NOTE)
    peak_dbfs = 20 * math.log10(loudness.peak) if loudness.peak > 0 else -math.inf
    if peak_dbfs < limits.silent_dbfs:
        yield "silent", "every sample is 0" if loudness.peak == 0 else f"peak {peak_dbfs:.0f} dB of full scale"
    if loudness.clipped_share >= limits.clipped_share:
        yield "clipped", f"{loudness.clipped_share:.1%} of the samples at full scale"


def _duplicates(facts: Sequence[Facts]) -> list[Finding]:
    """Find files of the same bytes under different paths; the first, or train's, is the original."""
    copies: dict[str, list[Facts]] = defaultdict(list)
    for fact in facts:
        if fact.sha256 and fact.utterance.start_s is None:
            copies[fact.sha256].append(fact)
    across: list[Case] = []
    within: list[Case] = []
    for some in copies.values():
        original, *others = sorted(some, key=lambda fact: SPLITS.index(fact.utterance.split))
        for other in others:
            if other.utterance.files != original.utterance.files:
                same_split = other.utterance.split == original.utterance.split
                labels = "" if _labels(other) == _labels(original) else ", with other labels"
                case = Case(other.utterance.id, f"as {original.utterance.id}{labels}")
                (within if same_split else across).append(case)
    return [*found("duplicate-across-splits", across), *found("duplicate", within)]


def _labels(fact: Facts) -> tuple[str, str]:
    return fact.utterance.emotion, fact.utterance.sentiment


def _later(seconds: float) -> str:
    return f"{abs(seconds):.2f} s {'later' if seconds >= 0 else 'earlier'}"
