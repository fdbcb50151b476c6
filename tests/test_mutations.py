"""Every check of every chapter has teeth: with its answer bent or its rivals gone it fails."""

import functools

import matplotlib.pyplot as plt
import nbformat
import pytest
import torch
from IPython.display import display

from helpers import checks
from helpers.claims import load
from press.notebooks import calls, chapters, name

ANY = next(claim.id for claim in load()[1].values() if claim.statement)
REVERSED = {"below": "above", "above": "below", "at most": "at least", "at least": "at most"}


def bent(value, factor, shift=0.0):
    """`factor` times the numbers of `value` plus `shift`, in the shape and the type in which they came."""
    if isinstance(value, list | tuple):
        return [bent(entry, factor, shift) for entry in value]
    return factor * value + shift


def is_zero(value):
    return not checks.numbers(value, "expected").any()


def mutants(arguments):
    """Wrong versions of the call with these keyword `arguments`, by name."""
    expected, relation = arguments["expected"], arguments.get("relation", "equals")
    if relation in REVERSED:
        yield f"{REVERSED[relation]} instead of {relation}", {"relation": REVERSED[relation]}
    if relation not in ("below", "above") and not is_zero(expected):
        yield "1.05 times expected", {"expected": bent(expected, 1.05)}
        yield "-1 times expected", {"expected": bent(expected, -1.0)}
    elif relation not in ("below", "above") and arguments.get("scale"):
        yield "expected plus 0.05 of the scale", {"expected": bent(expected, 1.0, 0.05 * arguments["scale"])}
        yield "expected minus 0.05 of the scale", {"expected": bent(expected, 1.0, -0.05 * arguments["scale"])}
    yield "no rivals", {"rivals": {}}
    yield "the right answer as a rival", {"rivals": {**arguments["rivals"], "the right answer": expected}}


class Bench:
    """Stands in for `check`: tries its mutants before the call itself, and keeps those that survive."""

    def __init__(self, check):
        self.check, self.called, self.tried, self.survivors = check, [], 0, []

    def __call__(self, claim, **arguments):
        label = arguments.get("label", "")
        self.called.append((claim, label))
        for mutation, change in mutants(arguments):
            self.tried += 1
            try:
                self.check(claim, **(arguments | change))
            except (checks.CheckFailed, ValueError):  # refused: it stops the chapter as well
                continue
            self.survivors.append(" · ".join(filter(None, (claim, label, mutation))))
        return self.check(claim, **arguments)


@pytest.fixture
def bench(monkeypatch):
    """What chapters import as `check`; the state that they set for the whole process is put back afterwards."""
    stand_in = Bench(checks.check)
    monkeypatch.setattr(checks, "check", stand_in)
    monkeypatch.setattr(plt, "show", functools.partial(plt.close, "all"))
    dtype = torch.get_default_dtype()
    with plt.rc_context():
        yield stand_in
    plt.close("all")
    torch.set_default_dtype(dtype)


def run(path):
    """Execute the code cells in order, in one namespace, as a notebook would."""
    namespace = {"__name__": "__main__", "display": display}
    for position, cell in enumerate(nbformat.read(path, as_version=4).cells):
        if cell.cell_type == "code":
            exec(compile(cell.source, f"{name(path)}, cell {position}", "exec"), namespace)


@pytest.mark.slow
@pytest.mark.parametrize("path", chapters(), ids=name)
def test_no_mutant_of_a_check_survives(path, bench, monkeypatch, record_property):
    monkeypatch.chdir(path.parent)
    run(path)
    record_property("mutants", bench.tried)
    print(f"{name(path)}: {len(bench.called)} checks, {bench.tried} mutants tried")
    assert {(call.claim, call.label) for call in calls(path)} == set(bench.called)
    assert bench.survivors == []


SOUND = {
    "by": "library",
    "measured": [1.0, 2.0],
    "expected": [1.0, 2.0],
    "rivals": {"double": [2.0, 4.0]},
    "tolerance": 1e-9,
}
SQUARE = torch.ones(2, 2)
NOISY = checks.replicates([[0.99], [1.01]] * 20)


def survivors(**changes):
    bench = Bench(checks.check)
    bench(ANY, **(SOUND | changes))
    assert bench.tried >= 3
    return bench.survivors


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"expected": torch.tensor([1.0, 2.0])},
        {"measured": SQUARE, "expected": [[1, 1.0], (torch.tensor(1.0), 1)], "rivals": {"zero": 0 * SQUARE}},
        {"measured": [0.0, 0.0], "expected": [0, 0], "rivals": {"one": [1, 1]}, "scale": 1, "unit": "of one"},
        {"measured": NOISY, "expected": [1.0], "rivals": {"double": [2]}, "tolerance": None},
        {"measured": [0.9, 2.0], "relation": "at most", "sharp": 1e-3},
        {"measured": [0.5, 1.0], "relation": "below", "tolerance": 0.1, "rivals": {"tenth": [0.1, 0.1]}},
    ],
)
def test_a_sound_check_kills_every_mutant(changes):
    assert survivors(**changes) == []


def test_the_survivors_of_a_blunt_check_are_named():
    assert survivors(tolerance=0.1, label="blunt") == [f"{ANY} · blunt · 1.05 times expected"]


def test_a_bound_that_is_an_equality_is_seen():
    assert survivors(relation="at most", sharp=0.01) == [f"{ANY} · at least instead of at most"]
