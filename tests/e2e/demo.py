"""scripts/quickstart --demo: the promise, shown and checked.

Loads a server over many connections, kills it with SIGKILL in the middle, starts it again on the
same pool, and verifies every acknowledged record byte for byte. Prints the recovery time and a
chart of the latencies. Exit status 0: nothing was lost.
"""
import pathlib
import random
import shutil
import subprocess
import sys
import time

import harness
import kill_test
import loadgen

CONNECTIONS = 16
SECONDS = 3.0


def chart(latencies):
    """Lines of a histogram with one bar for each factor of the square root of two."""
    edges = []
    edge = 20e-6
    while edge < max(latencies) * 1.5:
        edges.append(edge)
        edge *= 2 ** 0.5
    counts = [0] * (len(edges) + 1)
    for latency in latencies:
        counts[sum(latency > edge for edge in edges)] += 1
    used = [i for i, count in enumerate(counts) if count]
    most = max(counts)
    for i in range(used[0], used[-1] + 1):
        sign, bound = ("<=", edges[i]) if i < len(edges) else (" >", edges[-1])
        label = f"{sign} {bound * 1e6:8.0f} us"
        bar = "#" * max(counts[i] > 0, round(50 * counts[i] / most))
        yield f"  {label}  {counts[i]:8d}  {bar}"


def quantile(ordered, q):
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def plot(latencies, svg):
    """The distribution as a picture, where gnuplot is installed."""
    ordered = sorted(latencies)
    data = "\n".join(f"{latency * 1e6} {100 * (i + 1) / len(ordered)}"
                     for i, latency in enumerate(ordered)
                     if i % max(1, len(ordered) // 2000) == 0)
    script = f"""set terminal svg size 800,500 background 'white'
set output '{svg}'
set title 'Durable append: share of requests answered within a time'
set xlabel 'microseconds'
set ylabel '% of requests'
set logscale x
set grid
unset key
plot '-' using 1:2 with lines linewidth 2
{data}
e
"""
    done = subprocess.run(["gnuplot"], input=script, text=True, capture_output=True, check=False)
    return done.returncode == 0


def recovery_of(server):
    return next(line.split(None, 1)[1] for line in server.lines if line.startswith("recovery"))


def main():
    given = harness.arguments(directory={"type": pathlib.Path, "default": pathlib.Path(".")},
                              picture={"type": pathlib.Path, "default": None})
    pool = given.directory / "demo.paste"
    if pool.exists():
        pool.unlink()
    checker = kill_test.Checker()
    print(f"1. a server on a new pool, {pool}", flush=True)
    with harness.Server(given.pst, pool, "--create", "--size", "512MiB") as server:
        print("\n".join("   " + line for line in server.lines))
        print(f"2. load: {CONNECTIONS} connections append records, every acknowledgement is noted",
              flush=True)
        load = loadgen.LoadGenerator(server.address, "orders", run=1,
                                     seed=random.getrandbits(64), connections=CONNECTIONS,
                                     depth=1, sizes=(900, 1100)).start()
        time.sleep(SECONDS)
        print(f"3. kill -9 {server.process.pid}, in the middle of it", flush=True)
        server.kill()
        load.join()
    if load.refused or not load.acknowledged:
        sys.exit(f"the load went wrong: {len(load.acknowledged)} acknowledged, "
                 f"refused: {load.refused[:3]}")
    checker.acknowledged.update(load.acknowledged)
    print(f"   {load.sent} sent, {len(load.acknowledged)} acknowledged before the end")
    with harness.Server(given.pst, pool) as server:
        print(f"4. the server again, on the same pool: {recovery_of(server)}", flush=True)
        records = server.records("orders")
        try:
            checker.check(records)
        except AssertionError as failure:
            sys.exit(f"FAILED: {failure}")
        print(f"5. {len(records)} records read back; all {len(load.acknowledged)} acknowledged "
              "ones are there, byte for byte, under their LSNs, without a hole")
        server.stop()
    print("\nLatency from the first byte sent to the acknowledgement (client in Python included):")
    print("\n".join(chart(load.latencies)))
    ordered = sorted(load.latencies)
    print("  " + ", ".join(f"p{q * 100:g} {quantile(ordered, q) * 1e6:.0f} us"
                           for q in (0.5, 0.9, 0.99, 0.999)))
    if given.picture and shutil.which("gnuplot") and plot(load.latencies, given.picture):
        print(f"  as a picture: {given.picture}")
    pool.unlink()
    print("\nThe demonstration passed.")


if __name__ == "__main__":
    main()
