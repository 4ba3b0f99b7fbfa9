"""How variants name streams: ``concat:a+b`` joins two of a corpus's, ``single:a`` and ``linear:a`` read one."""

from __future__ import annotations

from collections.abc import Sequence

from dualstream.heads.data.batch import PAIR

AND = "+"


def streams_named(name: str, argument: str, least: int) -> tuple[str, ...]:
    """Return the streams that the argument of the variant `name` names, `least` of them or more.

    Raises
    ------
    ValueError
        Where they are fewer, a name is empty or stands twice.
    """
    names = tuple(argument.split(AND))
    if len(names) < least or not all(names) or len(set(names)) < len(names):
        example, what = (f"{name}:a{AND}b", "two streams or more") if least > 1 else (f"{name}:a", "streams")
        raise ValueError(f"{name} takes no argument but {what}, such as {example}; {name}:{argument} was given")
    return names


def network_of(stream: str) -> str:
    """Return the trained variant that reads one stream: ``video``, ``audio`` or ``single:NAME``."""
    return stream if stream in PAIR else f"single:{stream}"


def linear_of(stream: str) -> str:
    """Return the linear variant that reads one stream: ``linear_video``, ``linear_audio`` or ``linear:NAME``."""
    return f"linear_{stream}" if stream in PAIR else f"linear:{stream}"


def joined(name: str, streams: Sequence[str]) -> str:
    """Return the name of a joining variant over these streams only."""
    return f"{name}:{AND.join(streams)}"
