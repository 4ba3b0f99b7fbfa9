"""Clips: what their streams, their lengths and their sound show, judged from their facts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from dualstream.pipeline.corpus.checks.findings import Case, Finding, Rule
from dualstream.pipeline.corpus.checks.registry import CheckedCorpus, check, examines
from dualstream.pipeline.corpus.checks.spans import table_span
from dualstream.pipeline.corpus.pairs import pair

if TYPE_CHECKING:
    from dualstream.features.media import Probe
    from dualstream.pipeline.corpus.checks.clips import Facts, Loudness


@check(
    "no-sound",
    severity="note",
    noun="utterance",
    topic="clips",
    what="no sound",
    means="its audio stream is masked: variants that need sound see none.",
)
def no_sound(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find clips without sound."""
    return _where(corpus, lambda probe, fact: "" if probe.audio is None else None)


@check(
    "no-picture",
    severity="note",
    noun="utterance",
    topic="clips",
    what="no moving picture",
    means="its video stream is masked: variants that need a picture see none.",
)
def no_picture(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find clips without moving pictures."""
    return _where(corpus, lambda probe, fact: "" if probe.video is None else None)


@check(
    "two-sounds",
    severity="note",
    noun="utterance",
    topic="clips",
    what="the video file holds sound beside the sound's own file",
    means="the file named as sound is what is heard; the video file's own is not used.",
)
def two_sounds(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find pairs of files whose video file has sound of its own."""
    return _where(corpus, lambda probe, fact: f"heard is {fact.utterance.sound}" if probe.unused_sound else None)


@check(
    "still-picture",
    severity="note",
    noun="utterance",
    topic="clips",
    what="one picture throughout",
    means="every window shows the same: motion tells nothing.",
)
def still_picture(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find clips that show one picture."""
    return _where(corpus, lambda probe, fact: "" if probe.video is not None and probe.video.still else None)


@check(
    "multichannel",
    severity="note",
    noun="utterance",
    topic="clips",
    what="more than two channels of sound",
    means="the channel policy matters: auto takes the centre, where speech is; a mix drowns it in music.",
)
def multichannel(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find clips with more than two channels of sound."""

    def many(probe: Probe, fact: Facts) -> str | None:
        audio = probe.audio
        return f"{audio.channels} channels, {audio.layout}" if audio is not None and audio.channels > 2 else None

    return _where(corpus, many)


@check(
    "narrow-band",
    severity="note",
    noun="utterance",
    topic="clips",
    what="sound sampled below 16 kHz",
    means="its high bands are empty: features tell its origin as well as its emotion.",
)
def narrow_band(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find clips whose sound has a low sampling rate."""

    def narrow(probe: Probe, fact: Facts) -> str | None:
        low = probe.audio is not None and probe.audio.sample_rate_hz < corpus.limits.narrow_hz
        return f"{probe.audio.sample_rate_hz} Hz" if low and probe.audio is not None else None

    return _where(corpus, narrow)


PAIR_APART = Rule(
    "pair-apart",
    severity="warning",
    noun="utterance",
    topic="clips",
    what="a video without sound and a sound of the same name are two utterances",
    means="no row has both streams, so that fusion is fitted on halves: name the sound in the video's row, in a "
    "column sound, as `manifest folder` does.",
)


@examines(PAIR_APART)
def pair_apart(corpus: CheckedCorpus) -> list[Finding]:
    """Find videos without sound whose sound, by its name, is an utterance of its own."""
    whole = {fact.utterance.path: fact for fact in corpus.readable if len(fact.utterance.files) == 1}
    halves = [path for path, fact in whole.items() if fact.probe and not (fact.probe.audio and fact.probe.video)]
    cases, across = [], 0
    for video, sound in pair(halves).sound_of.items():
        if (probe := whole[video].probe) is None or probe.video is None:  # sound under the suffix of a video
            continue
        one, other = whole[video].utterance, whole[sound].utterance
        across += one.split != other.split
        cases.append(Case(one.id, f"{sound} is {other.id} of {other.split}"))
    return PAIR_APART.found(cases, f"{across} of them in two splits" if across else "")


@check(
    "silent",
    severity="warning",
    noun="utterance",
    topic="clips",
    what="silent throughout",
    means="its audio features describe silence: they are noise in every score.",
)
def silent(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find clips that are silent throughout."""
    for fact, loudness in _heard(corpus):
        peak_dbfs = 20 * math.log10(loudness.peak) if loudness.peak > 0 else -math.inf
        if peak_dbfs < corpus.limits.silent_dbfs:
            level = "every sample is 0" if loudness.peak == 0 else f"peak {peak_dbfs:.0f} dB of full scale"
            yield Case(fact.utterance.id, level)


@check(
    "odd-channels",
    severity="warning",
    noun="utterance",
    topic="clips",
    what="channels of its sound cancel, or one is silent beside the others",
    means="extract takes what is heard, and the cache says so: listen, and ask how it was recorded.",
)
def odd_channels(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find clips whose channels cancel, or of which one is silent beside the others."""
    from dualstream.features.media.mixing import NOTE

    for fact, loudness in _heard(corpus):
        for note in loudness.notes:
            if note.startswith(NOTE):
                yield Case(fact.utterance.id, note.removeprefix(NOTE))


@check(
    "clipped",
    severity="warning",
    noun="utterance",
    topic="clips",
    what="the sound is clipped",
    means="its loudest parts are distorted: audio features are doubtful.",
)
def clipped(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find clips with many samples at full scale."""
    for fact, loudness in _heard(corpus):
        if loudness.clipped_share >= corpus.limits.clipped_share:
            yield Case(fact.utterance.id, f"{loudness.clipped_share:.1%} of the samples at full scale")


@check(
    "damaged",
    severity="warning",
    noun="utterance",
    topic="clips",
    what="parts of it can't be decoded",
    means="features come from what can be; the cache says so with its reason.",
)
def damaged(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find clips of which parts can't be decoded, by their packets or else by their sound."""

    def reason(probe: Probe, fact: Facts) -> str | None:
        if probe.warnings:
            return "; ".join(probe.warnings)
        if fact.loudness is not None and fact.loudness.errors:
            return "; ".join(fact.loudness.notes) or f"{fact.loudness.errors} errors while decoding"
        return None

    return _where(corpus, reason)


@check(
    "too-short",
    severity="warning",
    noun="utterance",
    topic="clips",
    what="hardly any length",
    means="one window, mostly padding: next to no emotion to see or hear.",
)
def too_short(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find whole clips with hardly any length."""
    short_s = corpus.limits.short_s
    return _where_whole(corpus, lambda s, fact: f"{s:.3f} s" if s < short_s else None)


@check(
    "too-long",
    severity="warning",
    noun="utterance",
    topic="clips",
    what="very long",
    means="most of its windows are not about the label, and what passes extract's limit is cut off.",
)
def too_long(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find whole clips that are very long."""
    long_s = corpus.limits.long_s
    return _where_whole(corpus, lambda s, fact: f"{s:.1f} s" if s > long_s else None)


@check(
    "desynchronised",
    severity="warning",
    noun="utterance",
    topic="clips",
    what="picture and sound start or end at different times",
    means="extract places both on one clock, and masks the windows that only one of them has.",
)
def desynchronised(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find whole clips whose picture and sound start or end apart."""

    def apart(probe: Probe, fact: Facts) -> str | None:
        video, audio = probe.video, probe.audio
        if video is None or video.still or audio is None or fact.utterance.start_s is not None:
            return None
        start_s, end_s = audio.start_s - video.start_s, audio.end_s - video.end_s
        if max(abs(start_s), abs(end_s)) <= corpus.limits.skew_s:
            return None
        return f"sound starts {_later(start_s)} and ends {_later(end_s)} than the picture"

    return _where(corpus, apart)


@check(
    "length-disagrees",
    severity="warning",
    noun="utterance",
    topic="clips",
    what="its length is not the table's",
    means="it was not cut where the table says: it may hold other words than those labelled.",
)
def length_disagrees(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find whole clips that are not as long as the corpus's table says."""

    def differs(duration_s: float, fact: Facts) -> str | None:
        span = table_span(fact.utterance)
        if span is None or abs(duration_s - (span[1] - span[0])) <= corpus.limits.length_off_s:
            return None
        return f"{duration_s:.3f} s, by the table {span[1] - span[0]:.3f} s"

    return _where_whole(corpus, differs)


def _where(corpus: CheckedCorpus, detail: Callable[[Probe, Facts], str | None]) -> Iterator[Case]:
    """Yield a case for each readable clip of which `detail` returns a text, be it empty."""
    for fact in corpus.readable:
        assert fact.probe is not None
        text = detail(fact.probe, fact)
        if text is not None:
            yield Case(fact.utterance.id, text)


def _where_whole(corpus: CheckedCorpus, detail: Callable[[float, Facts], str | None]) -> Iterator[Case]:
    """Likewise, for rows that are a whole file; `detail` gets the file's length, seconds."""
    return _where(
        corpus, lambda probe, fact: detail(probe.duration_s, fact) if fact.utterance.end_s is None else None
    )


def _heard(corpus: CheckedCorpus) -> Iterator[tuple[Facts, Loudness]]:
    """Yield the readable clips whose sound was decoded, with how loud it is."""
    for fact in corpus.readable:
        if fact.loudness is not None and not math.isnan(fact.loudness.peak):
            yield fact, fact.loudness


def _later(seconds: float) -> str:
    return f"{abs(seconds):.2f} s {'later' if seconds >= 0 else 'earlier'}"
