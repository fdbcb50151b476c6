import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cosine_similarity

from helpers.adversarial import energy
from helpers.adversarial.energy import (
    Autoencoder,
    critic_loss,
    hinge,
    losses,
    pull_away,
    reconstruction,
    welch_bound,
)
from helpers.adversarial.training import Training
from helpers.networks import MLP
from helpers.randomness import generator

NAN, INF = float("nan"), float("inf")


def normal(name, *shape, dtype=torch.float64):
    return torch.randn(shape, generator=generator(name), dtype=dtype)


# Energies


def test_an_energy_is_a_length():
    torch.testing.assert_close(
        reconstruction([[3.0, 4.0], [1.0, 1.0]], [[0.0, 0.0], [1.0, 2.0]]), torch.tensor([5.0, 1.0]).double()
    )


def test_a_point_that_comes_back_has_no_energy_and_no_gradient():
    x = normal("points", 3, 2).requires_grad_()
    energies = reconstruction(x, x.detach())
    (slope,) = torch.autograd.grad(energies.sum(), x)
    assert not energies.any()
    assert not slope.any()


@pytest.mark.parametrize(("x", "decoded"), [(1.0, 2.0), ([1.0], [1.0, 2.0]), ([[1.0]], [1.0])])
def test_points_of_two_shapes_are_refused(x, decoded):
    with pytest.raises(ValueError, match=r"x, decoded: wanted points of one shape \(..., d\)"):
        reconstruction(x, decoded)


@pytest.mark.parametrize("name", ["x", "decoded"])
def test_points_whose_squares_overflow_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}: wanted numbers of at most 1e"):
        reconstruction(**{"x": [1.0], "decoded": [1.0], name: [1e160]})


# Losses


def test_the_hinge_is_the_positive_part_and_flat_from_the_margin_on():
    energies = torch.tensor([0.0, 0.5, 1.0, 1.5], requires_grad=True)
    found = hinge(energies, 1.0)
    torch.testing.assert_close(found, torch.tensor([1.0, 0.5, 0.0, 0.0]))
    (slope,) = torch.autograd.grad(found.sum(), energies)
    assert slope.tolist() == [-1, -1, 0, 0]


def test_the_critics_loss_has_a_hinge_for_each_fake():
    real, fake = normal("real", 3, 5).abs(), normal("fake", 3, 7).abs()
    one_by_one = [
        sum(a) / 5 + sum(max(0.0, 0.8 - b) for b in c) / 7 for a, c in zip(real.tolist(), fake.tolist(), strict=True)
    ]
    torch.testing.assert_close(critic_loss(real, fake, 0.8), torch.tensor(one_by_one).double())
    assert critic_loss(real, fake, 0.8)[0] != real[0].mean() + (0.8 - fake[0].mean()).clamp_min(0)


@pytest.mark.parametrize("margin", [0, -1, NAN, INF, "1", [1.0, 2.0]])
def test_a_margin_that_is_none_is_refused(margin):
    for function in (lambda m: hinge([0.5], m), lambda m: critic_loss([0.5], [0.5], m), losses):
        with pytest.raises(ValueError, match="margin: wanted a number above zero"):
            function(margin)


@pytest.mark.parametrize("broken", [-0.1, NAN])
def test_energies_below_zero_and_nan_are_refused(broken):
    for function, name in (
        (lambda e: hinge(e, 1.0), "energies"),
        (lambda e: critic_loss(e, [0.5], 1.0), "real"),
        (lambda e: critic_loss([0.5], e, 1.0), "fake"),
    ):
        with pytest.raises(ValueError, match=f"{name}: wanted"):
            function([0.2, broken])


@pytest.mark.parametrize(("real", "fake"), [(1.0, 1.0), ([1.0], 1.0), ([[1.0]], [1.0])])
def test_energies_of_other_axes_are_refused(real, fake):
    with pytest.raises(ValueError, match="real, fake: wanted energies along the last axis"):
        critic_loss(real, fake, 1.0)


# Codes that repel


@pytest.mark.parametrize(("n", "d"), [(2, 1), (2, 3), (5, 5), (7, 3), (3, 7)])
def test_the_term_is_the_mean_squared_cosine_of_all_pairs(n, d):
    codes = normal("codes", 2, n, d)
    pairs = cosine_similarity(codes[:, :, None], codes[:, None], dim=-1).square()
    pairs = pairs * ~torch.eye(n, dtype=bool)
    torch.testing.assert_close(pull_away(codes), pairs.sum((1, 2)) / (n * (n - 1)))


@given(st.integers(2, 9), st.integers(1, 9), st.integers(0, 10**6))
def test_it_lies_between_welchs_bound_and_one(n, d, seed):
    found = pull_away(normal(f"within {seed}", n, d)).item()
    assert welch_bound(n, d) - 1e-12 <= found <= 1 + 1e-12


def test_size_sign_rotation_and_order_of_the_codes_make_no_difference():
    codes = normal("codes", 6, 3)
    turn = torch.linalg.qr(normal("turn", 3, 3)).Q
    sizes = torch.tensor([1e-300, -1e300, 2.0, -0.1, 1e-310, 1e-160], dtype=torch.float64)[:, None]
    torch.testing.assert_close(pull_away(sizes * (codes @ turn).flip(0)), pull_away(codes), rtol=1e-9, atol=0)


def test_codes_on_one_line_give_one_and_codes_at_right_angles_zero():
    assert pull_away([[1.0, 2.0], [-2.0, -4.0], [0.1, 0.2]]).item() == pytest.approx(1)
    assert pull_away(torch.eye(4)).item() == 0


def test_a_code_of_norm_zero_is_at_right_angles_to_all_and_is_not_moved():
    codes = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], requires_grad=True)
    found = pull_away(codes)
    assert found.item() == pytest.approx(2 * 0.5 / 6)
    (slope,) = torch.autograd.grad(found, codes)
    assert torch.isfinite(slope).all()
    assert not slope[2].any()
    assert pull_away(torch.zeros(4, 2)).item() == 0


def test_its_gradient_is_that_of_differences():
    for shape in ((2, 6, 3), (2, 3, 6)):
        codes = normal("codes", *shape).requires_grad_()
        assert torch.autograd.gradcheck(pull_away, codes)


@pytest.mark.parametrize("codes", [[[1.0, 2.0]], [1.0, 2.0], 1.0])
def test_a_batch_of_one_has_no_pairs(codes):
    with pytest.raises(ValueError, match="codes: wanted .* two codes or more, as one makes no pair"):
        pull_away(codes)


def test_codes_that_are_nan_are_refused():
    with pytest.raises(ValueError, match="codes: wanted finite numbers, got nan"):
        pull_away([[1.0, NAN], [1.0, 2.0]])


@pytest.mark.parametrize(("n", "d", "bound"), [(3, 2, 1 / 4), (6, 2, 4 / 10), (4, 4, 0), (2, 5, 0), (5, 1, 1)])
def test_welchs_bound(n, d, bound):
    assert welch_bound(n, d) == pytest.approx(bound)
    angles = math.pi * torch.arange(n) / n
    if d == 2:
        assert pull_away(torch.stack([angles.cos(), angles.sin()], -1)).item() == pytest.approx(bound)


@pytest.mark.parametrize(("batch", "dimension"), [(1, 2), (0, 2), (3.0, 2), (4, 0), (4, True)])
def test_counts_that_are_none_are_refused(batch, dimension):
    with pytest.raises(ValueError, match="(batch|dimension): wanted a whole number of at least"):
        welch_bound(batch, dimension)


# Auto-encoders


def test_an_autoencoder_answers_with_its_error():
    made = Autoencoder(3, 2, (4, 5), 2, generator=generator("autoencoder"), dtype=torch.float64)
    x = normal("points", 2, 6, 3)
    back = made.decoder(made.encoder(x))
    torch.testing.assert_close(made(x)[..., 0], reconstruction(x, back))
    assert made(x[0]).shape == (2, 6, 1)
    assert (made.encoder.sizes, made.decoder.sizes) == ((3, 4, 5, 2), (2, 5, 4, 3))
    assert (made.inputs, made.outputs, made.models) == (3, 1, 2)


@pytest.mark.parametrize("change", [{"inputs": 0}, {"code": 1.5}, {"hidden": 3}, {"hidden": (0,)}, {"models": -1}])
def test_sizes_of_an_autoencoder_that_are_none_are_refused(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))}: wanted"):
        Autoencoder(**{"inputs": 2, "code": 2, "hidden": (3,), "generator": generator("none")} | change)


def test_a_model_does_not_depend_on_its_neighbours():
    made = Autoencoder(2, 3, (4,), 3, generator=generator("three"), dtype=torch.float64)
    x = normal("points", 3, 5, 2)
    alone = Autoencoder(2, 3, (4,), generator=generator("one"), dtype=torch.float64)
    with torch.no_grad():
        for one, many in zip(alone.parameters(), made.parameters(), strict=True):
            one.copy_(many[1:2])
    torch.testing.assert_close(alone(x[1:2]), made(x)[1:2])


# Both players


def pair(models=2):
    options = {"models": models, "generator": generator("pair"), "dtype": torch.float64}
    return MLP((3, 4, 2), **options), Autoencoder(2, 3, (4,), **options)


@pytest.mark.parametrize("weight", [0, 0.3])
def test_the_players_descend_what_the_functions_say(weight):
    critic, real, fake = pair()[1], normal("real", 2, 6, 2), normal("fake", 2, 5, 2)
    found = losses(0.7, weight)
    energies = [critic(one)[..., 0] for one in (real, fake)]
    torch.testing.assert_close(found.critic(critic, real, fake), critic_loss(*energies, 0.7))
    wanted = energies[1].mean(-1) + weight * pull_away(critic.encoder(fake))
    torch.testing.assert_close(found.generator(critic, real, fake), wanted)


def test_a_game_of_energies_draws_fakes_to_the_data():
    def draw(shape, random):
        return 1 + 0.1 * torch.randn(*shape, 2, generator=random, dtype=torch.float64)

    played = Training(*pair(), draw, losses(1.0, 0.1), name="energies", batch=16, rate=0.01)
    before = (played.sample(200).mean(1) - 1).norm(dim=-1)
    after = (played.run(200).sample(200).mean(1) - 1).norm(dim=-1)
    assert (after < before / 2).all()


@pytest.mark.parametrize("weight", [-0.1, NAN, INF, "1", [0.1, 0.2]])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(ValueError, match="weight: wanted a number of at least 0"):
        losses(1.0, weight)


def test_at_a_positive_weight_a_batch_of_one_is_refused():
    draw = lambda shape, random: torch.randn(*shape, 2, generator=random, dtype=torch.float64)  # noqa: E731
    Training(*pair(), draw, losses(1.0), name="energies", batch=1).run(1)
    with pytest.raises(ValueError, match="batch: wanted two or more at a positive weight"):
        Training(*pair(), draw, losses(1.0, 0.1), name="energies", batch=1).run(1)


def test_what_is_not_looked_at_is_what_is():
    real, fake, codes = normal("real", 4).abs(), normal("fake", 4).abs(), normal("codes", 4, 3)
    assert torch.equal(energy._critic_loss(real, fake, 1.0), critic_loss(real, fake, 1.0))
    assert torch.equal(energy._pull_away(codes), pull_away(codes))
