"""Runs the chapters in parallel into the cache from which the book is then built."""

import hashlib
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution

from helpers.randomness import book_seed
from press.notebooks import ROOT, chapters, name

BUILD = ROOT / "_build"
CACHE = BUILD / ".jupyter_cache"
SECONDS_PER_CELL = 600


def fingerprint(root=ROOT):
    """A hash of what the chapters rest on besides their own code, which is the cache's own key."""
    inputs = [*sorted((root / "helpers").glob("*.py")), root / "requirements.txt", root / "chapters" / "claims.yml"]
    digest = hashlib.sha256(f"{book_seed()} {sys.version}".encode())
    for path in inputs:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def execute():
    """Execute every chapter that the cache does not hold; stop with its error where one fails.

    Returns, by name, the executed notebooks with their run times in seconds.
    """
    BUILD.mkdir(exist_ok=True)
    stamp = BUILD / "fingerprint"
    if not stamp.is_file() or stamp.read_text() != fingerprint():
        shutil.rmtree(CACHE, ignore_errors=True)
        stamp.write_text(fingerprint())
    cache = get_cache(CACHE)
    waiting = [path for path in chapters() if not _is_cached(cache, path)]
    workers = os.cpu_count()
    print(f"{len(chapters())} chapter(s), {len(waiting)} to run, {workers} at a time", flush=True)
    failed = []
    with ThreadPoolExecutor(workers) as pool:
        jobs = {pool.submit(_run, path): path for path in waiting}
        for number, job in enumerate(as_completed(jobs), 1):
            path, result = jobs[job], job.result()
            print(f"  {number} of {len(waiting)}: {name(path)}, {result.time:.0f} s", flush=True)
            if result.err:
                failed.append(f"{name(path)}\n{result.exc_string}")
            else:
                bundle = CacheBundleIn(result.nb, str(path), data={"execution_seconds": result.time})
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    if failed:
        raise SystemExit("\n\n".join(["chapters that failed:", *failed]))
    return {name(path): _cached(cache, path) for path in chapters()}


def _is_cached(cache, path):
    try:
        return bool(cache.match_cache_notebook(nbformat.read(path, as_version=4)))
    except KeyError:
        return False


def _run(path):
    print(f"  runs: {name(path)}", flush=True)
    notebook = nbformat.read(path, as_version=4)
    return single_nb_execution(notebook, cwd=str(path.parent), timeout=SECONDS_PER_CELL, allow_errors=False)


def _cached(cache, path):
    key, notebook = cache.merge_match_into_notebook(nbformat.read(path, as_version=4))
    return notebook, cache.get_cache_record(key).data["execution_seconds"]
