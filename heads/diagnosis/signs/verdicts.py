"""What the signs come to: which of them are beyond doubt and worth naming, at any size of the corpus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dualstream.heads.diagnosis.signs.class_profiles import ClassGroups
from dualstream.heads.diagnosis.signs.confusions import Confusions
from dualstream.heads.diagnosis.signs.copies import Copies
from dualstream.heads.diagnosis.signs.fills import Fill
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.joins import LABELS, Join
from dualstream.heads.diagnosis.signs.kinds import TwoKinds
from dualstream.heads.diagnosis.signs.noisy_groups import NoisyGroup
from dualstream.heads.diagnosis.signs.renumbered import Renumbered
from dualstream.heads.diagnosis.signs.same_speakers import SamePerson
from dualstream.heads.diagnosis.signs.wrong_codes import ALL, WrongCodes

COPIED = 0.01  # of a stream's rows
FILLED = 0.02
FEW = 4  # rows: fewer say nothing, however few there are in all
OF_ONE_SPEAKER = 0.8  # of a speaker's rows, copies of another's: the whole speaker was joined wrong
HALF = 0.5  # of the rate that one stream tells, below which another stream contradicts it
UNKNOWN = 0.2  # of the utterances, whose speaker isn't known
ONE_CLASS = 0.9  # of the utterances, whose speaker's name tells the class
SHARED = 0.1  # of the dev utterances
SEVERAL = 5  # names; fewer may be of another field, which rows tell as well
OF_NAMES = 0.5  # of the way from chance to certainty that a probe gets with the named speakers: they have voices
SHOWN = 5


@dataclass(frozen=True)
class Doubles:
    """Utterances that stand twice, in all streams or in one alone."""

    streams: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    exact: bool
    """Whether most pairs are equal in every value."""
    share: float
    """Of the rows, the later of each pair."""


def doubles(signs: Signs) -> tuple[Doubles, ...]:
    """Return the copies that are too many to be chance: those of all streams at once, and those of one alone."""
    if not signs.copies:
        return ()
    filled = {(fill.stream, place) for fill in signs.fills for place in fill.utterances}
    known = {one.stream: {p for p in one.pairs if (one.stream, p[1]) not in filled} for one in signs.copies}
    asked = [one for one in signs.copies if one.rows and not one.few_values]
    if not asked:
        return ()
    for join in signs.joins:
        if join.kind == "order" and join.moved in known:
            known[join.moved] -= _of_a_batch(known[join.moved], join.source)
    common = set.intersection(*(known[one.stream] for one in asked)) if len(asked) > 1 else set()
    found = []
    exact = {one.stream: one.exact for one in asked}
    if common:
        found.append(_doubles(tuple(one.stream for one in asked), common, asked[0], exact))
    for one in asked:
        alone = known[one.stream] - common
        # a pair of rows that another stream holds in other pairs of the same utterances stands twice there too
        if alone:
            found.append(_doubles((one.stream,), alone, one, exact))
    return tuple(one for one in found if len(one.pairs) >= FEW and one.share > COPIED)


def _of_a_batch(pairs: set[tuple[int, int]], source: tuple[int, ...]) -> set[tuple[int, int]]:
    """Return the pairs of a batch that stands twice, behind which a join moves rows back by as many as it has."""
    return {(a, b) for a, b in pairs if source and source[a] in (a, b) and source[b] - b == b - a}


def _doubles(streams: tuple[str, ...], pairs: set[tuple[int, int]], one: Copies, exact: dict[str, int]) -> Doubles:
    later = {pair[1] for pair in pairs}
    return Doubles(
        streams, tuple(sorted(pairs)), exact[one.stream] >= 0.5 * len(one.pairs), len(later) / max(1, one.rows)
    )


def across_splits(signs: Signs, one: Doubles) -> tuple[tuple[int, int], ...]:
    """Return the pairs of which one utterance is in train and the other in dev."""
    return tuple(pair for pair in one.pairs if signs.dev[pair[0]] != signs.dev[pair[1]])


def across_speakers(signs: Signs, one: Doubles) -> tuple[tuple[int, int], ...]:
    """Return the pairs of two speakers."""
    return tuple(pair for pair in one.pairs if signs.speaker[pair[0]] != signs.speaker[pair[1]])


@dataclass(frozen=True)
class Borrowed:
    """A speaker whose rows in one stream are those of another speaker."""

    stream: str
    speaker: int
    of: int
    """The other speaker with the same rows."""
    utterances: tuple[int, ...]


def borrowed(signs: Signs) -> tuple[Borrowed, ...]:
    """Return the speakers whose rows of one stream are copies of another speaker's."""
    found = []
    for one in doubles(signs):
        if len(one.streams) > 1 or len(signs.streams) < 2:
            continue
        by_speakers: dict[tuple[int, int], list[int]] = {}
        for a, b in across_speakers(signs, one):
            by_speakers.setdefault((signs.speaker[a], signs.speaker[b]), []).append(b)
        for (of, speaker), utterances in by_speakers.items():
            if speaker >= 0 and len(utterances) >= OF_ONE_SPEAKER * signs.speaker.count(speaker):
                found.append(Borrowed(one.streams[0], speaker, of, tuple(utterances)))
    return tuple(found)


def foreign(signs: Signs) -> tuple[WrongCodes, ...]:
    """Return of each stream whose rows belong to other utterances, in part, the probe that tells it best.

    The stream disagrees with the speakers' names (or the labels) and another stream, which tells them as well,
    does not.
    """
    found = []
    others_of_kind = {one.stream for one in two_makes(signs)}  # told wrong where they belong
    others_of_kind |= {one.stream for one in signs.batches} | {one.stream for one in signs.smoothed}
    for stream in signs.streams:
        if stream in others_of_kind:
            continue
        for what in ("speaker", "label"):
            mine = signs.asked(what, stream)
            others = [signs.asked(what, name) for name in signs.streams if name != stream]
            if mine is None or not mine.found:
                continue
            if what == "label" and any(one.stream == stream for one in signs.vouched):
                continue  # its rows go with those of another stream: the labels are wrong
            limit = HALF * mine.drawn
            if any(one is not None and one.told and one.interval[1] < limit for one in others):
                found.append(mine)
                break
    return tuple(found)


def misnamed(signs: Signs) -> WrongCodes | None:
    """Return what the probe of all streams says of speakers' names where every stream disagrees with a share."""
    return _of_all(signs, "speaker")


def noise(signs: Signs) -> WrongCodes | None:
    """Return what the probe of all streams says of labels where no stream contradicts it."""
    return _of_all(signs, "label")


def _of_all(signs: Signs, what: str) -> WrongCodes | None:
    streams = [signs.asked(what, name) for name in signs.streams]
    whole = signs.asked(what, ALL) if len(signs.streams) > 1 else streams[0] if streams else None
    if whole is None or not whole.found or foreign(signs):
        return None
    told = [one for one in streams if one is not None and one.told]
    return None if any(one.interval[1] < HALF * whole.drawn for one in told) else whole


def two_makes(signs: Signs) -> list[TwoKinds]:
    """Return the streams of two kinds of rows, but for what rows in another order explain.

    How columns go together is looked at around the classes' means: rows beside other utterances' labels lie around
    none.
    """
    moved = {one.moved for one in signs.joins if one.kind == "order"}
    return [one for one in signs.kinds if one.likeness is None or one.kind != "kinds" or one.stream not in moved]


def knowing_labels(signs: Signs) -> list[ClassGroups]:
    """Return the streams that know the labels of some speakers, but for rows that another stream puts in order.

    Rows that are sorted by class fall on utterances of their class as far as the table is sorted too.
    """
    moved = {one.moved for one in signs.joins if one.kind == "order" and one.other != LABELS}
    return [one for one in signs.class_groups if one.kind == "known" and one.stream not in moved]


def class_makes(signs: Signs) -> list[ClassGroups]:
    """Return the streams in which some speakers' classes lie otherwise, but for what joins or splits explain."""
    explained = {one.moved for one in moved_rows(signs)}
    explained |= {one.stream for one in signs.split_treatments if one.kind in ("components", "directions")}
    return [one for one in signs.class_groups if one.kind != "known" and one.stream not in explained]


def splits_of_kinds(signs: Signs) -> list[TwoKinds]:
    """Return the streams of which one split's rows are of another kind than the other's."""
    return [one for one in signs.kinds if one.by == "split"]


def moved_rows(signs: Signs) -> list[Join]:
    """Return the joins whose rows stand wrong.

    What other names of the classes explain is no other order: in a table by class, the next class stands some rows
    on, so that a stretch of it looks late.
    """
    knowing = {one.stream for one in knowing_labels(signs)}  # rows late in a table by class look best by labels
    moved = [one for one in signs.joins if one.kind == "order" and one.moved not in knowing]
    if not signs.label_maps:
        return moved
    return [one for one in moved if one.other != LABELS or (" row" in one.best and " from " not in one.best)]


def noisy(signs: Signs) -> tuple[NoisyGroup, ...]:
    """Return the groups whose labels are wrong in part: splits, or else speakers, or else classes."""
    if foreign(signs):
        return ()
    if turned(signs) or splits_of_kinds(signs):
        return ()  # heads of one split can't read the other's labels
    found = signs.noisy_groups
    splits = [one for one in found if one.by == "split"]
    speakers = [one for one in found if one.by == "speaker"]
    if len(splits) == 1 and len(speakers) <= 1 + len({signs.speaker[i] for i in splits[0].utterances}) // 2:
        return tuple(splits)  # all over a split, and not some speakers of it
    if not speakers and not splits and confused(signs) is not None:
        return ()  # which tells of each class what it is called
    return tuple(speakers or splits or found)


def confused(signs: Signs) -> Confusions | None:
    """Return what classes are called where some labels are wrong in any rows; None where none are."""
    found = signs.confusions
    return found if found is not None and found.found and not foreign(signs) else None


def renamed_classes(signs: Signs) -> Confusions | None:
    """Return it where wrong labels of some class bear one name: they weren't drawn at random."""
    found = confused(signs)
    return found if found is not None and found.in_one_way else None


def contradicted(signs: Signs) -> tuple[int, ...]:
    """Return the utterances whose label is wrong, as far as they were found."""
    lost = [place for one in signs.lost_classes for place in one.utterances]
    called, whole = renamed_classes(signs), noise(signs)
    if called is not None and not lost:
        return called.utterances
    if whole is not None:
        return whole.utterances
    groups = [place for one in noisy(signs) for place in one.utterances]
    names = confused(signs)
    return tuple(dict.fromkeys(lost or groups or (names.utterances if names is not None else ())))


def turned(signs: Signs) -> bool:
    """Say whether columns of a stream point in other directions in each split: heads on both fit neither."""
    return any(one.kind in ("components", "directions") for one in signs.split_treatments)


def imputed(signs: Signs) -> tuple[Fill, ...]:
    """Return the rows that were filled in, where they are too many; zeros have a cause of their own.

    Where a stream's other rows stand wrong, rows that repeat the one before are where the joins met it twice.
    """
    moved = {one.moved for one in signs.joins if one.kind == "order"}
    return tuple(
        one
        for one in signs.fills
        if one.kind != "zeros"
        and len(one.utterances) >= FEW
        and len(one.utterances) > FILLED * one.rows
        and not (one.kind == "before" and one.stream in moved)
    )


def renamed(signs: Signs) -> tuple[SamePerson, ...]:
    """Return the people who are in train under one name and in dev under another."""
    return tuple(one for one in same_people(signs) if one.across_splits)


def same_people(signs: Signs) -> tuple[SamePerson, ...]:
    """Return the people of two names, where rows tell people at all: or anybody is like anybody."""
    return signs.same_persons if speakers_told(signs) else ()


def speakers_told(signs: Signs) -> bool:
    """Say whether some stream tells the named speakers from each other, as far as any could be asked."""
    asked = [one for one in signs.wrong if one.what == "speaker"]
    return not asked or any(one.told for one in asked)


def names_are_told(signs: Signs) -> bool:
    """Say whether rows tell the named speakers, several of them: names that were made up leave no trace.

    What else groups utterances then (sentences, rooms) is no fault of the names.
    """
    asked = [one for one in signs.wrong if one.what == "speaker" and one.chance <= 1 / SEVERAL]
    return any((one.accuracy - one.chance) / (1 - one.chance) >= OF_NAMES for one in asked)


def name_faults(signs: Signs) -> Iterator[str]:
    """Yield what is wrong with the speakers' names as a whole, in words."""
    twice = [one for one in same_people(signs) if not one.across_splits]
    if twice:
        pairs = ", ".join(" and ".join(signs.speakers_called(one.speakers)) for one in twice[:SHOWN])
        yield (
            f"the rows of {pairs}{', …' if len(twice) > SHOWN else ''} can't be told apart (distance "
            f"{twice[0].distance:.1f}; of the halves of one speaker {twice[0].halves:.1f}, of two speakers "
            f"{twice[0].usual:.1f}): one person under two names, or two whose names were mixed up"
        )
    if signs.renumbered is not None:
        yield _someone_else(signs, signs.renumbered)
    if signs.two_people:
        yield _of_two(signs)
    many = signs.many_people
    if many is not None:
        yield (
            f"the {len(many.utterances)} rows of {signs.speaker_names[many.speaker]} spread {many.spread:.1f} "
            f"times as far as the {many.others} others lie apart ({many.deviations:.0f} deviations beyond what "
            "the others' rows do): one name of many people"
        )
    mixed = signs.several_people
    if mixed is not None:
        yield (
            f"names that lie alike spread alike, as they do where each holds several people who are in others too "
            f"({mixed.names} names of about {mixed.rows:.0f} rows, correlation {mixed.likeness:.2f}, "
            f"{mixed.z:.0f} deviations beyond chance): a dialogue, a scene or a file was read as the speaker"
        )
    alike = signs.numbered
    if alike is not None:
        yield (
            f"the {alike.names} names stand in most of {alike.dialogues} dialogues, part the people of each, and "
            f"say no more across dialogues than names dealt anew inside of each (p {alike.p_value:.2f}; "
            f"{max(alike.told, 0):.0%} of what names of people would say): speakers were numbered inside of each "
            "dialogue"
        )
    groups = next((one for one in signs.voices if one.unnamed), None)
    tied = signs.association
    if (
        tied is not None
        and tied.share >= ONE_CLASS
        and tied.expected < tied.share - 0.2
        and tied.speakers <= 2 * tied.classes
    ):
        yield (
            f"{tied.speakers} speakers for {tied.classes} classes, and the speaker's name tells the class of "
            f"{tied.share:.0%} of the utterances: the names were read from the field of the class"
        )
    if groups is None or names_are_told(signs):
        return
    seen = (
        f"{groups.one} and {groups.other} fall into the same groups of utterances (one tells those "
        f"of the other in "
        f"{groups.told:.0%}, by chance {1 / groups.groups:.0%})"
    )
    if signs.known_speakers < 1 - UNKNOWN:
        yield f"the speaker of {1 - signs.known_speakers:.0%} of the utterances is unknown, while {seen}"
    else:
        yield f"{seen}, and the named speakers have no part in it: {groups.left:.0%} without their means"


def _of_two(signs: Signs) -> str:
    """Say which names are two people's."""
    found = signs.two_people
    names = ", ".join(signs.speakers_called([one.speaker for one in found[:SHOWN]]))
    first, more = found[0], ", …" if len(found) > SHOWN else ""
    return (
        f"the rows of {names}{more} fall into two groups each, the same in {first.one} and {first.other} "
        f"({first.agreement:.0%} of the first one's rows), which lie as far apart as people do "
        f"({first.apart:.2f} of the usual squared distance of two names; in the other names "
        f"{max(first.usual, 0):.2f}): two people under one name"
    )


def _someone_else(signs: Signs, found: Renumbered) -> str:
    """Say which names are someone else in dev."""
    names, more = ", ".join(signs.speakers_called(found.speakers[:SHOWN])), ""
    if len(found.speakers) > SHOWN:
        more = ", …"
    return (
        f"of {found.names} names in train and dev {len(found.speakers)} ({names}{more}) lie as far apart in both "
        f"as people do ({found.apart:.2f} of the usual squared distance of two names): they are someone else in "
        "dev, as where each split numbers its speakers from nought"
    )
