"""How the benchmarks look: the cells of a row, for a terminal and for the book's page."""

import os
import platform
import re
from datetime import date
from importlib.metadata import version
from pathlib import Path

from benchmarks.harness import is_met
from helpers.cards import number

HEAD = ("Work", "Ours", "Peer", "Ratio", "Goal", "Met")
REQUIRED = Path(__file__).with_name("requirements.txt").read_text(encoding="utf-8")
LIBRARIES = re.findall(r"^([\w.-]+)==", REQUIRED, re.MULTILINE)


def cells(row, measured):
    """The row's cells, under HEAD, for what was measured."""
    theirs = f"{row.peer}: {_side(measured['theirs'])}" if row.peer else "–"
    met = {True: "yes", False: "no", None: "–"}[is_met(row, measured)]
    return row.work, _side(measured["ours"]), theirs, amount(row.quantity, measured["value"]), _goal(row), met


def _side(side):
    return f"{amount('seconds', side['seconds'])}, error {_power(side['error'])}"


def amount(quantity, value):
    """A measured quantity, or the goal for it, in two figures."""
    if quantity == "memory":
        return f"{_two(value / 2**30)} GiB"
    if quantity == "seconds":
        return f"{_two(value)} s" if value >= 1 else f"{_two(1000 * value)} ms"
    return _two(value) if value > 0.05 else f"1/{_two(1 / value)}"


def _power(value):
    """A number in two figures, as a rule a small one."""
    return number(value, 2).replace("e−0", "e−")


def _two(value):
    """A number in two figures, but written out."""
    return number(float(f"{value:.2g}"))


def _goal(row):
    if row.goal is None:
        return "–"
    accuracy = f"error ≤ {_power(row.within)} of {row.relative}" if row.within else "exact"
    return f"≤ {amount(row.quantity, row.goal)}, {accuracy}"


def machine():
    """What the numbers were taken on, and when."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {libraries}; {date.today()}"


def _processor():
    """The model of the processor, which `platform` does not know on Linux."""
    path = Path("/proc/cpuinfo")
    models = [line for line in path.read_text().splitlines() if line.startswith("model name")] if path.is_file() else []
    return models[0].split(":")[1].strip() if models else platform.processor() or platform.machine()
