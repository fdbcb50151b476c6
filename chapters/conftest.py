"""A chapter as a test: nbmake runs it in the press's kernel, and what it printed is kept for the book."""

import os
import time
from pathlib import Path

from nbmake import pytest_items

from press import execution

ROOT = Path(__file__).parent.parent
SECONDS_PER_CELL = 600


class Run(pytest_items.NotebookRun):
    def execute(self):
        mark, start = execution.fingerprint(self.filename, ROOT), time.perf_counter()
        self.kernel, self.default_timeout = "book", SECONDS_PER_CELL
        result = super().execute()
        if result.error is None:
            execution.keep(self.filename, result.nb, time.perf_counter() - start, mark, ROOT)
        return result


os.environ["JUPYTER_PATH"] = str(ROOT / "press" / "jupyter")
pytest_items.NotebookRun = Run
