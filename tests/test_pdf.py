"""The book in print: one page out of many, its anchors, links, contents and numbers."""

import io

import pytest
from bs4 import BeautifulSoup
from pypdf import PdfWriter

from press import pdf

HEAD = (
    '<head><link rel="stylesheet" href="{up}_static/a.css?v=1"><script src="{up}_static/mathjax/m.js"></script></head>'
)
PAGES = {
    "index": """<section id="book"><h1>Book<a class="headerlink" href="#book">#</a></h1>
        <div class="toctree-wrapper">list</div><a href="part/one.html#sum">sum</a></section>""",
    "part/one": """<section id="one"><h1>One &amp; all</h1>
        <section id="sum"><h2>Sum</h2>
        <a href="#ex">here</a><a href="two.html">there</a><a href="../index.html">up</a>
        <a href="https://example.org/x">out</a><a href="../_sources/one.txt">source</a>
        <img src="../_images/p.png" alt="p">
        <figure class="frame-slider"><div>
        <img src="data:image/png;base64,AA" hidden><img src="data:image/png;base64,BB"></div>
        <label><span>k</span><input type="range"><output><span hidden>1</span><span>2</span></output></label></figure>
        <details class="hide"><pre>set up</pre></details><details><p>folded</p></details></section>
        <section id="tasks"><h2>Tasks</h2><div id="ex">Task</div>
        <div class="solution" id="s">So <a href="#ex">it is</a></div>
        <p>after</p></section></section>""",
    "part/two": '<section id="two"><h1>Two</h1><section id="sum"><h2>Sum</h2></section></section>',
}
TOC = "root: index\nparts:\n  - caption: Part\n    chapters:\n      - file: part/one\n      - file: part/two\n"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "_toc.yml").write_text(TOC)
    (tmp_path / "_config.yml").write_text("title: Checks & more\nauthor: Us\ncopyright: '2026'\n")
    for name, article in PAGES.items():
        path = tmp_path / "html" / f"{name}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        head = HEAD.replace("{up}", "../" * name.count("/"))
        path.write_text(
            f"<html>{head}<body><nav>menu</nav><article class='bd-article'>{article}</article></body></html>"
        )
    return tmp_path


@pytest.fixture
def printed(root):
    return BeautifulSoup(pdf.assemble(root / "html", root, {"part--one": 7, "part--one--tasks": 9}), "html.parser")


def test_the_articles_stand_in_order_in_the_light_theme(printed):
    assert [article["id"] for article in printed.select("article")] == ["index", "part--one", "part--two"]
    assert printed.html["data-theme"] == "light"
    assert "menu" not in printed.text
    assert printed.title.text == "Checks & more"


def test_anchors_are_unique_and_every_link_inside_arrives(printed):
    anchors = [element["id"] for element in printed.select("[id]")]
    assert len(anchors) == len(set(anchors))
    inside = [link["href"] for link in printed.select("a[href^='#']")]
    assert {href.removeprefix("#") for href in inside} <= set(anchors)
    links = {link.text: link["href"] for link in printed.select("article a")}
    assert links == {
        "sum": "#part--one--sum",
        "here": "#part--one--ex",
        "there": "#part--two",
        "up": "#index",
        "out": "https://example.org/x",
        "it is": "#part--one--ex",
    }
    assert "source" in printed.text


def test_styles_formulas_and_pictures_are_found_from_beside_the_built_book(printed):
    assert [sheet["href"] for sheet in printed.select("link")] == ["html/_static/a.css"]
    assert [script["src"] for script in printed.select("script")] == ["html/_static/mathjax/m.js"]
    assert printed.img["src"] == "html/_images/p.png"


def test_a_slider_is_printed_at_its_start_without_its_input(printed):
    figure = printed.select_one(".frame-slider")
    assert [image["src"][-2:] for image in figure.select("img")] == ["BB"]
    assert figure.select("input, [hidden]") == []
    assert [span.text for span in figure.select("label span")] == ["k", "2"]


def test_what_only_a_screen_can_use_is_left_out_and_what_is_folded_is_open(printed):
    assert printed.select("article .headerlink, article .toctree-wrapper, article button") == []
    assert "set up" not in printed.text
    assert [details.has_attr("open") for details in printed.select("details")] == [True]


def test_solutions_close_their_chapter(printed):
    assert [article.select("h2")[-1].text for article in printed.select("article:has(.solution)")] == ["Solutions"]
    last = printed.select_one("article#part--one > section:last-child")
    assert [solution["id"] for solution in last.select(".solution")] == ["part--one--s"]
    assert len(printed.select(".solution")) == 1


def test_the_contents_name_parts_chapters_and_sections_with_their_numbers(printed):
    assert [line.text for line in printed.select("nav > *")] == [
        "Contents",
        "Book",
        "Part",
        "One & all7",
        "Sum",
        "Tasks9",
        "Two",
        "Sum",
    ]


def test_the_number_of_a_page_is_read_from_the_pdf():
    writer, found = PdfWriter(), io.BytesIO()
    for _ in range(3):
        writer.add_blank_page(100, 100)
    writer.add_named_destination("index", 0)
    writer.add_named_destination("part--one", 2)
    writer.write(found)
    assert pdf.pages_of(found.getvalue()) == {"index": 1, "part--one": 3}


def test_without_a_built_book_nothing_is_printed(tmp_path):
    with pytest.raises(SystemExit, match="run `make book` first"):
        pdf.make(tmp_path)
