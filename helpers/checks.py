"""A claim and its check: measured against expected, with rivals that must be rejected.

How near is near enough depends on what `measured` is, and each kind states its own tolerance:

=============  =============================================  ==========================  ======================
agreement      measured, relation                             holds                       a rival is rejected
=============  =============================================  ==========================  ======================
exact          numbers, equals                                error ≤ tolerance           error ≥ 2 tolerances
statistical    `Replicates`, equals                           score ≤ 5                   score ≥ 10
asymptotic     `Exponent`, equals                             within its interval         two half-widths away
inequality     numbers, at most / at least                    -tolerance ≤ gap ≤ sharp    gap outside twice that
ordering       numbers or `Replicates`, below / above         gap ≥ tolerance, score ≥ 5  the reverse, twice that
=============  =============================================  ==========================  ======================
"""

from dataclasses import dataclass

import numpy as np

from helpers import cards
from helpers.claims import claim as find_claim
from helpers.measurements import SIGMAS, Exponent, Replicates, exponent, numbers, replicates
from helpers.validation import fail, positive

__all__ = ["Case", "CheckFailed", "Result", "Rival", "check", "exponent", "replicates"]

MARGIN = 2
RELATIONS = ("equals", "at most", "at least", "below", "above")
RECORD = "generative-modelling-checked"


class CheckFailed(AssertionError):
    """A measurement that disagrees with the derivation, or a rival that survives."""


@dataclass(frozen=True)
class Case:
    """A rival that is another case, in which the same agreement between `measured` and `expected` must fail."""

    measured: object
    expected: object


@dataclass(frozen=True)
class Rival:
    """A wrong answer: its `name`; its `value` where it is furthest off, and the number `against` which it stands there;
    its `distance`, and whether it is `rejected`."""

    name: str
    value: float
    against: float
    distance: float
    rejected: bool


@dataclass(frozen=True)
class Result:
    """What a check found: the numbers of the worst of `cases` cases, and every rival."""

    claim: object
    label: str
    agreement: str
    relation: str
    measured: float
    error: float | None
    expected: float
    distance: float
    unit: str
    wanted: str
    cases: int
    holds: bool
    rivals: tuple

    def record(self):
        """The result as plain data, for the ledger."""
        shown = ("name", "value", "against", "distance")
        rivals = [{name: getattr(rival, name) for name in shown} for rival in self.rivals]
        own = ("label", "agreement", "relation", "measured", "error", "expected", "distance", "unit", "wanted", "cases")
        return {"id": self.claim.id, **{name: getattr(self, name) for name in own}, "rivals": rivals}

    def __repr__(self):
        return cards.text(self)

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": cards.text(self), "text/html": cards.html(self)}, {RECORD: self.record()}


def check(claim, *, measured, expected, rivals, relation="equals", tolerance=None, scale=None, sharp=None, label=""):
    """Compare `measured` with what the derivation of `claim` says, and with its rivals; stop where it does not hold.

    claim: id of a claim on record, in `chapters/<part>/claims.yml`.
    measured: found without the formula under test. Numbers (exact, inequality, ordering), `replicates(...)`
        (statistical, ordering) or `exponent(...)` (asymptotic).
    expected: what the derivation says, numbers of the very shape of `measured`; nothing is broadcast.
    rivals: wrong answers by name: numbers in the place of `expected`, or a `Case`.
    relation: "equals", "at most", "at least" (a bound, shown sharp), "below" or "above" (an order with a margin).
    tolerance: for numbers: the error that rounding or quadrature may leave, in units of `scale`.
    scale: the unit of the error; by default the largest |expected| (for bounds and orders, each |expected|). A rival is
        measured by the same unit; a `Case` by that of its own expected.
    sharp: for a bound: the gap, in units of `scale`, within which the nearest case must come.
    label: tells apart several checks of one claim.

    Returns a `Result`, which shows itself. Raises `CheckFailed` where measured and expected disagree, where there is no
    rival, or where one survives; `ValueError` for input that can be neither: an unknown claim, NaN, other shapes, ...
    """
    record = find_claim(claim)
    if not isinstance(rivals, dict):
        fail("rivals", "a dictionary of wrong answers by name", type(rivals).__name__)
    if "as printed" in rivals and not record.printed:
        fail("rivals", f"'printed' in the record of {claim!r} beside a rival 'as printed'", "none")
    if not isinstance(label, str):
        fail("label", "text", repr(label)[:80])
    agreement = _agreement(measured, relation, tolerance, scale, sharp)
    distance, worst, cases = agreement.distance(measured, expected, expected, "measured", "expected")
    found = tuple(_rival(agreement, measured, expected, name, rival) for name, rival in rivals.items())
    result = Result(
        record, label, agreement.name, relation, _at(measured, worst), _error_at(measured, worst), _at(expected, worst),
        distance, agreement.unit, agreement.wanted, cases, agreement.holds(distance), found,
    )  # fmt: skip
    if not result.holds:
        raise CheckFailed(f"{claim}: measured and expected disagree\n{result}")
    if not found:
        raise CheckFailed(f"{claim}: no rival: a check that cannot fail is no check\n{result}")
    if not all(rival.rejected for rival in found):
        names = ", ".join(repr(rival.name) for rival in found if not rival.rejected)
        raise CheckFailed(f"{claim}: not rejected with margin: {names}\n{result}")
    return result


def _rival(agreement, measured, expected, name, rival):
    if not isinstance(name, str) or not name.strip():
        fail("rivals", "a name for each", repr(name))
    case = rival if isinstance(rival, Case) else Case(measured, rival)
    if _kind(case.measured) != _kind(measured):
        fail(f"rivals[{name!r}]", f"measured as {_kind(measured)}", _kind(case.measured))
    unit_of = case.expected if isinstance(rival, Case) else expected
    distance, worst, _ = agreement.distance(
        case.measured, case.expected, unit_of, f"rivals[{name!r}].measured", f"rivals[{name!r}]"
    )
    sides = _at(case.expected, worst), _at(case.measured, worst)
    value, against = reversed(sides) if isinstance(rival, Case) else sides
    return Rival(name, value, against, distance, agreement.rejects(distance))


def _kind(measured):
    return type(measured).__name__ if isinstance(measured, Replicates | Exponent) else "numbers"


def _agreement(measured, relation, tolerance, scale, sharp):
    if relation not in RELATIONS:
        fail("relation", f"one of {RELATIONS}", repr(relation))
    uncertain = isinstance(measured, Replicates | Exponent)
    if isinstance(measured, Exponent) and relation != "equals":
        fail("relation", "'equals' for an exponent", repr(relation))
    if isinstance(measured, Replicates) and relation in ("at most", "at least"):
        fail("relation", "'equals', 'below' or 'above' for replicates", repr(relation))
    bound = relation in ("at most", "at least")
    if bound != (sharp is not None):
        fail("sharp", "a number for a bound, and for nothing else", f"{sharp!r} with relation {relation!r}")
    if uncertain and (tolerance is not None or scale is not None):
        fail("tolerance, scale", "none: a measurement with an uncertainty states its own", f"{tolerance!r}, {scale!r}")
    if not uncertain:
        tolerance = positive(tolerance, "tolerance")
    scale = None if scale is None else positive(scale, "scale")
    sign = {"equals": 0, "at most": 1, "below": 1, "at least": -1, "above": -1}[relation]
    if isinstance(measured, Exponent):
        return _Asymptotic()
    if isinstance(measured, Replicates):
        return _StatisticalOrdering(sign) if sign else _Statistical()
    if bound:
        return _Inequality(sign, tolerance, scale, positive(sharp, "sharp"))
    return _Ordering(sign, tolerance, scale) if sign else _Exact(tolerance, scale)


@dataclass(frozen=True)
class _Exact:
    tolerance: float
    scale: float | None
    name = "exact"

    @property
    def unit(self):
        return "relative error" if self.scale is None else f"error / {self.scale:g}"

    @property
    def wanted(self):
        return f"within {cards.number(self.tolerance)}"

    def distance(self, measured, expected, unit_of, measured_name, expected_name):
        measured, expected = _same_shape(measured, expected, measured_name, expected_name)
        scale = self.scale or np.abs(numbers(unit_of, expected_name)).max()
        if scale == 0:
            fail("scale", f"the unit of the error, as {expected_name} is zero everywhere", "none")
        errors = np.abs(measured - expected) / scale
        return float(errors.max()), int(errors.argmax()), errors.size

    def holds(self, distance):
        return distance <= self.tolerance

    def rejects(self, distance):
        return distance >= MARGIN * self.tolerance


@dataclass(frozen=True)
class _Statistical:
    name, unit, wanted = "statistical", "standard errors", f"within {SIGMAS}"

    def distance(self, measured, expected, unit_of, measured_name, expected_name):
        scores = _scores(measured, expected, measured_name, expected_name)
        worst = int(np.abs(scores).argmax())
        return float(scores[worst]), worst, scores.size

    def holds(self, distance):
        return abs(distance) <= SIGMAS

    def rejects(self, distance):
        return abs(distance) >= MARGIN * SIGMAS


@dataclass(frozen=True)
class _Asymptotic:
    name, unit, wanted = "asymptotic", "half-widths of its interval", "within 1"

    def distance(self, measured, expected, unit_of, measured_name, expected_name):
        _, expected = _same_shape(measured.value, expected, measured_name, expected_name)
        return float((measured.value - expected[0]) / measured.half_width), 0, 1

    def holds(self, distance):
        return abs(distance) <= 1

    def rejects(self, distance):
        return abs(distance) >= MARGIN


@dataclass(frozen=True)
class _Ordering:
    sign: int
    tolerance: float
    scale: float | None
    name = "ordering"

    @property
    def unit(self):
        return "relative gap" if self.scale is None else f"gap / {self.scale:g}"

    @property
    def wanted(self):
        return f"at least {cards.number(self.tolerance)}"

    def distance(self, measured, expected, unit_of, measured_name, expected_name):
        measured, expected = _same_shape(measured, expected, measured_name, expected_name)
        scale = self.scale or np.abs(numbers(unit_of, expected_name)).ravel()
        if not np.all(scale):
            fail("scale", f"the unit of the gap, as {expected_name} is zero somewhere", "none")
        gaps = self.sign * (expected - measured) / scale
        return float(gaps.min()), int(gaps.argmin()), gaps.size

    def holds(self, distance):
        return distance >= self.tolerance

    def rejects(self, distance):
        return distance <= -MARGIN * self.tolerance


@dataclass(frozen=True)
class _Inequality(_Ordering):
    sharp: float
    name = "inequality"

    @property
    def wanted(self):
        return f"from {cards.number(-self.tolerance)} to {cards.number(self.sharp)}"

    def holds(self, distance):
        return -self.tolerance <= distance <= self.sharp

    def rejects(self, distance):
        return distance <= -MARGIN * self.tolerance or distance >= MARGIN * self.sharp


@dataclass(frozen=True)
class _StatisticalOrdering:
    sign: int
    name, unit, wanted = "ordering", "standard errors", f"at least {SIGMAS}"

    def distance(self, measured, expected, unit_of, measured_name, expected_name):
        scores = -self.sign * _scores(measured, expected, measured_name, expected_name)
        return float(scores.min()), int(scores.argmin()), scores.size

    def holds(self, distance):
        return distance >= SIGMAS

    def rejects(self, distance):
        return distance <= -MARGIN * SIGMAS


def _scores(measured, expected, measured_name, expected_name):
    """The scores of `expected` against the replicates `measured`, as a flat array."""
    _, expected = _same_shape(measured.mean, expected, measured_name, expected_name)
    return np.ravel(measured.score(expected.reshape(measured.mean.shape)))


def _same_shape(measured, expected, measured_name, expected_name):
    """Both as flat float64 arrays; a `ValueError` where their shapes differ."""
    measured, expected = numbers(measured, measured_name), numbers(expected, expected_name)
    if measured.shape != expected.shape:
        fail(expected_name, f"the shape of {measured_name}, {measured.shape}", f"shape {expected.shape}")
    return measured.ravel(), expected.ravel()


def _at(value, index):
    if isinstance(value, Exponent):
        return value.value
    return float(numbers(value.mean if isinstance(value, Replicates) else value, "value").ravel()[index])


def _error_at(value, index):
    if isinstance(value, Exponent):
        return value.half_width
    return float(value.standard_error.ravel()[index]) if isinstance(value, Replicates) else None
