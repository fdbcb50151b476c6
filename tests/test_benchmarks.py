"""The benchmarks without a clock: how a row is measured, judged and shown, and what the file of results must hold."""

import json
import re
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import cycle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from threadpoolctl import ThreadpoolController

from benchmarks import __main__ as command
from benchmarks import adversarial, convolution, density, harness, helmholtz, markov, mixture, report, variational
from benchmarks.harness import Row, Work
from helpers.densities import kernel
from press.extension import Benchmarks
from press.notebooks import ROOT

ROW = Row("sum", "A sum", "a peer", None, goal=0.5, within=1e-6)
SIDE = {"seconds": 0.0123, "threads": "one", "error": 2e-7}
MEASURED = {"work": "A sum", "peer": "a peer", "rounds": 3, "value": 0.4, "ours": SIDE, "theirs": SIDE}


class Scripted:
    """Calls that take the times they are told to, and notes of who was called and on how many threads."""

    def __init__(self, monkeypatch, **times):
        self.notes, self.threads = [], ""
        calls = {side: self.call(side, each) for side, each in times.items()}
        self.work = Work(calls["ours"], calls.get("theirs"), error=len)
        self.row = replace(ROW, prepare=lambda: self.work)
        monkeypatch.setattr(harness, "_timed", lambda call: call())
        monkeypatch.setattr(harness, "_limited", self.limited)

    def call(self, side, times):
        times = {threads: cycle(each) for threads, each in times.items()}

        def call():
            self.notes.append((side, self.threads))
            return next(times[self.threads]), side

        return call

    @contextmanager
    def limited(self, threads, controller):
        self.threads = threads
        yield
        self.threads = ""


@pytest.fixture
def scripted(monkeypatch):
    return partial(Scripted, monkeypatch)


def always(*times):
    return {"one": times, "own choice": times}


TURNS = [(side, threads) for side in ("ours", "theirs") for threads in harness.THREADS]


def test_the_ratio_is_the_median_over_rounds_in_which_each_side_has_its_turns(scripted, monkeypatch):
    monkeypatch.setattr(harness, "BUDGET", 38.0)
    case = scripted(ours={"one": [0.5, 1, 2, 9], "own choice": [5]}, theirs={"one": [2], "own choice": [5]})
    found = harness.measure(case.row)
    assert case.notes == TURNS * 4
    assert (found["rounds"], found["value"]) == (3, 1)
    assert (found["ours"]["seconds"], found["theirs"]["seconds"]) == (2, 2)


def test_a_side_keeps_the_number_of_threads_whose_median_suits_it(scripted, monkeypatch):
    monkeypatch.setattr(harness, "BUDGET", 20.0)
    lucky = [0.8, 1.1, 1.2, 1.2, 1.2]
    found = harness.measure(scripted(ours={"one": [1], "own choice": lucky}, theirs=always(1)).row)
    assert (found["ours"]["threads"], found["ours"]["seconds"]) == ("one", 1)
    found = harness.measure(scripted(ours=always(1), theirs={"one": lucky, "own choice": [1]}).row)
    assert (found["theirs"]["threads"], found["theirs"]["medians"]["one"]) == ("own choice", pytest.approx(1.2))


def test_a_peer_too_slow_for_a_round_is_called_once_a_setting(scripted):
    case = scripted(ours=always(0.1), theirs={"one": [20.0], "own choice": [40.0]})
    found = harness.measure(case.row)
    assert [turn for turn in case.notes if turn[0] == "theirs"] == TURNS[2:]
    assert (found["rounds"], found["value"]) == (1, 0.005)


def test_short_calls_are_repeated_for_a_turn(scripted):
    case = scripted(ours=always(0.001), theirs=always(0.1))
    found = harness.measure(case.row)
    last = "".join(side[0] for side, _ in case.notes)[-22:]
    assert last == "o" * 20 + "tt"
    assert found["value"] == pytest.approx(0.01)


def test_a_row_without_a_peer_has_our_time_for_its_value(scripted):
    found = harness.measure(replace(scripted(ours=always(0.7)).row, peer="", quantity="seconds"))
    assert (found["value"], "theirs" in found) == (0.7, False)


def test_the_error_of_each_side_is_that_of_its_result(scripted):
    found = harness.measure(scripted(ours=always(1), theirs=always(1)).row)
    assert (found["ours"]["error"], found["theirs"]["error"]) == (len("ours"), len("theirs"))


def test_one_thread_is_for_a_call_alone():
    before = torch.get_num_threads()
    with harness._limited("one", ThreadpoolController()):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_memory_is_the_most_that_was_held():
    held = np.ones(2**23)
    assert harness.peak_memory() >= held.nbytes
    work = Work(lambda: [1.0], None, len)
    assert set(harness.alone(replace(ROW, prepare=lambda: work))) == {"rounds", "value", "ours"}


@pytest.mark.parametrize(
    ("value", "error", "met"), [(0.5, 1e-6, "yes"), (0.51, 1e-6, "no"), (0.5, 1.1e-6, "no"), (0.5, float("nan"), "no")]
)
def test_a_goal_is_met_where_ratio_and_error_are_small_enough(value, error, met):
    measured = MEASURED | {"value": value, "ours": SIDE | {"error": error}}
    assert report.cells(ROW, measured)[-1] == met
    assert report.cells(replace(ROW, goal=None), measured)[-2:] == ("–", "–")


def test_a_row_shows_both_sides_with_their_errors():
    assert report.cells(ROW, MEASURED) == (
        "A sum",
        "12 ms, error 2e−7",
        "a peer: 12 ms, error 2e−7",
        "0.4",
        "≤ 0.5, error ≤ 1e−6 of the peak",
        "yes",
    )
    alone = replace(ROW, peer="", quantity="memory", goal=2**31, within=0)
    measured = {"value": 1.5 * 2**30, "ours": SIDE | {"error": 0}}
    assert report.cells(alone, measured)[2:] == ("–", "1.5 GiB", "≤ 2 GiB, exact", "yes")


@pytest.mark.parametrize(
    ("quantity", "value", "text"),
    [
        ("ratio", 1 / 2000, "1/2000"),
        ("ratio", 1 / 5678, "1/5700"),
        ("ratio", 1 / 80, "1/80"),
        ("ratio", 0.0312, "1/32"),
        ("ratio", 0.074, "0.074"),
        ("ratio", 1.61, "1.6"),
        ("ratio", 12.3, "12"),
        ("seconds", 18.67, "19 s"),
        ("seconds", 0.35512, "360 ms"),
        ("seconds", 4.6e-4, "0.46 ms"),
        ("memory", 2**30, "1 GiB"),
    ],
)
def test_amounts_have_two_figures_and_are_written_out(quantity, value, text):
    assert report.amount(quantity, value) == text


@pytest.fixture
def bench(monkeypatch, tmp_path):
    """Runs the command line over two rows that take no time; returns the file that it may write."""
    sums, trees = (
        SimpleNamespace(__name__=f"benchmarks.{name}", TITLE=name.title(), ROWS=[replace(ROW, key=key) for key in keys])
        for name, keys in (("sums", ("sum-small", "sum-large")), ("trees", ("tree",)))
    )
    monkeypatch.setattr(harness, "modules", lambda: [sums, trees])
    monkeypatch.setattr(harness, "measure", lambda row: MEASURED | {"value": 0.6 if row.key == "tree" else 0.4})
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(report, "machine", lambda: "a machine")

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["benchmarks", *arguments])
        command.main()
        return harness.RESULTS

    return run


def test_a_full_run_writes_what_it_found_and_where(bench, capsys):
    results = json.loads(bench().read_text(encoding="utf-8"))
    assert {name: list(found["measured"]) for name, found in results.items()} == {
        "sums": ["sum-small", "sum-large"],
        "trees": ["tree"],
    }
    assert results["sums"]["machine"] == results["trees"]["machine"] == "a machine"
    assert "Goals not met: tree\n" in capsys.readouterr().out


def test_a_run_of_one_table_leaves_the_others(bench, capsys, monkeypatch):
    before = json.loads(bench().read_text(encoding="utf-8"))
    capsys.readouterr()
    monkeypatch.setattr(report, "machine", lambda: "another machine")
    after = json.loads(bench("sum").read_text(encoding="utf-8"))
    assert after["trees"] == before["trees"]
    assert after["sums"]["machine"] == "another machine"
    printed = capsys.readouterr().out
    assert printed.count("A sum") == 2
    assert "Goals not met: none\nSums: measured on another machine\nTrees: not all of its rows" in printed


def test_a_run_of_some_rows_only_prints(bench):
    before = bench().read_text(encoding="utf-8")
    assert bench("sum-small").read_text(encoding="utf-8") == before


def test_a_key_that_no_row_has_is_refused(bench, capsys):
    with pytest.raises(SystemExit):
        bench("sum", "forest")
    assert "no row begins with 'forest'; there are sum-small, sum-large, tree" in capsys.readouterr().err


def test_keys_differ():
    keys = [row.key for module in harness.modules() for row in module.ROWS]
    assert len(set(keys)) == len(keys)


def recorded():
    """What was measured, by key, whatever the table."""
    tables = json.loads(harness.RESULTS.read_text(encoding="utf-8")).values()
    return {key: one for table in tables for key, one in table["measured"].items()}


def test_the_results_are_those_of_the_rows():
    measured = recorded()
    assert list(measured) == list(harness.rows())
    for key, row in harness.rows().items():
        assert (measured[key]["work"], measured[key]["peer"]) == (row.work, row.peer)
        assert ("theirs" in measured[key]) == bool(row.peer) == (row.quantity == "ratio")


def test_a_goal_that_was_missed_says_what_stands_in_the_way():
    missed = [row for key, row in harness.rows().items() if harness.is_met(row, recorded()[key]) is False]
    assert [row.key for row in missed if not row.limit] == []


def test_the_page_shows_every_row_and_the_machine():
    page = "\n".join(Benchmarks.lines(None, []))
    for key, row in harness.rows().items():
        for cell in report.cells(row, recorded()[key]):
            assert f" - {cell}\n" in page
    for table in json.loads(harness.RESULTS.read_text(encoding="utf-8")).values():
        assert f"All numbers of this table are of one run, on {table['machine']}." in page


def test_the_page_says_which_goals_were_missed_and_why(monkeypatch, tmp_path):
    rows = [replace(ROW, key="met"), replace(ROW, key="missed", goal=0.3, limit="It sorts.")]
    monkeypatch.setattr(harness, "modules", lambda: [density])
    monkeypatch.setattr(density, "ROWS", rows)
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results.json")
    results = {"density": {"machine": "a machine", "measured": {row.key: MEASURED for row in rows}}}
    harness.RESULTS.write_text(json.dumps(results), encoding="utf-8")
    page = "\n".join(Benchmarks.lines(None, []))
    assert "**Goals not met: 1.**\n\n- A sum, beside a peer: It sorts.\n" in page


SMALL = partial(density.on_the_line, n=200, m=50, h=0.5)


@pytest.mark.parametrize(
    "prepare",
    [
        partial(SMALL, density.scipy_kde),
        partial(SMALL, partial(density.sklearn_kde, rtol=1e-12)),
        partial(SMALL, partial(density.sklearn_kde, "tophat", rtol=0), shape=kernel.RECTANGULAR),
        partial(SMALL, partial(density.sklearn_kde, "linear", rtol=0), shape=kernel.TRIANGULAR),
        partial(SMALL, partial(density.sklearn_kde, "epanechnikov", rtol=0), shape=kernel.EPANECHNIKOV),
        partial(density.in_space, density.scipy_kde, 2, 0.3),
        partial(density.cross_validation, density.all_pairs),
        partial(density.cross_validation, density.half_of_the_pairs),
        partial(density.nearest, 300),
        partial(density.nearest_in_space, density.tree_search, 3, m=60),
    ],
)
def test_both_sides_do_the_same_work(prepare):
    work = prepare()
    assert work.error(work.ours()) < 1e-11
    assert work.error(work.theirs()) < 1e-11
    assert work.error(2 * np.asarray(work.theirs())) > 0.9


@pytest.mark.parametrize(
    ("prepare", "rounding"),
    [
        (partial(mixture.iterations, 400, 2, 2, 3, mixture.sklearn_mixture, mixture.numpy_loop), 1e-10),
        (partial(mixture.iterations, 400, 3, 2, 1, mixture.numpy_loop, mixture.sklearn_mixture), 1e-10),
        (partial(markov.iterations, 3, 60, 4), 1e-11),
        (partial(variational.training, 2, 3, (5,)), 1e-3),
        (helmholtz.training, 1e-2),
        (partial(adversarial.games, 2, False), 1e-3),
        (partial(adversarial.games, 2, True), 1e-3),
        (partial(adversarial.penalised, 2, 2, 3), 1e-2),
        (partial(convolution.steps, 2), 1e-3),
        (partial(convolution.steps, 2, grouped=True), 1e-3),
    ],
)
def test_both_sides_arrive_at_the_same_parameters(prepare, rounding):
    work = prepare()
    assert work.error(work.ours()) < rounding
    assert work.error(work.theirs()) < rounding


def test_both_sides_find_the_same_energy_distances():
    work = adversarial.energies(2, 100)
    assert work.error(work.ours()) < 1e-6
    assert work.error(work.theirs()) < 1e-12
    assert work.error(1.01 * work.ours().double() + 0.01) > 1e-3


def test_both_sides_find_the_bound_of_every_image():
    work = helmholtz.bound()
    assert work.error(work.ours()) < 1e-13
    assert work.error(work.theirs()) < 1e-13
    assert work.error(1.01 * work.ours()) > 1e-3


def test_the_pinned_versions_are_those_of_the_book():
    def pins(path):
        lines = [line.split("#")[0].strip() for line in (ROOT / path).read_text(encoding="utf-8").splitlines()]
        assert [line for line in lines if line and not re.fullmatch(r"--editable \.|[\w.-]+==[\w.]+", line)] == []
        return dict(line.split("==") for line in lines if "==" in line)

    book, bench = pins("requirements.txt"), pins("benchmarks/requirements.txt")
    assert {name: version for name, version in bench.items() if book.get(name, version) != version} == {}
    assert list(bench) == report.LIBRARIES


def test_modules_that_hold_rows_are_found():
    found = [module.__name__.removeprefix("benchmarks.") for module in harness.modules()]
    assert found == sorted(found)
    assert {"density", "mixture"} <= set(found)
    assert not {"gpu", "harness", "report"} & set(found)
