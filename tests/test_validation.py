import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.validation import (
    a_device,
    a_function,
    alike,
    asymmetric,
    broadcastable,
    count,
    counts,
    fail,
    instance,
    located,
    moderate,
    number,
    one_of,
    positive,
    probabilities,
    real,
    tensor,
)

BAD_NUMBERS = {
    "nothing": (None, "None"),
    "text": ("three", "three"),
    "bytes": (b"3", "b'3'"),
    "a list of texts": (["1", "2"], "1"),
    "ragged lists": ([[1, 2], [3]], "ragged|\\[\\[1, 2\\], \\[3\\]\\]"),
    "a set": ({1, 2}, "1, 2"),
    "an integer beyond 64 bits": (10**30, "1000"),
    "a truth value": (True, "bool"),
    "truth values": (torch.tensor([True, False]), "bool"),
    "a complex number": (1 + 2j, "complex"),
    "complex numbers": (np.array([1j]), "complex"),
    "an empty list": ([], r"empty array of shape \(0,\)"),
    "an empty matrix": (torch.zeros(3, 0), r"empty array of shape \(3, 0\)"),
    "NaN": (float("nan"), "nan"),
    "NaN among numbers": ([1.0, float("nan")], "nan"),
    "infinity": (np.array([np.inf]), "inf"),
    "minus infinity": (torch.tensor([0.0, -torch.inf]), "-inf"),
    "infinities that cancel": ([1.0, -float("inf"), float("inf")], "-inf"),
    "infinity among numbers whose sum overflows": ([1e308, 1e308, float("inf")], "inf"),
    "NaN among numbers whose sum overflows": (np.array([[1e308, 1e308], [float("nan"), 1.0]]), "nan"),
    "NaN with a gradient": (torch.tensor([1.0, torch.nan], requires_grad=True), "nan"),
    "a masked array": (np.ma.masked_less([-99.0, 1.0], 0), "masked"),
    "a masked array in a list": ([[1.0, 2.0], np.ma.masked_less([-99.0, 1.0], 0)], "masked"),
    "the masked number": ([1.0, np.ma.masked], "masked"),
    "an array of dates": (np.array(["2026-01-01"], dtype="datetime64[D]"), "2026"),
    "an array of objects": (np.array([1.0, None]), "None"),
    "tensors with a gradient in a list": ([torch.tensor(1.0, requires_grad=True)], "requires_grad"),
}


def test_a_refusal_names_the_argument_the_wish_and_what_came():
    with pytest.raises(ValueError, match=r"^bandwidth: wanted a number above zero, got -1$"):
        fail("bandwidth", "a number above zero", -1)


@pytest.mark.parametrize(("value", "shown"), BAD_NUMBERS.values(), ids=BAD_NUMBERS)
def test_tensor_refuses(value, shown):
    with pytest.raises(ValueError, match=rf"(?s)^sample: wanted .*, got .*({shown})"):
        tensor(value, "sample")


@pytest.mark.parametrize("value", [2, 2.5, [1, 2], (1.5, 2), [[1], [2]], np.arange(3), np.array(2), torch.arange(3)])
def test_numbers_lists_and_integers_become_float64(value):
    found = tensor(value, "sample")
    assert found.dtype == torch.float64
    np.testing.assert_array_equal(found, np.asarray(value, dtype=float))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_floating_tensors_and_arrays_keep_their_precision(dtype, device):
    value = torch.ones(2, dtype=dtype, device=device)
    assert tensor(value, "sample") is value
    assert tensor(value.cpu().numpy(), "sample").dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_single_and_keeps_its_gradient(dtype, device):
    value = torch.tensor([0.5, -3.0], dtype=dtype, device=device, requires_grad=True)
    found = tensor(value, "sample")
    assert (found.dtype, found.device.type, found.tolist()) == (torch.float32, device.type, [0.5, -3.0])
    found.sum().backward()
    assert value.grad.tolist() == [1, 1]
    assert [one.dtype for one in alike(x=value, mean=1)] == [torch.float32] * 2


@pytest.mark.parametrize("kind", ["f8", "f4", "f2", "i2", "i4", "i8"])
def test_arrays_of_either_order_of_bytes_are_the_same_numbers(kind):
    numbers = [0, 1, 300]
    big, little = (tensor(np.array(numbers, dtype=order + kind), "sample") for order in "><")
    assert big.dtype == little.dtype
    assert big.tolist() == little.tolist() == numbers


def test_a_masked_array_without_a_masked_number_is_an_array():
    assert tensor(np.ma.masked_less([1.0, 2.0], 0), "sample").tolist() == [1, 2]
    assert tensor(np.ma.masked_less([-99.0, 2.0], 0).compressed(), "sample").tolist() == [2]


def test_real_numbers_may_be_infinite_or_none_at_all_and_of_any_kind():
    assert real([1.0, -np.inf, np.nan], "sample").isnan().tolist() == [False, False, True]
    assert real([1, 2], "sample").dtype == torch.int64
    assert real([], "sample").shape == (0,)
    value = torch.ones(2, dtype=torch.bfloat16)
    assert real(value, "sample") is value


@pytest.mark.parametrize("value", ["Full", "", None, 0, ["full"], b"full"], ids=repr)
def test_a_text_that_is_none_of_the_choices_is_refused_with_those_that_are(value):
    one_of("full", "form", ("full", "diagonal"))
    with pytest.raises(ValueError, match=r"^form: wanted one of 'full', 'diagonal', got "):
        one_of(value, "form", ("full", "diagonal"))


def test_tensor_copies_an_array_and_reads_it_backwards():
    values = np.arange(3.0)
    found = tensor(values[::-1], "sample")
    values[:] = 7
    assert found.tolist() == [2, 1, 0]


def test_tensor_keeps_the_gradient():
    value = torch.ones(2, requires_grad=True)
    assert tensor(value, "sample").requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("signs", [[1, 1], [-1, -1, -1], [[1, 1], [-1, 1]]], ids=str)
def test_finite_numbers_whose_sum_overflows_are_taken(dtype, signs, device):
    value = torch.tensor(signs, dtype=dtype, device=device) * torch.finfo(dtype).max
    assert torch.equal(tensor(value, "sample"), value.to(torch.promote_types(dtype, torch.float32)))
    assert tensor(value.requires_grad_(), "sample").requires_grad


def test_lists_whose_sum_overflows_are_taken():
    assert tensor([1e308, 1e308], "sample").tolist() == [1e308, 1e308]
    assert tensor(np.full(3, -1.7e308), "sample").tolist() == [-1.7e308] * 3


@settings(deadline=None)
@given(st.lists(st.floats(), min_size=1, max_size=20))
def test_numbers_are_taken_if_and_only_if_each_is_finite(values):
    broken = [value for value in values if not np.isfinite(value)]
    if broken:
        with pytest.raises(ValueError, match=f"^sample: wanted finite numbers, got {broken[0]}$"):
            tensor(values, "sample")
    else:
        assert tensor(values, "sample").tolist() == values


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", [0, 54_321, 99_999])
def test_one_broken_number_among_many_is_found(broken, place, device):
    values = torch.ones(100_000, device=device)
    values[place] = broken
    with pytest.raises(ValueError, match=f"^sample: wanted finite numbers, got {broken}$"):
        tensor(values, "sample")


@pytest.mark.parametrize(("wanted", "shape"), [(1, ()), (1, (2, 3)), (0, (1,)), (2, (3,))])
def test_tensor_refuses_another_number_of_dimensions(wanted, shape):
    with pytest.raises(ValueError, match=rf"sample: wanted {wanted} dimension\(s\), got shape") as refusal:
        tensor(torch.ones(shape), "sample", ndim=wanted)
    assert str(shape) in str(refusal.value)


@pytest.mark.parametrize(
    ("wanted", "shape"), [((3,), (4,)), ((3,), (3, 1)), ((None, 2), (2,)), ((None, 2), (5, 3)), ((), (1,))]
)
def test_tensor_refuses_another_shape(wanted, shape):
    with pytest.raises(ValueError, match="sample: wanted shape") as refusal:
        tensor(torch.ones(shape), "sample", shape=wanted)
    assert str(shape) in str(refusal.value)


@pytest.mark.parametrize(("wanted", "shape"), [((3,), (3,)), ((None, 2), (5, 2)), ((None,), (1,)), ((), ())])
def test_tensor_takes_any_size_where_none_is_wanted(wanted, shape):
    assert tensor(torch.ones(shape), "sample", shape=wanted).shape == shape


def test_numbers_and_lists_follow_the_tensor_beside_them(device):
    x, mean, variance = alike(x=[1.0, 2.0], mean=torch.zeros(2, dtype=torch.float32, device=device), variance=4)
    assert {one.dtype for one in (x, mean, variance)} == {torch.float32}
    assert {one.device.type for one in (x, mean, variance)} == {device.type}


def test_alike_without_a_tensor_is_float64_and_with_two_changes_neither():
    assert [one.dtype for one in alike(x=1, y=np.ones(2))] == [torch.float64] * 2
    assert [one.dtype for one in alike(x=torch.ones(1), y=torch.ones(1).double())] == [torch.float32, torch.float64]


def test_alike_and_broadcastable_refuse_what_tensor_refuses():
    for function in (alike, broadcastable):
        with pytest.raises(ValueError, match="mean: wanted finite numbers, got nan"):
            function(x=1.0, mean=float("nan"))


def test_broadcastable_names_the_shapes_that_do_not_go_together():
    with pytest.raises(ValueError, match=r"x, mean: wanted shapes .*, got \(2,\) and \(3,\)"):
        broadcastable(x=[1, 2], mean=[1, 2, 3])
    assert [one.shape for one in broadcastable(x=[[1], [2]], mean=[1, 2, 3])] == [(2, 1), (3,)]


@pytest.mark.parametrize(
    ("points", "data", "shapes"),
    [
        ([0.0], [1.0, 2.0], ((1, 1), (2, 1))),
        ([[0.0], [1.0]], [1.0], ((2, 1), (1, 1))),
        ([0, 1], np.zeros((3, 1)), ((2, 1), (3, 1))),
        ([[0.0, 1.0]], torch.zeros(5, 2), ((1, 2), (5, 2))),
        (np.zeros((4, 3)), [[0, 1, 2]], ((4, 3), (1, 3))),
    ],
)
def test_points_and_data_become_rows_of_coordinates(points, data, shapes):
    found = located(points, data)
    assert tuple(one.shape for one in found) == shapes
    for one, given_ in zip(found, (points, data), strict=True):
        np.testing.assert_array_equal(one.flatten(), np.ravel(given_))


def test_points_follow_the_data_beside_them_and_data_the_points(device):
    for dtype in (torch.float32, torch.float64):
        vector = torch.zeros(2, dtype=dtype, device=device)
        for found in (located([1.0], vector), located(vector, [1.0]), located(vector, np.ones(3))):
            assert {(one.dtype, one.device.type) for one in found} == {(dtype, device.type)}
    assert {one.dtype for one in located([1], [2])} == {torch.float64}


def test_rows_of_coordinates_are_passed_on_as_they_are():
    points, data = torch.zeros(2, 3), torch.ones(4, 3)
    assert all(one is other for one, other in zip(located(points, data), (points, data), strict=True))


@pytest.mark.parametrize(
    ("points", "data", "message"),
    [
        ([0.0], 1.0, r"data: wanted shape \(n,\) or \(n, d\), got shape \(\)"),
        ([0.0], torch.zeros(2, 3, 1), r"data: wanted shape \(n,\) or \(n, d\), got shape \(2, 3, 1\)"),
        (0.0, [1.0], r"points: wanted points in 1 dimension\(s\), as the data, got shape \(\)"),
        ([0.0], [[1.0, 2.0]], r"points: wanted points in 2 dimension\(s\), as the data, got shape \(1, 1\)"),
        ([[0.0, 1.0]], [1.0], r"points: wanted points in 1 dimension\(s\), as the data, got shape \(1, 2\)"),
        (torch.zeros(2, 3, 1), [1.0], r"points: wanted points in 1 .*, got shape \(2, 3, 1\)"),
        ([], [1.0], r"points: wanted at least one number, got an empty array of shape \(0,\)"),
        ([1.0], torch.zeros(0, 2), r"data: wanted at least one number, got an empty array of shape \(0, 2\)"),
        ([float("nan")], [1.0], "points: wanted finite numbers, got nan"),
        ([1.0], [float("inf")], "data: wanted finite numbers, got inf"),
        ("a", [1.0], "points: wanted numbers, got 'a'"),
        ([1.0], [True], "data: wanted real numbers, got dtype torch.bool"),
    ],
)
def test_points_and_data_that_do_not_go_together_are_refused(points, data, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        located(points, data)


@pytest.mark.parametrize(
    "value",
    [0, -1, -1e-300, 0.0, float("nan"), float("inf"), None, "1", b"1", 1j, 10**30, True, np.True_, [1.0], []],
    ids=repr,
)
def test_positive_refuses(value):
    with pytest.raises(ValueError, match="bandwidth: wanted a number above zero, got "):
        positive(value, "bandwidth")


@pytest.mark.parametrize("value", [np.ones(1), torch.ones(2), torch.tensor(1 + 0j), torch.tensor(True)], ids=repr)
def test_positive_refuses_arrays_that_are_no_real_number(value):
    with pytest.raises(ValueError, match="bandwidth: wanted a number above zero, got "):
        positive(value, "bandwidth")


@pytest.mark.parametrize("value", [3, 0.5, 1e-300, np.float64(2), np.int64(2), np.array(2.0), torch.tensor(1.5)])
def test_positive_gives_a_float(value):
    found = positive(value, "bandwidth")
    assert type(found) is float
    assert found == value


@pytest.mark.parametrize("value", ["1", None, [1.0], float("nan"), float("inf"), True, 1j], ids=repr)
def test_number_refuses(value):
    with pytest.raises(ValueError, match="low: wanted a number, got "):
        number(value, "low")
    assert number(np.float32(-0.5), "low") == -0.5


def test_numbers_whose_squares_overflow_are_refused():
    moderate(torch.tensor([1e150, -1e150], dtype=torch.float64), "data")
    for value in (1.1e150, -1e308):
        with pytest.raises(ValueError, match=r"^data: wanted numbers of at most 1e\+150 in size, .*, got 1"):
            moderate(torch.tensor([0.0, value], dtype=torch.float64), "data")


@pytest.mark.parametrize("value", [None, "sin", 3, [abs]], ids=repr)
def test_what_cannot_be_called_is_no_function(value):
    a_function(abs, "objective")
    with pytest.raises(ValueError, match="objective: wanted a function of a tensor, got "):
        a_function(value, "objective")


@pytest.mark.parametrize("value", ["gpu 1", 3.5, None, {}], ids=repr)
def test_a_device_is_one_of_pytorch(value):
    assert a_device("cpu", "device") == a_device(torch.device("cpu"), "device") == torch.device("cpu")
    with pytest.raises(ValueError, match="device: wanted a device of PyTorch, .*, got "):
        a_device(value, "device")


def test_an_instance_is_passed_on_and_what_is_none_is_named():
    assert instance(3, "order", int, str) == 3
    with pytest.raises(ValueError, match="^order: wanted an int or a str, got float$"):
        instance(3.0, "order", int, str)
    with pytest.raises(ValueError, match="^model: wanted an Exception, got NoneType$"):
        instance(None, "model", Exception)


@pytest.mark.parametrize("value", [3, None, "32", (3, 0), [2.0], {3}, np.array([2, 3])], ids=repr)
def test_a_tuple_of_whole_numbers_is_asked_for(value):
    assert counts([2, np.int64(3)], "sizes") == (2, 3)
    with pytest.raises(ValueError, match="sizes: wanted a (tuple of )?whole numbers? of at least 1, got "):
        counts(value, "sizes")


@pytest.mark.parametrize("value", [0, -1, 1.0, True, False, "3", None, [3], np.float64(3), torch.tensor(3)], ids=repr)
def test_count_refuses(value):
    with pytest.raises(ValueError, match="components: wanted a whole number of at least 1, got "):
        count(value, "components")


def test_count_takes_whole_numbers_from_its_minimum_on():
    assert count(np.int32(4), "components", minimum=4) == 4
    with pytest.raises(ValueError, match="at least 5, got 4"):
        count(4, "components", minimum=5)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([0.5, 0.6], "sum to 1, got a sum of 1.1"),
        ([0.5, 0.4], "sum to 1, got a sum of 0.9"),
        ([1.5, -0.5], "at least 0, got -0.5"),
        ([[0.5, 0.5]], r"1 dimension\(s\), got shape \(1, 2\)"),
        (1.0, r"1 dimension\(s\), got shape \(\)"),
        ([], "at least one number"),
        ([0.5, float("nan")], "finite numbers, got nan"),
    ],
)
def test_probabilities_refuse(value, message):
    with pytest.raises(ValueError, match=f"weights: wanted .*{message}"):
        probabilities(value, "weights")


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=30).filter(lambda values: sum(values) > 1e-3))
def test_what_is_divided_by_its_sum_is_a_vector_of_probabilities(values):
    values = np.array(values)
    assert torch.equal(probabilities(values / values.sum(), "weights"), torch.from_numpy(values / values.sum()))


def test_rows_of_probabilities_are_refused_together():
    assert probabilities([[0.5, 0.5], [1, 0]], "rows", ndim=2).shape == (2, 2)
    with pytest.raises(ValueError, match=r"rows: wanted rows that sum to 1, got sums \[1\.0, 0\.75\]"):
        probabilities([[0.5, 0.5], [0.5, 0.25]], "rows", ndim=2)


@pytest.mark.parametrize("unit", [1e-150, 1.0, 1e150])
def test_asymmetry_is_measured_in_the_units_of_the_diagonal(unit):
    matrices = torch.tensor([[[1, 2e-4], [2e-4, 1e-6]], [[1, 2e-4], [2.1e-4, 1e-6]], [[1, 2e-4], [2e-4 + 1e-12, 1e-6]]])
    assert asymmetric(unit * matrices.double()).tolist() == [False, True, False]
