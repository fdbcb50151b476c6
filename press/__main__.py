"""Command line of the press: `python -m press book` builds the book, `python -m press pdf` prints it."""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys

from press import address, ledger, pdf
from press.execution import BUILD, execute
from press.notebooks import ROOT, contents


def book():
    """Execute, write the ledger, build every page with warnings as errors, and say where the book is."""
    executed = execute()
    _write("ledger.json", ledger.build(executed))
    seconds = {chapter: time for chapter, (_, time) in executed.items()}
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    _write("times.json", {"machine": machine, "chapters": seconds})
    shutil.rmtree(BUILD / "html", ignore_errors=True)
    build = "from jupyter_book.cli.main import main; main()"
    arguments = ["build", str(ROOT), "-n", "-W", "--keep-going", "--all"]
    if subprocess.run([sys.executable, "-c", build, *arguments], cwd=ROOT, check=False).returncode:
        raise SystemExit("the book has warnings: see above")
    missing = [page for page in contents() if not (BUILD / "html" / f"{page}.html").is_file()]
    if missing:
        raise SystemExit(f"pages without HTML: {missing}")
    for chapter, time in seconds.items():
        print(f"  {chapter}: {time:.0f} s")
    print(f"The book is at {(BUILD / 'html' / 'index.html').as_uri()}")


def _write(name, value):
    (BUILD / name).write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(prog="python -m press", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("book", help="execute the chapters and build the book")
    commands.add_parser("pdf", help="print the built book into _build/book.pdf")
    move = commands.add_parser("address", help="write the repository's address everywhere")
    move.add_argument("url", help="as a browser shows it: https://github.com/someone/generative-modelling-checked")
    arguments = parser.parse_args()
    if arguments.command == "book":
        book()
    elif arguments.command == "pdf":
        print(f"The book in print is at {pdf.make().as_uri()}")
    else:
        address.move(arguments.url)


if __name__ == "__main__":
    main()
