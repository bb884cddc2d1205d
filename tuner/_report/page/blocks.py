"""What a section is made of; the template knows these kinds and escapes every text."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

SEVERITIES = {"error": "Error", "warning": "Warning", "info": "Note"}


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: Literal["text"] = "text"


@dataclass(frozen=True)
class Table:
    """Rows under a head; the first cell of a row names it."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    kind: Literal["table"] = "table"


@dataclass(frozen=True)
class Picture:
    """A figure and what it shows, for those who do not see it, too."""

    svg: bytes
    caption: str
    kind: Literal["picture"] = "picture"

    @property
    def source(self) -> str:
        """Return the figure as an address: as an image it brings no scripts and no ids into the page."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg).decode()


@dataclass(frozen=True)
class Note:
    """A finding: what, how it shows, what to do."""

    code: str
    severity: str
    title: str
    evidence: str
    next_step: str
    page: str = ""
    kind: Literal["note"] = "note"


Block = Text | Table | Picture | Note


@dataclass(frozen=True)
class Section:
    """A titled part of the page."""

    anchor: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Answer:
    """The top of the page.

    Attributes
    ----------
    headline : str
        The metric and its value.
    interval : str
    meaning : str
        What the number is about.
    verdicts : tuple of (question, answer)
    picture : Picture or None
    """

    headline: str
    interval: str
    meaning: str
    verdicts: tuple[tuple[str, str], ...]
    picture: Picture | None


def number(value: float | None) -> str:
    """Return a number with four significant digits; a dash where there is none."""
    if value is None or math.isnan(value):
        return "\N{EN DASH}"
    if math.isinf(value):
        return "unbounded"
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"
