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

from helpers.claims import files
from helpers.randomness import book_seed
from press.notebooks import ROOT, chapters, name

BUILD = ROOT / "_build"
SECONDS_PER_CELL = 600


def fingerprint(root=ROOT):
    """A hash of what the chapters rest on besides their own code, which is the cache's own key."""
    inputs = [*sorted((root / "helpers").rglob("*.py")), root / "requirements.txt", *files(root / "chapters")]
    digest = hashlib.sha256(f"{book_seed()} {sys.version}".encode())
    for path in inputs:
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def execute(root=ROOT):
    """Execute every chapter that the cache, `_build/.jupyter_cache`, does not hold; stop where one fails.

    Returns, by name, the executed notebooks with their run times in seconds.
    """
    os.environ["TQDM_DISABLE"] = "1"  # a progress bar on stderr would be a warning on the page
    build, paths = root / "_build", chapters(root)
    build.mkdir(exist_ok=True)
    stamp, now, store = build / "fingerprint", fingerprint(root), build / ".jupyter_cache"
    if not stamp.is_file() or stamp.read_text() != now:
        shutil.rmtree(store, ignore_errors=True)
        stamp.write_text(now)
    cache = get_cache(store)
    waiting = [path for path in paths if not _is_cached(cache, path)]
    workers = os.cpu_count()
    print(f"{len(paths)} chapter(s), {len(waiting)} to run, {workers} at a time", flush=True)
    failed = []
    with ThreadPoolExecutor(workers) as pool:
        jobs = {pool.submit(_run, path): path for path in waiting}
        for number, job in enumerate(as_completed(jobs), 1):
            path, result = jobs[job], job.result()
            print(f"  {number} of {len(waiting)}: {name(path, root)}, {result.time:.0f} s", flush=True)
            if result.err:
                failed.append(f"{name(path, root)}\n{result.exc_string}")
            else:
                bundle = CacheBundleIn(result.nb, str(path), data={"execution_seconds": result.time})
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    if failed:
        raise SystemExit("\n\n".join(["chapters that failed:", *failed]))
    return {name(path, root): _cached(cache, path) for path in paths}


def _is_cached(cache, path):
    try:
        return bool(cache.match_cache_notebook(nbformat.read(path, as_version=4)))
    except KeyError:
        return False


def _run(path):
    print(f"  runs: {path.stem}", flush=True)
    notebook = nbformat.read(path, as_version=4)
    return single_nb_execution(notebook, cwd=str(path.parent), timeout=SECONDS_PER_CELL, allow_errors=False)


def _cached(cache, path):
    key, notebook = cache.merge_match_into_notebook(nbformat.read(path, as_version=4))
    return notebook, cache.get_cache_record(key).data["execution_seconds"]
