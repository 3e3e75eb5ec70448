"""Ten thousand idle connections must cost little: resident memory beside the pool <= 64 MiB.

Starts `pst serve` on a tmpfs pool, once for each way of doing I/O, opens 10 000 connections, posts
one record over each, leaves them idle, and adds up the resident pages of every mapping of the
server but the pool's own. Then the store must still take a record over the first connection and
over the last.

    idle_connections.py PST [CONNECTIONS]
"""

import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time

CONNECTIONS = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
LIMIT_MIB = 64
SKIP = 77
BODY = b"x" * 1024
REQUEST = (b"POST /log/idle HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY)) + BODY


def resident(pid, pool):
    """MiB by kind of mapping, the pool's left out."""
    kinds, kind = {}, None
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):  # a mapping: range, rights, offset, device, inode, path
            path = " ".join(words[5:])
            kind = None if path.startswith(pool) else os.path.basename(path) or "anonymous"
        elif words[0] == "Rss:" and kind is not None:
            kinds[kind] = kinds.get(kind, 0) + int(words[1]) / 1024
    return kinds


def post(connection):
    connection.sendall(REQUEST)
    return b"HTTP/1.1 200" in connection.recv(4096)


def connect(port):
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=30)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "the server does not listen"
            time.sleep(0.05)


def post_on_all(connections):
    """One request over each, many at a time; how many were answered with 200."""
    good, step = 0, 256
    for start in range(0, len(connections), step):
        part = connections[start : start + step]
        for c in part:
            c.sendall(REQUEST)
        good += sum(b"HTTP/1.1 200" in c.recv(4096) for c in part)
    return good


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def measure(pst, io, folder):
    pool, port = os.path.join(folder, f"{io}.paste"), free_port()
    command = [pst, "serve", "--pool", pool, "--create", "--size", "256MiB", "--io", io, "--poll",
               "block", "--listen", f"http://127.0.0.1:{port}"]
    connections = []
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            first = connect(port)
            before = sum(resident(server.pid, pool).values())
            connections = [first] + [connect(port) for _ in range(CONNECTIONS - 1)]
            good = post_on_all(connections)
            assert good == CONNECTIONS, f"only {good} of {CONNECTIONS} were served"
            time.sleep(1)  # idle: what was queued has been sent, what was released is released
            kinds = resident(server.pid, pool)
            assert post(connections[0]) and post(connections[-1]), "not served any more"
            print(f"{io}: {before:.1f} MiB with one connection, {sum(kinds.values()):.1f} MiB with "
                  f"{CONNECTIONS} idle ones: "
                  + ", ".join(f"{k} {v:.1f}" for k, v in
                              sorted(kinds.items(), key=lambda item: -item[1])[:5]), flush=True)
            return sum(kinds.values())
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace")[-4000:])
            raise
        finally:
            for c in connections:
                c.close()
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def main():
    needed = CONNECTIONS + 200
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        limit = max(needed, hard) if hard != resource.RLIM_INFINITY else needed
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, limit))
    except (ValueError, OSError) as refused:
        print(f"skipped: {needed} open files are not allowed here, only {hard} ({refused})")
        return SKIP
    if not os.path.isdir("/dev/shm"):
        print("skipped: there is no /dev/shm")
        return SKIP
    with tempfile.TemporaryDirectory(prefix="paste-memory-", dir="/dev/shm") as folder:
        used = {io: measure(sys.argv[1], io, folder) for io in ("uring", "epoll")}
    over = {io: mib for io, mib in used.items() if mib > LIMIT_MIB}
    if over:
        print(f"more than {LIMIT_MIB} MiB: {over}")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
