"""The figure of a check: how far each column has moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuner._movement.movement import Movement
from tuner._report.page.figures import BLUE, GREY, ORANGE, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN_COLUMNS = 12


def draw_movement(movement: Movement) -> bytes:
    """Return the columns that moved most as SVG: how far, and how much of them is unknown."""
    ordered = sorted(movement.columns, key=lambda each: (-max(each.distance or 0.0, each.outside), each.name))
    shown = ordered[:SHOWN_COLUMNS]

    def drawing(axes: Axes) -> None:
        places = range(len(shown))
        axes.barh(places, [each.distance or 0.0 for each in shown], color=[
            GREY if each.share is None else BLUE for each in shown
        ], height=0.7)  # fmt: skip
        axes.plot(
            [each.outside for each in shown],
            places,
            "D",
            color=ORANGE,
            markersize=5,
            label="share outside known range or categories",
        )
        axes.set_yticks(places, [each.name.replace("$", r"\$") for each in shown])
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.02), xlabel="distance of new from training rows (grey: ids and clocks)")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1))

    return svg(drawing, 1.2 + 0.28 * len(shown))
