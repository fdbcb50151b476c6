"""The claims of the lectures, as recorded in `chapters/lectures.yml` and the `claims.yml` of each part."""

from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path

import yaml

from helpers.validation import fail

__all__ = ["Claim", "Lecture", "claim", "files", "load", "source"]


@dataclass(frozen=True)
class Lecture:
    """A lecture: its `key`, the first word of its claims' ids, its `title`, its `author`, and the ids of all its
    `claims` in the order of its slides, which may be left out."""

    key: str
    title: str
    author: str
    claims: tuple = ()


@dataclass(frozen=True)
class Claim:
    """One checkable claim.

    The first word of `id` is the key of its lecture, `place` the equation or the slide there. `statement` is in our
    words, as plain text; `conditions` are those that the lecture leaves out. Where the lecture prints something else,
    `printed` and `corrected` are in Markdown, `why` is the reason in a sentence, `extraction` says whether the text
    extraction, not the author, may be at fault, and `thanks` names who found it. `reason` tells why there is no check.
    `also` maps further ids of the same claim to their places.
    """

    id: str
    place: str
    chapter: str
    statement: str = ""
    conditions: str = ""
    printed: str = ""
    corrected: str = ""
    why: str = ""
    extraction: str = ""
    thanks: str = ""
    reason: str = ""
    also: dict = field(default_factory=dict)

    @property
    def lecture(self):
        return self.id.split("-")[0]


def source():
    """The record's folder: inside the package where it is installed, `chapters/` in a checkout."""
    package = Path(__file__).parent
    return next(p for p in (package / "record", package.parent / "chapters") if (p / "lectures.yml").is_file())


def files(path=None):
    """The files that make up the record in the folder `path` (default: the book's own): lectures first, then parts."""
    path = Path(path or source())
    return [path] if path.is_file() else [path / "lectures.yml", *sorted(path.glob("*/claims.yml"))]


@cache
def load(path=None):
    """The lectures by key and the claims by id, from `path`, a folder or one file (default: the book's own record).

    The claims come lecture by lecture, in the order of its slides where the lecture lists them. Raises `ValueError`
    where a record has an unknown field, lacks one that it needs, or repeats an id, and where a lecture's list and the
    claims recorded differ.
    """
    entries, lectures, claims = [], {}, {}
    for file in files(path):
        record = yaml.safe_load(file.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or set(record) - {"lectures", "claims"}:
            fail(file.name, "lectures and claims", repr(record)[:80])
        lectures |= {key: _lecture(key, entry) for key, entry in (record.get("lectures") or {}).items()}
        entries += record.get("claims") or []
    if not lectures or not entries:
        fail("claims.yml", "lectures and claims", f"{len(lectures)} lectures, {len(entries)} claims")
    for entry in entries:
        one = _claim(entry, lectures)
        for name in (one.id, *one.also):
            if name in claims:
                fail("claims.yml", "each id once", f"{name!r} twice")
            claims[name] = one
    return lectures, {name: claims[name] for lecture in lectures.values() for name in _in_order(lecture, claims)}


def _in_order(lecture, claims):
    """The ids of the lecture's claims: as it lists them, or as they were recorded."""
    recorded = [name for name in claims if name.split("-")[0] == lecture.key]
    if not lecture.claims:
        return recorded
    if len(set(lecture.claims)) < len(lecture.claims) or (differ := set(lecture.claims) ^ set(recorded)):
        twice = {name for name in lecture.claims if lecture.claims.count(name) > 1}
        fail(f"lectures.yml, {lecture.key}", "each recorded claim listed once", sorted(twice or differ))
    return lecture.claims


def _lecture(key, entry):
    if not isinstance(entry, dict) or set(entry) - {"claims"} != {"title", "author"}:
        fail(f"claims.yml, lecture {key}", "a title and an author", repr(entry)[:80])
    return Lecture(key, entry["title"], entry["author"], tuple(entry.get("claims", ())))


def _claim(entry, lectures):
    if not isinstance(entry, dict):
        fail("claims.yml", "a claim as fields with values", repr(entry)[:80])
    name = entry.get("id", entry)
    unknown = set(entry) - {known.name for known in fields(Claim)}
    if unknown:
        fail(f"claims.yml, {name}", "known fields", sorted(unknown))
    missing = {one for one in ("id", "place", "chapter") if not entry.get(one)}
    if missing:
        fail(f"claims.yml, {name}", "id, place and chapter", f"no {', '.join(sorted(missing))}")
    for key, value in entry.items():
        wanted = dict if key == "also" else str
        if not isinstance(value, wanted):
            fail(f"claims.yml, {name}", "also as a mapping, all else as text", f"{key}: {value!r}")
    one = Claim(**entry)
    for key in (each.split("-")[0] for each in (one.id, *one.also)):
        if key not in lectures:
            fail(f"claims.yml, {name}", f"an id that begins with one of {sorted(lectures)}", repr(key))
    if len({bool(one.printed), bool(one.corrected), bool(one.why)}) > 1:
        fail(f"claims.yml, {name}", "printed, corrected and why together", "only some of them")
    return one


def claim(name):
    """The claim with this id. Raises `ValueError` for an id that no claim has, or one without a statement."""
    claims = load()[1]
    if not isinstance(name, str) or name not in claims:
        fail("claim", "an id on record", repr(name))
    if not claims[name].statement.strip():
        fail("claim", "a claim whose statement is written", f"{name!r}, which has none")
    return claims[name]
