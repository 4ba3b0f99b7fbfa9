"""How numbers came to be: canonical JSON, the fingerprint over it, and the words for what differs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dualstream.pipeline.errors import FingerprintMismatchError

SHOWN_DIFFERENCES = 8


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


def fingerprint(recipe: Mapping[str, Any]) -> str:
    """Return the SHA-256 over all that shapes the numbers: the name of a shard folder."""
    return digest_of(dict(recipe))


def digest_file(path: Path) -> str:
    """Return the SHA-256, in hex, of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
