"""What a row of the benchmarks is, and how it is measured."""

import importlib
import json
import math
import re
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

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"
BUDGET, ROUNDS = 4.0, 100
TURN, TRIAL = 0.01, 0.4
THREADS = ("one", "own choice")


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
    """The modules of `benchmarks` that hold rows, one for each table, in the order of their names."""
    paths = sorted(Path(__file__).parent.glob("*.py"))
    named = [path.stem for path in paths if re.search(r"^ROWS\b", path.read_text(encoding="utf-8"), re.MULTILINE)]
    return [importlib.import_module(f"benchmarks.{name}") for name in named]


def rows():
    """Every row, by its key."""
    return {row.key: row for module in modules() for row in module.ROWS}


def table(module):
    """The name of a module's table in the file of results."""
    return module.__name__.rpartition(".")[2]


def measure(row):
    """The row's numbers, as a dictionary that JSON can hold.

    In each round each side has a turn on one thread and one on as many as its libraries choose; a side keeps the
    setting whose median is the smaller. There are as many rounds as the budget allows; a short call is repeated until
    a turn takes some time. The ratio is the median over the rounds. Where one round alone would break the budget, the
    first calls stand for it.
    """
    if row.quantity == "memory":
        return {"work": row.work, "peer": row.peer, **_in_a_process_of_its_own(row)}
    work, controller = row.prepare(), ThreadpoolController()
    calls = {"ours": work.ours, "theirs": work.theirs} if work.theirs else {"ours": work.ours}
    first, results = _first(calls, controller)
    times = _rounds(calls, first, controller) or [first]
    found = {"work": row.work, "peer": row.peer, "rounds": len(times)}
    for side, result in results.items():
        medians = {threads: median(one[side, threads] for one in times) for threads in THREADS}
        best = min(medians, key=medians.get)
        found[side] = {"seconds": medians[best], "threads": best, "medians": medians, "error": work.error(result)}
    if row.quantity == "seconds":
        return found | {"value": found["ours"]["seconds"]}
    ours, theirs = (("ours", found["ours"]["threads"]), ("theirs", found["theirs"]["threads"]))
    return found | {"value": median(one[ours] / one[theirs] for one in times)}


def _first(calls, controller):
    """The seconds of a call by side and setting, once it is warm, and by side what it returns."""
    seconds, results = {}, {}
    for side, call in calls.items():
        for threads in THREADS:
            with _limited(threads, controller):
                time, results[side] = _timed(call)
                if time < TRIAL:  # the first call may have been warming up
                    time = median(_timed(call)[0] for _ in range(min(ROUNDS, math.ceil(TRIAL / time))))
            seconds[side, threads] = time
    return seconds, results


def _rounds(calls, first, controller):
    """Seconds a call, by side and setting, for each of the rounds that fit into the budget."""
    repeats = {turn: max(1, round(TURN / seconds)) for turn, seconds in first.items()}
    times = []
    for _ in range(min(ROUNDS, int(BUDGET / sum(repeats[turn] * seconds for turn, seconds in first.items())))):
        times.append({})
        for side, threads in first:
            with _limited(threads, controller):
                spent = sum(_timed(calls[side])[0] for _ in range(repeats[side, threads]))
            times[-1][side, threads] = spent / repeats[side, threads]
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


@contextmanager
def in_double_precision():
    """For peers that make tensors of PyTorch's default precision, whatever they are given."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


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
