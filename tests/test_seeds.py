"""The margins of checks over many seeds: what counts as too near, and what a run of a chapter keeps."""

import nbformat
import numpy as np
import pytest

from helpers.claims import load
from helpers.measurements import replicates
from press import seeds
from press.seeds import Run

CHAPTER = """
from helpers.checks import check, replicates
from helpers.randomness import generator
import torch
x = torch.randn(400, generator=generator("a chapter")) + 1
check("{claim}", measured=replicates(x), by="simulated", expected=1.0, rivals={{"none": 0.0}})
"""


def record(**changes):
    sound = {"id": "a", "label": "", "relation": "equals", "agreement": "exact", "unit": "relative error", "cases": 3}
    measured = {"used": 0.1, "distance": 1e-9, "tolerance": 1e-8, "replicates": None}
    return sound | measured | {"rivals": [{"near": 0.1, "name": "b"}]} | changes


def found(**changes):
    """Two seeds of one check, of which the second is spoilt."""
    return [Run("part/one", 0, [record()]), Run("part/one", 1, [record(**changes)])]


def noisy(cases, distance, rival, relation="equals", number=10**6):
    rivals = [{"name": "b", "near": 0.1, "distance": rival}]
    parts = np.full(cases, distance), np.ones(cases), number
    return record(unit="standard errors", agreement="statistical", cases=cases, distance=distance, rivals=rivals,
                  relation=relation, replicates=parts)  # fmt: skip


def test_sound_margins_keep_the_rules():
    lines, kept = seeds.report(found())
    assert kept
    assert lines[0].startswith("2 runs, 2 seeds")


SPOILT = [
    ({"used": 0.51}, "more than half of a tolerance: 1", "part/one: a (seed 1)"),
    ({"rivals": [{"near": 0.6, "name": "b"}]}, "more than half of a tolerance: 1", "part/one: a, rival 'b' (seed 1)"),
]


@pytest.mark.parametrize(("changes", "title", "line"), SPOILT)
def test_one_seed_with_a_narrow_margin_is_enough(changes, title, line):
    lines, kept = seeds.report(found(**changes))
    assert not kept
    assert title in lines
    assert any(line in each for each in lines)


@pytest.mark.parametrize(("tolerance", "kept"), [(1e-7, True), (2e-7, False)])
def test_a_tolerance_far_above_the_largest_error_is_loose(tolerance, kept):
    runs = [
        Run("part/one", seed, [record(tolerance=tolerance, distance=error)]) for seed, error in enumerate([0, 1e-9])
    ]
    assert seeds.report(runs)[1] == kept
    assert len(list(seeds.loose(runs))) == (not kept)


def test_rounding_is_never_too_loose():
    assert list(seeds.loose([Run("part/one", 0, [record(tolerance=1e-12, distance=0.0)])])) == []


def test_a_failed_run_is_told():
    lines, kept = seeds.report([*found(), Run("part/two", 7, [], "CheckFailed: it disagrees")])
    assert not kept
    assert "  part/two, seed 7: CheckFailed: it disagrees" in lines


def test_the_chance_of_a_false_alarm_is_that_of_the_normal_tail():
    check, rival = seeds.margins([Run("part/one", 0, [noisy(1000, 1.0, 40.0)])])
    assert check.chance == pytest.approx(1000 * 5.733e-7, rel=1e-3)
    assert rival.chance < 1e-100
    assert not seeds.report([Run("part/one", 0, [noisy(10_000, 1.0, 40.0)])])[1]


@pytest.mark.parametrize(("score", "chance"), [(5.0, 0.5), (8.0, 1.35e-3), (10.0, 2.87e-7)])
def test_the_chance_that_an_order_is_missed_is_that_of_its_mean_score(score, chance):
    check = next(seeds.margins([Run("part/one", 0, [noisy(1, score, -40.0, "above")])]))
    assert check.chance == pytest.approx(chance, rel=1e-2)


@pytest.mark.parametrize(("number", "effect"), [(48, 6.0), (48, 1.9), (400, 0.6)])
def test_the_score_of_few_replicates_varies_by_less_than_one(number, effect):
    values = np.random.default_rng(3).normal(effect, size=(number, 4000))
    scores = replicates(values).score(0.0)
    assert seeds._spread(scores.mean(), number - 1) == pytest.approx(scores.std(), rel=0.05)


def test_few_replicates_are_safer_than_their_score_says_unless_the_seeds_say_otherwise():
    def chance(scores):
        found = [Run("part/one", seed, [noisy(1, one, -40.0, "above", 48)]) for seed, one in enumerate(scores)]
        return next(seeds.margins(found)).chance

    assert chance([9.0]) < 1e-9
    assert chance([8.0, 9.0, 10.0]) == pytest.approx(3.17e-5, rel=1e-2)


def models(shared, number=100, runs=12):
    """Runs of a check in which `number` models are measured in two components, the second with a part that is `shared`;
    the truth depends on the seed."""
    found = []
    for seed in range(runs):
        draw = np.random.default_rng(seed)
        values = draw.normal(size=(number, 2)) + draw.normal() * np.array([0.0, shared]) + seed
        measured = replicates(values)
        parts = measured.mean - seed, measured.standard_error, number
        found.append(Run("part/one", seed, [record(replicates=parts)]))
    return found


def test_independent_replicates_scatter_between_seeds_as_they_state():
    (scatter,) = seeds.scatters(models(shared=0.0))
    assert scatter.ratio < 3
    assert scatter.chance > 1e-3
    assert seeds.report(models(shared=0.0))[1]


def test_replicates_that_share_what_the_seed_draws_are_told():
    found = models(shared=0.8)
    (scatter,) = seeds.scatters(found)
    assert (scatter.component, scatter.components) == (1, 2)
    assert 10 < scatter.ratio < 300
    lines, kept = seeds.report(found)
    assert not kept
    assert "seeds further apart than the stated errors: 1" in lines
    assert any("part/one: a, component 1 of 2" in line for line in lines)


def test_few_replicates_are_judged_by_students_t():
    (scatter,) = seeds.scatters(models(shared=0.0, number=8, runs=200))
    assert scatter.chance > 1e-4


def test_one_seed_has_no_scatter():
    assert list(seeds.scatters(models(shared=1.0, runs=1))) == []


def test_the_worst_seed_counts():
    check, rival = seeds.margins(found(used=0.3))
    assert (check.share, check.seed) == (0.3, 1)
    assert (rival.share, rival.rival) == (0.1, "b")


def chapter(folder, source):
    path = folder / "one.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]), path)
    return path


def test_a_chapter_runs_without_a_kernel_under_each_seed(tmp_path):
    claim = next(claim.id for claim in load()[1].values() if claim.statement)
    sound, broken = tmp_path / "sound", tmp_path / "broken"
    sound.mkdir()
    broken.mkdir()
    jobs = [("part/one", chapter(sound, CHAPTER.format(claim=claim)), seed) for seed in (3, 4)]
    jobs.append(("part/two", chapter(broken, "1 / 0"), 0))
    with seeds.pool(1) as workers:
        one, other, stopped = workers.starmap(seeds.run, jobs, chunksize=1)
    assert (one.chapter, one.seed, one.error, stopped.found) == ("part/one", 3, "", [])
    assert one.found[0]["distance"] != other.found[0]["distance"]
    assert one.found[0]["used"] <= 1
    difference, error, number = one.found[0]["replicates"]
    assert abs(difference[0]) / error[0] == pytest.approx(abs(one.found[0]["distance"]), rel=1e-2)
    assert number == 400
    assert "ZeroDivisionError" in stopped.error


def test_what_ran_before_is_not_run_again_unless_it_failed_or_changed(tmp_path, monkeypatch):
    ran, paths = [], [tmp_path / "one.ipynb", tmp_path / "two.ipynb"]

    def run_all(jobs):
        for chapter, _, seed in jobs:
            ran.append((chapter, seed))
            yield Run(chapter, seed, [record()], "it disagrees" if (chapter, seed) == ("two", 1) else "", 3.0)

    def resumed(marks, numbers=(0, 1)):
        ran.clear()
        found = list(seeds.resumed(paths, numbers, tmp_path / "kept", lambda path: marks[path.stem]))
        assert sorted((each.chapter, each.seed) for each in found) == [(c, n) for c in ("one", "two") for n in numbers]
        return found

    monkeypatch.setattr(seeds, "name", lambda path: path.stem)
    monkeypatch.setattr(seeds, "_run_all", run_all)
    first = resumed({"one": "a", "two": "a"})
    assert len(ran) == 4
    again = resumed({"one": "a", "two": "a"})
    assert ran == [("two", 1)]
    assert sorted(map(repr, again)) == sorted(map(repr, first))
    resumed({"one": "b", "two": "a"})
    assert ran == [("one", 0), ("one", 1), ("two", 1)]
    resumed({"one": "b", "two": "a"}, (0, 1, 2))
    assert ran == [("two", 1), ("one", 2), ("two", 2)]


def test_a_run_is_not_kept_where_the_chapter_changed_meanwhile(tmp_path, monkeypatch):
    text = ["before"]

    def run_all(jobs):
        for chapter, _, seed in jobs:
            text[0] += ", after"
            yield Run(chapter, seed, [record()])

    monkeypatch.setattr(seeds, "name", lambda path: path.stem)
    monkeypatch.setattr(seeds, "_run_all", run_all)
    list(seeds.resumed([tmp_path / "one.ipynb"], [0], tmp_path / "kept", lambda path: text[0]))
    assert not list(tmp_path.rglob("*.run"))
