"""A chapter as Colab runs it: alone in an empty folder, with Colab's libraries, helpers fetched by its first cell."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from press.address import setup_cell
from press.execution import BUILD, fingerprint
from press.ledger import records
from press.notebooks import ROOT, calls, chapters, configuration, name

COLAB = ROOT / ".venv-colab"
PASSED = BUILD / "colab"
KEPT = ("numpy", "scipy", "matplotlib", "torch", "ipython")
PACKAGE = "generative-modelling-checked"
# Of this environment's variables: what would change imports, warnings, or (under pytest) what a kernel captures.
WITHHELD = ("PYTHONPATH", "PYTHONWARNINGS", "VIRTUAL_ENV", "PYTEST_CURRENT_TEST")
PROBE = "import helpers\nprint(helpers.__file__)"


def succeed(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The address of a repository of the working tree as it is now, uncommitted changes included."""
    copy = tmp_path_factory.mktemp("repository")
    listed = succeed("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for path in filter(None, listed.split("\0")):
        if (ROOT / path).is_file():
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, copy / path)
    succeed("git", "init", "--quiet", "--initial-branch", configuration()["repository"]["branch"], cwd=copy)
    succeed("git", "add", "--all", cwd=copy)
    author = ("-c", "user.name=Book", "-c", "user.email=book@example.org", "-c", "commit.gpgsign=false")
    succeed("git", *author, "commit", "--quiet", "--message", "The working tree", cwd=copy)
    return copy.as_uri()


@pytest.fixture
def colab(tmp_path):
    """The Python of an environment with Colab's libraries and nothing else, into which a chapter may install."""
    if not COLAB.is_dir():
        pytest.fail("There is no environment with Colab's libraries: run `make slow`.")
    home = tmp_path / "colab"
    succeed(COLAB / "bin" / "python", "-m", "venv", "--without-pip", home)
    (own,) = home.glob("lib/python*/site-packages")
    (libraries,) = COLAB.glob("lib/python*/site-packages")
    (own / "colab.pth").write_text(f"{libraries}\n", encoding="utf-8")
    return str(home / "bin" / "python")


@pytest.fixture
def kernel(colab, tmp_path, monkeypatch):
    """A kernel in that environment, driven from this one."""
    folder = tmp_path / "jupyter" / "kernels" / "colab"
    folder.mkdir(parents=True)
    command = [colab, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (folder / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "Colab", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    return "colab"


def versions(python, cwd):
    """What is installed there, by name."""
    listed = json.loads(succeed(python, "-m", "pip", "list", "--format=json", cwd=cwd))
    return {package["name"]: package["version"] for package in listed}


def requirements():
    """What of the repository besides a chapter and its helpers decides how Colab runs it."""
    return "".join((ROOT / file).read_text(encoding="utf-8") for file in ("tests/colab.txt", "pyproject.toml"))


def stderr(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.get("name") == "stderr")


@pytest.mark.slow
@pytest.mark.filterwarnings("default::ResourceWarning")
@pytest.mark.parametrize("path", chapters(), ids=name)
def test_a_chapter_runs_alone_with_colabs_libraries(path, repository, colab, kernel, tmp_path):
    stamp, mark = PASSED / name(path), fingerprint(path) + requirements()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == mark:
        pytest.skip("it passed with this code and these helpers; `make clean` forgets that")
    before = versions(colab, tmp_path)
    assert PACKAGE not in before

    notebook = nbformat.read(path, as_version=4)
    setup = notebook.cells[1]
    setup.source = setup.source.replace(configuration()["repository"]["url"], repository)
    notebook.cells.append(nbformat.v4.new_code_cell(PROBE))
    content = tmp_path / "content"
    content.mkdir()
    resources = {"metadata": {"path": str(content)}}
    environment = {variable: value for variable, value in os.environ.items() if variable not in WITHHELD}
    environment |= {"OMP_NUM_THREADS": "1"}  # chapters run side by side
    environment["TQDM_DISABLE"] = "1"  # what is left on stderr is a fault, and a progress bar is none
    NotebookClient(notebook, kernel_name=kernel, timeout=600, resources=resources).execute(env=environment)

    after = versions(colab, tmp_path)
    assert PACKAGE in after
    assert {package: after[package] for package in KEPT} == {package: before[package] for package in KEPT}
    imported = Path(notebook.cells[-1].outputs[0].text.strip())
    assert imported.is_relative_to(Path(colab).parent.parent)
    assert "site-packages" in imported.parts
    assert {(record["id"], record["label"]) for record in records(notebook)} == {
        (call.claim, call.label) for call in calls(path)
    }
    assert stderr(notebook) == ""
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(mark, encoding="utf-8")


def test_without_the_repository_the_set_up_cell_says_what_to_do(tmp_path):
    cell = setup_cell().replace(configuration()["repository"]["url"], "file:///nowhere")
    blocked = "import sys\nsys.modules['helpers'] = None\n"
    command = [sys.executable, "-c", blocked + cell]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    message = done.stderr[done.stderr.index("RuntimeError") :]
    for word in ("file:///nowhere", "second line of this cell", "python -m press address URL"):
        assert word in message
    assert "ModuleNotFoundError" not in done.stderr


def test_the_set_up_cell_fits_colab():
    cell = setup_cell()
    compile(cell, "set-up cell", "exec")
    assert len(cell.splitlines()) <= 25
    assert configuration()["repository"]["url"] in cell.splitlines()[1]
