"""The book in print: all its pages as one, which Chromium prints twice, the second time with page numbers.

Light theme, every slider at its start, solutions at the end of their chapter, no control that only a screen can use.
"""

import base64
import io
import shutil
import tempfile
from html import escape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup
from pypdf import PdfReader
from selenium import webdriver

from press.execution import BUILD
from press.notebooks import ROOT, configuration, contents

OPTIONS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync
--disable-background-networking --disable-component-update"""
SECONDS = 1800  # for each step of the printing
DROPPED = "script, button, input, select, a.headerlink, .toctree-wrapper, details.hide, [hidden]"
FOOT = '<div style="width:100%;text-align:center;font:8pt sans-serif;color:#555"><span class="pageNumber"></span></div>'
PAPER = {
    "preferCSSPageSize": True,
    "printBackground": True,
    "displayHeaderFooter": True,
    "headerTemplate": "<span></span>",
    "footerTemplate": FOOT,
    "generateDocumentOutline": True,
}
READY = """
const done = arguments[0];
const shrink = () => document.querySelectorAll("mjx-container").forEach((formula) => {
  const ratio = formula.closest("p, li, dd, td, div").clientWidth / formula.scrollWidth;
  if (ratio < 1) formula.style.fontSize = `${100 * ratio}%`;
});
const pictures = [...document.images].map((image) => image.decode().catch(() => {}));
Promise.all([window.MathJax?.startup.promise, ...pictures]).then(shrink).then(() => done());
"""


def assemble(html, root=ROOT, numbers=None):
    """The page to be printed, as text: title, contents, then the article of every page of `_toc.yml`, in its order.

    `html` is the folder of the built book, beside which the page is to lie; `numbers` gives the page of the PDF on
    which each anchor stands, for the contents. Anchors get their page's name in front, links go to them; a link to a
    file that is not printed becomes text.
    """
    pages = contents(root)
    places = {(html / f"{page}.html").resolve(): page for page in pages}
    soups = {page: BeautifulSoup((html / f"{page}.html").read_text("utf-8"), "html.parser") for page in pages}
    articles = {page: _printable(soup.select_one("article"), page, places, html) for page, soup in soups.items()}
    setting = configuration(root)
    head = dict.fromkeys(line for page, soup in soups.items() for line in _head(soup, html, html / f"{page}.html"))
    style = (Path(__file__).parent / "print.css").read_text("utf-8")
    return "\n".join(
        [
            '<!DOCTYPE html><html lang="en" data-theme="light" data-mode="light"><head><meta charset="utf-8">',
            f"<title>{escape(setting['title'])}</title>",
            *head,
            f'<style>{style}</style></head><body><main class="bd-content"><div class="bd-article-container">',
            f'<header class="title-page"><p>{escape(setting["title"])}</p><p>{escape(str(setting["author"]))}</p>',
            f"<p>{escape(str(setting['copyright']))}</p></header>",
            f'<nav class="printed-contents"><p>Contents</p>{"".join(_contents(articles, root, numbers or {}))}</nav>',
            *(str(article) for article in articles.values()),
            "</div></main></body></html>",
        ]
    )


def anchor(page, fragment=""):
    """The anchor in print of what `fragment` names on a page: of the page itself where there is none."""
    return f"{page}/{fragment}".rstrip("/").replace("/", "--")


def _printable(article, page, places, html):
    for element in article.select(DROPPED):
        element.decompose()
    for details in article.select("details"):
        details["open"] = ""
    here = html / f"{page}.html"
    for element in article.select("[id]"):
        element["id"] = anchor(page, element["id"])
    for element in article.select("[src]"):
        if not urlsplit(element["src"]).scheme:
            element["src"] = _beside(html, here, element["src"])
    for link in article.select("a[href]"):
        target = _inside(link["href"], here, places)
        if target is None:
            link.unwrap()
        else:
            link["href"] = target
    _solutions_last(article)
    article["id"] = anchor(page)
    return article


def _inside(href, here, places):
    """Where a link of the page `here` leads in print: an address, an anchor, or None for what is not printed."""
    parts = urlsplit(href)
    if parts.scheme or parts.netloc:
        return href
    path = (here.parent / unquote(parts.path)).resolve() if parts.path else here.resolve()
    return f"#{anchor(places[path], unquote(parts.fragment))}" if path in places else None


def _solutions_last(article):
    solutions = article.select(".solution")
    if solutions:
        last = BeautifulSoup('<section class="solutions"><h2>Solutions</h2></section>', "html.parser").section
        last.extend(solution.extract() for solution in solutions)
        article.append(last)


def _beside(html, here, address):
    return f"{html.name}/{(here.parent / unquote(urlsplit(address).path)).resolve().relative_to(html.resolve())}"


def _head(soup, html, here):
    """The style sheets of a built page, and what typesets its formulas."""
    for sheet in soup.select("head link[rel~=stylesheet]"):
        yield f'<link rel="stylesheet" href="{_beside(html, here, sheet["href"])}">'
    for script in soup.select("script"):
        if "mathjax" in script.get("src", ""):
            yield f'<script defer src="{_beside(html, here, script["src"])}"></script>'
        elif script.text.strip().startswith("window.MathJax"):
            yield str(script)


def _contents(articles, root, numbers):
    toc = yaml.safe_load((root / "_toc.yml").read_text("utf-8"))
    parts = {part["chapters"][0]["file"]: part["caption"] for part in toc.get("parts", [])}
    for page, article in articles.items():
        if page in parts:
            yield f"<h2>{escape(parts[page])}</h2>"
        yield _line("chapter", anchor(page), article.h1, numbers)
        for section in article.select("section > section[id]:has(> h2)"):
            yield _line("section", section["id"], section.h2, numbers)


def _line(kind, place, title, numbers):
    number = f"<span>{numbers.get(place, '')}</span>"
    return f'<p class="{kind}"><a href="#{place}">{title.decode_contents()}</a>{number}</p>'


def pages_of(pdf):
    """The number, from 1, of the page on which each anchor of a printed page stands."""
    reader = PdfReader(io.BytesIO(pdf))
    places = reader.named_destinations.items()
    return {unquote(name.lstrip("/")): reader.get_destination_page_number(place) + 1 for name, place in places}


def make(build=BUILD, root=ROOT):
    """Write `book.pdf` into `build`, from the book in its folder `html`, and return its path."""
    if not (build / "html" / "index.html").is_file():
        raise SystemExit("there is no built book: run `make book` first")
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if missing := [name for name, path in programs.items() if path is None]:
        raise SystemExit(f"not on the PATH: {missing}. On Debian: apt install chromium chromium-driver")
    page, numbers = build / "print.html", {}
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = programs["chromium"]
        for option in (*OPTIONS.split(), f"--user-data-dir={profile}"):
            options.add_argument(option)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(programs["chromedriver"]))
        try:
            for _ in range(3):
                page.write_text(assemble(build / "html", root, numbers), "utf-8")
                pdf = _print(driver, page)
                before, numbers = numbers, pages_of(pdf)
                if numbers == before:
                    break
            else:
                raise SystemExit("the page numbers in the contents do not settle")
        finally:
            driver.quit()
    (build / "book.pdf").write_bytes(pdf)
    return build / "book.pdf"


def _print(driver, page):
    driver.set_page_load_timeout(SECONDS)
    driver.set_script_timeout(SECONDS)
    driver.command_executor.client_config.timeout = SECONDS
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    width = {"width": 658, "height": 900, "deviceScaleFactor": 1, "mobile": False}  # that of A4 less its margins
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", width)
    driver.get(page.as_uri())
    driver.execute_async_script(READY)
    return base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", PAPER)["data"])
