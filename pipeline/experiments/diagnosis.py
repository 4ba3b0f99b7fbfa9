"""A diagnosis of a cache: the document of diagnosis.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dualstream.features.encoder import SpecDocument
from dualstream.heads.diagnosis import Diagnosis

from dualstream.documents import Document, JsonObject


@dataclass(frozen=True)
class DiagnosedCache(Document):
    """The cache that was diagnosed."""

    name: str
    digest: str
    fingerprint: str


@dataclass(frozen=True)
class OtherCache(Document):
    """The cache that it was held against."""

    name: str
    digest: str


@dataclass(frozen=True)
class DiagnosisDocument(Document):
    """What was measured, what follows from it, and on what."""

    FORMAT: ClassVar[str] = "dualstream diagnosis"

    cache: DiagnosedCache
    against: OtherCache | None
    streams: dict[str, str]
    """Which stream of the cache stood for each that heads joined, such as ``video``."""
    specs: dict[str, SpecDocument]
    """Spec of each stream's encoder, as the cache has it."""
    speaker_norm: bool
    scored: str
    looked_at: str
    """Which splits, in words."""
    found: Diagnosis
    """Its keys stand beside the others."""
    created: str = ""
    """When, in UTC; empty in documents of before 0.3."""

    def to_json(self) -> JsonObject:
        """Return JSON values."""
        own = super().to_json()
        return own | own.pop("found")
