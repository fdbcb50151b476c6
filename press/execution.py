"""Runs the chapters as tests, side by side, and keeps what they printed; the book is built from that."""

import ast
import hashlib
import os
import shutil
import subprocess
import sys

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn

from helpers.claims import load
from helpers.randomness import book_seed
from press.notebooks import ROOT, chapters, code, name

BUILD = ROOT / "_build"
KEPT = "press"  # in a kept notebook's metadata: the fingerprint under which it ran, and its seconds


def rests_on(path, root=ROOT):
    """The modules of `helpers` that the chapter at `path` imports, and all that these import, as sorted files."""
    found, waiting = set(), [source for _, source in code(path)]
    while waiting:
        new = _imported(waiting.pop(), root) - found
        waiting += [file.read_text(encoding="utf-8") for file in new]
        found |= new
    return sorted(found)


def _imported(source, root):
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    files = set()
    for steps in (each.split(".") for each in names if each.split(".")[0] == "helpers"):
        for end in range(1, len(steps) + 1):
            folder = root.joinpath(*steps[:end])
            files |= {file for file in (folder.with_suffix(".py"), folder / "__init__.py") if file.is_file()}
    return files


def fingerprint(path, root=ROOT):
    """A hash of all that decides what the chapter at `path` prints: its code, the helpers on which it rests, the files
    in the folder `data` beside it, the record of its claims, the requirements, the seed, and Python."""
    lectures, claims = load(root / "chapters")
    titles = [(lecture.title, lecture.author) for lecture in lectures.values()]
    own = [claim for claim in claims.values() if claim.chapter == name(path, root)]
    sources = [source for _, source in code(path)]
    digest = hashlib.sha256(f"{book_seed()} {sys.version} {sources} {titles} {own}".encode())
    data = sorted(file for file in (path.parent / "data").rglob("*") if file.is_file())
    for file in [*rests_on(path, root), *data, root / "requirements.txt"]:
        digest.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def keep(path, notebook, seconds, mark, root=ROOT):
    """Keep the executed `notebook` of the chapter at `path`, which ran under the fingerprint `mark`."""
    notebook.metadata[KEPT] = {"fingerprint": mark, "seconds": seconds}
    place = _place(path, root)
    place.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, place)


def _place(path, root):
    return root / "_build" / "executed" / f"{name(path, root)}.ipynb"


def _kept(path, root):
    """The executed notebook of the chapter at `path`, or None where there is none with its fingerprint."""
    place = _place(path, root)
    notebook = nbformat.read(place, as_version=4) if place.is_file() else None
    return notebook if notebook and notebook.metadata[KEPT]["fingerprint"] == fingerprint(path, root) else None


def execute(root=ROOT):
    """Run every chapter of which nothing is kept, stop where one fails, and fill the cache that the book is built from.

    Returns, by name, the executed notebooks with their run times in seconds.
    """
    paths = chapters(root)
    waiting = [path for path in paths if _kept(path, root) is None]
    print(f"{len(paths)} chapter(s), {len(waiting)} to run", flush=True)
    if waiting:
        workers = min(len(waiting), os.cpu_count())
        command = ["pytest", "-q", "-n", str(workers), "--dist", "worksteal", "--nbmake", "--rootdir", root, *waiting]
        if subprocess.run([sys.executable, "-m", *map(str, command)], cwd=root, check=False).returncode:
            raise SystemExit("chapters failed: see above")
    shutil.rmtree(root / "_build" / ".jupyter_cache", ignore_errors=True)
    cache = get_cache(root / "_build" / ".jupyter_cache")
    return {name(path, root): _cached(cache, path, _kept(path, root)) for path in paths}


def _cached(cache, path, kept):
    """The chapter as it stands, with the outputs of `kept`, which goes into the cache, and its seconds."""
    notebook, seconds = nbformat.read(path, as_version=4), kept.metadata[KEPT]["seconds"]
    for cell, ran in zip(_code_cells(notebook), _code_cells(kept), strict=True):
        cell.update(outputs=ran.outputs, execution_count=ran.execution_count)
    bundle = CacheBundleIn(notebook, str(path), data={"execution_seconds": seconds})
    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    return notebook, seconds


def _code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]
