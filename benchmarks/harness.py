"""What a row of the benchmarks is, and how it is measured."""

import importlib
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import torch
from threadpoolctl import ThreadpoolController

MODULES = ("density", "mixture", "markov", "variational")
ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"
BUDGET, ROUNDS = 2.0, 100
TURN, TRIAL = 0.01, 0.4


@dataclass(frozen=True)
class Work:
    """Two calls that do the same work, and the error of what a call returns. A row without a peer has no `theirs`."""

    ours: Callable
    theirs: Callable | None
    error: Callable


@dataclass(frozen=True)
class Row:
    """A row of the table: what is done, beside whom, and how well it should go.

    `prepare` imports the peer, makes the data and returns the `Work`; none of that is timed. The `quantity` is the
    "ratio" of the times, ours to theirs; without a peer our "seconds", or the peak "memory" in bytes of a process that
    does nothing else. The goal is met where it is at most `goal` and the error of our result, relative to what
    `relative` says, is at most `within`. `limit`, for a goal that is missed, tells what was tried and what stands in
    the way.
    """

    key: str
    work: str
    peer: str
    prepare: Callable = field(repr=False)
    goal: float | None = None
    within: float = 0.0
    quantity: str = "ratio"
    relative: str = "the peak"
    limit: str = ""


def modules():
    """The modules that hold rows, in the order of the book."""
    return [importlib.import_module(f"benchmarks.{name}") for name in MODULES]


def rows():
    """Every row, by its key."""
    return {row.key: row for module in modules() for row in module.ROWS}


def measure(row):
    """The row's numbers, as a dictionary that JSON can hold.

    Each side is tried on one thread and on as many as its libraries choose, and then keeps what is faster. Rounds
    follow in which one side has its turn after the other, as many as the budget allows; a short call is repeated until
    a turn takes some time. The ratio is the median over the rounds. Where one round alone would break the budget, the
    trial stands for it.
    """
    if row.quantity == "memory":
        return {"work": row.work, "peer": row.peer, **_in_a_process_of_its_own(row)}
    work = row.prepare()
    sides = {"ours": work.ours, "theirs": work.theirs} if work.theirs else {"ours": work.ours}
    controller = ThreadpoolController()
    trials = {side: _trial(call, controller) for side, call in sides.items()}
    times = _rounds(sides, trials, controller) or [{side: trial["seconds"] for side, trial in trials.items()}]
    found = {"work": row.work, "peer": row.peer, "rounds": len(times)}
    for side, trial in trials.items():
        seconds, error = median(one[side] for one in times), work.error(trial["result"])
        found[side] = {"seconds": seconds, "threads": trial["threads"], "error": error}
    if row.quantity == "seconds":
        return found | {"value": found["ours"]["seconds"]}
    return found | {"value": median(one["ours"] / one["theirs"] for one in times)}


def _trial(call, controller):
    """The better number of threads, the seconds that a call then takes, and its result."""
    trials = []
    for threads in ("own choice", "one"):
        with _limited(threads, controller):
            seconds, result = _timed(call)
            if seconds < TRIAL:  # the first call may have been warming up
                seconds = median(_timed(call)[0] for _ in range(min(ROUNDS, math.ceil(TRIAL / seconds))))
        trials.append({"seconds": seconds, "threads": threads, "result": result})
    return min(trials, key=lambda trial: trial["seconds"])


def _rounds(sides, trials, controller):
    """Seconds a call, by side, for each of the rounds that fit into the budget."""
    calls = {side: max(1, round(TURN / trial["seconds"])) for side, trial in trials.items()}
    seconds = sum(calls[side] * trial["seconds"] for side, trial in trials.items())
    times = []
    for _ in range(min(ROUNDS, int(BUDGET / seconds))):
        times.append({})
        for side, call in sides.items():
            with _limited(trials[side]["threads"], controller):
                times[-1][side] = sum(_timed(call)[0] for _ in range(calls[side])) / calls[side]
    return times


def _timed(call):
    begin = time.perf_counter()
    result = call()
    return time.perf_counter() - begin, result


@contextmanager
def _limited(threads, controller):
    """BLAS, OpenMP and PyTorch on "one" thread, or on as many as they choose."""
    if threads != "one":
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with controller.limit(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


def _in_a_process_of_its_own(row):
    command = [sys.executable, "-m", "benchmarks", "--alone", row.key]
    return json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout)


def alone(row):
    """One call of our side, in this process, which does nothing else: its peak memory, time and error."""
    work = row.prepare()
    seconds, result = _timed(work.ours)
    peak = peak_memory()
    return {"rounds": 1, "value": peak, "ours": {"seconds": seconds, "error": work.error(result)}}


def peak_memory():
    """The most memory, in bytes, that this process has held at a time."""
    status = Path("/proc/self/status")
    if status.is_file():  # `getrusage` would also count the process from which this one was started
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def is_met(row, measured):
    """Whether the goal is met; None for a row without one."""
    if row.goal is None:
        return None
    return measured["value"] <= row.goal and measured["ours"]["error"] <= row.within
