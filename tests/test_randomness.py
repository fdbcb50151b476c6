import ast
import json
import re
from pathlib import Path

import pytest
import torch
from scipy import stats

from helpers.randomness import book_seed, generator

ROOT = Path(__file__).parent.parent
SEEDS = re.compile(
    r"manual_seed|(?<![\w.])(seed|fork_rng)\(|\.seed\(|\bnp\.random|numpy\.random|default_rng|RandomState|\.rvs\("
    r"|random_state\s*=\s*\d|^\s*(import|from) random\b|^\s*import .*, *random\b|torch\.(cuda|mps)\.seed",
    re.MULTILINE,
)
DRAWS = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "poisson"}
DRAWS |= {f"{name}_like" for name in ("rand", "randn", "randint")}
DRAWS |= {f"{name}_" for name in ("normal", "uniform", "exponential", "bernoulli", "random", "cauchy", "log_normal")}


def book_code():
    """(path, source) of each module of `helpers` and of each chapter's code cells, IPython's own commands left out."""
    for path in sorted((ROOT / "helpers").rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "chapters").rglob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        yield path.relative_to(ROOT).as_posix(), re.sub(r"^\s*[%!].*$", "pass", code, flags=re.MULTILINE)


def ungenerated_draws(code):
    """Calls that draw from torch's global stream, as they stand in the source."""
    for node in ast.walk(ast.parse(code)):
        draws = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in DRAWS
        if draws and not any(keyword.arg == "generator" for keyword in node.keywords):
            yield ast.unparse(node)


def stream(name, size=1000):
    return torch.rand(size, generator=generator(name, "cpu"), dtype=torch.float64)


def test_one_name_gives_one_stream_and_another_name_another():
    assert torch.equal(stream("a"), stream("a"))
    names = ["a", "A", "a ", "b", "aa", "α"]
    assert len({tuple(stream(name, 8).tolist()) for name in names}) == len(names)


def test_the_book_seed_changes_every_stream(monkeypatch):
    found = set()
    for seed in range(20):
        monkeypatch.setenv("BOOK_SEED", str(seed))
        found |= {tuple(stream(name, 8).tolist()) for name in ("a", "b")}
    assert len(found) == 40


def test_without_a_book_seed_it_is_zero(monkeypatch):
    monkeypatch.setenv("BOOK_SEED", "0")
    zero = stream("a")
    monkeypatch.delenv("BOOK_SEED")
    assert book_seed() == 0
    assert torch.equal(stream("a"), zero)


def test_seed_and_name_do_not_run_into_each_other(monkeypatch):
    monkeypatch.setenv("BOOK_SEED", "1")
    first = stream("1:a")
    monkeypatch.setenv("BOOK_SEED", "11")
    assert not torch.equal(first, stream("a"))


@pytest.mark.parametrize("seed", ["x", "-1", "1.5", "²", "", " ", "1 ", "0x1", "1e3", "１"])
def test_a_bad_book_seed_is_refused(monkeypatch, seed):
    monkeypatch.setenv("BOOK_SEED", seed)
    for draw in (book_seed, lambda: generator("a")):
        with pytest.raises(ValueError, match=f"BOOK_SEED: wanted a whole number of at least 0, got {seed!r}"):
            draw()


@pytest.mark.parametrize("name", ["", " ", "\n", None, 3, b"a", ["a"]])
def test_a_stream_without_a_name_is_refused(name):
    with pytest.raises(ValueError, match="name: wanted a text that names the stream, got "):
        generator(name)


def test_the_generator_is_on_the_device_that_is_asked_for(device):
    found = generator("a", device)
    assert found.device.type == device.type
    assert torch.rand(3, generator=found, device=device).device.type == device.type


def test_streams_are_uniform_and_independent():
    first, second = stream("uniform", 20_000), stream("uniform, second", 20_000)
    assert stats.kstest(first, "uniform").pvalue > 1e-6
    assert stats.pearsonr(first, second).pvalue > 1e-6


def test_the_global_stream_is_left_alone():
    before = torch.random.get_rng_state()
    stream("a")
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_book_seeds_in_one_place():
    assert {name for name, code in book_code() if SEEDS.search(code)} == {"helpers/randomness.py"}


def test_the_book_draws_from_named_generators_alone():
    assert {name: draws for name, code in book_code() if (draws := list(ungenerated_draws(code)))} == {}


SECOND_DOORS = """
torch.manual_seed(0)
import random
from random import choice
import os, random
import numpy.random as r
x = np.random.rand(3)
    np.random.seed(1)
rng = default_rng(3)
KMeans(2, random_state=0)
random_state = 17
random.seed(1)
seed(4)
norm.rvs(3)
torch.cuda.manual_seed_all(1)
"""


@pytest.mark.parametrize("code", SECOND_DOORS.strip().splitlines())
def test_a_second_door_is_seen(code):
    assert SEEDS.search(f"x = 1\n{code}\n")


@pytest.mark.parametrize("code", ["torch.randn(3)", "torch.randperm(n, device=d)", "x.normal_()", "torch.rand_like(x)"])
def test_a_draw_from_the_global_stream_is_seen(code):
    assert list(ungenerated_draws(f"y = 2 * {code}")) == [code]


@pytest.mark.parametrize("code", ["book_seed()", "torch.randn(3, generator=g)", "random_state=state", "randomness = 1"])
def test_the_one_door_is_not_taken_for_another(code):
    assert not SEEDS.search(code)
    assert not list(ungenerated_draws(code))
