"""How numbers came to be: canonical JSON, the fingerprint over it, and the words for what differs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict

from dualstream.pipeline.errors import FingerprintMismatchError

from dualstream.documents import JsonObject

if TYPE_CHECKING:
    from dualstream.features.encoder import Precision, SpecDocument

SHOWN_DIFFERENCES = 8


def utc_now() -> str:
    """Return the time in UTC, to the second, as documents have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class WindowsDocument(TypedDict):
    """The grid of windows."""

    length_s: float
    hop_s: float


class RecipeDocument(TypedDict, total=False):
    """All that shapes the numbers of an extraction: what the fingerprint is over."""

    version: int
    windows: WindowsDocument
    sampling: str
    decode: JsonObject | None
    """`DecodeSettings.to_json`; None where every stream is a table."""
    decoder: str | None
    device: str | None
    precision: Precision
    shard_size: int
    streams: dict[str, SpecDocument]
    """Without their widths after projection."""
    scramble_s: float
    """Where sound was scrambled: seconds of each piece."""
    watched: str
    """What decoded for the passes that look for faces, where that was not ffmpeg."""


class Environment(TypedDict, total=False):
    """What may change last digits: it is noted, and no part of the fingerprint."""

    packages: dict[str, str]
    blas_threads: int
    threads: int
    processor: str
    shards: int
    """In a cache: how many of its shards were made so."""


class ManifestDocument(TypedDict):
    """The manifest that a cache was made of."""

    sha256: str
    utterances: int


class ShardsDocument(TypedDict):
    """The shards that a cache was made of."""

    sha256: str
    size: int
    count: int


class ProjectionDocument(TypedDict, total=False):
    """How a cache's streams were projected; the first version did not state itself."""

    kind: str
    widths: dict[str, int]
    seed: int
    version: int


class IdentityDocument(TypedDict):
    """Which faces go with which speakers, where the manifest's speaker names were used (``--identity``)."""

    uses_speaker_names: bool
    split: str
    """Whose rows it was fitted on."""
    utterances: int
    """Of that split, with a face."""
    groups: int
    """Of faces that look alike."""
    tied: dict[str, int]
    """Groups by speaker, of speakers who have any."""
    sha256: str
    """Over ids, speakers and digests of the utterances that it was fitted on."""
    windows: dict[str, int]
    """Undecided windows that show a speaker's face by it, by stream."""


class Provenance(TypedDict, total=False):
    """How a cache came to be; caches of other programs may lack keys."""

    fingerprint: str
    recipe: RecipeDocument
    manifest: ManifestDocument
    shards: ShardsDocument
    widths: dict[str, int]
    """Of the streams, before anybody asked for others."""
    projection: ProjectionDocument
    environments: list[Environment]
    identity: IdentityDocument
    """Of a cache that was made with ``--identity`` only."""
    converted: dict[str, str]
    """Of a cache that `convert` made of another format: ``kind``, the format. Rows may have been changed there."""


def canonical_json(value: Any) -> str:
    """Return `value` as JSON with sorted keys and no spaces: one text for one value.

    Raises
    ------
    ValueError
        Where a number is not finite, which JSON cannot say.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any) -> str:
    """Return the SHA-256, in hex, of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode("utf-8")).hexdigest()


class ListDigest:
    """What `digest_of` gives for a list, whose entries are not kept."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256(b"[")
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, value: Any) -> None:
        """Add an entry."""
        self._sha.update((("," if self._count else "") + canonical_json(value)).encode("utf-8"))
        self._count += 1

    def sha256(self) -> str:
        """Return the digest, in hex."""
        whole = self._sha.copy()
        whole.update(b"]")
        return whole.hexdigest()


def fingerprint(recipe: Mapping[str, Any]) -> str:
    """Return the SHA-256 over all that shapes the numbers: the name of a shard folder."""
    return digest_of(dict(recipe))


def differences(here: Any, there: Any, at: str = "") -> list[str]:
    """Name each place where two recipes differ, as ``place: this, there that``."""
    if isinstance(here, Mapping) and isinstance(there, Mapping):
        keys = sorted({*here, *there}, key=str)
        found: list[str] = []
        for key in keys:
            place = f"{at}.{key}" if at else str(key)
            if key not in here:
                found.append(f"{place}: absent, there {_short(there[key])}")
            elif key not in there:
                found.append(f"{place}: {_short(here[key])}, absent there")
            else:
                found.extend(differences(here[key], there[key], place))
        return found
    return [] if here == there else [f"{at or 'value'}: {_short(here)}, there {_short(there)}"]


def require_same(here: Mapping[str, Any], there: Mapping[str, Any], what: str, advice: str) -> None:
    """Raise FingerprintMismatchError, naming what differs, unless two recipes are the same."""
    found = differences(here, there)
    if found:
        raise FingerprintMismatchError(f"{what} was made in another way: {listed(found)}. {advice}")


def listed(found: Iterable[str]) -> str:
    """Join differences for one message, the first few of them."""
    items = list(found)
    more = f"; and {len(items) - SHOWN_DIFFERENCES} more" if len(items) > SHOWN_DIFFERENCES else ""
    return "; ".join(items[:SHOWN_DIFFERENCES]) + more


def _short(value: Any) -> str:
    text = canonical_json(value)
    return text if len(text) <= 60 else text[:57] + "…"
