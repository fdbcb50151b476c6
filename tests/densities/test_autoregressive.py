import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from helpers.densities.autoregressive import (
    Chain,
    Network,
    Training,
    fit,
    log_likelihood,
    log_probabilities,
    order_of,
    predecessors,
    sample,
    states,
)
from helpers.randomness import generator

CYCLE = [[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]


def random_order(name, d):
    return torch.randperm(d, generator=generator(name))


def bits(name, n, d, chance=0.4):
    return (torch.rand(n, d, generator=generator(name), dtype=torch.float64) < chance).double()


def chain(name, d):
    draw = generator(name)
    mask = predecessors(random_order(f"{name}: order", d))
    return Chain(
        mask * torch.randn(d, d, generator=draw, dtype=torch.float64),
        torch.randn(d, generator=draw, dtype=torch.float64),
    )


def network(name, mask, width=3):
    found = Network(mask, width, generator=generator(name), dtype=torch.float64)
    with torch.no_grad():
        for part in (found.b, found.c):
            part.normal_(generator=generator(f"{name}: constants"))
    return found


# Masks


def test_states_count_in_binary():
    assert states(2).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert states(16).shape == (65536, 16)


def test_predecessors_are_those_before_in_the_order():
    assert predecessors([1, 2, 0]).tolist() == [[0, 1, 1], [0, 0, 0], [0, 1, 0]]


def test_the_order_of_a_mask_is_one_in_which_all_that_is_seen_comes_before():
    orders = torch.stack([random_order(f"order {k}", 9) for k in range(7)])
    assert torch.equal(order_of(predecessors(orders)), orders)
    sparse = predecessors(orders) * bits("sparse", 9, 9)
    assert ((sparse - predecessors(order_of(sparse))) <= 0).all()
    assert order_of(torch.zeros(2, 4, 4)).tolist() == [[0, 1, 2, 3]] * 2
    assert order_of(torch.zeros(3, 3, dtype=torch.bool)).tolist() == [0, 1, 2]


# Models


@pytest.mark.parametrize("d", [1, 2, 5, 12])
def test_the_probabilities_of_all_states_sum_to_one(d):
    mask = predecessors(torch.stack([random_order(f"{d} {k}", d) for k in range(3)]))
    for model in (chain(f"chain {d}", d), network(f"network {d}", mask)):
        sums = log_probabilities(model).exp().sum(-1)
        torch.testing.assert_close(sums, torch.ones_like(sums), rtol=1e-12, atol=0)


def test_the_likelihood_is_the_product_of_the_conditionals():
    model, x = chain("product", 6), bits("x", 20, 6)
    p = model.logits(x).sigmoid()
    right = torch.where(x > 0, p, 1 - p).log().sum(-1)
    torch.testing.assert_close(log_likelihood(model, x), right, rtol=1e-12, atol=1e-12)


def test_a_network_sees_what_its_connections_let_through():
    mask = torch.stack([predecessors(random_order(str(k), 7)) * bits(f"mask {k}", 7, 7) for k in range(4)])
    model, x = network("paths", mask), bits("x", 1, 7)
    found = torch.autograd.functional.jacobian(lambda x: model.logits(x)[:, 0], x)[:, :, 0]
    through = (mask + torch.eye(7, dtype=torch.float64)) @ mask > 0
    assert torch.equal(found != 0, through)


def test_a_network_is_the_sum_over_its_groups():
    mask, x = predecessors([2, 0, 3, 1]), bits("x", 9, 4)
    model = network("groups", mask, 2)
    V, W = (part[0].detach() for part in (model.V, model.W))
    hidden = [
        (x @ (V[:, 2 * j : 2 * j + 2] * mask[j, :, None]) + model.c[0, 0, 2 * j : 2 * j + 2]).tanh() for j in range(4)
    ]
    for j in range(4):
        seen = [k for k in range(4) if (mask[j, k] or k == j) and mask[k].any()]
        right = model.b[0, 0, j] + sum(hidden[k] @ W[2 * k : 2 * k + 2, j] for k in seen)
        torch.testing.assert_close(model.logits(x)[0, :, j], right + torch.zeros(9, dtype=torch.float64))
    assert model.parameter_number().tolist() == [2 * 6 + 2 * 6 + 2 * 3 + 4]


def test_each_model_of_a_batch_may_have_data_of_its_own():
    model = network("own", predecessors(torch.stack([random_order("a", 4), random_order("b", 4)])))
    x = torch.stack([bits("x", 6, 4), bits("y", 6, 4)])
    torch.testing.assert_close(model(x)[1], model(x[1])[1])


@pytest.mark.parametrize("kind", ["chain", "network"])
def test_draws_have_the_law_of_the_model(kind):
    mask = predecessors(torch.stack([random_order("a", 3), random_order("b", 3)]))
    model = network("law", mask) if kind == "network" else fit(bits("x", 40, 3), mask, 0.1)
    drawn = sample(model, 100_000, generator("draws"))
    code = (drawn @ torch.tensor([4, 2, 1]).to(drawn)).long()
    shares = torch.stack([one.bincount(minlength=8) for one in code]).double() / 100_000
    law = log_probabilities(model).exp().detach()
    assert ((shares - law).abs() < 5.5 * (law * (1 - law) / 100_000).sqrt()).all()


# Fits


@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
def test_a_fitted_chain_is_that_of_scikit_learn(penalty):
    x = bits("x", 200, 6)
    x[:, 3] = x[:, 0] * x[:, 1]
    mask = predecessors(random_order("order", 6))
    found = fit(x, mask, penalty)
    for j in range(6):
        seen = mask[j] > 0
        features = np.column_stack([np.ones(200), x[:, seen]])
        model = LogisticRegression(C=1 / penalty, fit_intercept=False, tol=1e-10, max_iter=5000).fit(features, x[:, j])
        np.testing.assert_allclose(found.bias[j], model.coef_[0, 0], atol=1e-5)
        np.testing.assert_allclose(found.weights[j, seen], model.coef_[0, 1:], atol=1e-5)


def test_masks_and_penalties_are_fitted_as_if_alone():
    x = bits("x", 100, 5)
    masks = predecessors(torch.stack([random_order(str(k), 5) for k in range(3)]))
    penalties = torch.tensor([0.1, 1.0], dtype=torch.float64)
    both = fit(x, masks[:, None], penalties)
    assert both.weights.shape == (3, 2, 5, 5)
    alone = fit(x, masks[2], 0.1)
    torch.testing.assert_close(both.weights[2, 0], alone.weights)
    torch.testing.assert_close(both.bias[2, 0], alone.bias)
    assert log_likelihood(both, x).shape == (3, 2, 100)


@pytest.mark.parametrize("penalty", [1e-4, 1e6])
def test_columns_that_are_constant_or_determined_are_no_trouble_with_a_penalty(penalty):
    x = bits("x", 50, 4)
    x[:, 1], x[:, 2] = 1.0, x[:, 0]
    found = fit(x, predecessors([0, 1, 2, 3]), penalty)
    a = found.logits(x)
    slope = (a.sigmoid() - x).mT @ torch.cat([torch.ones(50, 1, dtype=torch.float64), x], -1)
    whole = torch.cat([found.bias[:, None], found.weights], -1)
    slope = (slope + penalty * whole) * torch.cat([torch.ones(4, 1), predecessors([0, 1, 2, 3])], -1)
    assert slope.abs().max() < 1e-5


def test_without_a_penalty_there_may_be_no_minimum():
    x = bits("x", 50, 2)
    fit(x, torch.zeros(2, 2), 0.0)
    x[:, 1] = x[:, 0]
    with pytest.raises(RuntimeError, match="a penalty above zero"):
        fit(x, predecessors([0, 1]), 0.0)


def test_a_network_learns_what_no_chain_can():
    x = states(2).repeat(25, 1)
    x = torch.cat([x, (x.sum(-1, keepdim=True) == 1).double()], -1)
    mask = predecessors([0, 1, 2])
    linear = log_likelihood(fit(x, mask, 1e-6), x).mean()
    assert linear.item() == pytest.approx(-3 * math.log(2), abs=1e-6)
    model = Network(mask.expand(3, 3, 3), 4, generator=generator("xor"))
    run = Training(model, x, x, name="xor", rate=0.03).run(200)
    assert (log_likelihood(run.best(), x).mean(-1) > -2 * math.log(2) - 0.02).all()


def test_the_best_epoch_of_each_model_is_kept():
    x = bits("x", 60, 5)
    run = Training(network("best", predecessors(range(5)).expand(3, 5, 5)), x[:40], x[40:], name="best", rate=0.05).run(
        30
    )
    found = log_likelihood(run.best(), x[40:]).mean(-1)
    torch.testing.assert_close(found, run.history.max(0).values)
    assert (run.history.argmax(0) < 29).any()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: states(17), "dimension"),
        (lambda: predecessors([0, 2]), "order"),
        (lambda: order_of(CYCLE), "mask"),
        (lambda: order_of(torch.eye(3)), "mask"),
        (lambda: order_of([[0.0, 2.0], [0.0, 0.0]]), "mask"),
        (lambda: Chain(CYCLE, [0.0] * 3), "weights"),
        (lambda: Chain([[0.0]], [0.0, 1.0]), "weights, bias"),
        (lambda: fit([[0.0, 0.5]], torch.zeros(2, 2)), "data"),
        (lambda: fit([[0.0, 1.0]], torch.zeros(3, 3)), "mask"),
        (lambda: fit([[0.0, 1.0]], torch.eye(2)), "mask"),
        (lambda: fit([[0.0, 1.0]], torch.zeros(2, 2), -1.0), "penalty"),
        (lambda: fit([[0.0, 1.0]], torch.zeros(3, 2, 2), [1.0, 2.0]), "penalty"),
        (lambda: Network(torch.eye(2), 1, generator=generator("x")), "mask"),
        (lambda: Network(torch.zeros(2, 2), 0, generator=generator("x")), "width"),
        (lambda: log_likelihood(chain("x", 2), [[0.0, 1.0, 1.0]]), "x"),
        (lambda: log_probabilities(Chain(torch.zeros(17, 17), torch.zeros(17))), "dimension"),
    ],
)
def test_what_is_no_model_of_bits_is_refused(call, name):
    with pytest.raises(ValueError, match=rf"^{name}: wanted"):
        call()
