"""The measurements on a GPU, in small on the CPU."""

import json

import pytest
import torch

from benchmarks import gpu

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def found():
    return gpu.measure(CPU, small=True, parts=["rows"])


def test_every_row_has_a_time_a_rate_and_a_share_of_the_limit(found):
    assert json.loads(json.dumps(found)) == found
    assert len(found["rows"]["rows"]) == 5
    for row in found["rows"]["rows"]:
        assert row["seconds"] > 0
        assert row["rate"] > 0
        assert row["share"] > 0
        assert len(gpu.cells(row)) == 5
    assert list(gpu.failures(found)) == []


def test_what_fails_is_named_and_the_rest_still_runs(monkeypatch):
    def broken(device, small):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(gpu, "rows", broken)
    monkeypatch.setattr(gpu, "chapters", lambda device: {"part/one": {"error": "CheckFailed", "seconds": 1.0}})
    wrong = list(gpu.failures(gpu.measure(CPU, parts=["rows", "chapters"])))
    assert len(wrong) == 2
    assert "out of memory" in wrong[0]
    assert wrong[1] == "part/one: CheckFailed"


def test_a_chapter_that_stops_says_where():
    assert gpu._failure(["x = 1", "assert x == 1"], "part/one") == ""
    assert "ZeroDivisionError" in gpu._failure(["1 / 0"], "part/one")
