"""How the result of a check looks: a card for a page, plain text for a terminal."""

from html import escape

__all__ = ["anchor", "html", "number", "text"]

RELATION_SIGNS = {"equals": "=", "at most": "≤", "at least": "≥", "below": "<", "above": ">"}

FRAME = (
    "border:1px solid rgba(128,128,128,.45);border-left:4px solid {edge};border-radius:6px;padding:.6em .9em;"
    "margin:.4em 0 .8em;max-width:46em;font-size:.92em;line-height:1.45;color:inherit;background:rgba(128,128,128,.06)"
)
CELL = "padding:.1em .9em .1em 0;text-align:left;vertical-align:top;border:0;background:none;color:inherit"
HEAD = f"{CELL};font-weight:600"


def number(value, digits=6):
    """A number as a reader wants it: six figures, a true minus sign."""
    return f"{value:.{digits}g}".replace("-", "−")


def anchor(claim, label):
    """The name under which a page knows the card of this claim's check."""
    words = f"check-{claim} {label}".split()
    return "-".join("".join(c for c in word if c.isalnum() or c == "-").lower() for word in words)


def _title(result):
    failed = not (result.holds and result.rivals and all(rival.rejected for rival in result.rivals))
    return ("✗ fails" if failed else "✓ holds"), failed


def _measured(result):
    error = "" if result.error is None else f" ± {number(result.error, 2)}"
    return number(result.measured) + error


def _place(claim):
    return f"{claim.lecture.capitalize()}, {claim.place}"


def _agreement(result):
    return f"{result.agreement}: {result.wanted} {result.unit}"


def _cases(result):
    return f"worst of {result.cases} cases" if result.cases > 1 else ""


def _rows(result):
    yield "measured", _measured(result), ", ".join(filter(None, (result.by, _cases(result))))
    sign = "" if result.relation == "equals" else RELATION_SIGNS[result.relation] + " "
    yield "expected", sign + number(result.expected), f"{number(result.distance, 3)} {result.unit}"
    for rival in result.rivals:
        fate = "rejected" if rival.rejected else "NOT REJECTED"
        distance = f"{number(rival.distance, 3)} {result.unit}"
        against = "" if rival.against == result.measured else f" against {number(rival.against)}"
        off = f", off in {rival.off} of {rival.cases}" if rival.cases > 1 else ""
        yield f"rival: {rival.name}", number(rival.value) + against, f"{fate}, {distance}{off}"


def text(result):
    """The card for a terminal."""
    claim = result.claim
    label = f" [{result.label}]" if result.label else ""
    rows = [tuple(row) for row in _rows(result)]
    widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
    lines = [f"{_title(result)[0]} · {claim.id}{label} · {_place(claim)} · {_agreement(result)}"]
    lines.append(f"  {claim.statement}")
    lines += [f"  {a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows]
    return "\n".join(lines)


def html(result):
    """The card for a page: it carries its own style and takes its colours from the text around it."""
    title, failed = _title(result)
    claim = result.claim
    label = f" · {escape(result.label)}" if result.label else ""
    body = "".join(
        f'<tr style="background:none"><th scope="row" style="{HEAD}">{escape(a)}</th>'
        f'<td style="{CELL};white-space:nowrap">{escape(b)}</td><td style="{CELL}">{escape(c)}</td></tr>'
        for a, b, c in _rows(result)
    )
    edge = "#d55e00" if failed else "#009e73"
    return (
        f'<div id="{escape(anchor(claim.id, result.label))}" class="check-card" style="{FRAME.format(edge=edge)}">'
        f"<div><strong>{title}</strong> · {escape(claim.statement)}</div>"
        f'<div style="font-size:.88em">{escape(_place(claim))} · {escape(_agreement(result))}{label}'
        f" · <code>{escape(claim.id)}</code></div>"
        f'<table style="border:0;margin:.35em 0 0;border-collapse:collapse;width:auto;background:none">'
        f"<tbody>{body}</tbody></table></div>"
    )
