from html.parser import HTMLParser
from itertools import combinations

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers.figures import COLOURS, Slider, slider, use_style

matplotlib.use("Agg")


class Tags(HTMLParser):
    """The tags of a page with their attributes, and the text between them."""

    def __init__(self, html):
        super().__init__()
        self.found, self.texts, self.open = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in ("img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture
def style():
    with matplotlib.rc_context():
        yield use_style()
    plt.close("all")


def draw(value):
    plt.plot([0, 1], [0, value])


def made(values=(0.5, 1.0, 2.0), draw=draw, label="slope", describe=lambda value: f"A line of slope {value}", **more):
    return slider(draw, values, label, describe, **more)


def test_there_is_one_picture_a_value_and_one_is_shown(style):
    images = Tags(made()._repr_html_()).all("img")
    assert [image["alt"] for image in images] == [f"A line of slope {v}" for v in (0.5, 1.0, 2.0)]
    assert ["hidden" in image for image in images] == [True, False, True]
    assert len({image["src"] for image in images}) == 3
    assert all(image["src"].startswith("data:image/png;base64,iVBOR") for image in images)


@pytest.mark.parametrize("start", [0, 1, 2])
def test_the_range_input_begins_where_it_is_told(style, start):
    page = Tags(made(start=start)._repr_html_())
    (entry,) = page.all("input")
    assert {key: entry[key] for key in ("type", "min", "max", "value", "aria-label")} == {
        "type": "range",
        "min": "0",
        "max": "2",
        "value": str(start),
        "aria-label": "slope",
    }
    assert ["hidden" in image for image in page.all("img")] == [i != start for i in range(3)]
    assert page.open == []


def test_pictures_and_values_move_together_without_a_kernel(style):
    page = Tags(made()._repr_html_())
    assert sum("data-frames" in attributes for _, attributes in page.found) == 2
    assert "[data-frames]" in page.all("input")[0]["oninput"]
    assert [text for text in page.texts if text in ("0.5", "1", "2")] == ["0.5", "1", "2"]


def test_the_slider_needs_no_network(style):
    html = made()._repr_html_()
    assert "http://" not in html
    assert "https://" not in html
    assert "//" not in html.replace("base64,", "").split("oninput")[1]


def test_text_is_escaped(style):
    sly = '"><script>alert(1)</script> & more'
    page = Tags(made(label=sly, describe=lambda value: sly, values=[sly, "b"])._repr_html_())
    assert page.all("script") == []
    assert {image["alt"] for image in page.all("img")} == {sly}
    assert page.all("input")[0]["aria-label"] == sly
    assert page.texts.count(sly) == 2


def test_the_terminal_shows_label_and_values(style):
    assert repr(made(values=[1, 0.25, "auto"])) == "Slider over slope: 1, 0.25, auto"


def test_the_pictures_are_drawn_now_and_closed(style):
    drawn = []
    found = made(values=np.linspace(1, 2, 5), draw=lambda value: (drawn.append(value), draw(value)))
    assert isinstance(found, Slider)
    assert drawn == [1, 1.25, 1.5, 1.75, 2]
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"values": []}, r"values: wanted two or more, got \[\]"),
        ({"values": [1.0]}, r"values: wanted two or more, got \[1.0\]"),
        ({"start": 3}, "start: wanted a position from 0 to 2, got 3"),
        ({"start": -1}, "start: wanted a position from 0 to 2, got -1"),
        ({"start": 1.0}, "start: wanted a position from 0 to 2, got 1.0"),
        ({"start": "first"}, "start: wanted a position from 0 to 2, got first"),
        ({"describe": lambda value: ""}, "describe: wanted a sentence for each value, got ''"),
        ({"describe": lambda value: "  "}, "describe: wanted a sentence for each value, got '  '"),
        ({"describe": lambda value: None}, "describe: wanted a sentence for each value, got None"),
        ({"label": " "}, "label: wanted a text that says what moves, got ' '"),
        ({"label": None}, "label: wanted a text that says what moves, got None"),
        ({"draw": lambda value: None}, "draw: wanted a picture on the current figure, got an empty figure for 0.5"),
        ({"draw": lambda value: plt.subplots()}, "draw: wanted a picture on the current figure, got an empty figure"),
    ],
)
def test_a_slider_refuses(style, bad, message):
    with pytest.raises(ValueError, match=message):
        made(**bad)


def test_the_style_is_white_with_the_books_colours(style):
    assert matplotlib.rcParams["figure.facecolor"] == "white"
    assert list(matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]) == list(COLOURS.values())


WHITE, DARK = np.ones(3), np.full(3, 0x12 / 255)  # the page's two grounds
INK = {"text": "black", **COLOURS}


def rgb(colour):
    return np.array(matplotlib.colors.to_rgb(colour))


def turned(colour):
    """A figure's colour on the page in the dark, as `_static/book.css` makes it: inverted, its hue put back, screened.

    The matrix is that of `hue-rotate(180deg)` in the filter effects of CSS: it keeps the luma and turns the rest round.
    """
    luma = np.array([0.213, 0.715, 0.072])
    inverted = 1 - rgb(colour)
    found = np.clip(2 * luma @ inverted - inverted, 0, 1)
    return 1 - (1 - found) * (1 - DARK)


def contrast(colour, ground):
    def luminance(values):
        linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    low, high = sorted([luminance(colour), luminance(ground)])
    return (high + 0.05) / (low + 0.05)


def test_in_the_dark_the_white_ground_is_the_pages_and_hues_stay():
    np.testing.assert_allclose(turned("white"), DARK, atol=1e-12)
    np.testing.assert_allclose(turned("black"), WHITE, atol=1e-12)
    for name in ("blue", "orange", "green", "purple", "yellow"):
        before, after = (
            matplotlib.colors.rgb_to_hsv(colour)[0] for colour in (rgb(COLOURS[name]), turned(COLOURS[name]))
        )
        assert abs((after - before + 0.5) % 1 - 0.5) < 1 / 12, name


@pytest.mark.parametrize("name", INK)
def test_every_colour_is_seen_on_both_grounds(name):
    enough = 4.5 if name == "text" else 3
    assert contrast(rgb(INK[name]), WHITE) >= enough
    assert contrast(turned(INK[name]), DARK) >= enough


def test_no_two_colours_come_nearer_in_the_dark():
    def nearest(seen):
        return min(np.linalg.norm(seen(a) - seen(b)) for a, b in combinations(INK.values(), 2))

    assert nearest(turned) >= nearest(rgb) >= 0.2
