"""The cause `wrong_join`: rows of a stream stand beside utterances that they don't belong to."""

from __future__ import annotations

from collections.abc import Sequence

from dualstream.heads.diagnosis.causes import DISTORTING, Cause, cause, mistake
from dualstream.heads.diagnosis.causes.starved_sampling import STARVED_SHARE
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.joins import LABELS, Join
from dualstream.heads.diagnosis.signs.remedies import FOREIGN, JOIN
from dualstream.heads.diagnosis.signs.smoothed import Smoothed
from dualstream.heads.diagnosis.signs.speaker_joins import SpeakerJoin
from dualstream.heads.diagnosis.signs.verdicts import (
    borrowed,
    foreign,
    knowing_labels,
    moved_rows,
    name_faults,
    turned,
)

PAIRS = 5  # that are told
PART = 0.9  # of the utterances, up to which those concerned are told by their ids


@cause(title="Rows that belong to other utterances", rank=44, explained_by=DISTORTING)
def wrong_join(evidence: Evidence) -> Cause | None:
    """Rows of a stream belong to other utterances: shifted, in another order, shuffled, smoothed, or a part."""
    signs = evidence.signs
    if signs is None:
        return None
    if (beside := found_in(signs)) is not None:
        return beside
    if turned(signs):
        return None
    moved = moved_rows(signs)
    if moved:
        words = _of_several(moved) if len(signs.streams) > 2 else "; ".join(dict.fromkeys(map(_moved, moved)))
        return mistake(
            "wrong_join",
            words,
            signs.remedies.get(JOIN),
            f"join by id, not by place; take each row of "
            f"{' and '.join(dict.fromkeys(o.moved for o in moved))} from "
            f"{moved[0].best}",
            utterances=_elsewhere(signs, moved),
        )
    if any(name_faults(signs)):
        return None  # its groups are seen by two streams in the same utterances: those are joined right
    if knowing_labels(signs):
        return None  # of some speakers, whose rows go better with any rows of their classes
    starved = {name for name, one in evidence.coverage.items() if one.windows_seen < STARVED_SHARE}
    beside = _of_split(signs) or _crossed(signs) or _whole_speakers(signs)
    return beside or _shuffled(signs, starved) or _part(signs)


def found_in(signs: Signs) -> Cause | None:
    """Return the cause where rows hold the rows beside them, which needs no join to be seen."""
    if not signs.smoothed:
        return None
    return mistake(
        "wrong_join",
        "; ".join(_smoothed(signs, one) for one in signs.smoothed),
        None,
        "smooth, and take differences, over windows inside of a clip, and not over rows of the table",
        utterances=[name for one in signs.smoothed for name in signs.called(one.utterances)],
        speakers=[name for one in signs.smoothed for name in signs.speakers_called(one.speakers)],
    )


def _smoothed(signs: Signs, one: Smoothed) -> str:
    if one.speakers:
        return (
            f"{one.stream} rows of {len(one.speakers)} speakers differ from the rows beside them {one.power:.2f} "
            "times as much as those of the other speakers: each holds a part of the rows beside it"
        )
    how = "smoothed along" if one.alike > 0 else "made differences from row to row of"
    gone = "fast" if one.alike > 0 else "slow"
    other = f", of another stream's {one.others:.2f}" if len(signs.streams) > 1 else ""
    return (
        f"{one.stream} rows were {how} the table: each holds a part of the rows beside it (correlation "
        f"{one.alike:.2f} beyond class and speaker; of the {gone} changes {one.power:.2f} of the mean power is "
        f"left{other})"
    )


def _elsewhere(signs: Signs, moved: Sequence[Join]) -> tuple[str, ...]:
    """Return the ids of the utterances whose rows stand wrong, where others stand right."""
    places = {place for one in moved for place, source in enumerate(one.source) if place != source}
    return signs.called(sorted(places)) if len(places) <= PART * len(signs.ids) else ()


def _moved(one: Join) -> str:
    if one.other == LABELS:
        return (
            f"{one.moved} goes with the labels at {one.z:.0f} deviations of unrelated rows as it stands, at "
            f"{one.best_z:.0f} with its rows taken from {one.best}"
        )
    return (
        f"{one.one} and {one.other} share little beyond class and speaker as they stand "
        f"({one.z:.0f} deviations of "
        f"unrelated rows), and {one.best_z:.0f} with the rows of {one.moved} taken from {one.best}"
    )


def _of_several(moved: Sequence[Join]) -> str:
    """Say of three streams or more which one is joined wrongly to which others."""
    parts = []
    for name in dict.fromkeys(one.moved for one in moved):
        pairs = [one for one in moved if one.moved == name and one.other != LABELS]
        if not pairs:
            parts += [_moved(one) for one in moved if one.moved == name]
            continue
        others = " and ".join(_other(one, name) for one in pairs)
        stands, best = " and ".join(f"{o.z:.0f}" for o in pairs), " and ".join(f"{o.best_z:.0f}" for o in pairs)
        ways = " or ".join(dict.fromkeys(one.best for one in pairs))
        parts.append(
            f"{name} is joined wrongly to {others}: they share little beyond class and speaker as they stand "
            f"({stands} deviations of unrelated rows), and {best} with the rows of {name} taken from {ways}"
        )
    return "; ".join(parts)


def _other(join: Join, name: str) -> str:
    return join.other if join.one == name else join.one


def _of_split(signs: Signs) -> Cause | None:
    """Return the cause where two streams share nothing in one split, and much in the other."""
    found = signs.split_joins
    if not found:
        return None
    splits = {one.split for one in found}
    return mistake(
        "wrong_join",
        "; ".join(
            f"in {one.split} {one.one} and {one.other} share nothing beyond class and speaker ({one.z:.1f} "
            f"deviations of unrelated rows; joined as in the other split they would share {one.expected:.0f}): "
            f"rows of {one.moved} belong to other utterances there"
            for one in found
        ),
        None,
        f"join {' and '.join(dict.fromkeys(one.moved for one in found))} of {' and '.join(sorted(splits))} anew, "
        "by id, before believing a score on it",
        utterances=signs.called([i for i, dev in enumerate(signs.dev) if ("dev" if dev else "train") in splits]),
    )


def _crossed(signs: Signs) -> Cause | None:
    """Return the cause where two speakers' rows of one stream are each other's."""
    mixed = {one.stream for one in signs.kinds}  # whose rows go together as they were made
    found = [one for one in signs.crossed if not {one.one, one.other} & mixed]
    if not found:
        return None
    speakers = {code for one in found for code in one.speakers}
    pairs = [
        f"{' and '.join(signs.speakers_called(one.speakers))} ({one.z:.1f} deviations)"
        for one in sorted(found, key=lambda one: -one.z)[:PAIRS]
    ]
    streams = list(dict.fromkeys((one.one, one.other) for one in found))
    return mistake(
        "wrong_join",
        f"of {len(found)} pairs of speakers, {', '.join(pairs)}{', …' if len(found) > PAIRS else ''}, "
        f"{'; '.join(f'{one} and {other}' for one, other in streams)} go together better with each other's rows "
        "than as they stand, place by place: one stream's rows are the other speaker's",
        None,
        "join the rows of these speakers anew, by id; where two were recorded at once, see which channel is whose",
        utterances=signs.called([i for i, one in enumerate(signs.speaker) if one in speakers]),
        speakers=signs.speakers_called(sorted(speakers)),
    )


def _whole_speakers(signs: Signs) -> Cause | None:
    copied, apart = borrowed(signs), signs.speaker_joins
    if not copied and not apart:
        return None
    parts = [
        f"the {one.stream} rows of speaker {signs.speaker_names[one.speaker]} are those of speaker "
        f"{signs.speakers_called([one.of])[0] if one.of >= 0 else 'unknown'}"
        for one in copied
    ]
    parts += _apart(signs) if len(signs.streams) > 2 else _apart_of_two(signs)
    speakers = {one.speaker for one in copied} | {one.speaker for one in apart}
    return mistake(
        "wrong_join",
        "; ".join(parts),
        None,
        "join the rows of these speakers anew, by id",
        utterances=signs.called([i for i, one in enumerate(signs.speaker) if one in speakers]),
        speakers=signs.speakers_called(sorted(speakers)),
    )


def _apart_of_two(signs: Signs) -> list[str]:
    """Say of two streams which speakers' rows don't go together."""
    apart = signs.speaker_joins
    parts = [
        f"{one.one} and {one.other} of speaker {signs.speaker_names[one.speaker]} share nothing (t "
        f"{one.t:.1f}), while "
        f"those of the other speakers do (t {one.expected:.1f} at median)"
        for one in apart
        if not one.shift
    ]
    late = [one for one in apart if one.shift]
    if late:
        first = late[0]
        parts.append(
            f"{first.one} and {first.other} of {len(late)} speakers ({_called(signs, late)}) go together only "
            "once rows are moved inside "
            f"the speaker, by {first.shift:+d} for the first (t {first.t:.1f} as they stand, "
            f"{first.shifted_t:.1f} moved)"
        )
    return parts


def _apart(signs: Signs) -> list[str]:
    """Say of three streams or more whose rows of which stream don't go with the others'."""
    parts = []
    for shifted in (False, True):
        by_streams: dict[tuple[str, ...], list[SpeakerJoin]] = {}
        mine = [one for one in signs.speaker_joins if bool(one.shift) == shifted]
        for speaker in dict.fromkeys(one.speaker for one in mine):
            pairs = [one for one in mine if one.speaker == speaker]
            named = dict.fromkeys(name for one in pairs for name in (one.one, one.other))
            common = [name for name in named if all(name in (one.one, one.other) for one in pairs)]
            by_streams.setdefault(tuple(common if len(common) == 1 else named), []).append(pairs[0])
        for streams, found in by_streams.items():
            who = f"{' and '.join(streams)} of {len(found)} speakers ({_called(signs, found)})"
            others = " and ".join(name for name in signs.streams if name not in streams)
            what = f"{who} go with {others}" if len(streams) == 1 else f"{who} go together"
            how = "only once rows are moved inside the speaker" if shifted else "not at all"
            t, usual = found[0].t, found[0].expected
            parts.append(
                f"rows of {what} {how} (t {t:.1f} for the first, of other speakers {usual:.1f} at median)"
            )
    return parts


def _called(signs: Signs, found: Sequence[SpeakerJoin]) -> str:
    names = list(dict.fromkeys(signs.speaker_names[one.speaker] for one in found))
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _shuffled(signs: Signs, starved: set[str]) -> Cause | None:
    """Return the cause where a stream says and shares nothing, unless it has seen little and so says little."""
    found = [one for one in signs.joins if one.kind == "shuffled" and one.moved not in starved]
    if not found:
        return None
    blind = list(dict.fromkeys(one.moved for one in found))
    several = len(signs.streams) > 2
    seeing = " or ".join(dict.fromkeys(_other(one, one.moved) for one in (found if several else found[:1])))
    deviations = ", ".join(f"{one.z:.1f}" for one in (found if several else found[:1]))
    return mistake(
        "wrong_join",
        f"{' and '.join(blind)} says nothing of the class, and shares nothing with {seeing} beyond "
        f"class and speaker "
        f"({deviations} deviations of unrelated rows), as rows of other utterances would; no sort "
        f"order that is known "
        "puts them back",
        None,
        f"join {' and '.join(blind)} anew, by id, before believing that it is worth nothing",
    )


def _part(signs: Signs) -> Cause | None:
    found = foreign(signs)
    if not found:
        return None
    parts = [
        f"about {one.drawn:.0%} of the {one.stream} rows don't go with their {one.what} (95 % interval "
        f"{one.interval[0]:.0%} to {one.interval[1]:.0%}), while other streams do there"
        for one in found
    ]
    return mistake(
        "wrong_join",
        "; ".join(parts) + ": they belong to other utterances",
        signs.remedies.get(FOREIGN),
        "join these rows anew, by id, or mark them as missing",
        utterances=[name for one in found for name in signs.called(one.utterances)],
    )
