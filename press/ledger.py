"""The ledger: what the checks of the executed chapters found, claim by claim."""

import yaml

from helpers import cards
from helpers.checks import RECORD
from helpers.claims import load
from press.notebooks import ROOT, calls, chapters, name

REGISTER = ROOT / "chapters" / "errata.yml"
VERDICTS = ("holds", "holds under conditions", "wrong as printed", "not checked")
PRINCIPAL = ("agreement", "by", "measured", "expected", "distance", "unit")


def records(notebook):
    """What the checks of one executed notebook left, each with the heading of the section in which it stands."""
    found, section = [], ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            titles = [line.lstrip("#").strip() for line in cell.source.splitlines() if line.startswith("#")]
            section = titles[-1] if titles else section
        for output in cell.get("outputs", []):
            record = output.get("metadata", {}).get(RECORD)
            if record:
                anchor = cards.anchor(record["id"], record["label"])
                found.append({**record, "section": section, "anchor": anchor, "card": output["data"]["text/html"]})
    return found


def faults(calls_by_chapter, claims):
    """What is wrong between checks and claims, as sentences: each claim of a written chapter is checked there and only
    there, or says why not; what a record says of the printed form or of conditions, its rivals bear out."""
    distinct = {claim.id: claim for claim in claims.values()}.values()
    checked = {}
    for chapter, found in calls_by_chapter.items():
        for call in found:
            if call.claim not in claims:
                yield f"{chapter}: {call.claim!r} is no claim"
                continue
            claim = claims[call.claim]
            if any(call.label == other.label for _, other in checked.get(claim.id, [])):
                yield f"{chapter}: {claim.id} is checked twice under the label {call.label!r}"
            checked.setdefault(claim.id, []).append((chapter, call))
            if not call.closes_cell:
                yield f"{chapter}: the check of {call.claim} does not close its cell, so no card is shown"
    for claim in distinct:
        found = checked.get(claim.id, [])
        rivals = [rival for _, call in found for rival in call.rivals]
        if {chapter for chapter, _ in found} - {claim.chapter}:
            yield f"{claim.id} belongs to {claim.chapter} and is checked elsewhere"
        if claim.chapter in calls_by_chapter and bool(found) == bool(claim.reason):
            yield f"{claim.id}: a check or a reason why there is none, one of the two"
        if found and bool(claim.printed) != ("as printed" in rivals):
            yield f"{claim.id}: a printed form and a rival 'as printed' go together"
        if found and bool(claim.conditions) != any(rival.startswith("without ") for rival in rivals):
            yield f"{claim.id}: conditions and a rival 'without ...' go together"


def written(root=ROOT):
    """The calls of `check` in every chapter, by the chapter's name."""
    return {name(path, root): calls(path) for path in chapters(root)}


def register(path=REGISTER):
    """The errata of `chapters/errata.yml`, in order: dicts with lecture, number, claim, found and withdrawn."""
    by_lecture = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [{"lecture": key, "withdrawn": "", **entry} for key, entries in by_lecture.items() for entry in entries]


def misnumbered(errata, claims):
    """What is wrong between the register of errata and the claims, as sentences: each claim with a printed form has
    one number and keeps it; numbers run from 1 in each lecture, in the order of their dates."""
    numbered = [erratum["claim"] for erratum in errata]
    printed = {claim.id for claim in claims.values() if claim.printed}
    yield from (f"{name} has {numbered.count(name)} numbers" for name in set(numbered) if numbered.count(name) > 1)
    yield from (f"{name} has a printed form and no number" for name in sorted(printed - set(numbered)))
    for erratum in errata:
        name = erratum["claim"]
        if name not in claims or claims[name].lecture != erratum["lecture"]:
            yield f"{name} is no claim of {erratum['lecture']}"
        elif (name in printed) == bool(erratum["withdrawn"]):
            yield f"{name}: a printed form or a reason why the erratum is withdrawn, one of the two"
    for key in dict.fromkeys(erratum["lecture"] for erratum in errata):
        own = [erratum for erratum in errata if erratum["lecture"] == key]
        if [erratum["number"] for erratum in own] != list(range(1, len(own) + 1)):
            yield f"{key}: the numbers do not run from 1 to {len(own)}"
        if [erratum["found"] for erratum in own] != sorted(erratum["found"] for erratum in own):
            yield f"{key}: an erratum is older than the one before it"


def public(entries):
    """The ledger as it is published: without the cards, which the chapters show."""
    return [
        entry | {"checks": [{k: v for k, v in check.items() if k != "card"} for check in entry["checks"]]}
        for entry in entries
    ]


def errata(entries, numbered=None):
    """The errata as they are published: those that a check of `entries` proves, and those that were withdrawn."""
    lectures, by_id = load()[0], {entry["id"]: entry for entry in entries}
    found = []
    for erratum in register() if numbered is None else numbered:
        key = erratum["lecture"]
        entry, lecture = by_id[erratum["claim"]], lectures[key]
        shown = {
            "number": f"{lecture.key.capitalize()} {erratum['number']}",
            "id": entry["id"],
            "place": entry["place"],
        }
        shown |= {"lecture": lecture.title, "author": lecture.author, "found": erratum["found"]}
        if erratum["withdrawn"]:
            found.append(shown | {"withdrawn": erratum["withdrawn"]})
        elif entry["verdict"] == "wrong as printed":
            check, rival = as_printed(entry)
            shown |= {key: entry[key] for key in ("printed", "corrected", "why", "extraction", "thanks")}
            shown |= {"as printed": rival["value"], "measured": rival["against"], "distance": rival["distance"]}
            shown |= {"unit": check["unit"], "evidence": f"chapters/{entry['chapter']}.html#{check['anchor']}"}
            found.append(shown | {"corrected distance": check["distance"], "withdrawn": ""})
    return found


def as_printed(entry):
    """The check whose rival is the printed form, and that rival."""
    for check in entry["checks"]:
        for rival in check["rivals"]:
            if rival["name"] == "as printed":
                return check, rival
    raise LookupError(entry["id"])


def build(executed):
    """The ledger of the executed notebooks (by name, with their seconds): a list with one object a claim."""
    lectures, claims = load()
    calls_by_chapter = written()
    wrong = list(faults(calls_by_chapter, claims))
    found = {}
    for chapter, (notebook, _) in executed.items():
        missing = {(claims[call.claim].id, call.label) for call in calls_by_chapter[chapter] if call.claim in claims}
        for record in records(notebook):
            found.setdefault(claims[record["id"]].id, []).append(record)
            missing.discard((record["id"], record["label"]))
        wrong += [f"{chapter}: the check of {claim} {label} left no record" for claim, label in missing]
    if wrong:
        raise SystemExit("ledger:\n  " + "\n  ".join(wrong))
    entries = [
        _entry(claim, place_id, place, found.get(claim.id, []), executed) for claim, place_id, place in _places(claims)
    ]
    return sorted(entries, key=lambda entry: list(lectures).index(entry["lecture"]))


def _places(claims):
    """Each claim at each place at which a lecture makes it."""
    for claim_id, claim in claims.items():
        yield claim, claim_id, claim.place if claim_id == claim.id else claim.also[claim_id]


def _entry(claim, claim_id, place, checks, executed):
    entry = {"id": claim_id, "lecture": claim_id.split("-")[0], "place": place, "chapter": claim.chapter}
    entry["verdict"] = _verdict(claim, checks)
    if not checks:
        entry["reason"] = claim.reason or (unwritten(claim.chapter) if claim.chapter not in executed else "")
    principal = checks[0] if checks else {}
    entry |= {field: principal.get(field) for field in PRINCIPAL} | {"rivals": principal.get("rivals", [])}
    texts = ("statement", "conditions", "printed", "corrected", "why", "extraction", "thanks")
    return entry | {field: getattr(claim, field) for field in texts} | {"checks": checks}


def unwritten(chapter):
    """The reason why nothing is checked in a chapter that is still to be written."""
    return f"the chapter {chapter} is not written yet"


def _verdict(claim, checks):
    if not checks:
        return "not checked"
    if claim.printed:
        return "wrong as printed"
    return "holds under conditions" if claim.conditions else "holds"
