import re

import pytest
import yaml

from helpers.claims import Claim, claim, files, load, source

LECTURES = "lectures: {talk: {title: A talk, author: A. Author}}\n"
WHOLE = "{id: talk-one, place: (1), chapter: sums, statement: One.}"

BROKEN = {
    "an empty file": ("", "lectures and claims"),
    "a list": ("[1, 2]", "lectures and claims"),
    "no lectures": (f"claims: [{WHOLE}]", "lectures and claims"),
    "no claims": (LECTURES, "lectures and claims"),
    "a lecture without an author": ("lectures: {talk: {title: A}}\nclaims: [" + WHOLE + "]", "a title and an author"),
    "a lecture with a year": (
        "lectures: {talk: {title: A, author: B, year: C}}\nclaims: [" + WHOLE + "]",
        "lecture talk: wanted a title and an author, got .*year",
    ),
    "a claim that is a text": (LECTURES + "claims: [talk-one]", "fields with values, got 'talk-one'"),
    "an unknown field": (
        LECTURES + "claims: [{id: talk-one, place: (1), chapter: sums, slide: 3}]",
        "talk-one: wanted known fields, got .*slide",
    ),
    "no place": (LECTURES + "claims: [{id: talk-one, chapter: sums}]", "talk-one: wanted id.*, got no place"),
    "no id": (LECTURES + "claims: [{place: (1), chapter: sums}]", "wanted id, .*, got no id"),
    "an empty chapter": (LECTURES + "claims: [{id: talk-one, place: (1), chapter: }]", "got no chapter"),
    "a place that YAML takes for a number": (
        LECTURES + "claims: [{id: talk-one, place: 8, chapter: sums}]",
        "talk-one: wanted .* text, got place: 8",
    ),
    "a statement that YAML takes for a truth": (
        LECTURES + "claims: [{id: talk-one, place: (1), chapter: sums, statement: yes}]",
        "talk-one: wanted .* text, got statement: True",
    ),
    "further ids without their places": (
        LECTURES + "claims: [{id: talk-one, place: (1), chapter: sums, also: [talk-two]}]",
        "talk-one: wanted also as a mapping",
    ),
    "an id of no lecture": (
        LECTURES + "claims: [{id: walk-one, place: (1), chapter: sums}]",
        r"walk-one: wanted an id that begins with one of \['talk'\], got 'walk'",
    ),
    "a further id of no lecture": (
        LECTURES + "claims: [{id: talk-one, place: (1), chapter: sums, also: {walk-one: (2)}}]",
        r"talk-one: wanted an id that begins with one of \['talk'\], got 'walk'",
    ),
    "an id twice": (LECTURES + f"claims: [{WHOLE}, {WHOLE}]", "wanted each id once, got 'talk-one' twice"),
    "an id that another has also": (
        LECTURES + "claims: [" + WHOLE + ", {id: talk-two, place: (1), chapter: sums, also: {talk-one: (2)}}]",
        "wanted each id once, got 'talk-one' twice",
    ),
    "a printed form alone": (
        LECTURES + "claims: [{id: talk-one, place: (1), chapter: sums, printed: x}]",
        "talk-one: wanted printed, corrected and why together, got only some",
    ),
    "a correction without a reason": (
        LECTURES + "claims: [{id: talk-one, place: (1), chapter: sums, printed: x, corrected: y}]",
        "talk-one: wanted printed, corrected and why together, got only some",
    ),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_record_is_refused(tmp_path, text, message):
    path = tmp_path / "claims.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"claims.yml.*{message}"):
        load(path)


def test_a_record_gives_lectures_by_key_and_claims_by_id(record):
    lectures, by_id = record
    assert lectures["talk"].author == "A. Author"
    assert by_id["talk-sign"] is by_id["talk-sign-again"]
    assert by_id["talk-sign"].lecture == "talk"
    assert by_id["talk-sign"].also == {"talk-sign-again": "(3)"}


def test_a_claim_is_found_by_each_of_its_ids(record):
    assert claim("talk-sign-again").id == claim("talk-sign").id == "talk-sign"


@pytest.mark.parametrize("name", ["talk", "talk-sums", "Talk-sum", "", None, 3, ["talk-sum"]])
def test_a_claim_that_does_not_exist_is_refused(record, name):
    with pytest.raises(ValueError, match="claim: wanted an id on record, got "):
        claim(name)


def test_a_claim_without_a_statement_is_refused(record):
    with pytest.raises(ValueError, match="claim: wanted a claim whose statement is written, got 'talk-silent'"):
        claim("talk-silent")


def test_a_claim_cannot_be_changed():
    with pytest.raises(AttributeError):
        Claim("talk-one", "(1)", "sums").id = "talk-two"


@pytest.fixture
def folder(tmp_path):
    """A record of two parts, the claims of which alternate in the lecture: the folder, its list still to be written."""
    for part, names in {"first": ("talk-one", "talk-three"), "second": ("talk-two",)}.items():
        (tmp_path / part).mkdir()
        claims = "".join(f"- {{id: {name}, place: (1), chapter: {part}/sums}}\n" for name in names)
        (tmp_path / part / "claims.yml").write_text("claims:\n" + claims, encoding="utf-8")

    def listing(*names):
        listed = f", claims: [{', '.join(names)}]" if names else ""
        text = f"lectures: {{talk: {{title: A talk, author: A. Author{listed}}}}}\n"
        (tmp_path / "lectures.yml").write_text(text, encoding="utf-8")
        return tmp_path

    return listing


def test_claims_of_several_parts_come_in_the_order_of_the_lecture(folder):
    assert list(load(folder("talk-one", "talk-two", "talk-three"))[1]) == ["talk-one", "talk-two", "talk-three"]


def test_claims_that_no_lecture_lists_come_as_recorded(folder):
    assert list(load(folder())[1]) == ["talk-one", "talk-three", "talk-two"]


@pytest.mark.parametrize(
    ("listed", "got"),
    [
        (("talk-one", "talk-two"), "talk-three"),
        (("talk-one", "talk-two", "talk-three", "talk-four"), "talk-four"),
        (("talk-one", "talk-two", "talk-two", "talk-three"), "talk-two"),
    ],
)
def test_a_list_that_differs_from_the_record_is_refused(folder, listed, got):
    with pytest.raises(ValueError, match=rf"lectures.yml, talk: wanted each recorded claim .* got \['{got}'\]"):
        load(folder(*listed))


def test_the_books_own_record_is_read_and_is_that_of_the_checkout():
    lectures, by_id = load()
    assert source().name == "chapters"
    assert {one.lecture for one in by_id.values()} <= set(lectures)
    assert load() is load()


def test_every_lecture_lists_its_claims_and_the_book_needs_no_list():
    lectures, by_id = load()
    assert [key for key, lecture in lectures.items() if not lecture.claims] == ["book"]
    assert set(by_id) == {name for lecture in lectures.values() for name in lecture.claims} | {
        name for name in by_id if name.startswith("book-")
    }


def test_a_claim_stands_in_the_file_of_its_part():
    for path in files()[1:]:
        chapters = {entry["chapter"] for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["claims"]}
        assert {chapter.split("/")[0] for chapter in chapters} == {path.parent.name}


def test_what_a_card_shows_as_plain_text_has_no_formula():
    for one in load()[1].values():
        assert "$" not in f"{one.place} {one.statement} {one.conditions} {' '.join(one.also.values())}", one.id


def test_the_wheel_takes_every_file_of_the_record():
    package = (source().parent / "pyproject.toml").read_text(encoding="utf-8")
    taken = re.findall(r'"/(chapters/[^"]+)"', re.search(r"targets.wheel\]\ninclude = (.*)", package)[1])
    assert re.search(r'targets.wheel.sources\]\n"chapters" = "helpers/record"', package)
    for path in files():
        assert any(path.match(pattern) for pattern in taken), path
