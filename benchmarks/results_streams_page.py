"""Tables of docs/results.md on encoders of today and on more than two streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from results_page import interval, p_value, signed, table
from results_streams import FACE_WHISPER, JOINED, WHISPER

Document = dict[str, Any]

GOALS = (
    ("EMO-DB, whisper", "emodb_whisper", (f"linear:{WHISPER}",), 0.86),
    (
        "RAVDESS, whisper and action units",
        "ravdess_whisper",
        tuple(f"{one}:{FACE_WHISPER}" for one in JOINED),
        0.81,
    ),
    ("RAVDESS, three streams", "ravdess_whisper", (*JOINED, "auto"), 0.84),
    ("RAVDESS, three streams, speaker-normalised", "ravdess_whisper_norm", (*JOINED, "auto"), 0.91),
)
"""What was aimed at before it was measured: what, part, variants, UAR."""
_LUNA = "[Luna-Jiménez et al. 2022](https://doi.org/10.3390/app12010327), Applied Sciences 12(1)"
_EMOBOX = (
    "[Ma et al. 2024](https://arxiv.org/abs/2406.07162), Interspeech (EmoBox); the table per corpus of its "
    "[leaderboard](https://emo-box.github.io/leaderboard1.html)"
)
_QWEN = (
    "[Chu et al. 2023](https://arxiv.org/abs/2311.07919), Qwen-Audio; *Speech Emotion Recognition* of its README"
)
_MMT = "[Zheng et al. 2023](https://aclanthology.org/2023.acl-long.861), ACL (FacialMMT)"
ANCHORS = (
    ("RAVDESS, 8 classes, unseen actors", "xlsr-wav2vec2 fine-tuned, with action units", "86.7 % accuracy",
     "8 classes and 24 actors, fine-tuned; here 7 classes, 16 actors, frozen",
     f"{_LUNA}; *Results Fusion* of its repository's README"),
    ("RAVDESS, 8 classes, unseen actors", "Whisper large v3, frozen", "75.3 % UAR, 75.9 % accuracy",
     "80 times the weights of whisper-tiny.en; 8 classes, 24 actors in six folds; sound only", _EMOBOX),
    ("EMO-DB", "best of EmoBox: WavLM large, frozen", "92.6 % UAR, 92.7 % accuracy",
     "**does not compare**: every speaker is in train and test (its own lists of fold 1)", _EMOBOX),
    ("MELD, audio", "WavLM large, fine-tuned", "54.2 % accuracy", "fine-tuned on MELD, as the project's notes say",
     f"{_QWEN}, which does not say how WavLM was used"),
    ("MELD, audio", "Qwen-Audio", "55.7 % accuracy", "a language model: wording counts", _QWEN),
    ("MELD, audio", "Whisper large v3, frozen", "51.9 % accuracy", "frozen, as here", _EMOBOX),
    ("MELD, video", "FacialMMT: the real speaker's face", "weighted F1 36.5",
     "scored on test; action units here on dev", f"{_MMT}; *visual emotion recognition* of its README (36.53)"),
    ("MELD, video", "the same on any face; on the one that sound chooses", "weighted F1 32.3; 34.4", "as above",
     f"{_MMT}; as reported in the project's notes, source not opened"),
    ("MELD", "always neutral", "weighted F1 31.27",
     "no model: a published video row of 31.26 is this line", "computed from the annotations"),
)  # fmt: skip
"""Published: corpus, method, figure, what stands in the way of comparing, and where it stands."""


def tables(document: Document) -> dict[str, Callable[[], str]]:
    """Return what draws each table whose figures are there."""
    made: dict[str, Callable[[], str]] = {"anchors": anchors}
    for name in ("emodb_whisper", "emodb_whisper_norm", "ravdess_whisper", "ravdess_whisper_norm", "cremad_votes"):
        if name in document:
            made[name] = lambda name=name: compared(document[name])
            made[f"pairs {name}"] = lambda name=name: pairs(document[name]["pairs"])
            made[f"gains {name}"] = lambda name=name: gains(document[name]["stream_gains"])
    if {part for _, part, _, _ in GOALS} <= set(document):
        made["goals"] = lambda: goals(document)
    if "unprojected" in document:
        made["unprojected"] = lambda: unprojected(document)
    if "layers" in document:
        made["layers"] = lambda: layers(document["layers"])
    if "meld_face" in document:
        made["meld_face"] = lambda: meld_face(document["meld_face"])
    return {name: draw for name, draw in made.items() if not document["made"]["quick"] or _quick(name)}


def _quick(name: str) -> bool:
    """Return whether a quick page, which draws every table under its name, has this one."""
    return name in ("emodb_whisper", "emodb_whisper_norm", "ravdess_whisper", "ravdess_whisper_norm")


def values(document: Document) -> dict[str, str]:
    """Return what the prose names beside the figures of comparisons."""
    if "meld_face" not in document:
        return {}
    return {f"meld_face.{name}": str(count) for name, count in document["meld_face"]["removed"].items()}


def compared(document: Document) -> str:
    """Draw one comparison by emotion: each row's score, and its difference to the best single stream."""
    tests = {test["variant"]: test for test in document["tests"]}
    lines = []
    for row in _done(document):
        score, test = row["emotion"]["balanced_accuracy"], tests.get(row["variant"])
        lines.append(
            (
                f"`{row['variant']}`",
                interval(score["mean"], *score["interval"]),
                f"{row['emotion']['weighted_f1']['mean']:.3f}",
                f"{row['emotion']['calibrated_log_loss']['mean']:.2f}",
                "" if test is None else signed(test["difference"], *test["interval"]),
                "" if test is None else p_value(test["p_holm"]),
                f"{row['fit_s']:.0f}",
            )
        )
    line = document["majority"]["emotion"]
    lines.append(
        (f"always {line['name']}", f"{line['balanced_accuracy']:.3f}", f"{line['weighted_f1']:.3f}", *[""] * 4)
    )
    name = "variant (transductive)" if document["speaker_norm"] else "variant"
    over = f"over `{document['best_single']}` [95 %]"
    return table((name, "UAR [95 %]", "weighted F1", "calibrated log loss", over, "corrected p", "fit, s"), lines)


def pairs(rows: Sequence[Document]) -> str:
    """Draw variants held against each other on the same utterances."""
    return _differences(rows, ("variant", "against"), ("variant", "less", "UAR [95 %]"))


def gains(rows: Sequence[Document]) -> str:
    """Draw what each stream adds to the others."""
    return _differences(rows, ("stream", "without"), ("stream", "without it", "it adds, UAR [95 %]"))


def _differences(rows: Sequence[Document], names: Sequence[str], head: Sequence[str]) -> str:
    lines = [
        (
            *(f"`{row[name]}`" for name in names),
            signed(row["difference"], *row["interval"]),
            p_value(row["p_holm"]),
        )
        for row in rows
    ]
    return table((*head, "corrected p"), lines)


def goals(document: Document) -> str:
    """Draw what was aimed at beside what came out, every fusion by its name."""
    lines = []
    for what, part, variants, goal in GOALS:
        rows = {row["variant"]: row["emotion"]["balanced_accuracy"] for row in _done(document[part])}
        for name in variants:
            score = rows[name]
            ahead = score["mean"] - goal
            verdict = "reached" if ahead >= 0 else f"missed by {-ahead:.4f}"
            lines.append((what, f"`{name}`", f"{goal:.2f}", interval(score["mean"], *score["interval"]), verdict))
    return table(("what", "variant", "goal", "UAR [95 %]", ""), lines)


def unprojected(document: Document) -> str:
    """Draw whisper's rows projected to 192 columns beside all 384, as they are and speaker-normalised."""
    kinds = (document["ravdess_whisper"], document["unprojected"]["as_is"],
             document["ravdess_whisper_norm"], document["unprojected"]["norm"])  # fmt: skip
    scores = [{row["variant"]: row["emotion"]["balanced_accuracy"] for row in _done(one)} for one in kinds]
    names = (f"linear:{WHISPER}", *(f"{one}:{FACE_WHISPER}" for one in JOINED), *JOINED)
    lines = [
        (f"`{name}`", *(interval(one[name]["mean"], *one[name]["interval"]) for one in scores)) for name in names
    ]
    head = ("variant", "192 columns", "384 columns", "192, transductive", "384, transductive")
    return table(head, lines)


def layers(found: Document) -> str:
    """Draw the ways to read a network's layers, on both corpora, each less the best single layer."""
    both = (found["emodb"], found["ravdess"])
    lines = []
    for how in both[0]["uar"]:
        cells: list[str] = []
        for one in both:
            less = one["over_best_single"].get(how)
            cells += [interval(*_shares(one["uar"][how])), "" if less is None else signed(*_shares(less))]
        lines.append((how, *cells))
    less = "less best single layer [95 %]"
    return table(("how", "EMO-DB, UAR [95 %]", less, "RAVDESS, UAR [95 %]", less), lines)


def meld_face(found: Document) -> str:
    """Draw MELD's dev by action units, as found and cleaned, with the majority line."""
    lines = []
    for kind, what in (("as_found", "as found"), ("clean", "without broken and empty rows")):
        for row in _done(found[kind]):
            scores = row["emotion"]
            cells = (interval(scores[one]["mean"], *scores[one]["interval"]) for one in _MELD)
            lines.append((what, f"`{row['variant']}`", *cells))
    line = found["as_found"]["majority"]["emotion"]
    lines.append(("", f"always {line['name']}", *(f"{line[one]:.3f}" for one in _MELD)))
    return table(("rows", "variant", "weighted F1 [95 %]", "UAR [95 %]"), lines)


_MELD = ("weighted_f1", "balanced_accuracy")


def anchors() -> str:
    """Draw what others published, and what keeps it from being compared."""
    return table(("corpus", "method", "published", "what differs", "source"), ANCHORS)


def _shares(per_cent: Sequence[float]) -> tuple[float, float, float]:
    mean, low, high = (one / 100 for one in per_cent)
    return mean, low, high


def _done(document: Document) -> list[Document]:
    return [row for row in document["rows"] if row["status"] == "done"]
