"""A check has teeth: with its answer bent, one component at a time, or with its rivals gone, it fails."""

import numpy as np
import pytest
import torch

from helpers import checks
from helpers.claims import load
from press.mutants import Bench, mutants

ANY = next(claim.id for claim in load()[1].values() if claim.statement)
SOUND = {
    "by": "library",
    "measured": [1.0, 2.0],
    "expected": [1.0, 2.0],
    "rivals": {"double": [2.0, 4.0]},
    "tolerance": 1e-9,
}
SQUARE = torch.ones(2, 2)
NOISY = checks.replicates([[0.999], [1.001]] * 20)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"expected": torch.tensor([1.0, 2.0])},
        {"measured": SQUARE, "expected": [[1, 1.0], (torch.tensor(1.0), 1)], "rivals": {"zero": 0 * SQUARE}},
        {"measured": [0.0, 0.0], "expected": [0, 0], "rivals": {"one": [1, 1]}, "scale": 1, "unit": "of one"},
        {"measured": NOISY, "expected": [1.0], "rivals": {"double": [2]}, "tolerance": None},
        {"measured": [0.9, 2.0], "relation": "at most", "sharp": 1e-3},
        {"measured": [0.5, 1.0], "relation": "below", "tolerance": 0.1, "rivals": {"tenth": [0.1, 0.1]}},
    ],
)
def test_a_sound_check_kills_every_mutant(changes):
    bench = Bench(checks.check)
    assert bench(ANY, **(SOUND | changes)).holds
    assert bench.tried >= 3


@pytest.mark.parametrize(
    ("changes", "survivor"),
    [
        ({"tolerance": 0.02, "label": "blunt"}, "component 0 of 2 off by +1%; component 0 of 2 off by -1%"),
        (
            {"measured": [1e-4, 1.0], "expected": [1e-4, 1.0], "scale": 1.0, "unit": "of one", "tolerance": 1e-5},
            "component 0 of 2 off by +1%",
        ),
        ({"relation": "at most", "sharp": 0.02}, "at least in place of at most"),
        ({"measured": checks.replicates([[0.5], [1.5]] * 200), "expected": [1.0], "rivals": {"double": [2.0]},
          "tolerance": None}, "component 0 of 1 off by +5%"),
    ],
)  # fmt: skip
def test_the_survivors_of_a_blunt_check_stop_it(changes, survivor):
    with pytest.raises(checks.CheckFailed) as stopped:
        Bench(checks.check)(ANY, **(SOUND | changes))
    assert survivor in str(stopped.value)


def test_a_check_that_fails_fails_as_it_would_alone():
    wrong = SOUND | {"measured": [1.0, 3.0]}
    with pytest.raises(checks.CheckFailed) as alone:
        checks.check(ANY, **wrong)
    with pytest.raises(checks.CheckFailed) as stopped:
        Bench(checks.check)(ANY, **wrong)
    assert str(stopped.value) == str(alone.value)


def bent(size):
    expected = np.arange(1.0, size + 1)
    found = mutants(SOUND | {"measured": expected, "expected": expected, "rivals": {}})
    return [change["expected"] / expected for name, change in found if name.startswith("component")]


@pytest.mark.parametrize(("size", "tried"), [(1, 1), (20, 20), (1000, 20)])
def test_one_component_is_bent_at_a_time_on_both_sides(size, tried):
    found = bent(size)
    assert len(found) == 2 * tried
    for ratio in found:
        assert np.sort(np.abs(ratio - 1))[-2:].max() == pytest.approx(0.01)
        assert (ratio != 1).sum() == 1
    assert found[0][0] > 1 > found[1][0]
    assert found[-1][-1] < 1
