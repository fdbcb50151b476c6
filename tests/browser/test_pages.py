"""Every page of the built book, as a reader without a network meets it in Chromium."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from reader import HTML, parsed

pytestmark = pytest.mark.browser

CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
LOADED = "script[src], link[rel~=stylesheet], link[rel~=preload], link[rel~=icon], img[src], iframe[src], source[src]"
SERIOUS = """
const done = arguments[0];
axe.run({resultTypes: ["violations"]}).then((result) => done(result.violations
  .filter(({impact}) => ["serious", "critical"].includes(impact))
  .map(({id, nodes}) => `${id}: ${nodes.length}, first ${nodes[0].html.slice(0, 200)} ${nodes[0].failureSummary}`)));
"""
PROSE = """
const body = document.body.cloneNode(true);
body.querySelectorAll("script, style, pre, code, mjx-container").forEach((node) => node.remove());
return body.textContent;
"""
SEEN = """
const inside = ({left, right}) => right > 0 && left < innerWidth;
return [...document.querySelectorAll(arguments[0])]
  .filter((element) => element.checkVisibility() && inside(element.getBoundingClientRect())).length;
"""
OWN = ("file", "data", "blob", "about", "chrome")  # of the page, and of the browser before it opens one
SEARCHES = "input[type=search], .search-button, .search-button-field, .search-button__button"


def test_asks_no_other_host(page):
    assert not [url[:200] for url in page.requests if urlsplit(url).scheme not in OWN]
    named = [tag.get("src") or tag.get("href") for tag in parsed(page.path).select(LOADED)]
    assert not [url for url in named if re.match(r"(https?:)?//", url)]


def test_complains_of_nothing(page):
    assert page.errors == ()


def test_formulas_are_typeset(page):
    bare = "return [...document.querySelectorAll('.math')].filter((e) => !e.querySelector('mjx-container')).length"
    assert page.run(bare) == 0
    wrong = "mjx-merror, [data-mjx-error], merror, mjx-container [mathcolor=red], mjx-container [style*='color: red']"
    assert [element.get_attribute("outerHTML")[:200] for element in page.all(wrong)] == []
    assert re.findall(r".*(?:\$|\\[(\[]|\\begin\{).*", page.run(PROSE)) == []


def test_images_say_what_is_seen(page):
    for image in page.article.select("img"):
        alt = image.get("alt", "")
        assert len(alt) >= 20, f"{image['src'][:80]}: {alt!r}"
        assert len(alt.split()) >= 4, f"{image['src'][:80]}: {alt!r}"
        assert not re.search(r"\.(png|svg|jpe?g)\b", alt), alt


@pytest.mark.parametrize(("theme", "width"), [("light", 1300), ("dark", 390)])
def test_breaks_no_serious_rule_of_accessibility(page, theme, width, axe):
    page.show(theme)
    page.resize(width)
    page.settle()
    page.run(axe)
    assert page.driver.execute_async_script(SERIOUS) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast_suffices(page, theme):
    page.resize(1300)
    page.show(theme)
    assert page.run(CONTRAST) == []


def test_figures_are_turned_over_in_the_dark(page):
    look = "return arguments[0].map(getComputedStyle).map((style) => [style.filter, style.mixBlendMode])"
    for theme, wanted in (("light", ["none", "normal"]), ("dark", ["invert(1) hue-rotate(180deg)", "screen"])):
        page.show(theme)
        pictures = page.all("article img:not(.dark-light)")
        assert all(style == wanted for style in page.run(look, pictures))


@pytest.mark.parametrize("width", [1300, 390])
def test_shows_one_search(page, width):
    page.resize(width)
    assert page.run(SEEN, SEARCHES) == 1


@pytest.mark.parametrize("width", [1300, 390])
def test_does_not_scroll_sideways(page, width):
    page.resize(width)
    assert page.run("return document.scrollingElement.scrollWidth - innerWidth") <= 1


def test_no_formula_is_cut_off_on_a_phone(page):
    page.resize(390)
    page.settle()
    cut = "return [...document.querySelectorAll('.math')].filter((e) => e.scrollWidth > e.clientWidth + 3)"
    assert [formula.text[:60] for formula in page.run(cut)] == []


def test_internal_links_arrive():
    files = sorted(HTML.rglob("*.html"))
    assert files, "There is no built book in _build/html: run `make book` first."
    lost = []
    for path in files:
        for href in (link["href"] for link in parsed(path).select("a[href]")):
            parts = urlsplit(href)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            fragment = unquote(parts.fragment)
            if not target.is_file() or (fragment and not parsed(target).find(id=fragment)):
                lost.append(f"{path.relative_to(HTML)}: {href}")
    assert lost == []
