"""What the end-to-end tests share: a server under test, temporary places, checks, and skips."""
import argparse
import atexit
import ctypes
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

SKIP = 77


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(SKIP)


def need_program(name):
    path = shutil.which(name)
    if path is None:
        skip(f"{name} is not installed")
    return path


class World:
    """Where servers run: here, or, for an xdp port, behind a veth pair whose other end is ours."""

    prefix = ()          # of the server's command
    options = ()         # of the server
    host = "127.0.0.1"   # where it listens


def run_quietly(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


def enter_xdp_world():
    """This process moves to a network namespace of its own, the clients'; servers get another."""
    if os.geteuid() != 0:
        skip("an xdp port needs root")
    for program in ("ip", "ethtool"):
        need_program(program)
    clone_newnet = 0x40000000
    if ctypes.CDLL(None, use_errno=True).unshare(clone_newnet) != 0:
        skip(f"no network namespace can be made: {os.strerror(ctypes.get_errno())}")
    name = f"paste-{os.getpid()}"
    try:
        run_quietly("ip", "netns", "add", name)
        atexit.register(run_quietly, "ip", "netns", "del", name)
        run_quietly("ip", "link", "add", "clients", "type", "veth", "peer", "name", "server",
                    "netns", name)
        # The other end would hand over segments whose checksums nobody has filled in.
        run_quietly("ethtool", "-K", "clients", "tx", "off")
        for where, link, address in ((("-n", name), "server", 1), ((), "clients", 2)):
            run_quietly("ip", *where, "link", "set", "lo", "up")
            run_quietly("ip", *where, "addr", "add", f"10.9.0.{address}/24", "dev", link)
            run_quietly("ip", *where, "addr", "add", f"fd09::{address}/64", "dev", link, "nodad")
            run_quietly("ip", *where, "link", "set", link, "up")
    except RuntimeError as error:
        skip(f"no veth pair can be made: {error}")
    World.prefix = ("ip", "netns", "exec", name)
    World.options = ("--port", "xdp:server")
    World.host = "10.9.0.1"


def arguments(**extra):
    parser = argparse.ArgumentParser()
    parser.add_argument("--pst", required=True, type=pathlib.Path)
    parser.add_argument("--port", choices=["kernel", "xdp"], default="kernel")
    for name, options in extra.items():
        parser.add_argument("--" + name.replace("_", "-"), **options)
    given = parser.parse_args()
    given.pst = given.pst.resolve()
    if given.port == "xdp":
        enter_xdp_world()
    return given


def temporary_directory(tmpfs):
    """A fresh directory on tmpfs, or on the file system of /var/tmp."""
    base = "/dev/shm" if tmpfs else "/var/tmp"
    if not os.path.isdir(base) or not os.access(base, os.W_OK):
        skip(f"{base} is missing or not writable")
    return tempfile.TemporaryDirectory(prefix="paste-e2e-", dir=base)


def clean_environment(extra=None):
    """The environment without PST_ settings, so that a developer's shell changes nothing."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PST_")}
    environment.update(extra or {})
    return environment


def run_pst(pst, *args, env=None, timeout=60, text=True):
    return subprocess.run([str(pst), *map(str, args)], capture_output=True, timeout=timeout,
                          text=text, env=clean_environment(env), check=False)


class StartFailed(Exception):
    """The server ended before it listened."""

    def __init__(self, status, output):
        super().__init__(f"status {status}: {output}")
        self.status = status
        self.output = output


class Server:
    """One `pst serve` process. Its standard error goes to a file, so that it never blocks."""

    def __init__(self, pst, pool, *args, listen=None, env=None):
        self.pool = pathlib.Path(pool)
        command = [str(pst), "serve", "--pool", str(pool)]
        if listen is None:  # else the caller means an address of here
            command = [*World.prefix, *command, *World.options]
            listen = (f"http://{World.host}:0",)
        for url in listen:
            command += ["--listen", url]
        command += list(map(str, args))
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors,
                                        env=clean_environment(env))
        self.lines = []
        self.urls = []
        self._read_start(len(listen) if listen else 1)

    def _read_start(self, count):
        while len(self.urls) < count:
            line = self.process.stdout.readline().decode()
            if not line:
                status = self.process.wait(30)
                self.process.stdout.close()
                raise StartFailed(status, self.error_text())
            self.lines.append(line.rstrip("\n"))
            if match := re.match(r"listening on (\S+)", line):
                self.urls.append(match.group(1))
            elif line.startswith("{"):
                self.urls += json.loads(line)["listen"]

    def error_text(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    @property
    def url(self):
        return next(url for url in self.urls if url.startswith("http://"))

    @property
    def address(self):
        host, port = self.url.removeprefix("http://").rstrip("/").rsplit(":", 1)
        return host.strip("[]"), int(port)

    def connection(self, timeout=30):
        return http.client.HTTPConnection(*self.address, timeout=timeout)

    def request(self, method, path, body=None, headers=None):
        """(status, headers, body) of one request on a connection of its own."""
        connection = self.connection()
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def append(self, log, body):
        status, _, answer = self.request("POST", f"/log/{log}", body)
        assert status == 200, (status, answer)
        return int(answer)

    def records(self, log, first=1):
        """[(lsn, bytes)] of every record from `first` on."""
        found = []
        while True:
            status, _, body = self.request("GET", f"/log/{log}?from={first}&limit=1000",
                                           headers={"Accept": "application/x-ndjson"})
            if status == 404:
                return found
            assert status == 200, (status, body[:200])
            page = [parse_record(line) for line in body.splitlines() if line]
            if not page:
                return found
            found += page
            first = page[-1][0] + 1

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self, timeout=30):
        """Ends the server by SIGTERM; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout)
        self.process.stdout.close()
        return status

    def __enter__(self):
        return self

    def __exit__(self, kind, value, _):
        if self.process.poll() is None:
            self.kill()
        if kind is not None and not (kind is SystemExit and value.code in (0, SKIP)):
            print("--- the server said:")
            print("\n".join(self.lines))
            print(self.error_text())
        self.errors.close()


def parse_record(line):
    """One NDJSON line of GET /log/NAME or of pst pool dump: (lsn, bytes)."""
    record = json.loads(line)
    if "base64" in record:
        import base64
        return record["lsn"], base64.b64decode(record["base64"])
    return record["lsn"], record["data"].encode()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, seconds=10, what="a condition"):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {seconds} s")
        time.sleep(0.02)


def run_checks(checks, *args):
    """Runs every function, prints a line for each, and ends with the status for CTest."""
    failed = 0
    for check in checks:
        begin = time.monotonic()
        try:
            check(*args)
            print(f"ok      {check.__name__} ({time.monotonic() - begin:.2f} s)", flush=True)
        except Exception:  # a failed check must not hide the others
            failed += 1
            print(f"FAILED  {check.__name__}\n{traceback.format_exc()}", flush=True)
    print(f"{len(checks) - failed} of {len(checks)} checks passed")
    sys.exit(1 if failed else 0)
