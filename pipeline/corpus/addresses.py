"""Addresses of stores as they may be shown: without user, password, query and fragment, however they are spelled.

    simplecache::https://user:pass@host/clips?sig=…     →     simplecache::https://***@host/clips?***

A password that is not percent-encoded may hold ``@``, ``/``, ``?`` or ``#``, where a parser of addresses cuts it
in two, and a library names one half of it in its error. So all that lies before the last ``@`` that can end it is
hidden, and the halves are hidden wherever they stand.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable

HIDDEN = "***"
LEAST_CHARACTERS = 4  # of a secret that is looked for in any text; shorter ones stand in many words

_CUTS = re.compile(r"[/?#@:]")
_USER = re.compile(
    r"(?<=://)(?:"
    r"[^/\s'\"]*@"  # up to the last @ before a slash
    r"|[^/\s'\":@]*(?::(?!\d*/)|[?#])[^\s'\"]*@"  # no port follows the colon: a password with a slash
    r")"
)
_STORES = "https?|s3|gs|gcs|az|abfss?|adl|s?ftp|ssh|smb|webhdfs|webdav|github"
_ADDRESS = re.compile(rf"\b({_STORES})(:/{{1,2}})(?=[^/])(\S+)", re.IGNORECASE)
_END = r"[^\s]+?(?=['\")\]>]*[,;:.]?(?:\s|$))"  # a word, less the marks that close a quotation or a sentence
_QUERY = re.compile(rf"(?<=[^\s?])\?{_END}")
_FRAGMENT = re.compile(rf"(?<=://)([^\s?#]*)#{_END}")


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text without what addresses in it hold before ``@`` and behind ``?``, and without `secrets`."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    text = _FRAGMENT.sub(rf"\1#{HIDDEN}", _USER.sub(f"{HIDDEN}@", text))
    return _QUERY.sub(f"?{HIDDEN}", text)


def with_shown_addresses(text: str) -> str:
    """Return a text with its addresses redacted, also those that as paths have lost their second slash."""

    def act(match: re.Match[str]) -> str:
        return match[1] + match[2] + redacted(f"://{match[3]}").removeprefix("://")

    return _ADDRESS.sub(act, text)


def shown_address(url: str) -> str:
    """Return one address without its secrets."""
    return "::".join(map(_shown_link, _links(url)))


def secrets_of(url: str) -> set[str]:
    """Return what in an address may be a secret: as it stands there, decoded, and cut as a library may cut it."""
    found: set[str] = set()
    for link in _links(url):
        user, _, query = _parts(link)
        password = user.partition(":")[2]
        found |= {user, password, *_CUTS.split(password), query[1:]}
        found |= {value for pair in re.split(r"[&;]", query[1:]) for value in (pair, pair.partition("=")[2])}
    found |= {urllib.parse.unquote(one) for one in found} | {urllib.parse.unquote_plus(one) for one in found}
    found |= {urllib.parse.quote(one, safe="") for one in found}
    return {one for one in found if len(one) >= LEAST_CHARACTERS}


def _links(url: str) -> list[str]:
    """Return the addresses of a chain such as ``simplecache::s3://…``; a password may hold ``::``, too."""
    return re.split(r"::(?=[a-zA-Z][a-zA-Z0-9+.-]*(?:://|::))", url)


def _shown_link(url: str) -> str:
    user, rest, query = _parts(url)
    protocol, slashes, _ = url.partition("://")
    return f"{protocol}{slashes}{f'{HIDDEN}@' if user else ''}{rest}{query[:1] + HIDDEN if query else ''}"


def _parts(url: str) -> tuple[str, str, str]:
    """Return user and password, host and path, and the query or fragment with its mark."""
    protocol, slashes, rest = url.partition("://")
    if not slashes:
        return "", "", ""
    match = _USER.match(url, len(protocol) + 3)
    user = match[0] if match else ""
    place = re.match(r"[^?#]*", rest[len(user) :])
    assert place is not None, "an empty match at least"
    return user[:-1], place[0], rest[len(user) + len(place[0]) :]
