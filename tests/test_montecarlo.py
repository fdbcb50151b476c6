import contextlib
import faulthandler
import math
import os
import signal
import subprocess
import sys
import time
import weakref

import joblib
import pytest
import torch
from distributed import Client, LocalCluster
from joblib.externals.loky import get_reusable_executor
from scipy import stats

from helpers.measurements import replicates
from helpers.montecarlo import simulate
from helpers.randomness import generator, stream

SLOW_BATCHES = """
import time, torch
from helpers import montecarlo

def draw(size, generator):
    time.sleep(0.1)
    return torch.rand(size, generator=generator)

montecarlo.DELAY = {delay}
montecarlo.simulate(draw, 6, "heights", batch=1)
"""
CELL = """
scale = torch.tensor(3.0)

def times(factor):
    return lambda size, generator: factor * torch.randn(size, generator=generator)

def draw(size, generator):
    return scale * torch.randn(size, generator=generator)

draws = [draw, times(3.0), lambda size, generator: scale * torch.randn(size, generator=generator)]
"""


def noise(size, generator):
    """Standard normal vectors, on the device and in the default precision."""
    return torch.randn(size, 2, generator=generator, device=generator.device)


@pytest.fixture(scope="module", autouse=True)
def no_process_left():
    yield
    get_reusable_executor().shutdown(wait=True)


@pytest.fixture
def float64():
    """What a chapter sets for its own process."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize(("backend", "workers"), [("threading", 2), ("threading", 3), ("loky", 2)])
def test_the_numbers_are_the_same_wherever_they_are_drawn(backend, workers, float64):
    here = simulate(noise, 105, "where", batch=10)
    with joblib.parallel_config(backend=backend, n_jobs=workers):
        there = simulate(noise, 105, "where", batch=10)
    assert torch.equal(there, here)
    assert (here.shape, here.dtype) == ((105, 2), torch.float64)


def test_each_batch_is_drawn_from_a_stream_of_its_own_and_the_last_may_be_smaller():
    sizes = []

    def draw(size, generator):
        sizes.append(size)
        return noise(size, generator)

    found = simulate(draw, 7, "batches", batch=3)
    assert sizes == [3, 3, 1]
    assert torch.equal(found, torch.cat([noise(size, generator(f"batches: {b}")) for b, size in enumerate(sizes)]))


@pytest.mark.parametrize(("number", "sizes"), [(1, [1]), (9, [9]), (10, [10]), (11, [10, 1]), (20, [10, 10])])
def test_no_batch_is_larger_than_asked_for(number, sizes):
    found = simulate(lambda size, generator: torch.full((size,), float(size)), number, "sizes", batch=10)
    assert found.tolist() == [size for size in sizes for _ in range(size)]


def test_other_names_and_other_book_seeds_give_other_numbers(monkeypatch):
    found = set()
    for seed in ("0", "1", "17"):
        monkeypatch.setenv("BOOK_SEED", seed)
        found |= {tuple(simulate(noise, 4, name, batch=2).flatten().tolist()) for name in ("a", "b", "a: 0")}
    assert len(found) == 9


def test_batches_are_independent():
    first, second = simulate(noise, 20_000, "independence", batch=10_000).flatten().split(20_000)
    assert not torch.equal(first, second)
    assert stats.pearsonr(first, second).pvalue > 1e-6
    assert stats.kstest(torch.cat([first, second]), "norm").pvalue > 1e-6


def test_the_mean_of_the_replicates_is_the_known_one(device):
    def largest(size, generator):
        numbers = torch.rand(size, 4, generator=generator, device=generator.device, dtype=torch.float64)
        return torch.stack([numbers.amax(1), numbers.square().mean(1)], dim=1)

    score = replicates(simulate(largest, 20_000, "largest", device=device)).score([4 / 5, 1 / 3])
    assert (abs(score) < 5).all()


@pytest.mark.parametrize("backend", ["sequential", "loky"])
def test_the_result_is_on_the_device_that_is_asked_for(device, backend):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        found = simulate(noise, 5, "device", batch=2, device=device)
    assert found.device.type == device.type
    expected = [noise(size, generator(f"device: {b}", device)) for b, size in enumerate((2, 2, 1))]
    assert torch.equal(found, torch.cat(expected))


def test_a_result_holds_no_gradient_and_keeps_its_precision():
    scale = torch.ones(2, requires_grad=True)
    found = simulate(lambda size, generator: (scale * noise(size, generator)).float(), 5, "gradient", batch=2)
    assert (found.requires_grad, found.dtype) == (False, torch.float32)


def test_whole_numbers_become_float64():
    found = simulate(lambda size, generator: torch.randint(6, (size,), generator=generator), 5, "dice", batch=2)
    assert found.dtype == torch.float64


def test_a_worker_that_has_another_book_seed_draws_the_same(monkeypatch):
    def draw(size, generator):
        seed = torch.full((size,), float(os.environ.get("BOOK_SEED", "0")))
        return torch.stack([seed, torch.rand(size, generator=generator)], dim=1)

    with joblib.parallel_config(backend="loky", n_jobs=2):
        before = simulate(draw, 6, "seed", batch=2)[0, 0]
        monkeypatch.setenv("BOOK_SEED", f"{before + 1:.0f}")
        there = simulate(draw, 6, "seed", batch=2)
    here = simulate(draw, 6, "seed", batch=2)
    assert (there[:, 0] == before).all()
    assert (here[:, 0] == before + 1).all()
    assert torch.equal(there[:, 1], here[:, 1])


def test_a_stream_is_fixed_where_it_is_named(monkeypatch):
    monkeypatch.setenv("BOOK_SEED", "3")
    named, expected = stream("named"), torch.rand(5, generator=generator("named"))
    monkeypatch.setenv("BOOK_SEED", "4")
    assert torch.equal(torch.rand(5, generator=named("cpu")), expected)


def test_what_a_notebook_defines_can_be_drawn_elsewhere():
    namespace = {"__name__": "__main__", "torch": torch}
    exec(CELL, namespace)
    expected = simulate(lambda size, generator: 3 * torch.randn(size, generator=generator), 20, "cell", batch=5)
    with joblib.parallel_config(backend="loky", n_jobs=2):
        for draw in namespace["draws"]:
            assert torch.equal(simulate(draw, 20, "cell", batch=5), expected)


@pytest.mark.parametrize(
    ("draw", "number", "name", "batch", "message"),
    [
        (3, 5, "a", 2, "draw: wanted a function of a size and a generator, got 3"),
        (noise, 0, "a", 2, "number: wanted a whole number of at least 1, got 0"),
        (noise, 5.0, "a", 2, "number: wanted a whole number of at least 1, got 5.0"),
        (noise, True, "a", 2, "number: wanted a whole number of at least 1, got True"),
        (noise, 5, "a", 0, "batch: wanted a whole number of at least 1, got 0"),
        (noise, 5, "a", None, "batch: wanted a whole number of at least 1, got None"),
        (noise, 5, "", 2, "name: wanted a text that names the simulation, got ''"),
        (noise, 5, " ", 2, "name: wanted a text that names the simulation, got ' '"),
        (noise, 5, 3, 2, "name: wanted a text that names the simulation, got 3"),
    ],
)
def test_a_simulation_refuses(draw, number, name, batch, message):
    with pytest.raises(ValueError, match=message):
        simulate(draw, number, name, batch=batch)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda size, generator: noise(size + 1, generator), r"2 replicates along the first axis, got shape \(3, 2\)"),
        (lambda size, generator: noise(size, generator).T[:1], r"2 replicates along the .*, got shape \(1, 2\)"),
        (lambda size, generator: noise(size, generator).sum(), r"2 replicates along the .*, got shape \(\)"),
        (lambda size, generator: noise(size, generator)[:0], "at least one number, got an empty array"),
        (lambda size, generator: noise(size, generator) * math.nan, "finite numbers, got nan"),
        (lambda size, generator: noise(size, generator) > 0, "real numbers, got dtype torch.bool"),
        (lambda size, generator: None, "numbers, got "),
        (lambda size, generator: "many", "numbers, got "),
        (lambda size, generator: noise(size, generator)[:, :size], r"shape \(2,\), got torch.float32 of shape \(1,\)"),
        (lambda size, generator: noise(size, generator).to([None, torch.float64, torch.float32][size]), "replicates"),
    ],
)
def test_a_draw_that_returns_something_else_is_refused(draw, message):
    with pytest.raises(ValueError, match=rf"draw\(size, generator\): wanted .*{message}"):
        simulate(draw, 5, "bad draws", batch=2)


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])
def test_an_error_in_the_draw_is_raised_here_and_the_next_simulation_runs(backend):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        with pytest.raises(ValueError, match=r"draw\(size, generator\): wanted finite numbers, got nan"):
            simulate(lambda size, generator: noise(size, generator) * math.nan, 40, "error", batch=2)
        assert torch.equal(simulate(noise, 4, "error"), noise(4, generator("error: 0")))


def test_besides_the_result_a_batch_is_let_go_before_the_next_but_one():
    batches, alive = [], []

    def draw(size, generator):
        alive.append(sum(batch() is not None for batch in batches))
        values = noise(size, generator)
        batches.append(weakref.ref(values.untyped_storage()))
        return values

    simulate(draw, 50, "memory", batch=1)
    assert max(alive) == 1


@pytest.mark.parametrize(("delay", "silenced", "seen"), [(0.2, "", True), (0.2, "1", False), (60, "", False)])
def test_a_long_simulation_shows_how_far_it_is_unless_silenced(delay, silenced, seen):
    command = [sys.executable, "-c", SLOW_BATCHES.format(delay=delay)]
    environment = os.environ | {"TQDM_DISABLE": silenced}
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    shown = done.stderr.decode()
    assert done.stdout == b""
    assert ("heights: " in shown, "/6 [" in shown) == (seen, seen)
    assert "\n" not in shown
    assert seen or shown == ""


@pytest.fixture
def cluster():
    """The client of a cluster of two processes, which were started under another `BOOK_SEED`."""
    faulthandler.dump_traceback_later(180, exit=True, file=sys.__stderr__)
    size = {"n_workers": 2, "threads_per_worker": 1, "processes": True}
    any_port, environment = "127.0.0.1:0", {"BOOK_SEED": "1234567"}
    with LocalCluster(**size, dashboard_address=any_port, env=environment) as cluster, Client(cluster) as client:
        yield client
    faulthandler.cancel_dump_traceback_later()


def test_a_sweep_on_a_cluster_survives_the_death_of_a_worker(cluster, float64, tmp_path):
    def draw(size, generator):
        (tmp_path / f"{os.getpid()} {time.monotonic_ns()}.run").touch()
        values = noise(size, generator)
        time.sleep(0.2)
        if len(list(tmp_path.glob("*.run"))) > 8:
            with contextlib.suppress(FileExistsError):
                (tmp_path / "killed").touch(exist_ok=False)
                os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        return values

    assert set(cluster.run(os.getenv, "BOOK_SEED").values()) == {"1234567"}
    with joblib.parallel_config(backend="dask"):
        there = simulate(draw, 235, "sweep", batch=10)
    assert torch.equal(there, simulate(noise, 235, "sweep", batch=10))
    assert (tmp_path / "killed").is_file()
    processes = [path.name.split()[0] for path in tmp_path.glob("*.run")]
    assert len(processes) > 24
    assert str(os.getpid()) not in processes
