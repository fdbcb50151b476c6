"""The one door for randomness: a generator seeded by a name and by the environment variable `BOOK_SEED`."""

import hashlib
import os

import torch

from helpers.device import default_device
from helpers.validation import fail

__all__ = ["book_seed", "generator"]


def book_seed():
    """The seed of the whole book: `BOOK_SEED` (default 0), a whole number of at least 0."""
    seed = os.environ.get("BOOK_SEED", "0")
    if not (seed.isascii() and seed.isdigit()):
        fail("BOOK_SEED", "a whole number of at least 0", repr(seed))
    return int(seed)


def generator(name, device=None):
    """A `torch.Generator` whose stream depends on `name` and `BOOK_SEED` alone.

    `name` is any text; two names give independent streams. `device` defaults to the device for new float64 data;
    streams of different devices differ. Raises `ValueError` for an empty name.
    """
    if not isinstance(name, str) or not name.strip():
        fail("name", "a text that names the stream", repr(name))
    digest = hashlib.sha256(f"{book_seed()}:{name}".encode()).digest()
    stream = torch.Generator(device=device if device is not None else default_device())
    return stream.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
