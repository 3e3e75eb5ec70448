"""The xdp port against the kernel's TCP over bad networks, in both roles.

Method: `ours` in a namespace of its own, `theirs` in another, and between them `impair`, which does
to the frames what a case says and judges what our side sends by TCP's rules. The cases cover every
pair of values of the factors. Records must be what was sent, in both directions; nothing that was
acknowledged may be missing; the pool must be in order afterwards.
"""
import argparse
import concurrent.futures
import hashlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
import cases  # noqa: E402
import harness  # noqa: E402

MIB = 1 << 20
PORT = 8080
HOSTS = {"4": ("10.9.0.1", "10.9.0.2"), "6": ("fd09::1", "fd09::2")}  # ours, theirs

IMPAIRMENTS = {
    "none": [],
    "loss": ["--loss", "1"],
    "reorder": ["--reorder", "2"],
    "delay": ["--delay", "20ms"],
    "slow": ["--rate", "30", "--queue", "60", "--delay", "3ms"],
    "rough": ["--loss", "1", "--duplicate", "1", "--reorder", "1", "--corrupt", "0.1", "--jitter",
              "1ms"],
}
OPTIONS = {  # of the kernel's side
    "defaults": {}, "no-sack": {"tcp_sack": 0}, "no-timestamps": {"tcp_timestamps": 0},
    "no-window-scale": {"tcp_window_scaling": 0}, "ecn": {"tcp_ecn": 1},
    "cubic": {}, "reno": {}, "bbr": {},
}
DEFAULTS = {"tcp_sack": 1, "tcp_timestamps": 1, "tcp_window_scaling": 1, "tcp_ecn": 2,
            "tcp_no_metrics_save": 1}
CONTROLS = ("cubic", "reno", "bbr")
COMMON = {"ip": ["4", "6"], "mtu": [1500, 1280, 1400], "option": list(OPTIONS),
          "impairment": list(IMPAIRMENTS)}
SERVING = {**COMMON, "workload": ["upload", "download", "short", "pipelined", "slow-reader",
                                  "half-close", "abort"]}
DIALLING = {**COMMON, "workload": [100, 1400, 30_000]}  # bytes of a record


class Wrong(Exception):
    """What a case must do and did not."""


def check(condition, message):
    if not condition:
        raise Wrong(message)


def make_world():
    """This process gets the kernel's end, and two more namespaces."""
    world = f"paste-i{os.getpid()}"
    harness.run_quietly("ip", "netns", "add", world)
    harness.run_quietly("ip", "netns", "add", world + "w")
    libc = __import__("ctypes").CDLL(None, use_errno=True)
    if libc.unshare(0x40000000) != 0:  # CLONE_NEWNET
        raise OSError("no network namespace can be made")
    inside, wire = (["ip", "netns", "exec", world + end] for end in ("", "w"))
    for device, where, peer in (("ours", world, "left"), ("theirs", None, "right")):
        harness.run_quietly("ip", "link", "add", device, *(["netns", where] if where else []),
                            "type", "veth", "peer", "name", peer, "netns", world + "w")
    for prefix, devices in ((inside, ["ours"]), ([], ["theirs"]), (wire, ["left", "right"])):
        harness.run_quietly(*prefix, "ip", "link", "set", "lo", "up")
        for device in devices:
            harness.run_quietly(*prefix, "ethtool", "-K", device, "tx", "off", "tso", "off", "gso",
                                "off", "gro", "off")
    harness.run_quietly(*wire, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    for prefix, device, i in ((inside, "ours", 0), ([], "theirs", 1)):
        harness.run_quietly(*prefix, "ip", "addr", "add", HOSTS["4"][i] + "/24", "dev", device)
        harness.run_quietly(*prefix, "ip", "addr", "add", HOSTS["6"][i] + "/64", "dev", device,
                            "nodad")
        harness.run_quietly(*prefix, "ip", "link", "set", device, "up")
    for device in ("left", "right"):
        harness.run_quietly(*wire, "ip", "link", "set", device, "up")
    return world, inside, wire


def remove_world(world):
    for name in (world, world + "w"):
        subprocess.run(["ip", "netns", "del", name], check=False)


def set_kernel(case, prefixes):
    Connection.control = case["option"] if case["option"] in CONTROLS else None
    control = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control")
    try:  # not every namespace may have every one; what our clients dial with is set for each
        control.write_text(Connection.control or CONTROLS[0])
    except OSError:
        pass
    for name, value in {**DEFAULTS, **OPTIONS[case["option"]]}.items():
        pathlib.Path("/proc/sys/net/ipv4", name).write_text(str(value))
    for prefix, device in prefixes:
        harness.run_quietly(*prefix, "ip", "link", "set", device, "mtu", str(case["mtu"]))


class Process:
    """A program that says when it is ready and ends by SIGTERM."""

    def __init__(self, command, ready):
        self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)
        self.said = ""
        while not re.search(ready, self.said):
            line = self.process.stdout.readline()
            check(line, f"{command[0]} did not start: {self.said}")
            self.said += line

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=30)
        return self.process.returncode, out

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


# --- What clients of the kernel's do ------------------------------------------------------------

def body_of(number, size):
    return hashlib.shake_128(str(number).encode()).digest(size)


class Connection(socket.socket):
    """Of the kernel's; replies are read through one buffer, so that none is lost behind another."""

    control = None

    def __init__(self, host, receive_buffer=None):
        super().__init__(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.settimeout(30)
        if receive_buffer:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if self.control:
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, self.control.encode())
        self.connect((host, PORT))
        self.replies = super().makefile("rb")

    def makefile(self, *_, **__):
        return Shared(self.replies)

    def __exit__(self, *args):
        self.replies.close()
        super().__exit__(*args)


class Shared:
    """A file that stays open when its reader is done with it."""

    def __init__(self, file):
        self.file = file

    def __getattr__(self, name):
        return getattr(self.file, name)

    def close(self):
        pass


connect = Connection


def head_of(body):
    return f"POST /log/i HTTP/1.1\r\nHost: i\r\nContent-Length: {len(body)}\r\n\r\n".encode()


def read_lsn(connection):
    reply = http.client.HTTPResponse(connection)
    reply.begin()
    text = reply.read()
    check(reply.status == 200, f"status {reply.status}: {text[:100]}")
    return int(text)


def post(connection, body):
    connection.sendall(head_of(body) + body)
    return read_lsn(connection)


def get(connection, lsn, pause=0.0):
    connection.sendall(f"GET /log/i?from={lsn}&limit=1 HTTP/1.1\r\nHost: i\r\n"
                       "Accept: application/octet-stream\r\n\r\n".encode())
    time.sleep(pause)
    reply = http.client.HTTPResponse(connection)
    reply.begin()
    check(reply.status == 200, f"status {reply.status}")
    return reply.read()


def must_be_kept(host, number, size, lsn=None, pause=0.0, receive_buffer=None):
    body = body_of(number, size)
    with connect(host, receive_buffer) as connection:
        if lsn is None:
            lsn = post(connection, body)
        got = get(connection, lsn, pause)
        check(body in got, f"record {lsn} of {size} bytes came back as {len(got)} others")


def run_upload(host):
    for i in range(3):
        must_be_kept(host, i, MIB // 2)


def run_download(host):
    with connect(host) as connection:
        lsn = post(connection, body_of(7, MIB // 2))
    for _ in range(4):
        must_be_kept(host, 7, MIB // 2, lsn)


def run_short(host):
    for i in range(30):
        must_be_kept(host, i, 200 + i * 100)


def run_pipelined(host):
    bodies = [body_of(i, i * 700) for i in range(40)]
    with connect(host) as connection:
        connection.sendall(b"".join(head_of(body) + body for body in bodies))
        lsns = [read_lsn(connection) for _ in bodies]
    check(lsns == list(range(1, 41)), f"replies {lsns}")
    for i in (0, 1, 20, 39):
        must_be_kept(host, i, i * 700, lsns[i])


def run_slow_reader(host):
    must_be_kept(host, 3, MIB // 2, pause=1.2, receive_buffer=16384)


def run_half_close(host):
    body = body_of(5, 200_000)
    with connect(host) as connection:
        connection.sendall(head_of(body) + body)
        connection.shutdown(socket.SHUT_WR)
        lsn = read_lsn(connection)
        check(connection.recv(1) == b"", "the server did not end its direction")
    must_be_kept(host, 5, 200_000, lsn)


def run_abort(host):
    for _ in range(3):
        with connect(host) as connection:
            connection.sendall(head_of(b"x" * MIB) + b"x" * 100_000)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    must_be_kept(host, 1, 5000)


def serve_case(given, case, directory, inside):
    ours = HOSTS[case["ip"]][0]
    name = f"[{ours}]" if case["ip"] == "6" else ours
    pool = f"{directory}/ours.paste"
    with Process([*inside, given.pst, "serve", "--pool", pool, "--create", "--size", "48MiB",
                  "--port", "xdp:ours", "--listen", f"http://{name}:{PORT}"],
                 r"listening on") as server:
        worker = globals()["run_" + case["workload"].replace("-", "_")]
        worker(ours)
        with connect(ours) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: i\r\n\r\n")
            reply = http.client.HTTPResponse(connection)
            reply.begin()
            metrics = reply.read().decode()
        steered = sum(float(n) for n in re.findall(r"frames_steered_total\{.*?\} (\S+)", metrics))
        check(steered > 8, "the frames did not come by the xdp port")
        wrong = re.findall(r'frames_refused_total\{why="(malformed|checksum)"\} ([1-9].*)', metrics)
        check(case["impairment"] == "rough" or not wrong, f"refused frames: {wrong}")
        status, said = server.stop()
        check(status == 0, f"pst serve ended with {status}: {said}")
    done = harness.run_pst(given.pst, "pool", "check", pool)
    check(done.returncode == 0, f"pst pool check: {done.stdout} {done.stderr}")


def dial_case(given, case, directory, inside):
    theirs = HOSTS[case["ip"]][1]
    name = f"[{theirs}]" if case["ip"] == "6" else theirs
    size = case["workload"]
    with Process([given.pst, "serve", "--pool", f"{directory}/theirs.paste", "--create", "--size",
                  "128MiB", "--retain-bytes", "20MiB", "--listen", f"http://{name}:{PORT}"],
                 r"listening on") as server:
        done = subprocess.run(
            [*inside, given.pst, "bench", f"http://{name}:{PORT}/log/i", "--port", "xdp:ours",
             "--poll", "block", "--connections", "4", "--record-bytes", str(size), "--warmup",
             "50ms", "--seconds", "700ms", "--json"], capture_output=True, text=True, timeout=60,
            check=False)
        check(done.returncode == 0, f"pst bench: {done.stdout} {done.stderr}")
        result = json.loads(done.stdout)
        check(result["requests"] > 3, f"only {result['requests']} requests")
        last = 0
        with connect(theirs) as connection:
            last = post(connection, b"the last")
        check(last > result["requests"], f"{result['requests']} acknowledged, {last} kept")
        with connect(theirs) as connection:
            got = get(connection, last - 1)
        check(bytes(33 + i * 7 % 94 for i in range(1, size + 1)) in got, "another record came")
        check(server.stop()[0] == 0, "the kernel's side failed")


def run_case(given, number, role, case):
    """What went wrong, or None; in this process's world."""
    world, inside, wire = WORLD
    began = time.monotonic()
    try:
        set_kernel(case, ((inside, "ours"), ([], "theirs"), (wire, "left"), (wire, "right")))
        with tempfile.TemporaryDirectory(prefix="paste-interop-", dir="/dev/shm") as directory, \
                Process([*wire, given.impair, "left", "right", "--seed", number + 1, "--monitor",
                         "left", *IMPAIRMENTS[case["impairment"]]], "ready") as network:
            try:
                (serve_case if role == "serving" else dial_case)(given, case, directory, inside)
            except Exception as error:
                raise Wrong(f"{type(error).__name__}: {error}; {network.stop()[1]}") from error
            _, said = network.stop()
        result = json.loads(said)
        monitor = result["monitor"]
        check(monitor["problem"] == "", monitor["problem"])
        check(monitor["connections"] > 0 and monitor["frames"] > 30, f"judged: {monitor}")
        if case["impairment"] in ("loss", "rough"):
            check(result["leftward"]["dropped"] > 0 or result["leftward"]["sent"] < 500,
                  f"nothing was lost: {result}")
    except (Wrong, OSError, subprocess.SubprocessError, ValueError, RuntimeError,
            http.client.HTTPException) as error:
        return time.monotonic() - began, f"{type(error).__name__}: {error}"
    return time.monotonic() - began, None


WORLD = None


def enter():
    global WORLD
    WORLD = make_world()
    harness.atexit.register(remove_world, WORLD[0])
    # Workers of a pool end without their exit handlers.
    __import__("multiprocessing.util").util.Finalize(None, remove_world, (WORLD[0],),
                                                     exitpriority=10)


def possible(case):
    allowed = pathlib.Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text()
    return case["option"] not in CONTROLS or case["option"] in allowed.split()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pst", required=True, type=pathlib.Path)
    parser.add_argument("--impair", required=True, type=pathlib.Path)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--only", help="cases whose description contains this")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    given.pst, given.impair = given.pst.resolve(), given.impair.resolve()
    if os.geteuid() != 0:
        harness.skip("network namespaces need root")
    for program in ("ip", "ethtool", "sysctl"):
        harness.need_program(program)
    todo = [("serving", case) for case in cases.pairwise(given.seed, SERVING)]
    todo += [("dialling", case) for case in cases.pairwise(given.seed, DIALLING)]
    left_out = [case for _, case in todo if not possible(case)]
    todo = [(role, case) for role, case in todo if possible(case)]
    if left_out:
        print(f"not checked: {len(left_out)} cases, for lack of a congestion control here")
    describe = [" ".join([role, *(str(value) for value in case.values())]) for role, case in todo]
    chosen = [i for i in range(len(todo)) if not given.only or given.only in describe[i]]
    failed = 0
    with concurrent.futures.ProcessPoolExecutor(given.workers, initializer=enter) as pool:
        running = {pool.submit(run_case, given, i, *todo[i]): i for i in chosen}
        for done in concurrent.futures.as_completed(running):
            seconds, wrong = done.result()
            failed += wrong is not None
            print(f"{'FAILED ' if wrong else 'ok     '} {seconds:5.1f} s  "
                  f"{describe[running[done]]}{': ' + wrong if wrong else ''}", flush=True)
    print(f"{len(chosen) - failed} of {len(chosen)} cases passed")
    sys.exit(1 if failed or not chosen else 0)


if __name__ == "__main__":
    main()
