"""The measurements on a GPU, in small on the CPU."""

import json

import pytest
import torch

from benchmarks import gpu
from press.extension import Gpu

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def found():
    return gpu.measure(CPU, small=True, parts=["rows"])


def test_every_row_has_a_time_a_rate_and_a_share_of_the_limit(found):
    assert json.loads(json.dumps(found)) == found
    assert len(found["rows"]["rows"]) == 7
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


@pytest.mark.parametrize("options", [["--small"], ["--small", "--parts", "rows"], ["--parts", "rows"]])
def test_the_page_keeps_its_numbers_where_no_whole_run_was_made_on_a_gpu(options, tmp_path, monkeypatch):
    page = tmp_path / "gpu.json"
    monkeypatch.setattr(gpu, "RESULTS", page)
    monkeypatch.setattr(gpu, "measure", lambda device, small, parts: {"card": ""})
    monkeypatch.setattr("sys.argv", ["gpu", "--device", "cpu", *options])
    gpu.main()
    assert not page.exists()
    monkeypatch.setattr("sys.argv", ["gpu", "--device", "cpu", *options, "--out", str(page)])
    gpu.main()
    assert json.loads(page.read_text(encoding="utf-8")) == {"card": ""}


WHOLE = {
    "rows": {"rows": [{"work": "a sum", "seconds": 0.1, "rate": 10.0, "share": 0.5}]},
    "tests": {"summary": "3 passed", "left out": ["markov"]},
    "chapters": {"part/one": {"seconds": 1.0, "error": ""}},
}


@pytest.mark.parametrize("part", [None, *gpu.PARTS])
@pytest.mark.parametrize("spoilt", [{"error": "out of memory"}, None])
def test_the_page_shows_what_there_is(part, spoilt, tmp_path, monkeypatch):
    found = {"card": "A card", "versions": "PyTorch"} | WHOLE
    if part:
        found |= {part: spoilt} if spoilt else {}
        found = found if spoilt else {key: value for key, value in found.items() if key != part}
    page = tmp_path / "gpu.json"
    page.write_text(json.dumps(found), encoding="utf-8")
    monkeypatch.setattr(gpu, "RESULTS", page)
    shown = "\n".join(Gpu.lines(object.__new__(Gpu), []))
    assert ("not measured to their end" in shown) == bool(part)
    for other, words in {"rows": "a sum", "tests": "3 passed", "chapters": "every check holds"}.items():
        assert (words in shown) == (other != part)


def test_a_chapter_that_stops_says_where():
    assert gpu._failure(["x = 1", "assert x == 1"], "part/one") == ""
    assert "ZeroDivisionError" in gpu._failure(["1 / 0"], "part/one")


def test_tests_that_take_a_device_run_on_it_where_their_libraries_are_there(tmp_path):
    paths = [tmp_path / f"test_{name}.py" for name in ("one", "two", "three")]
    body = "def test_it(normal,\n    device):\n    pass\n"
    for path, source in zip(
        paths, ("import terms\n" + body, "from no_such.library import x\n" + body, ""), strict=True
    ):
        path.write_text(source, encoding="utf-8")
    (tmp_path / "terms.py").write_text("", encoding="utf-8")
    assert [gpu._asks_for_a_device(path) for path in paths] == [True, True, False]
    assert [gpu._libraries_are_there(path) for path in paths] == [True, False, True]
