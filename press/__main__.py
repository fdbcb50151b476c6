"""Command line of the press: `book` builds the book, `pdf` prints it, `seeds` tries checks, `times` chapters."""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys

from helpers.randomness import book_seed
from press import address, ledger, pdf, seeds
from press.execution import BUILD, execute, fingerprint
from press.notebooks import ROOT, chapters, contents, limit, name


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


def try_seeds(numbers, wanted):
    """Run the chapters whose names begin with a `wanted` word, or all, under each seed, and print their margins; what
    ran before, and has not changed since, is taken as it was."""
    paths = [path for path in chapters() if not wanted or name(path).startswith(tuple(wanted))]
    if not paths:
        raise SystemExit(f"chapters: wanted the beginning of a chapter's name, got {wanted}")
    found = []
    for done in seeds.resumed(paths, numbers, BUILD / "seeds", fingerprint):
        found.append(done)
        print(f"  {len(found)} of {len(paths) * len(numbers)}: {done.chapter}, seed {done.seed}, ", end="")
        print(f"{done.seconds:.0f} s{', FAILED' if done.error else ''}", flush=True)
    lines, kept = seeds.report(found)
    print("\n".join(lines))
    if not kept:
        raise SystemExit("the margins are not kept")


def hold_times():
    """Run each chapter alone and print its seconds, with the limit that it may take."""
    late = 0
    for path in chapters():
        (done,) = seeds.runs([path], [book_seed()])
        late += done.seconds > limit(path) or bool(done.error)
        print(f"  {done.chapter}: {done.seconds:.0f} s of {limit(path)}{', FAILED' if done.error else ''}", flush=True)
    if late:
        raise SystemExit(f"chapters that failed or take too long: {late}")


def _write(file, value):
    (BUILD / file).write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(prog="python -m press", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("book", help="execute the chapters and build the book")
    commands.add_parser("pdf", help="print the built book into _build/book.pdf")
    move = commands.add_parser("address", help="write the repository's address everywhere")
    move.add_argument("url", help="as a browser shows it: https://github.com/someone/generative-modelling-checked")
    many = commands.add_parser("seeds", help="the margins of every check under many seeds")
    many.add_argument("--seeds", type=int, nargs="+", default=list(range(40)), help="default: 0 to 39")
    many.add_argument("--chapters", nargs="+", default=[], help="beginnings of chapters' names; default: all")
    commands.add_parser("times", help="run each chapter alone and hold it to its limit")
    arguments = parser.parse_args()
    if arguments.command == "book":
        book()
    elif arguments.command == "seeds":
        try_seeds(arguments.seeds, arguments.chapters)
    elif arguments.command == "times":
        hold_times()
    elif arguments.command == "pdf":
        print(f"The book in print is at {pdf.make().as_uri()}")
    else:
        address.move(arguments.url)


if __name__ == "__main__":
    main()
