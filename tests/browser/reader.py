"""The pages of the built book: as files, and as the browser shows them."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bs4 import BeautifulSoup
from selenium import webdriver

from press.notebooks import ROOT

HTML = ROOT / "_build" / "html"
STILL = "* { transition: none !important; scroll-behavior: auto !important }"


@cache
def parsed(path):
    """The HTML file at `path` as it stands on disk."""
    return BeautifulSoup(Path(path).read_text(encoding="utf-8"), "html.parser")


@dataclass
class Page:
    """A page of the book, open in the browser."""

    name: str
    driver: webdriver.Chrome
    requests: tuple = ()
    errors: tuple = ()

    @property
    def path(self):
        return HTML / f"{self.name}.html"

    @property
    def article(self):
        return parsed(self.path).select_one("article")

    def open(self, query=""):
        """Load the page at 1300 px in its light theme, typeset it, and note what it asked for and complained of."""
        self.resize(1300)
        for log in ("performance", "browser"):
            self.driver.get_log(log)
        self.driver.get(self.path.as_uri() + query)
        self.driver.execute_async_script(
            "const done = arguments[0]; window.MathJax ? MathJax.startup.promise.then(() => done()) : done()"
        )
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
        self.requests = tuple(params["request"]["url"] for params in sent)
        self.errors = tuple(entry for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE")
        self.run("localStorage.clear()")
        self.run("document.head.appendChild(document.createElement('style')).textContent = arguments[0]", STILL)
        self.show("light")
        return self

    def unfold(self):
        """Open whatever is folded, so that all of the page is seen."""
        folded = "summary, .toggle-hidden > .admonition-title"
        self.run("document.querySelectorAll(arguments[0]).forEach((title) => title.click())", folded)
        return self

    def show(self, theme):
        self.run("document.documentElement.dataset.mode = document.documentElement.dataset.theme = arguments[0]", theme)

    def resize(self, width):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def settle(self):
        """Wait for the theme, which looks 0.3 s after a change for what has come to scroll."""
        self.driver.execute_async_script("setTimeout(arguments[0], 400)")

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)
