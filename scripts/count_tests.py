"""Adds up what CTest and GoogleTest reported: prints "PASSED FAILED SKIPPED".

A GoogleTest program counts by its cases, so that a skipped case shows; every other test counts as
one. Names of failed and skipped ones go to standard error.
"""
import pathlib
import sys
import xml.etree.ElementTree as xml


def cases_of(path):
    """(passed, failed, skipped) of one GoogleTest report, or None if it is none."""
    try:
        root = xml.parse(path).getroot()
    except (OSError, xml.ParseError):
        return None
    passed = failed = skipped = 0
    for case in root.iter("testcase"):
        name = f"{path.stem}: {case.get('classname')}.{case.get('name')}"
        if case.find("failure") is not None:
            failed += 1
            print(f"failed:  {name}", file=sys.stderr)
        elif case.find("skipped") is not None or case.get("result") == "skipped":
            skipped += 1
            print(f"skipped: {name}", file=sys.stderr)
        elif case.get("status") == "run":
            passed += 1
    return passed, failed, skipped


def main():
    reports = pathlib.Path(sys.argv[1])
    totals = [0, 0, 0]
    for test in xml.parse(reports / "ctest.xml").getroot().iter("testcase"):
        name, status = test.get("name"), test.get("status")
        counts = cases_of(reports / f"{name}.xml")
        message = test.find("skipped")
        reason = "" if message is None else message.get("message", "")
        if status == "run":
            counts = counts or (1, 0, 0)
        elif status == "disabled" or "SKIP" in reason:
            print(f"skipped: {name}: {reason}", file=sys.stderr)
            counts = (0, 0, 1)
        else:  # failed, timed out, or its program is missing
            print(f"failed:  {name} {reason}", file=sys.stderr)
            counts = counts if counts and counts[1] else (0, 1, 0)
        totals = [total + count for total, count in zip(totals, counts)]
    if sum(totals) == 0:
        sys.exit("no tests ran")
    print(*totals)


main()
