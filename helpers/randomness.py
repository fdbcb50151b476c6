"""The one door for randomness: a generator seeded by a name and by the environment variable `BOOK_SEED`."""

import hashlib
import os
from functools import partial

import torch

from helpers.validation import fail

__all__ = ["book_seed", "generator", "stream"]


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
    return stream(name)(device)


def stream(name):
    """`generator(name, device)` as a function of `device`, which another process can be sent.

    `BOOK_SEED` is read here and now: where the function is called, it may be another. Raises `ValueError` for an empty
    name.
    """
    if not isinstance(name, str) or not name.strip():
        fail("name", "a text that names the stream", repr(name))
    digest = hashlib.sha256(f"{book_seed()}:{name}".encode()).digest()
    return partial(_seeded, int.from_bytes(digest[:8], "big") >> 1)


def _seeded(seed, device="cpu"):
    return torch.Generator(device=device).manual_seed(seed)
