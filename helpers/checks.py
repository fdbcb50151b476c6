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

The share of its tolerance that a check uses is 0 for a perfect agreement and 1 at the edge; how near a rival comes is
1 at the edge of surviving and 0 infinitely far from it. `make seeds` holds both to a half.
"""

from dataclasses import dataclass

import numpy as np

from helpers import cards
from helpers.claims import claim as find_claim
from helpers.measurements import SIGMAS, Exponent, Replicates, exponent, numbers, replicates
from helpers.validation import fail, positive

__all__ = ["WAYS", "Case", "CheckFailed", "Result", "Rival", "check", "exponent", "replicates"]

MARGIN = 2
RELATIONS = ("equals", "at most", "at least", "below", "above")
WAYS = ("simulated", "quadrature", "brute force", "symbolic", "autodiff", "optimiser", "library")
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
    its `distance`; in how many of `cases` it is `off` by as much as a rejection needs; how `near` it comes to
    surviving, and whether it is `rejected`."""

    name: str
    value: float
    against: float
    distance: float
    off: int
    cases: int
    near: float
    rejected: bool


@dataclass(frozen=True)
class Result:
    """What a check found: the numbers of the worst of `cases` cases, the share of the tolerance `used` there, and every
    rival."""

    claim: object
    label: str
    by: str
    agreement: str
    relation: str
    measured: float
    error: float | None
    expected: float
    distance: float
    unit: str
    wanted: str
    cases: int
    used: float
    holds: bool
    rivals: tuple

    def record(self):
        """The result as plain data, for the ledger."""
        shown = ("name", "value", "against", "distance", "off", "cases", "near")
        rivals = [{name: getattr(rival, name) for name in shown} for rival in self.rivals]
        own = ("label", "by", "agreement", "relation", "measured", "error", "expected", "distance", "unit", "wanted")
        kept = {name: getattr(self, name) for name in (*own, "cases", "used")}
        return {"id": self.claim.id, **kept, "rivals": rivals}

    def __repr__(self):
        return cards.text(self)

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": cards.text(self), "text/html": cards.html(self)}, {RECORD: self.record()}


def check(
    claim, *, measured, by, expected, rivals,
    relation="equals", tolerance=None, scale=None, unit=None, sharp=None, label="",
):  # fmt: skip
    """Compare `measured` with what the derivation of `claim` says, and with its rivals; stop where it does not hold.

    claim: id of a claim on record, in `chapters/<part>/claims.yml`.
    measured: found without the formula under test. Numbers (exact, inequality, ordering), `replicates(...)`
        (statistical, ordering) or `exponent(...)` (asymptotic).
    by: how it was found, one of `WAYS`; "brute force" is enumeration, search and finite differences.
    expected: what the derivation says, numbers of the very shape of `measured`; nothing is broadcast.
    rivals: wrong answers by name: numbers in the place of `expected`, or a `Case`.
    relation: "equals", "at most", "at least" (a bound, shown sharp), "below" or "above" (an order with a margin).
    tolerance: for numbers: the error that rounding or quadrature may leave, in units of `scale`.
    scale: the size of the error's unit, one number or one a component; by default each component's own |expected|. A
        rival is measured by the same unit; a `Case` by that of its own expected.
    unit: with `scale`, and only then: what that unit is, in a few words that say why it is the right one.
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
    if by not in WAYS:
        fail("by", f"one of {WAYS}", repr(by))
    agreement = _agreement(measured, relation, tolerance, scale, unit, sharp)
    distances = agreement.distances(measured, expected, expected, "measured", "expected")
    worst = agreement.worst(distances)
    distance = float(distances[worst])
    found = tuple(_rival(agreement, measured, expected, name, rival) for name, rival in rivals.items())
    result = Result(
        record, label, by, agreement.name, relation, _at(measured, worst), _error_at(measured, worst),
        _at(expected, worst), distance, agreement.unit, agreement.wanted, distances.size, agreement.used(distance),
        agreement.used(distance) <= 1, found,
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
    distances = agreement.distances(
        case.measured, case.expected, unit_of, f"rivals[{name!r}].measured", f"rivals[{name!r}]"
    )
    if _is_mirrored(measured, expected, case):
        fail(f"rivals[{name!r}]", "somebody's answer", "the measurement with its sign turned or its sides exchanged")
    worst = agreement.worst(distances)
    sides = _at(case.expected, worst), _at(case.measured, worst)
    value, against = reversed(sides) if isinstance(rival, Case) else sides
    distance = float(distances[worst])
    off = sum(agreement.near(float(one)) <= 1 for one in distances)
    near = agreement.near(distance)
    return Rival(name, value, against, distance, off, distances.size, near, near <= 1)


def _is_mirrored(measured, expected, case):
    """Whether the rival is what was measured, turned around: rejected whenever the check holds, whoever is right."""
    ours, theirs = _central(measured), _central(case.measured)
    right, wrong = numbers(expected, "expected").ravel(), numbers(case.expected, "rivals").ravel()
    if len({len(ours), len(theirs), len(right), len(wrong)}) > 1 or _equal(ours, right):
        return False
    exchanged = _equal(theirs, right) and _equal(wrong, ours)
    turned = _equal(theirs, -ours) and _equal(wrong, -right)
    return exchanged or turned or (_equal(wrong, -ours) and not _equal(wrong, -right))


def _equal(a, b):
    return np.allclose(a, b, rtol=1e-12, atol=0)


def _central(measured):
    value = measured.mean if isinstance(measured, Replicates) else measured
    return numbers(value.value if isinstance(measured, Exponent) else value, "measured").ravel()


def _kind(measured):
    return type(measured).__name__ if isinstance(measured, Replicates | Exponent) else "numbers"


def _agreement(measured, relation, tolerance, scale, unit, sharp):
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
    if (scale is None) != (unit is None) or not (unit is None or (isinstance(unit, str) and unit.strip())):
        fail("unit", "a few words that say what the unit is, where a scale is given", f"{unit!r} with scale {scale!r}")
    if not uncertain:
        tolerance = positive(tolerance, "tolerance")
    scale = None if scale is None else numbers(scale, "scale")
    if scale is not None and not (scale > 0).all():
        fail("scale", "numbers above zero", scale.min())
    sign = {"equals": 0, "at most": 1, "below": 1, "at least": -1, "above": -1}[relation]
    if isinstance(measured, Exponent):
        return _Asymptotic()
    if isinstance(measured, Replicates):
        return _StatisticalOrdering(sign) if sign else _Statistical()
    if bound:
        return _Inequality(tolerance, scale, unit, sign, positive(sharp, "sharp"))
    return _Ordering(tolerance, scale, unit, sign) if sign else _Exact(tolerance, scale, unit)


def _share(part, whole):
    """part / whole, and infinity where nothing is left of the whole."""
    return part / whole if whole > 0 else float("inf")


class _TwoSided:
    """Worse is further away, on either side, from an agreement at zero; `edge` is where it ends."""

    def worst(self, distances):
        return int(np.abs(distances).argmax())

    def used(self, distance):
        return abs(distance) / self.edge

    def near(self, distance):
        return _share(MARGIN * self.edge, abs(distance))


class _OneSided:
    """Worse is lower: an order holds from `edge` on, and its reverse from twice as far below zero."""

    def worst(self, distances):
        return int(distances.argmin())

    def used(self, distance):
        return _share(self.edge, distance)

    def near(self, distance):
        return _share(MARGIN * self.edge, -distance)


@dataclass(frozen=True)
class _Scaled:
    """What numbers without an uncertainty share: a tolerance, and a unit for each component."""

    edge: float
    scale: object
    named: str | None

    @property
    def unit(self):
        return f"relative {self.noun}" if self.scale is None else f"{self.noun}, {self.named}"

    def distances(self, measured, expected, unit_of, measured_name, expected_name):
        measured, expected = _same_shape(measured, expected, measured_name, expected_name)
        scale = np.abs(numbers(unit_of, expected_name)).ravel() if self.scale is None else self.scale.ravel()
        if scale.size not in (1, measured.size):
            fail("scale", f"one number, or one for each of {measured.size} components", f"{scale.size}")
        if not scale.all():
            fail("scale", f"the unit of the {self.noun}, as {expected_name} is zero somewhere", "none")
        return self.gaps(measured, expected) / scale


class _Exact(_TwoSided, _Scaled):
    name, noun = "exact", "error"

    @property
    def wanted(self):
        return f"within {cards.number(self.edge)}"

    def gaps(self, measured, expected):
        return np.abs(measured - expected)


class _Statistical(_TwoSided):
    name, unit, wanted, edge = "statistical", "standard errors", f"within {SIGMAS}", SIGMAS

    def distances(self, measured, expected, unit_of, measured_name, expected_name):
        return _scores(measured, expected, measured_name, expected_name)


class _Asymptotic(_TwoSided):
    name, unit, wanted, edge = "asymptotic", "half-widths of its interval", "within 1", 1

    def distances(self, measured, expected, unit_of, measured_name, expected_name):
        _, expected = _same_shape(measured.value, expected, measured_name, expected_name)
        return (measured.value - expected) / measured.half_width


@dataclass(frozen=True)
class _Ordering(_OneSided, _Scaled):
    sign: int
    name, noun = "ordering", "gap"

    @property
    def wanted(self):
        return f"at least {cards.number(self.edge)}"

    def gaps(self, measured, expected):
        return self.sign * (expected - measured)


@dataclass(frozen=True)
class _Inequality(_Ordering):
    sharp: float
    name = "inequality"

    @property
    def wanted(self):
        return f"from {cards.number(-self.edge)} to {cards.number(self.sharp)}"

    def used(self, distance):
        return max(-distance / self.edge, distance / self.sharp)

    def near(self, distance):
        return _share(MARGIN, self.used(distance))


@dataclass(frozen=True)
class _StatisticalOrdering(_OneSided):
    sign: int
    name, unit, wanted, edge = "ordering", "standard errors", f"at least {SIGMAS}", SIGMAS

    def distances(self, measured, expected, unit_of, measured_name, expected_name):
        return -self.sign * _scores(measured, expected, measured_name, expected_name)


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
