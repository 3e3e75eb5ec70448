"""Goal: pst says precisely what is wrong, and ends with the right status.

Method: every option error, every command, the precedence of command line, environment and file,
damaged pools, a second process on a pool, a port in use, and the signals, on the real program.
"""
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

import harness


def expect(given, status, *args, words=(), env=None):
    """Runs pst; the status must be `status`, and the message must hold every word."""
    done = harness.run_pst(given.pst, *args, env=env)
    said = done.stdout + done.stderr
    assert done.returncode == status, (args, done.returncode, said)
    for word in words:
        assert word in said, (args, word, said)
    for bad in ("terminate called", "Aborted", "Segmentation", "    #0 ", "core dumped"):
        assert bad not in said, (args, said)
    return done.stdout


def make_pool(given, directory, name="a.paste", records=()):
    """A small pool; its log `orders` holds the records."""
    pool = pathlib.Path(directory) / name
    with harness.Server(given.pst, pool, "--create", "--size", "16MiB") as server:
        for record in records:
            server.append("orders", record)
        assert server.stop() == 0
    return pool


def check_help_teaches(given):
    for args in (["--help"], ["serve", "--help"], ["pool", "--help"], ["pool", "create", "--help"],
                 ["pool", "info", "--help"], ["pool", "check", "--help"],
                 ["pool", "dump", "--help"], ["doctor", "--help"]):
        text = expect(given, 0, *args)
        assert "Usage" in text, text
        if args != ["pool", "--help"]:
            assert "pst " + args[0].replace("--help", "serve") in text, (args, text)
    assert expect(given, 0, "--version").startswith("pst ")
    assert json.loads(expect(given, 0, "--version", "--json"))["name"] == "pst"


def check_wrong_options_name_option_value_and_choice(given):
    pool = ["--pool", "/dev/null/x"]
    cases = [
        (["--size", "2XB"], ["--size", "'2XB'", "GiB"]),
        (["--domain", "disk"], ["--domain", "'disk'", "auto, memory, process, page"]),
        (["--poll", "hard"], ["--poll", "'hard'", "busy, block, adaptive"]),
        (["--io", "aio"], ["--io", "'aio'", "auto, uring, epoll"]),
        (["--disk-io", "aio"], ["--disk-io", "'aio'", "auto, uring, posix"]),
        (["--port", "dpdk"], ["--port", "'dpdk'", "kernel"]),
        (["--media-delay", "10"], ["--media-delay", "'10'", "10us"]),
        (["--max-connections", "0"], ["--max-connections", "'0'", "from 1 to"]),
        (["--max-body", "1TiB"], ["--max-body", "'1TiB'", "64 MiB"]),
        (["--idle-timeout", "soon"], ["--idle-timeout", "'soon'"]),
        (["--retain-count", "many"], ["--retain-count", "'many'", "whole number"]),
        (["--log-level", "loud"], ["--log-level", "'loud'", "debug, info, warning or error"]),
        (["--listen", "gopher://x"], ["--listen", "gopher://x", "http://"]),
        (["--listen", "http://127.0.0.1:99999"], ["--listen", "99999"]),
        (["--listen", "http://localhost:1"], ["--listen", "localhost"]),
        (["--cpu", "first"], ["--cpu", "'first'"]),
        (["--create=perhaps"], ["--create", "'perhaps'", "true or false"]),
        (["--io", "epoll", "--io", "uring"], ["--io", "more than once"]),
        (["--nonsense"], ["--nonsense", "--help"]),
    ]
    for args, words in cases:
        expect(given, 2, "serve", *pool, *args, words=words)
    expect(given, 2, "serve", words=["--pool", "PST_POOL", "--create"])
    expect(given, 2, words=["serve", "pool", "doctor"])
    expect(given, 2, "bogus", words=["bogus", "--help"])
    expect(given, 2, "pool", words=["create", "info", "check", "dump"])
    expect(given, 2, "pool", "check", words=["PATH"])
    expect(given, 2, "pool", "dump", "x", "--form", "xml", words=["--form", "'xml'", "ndjson"])


def check_precedence(given):
    """Command line over environment over file over default, seen through --log-level's error."""
    with harness.temporary_directory(True) as directory:
        config = pathlib.Path(directory) / "pst.toml"
        config.write_text('[serve]\npool = "/nonexistent/p.paste"\nsize = "1zz"\n')
        said = ["serve", "--config", config]
        expect(given, 2, *said, words=[f"{config}:3: size", "'1zz'"])
        expect(given, 2, *said, env={"PST_SIZE": "2zz"}, words=["PST_SIZE", "'2zz'"])
        expect(given, 2, *said, "--size", "3zz", env={"PST_SIZE": "2zz"}, words=["--size", "'3zz'"])
        # A good value from a stronger place hides a bad one from a weaker.
        expect(given, 1, *said, "--size", "16MiB", words=["/nonexistent/p.paste"])
        expect(given, 1, *said, env={"PST_SIZE": "16MiB"}, words=["/nonexistent/p.paste"])
        expect(given, 2, "serve", env={"PST_CONFIG": str(config)}, words=["'1zz'"])
        config.write_text("[serve]\nbogus = 1\n")
        expect(given, 2, *said, words=[f"{config}:2: bogus", "no such option"])
        config.write_text("bogus = 1\n")
        expect(given, 2, *said, words=["[serve]"])
        config.write_text("[serve\n")
        expect(given, 2, *said, words=[f"{config}:1"])
        config.write_text('[serve]\nio = ["epoll", "uring"]\n')
        expect(given, 2, *said, words=["io", "not a list"])
        expect(given, 1, "serve", "--config", "/nonexistent.toml", words=["/nonexistent.toml"])


def check_everything_from_the_file(given):
    with harness.temporary_directory(True) as directory:
        config = pathlib.Path(directory) / "pst.toml"
        config.write_text(
            f'[serve]\ncreate = true\nsize = "16MiB"\nio = "epoll"\nmax-connections = 100\n'
            f'listen = ["http://127.0.0.1:0", "http://127.0.0.1:0"]\nlog-level = "debug"\n')
        with harness.Server(given.pst, f"{directory}/f.paste", "--config", config, listen=()) as s:
            s._read_start(2)
            assert len(s.urls) == 2 and len(set(s.urls)) == 2, s.lines
            assert any("epoll" in line for line in s.lines), s.lines
            assert s.append("x", b"1") == 1
            assert s.stop() == 0


def check_start_says_what_it_serves(given):
    with harness.temporary_directory(True) as directory:
        pool = pathlib.Path(directory) / "s.paste"
        with harness.Server(given.pst, pool, "--create", "--size", "16MiB") as server:
            text = "\n".join(server.lines)
            for word in (str(pool), "process", "survives", "kernel (", "created", "listening on"):
                assert word in text, (word, text)
            server.append("orders", b"x")
            assert server.stop() == 0
        with harness.Server(given.pst, pool, "--create", "--json") as server:
            start = json.loads(server.lines[0])
            assert start["created"] is False and start["domain"] == "process", start
            assert start["recovery"]["logs"] == 1 and start["recovery"]["records"] == 1, start
            assert start["recovery"]["damaged"] == 0 and start["recovery"]["seconds"] > 0, start
            assert server.stop() == 0


def check_pool_commands(given):
    with harness.temporary_directory(True) as directory:
        pool = pathlib.Path(directory) / "made.paste"
        expect(given, 0, "pool", "create", pool, "--size", "16MiB", words=["16 MiB", "process"])
        expect(given, 1, "pool", "create", pool, words=["exists"])
        expect(given, 0, "pool", "check", pool, words=["clean"])
        expect(given, 0, "pool", "info", pool, words=["16 MiB"])
        blob = bytes(range(256)) * 20
        with harness.Server(given.pst, pool) as server:
            server.append("orders", "schön\n".encode())
            server.append("orders", blob)
            assert server.stop() == 0
        info = json.loads(expect(given, 0, "pool", "info", pool, "--json"))
        assert info["records"] == 2 and info["record_bytes"] == 7 + len(blob), info
        assert info["space_amplification"] >= 1 and info["buffers_held"] > 0, info
        assert info["logs"][0]["name"] == "orders" and info["logs"][0]["next"] == 3, info
        check = json.loads(expect(given, 0, "pool", "check", pool, "--json"))
        assert check["clean"] is True and check["records_good"] == 2, check

        dump = ["pool", "dump", pool, "--log", "orders"]
        lines = expect(given, 0, *dump, "--form", "ndjson").splitlines()
        assert [harness.parse_record(line) for line in lines] == [(1, "schön\n".encode()),
                                                                  (2, blob)]
        assert "sch\\xc3\\xb6n\\n" in expect(given, 0, *dump, "--limit", "1")
        assert expect(given, 0, *dump, "--from", "2", "--limit", "1").startswith("2 ")
        assert "00 01 02 03" in expect(given, 0, *dump, "--form", "hex", "--from", "2")
        raw = harness.run_pst(given.pst, *dump, "--form", "raw", text=False)
        assert raw.stdout == "schön\n".encode() + blob
        places = [json.loads(line) for line in
                  expect(given, 0, *dump, "--form", "places").splitlines()]
        assert [place["lsn"] for place in places] == [1, 2]
        for place, data in zip(places, ("schön\n".encode(), blob)):
            stored = b"".join(
                pathlib.Path(pool).read_bytes()[2048 * p["buffer"] + p["offset"]:][:p["length"]]
                for p in place["places"])
            assert stored == data, place
        expect(given, 1, "pool", "dump", pool, "--log", "none", words=["--log", "'none'", "orders"])
        expect(given, 0, "pool", "dump", pool, "--superblock", words=["copy 0", "copy 1", "good"])
        expect(given, 0, "pool", "dump", pool, "--buffer", "64", words=["|ROOTPAGE"])
        expect(given, 1, "pool", "dump", pool, "--buffer", "4000000", words=["--buffer"])


def check_missing_things(given):
    with harness.temporary_directory(True) as directory:
        for command in ("info", "check", "dump"):
            expect(given, 1, "pool", command, f"{directory}/none.paste", words=["none.paste"])
        expect(given, 1, "serve", "--pool", f"{directory}/none.paste", words=["none.paste",
                                                                             "--create"])
        expect(given, 1, "serve", "--pool", f"{directory}/no/dir/p.paste", "--create",
               words=["no/dir"])
        expect(given, 1, "serve", "--pool", directory, words=[directory])
        expect(given, 1, "serve", "--pool", f"{directory}/p.paste", "--create", "--size", "16MiB",
               "--log-file", "/nonexistent/pst.log", words=["/nonexistent/pst.log"])
        text = pathlib.Path(directory) / "text.paste"
        text.write_bytes(b"this is no pool\n" * 100_000)
        expect(given, 1, "serve", "--pool", text, words=["pst pool check"])
        expect(given, 2, "pool", "check", text, words=["superblock"])
        # A pool that is not there must not come into being by being looked at.
        assert sorted(os.listdir(directory)) == ["text.paste"], os.listdir(directory)


def check_no_room_on_the_disk(given):
    with harness.temporary_directory(True) as directory:
        pool = pathlib.Path(directory) / "huge.paste"
        expect(given, 1, "serve", "--pool", pool, "--create", "--size", "4TiB", words=["no room"])
        assert os.listdir(directory) == [], "a failed creation leaves something behind"


def check_domain_that_the_place_cannot_give(given):
    with harness.temporary_directory(True) as directory:
        for domain in ("page", "memory"):
            expect(given, 1, "serve", "--pool", f"{directory}/d.paste", "--create", "--size",
                   "16MiB", "--domain", domain, words=["process"])


def check_read_only_and_forbidden_files(given):
    with harness.temporary_directory(False) as directory:
        pool = make_pool(given, directory)
        if os.geteuid() == 0:
            demote = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        else:
            demote = []
        os.chmod(directory, 0o755)
        os.chmod(pool, 0o444)
        done = subprocess.run([*demote, str(given.pst), "serve", "--pool", str(pool)],
                              capture_output=True, text=True, timeout=30, check=False)
        if "setpriv" in done.stderr or "xec" in done.stderr:
            print(f"  left out: {done.stderr.strip()}")
            return
        assert done.returncode == 1 and "permission" in done.stderr.lower(), done.stderr


def check_second_process_and_port_in_use(given):
    with harness.temporary_directory(True) as directory:
        pool = pathlib.Path(directory) / "one.paste"
        with harness.Server(given.pst, pool, "--create", "--size", "16MiB") as server:
            expect(given, 1, "serve", "--pool", pool, "--listen", "http://127.0.0.1:0",
                   words=[str(pool), "in use", str(server.process.pid)])
            for command in ("info", "check", "dump"):
                expect(given, 1, "pool", command, pool, words=["in use"])
            port = server.address[1]
            expect(given, 1, "serve", "--pool", f"{directory}/two.paste", "--create", "--size",
                   "16MiB", "--listen", f"http://127.0.0.1:{port}", words=[f"127.0.0.1:{port}"])
            assert server.append("still", b"serving") == 1
            assert server.stop() == 0


def check_damaged_record(given):
    with harness.temporary_directory(True) as directory:
        marker = b"MARKER-" + b"m" * 500
        pool = make_pool(given, directory, records=[b"before", marker, b"after"])
        data = bytearray(pool.read_bytes())
        at = data.index(marker)
        data[at + 100] ^= 1
        pool.write_bytes(data)
        expect(given, 2, "pool", "check", pool, words=["record 2 of log orders", "DAMAGED"])
        report = json.loads(expect(given, 2, "pool", "check", pool, "--json"))
        assert not report["clean"] and report["records_good"] == 2, report
        expect(given, 2, "pool", "dump", pool, "--log", "orders", words=["before", "after",
                                                                        "record 2"])
        # One damaged record is no reason not to serve the others.
        with harness.Server(given.pst, pool) as server:
            assert server.request("GET", "/log/orders?from=2&limit=1")[0] == 500
            assert server.request("GET", "/log/orders?from=3&limit=1")[0] == 200
            assert server.stop() == 0


def check_damaged_superblocks(given):
    with harness.temporary_directory(True) as directory:
        pool = make_pool(given, directory, records=[b"kept"])
        good = pool.read_bytes()
        for copy, offset in enumerate((0, 65536)):
            data = bytearray(good)
            data[offset + 16] ^= 0xFF
            pool.write_bytes(data)
            expect(given, 2, "pool", "check", pool, words=[f"superblock copy {copy}"])
            with harness.Server(given.pst, pool) as server:
                assert server.records("orders") == [(1, b"kept")], "the other copy serves"
                assert server.stop() == 0
        data = bytearray(good)
        for offset in (0, 65536):
            data[offset:offset + 64] = bytes(64)
        pool.write_bytes(data)
        expect(given, 2, "pool", "check", pool, words=["superblock"])
        expect(given, 1, "serve", "--pool", pool, words=[f"pst pool check {pool}"])
        expect(given, 1, "serve", "--pool", pool, "--create", words=[f"pst pool check {pool}"])
        assert pool.read_bytes() == bytes(data), "a refused pool was changed"


def check_damaged_root_page(given):
    with harness.temporary_directory(True) as directory:
        pool = make_pool(given, directory, records=[b"kept"])
        data = bytearray(pool.read_bytes())
        data[131072 + 8:131072 + 40] = b"\xEE" * 32
        pool.write_bytes(data)
        expect(given, 2, "pool", "check", pool, words=["root page"])
        expect(given, 1, "serve", "--pool", pool, words=[f"pst pool check {pool}"])


def check_cut_pool(given):
    with harness.temporary_directory(True) as directory:
        pool = make_pool(given, directory, records=[b"kept"])
        os.truncate(pool, 1 << 20)
        assert harness.run_pst(given.pst, "pool", "check", pool).returncode in (1, 2)
        expect(given, 1, "serve", "--pool", pool)


def check_clean_end_and_second_signal(given):
    with harness.temporary_directory(True) as directory:
        for number in (signal.SIGTERM, signal.SIGINT):
            with harness.Server(given.pst, f"{directory}/e.paste", "--create", "--size",
                                "16MiB") as server:
                idle = server.connection()
                idle.request("GET", "/healthz")
                idle.getresponse().read()
                server.process.send_signal(number)
                assert server.process.wait(20) == 0, "an idle connection must not hold it up"
                assert "ended cleanly" in server.error_text()
                idle.close()


def check_hangup_reopens_the_log(given):
    with harness.temporary_directory(True) as directory:
        log = pathlib.Path(directory) / "pst.log"
        with harness.Server(given.pst, f"{directory}/h.paste", "--create", "--size", "16MiB",
                            "--log-file", log) as server:
            old = log.with_suffix(".1")
            log.rename(old)
            server.process.send_signal(signal.SIGHUP)
            harness.wait_until(lambda: log.exists() and "reopened" in log.read_text(),
                               what="a new log file")
            assert server.append("x", b"1") == 1
            assert server.stop() == 0
            assert "ended cleanly" in log.read_text()
            assert "ended cleanly" not in old.read_text()


def check_service_manager_is_told(given):
    with harness.temporary_directory(True) as directory:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(f"{directory}/notify")
            manager.settimeout(10)
            with harness.Server(given.pst, f"{directory}/n.paste", "--create", "--size", "16MiB",
                                env={"NOTIFY_SOCKET": f"{directory}/notify"}) as server:
                said = manager.recv(4096).decode()
                assert "READY=1" in said, said
                assert server.stop() == 0
                assert "STOPPING=1" in manager.recv(4096).decode()


def check_doctor(given):
    text = expect(given, 0, "doctor", "/dev/shm", "/var/tmp", words=["clwb", "io_uring"]
                  if "clwb" in pathlib.Path("/proc/cpuinfo").read_text() else ["io_uring"])
    assert "process" in text and "because" in text, text
    report = json.loads(expect(given, 0, "doctor", "/dev/shm/new.paste", "--json"))
    assert report["paths"][0]["domain"] == "process", report
    assert report["paths"][0]["advice"], report
    expect(given, 1, "doctor", "/nonexistent/dir/p.paste", words=["/nonexistent/dir"])
    expect(given, 1, "doctor", "--interface", "no-such-eth", words=["no-such-eth", "no interface"])


def check_io_epoll_and_uring(given):
    with harness.temporary_directory(True) as directory:
        with harness.Server(given.pst, f"{directory}/i.paste", "--create", "--size", "16MiB",
                            "--io", "epoll") as server:
            assert any("epoll" in line for line in server.lines), server.lines
            assert server.stop() == 0
        try:
            with harness.Server(given.pst, f"{directory}/i.paste", "--io", "uring") as server:
                assert any("io_uring" in line for line in server.lines), server.lines
                assert server.stop() == 0
        except harness.StartFailed as failure:
            assert failure.status == 1 and "io_uring" in failure.output, failure


def check_media_delay(given):
    """20 appends, one after the other, each behind a barrier of 20 ms."""
    with harness.temporary_directory(True) as directory:
        with harness.Server(given.pst, f"{directory}/m.paste", "--create", "--size", "16MiB",
                            "--media-delay", "20ms") as server:
            server.append("x", b"the log is made")
            begin = time.monotonic()
            for _ in range(20):
                server.append("x", b"1")
            assert time.monotonic() - begin >= 20 * 0.020
            assert server.stop() == 0


def main():
    given = harness.arguments()
    checks = [check for name, check in globals().items() if name.startswith("check_")]
    harness.run_checks(checks, given)


if __name__ == "__main__":
    main()
