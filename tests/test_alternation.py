"""Turns of a critic and a generator: how many, with which draws, and what is kept."""

import pytest
import torch

from helpers.alternation import Alternation
from helpers.networks import MLP
from helpers.randomness import generator


class Scripted(Alternation):
    """A game that learns nothing, and writes down whose turn it is."""

    def __init__(self, **options):
        players = [MLP(sizes, 2, generator=generator(f"alternation: {sizes}")) for sizes in ((3, 4, 2), (2, 4, 1))]
        draw = generator("alternation: data")
        settings = {"name": "alternation", "batch": 5, "critic_steps": 2} | options
        super().__init__(*players, lambda shape, random: torch.randn(*shape, 2, generator=draw), **settings)
        self.turns = ""

    def _improve_critic(self):
        self.turns += "c"
        return torch.full((2,), float(len(self.turns)))

    def _improve_generator(self):
        self.turns += "g"

    def _check(self):
        self.turns += "."


def test_the_critic_has_its_steps_before_each_of_the_generator_and_its_last_value_is_kept():
    game = Scripted().run(2).run(1)
    assert game.turns == "ccgccg.ccg."
    assert game.history.tolist() == [[2.0, 2.0], [5.0, 5.0], [9.0, 9.0]]


def test_fakes_are_the_generators_of_noise_of_its_own_stream():
    game, again = Scripted(), Scripted()
    fakes = game.sample(7)
    assert fakes.shape == (2, 7, 2)
    assert not fakes.requires_grad
    noise = torch.randn(2, 7, 3, generator=generator("alternation"), dtype=fakes.dtype)
    torch.testing.assert_close(fakes, game.generator(noise).detach())
    assert torch.equal(fakes, again.sample(7))


@pytest.mark.parametrize(
    ("option", "message"), [("batch", "^batch: wanted"), ("critic_steps", "^critic_steps: wanted")]
)
def test_no_steps_and_no_batch_are_refused(option, message):
    with pytest.raises(ValueError, match=message):
        Scripted(**{option: 0})
