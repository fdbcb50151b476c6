import re
from xml.etree import ElementTree

import pytest
from IPython.core.formatters import DisplayFormatter

from helpers import cards
from helpers.checks import RECORD, Case, CheckFailed, check, replicates

pytestmark = pytest.mark.usefixtures("record")


def made(claim="talk-sign", **changes):
    sound = {"measured": [2.0, -1e-9], "expected": [2.0, 0.0], "tolerance": 1e-6, "label": "at one",
                 "by": "brute force", "scale": 2, "unit": "of the slope at one",
                 "rivals": {"as printed": [-2.0, 0.0], "a factor dropped": [1.0, 0.0]}}  # fmt: skip
    return check(claim, **{**sound, **changes})


def words(html):
    """What a reader of the page sees: the text of each element, in order."""
    return [text for text in ElementTree.fromstring(html).itertext() if text.strip()]


@pytest.mark.parametrize(
    "card", [lambda r: cards.text(r), lambda r: " ".join(words(cards.html(r)))], ids=["text", "html"]
)
def test_a_card_shows_the_claim_its_place_and_every_number(card):
    shown = card(made())
    for part in ["✓ holds", "talk-sign", ", (2), a slide", "The derivative of x² is 2x.", "exact", "at one"]:
        assert part in shown
    assert re.search(r"measured\s+−1e−09\s+brute force, worst of 2 cases", shown)
    assert re.search(r"expected\s+0\s+5e−10 error, of the slope at one", shown)
    assert re.search(r"rival: as printed\s+−2 against 2\s+rejected, 2 error, of the slope at one, off in 1 of 2", shown)
    assert re.search(
        r"rival: a factor dropped\s+1 against 2\s+rejected, 0\.5 error, of the slope at one, off in 1 of 2", shown
    )


@pytest.mark.parametrize("card", [cards.text, cards.html])
@pytest.mark.parametrize(
    ("relation", "expected", "sign"),
    [("at most", 1.05, "≤"), ("at least", 0.95, "≥"), ("below", 1.5, "&lt;|<"), ("above", 0.5, "&gt;|>")],
)
def test_a_card_shows_which_way_an_inequality_goes(card, relation, expected, sign):
    sharp = {"sharp": 0.1} if relation.startswith("at") else {}
    upper = relation in ("at most", "below")
    result = check("talk-sum", by="library", measured=1.0, expected=expected, relation=relation, tolerance=0.01,
                   **sharp, rivals={"violated": 0.5 if upper else 1.5})  # fmt: skip
    assert re.search(rf"({sign}) {expected}", card(result))


@pytest.mark.parametrize("card", [cards.text, cards.html])
def test_a_card_shows_the_standard_error(card):
    result = check("talk-sum", by="library", measured=replicates([1.0, 2.0, 3.0]), expected=2.0, rivals={"off": 1e15})
    assert "2 ± 0.58" in card(result)


def test_a_failed_card_says_so():
    with pytest.raises(CheckFailed) as failure:
        made(expected=[3.0, 0.0])
    assert "✗ fails" in str(failure.value)
    assert "✓" not in str(failure.value)


def test_the_html_card_is_well_formed_and_escapes_what_others_wrote():
    rivals = {"<script>alert('&')</script>": [5.0, 0.0]}
    html = cards.html(made("talk-markup", label='<i>"here"</i> & there', rivals=rivals))
    root = ElementTree.fromstring(html)
    assert {element.tag for element in root.iter()} == {"div", "strong", "code", "table", "tbody", "tr", "th", "td"}
    shown = " ".join(words(html))
    assert "If a < b & b < c, then <b>a</b> < c." in shown
    assert '"Order" & <i>more</i>' in shown
    assert '<i>"here"</i> & there' in shown
    assert "rival: <script>alert('&')</script>" in shown


def test_the_text_card_keeps_what_others_wrote():
    assert "If a < b & b < c, then <b>a</b> < c." in cards.text(made("talk-markup", rivals={"off": [5.0, 0.0]}))


def test_the_html_card_needs_no_network_and_no_style_sheet():
    html = cards.html(made())
    assert "http" not in html
    assert "<style" not in html


def test_the_html_card_has_a_heading_for_every_row():
    rows = ElementTree.fromstring(cards.html(made())).findall(".//tr")
    assert [row.find("th").get("scope") for row in rows] == ["row"] * 4


def test_the_anchor_is_the_id_of_the_card_and_differs_by_label():
    result = made(label="α = 0.5, n = 10")
    anchor = cards.anchor("talk-sign", "α = 0.5, n = 10")
    assert ElementTree.fromstring(cards.html(result)).get("id") == anchor
    assert re.fullmatch(r"[\w-]+", anchor)
    assert cards.anchor("talk-sign", "") == "check-talk-sign"
    assert len({cards.anchor("talk-sign", label) for label in ("", "one", "two", "one two")}) == 4


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (1.0, "1"), (-2.5, "−2.5"), (1 / 3, "0.333333"), (1e-9, "1e−09"), (-1e20, "−1e+20")],
)
def test_a_number_has_six_figures_and_a_true_minus(value, shown):
    assert cards.number(value) == shown


@pytest.mark.parametrize(
    "asked", [{}, {"include": None, "exclude": None}, {"include": {"text/plain"}, "exclude": set()}]
)
def test_a_notebook_gets_both_cards_and_the_record(asked):
    result = made()
    data, metadata = result._repr_mimebundle_(**asked)
    assert data == {"text/plain": cards.text(result), "text/html": cards.html(result)}
    assert metadata == {RECORD: result.record()}


def test_ipython_shows_both_cards_and_keeps_the_record():
    result = made()
    data, metadata = DisplayFormatter().format(result)
    assert data["text/html"] == cards.html(result)
    assert data["text/plain"] == cards.text(result) == repr(result)
    assert metadata[RECORD] == result.record()


def test_a_case_is_on_the_card_with_what_was_measured_in_it():
    assert re.search(r"rival: dropped +7 against 5 +rejected", cards.text(made(rivals={"dropped": Case([7.0], [5.0])})))
