"""The repository's address: written in `_config.yml`, repeated in every set-up cell, the README and the citation."""

import re

import nbformat

from press.notebooks import ROOT, chapters, configuration


def setup_cell(root=ROOT):
    """The set-up cell of every chapter, with the address that `_config.yml` names."""
    repository = configuration(root)["repository"]
    text = (root / "press" / "setup_cell.txt").read_text(encoding="utf-8").strip()
    return text.replace("{url}", repository["url"]).replace("{branch}", repository["branch"])


def move(url, root=ROOT):
    """Write `url` into `_config.yml` and wherever the old address stands: README and the like, the set-up cells."""
    if not re.fullmatch(r"https://[\w.-]+/[\w.-]+/[\w.-]+(?<!\.git)", url):
        raise SystemExit(f"url: wanted https://github.com/someone/a-book or the like, got {url!r}")
    old = configuration(root)["repository"]["url"]
    for path in (root / name for name in ("_config.yml", "README.md", "CONTRIBUTING.md", "CITATION.cff")):
        path.write_text(path.read_text(encoding="utf-8").replace(old, url), encoding="utf-8")
    for path in chapters(root):
        notebook = nbformat.read(path, as_version=4)
        notebook.cells[1].source = setup_cell(root)
        nbformat.write(notebook, path)
