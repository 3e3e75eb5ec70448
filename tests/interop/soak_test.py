"""Hours of an imperfect network leave nothing behind.

Method: a server on an xdp port, clients of the kernel's TCP behind a link that loses 1 % of the
frames, and reorders, duplicates and delays some; they write, read back, reconnect, reset and leave
in the middle. The log keeps its newest records only. Every few seconds the server's buffers,
connections and resident memory are looked at; at the end, with the clients gone, buffers and
connections must be back to what they were, and memory must not have grown since the first third.
PASTE_SOAK_SECONDS says how long (default 12).
"""
import argparse
import os
import pathlib
import random
import re
import signal
import sys
import tempfile
import threading
import time

import xdp_interop_test as world

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
import harness  # noqa: E402

SECONDS = float(os.environ.get("PASTE_SOAK_SECONDS", "12"))
CLIENTS = 12
KEPT = 500  # records
NETWORK = ["--loss", "1", "--duplicate", "0.5", "--reorder", "0.5", "--jitter", "500us"]
HOST = world.HOSTS["4"][0]
GROWTH_MIB = 8


class Client(threading.Thread):
    """Does one thing after another, on connections of its own, until told to end."""

    def __init__(self, seed, end):
        super().__init__()
        self.draw, self.end = random.Random(seed), end
        self.done = self.late = 0
        self.wrong = None

    def run(self):
        while time.monotonic() < self.end and self.wrong is None:
            try:
                with world.connect(HOST) as connection:
                    connection.settimeout(60)
                    self.live(connection)
            except TimeoutError:
                self.late += 1
            except (world.Wrong, OSError, world.http.client.HTTPException) as error:
                self.wrong = f"{type(error).__name__}: {error}"

    def live(self, connection):
        for _ in range(self.draw.randrange(1, 30)):
            if time.monotonic() > self.end:
                return
            size = self.draw.choice((1, 100, 1024, 1024, 3000, 30_000, 200_000))
            body = world.body_of(self.draw.random(), size)
            what = self.draw.random()
            if what < 0.02:  # leaves in the middle
                connection.sendall(world.head_of(body) + body[:size // 2])
                if self.draw.random() < 0.5:
                    connection.setsockopt(world.socket.SOL_SOCKET, world.socket.SO_LINGER,
                                          world.struct.pack("ii", 1, 0))
                return
            lsn = world.post(connection, body)
            if what < 0.3:
                connection.sendall(f"GET /log/i?from={lsn}&limit=1 HTTP/1.1\r\nHost: i\r\nAccept: "
                                   "application/octet-stream\r\n\r\n".encode())
                reply = world.http.client.HTTPResponse(connection)
                reply.begin()
                got = reply.read()
                # The newest only are kept: it may be gone already.
                world.check(body in got or reply.status in (200, 404),
                            f"record {lsn} came back as {len(got)} bytes")
            self.done += 1


def look(server):
    """Buffers held, connections, and resident MiB beside the pool."""
    with world.connect(HOST) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: i\r\n\r\n")
        reply = world.http.client.HTTPResponse(connection)
        reply.begin()
        text = reply.read().decode()
    buffers = dict(re.findall(r'paste_pool_buffers\{state="(\w+)"\} (\d+)', text))
    connections = int(re.search(r"^paste_connections (\d+)", text, re.M).group(1))
    resident, own = 0, False
    for line in pathlib.Path(f"/proc/{server}/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            own = "ours.paste" not in line
        elif own and words[0] == "Rss:":
            resident += int(words[1])
    return {name: int(n) for name, n in buffers.items()}, connections, resident / 1024


def server_process(parent):
    """`ip netns exec` becomes the server itself."""
    return parent.process.pid


def soak(given, directory, inside):
    pool = f"{directory}/ours.paste"
    with world.Process([*inside, given.pst, "serve", "--pool", pool, "--create", "--size", "256MiB",
                        "--retain-count", KEPT, "--port", "xdp:ours", "--listen",
                        f"http://{HOST}:{world.PORT}"], r"listening on") as server:
        pid = server_process(server)
        before, _, _ = look(pid)
        end = time.monotonic() + SECONDS
        clients = [Client(seed, end) for seed in range(CLIENTS)]
        for client in clients:
            client.start()
        third = None
        while time.monotonic() < end:
            time.sleep(min(5.0, SECONDS / 12))
            buffers, connections, resident = look(pid)
            if third is None and time.monotonic() > end - SECONDS * 2 / 3:
                third = resident
            if SECONDS >= 60:
                print(f"{end - time.monotonic():6.0f} s left: {sum(c.done for c in clients)} "
                      f"requests, buffers {buffers}, {connections} connections, {resident:.1f} MiB",
                      flush=True)
        for client in clients:
            client.join()
        wrong = [client.wrong for client in clients if client.wrong]
        world.check(not wrong, f"{len(wrong)} clients failed, the first: {wrong[:1]}")
        done, late = sum(c.done for c in clients), sum(c.late for c in clients)
        world.check(done > SECONDS * 20, f"only {done} requests")
        # Nothing answers for minutes only where the same segment is lost again and again.
        world.check(late <= 1 + SECONDS / 60, f"{late} connections were stuck for a minute")
        settle(pid, before)
        _, _, resident = look(pid)
        world.check(resident - third < GROWTH_MIB,
                    f"memory grew from {third:.1f} to {resident:.1f} MiB")
        status, said = server.stop()
        world.check(status == 0, f"pst serve ended with {status}: {said}")
        print(f"{done} requests in {SECONDS:.0f} s; memory {third:.1f} MiB after a third, "
              f"{resident:.1f} MiB at the end")
    checked = harness.run_pst(given.pst, "pool", "check", pool)
    world.check(checked.returncode == 0, f"pst pool check: {checked.stdout} {checked.stderr}")


def settle(pid, before):
    """Nothing but the newest records, and what was held at the start, may be left."""
    with world.connect(HOST) as connection:  # small records push out the large ones
        for i in range(KEPT):
            world.post(connection, b"small")
    deadline = time.monotonic() + 90  # half-open requests end after 30 s
    while True:
        buffers, connections, _ = look(pid)
        grown = sum(n for state, n in buffers.items() if state != "free") - sum(
            n for state, n in before.items() if state != "free")
        # One connection is the look itself; each kept record came in a buffer of its own.
        if connections <= 1 and grown <= KEPT + 64:
            return
        world.check(time.monotonic() < deadline,
                    f"{connections} connections and {grown} buffers stayed: {before} {buffers}")
        time.sleep(0.5)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pst", required=True, type=pathlib.Path)
    parser.add_argument("--impair", required=True, type=pathlib.Path)
    given = parser.parse_args()
    given.pst, given.impair = given.pst.resolve(), given.impair.resolve()
    if os.geteuid() != 0:
        harness.skip("network namespaces need root")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the namespaces go
    try:
        made, inside, wire = world.make_world()
    except (OSError, RuntimeError) as error:
        harness.skip(str(error))
    try:
        with tempfile.TemporaryDirectory(prefix="paste-soak-", dir="/dev/shm") as directory, \
                world.Process([*wire, given.impair, "left", "right", "--seed", "5", "--monitor",
                               "left", *NETWORK], "ready") as network:
            soak(given, directory, inside)
            result = world.json.loads(network.stop()[1])
        world.check(result["monitor"]["problem"] == "", result["monitor"]["problem"])
        world.check(result["rightward"]["dropped"] > 0, f"nothing was lost: {result}")
        print(f"judged: {result['monitor']['frames']} frames of "
              f"{result['monitor']['connections']} connections")
    finally:
        world.remove_world(made)


if __name__ == "__main__":
    main()
