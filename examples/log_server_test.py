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

server, pst = sys.argv[1:3]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(pool, port):
    process = subprocess.Popen([server, pool, str(port)])
    for _ in range(300):
        try:
            return process, socket.create_connection(("127.0.0.1", port), timeout=10)
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
