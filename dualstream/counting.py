"""Numbers of things, as a person writes them."""

from __future__ import annotations


def counted(number: int, noun: str, style: str = "") -> str:
    """Return how many of a thing there are: ``1 speaker``, ``0 speakers``, ``2 speakers``.

    Parameters
    ----------
    noun
        Of one; more of them end in s.
    style
        How the number is written, such as ``,`` for thousands.
    """
    return f"{number:{style}} {noun}{'' if number == 1 else 's'}"
