r"""Laplacian pyramids: an image as a coarse one and, for each finer scale, what the coarser does not say."""

from helpers.validation import a_function, count, fail, instance, tensor

__all__ = ["down", "join", "split", "up"]


def down(images):
    r"""The means over blocks of $2\times2$ pixels: shape (..., rows / 2, columns / 2) for (..., rows, columns).

    `down(up(x))` is `x`, and `up` is four times the transpose of `down`: `up` after `down` is an orthogonal projection.
    Raises `ValueError` for an odd number of rows or columns: which pixel to leave out is not for us to say.
    """
    images = _images(images, "images")
    rows, columns = images.shape[-2:]
    if rows % 2 or columns % 2:
        fail("images", "an even number of rows and of columns", f"shape {tuple(images.shape)}")
    return images.unflatten(-1, (columns // 2, 2)).unflatten(-3, (rows // 2, 2)).mean((-3, -1))


def up(images):
    r"""Each pixel as a block of $2\times2$: shape (..., 2 rows, 2 columns) for (..., rows, columns)."""
    return _images(images, "images").repeat_interleave(2, -2).repeat_interleave(2, -1)


def split(images, depth=1, down=down, up=up):
    r"""The pyramid with `depth` residuals, coarsest first: $(I_K,h_{K-1},\dots,h_0)$ with $I_0$ the `images`,
    $I_{k+1}=d(I_k)$ and $h_k=I_k-u(I_{k+1})$.

    `images`, shape (..., rows, columns); `down` and `up`, $d$ and $u$, are any two functions of images of which $u$
    gives back the shape that $d$ took. Returns a tuple of `depth` + 1 tensors; for a `depth` of 0 that is the
    images alone. `join` with the same $u$ undoes it, whatever $d$ and $u$ are. Raises `ValueError` where $d$ refuses an
    image, an odd one for a start, for a `depth` below 0, and where $u(d(I))$ has another shape than $I$. Source:
    Burt and Adelson (1983); Denton, Chintala, Szlam and Fergus (2015).
    """
    images, levels = _images(images, "images"), []
    a_function(down, "down", "images")
    a_function(up, "up", "images")
    for _ in range(count(depth, "depth", 0)):
        coarse = down(images)
        guess = up(coarse)
        if guess.shape != images.shape:
            fail("up, down", f"images of shape {tuple(images.shape)} once more", f"shape {tuple(guess.shape)}")
        levels.append(images - guess)
        images = coarse
    return images, *reversed(levels)


def join(levels, up=up):
    r"""The images of a pyramid, coarsest level first: $I_k=u(I_{k+1})+h_k$.

    `levels` are tensors, as `split` returns them, one or more. What comes out is what was split, but for the rounding
    of one sum a scale. Raises `ValueError` for a residual of another shape than $u$ makes of the scale below.
    """
    instance(levels, "levels", list, tuple)
    a_function(up, "up", "images")
    if not levels:
        fail("levels", "one image or more", "none")
    images, *residuals = (_images(level, "levels") for level in levels)
    for residual in residuals:
        guess = up(images)
        if guess.shape != residual.shape:
            fail("levels", f"a residual of shape {tuple(guess.shape)}", f"shape {tuple(residual.shape)}")
        images = guess + residual.to(guess)
    return images


def _images(value, name):
    value = tensor(value, name)
    if value.ndim < 2:
        fail(name, "shape (..., rows, columns)", f"shape {tuple(value.shape)}")
    return value
