"""Command line of the benchmarks: `make bench`, or `python -m benchmarks [KEY ...]` for rows whose keys begin so."""

import argparse
import json

from benchmarks import harness, report


def run(selected):
    """Measure the rows one after the other and print each as soon as it is there."""
    widths = [max(len(row.work) for row in selected), 26, max(len(row.peer) for row in selected) + 24, 9, 40, 3]
    measured = {}
    _print(widths, report.HEAD)
    for row in selected:
        measured[row.key] = harness.measure(row)
        _print(widths, report.cells(row, measured[row.key]))
    return measured


def _print(widths, cells):
    print("  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip(), flush=True)


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("keys", nargs="*", metavar="KEY", help="how the keys of the wanted rows begin (default: all)")
    parser.add_argument("--alone", metavar="KEY", help="call our side of this row once, and print its memory as JSON")
    arguments = parser.parse_args()
    rows = harness.rows()
    if arguments.alone:
        print(json.dumps(harness.alone(rows[arguments.alone])))
        return
    unknown = [key for key in arguments.keys if not any(name.startswith(key) for name in rows)]
    if unknown:
        parser.error(f"no row begins with {unknown[0]!r}; there are {', '.join(rows)}")
    selected = [row for name, row in rows.items() if not arguments.keys or name.startswith(tuple(arguments.keys))]
    measured = run(selected)
    missed = [row.key for row in selected if harness.is_met(row, measured[row.key]) is False]
    print(f"Goals not met: {', '.join(missed) or 'none'}")
    keep(measured)


def keep(measured):
    """Write the tables of which every row is `measured` into the file of results; the others stay as they are."""
    known = json.loads(harness.RESULTS.read_text(encoding="utf-8")) if harness.RESULTS.is_file() else {}
    results, machine = {}, report.machine()
    for module in harness.modules():
        name, keys = harness.table(module), [row.key for row in module.ROWS]
        whole = set(keys) <= set(measured)
        results |= {name: known[name]} if not whole and name in known else {}
        results |= {name: {"machine": machine, "measured": {key: measured[key] for key in keys}}} if whole else {}
        print(f"{module.TITLE}: {f'measured on {machine}' if whole else 'not all of its rows, stays as it is'}")
    harness.RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
