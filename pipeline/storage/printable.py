"""Names that may hold anything, as they may be printed."""

from __future__ import annotations


def escaped(text: str) -> str:
    """Return a text with backslash escapes for what is not printable, or is no UTF-8: nothing moves the cursor."""
    safe = text.encode("utf-8", "backslashreplace").decode()
    return "".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode() for ch in safe)
