import math

import numpy as np
import pytest
from numpy.polynomial import hermite_e

from helpers.densities.sums.cells import terms_needed


@pytest.mark.parametrize("half_width", [0.7, 0.5, 0.47, 0.06, 1e-3])
@pytest.mark.parametrize("tolerance", [0.1, 1e-3, 1e-6, 1e-12, 1e-15])
def test_no_more_moments_are_taken_than_the_tolerance_asks_for(tolerance, half_width):
    def remainder(order):
        places = np.linspace(0, 12, 5001)
        largest = abs(hermite_e.hermeval(places, [0] * order + [1]) * np.exp(-(places**2) / 2)).max()
        return half_width**order / math.factorial(order) * largest

    order = terms_needed(tolerance, half_width)
    assert remainder(order) <= 1.01 * tolerance / 2
    assert order == 1 or remainder(order - 1) > 0.99 * tolerance / 2
