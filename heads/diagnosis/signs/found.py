"""Everything that was seen of mistakes in a corpus: evidence for the causes, and what JSON tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dualstream.heads.diagnosis.intervention import Intervention
from dualstream.heads.diagnosis.signs.absences import MissingByClass
from dualstream.heads.diagnosis.signs.accused import Vouched
from dualstream.heads.diagnosis.signs.batches import Batches
from dualstream.heads.diagnosis.signs.class_profiles import ClassGroups
from dualstream.heads.diagnosis.signs.class_scaled import ClassScaled
from dualstream.heads.diagnosis.signs.confusions import Confusions
from dualstream.heads.diagnosis.signs.copies import Copies
from dualstream.heads.diagnosis.signs.crossed import Crossed
from dualstream.heads.diagnosis.signs.fills import Fill
from dualstream.heads.diagnosis.signs.joins import Join
from dualstream.heads.diagnosis.signs.kinds import TwoKinds
from dualstream.heads.diagnosis.signs.label_columns import LabelColumn
from dualstream.heads.diagnosis.signs.label_maps import LabelMap
from dualstream.heads.diagnosis.signs.limit import Limit
from dualstream.heads.diagnosis.signs.lost_classes import LostClass
from dualstream.heads.diagnosis.signs.many_people import ManyPeople
from dualstream.heads.diagnosis.signs.noisy_groups import NoisyGroup
from dualstream.heads.diagnosis.signs.numbered import Numbered
from dualstream.heads.diagnosis.signs.pieces import Piece
from dualstream.heads.diagnosis.signs.renumbered import Renumbered
from dualstream.heads.diagnosis.signs.row_factors import RowFactors
from dualstream.heads.diagnosis.signs.same_speakers import SamePerson
from dualstream.heads.diagnosis.signs.same_streams import SameStream
from dualstream.heads.diagnosis.signs.several_people import SeveralPeople
from dualstream.heads.diagnosis.signs.smoothed import Smoothed
from dualstream.heads.diagnosis.signs.speaker_joins import SpeakerJoin
from dualstream.heads.diagnosis.signs.speakers import Association, SharedSpeakers, Voices
from dualstream.heads.diagnosis.signs.split_joins import SplitJoin
from dualstream.heads.diagnosis.signs.split_treatment import SplitTreatment
from dualstream.heads.diagnosis.signs.two_people import TwoPeople
from dualstream.heads.diagnosis.signs.values import PutValue
from dualstream.heads.diagnosis.signs.wrong_codes import WrongCodes

from dualstream.documents import JsonObject


@dataclass(frozen=True, repr=False)
class Signs:
    """What was looked for in the rows, labels and names of train and dev, and what was seen."""

    ids: tuple[str, ...]
    """What the utterances are called that the signs name by their place."""
    speaker_names: tuple[str, ...]
    """By code."""
    speaker: tuple[int, ...]
    """Code of each utterance's speaker."""
    dev: tuple[bool, ...]
    streams: tuple[str, ...]
    known_speakers: float
    """Share of the utterances whose speaker is known."""
    classes: tuple[str, ...] = ()
    """Names of the task's classes by code."""
    joins: tuple[Join, ...] = ()
    speaker_joins: tuple[SpeakerJoin, ...] = ()
    split_joins: tuple[SplitJoin, ...] = ()
    crossed: tuple[Crossed, ...] = ()
    wrong: tuple[WrongCodes, ...] = ()
    vouched: tuple[Vouched, ...] = ()
    label_maps: tuple[LabelMap, ...] = ()
    lost_classes: tuple[LostClass, ...] = ()
    noisy_groups: tuple[NoisyGroup, ...] = ()
    confusions: Confusions | None = None
    copies: tuple[Copies, ...] = ()
    fills: tuple[Fill, ...] = ()
    kinds: tuple[TwoKinds, ...] = ()
    class_groups: tuple[ClassGroups, ...] = ()
    split_treatments: tuple[SplitTreatment, ...] = ()
    batches: tuple[Batches, ...] = ()
    pieces: tuple[Piece, ...] = ()
    smoothed: tuple[Smoothed, ...] = ()
    row_factors: tuple[RowFactors, ...] = ()
    label_columns: tuple[LabelColumn, ...] = ()
    class_scaled: tuple[ClassScaled, ...] = ()
    voices: tuple[Voices, ...] = ()
    association: Association | None = None
    shared: SharedSpeakers | None = None
    same_persons: tuple[SamePerson, ...] = ()
    two_people: tuple[TwoPeople, ...] = ()
    many_people: ManyPeople | None = None
    several_people: SeveralPeople | None = None
    numbered: Numbered | None = None
    renumbered: Renumbered | None = None
    missing: tuple[MissingByClass, ...] = ()
    values: tuple[PutValue, ...] = ()
    same_streams: tuple[SameStream, ...] = ()
    remedies: dict[str, Intervention] = field(default_factory=dict)
    """By mistake: what undoing it gains, by closed-form heads."""
    limits: tuple[Limit, ...] = ()
    """The smallest mistakes that would have been found; planted only where no cause was."""

    def called(self, places: Sequence[int]) -> tuple[str, ...]:
        """Return the ids of utterances."""
        return tuple(self.ids[place] for place in places)

    def speakers_called(self, codes: Sequence[int]) -> tuple[str, ...]:
        """Return the names of speakers."""
        return tuple(self.speaker_names[code] for code in codes)

    def asked(self, what: str, stream: str) -> WrongCodes | None:
        """Return what the probe of a stream says of ``label`` or ``speaker``."""
        return next((one for one in self.wrong if (one.what, one.stream) == (what, stream)), None)

    def to_json(self) -> JsonObject:
        """Return the values; utterances by their ids."""
        return {
            "joins": [one.to_json() for one in self.joins],
            "speaker_joins": [
                {**vars(one), "speaker": self.speaker_names[one.speaker]} for one in self.speaker_joins
            ],
            "split_joins": [vars(one) for one in self.split_joins],
            "crossed": [_plain(one, self) for one in self.crossed],
            "wrong_codes": [_plain(one, self, leave_out=("answers",)) for one in self.wrong],
            "vouched": [vars(one) for one in self.vouched],
            "label_maps": [_plain(one, self, leave_out=("labels",)) for one in self.label_maps],
            "lost_classes": [_plain(one, self) for one in self.lost_classes],
            "noisy_groups": [_plain(one, self) for one in self.noisy_groups],
            "confusions": self.confusions
            and {**_plain(self.confusions, self, leave_out=("answers",)), "found": self.confusions.found},
            "copies": [
                {
                    "stream": one.stream,
                    "rows": one.rows,
                    "exact": one.exact,
                    "few_values": one.few_values,
                    "pairs": [list(self.called(pair)) for pair in one.pairs],
                }
                for one in self.copies
            ],
            "fills": [_plain(one, self) for one in self.fills],
            "kinds": [_plain(one, self) for one in self.kinds],
            "class_groups": [_plain(one, self) for one in self.class_groups],
            "split_treatments": [_plain(one, self) for one in self.split_treatments],
            "pieces": [_plain(one, self) for one in self.pieces],
            "batches": [_plain(one, self) for one in self.batches],
            "smoothed": [_plain(one, self) for one in self.smoothed],
            "row_factors": [_plain(one, self, leave_out=("factors",)) for one in self.row_factors],
            "label_columns": [vars(one) for one in self.label_columns],
            "class_scaled": [vars(one) for one in self.class_scaled],
            "voices": [{**vars(one), "unnamed": one.unnamed} for one in self.voices],
            "association": None if self.association is None else vars(self.association),
            "shared_speakers": None if self.shared is None else _plain(self.shared, self),
            "same_persons": [
                {**vars(one), "speakers": list(self.speakers_called(one.speakers))} for one in self.same_persons
            ],
            "two_people": [
                {**_plain(one, self), "speaker": self.speaker_names[one.speaker]} for one in self.two_people
            ],
            "many_people": self.many_people
            and {**_plain(self.many_people, self), "speaker": self.speaker_names[self.many_people.speaker]},
            "several_people": self.several_people and vars(self.several_people),
            "numbered_speakers": None if self.numbered is None else vars(self.numbered),
            "renumbered_speakers": self.renumbered and _plain(self.renumbered, self),
            "missing_by_class": [{**vars(one), "found": one.found} for one in self.missing],
            "put_values": [_plain(one, self) for one in self.values],
            "same_streams": [vars(one) for one in self.same_streams],
            "known_speakers": self.known_speakers,
            "remedies": {name: one.to_json() for name, one in self.remedies.items()},
            "limits": [dict(vars(one)) for one in self.limits],
        }


def _plain(one: object, signs: Signs, leave_out: Sequence[str] = ()) -> JsonObject:
    values: JsonObject = {key: value for key, value in vars(one).items() if key not in leave_out}
    if "utterances" in values:
        values["utterances"] = list(signs.called(values["utterances"]))
    if "speakers" in values:
        values["speakers"] = list(signs.speakers_called(values["speakers"]))
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
