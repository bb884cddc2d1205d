"""The report of a run: one self-contained HTML page, the answer first."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from tuner._report.page.blocks import SEVERITIES
from tuner._report.page.figures import draw
from tuner._report.page.movement import draw_movement
from tuner._report.page.sections import answer, body

if TYPE_CHECKING:
    from jinja2 import Template

    from tuner._report.result import TuningResult

__all__ = ["draw", "draw_movement", "render"]


def render(result: TuningResult, pictures: Mapping[str, bytes] | None = None) -> str:
    """Return the page; it needs no other file and no network.

    Parameters
    ----------
    result : TuningResult
    pictures : mapping of str to bytes, or None
        What `draw` returned, where that was done before.
    """
    drawn = draw(result) if pictures is None else pictures
    return _template().render(
        answer=answer(result, drawn), sections=body(result, drawn), severities=SEVERITIES
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tuner._report.page", "."),
        autoescape=True,  # names and values of users never become markup
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja")
