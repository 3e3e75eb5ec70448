"""Goal: the HTTP front end does with the real curl what it promises, good and bad input alike.

Method: one server on a small pool; every route, every form of reading, long and chunked bodies,
Expect: 100-continue, pipelining and keep-alive, and each error status, by curl where curl can do
it and by a bare socket where it cannot.
"""
import json
import os
import pathlib
import re
import socket
import struct
import subprocess

import harness


def curl(server, path, *args, data=None):
    """(status, headers as text, body) by curl."""
    done = subprocess.run(
        ["curl", "-sS", "-g", "--max-time", "30", "-D", "/dev/stderr", *args,
         server.url.rstrip("/") + path],
        input=data, capture_output=True, timeout=60, check=False)
    head = done.stderr.decode("latin-1")
    statuses = re.findall(r"(?m)^HTTP/1\.[01] (\d+)", head)
    assert statuses, (done.returncode, head)
    return int(statuses[-1]), head, done.stdout


def raw(server, data, close=True):
    """Whatever the server answers to these bytes until it closes or is quiet."""
    with socket.create_connection(server.address, timeout=10) as connection:
        connection.sendall(data)
        if close:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer


def statuses(answer):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", answer)]


def check_append_and_read_back(server):
    for lsn, text in enumerate([b"first", b"second", b""], start=1):
        status, _, body = curl(server, "/log/basic", "--data-binary", "@-", data=text)
        assert (status, body) == (200, f"{lsn}\n".encode()), (status, body)
    status, head, body = curl(server, "/log/basic?from=1&limit=10", "-H",
                              "Accept: application/x-ndjson")
    assert status == 200 and "application/x-ndjson" in head
    records = [json.loads(line) for line in body.splitlines()]
    assert [(r["lsn"], r["data"]) for r in records] == [(1, "first"), (2, "second"), (3, "")]
    assert all(r["time"] > 1_600_000_000_000_000_000 for r in records), "no arrival time"


def check_binary_form(server):
    blob = os.urandom(5000)
    assert curl(server, "/log/binary", "--data-binary", "@-", data=blob)[0] == 200
    status, _, body = curl(server, "/log/binary?from=1")
    assert status == 200
    lsn, time_ns, length, _ = struct.unpack_from("<QQII", body)
    assert (lsn, length) == (1, len(blob)) and time_ns > 0
    assert body[24:] == blob
    status, _, body = curl(server, "/log/binary", "-H", "Accept: application/x-ndjson")
    assert harness.parse_record(body) == (1, blob), "not UTF-8: base64"


def check_post_to_root_is_log_default(server):
    assert curl(server, "/", "--data-binary", "as the original's scripts do")[0] == 200
    assert server.records("default")[-1][1] == b"as the original's scripts do"


def check_big_bodies(server):
    for size in (2047, 2048, 65536, 1 << 20, 9_000_001):
        blob = os.urandom(size)
        status, _, body = curl(server, "/log/big", "--data-binary", "@-", data=blob)
        assert status == 200, (size, status, body)
        lsn = int(body)
        status, _, body = curl(server, f"/log/big?from={lsn}&limit=1")
        assert status == 200 and body[24:] == blob, f"{size} bytes came back altered"


def check_chunked_body(server):
    blob = os.urandom(300_000)
    status, _, body = curl(server, "/log/chunked", "-H", "Transfer-Encoding: chunked", "-T", "-",
                           "-X", "POST", data=blob)
    assert status == 200, (status, body)
    assert server.records("chunked") == [(1, blob)]
    answer = raw(server, b"POST /log/chunked HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                 b"\r\n3;ext=1\r\nabc\r\n4\r\ndefg\r\n0\r\nTrailer: t\r\n\r\n")
    assert statuses(answer) == [200], answer
    assert server.records("chunked", 2) == [(2, b"abcdefg")]


def check_expect_continue(server):
    blob = b"e" * 4000
    status, head, _ = curl(server, "/log/expect", "-H", "Expect: 100-continue", "--data-binary",
                           "@-", data=blob)
    assert status == 200 and "100 Continue" in head, head
    assert server.records("expect") == [(1, blob)]


def check_keep_alive_and_pipelining(server):
    one = b"POST /log/pipe HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
    answer = raw(server, b"".join(one + b"%04d" % i for i in range(500)))
    assert statuses(answer) == [200] * 500
    lsns = [int(n) for n in re.findall(rb"\r\n\r\n(\d+)\n", answer)]
    assert lsns == list(range(1, 501)), "answers are out of order"
    assert server.records("pipe") == [(i + 1, b"%04d" % i) for i in range(500)]


def check_split_anywhere(server):
    request = (b"POST /log/split HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
               b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    for at in range(1, len(request), 7):
        with socket.create_connection(server.address, timeout=10) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(request[:at])
            connection.sendall(request[at:])
            answer = b""
            while part := connection.recv(65536):
                answer += part
        assert statuses(answer) == [200, 200], (at, answer)


def check_head_list_metrics_health(server):
    status, _, body = curl(server, "/healthz")
    assert (status, body) == (200, b"ok\n")
    status, head, body = curl(server, "/healthz", "-I")
    assert status == 200 and body.strip() in (b"", head.encode().strip())
    status, _, body = curl(server, "/metrics")
    assert status == 200 and re.search(rb"(?m)^# TYPE paste_\w+ (counter|gauge)", body), body[:300]
    status, head, body = curl(server, "/log")
    assert status == 200 and "basic" in body.decode(), body
    json.loads(body)
    status, head, body = curl(server, "/")
    assert status == 200 and b"pst" in body.lower() or b"paste" in body.lower(), body
    assert "text/html" in curl(server, "/", "-H", "Accept: text/html")[1]


def check_truncate_and_delete(server):
    for i in range(10):
        server.append("cut", b"record %d" % (i + 1))
    status, _, body = curl(server, "/log/cut?to=4", "-X", "DELETE")
    assert (status, body) == (200, b"4\n"), (status, body)
    status, _, body = curl(server, "/log/cut?lsn=7", "-X", "DELETE")
    assert status == 200, (status, body)
    assert [lsn for lsn, _ in server.records("cut")] == [4, 5, 6, 8, 9, 10]
    assert curl(server, "/log/cut?lsn=7", "-X", "DELETE")[0] == 404
    assert curl(server, "/log/cut", "-X", "DELETE")[0] == 400
    assert curl(server, "/log/cut?all=1", "-X", "DELETE")[0] == 200
    assert curl(server, "/log/cut")[0] == 404
    assert server.append("cut", b"again") == 1, "a new log of the same name starts anew"


def check_follow(server):
    server.append("follow", b"before")
    connection = server.connection()
    connection.request("GET", "/log/follow?from=1&follow=1",
                       headers={"Accept": "application/x-ndjson"})
    response = connection.getresponse()
    assert harness.parse_record(response.readline()) == (1, b"before")
    server.append("follow", b"after")
    assert harness.parse_record(response.readline()) == (2, b"after")
    connection.close()


def check_error_statuses(server):
    cases = [
        (400, "/log/.hidden", ["-d", "x"]),
        (400, "/log/" + "n" * 65, ["-d", "x"]),
        (400, "/log/basic?from=abc", []),
        (400, "/log/basic?limit=-1", []),
        (404, "/nothing", []),
        (404, "/log/none-such", []),
        (405, "/healthz", ["-X", "DELETE"]),
        (405, "/metrics", ["-d", "x"]),
        (405, "/log/basic", ["-X", "PATCH"]),
        (413, "/log/basic", ["--data-binary", "@-"]),
        (431, "/healthz", ["-H", "X-Long: " + "h" * 20000]),
    ]
    for wanted, path, args in cases:
        data = b"z" * (10 << 20) if wanted == 413 else None
        status, head, body = curl(server, path, *args, data=data)
        assert status == wanted, (path, args[:2], status, wanted)
        assert len(body.strip()) > 3, f"{path}: {status} without a reason"
        if wanted == 405:
            assert re.search(r"(?im)^allow: .*GET", head), head


def check_malformed_requests(server):
    for data in (b"NONSENSE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /\x01 HTTP/1.1\r\n\r\n",
                 b"POST /log/bad HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
                 b"POST /log/bad HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
                 b"Content-Length: 4\r\n\r\nabcd",
                 b"POST /log/bad HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
        answer = raw(server, data)
        assert statuses(answer) and statuses(answer)[0] in (400, 501, 505), (data, answer)
        assert re.search(rb"(?i)connection: close", answer), (data, answer)
    assert server.request("GET", "/log/bad")[0] == 404, "a malformed request stored something"


def check_cut_bodies_store_nothing(server):
    server.append("cutoff", b"whole")
    raw(server, b"POST /log/cutoff HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    raw(server, b"POST /log/cutoff HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n")
    assert server.records("cutoff") == [(1, b"whole")]


def check_full_pool(given):
    """507, nothing lost, reads still served, and room again after truncation."""
    with harness.temporary_directory(True) as directory, \
            harness.Server(given.pst, f"{directory}/small.paste", "--create", "--size",
                           "16MiB", listen=("http://127.0.0.1:0",)) as server:
        blob = b"f" * 100_000
        accepted = 0
        for _ in range(400):
            status, _, body = server.request("POST", "/log/full", blob)
            if status != 200:
                break
            accepted += 1
        assert status == 507, (status, body)
        assert accepted > 20, accepted
        assert len(server.records("full")) == accepted
        status, _, body = server.request("DELETE", f"/log/full?to={accepted}")
        assert status == 200, (status, body)
        harness.wait_until(lambda: server.request("POST", "/log/full", blob)[0] == 200,
                           what="room after truncation")
        assert server.stop() == 0


def check_unix_socket(given):
    with harness.temporary_directory(True) as directory:
        path = pathlib.Path(directory) / "pst.sock"
        with harness.Server(given.pst, f"{directory}/unix.paste", "--create", "--size", "16MiB",
                            listen=(f"http://unix:{path}",)) as server:
            done = subprocess.run(["curl", "-sS", "--unix-socket", str(path), "-d", "over unix",
                                   "http://localhost/log/u"], capture_output=True, timeout=30,
                                  check=False)
            assert done.stdout == b"1\n", (done.stdout, done.stderr)
            assert server.stop() == 0


def check_ipv6(given):
    with harness.temporary_directory(True) as directory:
        try:
            with harness.Server(given.pst, f"{directory}/six.paste", "--create", "--size", "16MiB",
                                listen=("http://[::1]:0",)) as server:
                assert curl(server, "/log/six", "-d", "x")[0] == 200
                assert server.stop() == 0
        except harness.StartFailed as failure:
            assert not os.path.exists("/proc/net/if_inet6"), failure


def check_udp(given):
    with harness.temporary_directory(True) as directory, \
            harness.Server(given.pst, f"{directory}/udp.paste", "--create", "--size", "16MiB",
                           listen=("http://127.0.0.1:0", "udp://127.0.0.1:0/datagrams")) as server:
        url = next(url for url in server.urls if url.startswith("udp://"))
        host, port = re.match(r"udp://([^:/]+):(\d+)", url).groups()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.connect((host, int(port)))
            for lsn, blob in enumerate([b"datagram", os.urandom(9000)], start=1):
                client.send(blob)
                assert client.recv(64).strip() == str(lsn).encode()
                assert server.records("datagrams")[-1] == (lsn, blob)
        assert server.stop() == 0


def main():
    given = harness.arguments()
    harness.need_program("curl")
    checks = [check for name, check in globals().items() if name.startswith("check_")]
    shared = [check for check in checks if check.__code__.co_varnames[0] == "server"]
    alone = [check for check in checks if check not in shared]

    def each(check, server):
        def run():
            check(server if check in shared else given)
        run.__name__ = check.__name__
        return run

    with harness.temporary_directory(True) as directory, \
            harness.Server(given.pst, f"{directory}/curl.paste", "--create", "--size", "256MiB",
                           "--max-body", "9500KiB") as server:
        harness.run_checks([each(check, server) for check in shared + alone])


if __name__ == "__main__":
    main()
