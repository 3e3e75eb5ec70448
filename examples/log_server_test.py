"""The example keeps its promise: every line answered "ok" is in the pool after SIGKILL.

Method: start it, send lines (one cut in two packets), read the replies, kill it, start it on the
same pool, and read the log with `pst pool dump`.
"""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/e2e"))
import harness  # noqa: E402

server, pst, kind = sys.argv[1:4]
if kind == "xdp":
    harness.enter_xdp_world()
interface = "xdp:server" if kind == "xdp" else "kernel"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(pool, port):
    process = subprocess.Popen([*harness.World.prefix, server, pool, str(port), interface])
    for _ in range(300):
        try:
            return process, socket.create_connection((harness.World.host, port), timeout=10)
        except OSError:
            assert process.poll() is None, "the example ended by itself"
            time.sleep(0.05)
    raise AssertionError("the example does not listen")


def talk(connection, lines):
    text = "".join(line + "\n" for line in lines).encode()
    connection.sendall(text[:5])
    time.sleep(0.05)
    connection.sendall(text[5:])
    got = b""
    while len(got) < 3 * len(lines):
        more = connection.recv(4096)
        assert more, "the connection was closed early"
        got += more
    assert got == b"ok\n" * len(lines), got


if not os.access("/dev/shm", os.W_OK):
    print("SKIPPED: /dev/shm is not writable")
    sys.exit(77)
with tempfile.TemporaryDirectory(prefix="paste-example-", dir="/dev/shm") as place:
    pool = os.path.join(place, "orders.paste")
    kept = []
    for life in range(2):
        process, connection = start(pool, free_port())
        lines = [f"order {life}/{i}" for i in range(50)]
        talk(connection, lines)
        kept += lines
        process.send_signal(signal.SIGKILL)
        process.wait()
    dump = subprocess.run([pst, "pool", "dump", pool, "--log", "orders", "--form", "ndjson"],
                          capture_output=True, text=True, check=True).stdout
    found = [json.loads(line)["data"] for line in dump.splitlines()]
    assert found == kept, found
print("every acknowledged line was kept")
