"""Labels, speakers and dialogues: what is missing, odd or rare, by the manifest alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from dualstream.pipeline.corpus.checks.findings import Case, Finding, Rule
from dualstream.pipeline.corpus.checks.registry import CheckedCorpus, check, examines
from dualstream.pipeline.corpus.checks.tasks import TASKS, label_of
from dualstream.pipeline.corpus.labels import canonical_emotion, sentiment_of
from dualstream.pipeline.corpus.utterance import SPLITS, Utterance

from dualstream.counting import counted


@check(
    "split-missing",
    severity="warning",
    noun="split",
    topic="labels",
    what="the split is empty",
    means="without dev nothing can be chosen, without test nothing is scored: split by speaker, or "
    "cross-validate.",
)
def split_missing(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find empty splits."""
    return (Case(split) for split in SPLITS if split not in _splits(corpus))


@check(
    "unlabelled",
    severity="note",
    noun="task",
    topic="labels",
    what="no utterance has a label",
    means="features can be extracted; no head can be fitted.",
)
def unlabelled(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find tasks without a single label."""
    return (Case(task) for task in TASKS if not _names(corpus, task))


@check(
    "label-missing",
    severity="warning",
    noun="utterance",
    topic="labels",
    what="no label, while others have one",
    means="extracted, but neither trained on nor scored.",
)
def label_missing(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find utterances without a label where others have one."""
    for task in TASKS:
        if _names(corpus, task):
            yield from (Case(u.id, f"no {task}") for u in corpus.manifest if not label_of(u, task))


@check(
    "sentiment-contradicts",
    severity="warning",
    noun="utterance",
    topic="labels",
    what="the sentiment contradicts the emotion",
    means="one of the two is wrong, or irony is meant; both heads learn from it.",
)
def sentiment_contradicts(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find utterances of a positive emotion and a negative sentiment, or the other way round."""
    for u in _labelled_twice(corpus):
        if {sentiment_of(u.emotion), u.sentiment} == {"positive", "negative"}:
            yield Case(u.id, f"{u.emotion}, {u.sentiment}")


@check(
    "label-spelling",
    severity="warning",
    noun="label",
    topic="labels",
    what="a second spelling of a known label",
    means="it counts as a class of its own: write it as the other is written.",
)
def label_spelling(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find labels that are another spelling of a known one."""
    for task in TASKS:
        names = _names(corpus, task)
        for name in sorted(names):
            if (plain := _known_spelling(name, names, task)) is not None:
                yield Case(name, f"{counted(names[name], 'row')}; {plain} is the usual {task}")


@check(
    "label-foreign",
    severity="note",
    noun="label",
    topic="labels",
    what="a label that MELD does not have",
    means="heads fitted on MELD can't predict it, and scores don't compare with MELD's.",
)
def label_foreign(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find labels that MELD has in no spelling."""
    for task, known in TASKS.items():
        names = _names(corpus, task)
        for name in sorted(names):
            if name not in known and _known_spelling(name, names, task) is None:
                yield Case(name, f"{counted(names[name], 'row')}, {task}")


@check(
    "class-untrained",
    severity="error",
    noun="class",
    topic="labels",
    what="in dev or test, but not in train",
    means="no head can ever predict it: its recall is 0.",
)
def class_untrained(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find classes that train lacks, where there is a train split."""
    for task, name, counts in _classes(corpus):
        if "train" in counts and not counts["train"]:
            yield Case(name, task)


@check(
    "class-alone",
    severity="warning",
    noun="class",
    topic="labels",
    what="the one class that train has for a task",
    means="there is nothing to tell apart: every head answers it, and is right wherever nothing else is scored.",
)
def class_alone(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find tasks of which train has one class."""
    for task in TASKS:
        learned = {label_of(u, task) for u in corpus.manifest if u.split == "train"} - {""}
        if len(learned) == 1:
            yield Case(next(iter(learned)), task)


@check(
    "class-unscored",
    severity="warning",
    noun="class",
    topic="labels",
    what="in train, but not in dev or test",
    means="nothing is known of how well it is recognised.",
)
def class_unscored(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find classes of train that dev or test lack."""
    for task, name, counts in _classes(corpus):
        lacking = [split for split, count in counts.items() if split != "train" and not count]
        if lacking and counts.get("train"):
            yield Case(name, f"{task}, none in {' and '.join(lacking)}")


@check(
    "class-rare",
    severity="warning",
    noun="class",
    topic="labels",
    what="very few utterances in a split",
    means="its recall moves in large steps, and macro scores with it: mind the intervals.",
)
def class_rare(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find classes with few utterances in a split."""
    limits = corpus.limits
    for task, name, counts in _classes(corpus):
        for split, count in counts.items():
            if 0 < count < (limits.rare_train if split == "train" else limits.rare_scored):
                yield Case(name, f"{counted(count, 'row')} of {split}, {task}")


SENTIMENT_FOLLOWS = Rule(
    "sentiment-follows",
    severity="note",
    noun="emotion",
    topic="labels",
    what="one and the same sentiment wherever this emotion stands",
    means="here the sentiment task repeats the emotion task: good scores on both are one piece of evidence.",
)


@examines(SENTIMENT_FOLLOWS)
def sentiment_follows(corpus: CheckedCorpus) -> list[Finding]:
    """Find emotions that settle the sentiment."""
    both = _labelled_twice(corpus)
    sentiments: dict[str, set[str]] = defaultdict(set)
    for utterance in both:
        sentiments[utterance.emotion].add(utterance.sentiment)
    settled = {emotion: next(iter(some)) for emotion, some in sentiments.items() if len(some) == 1}
    rows = sum(u.emotion in settled for u in both)
    note = f"{rows} of the {counted(len(both), 'row')} with both labels"
    return SENTIMENT_FOLLOWS.found((Case(e, f"always {s}") for e, s in sorted(settled.items())), note)


@check(
    "speaker-unknown",
    severity="note",
    noun="utterance",
    topic="labels",
    what="no speaker named",
    means="shared speakers can't be seen, and speaker normalisation can't be done.",
)
def speaker_unknown(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find utterances without a speaker."""
    return (Case(u.id) for u in corpus.manifest if not u.speaker)


@check(
    "dialogue-unknown",
    severity="note",
    noun="utterance",
    topic="labels",
    what="no dialogue named",
    means="intervals resample speakers or single utterances; context variants see no context.",
)
def dialogue_unknown(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find utterances without a dialogue."""
    return (Case(u.id) for u in corpus.manifest if not u.dialogue)


def _splits(corpus: CheckedCorpus) -> list[str]:
    """Return the splits that are not empty, in order."""
    held = {u.split for u in corpus.manifest}
    return [split for split in SPLITS if split in held]


def _names(corpus: CheckedCorpus, task: str) -> Counter[str]:
    """Return how often each label of a task occurs."""
    return Counter(name for u in corpus.manifest if (name := label_of(u, task)))


def _known_spelling(name: str, names: Counter[str], task: str) -> str | None:
    """Return how a label is usually written, if otherwise, by MELD or by the corpus itself."""
    plain = canonical_emotion(name) if task == "emotion" else name.lower()
    return plain if name != plain and (plain in TASKS[task] or plain in names) else None


def _classes(corpus: CheckedCorpus) -> Iterator[tuple[str, str, dict[str, int]]]:
    """Yield task, class and its count in each split that is not empty."""
    for task in TASKS:
        counts = {
            split: Counter(label_of(u, task) for u in corpus.manifest if u.split == split)
            for split in _splits(corpus)
        }
        for name in sorted({name for some in counts.values() for name in some} - {""}):
            yield task, name, {split: some[name] for split, some in counts.items()}


def _labelled_twice(corpus: CheckedCorpus) -> list[Utterance]:
    return [u for u in corpus.manifest if u.emotion and u.sentiment]
