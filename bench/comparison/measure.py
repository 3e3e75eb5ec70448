"""One measurement: a server life, a generator against it, and what the two cores did meanwhile."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SERVERS = {  # name: (program, its options)
    "uring busy": ("pst", ["--io", "uring", "--poll", "busy"]),
    "uring block": ("pst", ["--io", "uring", "--poll", "block"]),
    "epoll busy": ("pst", ["--io", "epoll", "--poll", "busy"]),
    "epoll block": ("pst", ["--io", "epoll", "--poll", "block"]),
    "baseline busy": ("baseline", ["--busy"]),
    "baseline block": ("baseline", ["--block"]),
    "uring adaptive": ("pst", ["--io", "uring", "--poll", "adaptive"]),
    "uring copying": ("pst", ["--io", "uring", "--poll", "busy", "--copy"]),
    "xdp busy": ("pst", ["--port", "xdp:end-s", "--poll", "busy"]),
    "xdp copying": ("pst", ["--port", "xdp:end-s", "--poll", "busy", "--copy"]),
    "xdp adaptive": ("pst", ["--port", "xdp:end-s", "--poll", "adaptive"]),
    # Spins as busy does, but leaves the receiving where the kernel does it: on the sender's core.
    "xdp undriven": ("pst", ["--port", "xdp:end-s", "--poll", "adaptive", "--spin", "1s"]),
}
USUAL = list(SERVERS)[:6]
USUAL_XDP = ["xdp busy", "xdp copying", "baseline busy", "baseline block"]
RATE_MAX = 600_000  # requests/s, for sizing pools; a pool that fills is made larger and run again
TICK = 1.0 / os.sysconf("SC_CLK_TCK")
PROBE = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as s:
    s.sendall(b"POST /log/bench HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 6\\r\\n\\r\\nready?")
    sys.exit(0 if s.recv(4096).startswith(b"HTTP/1.1 200") else 3)
"""


class Failed(Exception):
    pass


def core_times(core):
    """Seconds idle, and stolen by the hypervisor."""
    with open("/proc/stat") as stat:
        for line in stat:
            if line.startswith(f"cpu{core} "):
                _, _, _, idle, wait, _, _, steal = map(int, line.split()[1:9])
                return [TICK * x for x in (idle + wait, steal)]
    raise SystemExit(f"this machine has no core {core}")


def process_time(pid):
    """User and system seconds of a process, all its threads."""
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    fields = text[text.rindex(")") + 2 :].split()
    return TICK * (int(fields[11]) + int(fields[12]))


def waited(pid):
    """Seconds that the threads of a process were ready to run while others had the core."""
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[1]) for task in tasks) / 1e9


class Window:
    """What the two cores and the server did between start() and stop()."""

    def __init__(self, args, pid):
        self.args, self.pid = args, pid

    def read(self):
        cores = core_times(self.args.server_core), core_times(self.args.client_core)
        return time.monotonic(), *cores, process_time(self.pid), waited(self.pid)

    def start(self):
        self.before = self.read()

    def stop(self, requests, wrk_waited):
        after = self.read()
        wall = after[0] - self.before[0]
        server = [b - a for a, b in zip(self.before[1], after[1])]
        client = [b - a for a, b in zip(self.before[2], after[2])]
        process = after[3] - self.before[3]
        server_busy, client_busy = (max(0.0, wall - x[0] - x[1]) for x in (server, client))
        return {
            "server_busy": server_busy / wall,
            "client_busy": client_busy / wall,
            "steal": (server[1] + client[1]) / (2 * wall),
            "server_waited": (after[4] - self.before[4]) / wall,
            "client_waited": wrk_waited / wall,
            "core_us": 1e6 * server_busy / max(1, requests),
            "process_us": 1e6 * process / max(1, requests),
            "both_us": 1e6 * (server_busy + client_busy) / max(1, requests),
        }


def pin(core, nice=0):
    """What a child does before it becomes its program."""
    def act():
        os.sched_setaffinity(0, {core})
        if nice:
            os.setsid()  # a scheduling group of its own, which niceness alone would not leave
            os.nice(nice)
            with contextlib.suppress(OSError):
                pathlib.Path("/proc/self/autogroup").write_text(str(nice))
    return act


class Server:
    """One server life; a context manager that ends the process it started, and no other."""

    def __init__(self, args, name, delay, folder, size):
        self.name, self.network = name, args.network
        host, port = self.network.host, self.network.new_port()
        self.at = (host, port)
        program, options = SERVERS[name]
        path = os.path.join(folder, "store.paste")
        if os.path.exists(path):
            os.unlink(path)
        if program == "pst":
            command = [args.pst, "serve", "--pool", path, "--create", "--size", f"{size >> 20}MiB",
                       "--listen", f"http://{host}:{port}", *options, *args.pst_option]
        else:
            # A record takes about half of what it takes in whole 2 KiB buffers.
            command = [args.baseline, "--listen", f"{host}:{port}", "--file", path,
                       "--size", f"{size >> 21}MiB", *options]
            if not args.volatile:
                command.append("--fdatasync")
        if delay:
            command += ["--media-delay", delay]
        self.command = command
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [*self.network.server, *command], stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log, preexec_fn=pin(args.server_core, args.nice))

    def __enter__(self):
        try:
            self.wait_ready()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def said(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace").strip()

    def wait_ready(self):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failed(f"{' '.join(self.command)}\nended with status "
                             f"{self.process.returncode}: {self.said()}")
            if subprocess.run([*self.network.client, sys.executable, "-c", PROBE,
                               *map(str, self.at)], stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.05)
        raise Failed(f"{self.name} did not accept a record within 120 s: {self.said()}")

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


def wrk(args, at, connections, seconds):
    command = [*args.network.client, args.wrk, "-t", "1", "-c", str(connections), "-d",
               f"{seconds}s", "--timeout", "10s", "-s", str(HERE.parent / "post.lua"),
               f"http://{at[0]}:{at[1]}/log/bench", "--", str(args.record_bytes)]
    wait = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          preexec_fn=pin(args.client_core, args.nice)) as client:
        try:
            while client.poll() is None:
                with contextlib.suppress(OSError, ValueError):
                    wait = max(wait, waited(client.pid))
                time.sleep(0.05)
        except BaseException:
            client.kill()
            raise
        said = client.stdout.read()
    for line in said.splitlines():
        if line.startswith("RESULT "):
            v = [float(x) for x in line.split()[1:]]
            return {"requests": int(v[0]), "rate": v[0] / (v[1] / 1e6), "socket_errors": int(v[2]),
                    "refused": int(v[3]), "timeouts": int(v[4]), "p50_us": v[5], "p99_us": v[6],
                    "p999_us": v[7], "wrk_waited": wait}
    raise Failed(f"wrk gave no result: {said}")


def pst_bench(args, at, connections, seconds):
    """The generator of our own, over the port that args.generator names."""
    command = [*args.network.client, args.pst, "bench", f"http://{at[0]}:{at[1]}/log/bench",
               "--port", args.generator, "--connections", str(connections), "--warmup", "0s",
               "--seconds", f"{seconds}s", "--record-bytes", str(args.record_bytes), "--json",
               *args.generator_option]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          preexec_fn=pin(args.client_core, args.nice)) as client:
        try:
            said, complaint = client.communicate(timeout=seconds + 60)
        except BaseException:
            client.kill()
            raise
    if not said.startswith("{"):
        raise Failed(f"pst bench gave no result: {complaint}")
    r = json.loads(said)
    return {"requests": r["requests"], "rate": r["rate"], "socket_errors": r["broken"],
            "refused": r["refused"], "timeouts": 0, "p50_us": r["p50_us"], "p99_us": r["p99_us"],
            "p999_us": r["p999_us"], "client_batch": r["batch"], "wrk_waited": 0.0}


def batch_of(args, at):
    """How many requests `pst serve` made durable at a time, in the mean; None for others."""
    code = ("import urllib.request as u; print(u.urlopen('http://%s:%d/metrics').read().decode())"
            % at)
    done = subprocess.run([*args.network.client, sys.executable, "-c", code], capture_output=True,
                          text=True)
    found = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines()
                 if line.strip() and line[0] != "#")
    count = float(found.get("paste_append_batch_size_count", 0))
    return float(found["paste_append_batch_size_sum"]) / count if count else None


def measure(args, name, delay, connections, folder):
    size = max(256 << 20, int((args.seconds + args.warmup) * RATE_MAX * args.share[connections]
                              * buffers_bytes(args)))
    for _ in range(3):
        with Server(args, name, delay, folder, size) as server:
            load = wrk if args.generator == "wrk" else pst_bench
            if args.warmup:
                load(args, server.at, connections, args.warmup)
            window = Window(args, server.process.pid)
            window.start()
            result = load(args, server.at, connections, args.seconds)
            result.update(window.stop(result["requests"], result["wrk_waited"]))
            result["server_batch"] = batch_of(args, server.at)
        if result["refused"] == 0:
            break
        size *= 2  # it filled (507)
    if result["refused"] or result["socket_errors"] or result["timeouts"] or not result["requests"]:
        raise Failed(f"{name}: {result['refused']} refused, {result['socket_errors']} socket "
                     f"errors, {result['timeouts']} timeouts of {result['requests']} requests")
    return result


def buffers_bytes(args):
    return -(-(args.record_bytes + 256) // 2048) * 2048 + 128
