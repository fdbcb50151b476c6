import json
import re

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from helpers import checks
from helpers.checks import WAYS, Case, CheckFailed, Result, Rival, exponent, replicates
from helpers.measurements import Exponent, Replicates

pytestmark = pytest.mark.usefixtures("record")


def runs(mean, error, number=10_000):
    """Replicates with this mean and this standard error, made without chance; their scores are t to 1e-3."""
    sides = np.array([-1.0, 1.0] * (number // 2)).reshape(-1, *[1] * np.ndim(mean))
    return replicates(mean + sides * np.asarray(error) * np.sqrt(number - 1))


def check(claim, by="library", **arguments):
    return checks.check(claim, by=by, **arguments)


# One sound check of each kind; each test spoils one thing.
SOUND = {
    "exact": {"measured": [1.0, 2.0], "expected": [1.0, 2.0], "tolerance": 0.01, "rivals": {"off": [1.0, 2.1]}},
    "exact, scaled": {"measured": 0.001, "expected": 0.0, "tolerance": 0.01, "scale": 1, "unit": "of one",
                      "rivals": {"off": 0.1}},
    "statistical": {"measured": runs([3.0, 0.0], 1.0), "expected": [3.0, 1.0], "rivals": {"off": [3.0, 20.0]}},
    "asymptotic": {"measured": Exponent(2.0, 0.1), "expected": 2.05, "rivals": {"off": 1.5}},
    "at most": {
        "measured": [0.95, 0.5], "expected": [1.0, 1.0], "relation": "at most", "tolerance": 0.01, "sharp": 0.1,
        "rivals": {"not true": [0.9, 0.9], "not sharp": [2.0, 2.0]},
    },
    "at least": {
        "measured": [1.05, 9.0], "expected": [1.0, 1.0], "relation": "at least", "tolerance": 0.01, "sharp": 0.1,
        "rivals": {"not true": [1.1, 1.1], "not sharp": [0.5, 0.5]},
    },
    "below": {
        "measured": [1.0, 2.0], "expected": [2.0, 3.0], "relation": "below", "tolerance": 0.1,
        "rivals": {"above": [0.5, 3.0]},
    },
    "above": {
        "measured": [2.0, 3.0], "expected": [1.0, 2.0], "relation": "above", "tolerance": 0.1,
        "rivals": {"below": [3.0, 2.0]},
    },
    "statistically below": {
        "measured": runs(1.0, 0.1), "expected": 2.0, "relation": "below", "rivals": {"above": -0.5},
    },
    "statistically above": {
        "measured": runs(1.0, 0.1), "expected": 0.0, "relation": "above", "rivals": {"below": 2.5},
    },
}  # fmt: skip
AGREEMENT = {"at most": "inequality", "at least": "inequality", "below": "ordering", "above": "ordering"}


def sound(kind, **changes):
    return check("talk-sum", **{**SOUND[kind], **changes})


@pytest.mark.parametrize("kind", SOUND)
def test_a_sound_check_passes_and_says_what_it_found(kind):
    result = sound(kind, label="sound")
    relation = SOUND[kind].get("relation", "equals")
    assert result.holds
    assert result.relation == relation
    assert result.agreement == AGREEMENT.get(relation, kind.split(",")[0])
    assert [rival.name for rival in result.rivals] == list(SOUND[kind]["rivals"])
    assert all(rival.rejected for rival in result.rivals)


@pytest.mark.parametrize("kind", SOUND)
def test_a_check_without_a_rival_fails(kind):
    with pytest.raises(CheckFailed, match="talk-sum: no rival: a check that cannot fail is no check"):
        sound(kind, rivals={})


@pytest.mark.parametrize("kind", SOUND)
def test_a_rival_equal_to_expected_fails(kind):
    with pytest.raises(CheckFailed, match="not rejected with margin: 'the same'"):
        sound(kind, rivals={**SOUND[kind]["rivals"], "the same": SOUND[kind]["expected"]})


NEAR = [  # the kind, a rival just too near, one just far enough
    ("exact", [1.0, 2.039], [1.0, 2.041]),
    ("exact", [1.0, 1.961], [1.0, 1.959]),
    ("exact", [1.019, 2.0], [1.021, 2.0]),
    ("exact, scaled", -0.0185, -0.0195),
    ("exact, scaled", 0.0205, 0.0215),
    ("statistical", [3.0, 9.95], [3.0, 10.05]),
    ("statistical", [3.0, -6.0], [3.0, -10.05]),
    ("statistical", [-4.0, 1.0], [-8.0, 1.0]),
    ("asymptotic", 2.19, 2.21),
    ("asymptotic", 1.81, 1.79),
    ("at most", [0.94, 0.94], [0.92, 0.92]),
    ("at most", [1.14, 1.14], [1.16, 1.16]),
    ("at least", [1.06, 1.06], [1.08, 1.08]),
    ("at least", [0.86, 0.86], [0.84, 0.84]),
    ("below", [0.7, 3.0], [0.55, 3.0]),
    ("below", [1.01, 3.0], [2.0, 1.3]),
    ("above", [2.15, 2.0], [2.25, 2.0]),
    ("statistically below", 0.01, -0.01),
    ("statistically above", 1.99, 2.01),
]


@pytest.mark.parametrize(("kind", "near", "far"), NEAR)
def test_a_rival_too_near_fails_and_one_beyond_the_margin_does_not(kind, near, far):
    with pytest.raises(CheckFailed, match="not rejected with margin: 'near'"):
        sound(kind, rivals={**SOUND[kind]["rivals"], "near": near})
    sound(kind, rivals={"far": far})


@pytest.mark.parametrize("which", ["off", "off too"])
def test_one_rival_of_two_that_survives_is_enough_to_fail(which):
    rivals = {"off": [5.0, 5.0], "off too": [6.0, 6.0], which: [1.0, 2.01]}
    with pytest.raises(CheckFailed, match=f"not rejected with margin: '{which}'\n"):
        sound("exact", rivals=rivals)


DISAGREEING = [
    ("exact", [1.0, 2.021]),
    ("exact", [1.021, 2.0]),
    ("exact", [-1.0, -2.0]),
    ("exact", [2.0, 1.0]),
    ("exact, scaled", 0.0111),
    ("statistical", [3.0, 5.05]),
    ("statistical", [-2.05, 0.0]),
    ("asymptotic", 2.101),
    ("asymptotic", 1.899),
    ("at most", [0.93, 0.93]),  # violated
    ("at most", [1.06, 1.06]),  # not sharp
    ("at least", [1.07, 1.07]),
    ("at least", [0.94, 0.94]),
    ("below", [1.05, 3.0]),  # in order, without the margin
    ("below", [1.0, 2.0]),  # equal
    ("below", [0.5, 1.0]),  # reversed
    ("below", [2.0, 1.0]),  # reversed in one case of two
    ("above", [1.9, 2.95]),
    ("above", [3.0, 4.0]),
    ("above", [1.0, 4.0]),
    ("statistically below", 1.49),
    ("statistically below", 0.0),
    ("statistically above", 0.51),
    ("statistically above", 2.0),
]


@pytest.mark.parametrize(("kind", "expected"), DISAGREEING)
def test_a_disagreement_fails(kind, expected):
    with pytest.raises(CheckFailed, match="talk-sum: measured and expected disagree"):
        sound(kind, expected=expected, rivals={"off": np.multiply(SOUND[kind]["expected"], 100)})


@pytest.mark.parametrize(("relation", "kept", "broken"), [("below", 2.0, 0.0), ("above", 0.0, 2.0)])
def test_one_mean_out_of_order_is_enough_to_fail(relation, kept, broken):
    arguments = {"measured": runs([1.0, 1.0], 0.1), "relation": relation, "rivals": {"turned": [kept, 2 * broken - 1]}}
    assert check("talk-sum", expected=[kept, kept], **arguments).cases == 2
    with pytest.raises(CheckFailed, match="disagree"):
        check("talk-sum", expected=[kept, broken], **arguments)


def test_a_failure_shows_every_number():
    with pytest.raises(CheckFailed) as failure:
        check("talk-sign", measured=[7.0, 2.25], expected=[7.0, 2.5], tolerance=0.01, scale=1, unit="of one",
              rivals={"no sign": [7.0, -2.5], "near": [7.0, 2.24]}, label="at two")  # fmt: skip
    message = str(failure.value)
    for shown in ("talk-sign", "at two", "(2), a slide", "The derivative of x² is 2x.", "✗ fails", "worst of 2 cases"):
        assert shown in message
    lines = message.splitlines()
    assert any(re.match(r" +measured +2\.25 ", line) for line in lines)
    assert any(re.match(r" +expected +2\.5 +0\.25 error, of one", line) for line in lines)
    assert any(
        re.match(r" +rival: no sign +−2\.5 +rejected, 4\.75 error, of one, off in 1 of 2", line) for line in lines
    )
    assert any(
        re.match(r" +rival: near +2\.24 +NOT REJECTED, 0\.01 error, of one, off in 0 of 2", line) for line in lines
    )


def test_a_survivor_is_shown_with_its_distance():
    with pytest.raises(CheckFailed) as failure:
        sound("statistical", rivals={"no bias": [3.0, 7.0]})
    assert re.search(r"rival: no bias +7 +NOT REJECTED, −6\.99 standard errors", str(failure.value))
    assert re.search(r"expected +1 +−1 standard errors", str(failure.value))


NUMBERS = [kind for kind in SOUND if isinstance(SOUND[kind]["measured"], float | list)]
UNCERTAIN = [kind for kind in SOUND if kind not in NUMBERS]
WRONG = {
    "nan": (float("nan"), "finite numbers, got nan"),
    "infinity": (float("inf"), "finite numbers, got inf"),
    "minus infinity": (-np.inf, "finite numbers, got -inf"),
    "a boolean": (True, "real numbers, got dtype torch.bool"),
    "text": ("1.0", "numbers, got '1.0'"),
    "nothing": (None, "numbers, got None"),
    "a complex number": (1 + 0j, "real numbers, got dtype torch.complex128"),
    "an empty sample": ([], r"at least one number, got an empty array of shape \(0,\)"),
    "NaN among numbers": ([1.0, float("nan")], "finite numbers, got nan"),
    "booleans": (np.array([True, False]), "real numbers"),
}


@pytest.mark.parametrize("kind", SOUND)
@pytest.mark.parametrize(("value", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_number_is_refused_as_expected_and_as_rival(kind, value, message):
    with pytest.raises(ValueError, match=f"^expected: wanted {message}"):
        sound(kind, expected=value)
    with pytest.raises(ValueError, match=rf"^rivals\['odd'\]: wanted {message}"):
        sound(kind, rivals={**SOUND[kind]["rivals"], "odd": value})


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize(("value", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_number_is_refused_as_measured(kind, value, message):
    with pytest.raises(ValueError, match=f"^measured: wanted {message}"):
        sound(kind, measured=value)
    with pytest.raises(ValueError, match=rf"^rivals\['odd'\]\.measured: wanted {message}"):
        sound(kind, rivals={"odd": Case(value, SOUND[kind]["expected"])})


@pytest.mark.parametrize("kind", ["exact", "at most", "below"])
@pytest.mark.parametrize(
    ("measured", "expected"),
    [((), (2,)), ((2,), ()), ((3,), (3, 1)), ((1,), ()), ((3, 1), (1, 3)), ((2, 3), (3,)), ((4,), (2, 2))],
)
def test_shapes_that_would_broadcast_are_refused(kind, measured, expected):
    shapes = re.escape(f"expected: wanted the shape of measured, {measured}, got shape {expected}")
    with pytest.raises(ValueError, match=shapes):
        sound(kind, measured=np.ones(measured), expected=np.ones(expected), rivals={"off": np.zeros(measured)})


@pytest.mark.parametrize("shape", [(), (3,), (1, 3), (3, 1)])
def test_shapes_of_replicates_that_would_broadcast_are_refused(shape):
    measured = runs(np.ones((3, 3)), 1.0)
    for relation in ("equals", "below"):
        with pytest.raises(ValueError, match=r"expected: wanted the shape of measured, \(3, 3\)"):
            check("talk-sum", measured=measured, expected=np.ones(shape), relation=relation, rivals={"off": 9.0})


@pytest.mark.parametrize("kind", SOUND)
def test_a_rival_of_another_shape_is_refused(kind):
    message = r"rivals\['wide'\]: wanted the shape of rivals\['wide'\].measured, .*, got shape \(1, 2\)"
    with pytest.raises(ValueError, match=message):
        sound(kind, rivals={"wide": [[30.0, 40.0]]})


@pytest.mark.parametrize("expected", [[2.0], (2.0,)])
def test_an_exponent_is_compared_with_one_number(expected):
    with pytest.raises(ValueError, match=r"expected: wanted the shape of measured, \(\), got shape \(1,\)"):
        sound("asymptotic", expected=expected)


@pytest.mark.parametrize("rivals", [None, [], [1.0], "off", {"off"}, (("off", 1.0),), 3.0])
def test_rivals_that_are_no_dictionary_are_refused(rivals):
    with pytest.raises(ValueError, match=f"rivals: wanted a dictionary .*, got {type(rivals).__name__}"):
        sound("exact", rivals=rivals)


@pytest.mark.parametrize("name", ["", "  ", None, 3, ("a",)])
def test_a_rival_without_a_name_is_refused(name):
    with pytest.raises(ValueError, match=f"rivals: wanted a name for each, got {re.escape(repr(name))}"):
        sound("exact", rivals={name: [1.0, 3.0]})


@pytest.mark.parametrize("name", ["talk-sums", "talk", "", None, 3, ["talk-sum"]])
def test_a_claim_that_does_not_exist_is_refused(name):
    with pytest.raises(ValueError, match="claim: wanted an id on record, got "):
        check(name, **SOUND["exact"])


def test_a_claim_without_a_statement_is_refused():
    with pytest.raises(ValueError, match="claim: wanted a claim whose statement is written, got 'talk-silent'"):
        check("talk-silent", **SOUND["exact"])


def test_a_rival_as_printed_needs_a_printed_form():
    rivals = {"as printed": [1.0, 3.0]}
    with pytest.raises(ValueError, match="rivals: wanted 'printed' in the record of 'talk-sum'"):
        sound("exact", rivals=rivals)
    assert check("talk-sign", **{**SOUND["exact"], "rivals": rivals}).rivals[0].rejected


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("tolerance", [None, 0, -0.01, float("nan"), float("inf"), "0.01", True, 1j, [0.01]])
def test_a_tolerance_that_is_no_number_above_zero_is_refused(kind, tolerance):
    with pytest.raises(ValueError, match="tolerance: wanted a number above zero, got "):
        sound(kind, tolerance=tolerance)


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf"), "1", True, [1.0, 0.0]])
def test_a_scale_that_is_no_number_above_zero_is_refused(kind, scale):
    with pytest.raises(ValueError, match="scale: wanted .*numbers"):
        sound(kind, scale=scale, unit="of one")


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("words", [{"scale": 1.0, "unit": None}, {"scale": 1.0, "unit": " "}, {"unit": "of one"}])
def test_a_scale_and_the_words_for_its_unit_go_together(kind, words):
    with pytest.raises(ValueError, match="unit: wanted a few words that say what the unit is, where a scale is given"):
        sound(kind, **{"scale": None, **words})


@pytest.mark.parametrize("scale", [[1.0, 1.0, 1.0], np.ones(5)])
def test_a_scale_of_another_number_of_components_is_refused(scale):
    with pytest.raises(ValueError, match="scale: wanted one number, or one for each of 2 components"):
        sound("exact", scale=scale, unit="of one")


def test_each_component_has_its_own_size_or_its_own_scale():
    small = {"measured": [1e-6, 1e6], "tolerance": 0.01, "rivals": {"off": [2e-6, 1e6]}}
    result = check("talk-sum", expected=[1e-6, 1e6], **small)
    assert (result.rivals[0].off, result.rivals[0].cases) == (1, 2)
    with pytest.raises(CheckFailed, match="disagree"):
        check("talk-sum", expected=[1.02e-6, 1e6], **small)
    assert check("talk-sum", expected=[1.02e-6, 1e6], scale=[1e-5, 1e6], unit="of its terms", measured=[1e-6, 1e6],
                 tolerance=0.01, rivals={"off": [2e-6, 2e6]}).rivals[0].off == 2  # fmt: skip


@pytest.mark.parametrize("by", ["", "by hand", None, 3, ["simulated"]])
def test_how_it_was_measured_is_one_of_a_short_list(by):
    with pytest.raises(ValueError, match="by: wanted one of .*'quadrature'.*, got "):
        sound("exact", by=by)
    with pytest.raises(TypeError, match="by"):
        checks.check("talk-sum", **SOUND["exact"])


@pytest.mark.parametrize("by", WAYS)
def test_how_it_was_measured_is_kept(by):
    assert sound("exact", by=by).record()["by"] == by


MIRRORED = [
    ("below", Case([2.0, 3.0], [1.0, 2.0])),
    ("below", Case([-1.0, -2.0], [-2.0, -3.0])),
    ("below", [-1.0, -2.0]),
    ("above", Case([1.0, 2.0], [2.0, 3.0])),
    ("statistically below", Case(runs(-1.0, 0.1), -2.0)),
    ("at most", Case([1.0, 1.0], [0.95, 0.5])),
    ("exact, scaled", -0.001),
]


@pytest.mark.parametrize(("kind", "rival"), MIRRORED)
def test_the_measurement_turned_around_is_no_rival(kind, rival):
    with pytest.raises(ValueError, match=r"rivals\['turned'\]: wanted somebody's answer, got the measurement"):
        sound(kind, rivals={"turned": rival})


def test_a_sign_turned_is_a_rival():
    assert sound("exact", rivals={"no minus": [-1.0, -2.0]}).rivals[0].rejected


SHARES = [  # the kind, what is expected, the share of the tolerance that is used
    ("exact", [1.0, 1.99], 0.502513),
    ("exact, scaled", 0.0, 0.1),
    ("statistical", [3.0, 1.0], 0.2),
    ("asymptotic", 2.05, 0.5),
    ("at most", [1.0, 1.0], 0.5),
    ("below", [2.0, 3.0], 0.3),
    ("statistically below", 2.0, 0.5),
]


@pytest.mark.parametrize(("kind", "expected", "share"), SHARES)
def test_the_share_of_the_tolerance_is_kept(kind, expected, share):
    assert sound(kind, expected=expected).record()["used"] == pytest.approx(share, rel=0.01)


NEARNESS = [  # the kind, a rival, how near it is to surviving
    ("exact", [1.0, 2.08], 0.5),
    ("statistical", [3.0, 20.0], 0.5),
    ("asymptotic", 1.6, 0.5),
    ("at most", [0.9, 0.9], 0.4),
    ("at most", [2.0, 2.0], 0.2 / 1.05),
    ("below", [1.5, 1.2], 0.75),
    ("statistically below", -0.5, 10 / 15),
]


@pytest.mark.parametrize(("kind", "rival", "near"), NEARNESS)
def test_how_near_a_rival_comes_is_kept(kind, rival, near):
    assert sound(kind, rivals={"off": rival}).record()["rivals"][0]["near"] == pytest.approx(near, rel=0.01)


@pytest.mark.parametrize("kind", UNCERTAIN)
@pytest.mark.parametrize("given", [{"tolerance": 0.1}, {"scale": 1.0}, {"tolerance": 0.1, "scale": 1.0}])
def test_a_measurement_with_an_uncertainty_takes_no_tolerance(kind, given):
    with pytest.raises(ValueError, match="tolerance, scale: wanted none"):
        sound(kind, **given)


@pytest.mark.parametrize("kind", ["at most", "at least"])
@pytest.mark.parametrize("sharp", [0, -1, float("nan"), float("inf"), "1", True])
def test_a_sharpness_that_is_no_number_above_zero_is_refused(kind, sharp):
    with pytest.raises(ValueError, match="sharp: wanted a number above zero, got "):
        sound(kind, sharp=sharp)


@pytest.mark.parametrize("kind", SOUND)
def test_sharp_belongs_to_bounds_and_to_nothing_else(kind):
    bound = kind in ("at most", "at least")
    with pytest.raises(ValueError, match="sharp: wanted a number for a bound, and for nothing else, got "):
        sound(kind, sharp=None if bound else 0.1)


@pytest.mark.parametrize("relation", ["", "=", "less", "equal", "At most", None, 0, ["equals"]])
def test_an_unknown_relation_is_refused(relation):
    with pytest.raises(ValueError, match="relation: wanted one of .*'at most'.*, got "):
        sound("exact", relation=relation)


@pytest.mark.parametrize("relation", ["at most", "at least"])
def test_replicates_are_no_bound(relation):
    with pytest.raises(ValueError, match="relation: wanted 'equals', 'below' or 'above' for replicates, got "):
        sound("statistical", relation=relation, sharp=0.1)


@pytest.mark.parametrize("relation", ["at most", "at least", "below", "above"])
def test_an_exponent_is_compared_by_equality_alone(relation):
    with pytest.raises(ValueError, match="relation: wanted 'equals' for an exponent, got "):
        sound("asymptotic", relation=relation)


@pytest.mark.parametrize("label", [None, 3, b"label", ["a"]])
def test_a_label_is_text(label):
    with pytest.raises(ValueError, match="label: wanted text, got "):
        sound("exact", label=label)


@pytest.mark.parametrize(
    ("kind", "expected"), [("exact", [0.0, 0.0]), ("at most", [1.0, 0.0]), ("below", [0.0, 3.0]), ("above", [0.0, 0.0])]
)
def test_an_expected_zero_needs_a_scale(kind, expected):
    with pytest.raises(ValueError, match="scale: wanted the unit of the .*, as expected is zero .*, got none"):
        sound(kind, expected=expected)


def test_a_rival_that_is_zero_is_measured_in_the_unit_of_expected():
    result = sound("exact", rivals={"no sum": [0.0, 0.0], "thrice": [3.0, 6.0]})
    assert [rival.distance for rival in result.rivals] == [1.0, 2.0]
    assert sound("below", rivals={"zero": [0.0, 0.0]}).rivals[0].distance == -2 / 3
    assert sound("at most", rivals={"a thousandfold": [1e3, 1e3]}).rivals[0].distance == pytest.approx(999.05)


def test_one_replicate_and_replicates_without_variance_are_refused():
    for values in ([1.0], [[1.0, 2.0]], [2.0, 2.0], []):
        with pytest.raises(ValueError, match="values: wanted "):
            check("talk-sum", measured=replicates(values), expected=1.0, rivals={"off": 100.0})


@pytest.mark.parametrize("error", [0.0, np.nan])
@pytest.mark.parametrize("expected", [1.0, 2.0])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_replicates_made_by_hand_with_a_broken_error_do_not_pass(error, expected):
    broken = Replicates(np.array(1.0), np.array(error), 10)
    for relation in ("equals", "below"):
        if relation == "below" and error == 0 and expected == 2:
            continue
        with pytest.raises(CheckFailed):
            check("talk-sum", measured=broken, expected=expected, relation=relation, rivals={"off": 9.0})


CASES = {  # the kind, a case that is rejected, one that is not
    "exact": (Case([1.0], [1.5]), Case([4.0, 5.0, 6.0], [4.0, 5.0, 6.0])),
    "exact, scaled": (Case(1.0, 2.0), Case([0.0], [0.015])),
    "statistical": (Case(runs(1.0, 0.1), 3.0), Case(runs([1.0, 2.0], 0.1), [1.0, 1.3])),
    "asymptotic": (Case(Exponent(1.0, 0.2), 2.0), Case(Exponent(1.9, 0.2), 2.0)),
    "at most": (Case([3.0], [2.0]), Case([1.99], [2.0])),
    "at least": (Case([1.0], [2.0]), Case([1.99], [2.0])),
    "below": (Case([3.0], [2.0]), Case([1.0], [2.0])),
    "above": (Case([1.0], [2.0]), Case([3.0], [2.0])),
    "statistically below": (Case(runs(1.0, 0.1), -2.0), Case(runs(1.0, 0.1), 3.0)),
    "statistically above": (Case(runs(1.0, 0.1), 3.0), Case(runs(1.0, 0.1), 0.5)),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_case_is_a_rival_of_its_own_shape(kind):
    rejected, survivor = CASES[kind]
    (rival,) = sound(kind, rivals={"a condition dropped": rejected}).rivals
    assert rival.rejected
    with pytest.raises(CheckFailed, match="not rejected with margin: 'a condition dropped'"):
        sound(kind, rivals={"a condition dropped": survivor})


def test_a_case_shows_what_was_measured_in_it():
    (rival,) = sound("exact", rivals={"dropped": Case([4.0, 7.0], [4.0, 5.0])}).rivals
    assert rival == Rival("dropped", 7.0, 5.0, 0.4, 1, 2, pytest.approx(0.05), True)


@pytest.mark.parametrize("kind", SOUND)
@pytest.mark.parametrize(
    "measured", [1.0, runs(1.0, 0.1), Exponent(1.0, 0.1)], ids=["numbers", "Replicates", "Exponent"]
)
def test_a_case_measured_in_another_way_is_refused(kind, measured):
    if type(measured) is not type(SOUND[kind]["measured"]) and (kind in UNCERTAIN or measured != 1.0):
        with pytest.raises(ValueError, match=r"rivals\['case'\]: wanted measured as .*, got "):
            sound(kind, rivals={"case": Case(measured, 50.0)})


def test_a_case_whose_expected_is_zero_says_so():
    with pytest.raises(ValueError, match=r"scale: wanted .*, as rivals\['case'\] is zero somewhere"):
        sound("exact", rivals={"case": Case(1.0, 0.0)})


@pytest.mark.parametrize(
    "value", [runs(1.0, 0.1), Exponent(1.0, 0.1), Case(1.0, 2.0)], ids=["runs", "exponent", "case"]
)
@pytest.mark.parametrize("kind", SOUND)
def test_expected_is_never_a_measurement(kind, value):
    with pytest.raises(ValueError, match="expected: wanted numbers, got "):
        sound(kind, expected=value)


def test_measured_tensors_lists_and_arrays_are_the_same(device):
    for measured in ([1.0, 2.0], np.array([1.0, 2.0]), torch.tensor([1.0, 2.0], device=device, requires_grad=True)):
        assert sound("exact", measured=measured).distance == 0


def test_the_worst_case_is_the_one_that_is_shown():
    result = check("talk-sum", measured=[[1.0, 2.0], [3.0, 4.5]], expected=[[1.0, 2.1], [3.0, 4.0]], tolerance=0.2,
                   rivals={"off": [[1.0, 2.0], [9.0, 4.5]]})  # fmt: skip
    assert (result.measured, result.expected, result.cases, result.distance) == (4.5, 4.0, 4, 0.125)
    assert result.rivals[0].value == 9.0
    result = sound("statistical")
    assert (result.measured, result.expected, result.error) == (pytest.approx(0, abs=1e-12), 1.0, pytest.approx(1))


@pytest.mark.parametrize(
    ("kind", "unit", "wanted"),
    [
        ("exact", "relative error", ["0.01"]),
        ("exact, scaled", "error, of one", ["0.01"]),
        ("statistical", "standard errors", ["5"]),
        ("asymptotic", "half-widths", ["1"]),
        ("at most", "relative gap", ["−0.01", "0.1"]),
        ("below", "relative gap", ["0.1"]),
        ("statistically above", "standard errors", ["5"]),
    ],
)
def test_each_kind_states_its_own_tolerance(kind, unit, wanted):
    result = sound(kind)
    assert unit in result.unit
    assert re.findall(r"−?[\d.]+", result.wanted) == wanted


def test_an_exponent_that_was_fitted_is_checked():
    n = np.geomspace(10, 1000, 12)
    rivals = {"1/n": -1.0, "1/n²": -2.0, "none": 0.0}
    result = check("talk-sum", measured=exponent(n, n**-0.5 * (1 + 2 / n)), expected=-0.5, rivals=rivals)
    assert result.error < 0.25
    with pytest.raises(CheckFailed, match="disagree"):
        check("talk-sum", measured=exponent(n, n**-0.5 * (1 + 2 / n)), expected=-1, rivals={"other": -2.0})


def test_an_exponent_fitted_on_noise_is_checked(normal):
    n = np.geomspace(10, 1000, 12)
    noise = normal("a noisy exponent", 200, 12).numpy()
    measured = exponent(n, replicates(n**-0.5 * (1 + 0.1 * noise)))
    check("talk-sum", measured=measured, expected=-0.5, rivals={"1/n": -1.0, "none": 0.0})


@pytest.mark.parametrize(("number", "far"), [(3, 1e15), (10, 99.0), (100, 0.0)])
def test_simulated_means_pass_and_wrong_ones_fail_whatever_the_seed(normal, number, far):
    measured = replicates(2 + 0.01 * normal(f"a mean of {number}", number, 5))
    rivals = {"far": np.full(5, far)}
    assert check("talk-sum", measured=measured, expected=np.full(5, 2.0), rivals=rivals).holds
    with pytest.raises(CheckFailed, match="disagree"):
        check("talk-sum", measured=measured, expected=np.full(5, -20.0), rivals=rivals)


SAMPLES = arrays.arrays(np.float64, st.integers(1, 8), elements=st.floats(-1e3, 1e3))


@settings(deadline=None)
@given(SAMPLES, st.floats(1e-12, 0.3), st.data())
def test_an_exact_check_passes_if_and_only_if_the_error_is_within_the_tolerance(expected, tolerance, data):
    scale = np.abs(expected)
    assume(scale.min() > 1e-3)
    factors = data.draw(arrays.arrays(np.float64, expected.shape, elements=st.floats(-2, 2)))
    measured = expected + factors * tolerance * scale
    arguments = {
        "measured": measured,
        "expected": expected,
        "tolerance": tolerance,
        "rivals": {"far": expected + 9 * scale},
    }
    if (np.abs(measured - expected) / scale).max() <= tolerance:
        assert check("talk-sum", **arguments).holds
    else:
        with pytest.raises(CheckFailed, match="disagree"):
            check("talk-sum", **arguments)


@settings(deadline=None)
@given(SAMPLES, st.floats(1e-12, 1e-3), st.sampled_from([1.05, 0.95, -1.0]), st.sampled_from([1, None]))
def test_an_expected_off_by_five_per_cent_or_by_its_sign_fails_and_is_rejected(truth, tolerance, factor, scaled):
    assume(np.abs(truth).min() > 1e-3)
    scale = scaled and float(np.abs(truth).max())
    arguments = {"measured": truth, "tolerance": tolerance, "scale": scale, "unit": scaled and "of the largest"}
    with pytest.raises(CheckFailed, match="disagree"):
        check("talk-sum", expected=factor * truth, rivals={"far": truth + 9 * np.abs(truth).max()}, **arguments)
    assert check("talk-sum", expected=truth, rivals={"mutant": factor * truth}, **arguments).rivals[0].rejected


@settings(deadline=None)
@given(st.floats(0.01, 100), st.sampled_from([1.05, 0.95, -1.0]))
def test_replicates_and_exponents_know_a_mutant_too(truth, factor):
    for measured in (runs(truth, truth / 250), Exponent(truth, truth / 50)):
        assert check("talk-sum", measured=measured, expected=truth, rivals={"mutant": factor * truth}).holds
        with pytest.raises(CheckFailed, match="disagree"):
            check("talk-sum", measured=measured, expected=factor * truth, rivals={"far": 9 * truth})


@settings(deadline=None)
@given(st.floats(-0.3, 0.3), st.floats(1e-6, 0.05), st.floats(0.05, 0.1), st.sampled_from(["at most", "at least"]))
def test_a_bound_holds_if_and_only_if_it_is_kept_and_sharp(gap, tolerance, sharp, relation):
    measured = 2.0 - gap * 2 if relation == "at most" else 2.0 + gap * 2
    found = (2.0 - measured) / 2 if relation == "at most" else (measured - 2.0) / 2
    arguments = {"measured": measured, "expected": 2.0, "relation": relation, "tolerance": tolerance, "sharp": sharp}
    rivals = {"violated": 1.0, "loose": 9.0} if relation == "at most" else {"violated": 9.0, "loose": 1.0}
    if -tolerance <= found <= sharp:
        assert check("talk-sum", rivals=rivals, **arguments).holds
    else:
        with pytest.raises(CheckFailed, match="disagree"):
            check("talk-sum", rivals=rivals, **arguments)


@pytest.mark.parametrize("kind", SOUND)
def test_the_record_is_whole_and_goes_through_json(kind):
    result = sound(kind, label="sound")
    record = result.record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["id"] == "talk-sum"
    assert set(record) == {"id", "label", "by", "agreement", "relation", "measured", "error", "expected", "distance",
                           "unit", "wanted", "cases", "used", "rivals"}  # fmt: skip
    assert [rival["name"] for rival in record["rivals"]] == list(SOUND[kind]["rivals"])
    assert {key for rival in record["rivals"] for key in rival} == {
        "name",
        "value",
        "against",
        "distance",
        "off",
        "cases",
        "near",
    }
    assert (record["error"] is None) == (kind in NUMBERS)


def test_the_record_of_another_id_of_a_claim_is_that_of_the_claim():
    assert check("talk-sign-again", **SOUND["exact"]).record()["id"] == "talk-sign"


def test_a_result_cannot_be_changed():
    with pytest.raises(AttributeError):
        sound("exact").holds = False
    assert isinstance(sound("exact"), Result)


def test_a_failed_check_stops_a_notebook_as_a_failed_assertion():
    assert issubclass(CheckFailed, AssertionError)
