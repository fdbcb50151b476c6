import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate

from helpers.adversarial import pyramids
from helpers.randomness import generator

IMAGES = torch.randn(3, 5, 8, 16, generator=generator("pyramids"), dtype=torch.float64)


def test_down_and_up_are_those_of_pytorch():
    torch.testing.assert_close(pyramids.down(IMAGES), avg_pool2d(IMAGES, 2), rtol=0, atol=1e-15)
    torch.testing.assert_close(pyramids.up(IMAGES), interpolate(IMAGES, scale_factor=2), rtol=0, atol=0)


def test_up_after_down_is_an_orthogonal_projection():
    units = torch.eye(64, dtype=torch.float64).view(64, 8, 8)
    projection = pyramids.up(pyramids.down(units)).flatten(1)
    torch.testing.assert_close(projection @ projection, projection, rtol=0, atol=1e-15)
    torch.testing.assert_close(projection.mT, projection, rtol=0, atol=0)
    assert projection.trace() == 16
    torch.testing.assert_close(pyramids.down(pyramids.up(IMAGES)), IMAGES, rtol=0, atol=0)


@pytest.mark.parametrize("depth", range(4))
def test_a_pyramid_is_undone(depth):
    levels = pyramids.split(IMAGES, depth)
    assert [level.shape[-1] for level in levels] == [16 >> depth, *(16 >> k for k in reversed(range(depth)))]
    torch.testing.assert_close(pyramids.join(levels), IMAGES, rtol=0, atol=2e-15)
    for residual in levels[1:]:
        torch.testing.assert_close(
            pyramids.down(residual), torch.zeros_like(residual[..., ::2, ::2]), rtol=0, atol=1e-15
        )


def test_whole_numbers_come_back_as_they_were():
    counts = torch.randint(17, (20, 8, 8), generator=generator("pyramids: counts")).double()
    assert torch.equal(pyramids.join(pyramids.split(counts, 3)), counts)


def test_any_pair_will_do():
    def down(x):
        return x[..., ::2, 1::2].sin()

    def up(x):
        return interpolate(x, scale_factor=2, mode="bilinear").exp()

    levels = pyramids.split(IMAGES, 3, down, up)
    torch.testing.assert_close(pyramids.join(levels, up), IMAGES, rtol=0, atol=2e-15)
    assert (pyramids.join(levels) - IMAGES).abs().max() > 0.1


@pytest.mark.parametrize("shape", [(7, 8), (8, 7), (1, 1), (6, 6)])
def test_odd_sizes_are_refused(shape):
    with pytest.raises(ValueError, match="images: wanted an even number of rows and of columns"):
        pyramids.split(torch.zeros(2, *shape), 2)


def test_residuals_of_another_scale_are_refused():
    coarse, fine = pyramids.split(IMAGES, 1)
    with pytest.raises(ValueError, match=r"levels: wanted a residual of shape \(3, 5, 8, 16\)"):
        pyramids.join([coarse, fine[..., :4, :]])
    with pytest.raises(ValueError, match="levels: wanted one image or more, got none"):
        pyramids.join([])
    with pytest.raises(ValueError, match="up, down: wanted images of shape"):
        pyramids.split(IMAGES, 1, up=lambda x: x)
