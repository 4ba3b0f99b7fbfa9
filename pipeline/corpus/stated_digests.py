"""The digests that stores state of their files, each in its own words, as hex by the algorithm's name."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

BYTES = {"md5": 16, "sha256": 32}


def stated_digests(info: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return what a store's information on a file holds of digests of its bytes.

    Google states ``md5Hash`` (of objects that were not composed), web servers ``Content-MD5`` and ``Digest`` (RFC
    3230), Azure ``content_md5``, Hugging Face the ``sha256`` of large files, DVC ``md5``. An ETag of S3 is an MD5
    or not, and nothing says which. What is no digest of its length is left out.
    """
    found = {name: digest for name, value in _stated(info) if (digest := _hex(name, value))}
    return tuple(sorted(found.items()))


def _stated(info: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in ("md5Hash", "Content-MD5", "md5"):
        yield "md5", info.get(key)
    azure = info.get("content_settings")
    yield "md5", azure.get("content_md5") if isinstance(azure, Mapping) else getattr(azure, "content_md5", None)
    large = info.get("lfs")
    yield "sha256", large.get("sha256") if isinstance(large, Mapping) else None
    yield "sha256", info.get("sha256")
    for part in str(info.get("Digest") or "").split(","):
        name, _, value = part.strip().partition("=")
        yield {"md5": "md5", "sha-256": "sha256"}.get(name.lower(), ""), value


def _hex(name: str, value: Any) -> str:
    """Return a digest in hex, be it given as bytes, in hex or in base64; empty where it is none."""
    size = BYTES.get(name, 0)
    if isinstance(value, str):
        if re.fullmatch(rf"[0-9a-fA-F]{{{2 * size}}}", value):
            return value.lower() if size else ""
        try:
            value = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return ""
    is_digest = size and isinstance(value, bytes | bytearray) and len(value) == size
    return bytes(value).hex() if is_digest else ""
