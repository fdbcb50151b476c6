"""One style for every figure, and a slider that works without a kernel."""

import base64
import io
from dataclasses import dataclass
from html import escape

import matplotlib.pyplot as plt

from helpers.validation import fail

__all__ = ["COLOURS", "Slider", "slider", "use_style"]

COLOURS = {
    "blue": "#0072b2",
    "orange": "#d55e00",
    "green": "#009e73",
    "purple": "#aa4499",
    "yellow": "#b58900",
    "grey": "#6b6b6b",
}

STYLE = {
    "figure.figsize": (7.2, 3.4),
    "figure.dpi": 144,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.constrained_layout.use": True,
    "axes.prop_cycle": plt.cycler(color=list(COLOURS.values())),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "font.size": 10.5,
}


def use_style():
    """Set the book's style for every figure that follows: colours that colour-blind readers tell apart, no clutter."""
    plt.rcParams.update(STYLE)


@dataclass(frozen=True)
class Slider:
    """A row of ready-made pictures behind a range input: `frames` are (value, alt text, PNG bytes)."""

    label: str
    frames: tuple
    start: int

    def __repr__(self):
        return f"Slider over {self.label}: " + ", ".join(value for value, _, _ in self.frames)

    def _repr_html_(self):
        images = "".join(
            f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" alt="{escape(alt)}" '
            f'style="max-width:100%;background:white"{"" if i == self.start else " hidden"}>'
            for i, (_, alt, png) in enumerate(self.frames)
        )
        values = "".join(
            f"<span{'' if i == self.start else ' hidden'}>{escape(value)}</span>"
            for i, (value, _, _) in enumerate(self.frames)
        )
        show = (
            "for (const row of this.closest('figure').querySelectorAll('[data-frames]')) "
            "[...row.children].forEach((child, i) => { child.hidden = i != this.value })"
        )
        return (
            '<figure class="frame-slider" style="margin:0">'
            f'<div data-frames>{images}</div><label style="display:flex;gap:.8em;align-items:center">'
            f"<span>{escape(self.label)}</span>"
            f'<input type="range" min="0" max="{len(self.frames) - 1}" value="{self.start}" '
            f'aria-label="{escape(self.label)}" style="flex:1" oninput="{escape(show)}">'
            f'<output data-frames style="min-width:6em">{values}</output></label></figure>'
        )


def slider(draw, values, label, describe, start=None):
    """A `Slider` over `values`: `draw(value)` draws each picture, `describe(value)` is its alt text.

    `label` says what moves; `start` is the position shown first (default: the middle). The pictures are drawn now, so
    that the slider needs no kernel: about 30 kB each. Raises `ValueError` for fewer than two values, an empty label or
    alt text, a `start` outside, or a `draw` that leaves the current figure empty.
    """
    values = list(values)
    if len(values) < 2:
        fail("values", "two or more", values)
    if not isinstance(label, str) or not label.strip():
        fail("label", "a text that says what moves", repr(label))
    start = len(values) // 2 if start is None else start
    if not isinstance(start, int) or start not in range(len(values)):
        fail("start", f"a position from 0 to {len(values) - 1}", start)
    frames = []
    for value in values:
        alt = describe(value)
        if not isinstance(alt, str) or not alt.strip():
            fail("describe", "a sentence for each value", repr(alt))
        figure = plt.figure(dpi=110)
        draw(value)
        if not figure.axes:
            plt.close(figure)
            fail("draw", "a picture on the current figure", f"an empty figure for {value!r}")
        picture = io.BytesIO()
        figure.savefig(picture, format="png")
        plt.close(figure)
        frames.append((f"{value:g}" if isinstance(value, int | float) else str(value), alt, picture.getvalue()))
    return Slider(label, tuple(frames), start)
