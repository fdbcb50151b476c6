import copy
import math

import pytest
import torch

from helpers.adversarial import remedies
from helpers.adversarial.remedies import (
    HistoricalAverage,
    MinibatchCritic,
    NormalisedMLP,
    feature_matching,
    minibatch_features,
    smoothed_loss,
    virtual_batch_norm,
)
from helpers.networks import MLP
from helpers.randomness import generator


def normal(*shape, dtype=torch.float64):
    return torch.randn(shape, generator=generator(f"remedies: {shape}"), dtype=dtype)


def usual(m):
    return (-(m[..., :, None, :, :] - m[..., None, :, :, :]).abs().sum(-1)).exp().sum(-3)


@pytest.mark.parametrize("shape", [(7, 3, 2), (2, 5, 1, 4), (2, 3, 4, 2, 1), (1, 1, 1)])
@pytest.mark.parametrize("block", [1, 2**16])
def test_minibatch_features_and_their_gradient_are_those_of_the_whole_table(monkeypatch, shape, block):
    monkeypatch.setattr(remedies, "BLOCK", block)
    m = normal(*shape).requires_grad_()
    pull = normal(*shape[:-1], 1)[..., 0]
    ours, theirs = minibatch_features(m), usual(m)
    torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=0)
    got, wanted = (torch.autograd.grad((one * pull).sum(), m)[0] for one in (ours, theirs))
    torch.testing.assert_close(got, wanted, rtol=1e-13, atol=1e-14)


def test_members_that_are_one_count_all_and_feel_nothing_of_one_another():
    m = torch.zeros(2, 6, 3, 4, requires_grad=True)
    found = minibatch_features(m)
    assert torch.equal(found, torch.full((2, 6, 3), 6.0))
    found.sum().backward()
    assert not m.grad.any()


def test_members_that_are_far_apart_count_themselves():
    assert torch.equal(minibatch_features([[[-1e308]], [[1e308]]]), torch.ones(2, 1, dtype=torch.float64))


def test_a_gradient_can_be_taken_twice_from_one_graph():
    m = normal(4, 2, 2).requires_grad_()
    loss = minibatch_features(m).square().sum()
    first, second = (torch.autograd.grad(loss, m, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_a_minibatch_critic_is_equivariant_and_reads_each_batch_apart():
    critic = MinibatchCritic((2, 5, 1), 3, kernels=4, width=2, generator=generator("critic"), dtype=torch.float64)
    x, order = normal(3, 6, 2), torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(critic(x[:, order]), critic(x)[:, order], rtol=1e-12, atol=1e-14)
    moved = x.clone()
    moved[0, 0] += 1
    assert ((critic(moved) != critic(x)).flatten(1).all(1) == torch.tensor([True, False, False])).all()


def test_virtual_batch_norm_is_by_the_reference_and_the_one_that_is_normalised():
    x, reference = normal(3, 5, 2), normal(3, 4, 2) + 1
    found = virtual_batch_norm(x, reference, floor=0.1)
    for model, row in ((0, 0), (2, 4)):
        batch = torch.cat([reference[model], x[model, row][None]])
        wanted = (x[model, row] - batch.mean(0)) / (batch.var(0, correction=0) + 0.1).sqrt()
        torch.testing.assert_close(found[model, row], wanted, rtol=1e-13, atol=1e-14)
    assert virtual_batch_norm([[1e9]], [[0.0]] * 4).item() == pytest.approx(2, rel=1e-9)


@pytest.mark.parametrize("virtual", [True, False])
def test_a_fake_of_a_normalised_network_depends_on_the_others_only_without_a_reference(virtual):
    network = NormalisedMLP((2, 4, 4, 1), normal(2, 8, 2), virtual=virtual, generator=generator("n"))
    x = normal(2, 5, 2, dtype=torch.float32)
    others = x.clone()
    others[:, 1:] *= 3
    assert torch.equal(network(x)[:, 0], network(others)[:, 0]) == virtual
    hidden = (x @ network.weights[0])[:, :, 0]
    if not virtual:
        torch.testing.assert_close(
            remedies._ordinary(x @ network.weights[0])[..., 0],
            (hidden - hidden.mean(1, keepdim=True)) / hidden.std(1, correction=0, keepdim=True),
            rtol=1e-3,
            atol=1e-3,
        )


def test_the_historical_average_is_of_each_network_by_itself():
    penalty = HistoricalAverage(0.5)
    one, other = (MLP((1, 1), 2, generator=generator("average"), dtype=torch.float64) for _ in range(2))
    assert torch.equal(penalty(one, 0), torch.zeros(2))
    assert torch.equal(penalty(other), torch.zeros(2))
    with torch.no_grad():
        one.weights[0][0] += 2.0
        one.biases[0][1] -= 1.0
    found = penalty(one, 1)
    torch.testing.assert_close(found.detach(), 0.5 * torch.tensor([1.0, 0.25], dtype=torch.float64))
    found.sum().backward()
    torch.testing.assert_close(one.weights[0].grad.flatten(), torch.tensor([1.0, 0.0], dtype=torch.float64))
    assert torch.equal(penalty(other), torch.zeros(2))


def test_a_copied_network_begins_an_average_of_its_own():
    penalty, network = HistoricalAverage(1.0), MLP((1, 1), generator=generator("copy"))
    penalty(network)
    with torch.no_grad():
        network.weights[0] += 1
    assert penalty(copy.deepcopy(network)).item() == 0


def test_feature_matching_is_the_squared_distance_of_means():
    assert feature_matching([[0.0, 1.0], [2.0, 1.0]], [[1.0, 3.0]]).item() == 4
    assert feature_matching(normal(2, 3, 5, 4), normal(2, 3, 7, 4)).shape == (2, 3)


def test_a_smoothed_loss_is_the_cross_entropy_with_these_labels():
    real, fake = normal(3, 5), normal(3, 6)
    labels = torch.full_like(real, 0.9), torch.full_like(fake, 0.2)
    wanted = sum(
        torch.nn.functional.binary_cross_entropy_with_logits(v, y, reduction="none").mean(-1)
        for v, y in zip((real, fake), labels, strict=True)
    )
    torch.testing.assert_close(smoothed_loss(real, fake, 0.9, 0.2), wanted)
    assert smoothed_loss([0.0], [0.0], 1.0).item() == pytest.approx(math.log(4))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: minibatch_features([[1.0]]), "projections"),
        (lambda: minibatch_features([[[math.nan]]]), "projections"),
        (lambda: MinibatchCritic((2, 1), generator=generator("g")), "sizes"),
        (lambda: MinibatchCritic((2, 3, 1), 0, generator=generator("g")), "models"),
        (lambda: MinibatchCritic((2, 3, 1), kernels=0, generator=generator("g")), "kernels"),
        (lambda: virtual_batch_norm([[1.0]], [[1.0, 2.0]]), "x, reference"),
        (lambda: virtual_batch_norm([[1.0]], [[1.0]], floor=0), "floor"),
        (lambda: NormalisedMLP((2, 1), [[[1.0]]], generator=generator("g")), "reference"),
        (lambda: HistoricalAverage(-1), "weight"),
        (lambda: HistoricalAverage(1.0)("network"), "network"),
        (lambda: feature_matching([[1.0]], [[1.0, 2.0]]), "real, fake"),
        (lambda: smoothed_loss([1.0], [1.0], 0.0), "label"),
        (lambda: smoothed_loss([1.0], [1.0], 1.1), "label"),
        (lambda: smoothed_loss([1.0], [1.0], 0.9, 1.0), "other"),
    ],
)
def test_bad_input_is_refused_by_name(call, said):
    with pytest.raises(ValueError, match=f"^{said}: wanted"):
        call()
