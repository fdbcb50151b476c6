import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.densities.order import ascending


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=20))
def test_numbers_are_sorted_with_the_order_that_sorts_them(values):
    x = torch.tensor(values, dtype=torch.float64)
    found, order = ascending(x)
    assert found.tolist() == sorted(values)
    assert x[order].tolist() == found.tolist()
    assert ascending(x, with_order=False)[0].tolist() == sorted(values)
    assert x.tolist() == values
