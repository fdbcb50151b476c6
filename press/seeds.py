"""The margins of every check under many seeds: each chapter as plain Python, one process a run, no kernel."""

import json
import multiprocessing
import os
import sys
import time
import traceback
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from types import SimpleNamespace

import nbformat
from scipy import stats

from press.notebooks import ROOT, chapters, name

HALF = 0.5
FALSE_ALARMS = 1e-3
PART_OF_THE_BOOK = 474
LOOSE = 100
ROUNDING = 1e-12


def run(path, seed):
    """The checks of the chapter at `path` under `seed`, as records, with what stopped it, if anything did."""
    os.environ.update(BOOK_SEED=str(seed), TQDM_DISABLE="1", MPLBACKEND="agg")
    import matplotlib.pyplot as plt
    import torch
    from IPython.display import display

    from helpers import checks

    torch.set_num_threads(1)
    os.chdir(path.parent)
    found, check = [], checks.check

    def keep(claim, **arguments):
        result = check(claim, **arguments)
        found.append(result.record() | {"expected size": result.cases})
        return result

    checks.check, plt.show = keep, lambda: plt.close("all")
    error, start = "", time.perf_counter()
    namespace = {"__name__": "__main__", "display": display}
    try:
        for position, cell in enumerate(nbformat.read(path, as_version=4).cells):
            if cell.cell_type == "code":
                exec(compile(cell.source, f"{name(path)}, cell {position}", "exec"), namespace)
    except Exception:
        error = traceback.format_exc(limit=-1)
    return SimpleNamespace(chapter=name(path), seed=seed, found=found, error=error, time=time.perf_counter() - start)
