"""The catalogue of faults: what each is called, how grave it is, and what it means for the results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Kind:
    """One kind of fault."""

    severity: Severity
    """``error``: a clip can't be used or a score would be wrong; ``warning``: look before you trust; ``note``."""
    noun: str
    """What a case of it is, in the singular."""
    what: str
    """The fault in a few words."""
    means: str
    """What it means for the results, in a sentence."""


ANSWERED = "the prior answers for it in every score (`--scored present` leaves it out)."


def _rows(severity: Severity, noun: str, *faults: tuple[str, str, str]) -> dict[str, Kind]:
    return {code: Kind(severity, noun, what, means) for code, what, means in faults}


FILES = {
    **_rows(
        "error",
        "utterance",
        ("missing", "no file at the path", f"extract records it as failed; {ANSWERED}"),
        (
            "escapes-root",
            "the path leads out of the data root through a link",
            "extract refuses it: put the file itself below the root, or name the real folder as the root.",
        ),
        (
            "unreadable",
            "the file can't be read as a clip",
            f"extract records it as failed, with this reason; {ANSWERED}",
        ),
        (
            "span-beyond-end",
            "the span ends after its file does",
            "less is decoded than the table says, or nothing.",
        ),
    ),
    **_rows(
        "note",
        "file",
        (
            "extra-file",
            "a clip that no row names",
            "nothing reads it; its row may be missing.",
        ),
        (
            "hidden-file",
            "a hidden twin such as ._name.mp4",
            "nothing reads it: archives from a Mac hold them.",
        ),
    ),
}

TWICE = {
    **_rows(
        "error",
        "utterance",
        (
            "duplicate-across-splits",
            "its file's very bytes stand in another split too",
            "what is scored was trained on: scores are too high.",
        ),
        (
            "span-across-splits",
            "the same stretch of the same recording stands in another split too",
            "what is scored was trained on: scores are too high.",
        ),
        (
            "overlap-across-splits",
            "at least half of it overlaps a stretch in another split",
            "much of what is scored was trained on: scores are too high.",
        ),
    ),
    **_rows(
        "warning",
        "utterance",
        (
            "duplicate",
            "its file's very bytes stand in its split already",
            "it weighs double, and where the labels differ one is wrong.",
        ),
        (
            "span-repeated",
            "the same stretch of the same recording stands in its split already",
            "it weighs double, and where the labels differ no model can be right on both.",
        ),
        (
            "same-line",
            "the same speaker says the same words in train",
            "short stock phrases mostly; a model that knows them by heart gains on these.",
        ),
    ),
    **_rows(
        "note",
        "utterance",
        (
            "overlap-within-split",
            "at least half of it overlaps another utterance of its split",
            "both show the same picture and sound; where the labels differ, no model can be right on both.",
        ),
    ),
    **_rows(
        "error",
        "dialogue",
        (
            "shared-dialogue",
            "the dialogue stands in several splits",
            "utterances of one conversation are alike: scores are too high.",
        ),
    ),
    **_rows(
        "warning",
        "episode",
        (
            "shared-episode",
            "an episode of test or dev that train has too",
            "rooms, clothes and sound mix are known from training: expect less on new episodes.",
        ),
    ),
    **_rows(
        "warning",
        "speaker",
        (
            "shared-speaker",
            "a speaker of test or dev whom train has too",
            "scores tell how well known speakers are recognised, not new ones.",
        ),
    ),
}

LABELS = {
    **_rows(
        "warning",
        "split",
        (
            "split-missing",
            "the split is empty",
            "without dev nothing can be chosen, without test nothing is scored: split by speaker, "
            "or cross-validate.",
        ),
    ),
    **_rows(
        "note",
        "task",
        ("unlabelled", "no utterance has a label", "features can be extracted; no head can be fitted."),
    ),
    **_rows(
        "warning",
        "utterance",
        (
            "label-missing",
            "no label, while others have one",
            "extracted, but neither trained on nor scored.",
        ),
        (
            "sentiment-contradicts",
            "the sentiment contradicts the emotion",
            "one of the two is wrong, or irony is meant; both heads learn from it.",
        ),
    ),
    **_rows(
        "warning",
        "label",
        (
            "label-spelling",
            "a second spelling of a known label",
            "it counts as a class of its own: write it as the other is written.",
        ),
    ),
    **_rows(
        "note",
        "label",
        (
            "label-foreign",
            "a label that MELD does not have",
            "heads fitted on MELD can't predict it, and scores don't compare with MELD's.",
        ),
    ),
    **_rows(
        "error",
        "class",
        ("class-untrained", "in dev or test, but not in train", "no head can ever predict it: its recall is 0."),
    ),
    **_rows(
        "warning",
        "class",
        ("class-unscored", "in train, but not in dev or test", "nothing is known of how well it is recognised."),
        (
            "class-rare",
            "very few utterances in a split",
            "its recall moves in large steps, and macro scores with it: mind the intervals.",
        ),
    ),
    **_rows(
        "note",
        "emotion",
        (
            "sentiment-follows",
            "one and the same sentiment wherever this emotion stands",
            "here the sentiment task repeats the emotion task: good scores on both are one piece of evidence.",
        ),
    ),
    **_rows(
        "note",
        "utterance",
        (
            "speaker-unknown",
            "no speaker named",
            "shared speakers can't be seen, and speaker normalisation can't be done.",
        ),
        (
            "dialogue-unknown",
            "no dialogue named",
            "intervals resample speakers or single utterances; context variants see no context.",
        ),
    ),
}

TIMES = {
    **_rows(
        "warning",
        "dialogue",
        (
            "turn-repeated",
            "a turn stands twice",
            "its order is not known: context may be wrong.",
        ),
    ),
    **_rows(
        "note",
        "dialogue",
        (
            "turn-gap",
            "turns are left out",
            "the utterance before is not always the one that was answered: context variants see a gap.",
        ),
        (
            "time-backwards",
            "a later turn begins earlier in the recording",
            "turns are out of order or times are wrong: the clip may not hold the words that were labelled.",
        ),
    ),
    **_rows(
        "warning",
        "utterance",
        (
            "table-time-invalid",
            "times that can't be read, or an end before its start",
            "its length and what it overlaps could not be judged.",
        ),
        (
            "table-too-short",
            "hardly any length by its table",
            "too little to see or hear an emotion in: it is noise in every score.",
        ),
        (
            "table-too-long",
            "very long by its table",
            "the end is probably wrong: the clip then holds far more than what was labelled.",
        ),
    ),
}

MELD = {
    **_rows(
        "error",
        "utterance",
        ("meld-unreadable", "MELD's clip that can't be opened", f"it has no index (moov atom); {ANSWERED}"),
        ("meld-absent", "MELD's row without a clip", f"MELD.Raw does not hold it; {ANSWERED}"),
    ),
    **_rows(
        "warning",
        "utterance",
        (
            "meld-wrong-time",
            "MELD's row with a wrong time",
            "the clip holds minutes of other talk, or next to nothing: features say little about the label.",
        ),
        (
            "meld-twin",
            "MELD holds a second cut of the clip, final_videos_test…",
            "which cut is right is disputed; the manifest names the plain one, others may have used the twin.",
        ),
        (
            "meld-distorted",
            "MELD's train clip over 2.5 MB",
            "about 200 clips of that size have distorted sound: its audio features are doubtful.",
        ),
    ),
    **_rows(
        "note",
        "dialogue",
        ("meld-missing-dialogue", "a number that MELD leaves out", "nothing is lost: no table has it."),
    ),
    **_rows(
        "note",
        "file",
        ("meld-unlabelled-clip", "MELD's clip without a row", "nothing reads it: no table labels it."),
    ),
}

CLIPS = {
    **_rows(
        "note",
        "utterance",
        ("no-sound", "no sound", "its audio stream is masked: variants that need sound see none."),
        ("no-picture", "no moving picture", "its video stream is masked: variants that need a picture see none."),
        (
            "two-sounds",
            "the video file holds sound beside the sound's own file",
            "the file named as sound is what is heard; the video file's own is not used.",
        ),
        ("still-picture", "one picture throughout", "every window shows the same: motion tells nothing."),
        (
            "multichannel",
            "more than two channels of sound",
            "the channel policy matters: auto takes the centre, where speech is; a mix drowns it in music.",
        ),
        (
            "narrow-band",
            "sound sampled below 16 kHz",
            "its high bands are empty: features tell its origin as well as its emotion.",
        ),
    ),
    **_rows(
        "warning",
        "utterance",
        (
            "pair-apart",
            "a video without sound and a sound of the same name are two utterances",
            "no row has both streams, so that fusion is fitted on halves: name the sound in the video's row, in a "
            "column sound, as `manifest folder` does.",
        ),
        ("silent", "silent throughout", "its audio features describe silence: they are noise in every score."),
        (
            "odd-channels",
            "channels of its sound cancel, or one is silent beside the others",
            "extract takes what is heard, and the cache says so: listen, and ask how it was recorded.",
        ),
        ("clipped", "the sound is clipped", "its loudest parts are distorted: audio features are doubtful."),
        (
            "damaged",
            "parts of it can't be decoded",
            "features come from what can be; the cache says so with its reason.",
        ),
        ("too-short", "hardly any length", "one window, mostly padding: next to no emotion to see or hear."),
        (
            "too-long",
            "very long",
            "most of its windows are not about the label, and what passes extract's limit is cut off.",
        ),
        (
            "desynchronised",
            "picture and sound start or end at different times",
            "extract places both on one clock, and masks the windows that only one of them has.",
        ),
        (
            "length-disagrees",
            "its length is not the table's",
            "it was not cut where the table says: it may hold other words than those labelled.",
        ),
    ),
}

CATALOGUE: dict[str, Kind] = {**FILES, **TWICE, **LABELS, **TIMES, **MELD, **CLIPS}
