"""Goal: the judge of the kill test catches what it is there to catch.

Method: plants each fault (a lost, an altered, a repeated, a foreign record, a hole, a wrong start)
in a correct list of records, and demands that the checker refuses it; the correct list must pass.
"""
import hashlib
import random

import harness
import kill_test
import loadgen


def good():
    source = random.Random(1)
    records = [(lsn, loadgen.make_record(source, 1, 0, lsn, 200)) for lsn in range(1, 21)]
    checker = kill_test.Checker()
    checker.acknowledged = {lsn: hashlib.sha256(data).hexdigest() for lsn, data in records[:18]}
    return checker, records


def refuses(records, words, first=1):
    checker, _ = good()
    checker.first = first
    try:
        checker.check(records)
    except AssertionError as failure:
        assert words in str(failure), (words, failure)
        return
    raise AssertionError(f"not caught: {words}")


def check_correct_records_pass():
    checker, records = good()
    checker.check(records)
    checker.check(records[:18])  # the last two were never acknowledged


def check_every_planted_fault_is_caught():
    _, records = good()
    lsn, data = records[4]
    refuses(records[:17], "are lost")
    refuses([], "are lost")
    refuses(records[:4] + [(lsn, records[5][1])] + records[5:], "altered")
    refuses(records[:4] + [(lsn, data[:-1] + b"!")] + records[5:], "altered")
    refuses(records[:4] + records[5:], "holes")
    refuses(records[:5] + records[4:], "twice")
    refuses(records[:18] + [(19, b"from nowhere")], "not what anybody sent")
    refuses(records[:18] + [(19, records[0][1])], "repeats")
    refuses(records[1:], "(2, 1)")


def main():
    harness.arguments()
    harness.run_checks([check_correct_records_pass, check_every_planted_fault_is_caught])


if __name__ == "__main__":
    main()
