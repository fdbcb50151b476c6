"""The margins of every check under many seeds: each chapter as plain Python, one process a run, no kernel."""

import hashlib
import math
import multiprocessing
import os
import pickle
import time
import traceback
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import stats

from helpers.claims import load
from helpers.measurements import SIGMAS, Replicates, normal_score, numbers
from press.notebooks import code, name

HALF = 0.5
FALSE_ALARMS = 1e-3
LOOSE = 100
ROUNDING = 1e-12
SHOWN = 20


@dataclass
class Run:
    """One chapter under one seed: the records of its checks, its seconds, and what stopped it, if anything did."""

    chapter: str
    seed: int
    found: list = field(default_factory=list)
    error: str = ""
    seconds: float = 0.0


def run(chapter, path, seed):
    """The `Run` of the `chapter` at `path` under `seed`; it wants a process of its own, which it changes."""
    os.environ |= {"BOOK_SEED": str(seed), "TQDM_DISABLE": "1", "MPLBACKEND": "agg"}
    import matplotlib.pyplot as plt
    import torch
    from IPython.display import display

    from helpers import checks

    torch.set_num_threads(1)
    os.chdir(path.parent)
    done, check, start = Run(chapter, seed), checks.check, time.perf_counter()

    def keep(claim, **arguments):
        result = check(claim, **arguments)
        done.found.append(result.record() | {"tolerance": arguments.get("tolerance"), "replicates": _parts(arguments)})
        return result

    checks.check, plt.show = keep, lambda: plt.close("all")
    namespace = {"__name__": "__main__", "display": display}
    try:
        for position, source in code(path):
            exec(compile(source, f"{chapter}, cell {position}", "exec"), namespace)
    except Exception:
        done.error = traceback.format_exc(limit=-1)
    done.seconds = time.perf_counter() - start
    return done


def _parts(arguments):
    """Of a check by replicates: measured - expected and the standard error of each component, and how many replicates;
    None of any other check."""
    measured = arguments["measured"]
    if not isinstance(measured, Replicates):
        return None
    differences = measured.mean - numbers(arguments["expected"], "expected")
    return np.ravel(differences), np.ravel(measured.standard_error), measured.number


def pool(workers):
    """A pool whose processes run one job each; where the system can, they start with what takes long to import."""
    server = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if server else "spawn")
    if server:
        context.set_forkserver_preload(
            ["press.seeds", "matplotlib.pyplot", "torch", "IPython.display", "helpers.checks"]
        )
    return context.Pool(workers, maxtasksperchild=1)


def runs(paths, seeds):
    """Every chapter under every seed, as many at a time as there are cores, each `Run` as soon as it is done."""
    yield from _run_all([(name(path), path, seed) for seed in seeds for path in paths])


def resumed(paths, seeds, folder, mark):
    """As `runs`, but what earlier calls kept in `folder` comes first and is not run again.

    A run is kept, unless it failed, under `mark(path)`, a text that says what decides how the chapter at `path` runs,
    and under this module as it is; where either changed while it ran, it is not.
    """
    places = {(name(path), seed): folder / name(path) / f"{seed}.run" for seed in seeds for path in paths}
    marks = {name(path): _mark(mark(path)) for path in paths}
    waiting = []
    for seed in seeds:
        for path in paths:
            kept = _kept(places[name(path), seed], marks[name(path)])
            if kept:
                yield kept
            else:
                waiting.append((name(path), path, seed))
    at = {name(path): path for path in paths}
    for done in _run_all(waiting):
        if not done.error and _mark(mark(at[done.chapter])) == marks[done.chapter]:
            _keep(done, places[done.chapter, done.seed], marks[done.chapter])
        yield done


def _mark(text):
    return hashlib.sha256(text.encode() + Path(__file__).read_bytes()).digest()


def _keep(done, place, mark):
    place.parent.mkdir(parents=True, exist_ok=True)
    whole = place.with_suffix(".part")
    whole.write_bytes(mark + pickle.dumps(done))
    whole.replace(place)


def _kept(place, mark):
    """The `Run` that is kept at `place` under this `mark`, or None."""
    found = place.read_bytes() if place.is_file() else b""
    return pickle.loads(found.removeprefix(mark)) if found.startswith(mark) else None


def _run_all(jobs):
    if jobs:
        with pool(os.cpu_count()) as workers:
            yield from workers.imap_unordered(_run, jobs)


def _run(job):
    return run(*job)


@dataclass(frozen=True)
class Margin:
    """A share of a check over all seeds: how much of its tolerance it `used`, or how near a rival came to surviving.

    `share` is the largest over the seeds, under `seed`. Where the distance is in standard errors, `chance` is the
    probability that a build fails here, from the number of components or of replicates and the normal tail; elsewhere
    it is None.
    """

    check: str
    rival: str
    share: float
    seed: int
    chance: float | None

    def __str__(self):
        rival = f", rival {self.rival!r}" if self.rival else ""
        chance = "" if self.chance is None else f", fails a build with probability {self.chance:.1g}"
        return f"{self.share:5.2f}  {self.check}{rival} (seed {self.seed}){chance}"


def margins(found):
    """The `Margin` of every check and of every rival in the runs `found`."""
    records = defaultdict(list)
    for each in found:
        for record in each.found:
            records[f"{each.chapter}: {record['id']} {record['label']}".rstrip()].append((each.seed, record))
    for check, entries in records.items():
        first = entries[0][1]
        noisy = first["unit"] == "standard errors"
        used = [(record["used"], seed) for seed, record in entries]
        chance = None
        if noisy and first["relation"] == "equals":
            chance = 2 * first["cases"] * stats.norm.sf(SIGMAS)
        elif noisy:
            chance = _short_of(SIGMAS, [record["distance"] for _, record in entries], first["replicates"])
        yield Margin(check, "", *max(used), chance)
        for position, rival in enumerate(first["rivals"]):
            of = [(record["rivals"][position], seed) for seed, record in entries]
            near = max((one["near"], seed) for one, seed in of)
            chance = _short_of(2 * SIGMAS, [one["distance"] for one, _ in of], first["replicates"]) if noisy else None
            yield Margin(check, rival["name"], *near, chance)


def _short_of(wanted, scores, parts):
    r"""The probability that a score with the mean of these falls short of `wanted`, for replicates with these `parts`.

    A score varies by one around its mean; far from zero, and with few replicates, by less, see `_spread`, but by no
    less than these scores do.
    """
    mean = float(np.mean(np.abs(scores)))
    own = float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0
    return float(stats.norm.sf((mean - wanted) / min(1.0, max(own, _spread(mean, parts[2] - 1)))))


def _spread(score, degrees):
    r"""The standard deviation of a score around this mean: of `normal_score` of a $t$ with variance $1+t^2/2\nu$, from
    the slope $c^2t/(z(1+t^2/\nu))$ of the score $z$ there, $c=\frac{8\nu+1}{8\nu+3}$."""
    size = (8 * degrees + 1) / (8 * degrees + 3)
    square = degrees * math.expm1((score / size) ** 2 / degrees)
    slope = size**2 * math.sqrt(square) / (score * (1 + square / degrees))
    return slope * math.sqrt(1 + square / (2 * degrees))


@dataclass(frozen=True)
class Scatter:
    """How far apart the seeds are in one component of a check: the variance of measured - expected between them, in
    units of what the standard errors state (`ratio`), and the probability of as much by chance in any component."""

    check: str
    component: int
    components: int
    ratio: float
    chance: float

    def __str__(self):
        place = f"component {self.component} of {self.components}"
        return f"{self.check}, {place}: {self.ratio:.1f} times the stated variance, by chance {self.chance:.1g}"


def scatters(found):
    """The `Scatter` of every check by replicates that was run under two seeds or more, in its worst component.

    Replicates that share what the seed draws (a data set, a start, an order of minibatches) agree with each other more
    than with those of another seed. Independent ones give scores around the mean of all seeds, the weights of which are
    the inverse squared errors, whose squares add up to a chi-square variable with one degree of freedom a seed, less
    one.
    """
    parts = defaultdict(list)
    for each in found:
        for record in each.found:
            if record["replicates"] is not None:
                parts[f"{each.chapter}: {record['id']} {record['label']}".rstrip()].append(record["replicates"])
    for check, entries in parts.items():
        if len(entries) < 2:
            continue
        differences, errors, counts = (np.array(part) for part in zip(*entries, strict=True))
        mean = np.average(differences, axis=0, weights=errors**-2.0)
        squares = np.square(normal_score((differences - mean) / errors, counts[:, None] - 1)).sum(0)
        worst, degrees, size = int(squares.argmax()), len(entries) - 1, squares.size
        chance = min(1.0, size * float(stats.chi2.sf(squares[worst], degrees)))
        yield Scatter(check, worst, size, float(squares[worst]) / degrees, chance)


def loose(found):
    """The exact checks whose tolerance is more than a hundred times their largest error, and above rounding."""
    errors, tolerances = defaultdict(float), {}
    for each in found:
        for record in each.found:
            if record["agreement"] == "exact":
                check = f"{each.chapter}: {record['id']} {record['label']}".rstrip()
                errors[check] = max(errors[check], record["distance"])
                tolerances[check] = record["tolerance"]
    for check, error in errors.items():
        if tolerances[check] > max(LOOSE * error, ROUNDING):
            yield f"{check}: tolerance {tolerances[check]:.1g}, largest error {error:.1g}"


def report(found):
    """What the runs `found` say, line by line, and whether they keep the rules."""
    every = sorted(margins(found), key=lambda margin: -margin.share)
    failed = [f"{each.chapter}, seed {each.seed}: {each.error}" for each in found if each.error]
    narrow = [margin for margin in every if margin.chance is None and margin.share > HALF]
    wide = list(loose(found))
    apart = [scatter for scatter in scatters(found) if scatter.chance < stats.norm.sf(SIGMAS)]
    by_chance = [margin for margin in every if margin.chance is not None]
    alarms = sum(margin.chance for margin in by_chance)
    claims = {claim.id: claim for claim in load()[1].values()}
    checked = {record["id"] for each in found for record in each.found}
    whole = alarms * len(claims) / max(len(checked), 1)
    seeds = len({each.seed for each in found})
    lines = [f"{len(found)} runs, {seeds} seeds, {sum(each.seconds for each in found):.0f} s of one core"]
    lines += _listed("runs that failed", failed)
    lines += _listed("nearest to the edge", every[:SHOWN])
    lines += _listed("more than half of a tolerance", narrow)
    lines += _listed("tolerances too loose", wide)
    lines += _listed("seeds further apart than the stated errors", sorted(apart, key=lambda one: -one.ratio))
    lines += _listed("most likely to fail by chance", sorted(by_chance, key=lambda one: -one.chance)[:SHOWN])
    lines.append(f"expected false alarms a build: {alarms:.1g}; of a book that checks every claim: {whole:.1g}")
    return lines, not (failed or narrow or wide or apart or whole > FALSE_ALARMS)


def _listed(title, entries):
    return [f"{title}: {len(entries) or 'none'}", *(f"  {entry}" for entry in entries)]
