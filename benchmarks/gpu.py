"""What the helpers do on a GPU: tests, chapters, and rows against the limits of the card, on a page of the book.

`make gpu`, or `python3 -m benchmarks.gpu` with any Python that has PyTorch, SciPy, scikit-learn and pytest: nothing is
installed. The rows are measured beside what the same card does with a matrix product, a table of exponentials (which
memory, not arithmetic, limits) and a copy.
"""

import argparse
import ast
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
import time
import traceback
from pathlib import Path
from statistics import median

import torch

from helpers.densities.sums.gauss import gaussian_sum
from helpers.device import default_device
from helpers.latent.markov import Categorical, HiddenMarkov, sample
from helpers.latent.markov import step as baum_welch
from helpers.latent.mixture import start
from helpers.latent.mixture import step as em_step
from helpers.latent.variational import Autoencoder, Training
from helpers.networks import MLP
from helpers.randomness import generator
from helpers.transport.critics import Game
from helpers.transport.entropic import sinkhorn_points

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).with_name("gpu.json")
PARTS = ("rows", "tests", "chapters")
PART_SECONDS = 240
ROUNDS = 5


def seconds(work, device, rounds=ROUNDS):
    """The median time of `work()`, after one run that is not counted."""
    times = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return median(times[1:])


def limits(device, size):
    """What the card does: products of matrices in operations, exponentials, and bytes copied, all a second."""
    found = {}
    for name, dtype in (("float64", torch.float64), ("float32", torch.float32)):
        a = torch.rand(size, size, dtype=dtype, device=device)
        out = torch.empty_like(a)
        found[f"product, {name}"] = 2 * size**3 / seconds(lambda a=a, out=out: torch.mm(a, a, out=out), device)
        found[f"exp2, {name}"] = a.numel() / seconds(lambda a=a, out=out: torch.exp2(a, out=out), device)
    found["bytes copied"] = 2 * a.numel() * a.element_size() / seconds(lambda: out.copy_(a), device)
    return found


def random(name, device, *shape):
    return torch.randn(shape, generator=generator(f"gpu: {name}", device), dtype=torch.float64, device=device)


def sums(device, small):
    """Pairs a second of a Gaussian sum on scattered points, and the share of what one exponential a pair allows."""
    number = 2_000 if small else 200_000
    for d in (2, 8):
        data, points = random(f"data {d}", device, number, d), random(f"points {d}", device, number // 4, d)
        taken = seconds(lambda data=data, points=points: gaussian_sum(points, data, 0.5), device)
        pairs = number * (number // 4)
        yield f"Gaussian sum, d = {d}, {number} data, {number // 4} points", taken, pairs, 2 * (d + 2) * pairs, 0


def mixtures(device, small):
    """A step of EM reads the data once, and takes two products with the quadratic features."""
    n, d, k = (5_000 if small else 1_000_000), 16, 16
    data = random("mixture", device, n, d)
    begin = start(data[: 1000 * k], k, generator=generator("gpu: start", device))[0]
    taken = seconds(lambda: em_step(data, begin), device)
    features = 1 + d + d * (d + 1) // 2
    yield f"EM step, d = {d}, K = {k}, n = {n}", taken, n * k, 4 * n * k * features, data.numel() * 8


def chains(device, small):
    """A step of Baum-Welch; its recursions are sequential in time."""
    number, length, states = (100 if small else 10_000), 100, 4
    rows = torch.full((states, states), 0.1, dtype=torch.float64, device=device) + 0.6 * torch.eye(
        states, dtype=torch.float64, device=device
    )
    table = torch.rand(states, 10, generator=generator("gpu: table", device), dtype=torch.float64, device=device) + 0.1
    first = torch.full((states,), 1 / states, dtype=torch.float64, device=device)
    chain = HiddenMarkov(first, rows, Categorical(table / table.sum(-1, keepdim=True)))
    x, _ = sample(chain, length, number, generator=generator("gpu: chains", device))
    taken = seconds(lambda: baum_welch(x, chain), device)
    work = number * length * states
    yield f"Baum-Welch step, {number} sequences of {length}, {states} states", taken, work, 4 * work * states, 0


def plans(device, small):
    """Entropic transport in space to an error of 1e-6, without the table of costs; two Gaussian sums an iteration."""
    number = 1_000 if small else 100_000
    x, y = random("plan x", device, number, 3), 0.8 * random("plan y", device, number, 3) + 0.3
    regularisation = 0.05 * (x.square().sum(1).mean() + y.square().sum(1).mean()).item()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    errors = sinkhorn_points(x, y, regularisation, relaxation=None)[2]
    iterations = len(errors) + errors[-1].item() * 0  # which waits for the device
    taken, pairs = time.perf_counter() - begin, 2 * iterations * number**2
    held = f", {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB" if device.type == "cuda" else ""
    yield f"Sinkhorn, {number} × {number} points in space, {len(errors)} iterations{held}", taken, pairs, 10 * pairs, 0


def games(device, small):
    """Steps of many Wasserstein games at once, five of the critic to one of the generator, beside a single game."""
    steps = 2 if small else 20

    def begun(models):
        pair = [
            MLP(sizes, models, generator=generator(f"gpu: {sizes}")).to(device)
            for sizes in ((2, 64, 64, 2), (2, 64, 64, 1))
        ]

        def draw(shape, random):
            return torch.randn((*shape, 2), generator=random, device=device)

        return Game(*pair, draw, name="gpu: game", constraint="penalty")

    single = begun(1)
    alone = seconds(lambda: single.run(steps), device, rounds=3) / steps
    for models in (16,) if small else (16, 256, 1024):
        many = begun(models)
        taken = seconds(lambda many=many: many.run(steps), device, rounds=3) / steps
        products = models * 64 * (2 * 64 + 64 * 64 + 64 * 2) * 2 * 3 * (5 * 5 + 3)
        title = f"{models} Wasserstein games with gradient penalty at once, a step of batch 64"
        yield title, taken, models, products, 0, alone * models / taken


def plain(data, batch, steps):
    """One autoencoder as it is usually written: `nn.Sequential`, Adam, one model."""
    device = data.device
    encoder = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Tanh(), torch.nn.Linear(64, 16)).to(data)
    decoder = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.Tanh(), torch.nn.Linear(64, 64)).to(data)
    scale = torch.zeros((), device=device, dtype=data.dtype, requires_grad=True)
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters(), scale], lr=1e-3)
    for index in range(steps):
        x = data[index * batch : (index + 1) * batch]
        mean, log_deviation = encoder(x).chunk(2, -1)
        z = mean + log_deviation.exp() * torch.randn_like(mean)
        kl = (log_deviation.exp().square() + mean.square() - 1 - 2 * log_deviation).sum() / 2
        squares = (decoder(z) - x).square().sum() * (-2 * scale).exp() / 2
        optimiser.zero_grad()
        ((squares + kl) / batch + 64 * scale).backward()
        optimiser.step()


def networks(device, small):
    """Steps of many small autoencoders at once, beside one model of an eager loop, times their number."""
    batch, steps = 256, (2 if small else 20)
    draws = generator("gpu: pixels", device)
    data = torch.rand(steps * batch, 64, generator=draws, dtype=torch.float32, device=device)
    alone = seconds(lambda: plain(data, batch, steps), device) / steps
    for models in (16,) if small else (16, 256, 1024):
        many = Autoencoder(64, 8, (64,), models=models, generator=generator("gpu: models"))
        run = Training(many, data, data[:batch], name="gpu: training", batch=batch)
        taken = seconds(lambda run=run: run.run(1), device, rounds=3) / steps
        products = 3 * 2 * batch * models * (64 * 64 + 64 * 16 + 8 * 64 + 64 * 64)
        title = f"{models} autoencoders 64–64–8 at once, a step of batch {batch}"
        yield title, taken, models, products, 0, alone * models / taken


def rows(device, small):
    """All rows, each with its time, its rate and the share of the nearest limit of the card."""
    card = limits(device, 512 if small else 8192)
    found = []
    for part in (sums, mixtures, chains, plans, networks, games):
        for work, taken, units, operations, read, *faster in part(device, small):
            single = part in (networks, games)
            products = card["product, float32" if single else "product, float64"]
            floor = operations / products + read / card["bytes copied"]
            if part in (sums, plans):
                floor += units / card["exp2, float64"]
            row = {"work": work, "seconds": taken, "rate": units / taken, "share": floor / taken}
            found.append(row | ({"faster": faster[0]} if faster else {}))
            print(f"  {work}: {taken:.3g} s, {100 * floor / taken:.0f} % of the limit", flush=True)
    return {"limits": card, "rows": found}


def tests(device):
    """The halves of the tests that want this device, but for modules of tests whose libraries are not all there."""
    asking = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if _asks_for_a_device(path)]
    left_out = [path.stem.removeprefix("test_") for path in asking if not _libraries_are_there(path)]
    paths = [str(path) for path in asking if path.stem.removeprefix("test_") not in left_out]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", device.type, *paths]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PART_SECONDS, check=False
    )
    print(done.stdout[-3000:], flush=True)
    return {"passed": done.returncode == 0, "summary": done.stdout.strip().splitlines()[-1], "left out": left_out}


def _asks_for_a_device(path):
    return re.search(r"^def test\w*\([^)]*\bdevice\b", path.read_text("utf-8"), re.MULTILINE) is not None


def _libraries_are_there(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names |= {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
        names |= {node.module} if isinstance(node, ast.ImportFrom) else set()
    tops = {name.split(".")[0] for name in names}
    return all(path.with_name(f"{top}.py").is_file() or importlib.util.find_spec(top) for top in tops)


def chapters(device):
    """Every chapter that asks `default_device`, as plain Python: each check holds, or the chapter has failed."""
    found = {}
    for path in sorted((ROOT / "chapters").rglob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        if not any("default_device(" in source for source in sources):
            continue
        name, begin = path.relative_to(ROOT / "chapters").with_suffix("").as_posix(), time.perf_counter()
        error = _failure(sources, name)
        found[name] = {"seconds": time.perf_counter() - begin, "error": error, "device": device.type}
        print(f"  {name}: {found[name]['seconds']:.0f} s {error}", flush=True)
    return found


def _failure(sources, name):
    import matplotlib.pyplot as plt

    dtype, show = torch.get_default_dtype(), plt.show
    plt.show = lambda: plt.close("all")
    namespace = {"__name__": "__main__", "display": lambda *shown: None}
    try:
        for position, source in enumerate(sources):
            exec(compile(source, f"{name}, code cell {position}", "exec"), namespace)
    except Exception:
        return traceback.format_exc(limit=-2)
    finally:
        torch.set_default_dtype(dtype)
        plt.show = show
    return ""


def measure(device, small=False, parts=PARTS):
    """All parts, one after the other; what fails is kept with its message, and the others still run."""
    card = torch.cuda.get_device_name() if device.type == "cuda" else ""
    versions = f"PyTorch {torch.__version__}, Python {platform.python_version()}"
    found, works = {"card": card, "versions": versions}, {"rows": rows, "tests": tests, "chapters": chapters}
    for part in parts:
        print(part, flush=True)
        try:
            found[part] = works[part](device, small) if part == "rows" else works[part](device)
        except Exception:
            found[part] = {"error": traceback.format_exc(limit=-3)}
            print(found[part]["error"], flush=True)
    return found


def failures(found):
    """What went wrong, as sentences."""
    for part in PARTS:
        if "error" in found.get(part, {}):
            yield f"{part}: {found[part]['error']}"
    if not found.get("tests", {}).get("passed", True):
        yield f"tests: {found['tests']['summary']}"
    for name, chapter in found.get("chapters", {}).items():
        if name != "error" and chapter["error"]:
            yield f"{name}: {chapter['error']}"


def cells(row):
    """A row for the page: work, time, rate, share of the limit, and beside a loop over single models."""
    faster = f"{row['faster']:.0f} times" if "faster" in row else ""
    share = f"{100 * row['share']:.2g} %"
    return row["work"], f"{1e3 * row['seconds']:.3g} ms", f"{row['rate']:.2g}", share, faster


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default=None, help="default: the one that helpers.device chooses")
    parser.add_argument("--small", action="store_true", help="small sizes, to try it on a CPU")
    parser.add_argument("--out", type=Path, help="default: the page of the book, for a whole run on CUDA, else none")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    device = torch.device(arguments.device) if arguments.device else default_device()
    found = measure(device, arguments.small, arguments.parts)
    whole = device.type == "cuda" and not arguments.small and set(arguments.parts) == set(PARTS)
    out = arguments.out or (RESULTS if whole else None)
    if out:
        out.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
    wrong = list(failures(found))
    if wrong:
        raise SystemExit("\n".join(["failed:", *wrong]))


if __name__ == "__main__":
    main()
