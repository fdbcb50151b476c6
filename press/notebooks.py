"""The chapters as files: which there are, what their cells say, which claims they check."""

import ast
from dataclasses import dataclass
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 45


def contents(root=ROOT):
    """Every page of `_toc.yml`, in order, as a path without suffix."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    entries = [toc["root"]]
    for part in toc.get("parts", []):
        entries += [entry["file"] for entry in part["chapters"]]
    return entries


def chapters(root=ROOT):
    """The notebooks of the book, in order."""
    return [path for path in (root / f"{page}.ipynb" for page in contents(root)) if path.is_file()]


def name(path, root=ROOT):
    """A chapter's name as the record of claims has it: `densities/mle`."""
    return path.relative_to(root / "chapters").with_suffix("").as_posix()


def code(path):
    """The code cells of the chapter at `path` with their positions."""
    cells = nbformat.read(path, as_version=4).cells
    return [(position, cell.source) for position, cell in enumerate(cells) if cell.cell_type == "code"]


def limit(path):
    """The seconds that the chapter at `path` may take alone: `limit` in its notebook's metadata, or the usual ones."""
    return nbformat.read(path, as_version=4).metadata.get("limit", SECONDS)


def configuration(root=ROOT):
    return yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Call:
    """A call of `check` as it stands in a chapter."""

    cell: int
    claim: str
    label: str
    rivals: tuple
    closes_cell: bool


def calls(path):
    """Every call of `check` in the chapter at `path`, read from its source."""
    found = []
    for position, cell in enumerate(nbformat.read(path, as_version=4).cells):
        if cell.cell_type != "code":
            continue
        tree = ast.parse(cell.source)
        last = tree.body[-1] if tree.body else None
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check":
                closes = isinstance(last, ast.Expr) and last.value is node
                found.append(_call(position, node, closes))
    return found


def _call(position, node, closes):
    words = {word.arg: word.value for word in node.keywords}
    rivals = words.get("rivals")
    keys = rivals.keys if isinstance(rivals, ast.Dict) else []
    label = _spelt_out(words["label"]) if "label" in words else ""
    return Call(position, _spelt_out(node.args[0]), label, tuple(_spelt_out(key) for key in keys), closes)


def _spelt_out(node):
    """The text that stands in the source, where a reader and the ledger find it."""
    if not isinstance(node, ast.Constant):
        wrong = "**" if node is None else ast.unparse(node)
        raise ValueError(f"check: wanted its claim, label and names of rivals spelt out, got {wrong}")
    return node.value
