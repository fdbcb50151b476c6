import pytest
import torch
from terms import BANDWIDTHS, KINDS, around, assert_close, sample_of

from helpers.densities.sums import boxes
from helpers.densities.sums.cells import terms_needed
from helpers.densities.sums.gauss import gaussian_sum, gaussian_sums
from helpers.densities.sums.polynomial import polynomial_sum


@pytest.mark.parametrize("h", BANDWIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_on_the_line_the_tolerance_is_kept_near_every_point(normal, kind, h):
    data = sample_of(kind, normal)
    points, weights = around(data, h, normal), normal(f"weights: {kind}", len(data))
    assert_close(gaussian_sum(points, data, h), points, data, h)
    for tolerance in (0.1, 1e-3, 1e-6, 1e-9, 1e-12):
        found = gaussian_sum(points, data, h, weights, tolerance)
        assert_close(found, points, data, h, weights, tolerance)


@pytest.mark.parametrize("cells", [1, 2, 8, 64, 512])
@pytest.mark.parametrize("h", [0.05, 1.0, 1.2499])
def test_any_number_of_cells_a_box_keeps_the_tolerance(normal, monkeypatch, cells, h):
    def fixed(self, number, boxes):
        return cells, terms_needed(self.tolerance, self.ratio / 2 / cells)

    monkeypatch.setattr(boxes.Boxes, "cells", fixed)
    data, weights = torch.cat([normal("data", 200), torch.zeros(1).double()]), normal("weights", 201)
    points = around(data, h, normal)
    for tolerance in (1e-6, 1e-12):
        assert_close(gaussian_sum(points, data, h, weights, tolerance), points, data, h, weights, tolerance)


@pytest.mark.parametrize("h", [0.03, 1.0, 1.0666, 1.124, 1.2499, 1.8749])
def test_a_single_datum_has_the_shape_of_the_kernel_wherever_it_lies_in_its_box(h):
    for datum in torch.linspace(0, 1, 17, dtype=torch.float64) * h:
        points = datum + torch.linspace(-12, 12, 241, dtype=torch.float64) * h
        for tolerance in (1e-2, 1e-6, 1e-12):
            found = gaussian_sum(points, datum[None], h, tolerance=tolerance)
            assert_close(found, points, datum[None], h, tolerance=tolerance)


@pytest.mark.parametrize("h", [0.01, 0.3, 20.0])
@pytest.mark.parametrize("kind", KINDS)
def test_all_boxes_stored_or_only_those_in_use_give_the_same(normal, monkeypatch, kind, h):
    data = sample_of(kind, normal)
    points, weights = around(data, h, normal), normal("weights", len(data))
    first = gaussian_sum(points, data, h, weights)
    monkeypatch.setattr(boxes, "FINEST", 0)
    monkeypatch.setattr(boxes, "_dense", None)
    for piece in (7, 64, 2**17):
        monkeypatch.setattr(boxes, "PIECE", piece)
        second = gaussian_sum(points, data, h, weights)
        assert_close(second, points, data, h, weights)
        assert (first - second).abs().max() <= 2e-12 * weights.abs().sum()
        assert_close(gaussian_sum(points, data, h), points, data, h)


def test_boxes_are_all_stored_only_where_they_are_few(normal, monkeypatch):
    used = []
    for name in ("_dense", "_sparse"):
        path = getattr(boxes, name)
        monkeypatch.setattr(boxes, name, lambda *args, path=path, name=name: used.append(name) or path(*args))
    for h, datum in ((1.0, 0.0), (1e-3, 0.0), (1e-3, 1e6), (1.0, 1e14)):
        gaussian_sum([0.0], [datum, datum + 1], h)
        gaussian_sum([0.0], [datum, datum + 1e6], h)
    assert used == ["_dense", "_sparse"] * 3 + ["_sparse"] * 2


def test_many_boxes_far_from_the_first_keep_the_tolerance(normal):
    h, far = 0.3, 0.3 * (1e5 + 1e4 * normal("far data", 20).sigmoid())
    points = (far[:, None] + h * normal("near them", 20, 10)).flatten()
    data = torch.cat([torch.zeros(2_000_000).double(), far])
    assert_close(gaussian_sum(points, data, h), points, far, h)


def test_parts_of_the_data_add_up(normal, monkeypatch):
    data, weights, points = normal("data", 500), normal("weights", 500), normal("points", 50)
    whole = gaussian_sum(points, data, 0.2, weights), gaussian_sum(points, data, 0.2)
    parts = gaussian_sum(points, data[:123], 0.2, weights[:123]) + gaussian_sum(points, data[123:], 0.2, weights[123:])
    torch.testing.assert_close(whole[0], parts, rtol=0, atol=1e-11)
    monkeypatch.setattr(boxes, "CHUNK", 64)
    torch.testing.assert_close(gaussian_sum(points, data, 0.2, weights), whole[0], rtol=0, atol=1e-11)
    torch.testing.assert_close(gaussian_sum(points, data, 0.2), whole[1], rtol=0, atol=1e-11)


@pytest.mark.parametrize("h", [1e-4, 0.2])
@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_data_and_points_is_irrelevant(normal, kind, h):
    data = sample_of(kind, normal)
    points, weights = around(data, h, normal), normal("weights", len(data))
    order, other = normal("order", len(data)).argsort(), normal("another", len(points)).argsort()
    for total in (gaussian_sum, lambda *args: polynomial_sum(*args[:3], (1.0, -1.0), args[3])):
        found = total(points[other], data[order], h, weights[order])
        torch.testing.assert_close(found, total(points, data, h, weights)[other], rtol=0, atol=1e-11)


# Many samples


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-12])
@pytest.mark.parametrize("h", [0.05, 1.0, 30.0])
@pytest.mark.parametrize("offset", [0.0, 1e7])
def test_each_of_many_samples_has_its_own_sum(normal, monkeypatch, offset, h, tolerance):
    samples = normal("samples", 7, 90) + offset
    points = torch.cat([samples[:, 0], samples[:, 1] + h, torch.tensor([offset + 1e6, -1e300], dtype=torch.float64)])
    found = gaussian_sums(points, samples, h, tolerance)
    assert found.shape == (7, 16)
    for one, sample in zip(found, samples, strict=True):
        assert_close(one, points, sample, h, tolerance=tolerance)
    monkeypatch.setattr(boxes, "CHUNK", 64)
    torch.testing.assert_close(gaussian_sums(points, samples, h, tolerance), found, rtol=0, atol=1e-11)
    monkeypatch.setattr(boxes, "LARGEST_TABLE", 0)
    for one, sample in zip(gaussian_sums(points, samples, h, tolerance), samples, strict=True):
        assert_close(one, points, sample, h, tolerance=tolerance)


def test_many_samples_of_heavy_tails_have_their_sums(normal):
    samples = normal("above", 5, 200) / normal("below", 5, 200)
    for sample, one in zip(samples, gaussian_sums(samples[:, 0], samples, 1e-3), strict=True):
        assert_close(one, samples[:, 0], sample, 1e-3, tolerance=1e-6)
