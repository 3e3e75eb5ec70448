"""Goal: once it serves, a server holds no capability, cannot gain one, and may call little.

Method: what the kernel says of each of its threads (/proc/PID/task/*/status), as root, as another
user, and with the sandbox off; and that everything still works then, page pools included.
"""
import os
import pathlib
import pwd
import signal
import sys
import time

import harness


def threads(server):
    """What /proc says of each thread."""
    found = []
    for task in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        found.append(dict(line.split(":\t", 1) for line in lines if ":\t" in line))
    assert len(found) >= 2, found  # the signals have a thread of their own
    return found


def expect_confined(server, sandbox="2"):
    for thread in threads(server):
        for held in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(thread[held], 16) == 0, thread
        assert thread["NoNewPrivs"] == "1", thread
        assert thread["Seccomp"] == sandbox, thread


def use(server):
    """A life with a bit of everything; nothing may be refused by the sandbox."""
    for size in (0, 10, 5000, 3_000_000):
        record = os.urandom(size)
        lsn = server.append("used", record)
        assert dict(server.records("used", lsn))[lsn] == record
    assert server.request("GET", "/metrics")[0] == 200
    assert server.request("DELETE", "/log/used?all=1")[0] == 200
    time.sleep(1.2)  # housekeeping seals and scrubs
    server.append("used", b"again")
    assert server.stop() == 0
    said = server.error_text()
    assert "not permitted" not in said and "error" not in said, said


def check_as_started(given):
    with harness.temporary_directory(True) as directory:
        for io in ("uring", "epoll"):
            with harness.Server(given.pst, f"{directory}/{io}.paste", "--create", "--size",
                                "256MiB", "--io", io) as server:
                expect_confined(server)
                use(server)


def check_page_pools(given):
    with harness.temporary_directory(False) as directory:
        for disk_io in ("uring", "posix"):
            with harness.Server(given.pst, f"{directory}/{disk_io}.paste", "--create", "--size",
                                "256MiB", "--domain", "page", "--disk-io", disk_io) as server:
                expect_confined(server)
                use(server)


def check_another_user(given):
    if os.geteuid() != 0:
        print("not checked: only root can become another user")
        return
    with harness.temporary_directory(True) as directory:
        pool = f"{directory}/user.paste"
        with harness.Server(given.pst, pool, "--create", "--size", "256MiB", "--user",
                            "nobody") as server:
            expect_confined(server)
            uid = str(pwd.getpwnam("nobody").pw_uid)
            for thread in threads(server):
                assert set(thread["Uid"].split()) == {uid}, thread
                assert set(thread["Gid"].split()) == {str(pwd.getpwnam("nobody").pw_gid)}, thread
            use(server)
        try:
            harness.Server(given.pst, pool, "--user", "no-such-user")
            raise AssertionError("it started as a user that there is not")
        except harness.StartFailed as failed:
            assert "no user 'no-such-user'" in str(failed), failed


def check_without_sandbox_and_with_a_log_file(given):
    with harness.temporary_directory(True) as directory:
        with harness.Server(given.pst, f"{directory}/off.paste", "--create", "--size", "256MiB",
                            "--sandbox", "off") as server:
            expect_confined(server, sandbox="0")
            use(server)
        log = pathlib.Path(directory, "pst.log")
        with harness.Server(given.pst, f"{directory}/log.paste", "--create", "--size", "256MiB",
                            "--log-file", log) as server:
            expect_confined(server)
            log.rename(f"{log}.1")
            server.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + 10
            while not log.exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            assert log.exists(), "SIGHUP did not open the log file again"
            use(server)


def check_unix_sockets_go_at_the_end(given):
    with harness.temporary_directory(True) as directory:
        path = pathlib.Path(directory, "pst.sock")
        with harness.Server(given.pst, f"{directory}/unix.paste", "--create", "--size", "256MiB",
                            listen=[f"http://unix:{path}"]) as server:
            expect_confined(server)
            assert path.is_socket()
            assert server.stop() == 0
            assert not path.exists()


def main():
    given = harness.arguments()
    if "Seccomp:" not in pathlib.Path("/proc/self/status").read_text():
        print("skipped: this kernel has no seccomp")
        sys.exit(harness.SKIP)
    harness.run_checks([check_as_started, check_page_pools, check_another_user,
                        check_without_sandbox_and_with_a_log_file,
                        check_unix_sockets_go_at_the_end], given)


if __name__ == "__main__":
    main()
