"""The book's hygiene, over its real files: what every chapter must have, and what no file may hold."""

import ast
import json
import re
import shlex
import statistics
import subprocess
import sys
from collections import Counter

import nbformat
import pytest
import yaml
from pybtex.database import parse_file

from helpers.claims import files, load
from press import ledger
from press.address import setup_cell
from press.notebooks import ROOT, chapters, contents, name

SECTIONS = ("What breaks", "Exercises", "In the lecture", "Further reading")
SILENCERS = r"filterwarnings|simplefilter|catch_warnings|allow_errors|suppress\(|except\s*:|except (Base)?Exception\b"
SILENT_TAGS = {"raises-exception", "remove-stderr", "skip-execution"}
MACROS = r"\\(newcommand|renewcommand|providecommand|DeclareMathOperator|def|let)\b"
LOCAL_PATHS = r"(?<![\w.])/(home|root|work|tmp|mnt|Users)/|[A-Z]:\\Users"
UNFINISHED = r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b"

per_chapter = pytest.mark.parametrize("path", chapters(), ids=name)


def cells(path, kind):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def text(path):
    """All that a chapter says in Markdown, a blank line between cells."""
    return "\n\n".join(cell.source for cell in cells(path, "markdown"))


def own_code(path):
    """The chapter's code cells without the set-up cell."""
    return cells(path, "code")[1:]


def tracked():
    """The repository's text files, those included that git has yet to be told of."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for path in filter(None, listed.split("\0")):
        try:
            yield path, (ROOT / path).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue


def test_claims_and_checks_go_together():
    assert list(ledger.faults(ledger.written(), load()[1])) == []


def test_every_erratum_has_its_number():
    assert list(ledger.misnumbered(ledger.register(), load()[1])) == []


def test_every_page_of_the_contents_exists():
    assert [page for page in contents() if not any((ROOT / f"{page}.{end}").is_file() for end in ("md", "ipynb"))] == []


def test_every_notebook_is_in_the_contents():
    assert {path for path in (ROOT / "chapters").rglob("*.ipynb") if "checkpoint" not in path.name} == set(chapters())


def test_notebooks_are_committed_without_outputs():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    options = shlex.split(next(hook["entry"] for hook in hooks if hook["id"] == "nbstripout"))[1:]
    command = [sys.executable, "-m", "nbstripout", "--verify", *options, *map(str, chapters())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@per_chapter
def test_a_chapter_opens_with_title_and_set_up(path):
    title, setup = nbformat.read(path, as_version=4).cells[:2]
    assert title.cell_type == "markdown"
    assert title.source.startswith("# ")
    assert re.search(r"\bslides?\b", title.source, re.IGNORECASE), "the title cell lists the slides it mirrors"
    assert (setup.cell_type, setup.source) == ("code", setup_cell())


@per_chapter
def test_code_cells_are_short_plain_python(path):
    sources = [cell.source for cell in own_code(path)]
    for source in sources:
        ast.parse(source)
        assert source.strip(), "an empty cell"
        assert not [line for line in source.splitlines() if len(line) > 88], source
    lengths = [len(source.splitlines()) for source in sources]
    assert max(lengths) <= 25
    assert statistics.median(lengths) <= 8


@per_chapter
def test_nothing_silences_warnings_or_errors(path):
    notebook = nbformat.read(path, as_version=4)
    found = [cell.source for cell in own_code(path) if re.search(SILENCERS, cell.source)]
    found += [cell.source for cell in notebook.cells if SILENT_TAGS & set(cell.metadata.get("tags", []))]
    metadata = json.dumps([notebook.metadata, *(cell.metadata for cell in notebook.cells)])
    assert (found, re.findall(SILENCERS, metadata)) == ([], [])


def unbalanced(markdown):
    """Whether a formula of this Markdown text is left open, or spans a blank line."""
    markdown = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", markdown, flags=re.DOTALL)
    opened = ""
    for token in re.findall(r"\\.|\$\$|\$|\n\s*\n", markdown, flags=re.DOTALL):
        if token.startswith("$"):
            if opened and opened != token:
                return True
            opened = "" if opened else token
        elif opened and not token.startswith("\\"):
            return True
    return bool(opened)


@pytest.mark.parametrize(
    ("markdown", "wrong"),
    [
        ("costs \\$5, $x$ and `$`", False),
        ("$$\nx\\$y\n$$", False),
        ("$x$\n\n$y$", False),
        ("$x", True),
        ("$$x$", True),
        ("$$\nx\n\ny\n$$", True),
        ("$a$$", True),
    ],
)
def test_an_open_formula_is_seen(markdown, wrong):
    assert unbalanced(markdown) == wrong


@pytest.mark.parametrize("record", load()[1].values(), ids=lambda record: record.id)
def test_formulas_of_a_claim_came_through_yaml(record):
    for part in (record.printed, record.corrected, record.why, record.extraction):
        assert not unbalanced(part), part
        assert not re.search(r"\\\\[A-Za-z]|[\a\b\f\t\v]", part), "a backslash too many, or too few"


@per_chapter
def test_markdown_reads_the_same_in_the_book_and_in_colab(path):
    for cell in cells(path, "markdown"):
        assert not unbalanced(cell.source), cell.source
        assert "```{" not in cell.source, "a directive wants a colon fence"
        assert not re.search(MACROS, cell.source), "a TeX macro does not cross cells"


def draws(source):
    """Whether the cell itself, not a function that it defines, calls matplotlib."""
    nodes = [node for node in ast.parse(source).body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return any(re.search(r"\bplt\.|\.plot\(", ast.unparse(node)) for node in nodes)


@per_chapter
def test_a_figure_is_shown_with_alternative_text_and_caption(path):
    for cell in own_code(path):
        if draws(cell.source):
            assert cell.source.rstrip().endswith("plt.show()"), cell.source
        if "plt.show()" in cell.source:
            display = cell.metadata.get("mystnb", {})
            assert len(display.get("image", {}).get("alt", "")) >= 20, cell.source
            assert display.get("figure", {}).get("caption", "").strip(), cell.source


@per_chapter
def test_a_chapter_has_its_closing_sections(path):
    titles = re.findall(r"^#+ +(.+)$", text(path), flags=re.MULTILINE)
    assert [s for s in SECTIONS if not any(title.lower().startswith(s.lower()) for title in titles)] == []


@per_chapter
def test_every_exercise_has_a_folded_solution(path):
    prose = text(path)
    exercises = re.findall(r"\{exercise(?:-start)?\}[^\n]*\n:label: *(\S+)", prose)
    solutions = re.findall(r"\{solution(?:-start)?\} *(\S+)\n(?::[^\n]*\n)*?:class: dropdown", prose)
    assert exercises
    assert len(exercises) == len(re.findall(r"\{exercise(?:-start)?\}", prose)), "an exercise without a label"
    assert Counter(exercises) == Counter(solutions)
    for kind in ("exercise", "solution"):
        marks = re.findall(rf"\{{{kind}-(start|end)\}}", prose)
        assert marks == ["start", "end"] * (len(marks) // 2)


def test_labels_are_unique_in_the_book():
    labels = Counter(label for path in chapters() for label in re.findall(r"^:label: *(\S+)", text(path), re.MULTILINE))
    assert [label for label, times in labels.items() if times > 1] == []


def test_citations_and_references_go_together():
    prose = [text(path) for path in chapters()]
    prose += [
        (ROOT / f"{page}.md").read_text(encoding="utf-8") for page in contents() if (ROOT / f"{page}.md").is_file()
    ]
    prose += [path.read_text(encoding="utf-8") for path in files()]
    groups = re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", "\n".join(prose))
    cited = {key.strip() for group in groups for key in group.split(",")}
    known = parse_file(ROOT / "chapters" / "references.bib").entries  # an error where a key or a brace is wrong
    assert set(known) == cited


@pytest.mark.parametrize(("pattern", "what"), [(LOCAL_PATHS, "a local path"), (UNFINISHED, "unfinished work")])
def test_no_file_holds(pattern, what):
    found = [
        f"{path}:{number}: {line.strip()[:100]}"
        for path, content in tracked()
        for number, line in enumerate(content.splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert found == [], what


def test_versions_are_exact_in_requirements_and_open_in_the_package():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = [line.split("#")[0].strip() for line in lines]
    assert [line for line in required if line and not re.fullmatch(r"--editable \.|[\w.-]+==[\w.]+", line)] == []
    package = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    bounds = re.search(r"^dependencies = \[(.*?)\]", package, flags=re.DOTALL | re.MULTILINE)[1]
    assert re.findall(r'"([\w.-]+)>=', bounds)
    assert "==" not in bounds
