"""Goal: the promise of a durable acknowledgement holds when the process dies at any moment.

Method: load a server with self-describing records over many connections, SIGKILL it under load,
restart it on the same pool, read everything back, again and again on the same pool. After each
restart: every acknowledged record is there under its LSN, byte for byte; every record that is there
proves its own content, and appears once; LSNs have no holes and start where truncation left them.
The end result is also checked offline. PASTE_KILL_CYCLES changes the number of cycles (divided
over the four combinations of pool place and io).
"""
import hashlib
import os
import random
import sys
import time

import harness
import loadgen


class Checker:
    def __init__(self):
        self.acknowledged = {}
        self.first = 1

    def check(self, records):
        held = dict(records)
        lsns = [lsn for lsn, _ in records]
        assert len(held) == len(records), "an LSN appears twice"
        if lsns:
            assert lsns == list(range(lsns[0], lsns[-1] + 1)), "LSNs have holes"
            assert lsns[0] == self.first, (lsns[0], self.first)
        lost = [lsn for lsn in self.acknowledged if lsn >= self.first and lsn not in held]
        assert not lost, f"{len(lost)} acknowledged records are lost: {sorted(lost)[:10]}"
        altered = [lsn for lsn, digest in self.acknowledged.items() if lsn >= self.first and
                   hashlib.sha256(held[lsn]).hexdigest() != digest]
        assert not altered, f"{len(altered)} acknowledged records are altered: {altered[:10]}"
        seen = set()
        for lsn, data in records:
            identity = loadgen.check_record(data)
            assert identity is not None, f"record {lsn} is not what anybody sent: {data[:100]!r}"
            assert identity not in seen, f"record {lsn} repeats {identity}"
            seen.add(identity)


def one_cycle(given, pool, checker, cycle, source, create=False):
    options = ["--io", given.io, "--size", "192MiB"] + (["--create"] if create else [])
    begin = time.monotonic()
    with harness.Server(given.pst, pool, *options) as server:
        recovery = time.monotonic() - begin
        checker.check(server.records("orders", checker.first))
        # Truncation must survive as well, and it keeps the pool from filling up.
        if checker.acknowledged and cycle % 2 == 0:
            cut = max(checker.first, max(checker.acknowledged) - 500)
            status, _, body = server.request("DELETE", f"/log/orders?to={cut}")
            assert 200 <= status < 300, (status, body)
            kept = server.records("orders", 1)
            checker.first = kept[0][0]
            assert cut <= checker.first <= cut + 1, (cut, checker.first)
        load = loadgen.LoadGenerator(server.address, "orders", run=cycle,
                                     seed=source.getrandbits(64)).start()
        time.sleep(source.uniform(0.05, given.seconds))
        server.kill()
        # The kernel ends the connections of its sockets; of ours it knows nothing, so who only
        # waits is not told.
        if given.port == "xdp":
            load.abandon()
        else:
            load.join()
    assert not load.refused, load.refused[:3]
    assert not load.twice, f"LSNs were given out twice: {load.twice[:10]}"
    repeated = set(load.acknowledged) & set(checker.acknowledged)
    assert not repeated, f"LSNs were given out again: {sorted(repeated)[:10]}"
    checker.acknowledged.update(load.acknowledged)
    print(f"cycle {cycle}: started in {recovery * 1e3:.0f} ms, "
          f"{len(load.acknowledged)} of {load.sent} acknowledged", flush=True)
    return len(load.acknowledged)


def main():
    given = harness.arguments(io={"choices": ["uring", "epoll"], "required": True},
                              place={"choices": ["tmpfs", "file"], "required": True},
                              seconds={"type": float, "default": 0.6},
                              cycles={"type": int, "default": 3},
                              seed={"type": int, "default": None})
    seed = given.seed if given.seed is not None else random.SystemRandom().getrandbits(32)
    cycles = given.cycles
    if "PASTE_KILL_CYCLES" in os.environ:
        cycles = max(1, (int(os.environ["PASTE_KILL_CYCLES"]) + 3) // 4)
    print(f"SEED={seed} (--seed {seed} repeats the choices), {cycles} cycles, {given.io} on "
          f"{given.place}, {given.port}", flush=True)
    source = random.Random(seed)
    checker = Checker()
    total = 0
    with harness.temporary_directory(given.place == "tmpfs") as directory:
        pool = f"{directory}/kill.paste"
        for cycle in range(cycles):
            try:
                total += one_cycle(given, pool, checker, cycle, source, create=cycle == 0)
            except harness.StartFailed as failure:
                if given.io == "uring" and cycle == 0 and "io_uring" in failure.output:
                    harness.skip(f"io_uring cannot be used here: {failure.output.strip()}")
                raise
        with harness.Server(given.pst, pool, "--io", given.io) as server:
            checker.check(server.records("orders", checker.first))
            assert server.stop() == 0
        offline = harness.run_pst(given.pst, "pool", "check", pool)
        assert offline.returncode == 0, offline.stdout + offline.stderr
    assert total > 0, "nothing was acknowledged: the test tested nothing"
    print(f"{total} acknowledged records in {cycles} kills: none lost, none altered")


if __name__ == "__main__":
    sys.exit(main())
