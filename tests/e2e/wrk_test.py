"""Goal: the durable store carries real load: wrk appends, and every answer is a success.

Method: wrk with the POST script of bench/post.lua against both kinds of io, few and many
connections; not one answer may be anything but 2xx, no socket error; then the number of records in
the log must be at least what wrk counted, and the log must be whole.
"""
import pathlib
import re
import subprocess

import harness

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "bench" / "post.lua"


def load(server, connections, seconds):
    done = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(SCRIPT),
                           server.url.rstrip("/") + "/log/wrk"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Non-2xx" not in done.stdout and "Socket errors" not in done.stdout, done.stdout
    requests = int(re.search(r"(\d+) requests in", done.stdout)[1])
    assert requests > 0, done.stdout
    rate = re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)[1]
    print(f"  {connections} connections: {requests} requests, {rate}/s", flush=True)
    return requests


def check_io(given, io, size):
    with harness.temporary_directory(True) as directory:
        pool = f"{directory}/wrk.paste"
        # Everything is kept, so the pool bounds how long the load may be.
        with harness.Server(given.pst, pool, "--create", "--size", size, "--io", io,
                            "--retain-bytes", "256MiB") as server:
            answered = sum(load(server, connections, 1) for connections in (1, 16, 64))
            status, _, body = server.request("HEAD", "/log/wrk")
            assert status == 200, (status, body)
            _, headers, _ = server.request("GET", "/log/wrk?limit=1")
            appended = int(headers["Log-Next"]) - 1
            assert appended >= answered, (appended, answered)
            assert server.stop() == 0
        checked = harness.run_pst(given.pst, "pool", "check", pool)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def check_epoll(given):
    check_io(given, "epoll", "1GiB")


def check_uring(given):
    try:
        check_io(given, "uring", "1GiB")
    except harness.StartFailed as failure:
        assert "io_uring" in failure.output, failure
        print(f"  io_uring cannot be used here: {failure.output.strip()}")


def main():
    given = harness.arguments()
    harness.need_program("wrk")
    harness.run_checks([check_epoll, check_uring], given)


if __name__ == "__main__":
    main()
