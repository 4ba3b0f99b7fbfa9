"""How a cache's raw rows become its streams' rows: what is chosen, and how that is written down."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import cast, get_args

from dualstream.features.projection import PCA, TURNED
from dualstream.pipeline.errors import DualstreamError
from dualstream.pipeline.extraction.options import ProjectionKind
from dualstream.pipeline.provenance import ProjectionDocument

KINDS: tuple[ProjectionKind, ...] = get_args(ProjectionKind)
AS_THEY_ARE, PROJECTION_VERSION = 1, 2  # versions: in the first, ``auto`` left principal components unturned


@dataclass(frozen=True)
class ProjectionChoice:
    """How raw rows become the stream's rows."""

    kind: ProjectionKind = "auto"
    """``pca-turned``: principal components, turned so that heads can't whiten them; ``pca``: the components
    themselves; ``gaussian``: random, needs no rows; ``auto``: pca-turned where the train split has rows enough,
    else gaussian; ``none``: the rows stay as the encoder gave them."""
    widths: dict[str, int] = field(default_factory=dict)
    """Columns by stream name, where they differ from what the encoder's spec says."""
    seed: int = 0
    """Of the rotation, and of the Gaussian projection."""
    version: int = PROJECTION_VERSION
    """What ``auto`` stands for: caches of AS_THEY_ARE have principal components as they are."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"projection is {self.kind!r}; expected one of: {', '.join(KINDS)}")
        if not AS_THEY_ARE <= self.version <= PROJECTION_VERSION:
            raise ValueError(
                f"the projection's version is {self.version}; expected {AS_THEY_ARE} to {PROJECTION_VERSION}"
            )
        if any(width < 1 for width in self.widths.values()):
            raise ValueError(f"projection widths are {self.widths}; expected 1 or more")

    @property
    def turns(self) -> bool:
        """Whether principal components are turned."""
        return self.kind == TURNED or (self.kind == "auto" and self.version > AS_THEY_ARE)

    def today(self) -> ProjectionChoice:
        """Return the choice as it is made now: what an older version called ``pca`` is turned, too."""
        if self.version == PROJECTION_VERSION:
            return self
        return replace(self, kind=TURNED if self.kind == PCA else self.kind, version=PROJECTION_VERSION)

    def to_json(self) -> ProjectionDocument:
        """Return the choice as JSON values, as the cache's provenance holds it."""
        values = ProjectionDocument(kind=self.kind, widths=dict(sorted(self.widths.items())), seed=self.seed)
        if self.version > AS_THEY_ARE:
            values["version"] = self.version
        return values

    @classmethod
    def from_json(cls, value: ProjectionDocument) -> ProjectionChoice:
        """Read what `to_json` gave; the first version did not state itself.

        Raises
        ------
        DualstreamError
            Where this version of dualstream knows no such projection.
        """
        widths = {str(k): int(v) for k, v in value["widths"].items()}
        try:
            return cls(
                cast(ProjectionKind, value["kind"]),
                widths,
                int(value["seed"]),
                int(value.get("version", AS_THEY_ARE)),
            )
        except ValueError as error:
            raise DualstreamError(f"the cache was projected in a way that is not known here: {error}") from error
