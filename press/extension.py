"""The Sphinx directives of the pages that are made from the ledger: nothing on them is typed by hand."""

import json
import re
from collections import Counter
from html import escape
from pathlib import Path

from sphinx.util.docutils import SphinxDirective

from benchmarks import gpu, harness, report
from helpers.cards import number
from helpers.claims import load
from press.execution import BUILD
from press.ledger import VERDICTS, as_printed, errata, public, unwritten
from press.notebooks import contents

COLUMNS = (
    "Lecture", "Place", "Claim", "Chapter", "Verdict", "Agreement", "Measured by", "Measured", "Expected", "Distance"
)  # fmt: skip
MANY = ("agreement", "by")  # the columns of which a claim with several checks may have several values
MARKS = dict(zip(VERDICTS, ("✓", "◐", "✗", "·"), strict=True))


def typeset(text):
    """A text of the record as HTML, with its exponents raised, n^(−4/5), and its indices lowered, f_h."""
    text = re.sub(r"\^\(((?:[^()]|\([^()]*\))*)\)|\^([^\W_])", lambda m: f"<sup>{m[1] or m[2]}</sup>", escape(text))
    return re.sub(r"(?<=\w)_([A-Za-zα-ω]+)", r"<sub>\1</sub>", text)


class Generated(SphinxDirective):
    """A directive whose text is Markdown made from `_build/ledger.json`."""

    has_content = False

    def run(self):
        path = BUILD / "ledger.json"
        self.env.note_dependency(str(path))
        return self.parse_text_to_nodes("\n".join(self.lines(json.loads(path.read_text(encoding="utf-8")))))

    def link(self, entry, text):
        """A link to the card of the claim's first check."""
        first = entry["checks"][0]
        up = "../" * self.env.docname.count("/")
        return f'<a href="{up}chapters/{entry["chapter"]}.html#{first["anchor"]}">{typeset(text)}</a>'


class Counts(Generated):
    def lines(self, ledger):
        claims = [entry for entry in ledger if entry["lecture"] != "book"]
        own = Counter(entry["verdict"] for entry in ledger if entry["lecture"] == "book")
        count = Counter(entry["verdict"] for entry in claims)
        checks = {(check["id"], check["label"]): check for entry in ledger for check in entry["checks"]}.values()
        rivals = sum(len(check["rivals"]) for check in checks)
        lectures = len({entry["lecture"] for entry in claims})
        checked = len(claims) - count["not checked"]
        waiting = Counter(entry["chapter"] for entry in claims if _waits(entry))
        yield f"The **{lectures}** lectures make **{len(claims)}** claims; **{checked}** of them are checked so far:"
        yield ""
        yield from (f"- {MARKS[verdict]} {verdict}: **{count[verdict]}**" for verdict in VERDICTS[:3])
        yield (
            f"- {MARKS['not checked']} not checked: **{count['not checked']}**, of which **{waiting.total()}** wait "
            f"for **{len(waiting)}** chapters that are not written yet; the others have their reasons in the ledger."
        )
        yield ""
        yield (
            f"To these come **{sum(own.values())}** claims of our own, **{sum(own.values()) - own['not checked']}** of "
            f"them checked. **{len(checks)}** checks hold, and with them **{rivals}** wrong answers are rejected."
        )
        yield ""
        yield from _table(("Part", "Claims", "Checked", "Waiting for"), "14 10 10 66")
        for part in sorted({entry["chapter"].split("/")[0] for entry in claims}, key=_rank):
            inside = [entry for entry in claims if entry["chapter"].split("/")[0] == part]
            chapters = (f"{name.split('/')[1]} {n}" for name, n in waiting.items() if name.split("/")[0] == part)
            done = sum(entry["verdict"] != "not checked" for entry in inside)
            yield from _row(part, str(len(inside)), str(done), ", ".join(chapters))
        yield ":::"


class CardOf(Generated):
    """The card of the first check of a claim, as its chapter shows it."""

    required_arguments = 1

    def lines(self, ledger):
        entry = next(entry for entry in ledger if entry["id"] == self.arguments[0])
        yield from ("```{raw} html", entry["checks"][0]["card"], "```")


class Ledger(Generated):
    def lines(self, ledger):
        yield from (":::{list-table}", ":header-rows: 1", ":class: ledger", "")
        yield from _row(*COLUMNS)
        for entry in ledger:
            chapter = entry["chapter"]
            shown = chapter.replace("/", "/\u200b")  # where the line may break
            ways = {name: dict.fromkeys(filter(None, (check.get(name) for check in entry["checks"]))) for name in MANY}
            yield from _row(
                entry["lecture"].capitalize(),
                entry["place"],
                self._claim(entry),
                f"{{doc}}`{shown} </chapters/{chapter}>`" if entry["checks"] else shown,
                f"{MARKS[entry['verdict']]} {entry['verdict']}",
                *(", ".join(found) for found in ways.values()),
                *_numbers(entry),
            )
        yield ":::"

    def _claim(self, entry):
        if not entry["checks"]:
            return f"`{entry['id']}`" + (" (not written yet)" if _waits(entry) else f": {entry['reason']}")
        more = len(entry["checks"]) - 1
        conditions = f" *If* {typeset(entry['conditions'])}." if entry["conditions"] else ""
        return self.link(entry, entry["statement"]) + (f" (and {more} more)" if more else "") + conditions


class LectureMap(Generated):
    def lines(self, ledger):
        for key, entries in _by_lecture(ledger):
            yield from _heading(key)
            yield from _table(("Slide or equation", "Section", "Verdict"), "38 46 16")
            for entry in entries:
                section = f"{entry['chapter']} (not written yet)"
                if entry["checks"]:
                    section = self.link(entry, f"{entry['chapter']}: {entry['checks'][0]['section']}")
                yield from _row(entry["place"], section, f"{MARKS[entry['verdict']]} {entry['verdict']}")
            yield ":::"
            yield ""


class Errata(Generated):
    def lines(self, ledger):
        by_id = {entry["id"]: entry for entry in ledger}
        shown = errata(ledger)
        if not shown:
            yield "None so far."
        for erratum in shown:
            yield from ("```{raw} html", f'<span id="{erratum["id"]}"></span>', "```", "")
            withdrawn = ", withdrawn" if erratum["withdrawn"] else ""
            yield from (f"## {erratum['number']}{withdrawn}. {_titled(erratum['place'])}", "")
            origin = f"*{erratum['lecture']}*, {erratum['author']}. Found on {erratum['found']}."
            if withdrawn:
                yield from (origin, "", f"**Withdrawn:** {erratum['withdrawn']}", "")
                continue
            entry = by_id[erratum["id"]]
            check, rival = as_printed(entry)
            yield from (f"{origin} Evidence: {self.link(entry, entry['id'])}.", "")
            yield from (f"**Printed:** {entry['printed']}", "", f"**Corrected:** {entry['corrected']}", "")
            yield from (f"**Why:** {entry['why']}", "")
            yield (
                f"**Numbers:** the printed form gives {number(rival['value'])} where {number(rival['against'])} is "
                f"measured, {_away(rival, check['unit'])}; the corrected form is at most {_away(check, check['unit'])}."
            )
            yield ""
            if entry["extraction"]:
                yield from (f"**A word of caution:** {entry['extraction']}", "")
            if entry["thanks"]:
                yield from (f"**Thanks to** {entry['thanks']}.", "")


class RunTimes(Generated):
    def lines(self, ledger):
        times = json.loads((BUILD / "times.json").read_text(encoding="utf-8"))
        yield from _table(("Chapter", "Seconds"), "70 30")
        for chapter, seconds in times["chapters"].items():
            yield from _row(f"{{doc}}`/chapters/{chapter}`", f"{seconds:.0f}")
        yield from _row("all", f"{sum(times['chapters'].values()):.0f}")
        yield from (":::", "", f"Measured on {times['machine']}.")


class Gpu(Generated):
    def lines(self, ledger):
        found = json.loads(gpu.RESULTS.read_text(encoding="utf-8")) if gpu.RESULTS.is_file() else {}
        if not found.get("card"):
            yield "Not measured yet."
            return
        yield from (f"Measured on one {found['card']}, {found['versions']}.", "")
        for part in gpu.PARTS:
            if "error" in found.get(part, {"error": ""}):
                yield from (f"The {part} were not measured to their end.", "")
            else:
                yield from getattr(self, part)(found[part])

    def rows(self, found):
        yield from _table(("Work", "Time", "A second", "Of the limit", "Beside a loop"), "44 14 14 14 14")
        for row in found["rows"]:
            yield from _row(*gpu.cells(row))
        yield from (":::", "")

    def tests(self, found):
        yield from (f"**Tests** that want a GPU: {found['summary'].strip('= ')}.", "")
        if found.get("left out"):
            yield from (f"Without a library that they want, left out: {', '.join(found['left out'])}.", "")

    def chapters(self, found):
        for name, chapter in found.items():
            end = "stopped at a check" if chapter["error"] else "every check holds"
            yield f"- {{doc}}`/chapters/{name}`: {chapter['seconds']:.0f} s, {end}"


class Benchmarks(Generated):
    def lines(self, ledger):
        results = json.loads(harness.RESULTS.read_text(encoding="utf-8"))
        for module in harness.modules():
            found = results[harness.table(module)]
            yield from (
                f"## {module.TITLE}",
                "",
                f"All numbers of this table are of one run, on {found['machine']}.",
                "",
            )
            yield from _table(report.HEAD, "28 18 26 8 14 6")
            for row in module.ROWS:
                yield from _row(*report.cells(row, found["measured"][row.key]))
            yield from (":::", "")
            yield from _missed(module.ROWS, found["measured"])


def _missed(rows, measured):
    """What a reader should know of the goals that were not met."""
    missed = [row for row in rows if harness.is_met(row, measured[row.key]) is False]
    if missed:
        yield from (f"**Goals not met: {len(missed)}.**", "")
    for row in missed:
        yield f"- {row.work}{row.peer and ', beside '}{row.peer}: {row.limit}"
    yield ""


def _by_lecture(ledger):
    for key in dict.fromkeys(entry["lecture"] for entry in ledger):
        yield key, [entry for entry in ledger if entry["lecture"] == key]


def _heading(key):
    lecture = load()[0][key]
    yield from (f"## {lecture.title}", "", f"{lecture.author}", "")


def _table(titles, widths):
    yield from (":::{list-table}", ":header-rows: 1", f":widths: {widths}", "")
    yield from _row(*titles)


def _row(*cells):
    yield from ("* - " + cells[0], *("  - " + cell for cell in cells[1:]))


def _numbers(entry):
    if not entry["checks"]:
        return "", "", ""
    found = (number(entry[name], 4) for name in ("measured", "expected"))
    return *found, f"{number(entry['distance'], 2)} {entry['unit']}"


def _rank(part):
    """The place of a part in the contents; those to come follow, by name."""
    parts = list(dict.fromkeys(page.split("/")[1] for page in contents() if page.startswith("chapters/")))
    return (parts.index(part) if part in parts and part != "appendix" else len(parts), part)


def _waits(entry):
    """Whether the claim has neither a check nor a reason of its own: its chapter is not written yet."""
    return entry.get("reason") == unwritten(entry["chapter"])


def _titled(place):
    if not place.startswith("("):
        return place
    return ("Equations " if place.count("(") > 1 else "Equation ") + place


def _away(found, unit):
    return f"{number(abs(found['distance']), 3)} {unit} away"


def publish(app, error):
    """Lay the ledger and the errata beside the pages, for programs to read."""
    path = BUILD / "ledger.json"
    if error or app.builder.format != "html" or not path.is_file():
        return
    ledger = json.loads(path.read_text(encoding="utf-8"))
    for name, value in {"ledger": public(ledger), "errata": errata(ledger)}.items():
        text = json.dumps(value, indent=1, ensure_ascii=False)
        (Path(app.outdir) / f"{name}.json").write_text(text, encoding="utf-8")


def setup(app):
    for name, directive in {
        "card-of": CardOf,
        "counts": Counts,
        "ledger": Ledger,
        "lecture-map": LectureMap,
        "errata": Errata,
        "run-times": RunTimes,
        "benchmarks": Benchmarks,
        "gpu": Gpu,
    }.items():
        app.add_directive(name, directive)
    app.connect("build-finished", publish)
    return {"parallel_read_safe": True}
