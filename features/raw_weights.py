"""Weights as raw numbers beside a JSON manifest, as TensorFlow.js publishes them: read as tensors, never as code.

NAME-weights_manifest.json   [{"paths": ["NAME.bin"], "weights": [{"name", "shape", "dtype", "quantization"}, …]}]
NAME.bin                     the tensors' numbers, one after the other, little-endian; quantized ones are
                             unsigned integers q that stand for q * scale + min
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dualstream.features.single_read import digest_of_file, read_hashed
from numpy.typing import NDArray

from dualstream.documents import JsonObject

MANIFEST = "-weights_manifest.json"
TYPES = {"float32": "<f4", "uint8": "<u1", "uint16": "<u2"}


@dataclass(frozen=True, repr=False)
class RawWeights:
    """Where a set of raw weights lies."""

    manifest: Path
    parts: tuple[Path, ...]

    @classmethod
    def find(cls, path: Path, name: str) -> RawWeights:
        """Look for the set `name` at a folder, its manifest, or a file of its numbers; no number is read.

        Raises
        ------
        FileNotFoundError
            Where manifest or numbers are not there.
        ValueError
            Where the manifest can't be read.
        """
        place = path / f"{name}{MANIFEST}" if path.is_dir() else path
        if place.suffix == ".bin":
            place = place.with_name(f"{place.stem}{MANIFEST}")
        if not place.is_file():
            raise FileNotFoundError(
                f"weights {path}: {place.name} is not there; expected the folder that holds {name}{MANIFEST} and "
                f"{name}.bin, or one of the two"
            )
        names = [str(one) for group in _groups(place) for one in group["paths"]]
        odd = [one for one in names if Path(one).name != one]
        if odd or not names:
            raise ValueError(f"{place} names {', '.join(odd) or 'no files'}; expected files beside it")
        lacking = [one for one in names if not place.with_name(one).is_file()]
        if lacking:
            raise FileNotFoundError(f"{place.parent} lacks {', '.join(lacking)}, which {place.name} names")
        return cls(place, tuple(place.with_name(one) for one in names))

    def digest(self) -> str:
        """Return the sha256 of the numbers: of their file, or one over names and digests of several."""
        if len(self.parts) == 1:
            return digest_of_file(self.parts[0])
        lines = "".join(f"{one.name} {digest_of_file(one)}\n" for one in self.parts)
        return hashlib.sha256(lines.encode()).hexdigest()

    def read(self) -> tuple[dict[str, NDArray[np.float32]], str]:
        """Return the tensors by name, and the digest of the bytes that they were read from.

        Raises
        ------
        ValueError
            Where manifest and numbers do not fit together, or a number is NaN or infinite.
        """
        found: dict[str, NDArray[np.float32]] = {}
        data, digests = {}, {}
        for part in self.parts:
            data[part.name], digests[part.name] = read_hashed(part)
        for group in _groups(self.manifest):
            numbers = b"".join(data[str(name)] for name in group["paths"])
            position = 0
            for entry in group["weights"]:
                position = self._take(entry, numbers, position, found)
            if position != len(numbers):
                raise ValueError(
                    f"{self.manifest.name} describes {position} bytes; {', '.join(group['paths'])} has "
                    f"{len(numbers)}"
                )
        if len(digests) == 1:
            return found, next(iter(digests.values()))
        lines = "".join(f"{name} {sha256}\n" for name, sha256 in digests.items())
        return found, hashlib.sha256(lines.encode()).hexdigest()

    def _take(
        self, entry: JsonObject, numbers: bytes, position: int, found: dict[str, NDArray[np.float32]]
    ) -> int:
        """Put one tensor into `found`; return where the next one begins."""
        try:
            name, shape = str(entry["name"]), tuple(int(one) for one in entry["shape"])
            coded = entry.get("quantization")
            kind = np.dtype(TYPES[coded["dtype"] if coded else entry["dtype"]])
            scale, least = (float(coded["scale"]), float(coded["min"])) if coded else (1.0, 0.0)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.manifest.name}: {entry!r} describes no tensor that is read: {error!r}"
            ) from error
        count = math.prod(shape)
        if any(one < 1 for one in shape) or position + count * kind.itemsize > len(numbers):
            raise ValueError(f"{self.manifest.name}: {name} of shape {shape} passes the end of its numbers")
        values = np.frombuffer(numbers, kind, count, position).astype(np.float64) * scale + least
        if not np.isfinite(values).all():
            raise ValueError(
                f"{self.manifest.name}: {name} holds NaN or infinity, so its features would mean nothing"
            )
        found[name] = values.astype(np.float32).reshape(shape)
        return position + count * kind.itemsize


def _groups(manifest: Path) -> list[JsonObject]:
    try:
        groups = json.loads(manifest.read_bytes())
        return [{"paths": list(one["paths"]), "weights": list(one["weights"])} for one in groups]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{manifest} can't be read as a manifest of weights: {error!r}") from error
