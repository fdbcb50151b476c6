"""A headless Chromium without a network."""

import shutil

import pytest
from reader import HTML, Page
from selenium import webdriver

from press.notebooks import ROOT, contents
from press.pdf import OPTIONS

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """The browser: one for a whole session."""
    if not (HTML / "index.html").is_file():
        pytest.fail("There is no built book in _build/html: run `make book` first.")
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if missing := [name for name, path in programs.items() if path is None]:
        pytest.fail(f"Not on the PATH: {missing}. On Debian: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = programs["chromium"]
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    profile = f"--user-data-dir={tmp_path_factory.mktemp('profile')}"
    for option in (*OPTIONS.split(), "--window-size=1300,900", "--host-resolver-rules=MAP * ~NOTFOUND", profile):
        options.add_argument(option)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(programs["chromedriver"]))
    driver.set_script_timeout(180)  # axe reads each cell of a ledger of hundreds of claims
    yield driver
    driver.quit()


@pytest.fixture(scope="session", params=contents())
def page(request, chromium):
    """Every page in turn: loaded once, then read by all tests that ask for it."""
    return Page(request.param, chromium).open().unfold()


@pytest.fixture
def open_page(chromium):
    """Opens a page by its name, for a test that acts on it."""
    return lambda name, query="": Page(name, chromium).open(query)


@pytest.fixture(scope="session")
def axe():
    if not AXE.is_file():
        pytest.fail("axe-core is not installed: run `make browser`, or `npm install`.")
    return AXE.read_text(encoding="utf-8")
