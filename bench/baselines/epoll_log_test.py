"""That the baseline is a correct server, or a comparison with it would be worth nothing.

Posts records whole, pipelined and in pieces, kills the server, reads the log file by the format in
epoll_log.cc, and expects every acknowledged record there, whole and in order; then starts it again
and expects the LSNs to go on. Also: a full log refuses, a wrapping one goes on, bad requests get
their error.
"""

import os
import socket
import struct
import subprocess
import sys
import tempfile
import time

LINE = 64


def crc32c_table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = (i >> 1) ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    return table


TABLE = crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283


def records(path):
    """[(lsn, data)] from the front of the file."""
    found, at = [], 0
    with open(path, "rb") as f:
        log = f.read()
    while at + 16 <= len(log):
        length, crc, lsn = struct.unpack_from("<IIQ", log, at)
        data = log[at + 16 : at + 16 + length]
        if lsn == 0 or crc32c(struct.pack("<QI", lsn, length) + data) != crc:
            break
        if found and lsn != found[-1][0] + 1:
            break
        found.append((lsn, data))
        at += (16 + length + LINE - 1) // LINE * LINE
    return found


class Server:
    def __init__(self, program, path, *options):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        command = [program, "--listen", f"127.0.0.1:{self.port}", "--file", path, *options]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                assert self.process.poll() is None and time.monotonic() < deadline
                time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


def request(body):
    return b"POST /log/x HTTP/1.1\r\nHost: x\r\ncontent-LENGTH: %d\r\n\r\n" % len(body) + body


def reply(stream):
    """(status, body)"""
    status = int(stream.readline().split()[1])
    length = 0
    while (line := stream.readline()) != b"\r\n":
        name, value = line.split(b":", 1)
        length = int(value) if name.lower() == b"content-length" else length
    return status, stream.read(length)


def post(server, bodies, cut=None):
    """Sends all requests in one go (or in pieces of `cut` bytes); the LSNs."""
    with server.connect() as s, s.makefile("rb") as stream:
        wire = b"".join(request(b) for b in bodies)
        for i in range(0, len(wire), cut or len(wire)):
            s.sendall(wire[i : i + (cut or len(wire))])
            if cut:
                time.sleep(0.002)
        lsns = []
        for _ in bodies:
            status, body = reply(stream)
            assert status == 200, status
            lsns.append(int(body))
        return lsns


def test_durable(program, path):
    acknowledged = []
    with Server(program, path, "--size", "16MiB", "--busy") as server:
        for size in (0, 1, 47, 48, 49, 1024, 20_000, 300_000):
            body = bytes(i * 7 % 251 for i in range(size))
            acknowledged += zip(post(server, [body]), [body])
        many = [b"pipelined %d" % i * (i % 90) for i in range(200)]
        acknowledged += zip(post(server, many), many)
        pieces = [b"a" * 300, b"", b"b" * 200]
        acknowledged += zip(post(server, pieces, cut=41), pieces)
    assert [lsn for lsn, _ in acknowledged] == list(range(1, len(acknowledged) + 1))
    assert records(path) == acknowledged
    with Server(program, path, "--size", "16MiB", "--block") as server:
        assert post(server, [b"again"]) == [len(acknowledged) + 1]
    assert records(path) == acknowledged + [(len(acknowledged) + 1, b"again")]


def test_full_and_wrap(program, path):
    body = b"x" * 100_000
    with Server(program, path, "--size", "1MiB") as server:
        with server.connect() as s, s.makefile("rb") as stream:
            seen = []
            for _ in range(12):
                s.sendall(request(body))
                seen.append(reply(stream)[0])
    assert seen == [200] * 10 + [507] * 2, seen
    with Server(program, path, "--size", "1MiB", "--wrap") as server:
        assert post(server, [body] * 15) == list(range(11, 26))
    assert [lsn for lsn, _ in records(path)] == list(range(21, 26))


def test_refusals(program, path):
    with Server(program, path, "--size", "1MiB") as server:
        for wire, status in (
            (b"GET / HTTP/1.1\r\n\r\n", 405),
            (b"nonsense\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\n\r\n", 411),
            (b"POST / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", 413),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
            (b"POST /" + b"x" * 20_000, 431),
        ):
            with server.connect() as s, s.makefile("rb") as stream:
                s.sendall(wire)
                got, _ = reply(stream)
                assert got == status, (wire[:60], got)
    assert records(path) == []


def main():
    for test in (test_durable, test_full_and_wrap, test_refusals):
        folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
        with tempfile.TemporaryDirectory(prefix="epoll-log-", dir=folder) as scratch:
            test(sys.argv[1], os.path.join(scratch, "log"))
        print(f"{test.__name__}: ok")


if __name__ == "__main__":
    main()
