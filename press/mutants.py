"""Wrong versions of a check that it must refuse: with its answer bent, its order reversed, its rivals gone."""

import numpy as np

from helpers.checks import CheckFailed
from helpers.measurements import Exponent, Replicates, numbers

REVERSED = {"below": "above", "above": "below", "at most": "at least", "at least": "at most"}
SMALL = {True: 0.01, False: 0.05}  # by what share a component is bent where `measured` is exact, and where it is not
MANY = 20


class Bench:
    """Stands in for `check`: once the check itself holds, each of its mutants must fail."""

    def __init__(self, check):
        self.check, self.tried = check, 0

    def __call__(self, claim, **arguments):
        result = self.check(claim, **arguments)
        survivors = [name for name, change in mutants(arguments) if self._survives(claim, arguments | change)]
        if survivors:
            raise CheckFailed(f"{claim} {arguments.get('label', '')}: it would also hold with {'; '.join(survivors)}")
        return result

    def _survives(self, claim, arguments):
        self.tried += 1
        try:
            self.check(claim, **arguments)
        except (CheckFailed, ValueError):  # refused: it stops the chapter as well
            return False
        return True


def mutants(arguments):
    """Wrong versions of the call of `check` with these keyword `arguments`: the name and the change of each."""
    relation, expected = arguments.get("relation", "equals"), numbers(arguments["expected"], "expected")
    if relation in REVERSED:
        yield f"{REVERSED[relation]} in place of {relation}", {"relation": REVERSED[relation]}
    bent = {"equals": _components, "at most": _whole, "at least": _whole}.get(relation)
    if bent:
        yield from ((name, {"expected": value}) for name, value in bent(arguments, expected))
    if bent and expected.any():
        yield "-1 times expected", {"expected": -expected}
    yield "no rivals", {"rivals": {}}
    yield "the right answer as a rival", {"rivals": {**arguments["rivals"], "the right answer": expected}}


def _components(arguments, expected):
    """`expected` with one component a little off, each of them or, where they are many, a spread of them."""
    share = SMALL[not isinstance(arguments["measured"], Replicates | Exponent)]
    units = np.broadcast_to(_units(arguments, expected), expected.size)
    for position in np.unique(np.linspace(0, expected.size - 1, min(expected.size, MANY)).round().astype(int)):
        for step in (share, -share):
            if units[position]:
                other = expected.copy()
                other.flat[position] += step * units[position]
                yield f"component {position} of {expected.size} off by {step:+.0%}", other


def _units(arguments, expected):
    """What a share of each component is a share of: its size; where that is zero, the scale, if there is one."""
    size = np.abs(expected).ravel()
    scale = arguments.get("scale")
    return size if scale is None else np.where(size > 0, size, numbers(scale, "scale").ravel())


def _whole(arguments, expected):
    """A bound with all of it a little off."""
    share, scale = SMALL[False], arguments.get("scale")
    if expected.any():
        yield f"{1 + share} times expected", (1 + share) * expected
    elif scale is not None:
        for step in (share, -share):
            yield f"expected {step:+} of its scale", expected + step * numbers(scale, "scale")
