"""The press: checks read from source, faults between checks and claims, ledger, fingerprint, address."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import nbformat
import pytest

from helpers.checks import Result, Rival
from helpers.claims import Claim, Lecture, load
from press import address, ledger
from press.execution import fingerprint, rests_on
from press.extension import Counts, typeset
from press.notebooks import ROOT, Call, calls, chapters, configuration
from press.notebooks import name as chapter_name

LECTURES = {"other": Lecture("other", "Other", "B"), "book": Lecture("book", "Book", "A")}
SUM = Claim("book-sum", "(1)", "part/one", statement="One and one is two.")
MISPRINTED = replace(SUM, printed="three", corrected="two", why="counted twice")
CONDITIONAL = replace(SUM, conditions="whole numbers")
CHECKED = Call(1, "book-sum", "", ("one",), True)


def code(*sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.fixture
def calls_in(tmp_path):
    def read(*sources):
        path = tmp_path / "one.ipynb"
        nbformat.write(code(*sources), path)
        return calls(path)

    return read


def faults(*found, claim=SUM, chapter="part/one"):
    return list(ledger.faults({chapter: found}, dict.fromkeys((claim.id, *claim.also), claim)))


def test_a_call_is_read_with_cell_claim_label_and_rivals(calls_in):
    source = 'x = 1\ncheck("book-sum", measured=x, expected=1, rivals={"a": 2, "b": 3}, label="here")'
    assert calls_in("x = 0", source) == [Call(1, "book-sum", "here", ("a", "b"), True)]


def test_a_call_without_rivals_or_label_is_read_as_having_none(calls_in):
    assert calls_in('check("book-sum", measured=1, expected=1)') == [Call(0, "book-sum", "", (), True)]


@pytest.mark.parametrize(
    "source",
    [
        'check("book-sum", rivals={})\nx = 1',
        'result = check("book-sum", rivals={})',
        'for x in (1, 2):\n    check("book-sum", rivals={})',
        'check("book-sum", rivals={}).record()',
    ],
)
def test_a_check_that_shows_no_card_does_not_close_its_cell(calls_in, source):
    assert [call.closes_cell for call in calls_in(source)] == [False]


def test_the_word_alone_is_no_check(calls_in):
    assert calls_in('print("check")', "# check(...)", "") == []


@pytest.mark.parametrize(
    "source",
    [
        'check(f"book-{x}", rivals={})',
        'check("book-sum", rivals={name: 1})',
        'check("book-sum", rivals={**wrong})',
        'check("book-sum", rivals={}, label=name)',
    ],
)
def test_what_the_ledger_needs_must_be_spelt_out(calls_in, source):
    with pytest.raises(ValueError, match="spelt out"):
        calls_in(source)


@pytest.mark.parametrize(
    ("claim", "rivals"),
    [
        (SUM, ("one",)),
        (MISPRINTED, ("as printed",)),
        (CONDITIONAL, ("without whole numbers",)),
    ],
)
def test_a_claim_checked_as_its_record_says_has_no_fault(claim, rivals):
    assert faults(replace(CHECKED, rivals=rivals), claim=claim) == []


def test_a_claim_of_an_unwritten_chapter_needs_no_check():
    assert faults(chapter="part/two") == []


def test_a_reason_stands_in_for_a_check():
    assert faults(claim=replace(SUM, reason="a matter of taste")) == []


def test_checks_of_one_claim_may_differ_by_label():
    assert faults(CHECKED, replace(CHECKED, label="again")) == []


def test_a_rival_of_any_check_of_the_claim_bears_out_its_record():
    claim = replace(MISPRINTED, conditions="whole numbers")
    found = (replace(CHECKED, rivals=("as printed",)), replace(CHECKED, rivals=("without whole",), label="edge"))
    assert faults(*found, claim=claim) == []


@pytest.mark.parametrize(
    ("claim", "found", "fault"),
    [
        (SUM, [], "a check or a reason"),
        (replace(SUM, reason="a matter of taste"), [CHECKED], "a check or a reason"),
        (SUM, [CHECKED, replace(CHECKED, claim="book-none")], "'book-none' is no claim"),
        (SUM, [CHECKED, CHECKED], "checked twice under the label ''"),
        (replace(SUM, also={"other-sum": "(9)"}), [CHECKED, replace(CHECKED, claim="other-sum")], "checked twice"),
        (SUM, [replace(CHECKED, closes_cell=False)], "does not close its cell"),
        (MISPRINTED, [CHECKED], "'as printed' go together"),
        (SUM, [replace(CHECKED, rivals=("as printed",))], "'as printed' go together"),
        (CONDITIONAL, [CHECKED], "'without ...' go together"),
        (SUM, [replace(CHECKED, rivals=("without a sign",))], "'without ...' go together"),
    ],
)
def test_a_fault_is_named(claim, found, fault):
    (sentence,) = faults(*found, claim=claim)
    assert fault in sentence


def test_a_check_in_another_chapter_than_the_records_is_a_fault():
    assert faults(CHECKED, chapter="part/two") == ["book-sum belongs to part/one and is checked elsewhere"]


def executed(claim=SUM, label="", rival="one"):
    """A chapter as the press gets it back: executed, with the record of one check, and its seconds."""
    rivals = (Rival(rival, 1.0, 2.0, 0.5, 1, 1, 4e-9, True),)
    numbers = (2.0, None, 2.0, 0.0, "relative error", "at most 1e-09", 1, 0.0, True)
    result = Result(claim, label, "library", "exact", "equals", *numbers, rivals)
    data, metadata = result._repr_mimebundle_()
    notebook = code("check(...)")
    notebook.cells[0].outputs = [nbformat.v4.new_output("execute_result", data, metadata=metadata)]
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell("# Sums\n\n## Small sums\n\nText."))
    return notebook, 1.0


@pytest.fixture
def build(monkeypatch):
    """The ledger of `part/one` where `found` are its calls of `check` and `left` is the chapter as executed."""

    def build(claim, *found, left=None):
        claims = dict.fromkeys((claim.id, *claim.also), claim)
        monkeypatch.setattr(ledger, "load", lambda: (LECTURES, claims))
        monkeypatch.setattr(ledger, "written", lambda: {"part/one": found} if left else {})
        return ledger.build({"part/one": left} if left else {})

    return build


@pytest.mark.parametrize(
    ("claim", "rival", "verdict"),
    [
        (SUM, "one", "holds"),
        (CONDITIONAL, "without whole numbers", "holds under conditions"),
        (MISPRINTED, "as printed", "wrong as printed"),
    ],
)
def test_the_verdict_follows_from_record_and_check(build, claim, rival, verdict):
    (entry,) = build(claim, replace(CHECKED, rivals=(rival,)), left=executed(claim))
    assert entry["verdict"] == verdict
    assert entry["verdict"] in ledger.VERDICTS


def test_an_unchecked_claim_says_why(build):
    (entry,) = build(replace(SUM, reason="a matter of taste"), left=(code(), 1.0))
    assert (entry["verdict"], entry["reason"]) == ("not checked", "a matter of taste")
    (entry,) = build(SUM)
    assert (entry["verdict"], entry["reason"]) == ("not checked", "the chapter part/one is not written yet")


def test_an_entry_has_the_numbers_of_its_check(build):
    (entry,) = json.loads(json.dumps(build(SUM, CHECKED, left=executed())))
    rival = {"name": "one", "value": 1.0, "against": 2.0, "distance": 0.5, "off": 1, "cases": 1, "near": 4e-9}
    assert entry | {"checks": None} == {
        "id": "book-sum",
        "lecture": "book",
        "place": "(1)",
        "chapter": "part/one",
        "verdict": "holds",
        "agreement": "exact",
        "by": "library",
        "measured": 2.0,
        "expected": 2.0,
        "distance": 0.0,
        "unit": "relative error",
        "rivals": [rival],
        "statement": "One and one is two.",
        **dict.fromkeys(("conditions", "printed", "corrected", "why", "extraction", "thanks"), ""),
        "checks": None,
    }
    (check,) = entry["checks"]
    assert (check["section"], check["anchor"]) == ("Small sums", "check-book-sum")


def test_an_unchecked_entry_has_the_same_keys(build):
    (checked,), (unchecked,) = build(SUM, CHECKED, left=executed()), build(SUM)
    assert set(checked) | {"reason"} == set(unchecked)


def test_a_claim_made_twice_stands_in_both_lectures_in_their_order(build):
    claim = replace(SUM, also={"other-sum": "(9)"})
    entries = build(claim, replace(CHECKED, claim="other-sum"), left=executed(claim))
    assert [(entry["id"], entry["lecture"], entry["place"], entry["verdict"]) for entry in entries] == [
        ("other-sum", "other", "(9)", "holds"),
        ("book-sum", "book", "(1)", "holds"),
    ]


@pytest.mark.parametrize(
    ("found", "left", "fault"),
    [
        ([CHECKED], (code(), 1.0), "left no record"),
        ([CHECKED, replace(CHECKED, label="more")], executed(), "the check of book-sum more left no record"),
        ([replace(CHECKED, claim="book-none")], (code(), 1.0), "'book-none' is no claim"),
    ],
)
def test_a_ledger_with_faults_is_not_built(build, found, left, fault):
    with pytest.raises(SystemExit, match=fault):
        build(SUM, *found, left=left)


ERRATUM = {"lecture": "book", "number": 1, "claim": "book-sum", "found": "2026-01-02", "withdrawn": ""}
SECOND = ERRATUM | {"number": 2, "claim": "book-more"}
NUMBERED = {
    "book-sum": MISPRINTED,
    "book-more": replace(MISPRINTED, id="book-more"),
    "book-true": replace(SUM, id="book-true"),
}


def test_a_register_is_read_lecture_by_lecture(tmp_path):
    path = tmp_path / "errata.yml"
    path.write_text('book: [{number: 1, claim: book-sum, found: "2026-01-02"}]', encoding="utf-8")
    assert ledger.register(path) == [ERRATUM]


@pytest.mark.parametrize(
    "errata",
    [
        [ERRATUM, SECOND],
        [
            ERRATUM | {"claim": "book-true", "withdrawn": "the slide is right"},
            SECOND,
            SECOND | {"number": 3, "claim": "book-sum"},
        ],
    ],
)
def test_errata_with_their_numbers_have_no_fault(errata):
    assert list(ledger.misnumbered(errata, NUMBERED)) == []


@pytest.mark.parametrize(
    ("errata", "fault"),
    [
        ([ERRATUM], "book-more has a printed form and no number"),
        ([ERRATUM, SECOND, SECOND | {"number": 3}], "book-more has 2 numbers"),
        ([ERRATUM, SECOND | {"number": 3}], "book: the numbers do not run from 1 to 2"),
        ([ERRATUM, SECOND | {"number": 1}], "book: the numbers do not run from 1 to 2"),
        ([ERRATUM, SECOND | {"found": "2026-01-01"}], "book: an erratum is older than the one before it"),
        ([ERRATUM, SECOND | {"withdrawn": "right"}], "book-more: a printed form or a reason"),
        ([ERRATUM, SECOND, SECOND | {"number": 3, "claim": "book-true"}], "book-true: a printed form or a reason"),
        ([ERRATUM, SECOND, SECOND | {"number": 3, "claim": "book-none"}], "book-none is no claim of book"),
        ([ERRATUM, SECOND, ERRATUM | {"lecture": "other", "claim": "book-true"}], "book-true is no claim of other"),
    ],
)
def test_a_fault_of_numbering_is_named(errata, fault):
    (sentence,) = ledger.misnumbered(errata, NUMBERED)
    assert fault in sentence


def test_an_erratum_is_published_with_its_number_date_and_evidence(build):
    call = replace(CHECKED, rivals=("as printed",))
    entries = build(MISPRINTED, call, left=executed(MISPRINTED, rival="as printed"))
    (erratum,) = json.loads(json.dumps(ledger.errata(entries, [ERRATUM])))
    assert erratum["number"] == "Book 1"
    assert (erratum["id"], erratum["found"], erratum["withdrawn"]) == ("book-sum", "2026-01-02", "")
    assert (erratum["printed"], erratum["as printed"], erratum["measured"]) == ("three", 1.0, 2.0)
    assert erratum["evidence"] == "chapters/part/one.html#check-book-sum"


def test_an_erratum_that_no_check_proves_is_not_published(build):
    assert ledger.errata(build(MISPRINTED), [ERRATUM]) == []


def test_an_erratum_that_is_withdrawn_stays_with_its_number(build):
    (erratum,) = ledger.errata(build(SUM), [ERRATUM | {"withdrawn": "the slide is right"}])
    assert (erratum["number"], erratum["withdrawn"]) == ("Book 1", "the slide is right")
    assert "printed" not in erratum


def test_the_published_ledger_has_all_but_the_cards(build):
    entries = build(SUM, CHECKED, left=executed())
    (check,) = ledger.public(entries)[0]["checks"]
    assert check | {"card": entries[0]["checks"][0]["card"]} == entries[0]["checks"][0]
    assert "card" not in check


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("falls like n^(−4/5) in both", "falls like n<sup>−4/5</sup> in both"),
        ("n^(−4/(d + 4)), and x^γ", "n<sup>−4/(d + 4)</sup>, and x<sup>γ</sup>"),
        ("∫f_h² − I_com⁻¹, p_θ(z|x)", "∫f<sub>h</sub>² − I<sub>com</sub>⁻¹, p<sub>θ</sub>(z|x)"),
        ("a < b & c", "a &lt; b &amp; c"),
    ],
)
def test_a_text_of_the_record_is_typeset(text, shown):
    assert typeset(text) == shown


def lecture_entry(lecture, chapter, verdict, reason=""):
    checks = [] if verdict == "not checked" else [{"id": f"{lecture}-{chapter}", "label": "", "rivals": [1, 2]}]
    return {"lecture": lecture, "chapter": chapter, "verdict": verdict, "reason": reason, "checks": checks}


def test_the_front_page_counts_claims_by_verdict_and_chapter():
    waiting = [("late/two", ledger.unwritten("late/two"))] * 3 + [("late/one", ledger.unwritten("late/one"))]
    entries = [
        lecture_entry("talk", "densities/a", "holds"),
        lecture_entry("other", "densities/b", "wrong as printed"),
        lecture_entry("talk", "densities/b", "not checked", "a matter of taste"),
        *(lecture_entry("talk", chapter, "not checked", reason) for chapter, reason in waiting),
        lecture_entry("book", "densities/a", "holds under conditions"),
    ]
    lines = "\n".join(Counts.lines(None, entries))
    assert "The **2** lectures make **7** claims; **2** of them are checked" in lines
    for verdict, count in zip(ledger.VERDICTS, (1, 0, 1, 5), strict=True):
        assert f"{verdict}: **{count}**" in lines
    assert "of which **4** wait for **2** chapters" in lines
    assert "**1** claims of our own, **1** of them checked" in lines
    assert "**3** checks hold, and with them **6** wrong answers" in lines
    assert "* - densities\n  - 3\n  - 2\n  - \n* - late\n  - 4\n  - 0\n  - two 3, one 1" in lines


@pytest.fixture
def house(tmp_path):
    """A copy of the files on which execution and address rest."""
    for path in ("helpers", "press", "chapters"):
        shutil.copytree(ROOT / path, tmp_path / path, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (
        "_config.yml",
        "_toc.yml",
        "README.md",
        "CONTRIBUTING.md",
        "CITATION.cff",
        "requirements.txt",
        "pyproject.toml",
    ):
        shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


MLE = "chapters/densities/mle.ipynb"


@pytest.fixture
def mark(house):
    """The fingerprint of a chapter as its files are when it is asked for."""

    def read(path=MLE):
        load.cache_clear()
        return fingerprint(house / path, house)

    yield read
    load.cache_clear()


def append(path, text="\n"):
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


@pytest.mark.parametrize(
    "path", ["helpers/checks.py", "helpers/validation.py", "helpers/__init__.py", "requirements.txt"]
)
def test_the_fingerprint_changes_with_what_the_chapter_rests_on(house, mark, path):
    before = mark()
    append(house / path)
    assert mark() != before


def test_the_fingerprint_changes_with_code_data_and_claims(house, mark):
    found = [mark()]
    notebook = nbformat.read(house / MLE, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("1 + 1"))
    nbformat.write(notebook, house / MLE)
    found.append(mark())
    (house / "chapters" / "densities" / "data").mkdir()
    (house / "chapters" / "densities" / "data" / "lengths.csv").touch()
    found.append(mark())
    claim = "- {id: book-new, place: here, chapter: densities/mle, statement: New.}\n"
    append(house / "chapters" / "densities" / "claims.yml", claim)
    found.append(mark())
    assert len(set(found)) == len(found)


def test_the_fingerprint_changes_with_the_seed(mark, monkeypatch):
    monkeypatch.setenv("BOOK_SEED", "1")
    one = mark()
    monkeypatch.setenv("BOOK_SEED", "2")
    assert mark() != one


def test_the_fingerprint_stays_where_another_chapter_changes(house, mark):
    before = mark()
    notebook = nbformat.read(house / MLE, as_version=4)
    notebook.cells.append(nbformat.v4.new_markdown_cell("Another word."))
    nbformat.write(notebook, house / MLE)
    append(house / "README.md")
    append(house / "helpers" / "latent" / "markov.py")
    (house / "helpers" / "new.py").touch()
    append(house / "chapters" / "latent" / "claims.yml", "- {id: book-new, place: here, chapter: latent/em}\n")
    assert mark() == before
    assert mark("chapters/latent/em.ipynb") != fingerprint(ROOT / "chapters" / "latent" / "em.ipynb")


def test_a_chapter_rests_on_what_its_helpers_import(house):
    (house / "helpers" / "low.py").write_text("import numpy\n", encoding="utf-8")
    (house / "helpers" / "latent" / "high.py").write_text("def f():\n    from helpers import low\n", encoding="utf-8")
    nbformat.write(code("import torch", "from helpers.latent import high"), house / "one.ipynb")
    found = [path.relative_to(house / "helpers").as_posix() for path in rests_on(house / "one.ipynb", house)]
    assert found == ["__init__.py", "latent/__init__.py", "latent/high.py", "low.py"]


@pytest.fixture
def run(house):
    """Makes a book of one chapter with this code and executes it, in a process of its own; returns what that said."""
    (house / "_toc.yml").write_text("{root: index, parts: [{chapters: [{file: chapters/one}]}]}", encoding="utf-8")
    command = "import pathlib, sys; from press.execution import execute; execute(pathlib.Path(sys.argv[1]))"

    def execute_one(*sources):
        nbformat.write(code(*sources), house / "chapters" / "one.ipynb")
        return subprocess.run(
            [sys.executable, "-c", command, str(house)], cwd=ROOT, capture_output=True, text=True, check=False
        )

    return execute_one


def test_a_chapter_runs_once_and_again_when_its_helpers_change(house, run):
    source = "import os\nfrom helpers import quadrature\nassert os.environ['OMP_NUM_THREADS'] == '1'"
    assert "1 to run" in run(source).stdout
    assert "0 to run" in run(source).stdout
    append(house / "helpers" / "quadrature.py")
    assert "1 to run" in run(source).stdout


SET_UP = "from helpers.checks import check"
BLUNT = 'check("{}", measured=1.0, by="library", expected=1.0, rivals={{"two": 2.0}}, tolerance={})'
ANY = next(claim.id for claim in load()[1].values() if claim.statement)


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        (["1 / 0"], "division by zero"),
        (["import warnings", "warnings.warn('odd')"], "odd"),
        ([SET_UP, BLUNT.format(ANY, 0.1)], "it would also hold with component 0 of 1 off by"),
    ],
)
def test_a_chapter_that_fails_stops_the_book_again_and_again(run, sources, words):
    for _ in range(2):
        done = run(*sources)
        assert done.returncode == 1
        assert "chapters failed" in done.stderr
        assert words in done.stdout


def test_a_chapter_whose_checks_have_teeth_passes(run):
    done = run(SET_UP, BLUNT.format(ANY, 1e-9))
    assert done.returncode == 0, done.stdout + done.stderr


URL = "https://github.com/someone/a-book"


def test_moving_writes_the_address_everywhere(house):
    old = configuration(house)["repository"]["url"]
    for path in ("README.md", "CONTRIBUTING.md", "CITATION.cff"):
        (house / path).write_text(f"See {old}/issues.\n", encoding="utf-8")
    address.move(URL, house)
    assert configuration(house)["repository"]["url"] == URL
    for path in ("README.md", "CONTRIBUTING.md", "CITATION.cff"):
        assert (house / path).read_text(encoding="utf-8") == f"See {URL}/issues.\n"
    assert chapters(house)
    for path in chapters(house):
        setup = nbformat.read(path, as_version=4).cells[1].source
        assert setup == address.setup_cell(house), chapter_name(path, house)
        assert f'"{URL}"' in setup
    assert not [path for path in house.rglob("*.*") if old in path.read_text(encoding="utf-8")]


def test_moving_there_and_back_gives_the_same_bytes(house):
    def everything():
        return {path: path.read_bytes() for path in house.rglob("*") if path.is_file()}

    old = configuration(house)["repository"]["url"]
    address.move(old, house)
    before = everything()
    address.move(URL, house)
    assert everything() != before
    address.move(old, house)
    assert everything() == before


@pytest.mark.parametrize(
    "url",
    [
        "",
        "someone/a-book",
        "http://github.com/someone/a-book",
        "git@github.com:someone/a-book",
        "https://github.com/someone",
        "https://github.com/someone/a-book/",
        "https://github.com/someone/a-book.git",
        "https://github.com/someone/a-book/tree/main",
        'https://github.com/someone/a"book',
        "https://github.com/some one/a-book",
    ],
)
def test_an_address_that_no_browser_shows_is_refused_and_nothing_moves(house, url):
    before = (house / "_config.yml").read_bytes()
    with pytest.raises(SystemExit, match="url: wanted"):
        address.move(url, house)
    assert (house / "_config.yml").read_bytes() == before
