"""What `check` prints with ``--json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dualstream.pipeline.corpus.checks.balance import TaskBalance
from dualstream.pipeline.corpus.checks.findings import Finding

from dualstream.documents import Document


@dataclass(frozen=True)
class CheckDocument(Document):
    """What is wrong with a corpus, and how its classes are spread."""

    FORMAT: ClassVar[str] = "dualstream check"

    utterances: int
    sha256: str
    """Of the manifest."""
    looked_at: str
    """The table only, or clips too."""
    counts: dict[str, int]
    """Kinds of finding by severity."""
    unusable: tuple[str, ...]
    """Ids of utterances whose clips can't be used."""
    findings: tuple[Finding, ...]
    balance: dict[str, TaskBalance]
    """By task; one without labels is left out."""
