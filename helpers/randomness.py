"""The one door for randomness: a generator seeded by a name and by the environment variable `BOOK_SEED`."""

import hashlib
import os

import torch

from helpers.validation import fail

__all__ = ["book_seed", "generator"]


def book_seed():
    """The seed of the whole book: `BOOK_SEED` (default 0), a whole number of at least 0."""
    seed = os.environ.get("BOOK_SEED", "0")
    if not (seed.isascii() and seed.isdigit()):
        fail("BOOK_SEED", "a whole number of at least 0", repr(seed))
    return int(seed)


def generator(name, device="cpu"):
    """A `torch.Generator` whose stream depends on `name` and `BOOK_SEED` alone.

    `name` is any text; two names give independent streams. On the CPU, the default, a stream is the same on every
    machine; a large simulation asks for one on `default_device()`, where it differs. Raises `ValueError` for an empty
    name.
    """
    if not isinstance(name, str) or not name.strip():
        fail("name", "a text that names the stream", repr(name))
    digest = hashlib.sha256(f"{book_seed()}:{name}".encode()).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)
