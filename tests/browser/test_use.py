"""What a reader does with the built book: search, open, slide, follow, darken."""

import json
import re
from collections import Counter
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import pytest
from reader import HTML, parsed
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from press.notebooks import ROOT, chapters, configuration, contents

pytestmark = pytest.mark.browser

CHAPTERS = [path.relative_to(ROOT).with_suffix("").as_posix() for path in chapters()]
TARGETS = "a[href*='#check-']"


@pytest.fixture(scope="module")
def ledger(chromium):
    return json.loads((HTML.parent / "ledger.json").read_text(encoding="utf-8"))


def first_with(selector):
    """The name of the first page on which something matches."""
    for name in contents():
        if parsed(HTML / f"{name}.html").select_one(selector):
            return name
    return pytest.fail(f"No page of the book has {selector}")


def test_search_finds_the_likelihood(open_page):
    page = open_page("search", "?q=likelihood")
    links = WebDriverWait(page.driver, 10).until(lambda _: page.all("#search-results li a"))
    assert any(name in link.get_attribute("href") for link in links for name in CHAPTERS)


def test_a_solution_is_closed_until_asked_for(chromium, open_page):
    page = open_page(first_with(".solution.dropdown"))
    [title, *_], [content, *_] = (page.all(f".solution.dropdown > {part}") for part in (".admonition-title", "section"))
    assert not content.is_displayed()
    title.find_element("css selector", "button").click()
    assert content.is_displayed()


def test_a_slider_follows_the_arrow_keys(chromium, open_page):
    page = open_page(first_with("figure.frame-slider"))
    slider = page.all("figure.frame-slider input[type=range]")[0]
    shown = "return [...arguments[0].closest('figure').querySelectorAll('img')].map((image) => image.checkVisibility())"
    start = int(slider.get_attribute("value"))
    for key, position in ((Keys.ARROW_LEFT, start - 1), (Keys.ARROW_RIGHT, start)):
        slider.send_keys(key)
        assert [i for i, seen in enumerate(page.run(shown, slider)) if seen] == [position]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_colab_opens_the_chapter(chromium, chapter):
    repository = configuration()["repository"]
    place = repository["url"].removeprefix("https://github.com/")
    links = [link["href"] for link in parsed(HTML / f"{chapter}.html").select("a[href*='colab.research.google.com']")]
    assert links == [f"https://colab.research.google.com/github/{place}/blob/{repository['branch']}/{chapter}.ipynb"]


def test_the_button_switches_dark_and_light(open_page):
    page = open_page("index")
    seen = {}
    for _ in range(3):
        page.all(".theme-switch-button")[0].click()
        theme = page.run("return document.documentElement.dataset.theme")
        seen[theme] = page.run("return getComputedStyle(document.body).backgroundColor")
    assert set(seen) == {"light", "dark"}
    assert seen["light"] != seen["dark"]


@pytest.mark.parametrize("selector", [".cell_output > figure img, .cell_output > img", "figure.frame-slider img"])
def test_a_figure_takes_the_ground_of_the_page(chromium, open_page, selector):
    page = open_page(first_with(selector))
    picture = next(image for image in page.all(selector) if image.is_displayed())
    colours = {}
    for theme in ("light", "dark"):
        page.show(theme)
        ground = page.run("return getComputedStyle(document.body).backgroundColor")
        pixels = plt.imread(BytesIO(picture.screenshot_as_png))[..., :3] * 255
        np.testing.assert_allclose(pixels[8, 8], [float(v) for v in re.findall(r"[\d.]+", ground)[:3]], atol=1.5)
        colours[theme] = pixels
    assert colours["light"].min() < 80  # ink
    assert colours["dark"].max() > 230
    assert np.median(colours["dark"]) < 40


def test_the_front_page_counts_what_the_ledger_holds(open_page, ledger):
    text = open_page("index").all("article")[0].text
    count = Counter(entry["verdict"] for entry in ledger if entry["lecture"] != "book")
    assert f"make {count.total()} claims" in text
    assert f"{len(ledger) - count.total()} claims of our own" in text
    assert all(re.search(rf"\b{verdict}: {number}\b", text) for verdict, number in count.items())


def test_pages_made_from_the_ledger_lead_to_cards(ledger):
    checked = [entry for entry in ledger if entry["checks"]]
    wrong = [entry for entry in checked if entry["verdict"] == "wrong as printed"]
    for name, entries in (("ledger", checked), ("lecture-map", checked), ("errata", wrong)):
        path = HTML / "chapters" / "appendix" / f"{name}.html"
        links = [link["href"].split("#") for link in parsed(path).select(TARGETS)]
        cards = [parsed((path.parent / file).resolve()).find(id=anchor) for file, anchor in links]
        assert all(card and "check-card" in card["class"] for card in cards)
        assert len(cards) == len(entries) > 0


def test_ledger_and_errata_are_published_as_data(ledger):
    for name in ("ledger", "errata"):
        page = HTML / "chapters" / "appendix" / f"{name}.html"
        (link,) = {link["href"] for link in parsed(page).select(f"article a[href$='{name}.json']")}
        data = json.loads((page.parent / link).read_text(encoding="utf-8"))
        ids = [entry["id"] for entry in data]
        if name == "ledger":
            assert ids == [entry["id"] for entry in ledger]
        else:
            assert all(parsed(page).find(id=entry["id"]) for entry in data)
            assert len(set(ids)) == len(ids) > 0


def visible(page):
    """The texts of the rows that the ledger shows, cell by cell."""
    rows = "return [...document.querySelectorAll('table.ledger tbody tr')].filter((row) => row.checkVisibility())"
    return page.run(f"{rows}.map((row) => [...row.cells].map((cell) => cell.textContent.trim()))")


def control(page, label):
    labels = "[...document.querySelectorAll('form.ledger-controls label')]"
    return page.run(f"return {labels}.find((label) => label.firstChild.data === arguments[0]).lastChild", label)


@pytest.fixture
def table(open_page):
    return open_page("chapters/appendix/ledger")


def test_the_ledger_is_whole_without_scripts(ledger):
    rows = parsed(HTML / "chapters" / "appendix" / "ledger.html").select("table.ledger tbody tr")
    assert len(rows) == len(ledger)


def test_the_ledger_searches_and_filters_together(table, ledger):
    wrong = [entry for entry in ledger if entry["verdict"] == "wrong as printed"]
    status = table.all("form.ledger-controls output")[0]
    control(table, "Verdict").send_keys("✗")
    assert len(visible(table)) == len(wrong)
    assert status.text == f"{len(wrong)} of {len(ledger)} claims"
    control(table, "Find").send_keys("Derivative NEGATIVE")
    rows = visible(table)
    assert 0 < len(rows) < len(wrong)
    assert all("derivative" in " ".join(row).lower() and "wrong as printed" in row[4] for row in rows)
    table.all("form.ledger-controls button[type=reset]")[0].send_keys(Keys.ENTER)
    table.settle()
    assert len(visible(table)) == len(ledger)


def test_the_ledger_sorts_up_down_and_back(table):
    original = visible(table)
    button = table.all("table.ledger th:nth-child(8) button")[0]
    for order in ("ascending", "descending"):
        button.send_keys(Keys.ENTER)
        assert table.all("table.ledger th:nth-child(8)")[0].get_attribute("aria-sort") == order
        texts = [row[7] for row in visible(table)]
        numbers = [float(text.replace("−", "-")) for text in texts if text]
        assert numbers == sorted(numbers, reverse=order == "descending")
        assert texts[: len(numbers)] == [text for text in texts if text], "rows without a number come last"
    button.send_keys(Keys.ENTER)
    assert visible(table) == original
