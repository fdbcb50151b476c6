"""What several test modules share: a device, random numbers by name, and a record of claims of their own."""

import pytest
import torch

from helpers import claims
from helpers.randomness import generator

RECORD = r"""
lectures:
  talk: {title: A talk, author: A. Author}
claims:
- id: talk-sum
  place: (1)
  chapter: sums
  statement: One and one are two.
- id: talk-sign
  place: (2), a slide
  chapter: sums
  statement: The derivative of x² is 2x.
  printed: $-2x$
  corrected: $2x$
  why: The minus sign has no source.
  also: {talk-sign-again: (3)}
- id: talk-silent
  place: (4)
  chapter: sums
- id: talk-markup
  place: '"Order" & <i>more</i>'
  chapter: sums
  statement: If a < b & b < c, then <b>a</b> < c.
"""


@pytest.fixture(
    params=["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]
)
def device(request):
    return torch.device(request.param)


@pytest.fixture(scope="session")
def normal():
    """Standard normal float64 numbers on the CPU: `normal(name, *shape)`."""
    return lambda name, *shape: torch.randn(*shape, generator=generator(name, "cpu"), dtype=torch.float64)


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """`helpers.claims` reads RECORD in place of the book's own record."""
    path = tmp_path_factory.mktemp("claims") / "claims.yml"
    path.write_text(RECORD, encoding="utf-8")
    loaded = claims.load(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims, "load", lambda path=None: loaded)
        yield loaded
