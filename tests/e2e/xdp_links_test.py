"""Goal: an xdp port serves whatever its interface is and becomes.

Method: VLANs, several receive queues, UDP with fragments, and addresses of both kinds that change
while a server runs on every address of an interface.
"""
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time

import harness
from xdp_test import OtherService, in_server_namespace


class AnyAddress:
    """A server on every address of an interface of the server's side."""

    def __init__(self, given, directory, interface, *args):
        command = [*harness.World.prefix, str(given.pst), "serve", "--pool",
                   f"{directory}/any.paste", "--create", "--size", "64MiB", "--port",
                   f"xdp:{interface}", "--listen", "http://[::]:8123", *args]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        self.said = []
        while not self.said or not self.said[-1].startswith("listening"):
            self.said.append(self.process.stdout.readline())
            assert self.process.poll() is None
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.process.stdout.close()

    @staticmethod
    def frames_in(host):
        """What the port, not the kernel, has received."""
        done = subprocess.run(["curl", "-sS", "-g", "-m", "10", f"http://{host}:8123/metrics"],
                              capture_output=True, text=True, check=True)
        [line] = [line for line in done.stdout.splitlines()
                  if line.startswith("paste_port_frames_in_total ")]
        return float(line.split()[1])

    @staticmethod
    def append(host, data):
        return subprocess.run(["curl", "-sS", "-g", "-m", "5", "--data-binary", "@-",
                               f"http://{host}:8123/log/any"], input=data, capture_output=True,
                              check=False)


def check_it_follows_what_changes(given):
    """Addresses come and go, and the interface and a neighbour get other MAC addresses."""
    with harness.temporary_directory(True) as directory, \
            AnyAddress(given, directory, "server") as server:
        def must_pass(host):
            before = server.frames_in("10.9.0.1")
            done = server.append(host, b"n" * 20_000)
            assert done.stdout.strip().isdigit(), (host, done)
            assert server.frames_in("10.9.0.1") - before >= 14 + 8, host

        for host in ("10.9.0.1", "[fd09::1]"):
            must_pass(host)
        for address, host in (("10.9.0.77/24", "10.9.0.77"), ("fd09::77/64", "[fd09::77]")):
            nodad = ["nodad"] if ":" in address else []
            in_server_namespace("ip", "addr", "add", address, "dev", "server", *nodad)
            time.sleep(0.2)
            must_pass(host)
            in_server_namespace("ip", "addr", "del", address, "dev", "server")
            time.sleep(0.2)
            assert server.append(host, b"gone").returncode != 0
        must_pass("10.9.0.1")
        connection = http.client.HTTPConnection("10.9.0.1", 8123, timeout=10)
        try:
            connection.connect()
            for command in (("ip", "link", "set", "clients", "address", "02:00:00:00:00:99"),
                            (*harness.World.prefix, "ip", "link", "set", "server", "address",
                             "02:00:00:00:00:98")):
                harness.run_quietly(*command)
                time.sleep(0.2)
                harness.run_quietly("ip", "neigh", "flush", "dev", "clients")
                connection.request("GET", "/log/any?limit=1")
                response = connection.getresponse()
                assert response.status == 200 and len(response.read()) > 20_000
        finally:
            connection.close()
        must_pass("10.9.0.1")


DATAGRAMS = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
client = socket.socket(family, socket.SOCK_DGRAM)
client.settimeout(5)
client.connect((sys.argv[1], 8124))
client.send(b"from the host itself")
print(client.recv(64).decode().strip())
"""


def check_datagrams(given):
    """UDP, each a record: small ones by the port, fragments and local ones by the kernel."""
    with harness.temporary_directory(True) as directory, \
            AnyAddress(given, directory, "server", "--listen", "udp://[::]:8124/grams") as server:
        kept = []

        def say(client, blob, by_the_port=True):
            before = server.frames_in("10.9.0.1")
            client.send(blob)
            assert int(client.recv(64)) == len(kept) + 1
            kept.append(blob)
            # The look itself is some frames.
            assert not by_the_port or server.frames_in("10.9.0.1") > before + 3

        for host in ("10.9.0.1", "fd09::1"):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as client:
                client.settimeout(5)
                client.connect((host, 8124))
                for size in (1, 40, 1024, 1400, 9000):
                    say(client, os.urandom(size), size < 1500)
                for i in range(200):  # more than a turn's; replies come in order
                    client.send(str(i).encode())
                    kept.append(str(i).encode())
                for i in range(200):
                    assert int(client.recv(64)) == len(kept) - 199 + i
        local = in_server_namespace(sys.executable, "-c", DATAGRAMS, "10.9.0.1")
        assert local.stdout.strip() == str(len(kept) + 1), local
        kept.append(b"from the host itself")
        got = subprocess.run(
            ["curl", "-sS", "-m", "10", "-H", "Accept: application/x-ndjson",
             "http://10.9.0.1:8123/log/grams?limit=1000"], capture_output=True, check=True).stdout
        found = [harness.parse_record(line)[1] for line in got.splitlines()]
        assert found == kept, (len(found), len(kept))


def check_several_queues(given):
    """A socket on every receive queue: whichever a connection comes by, it is served."""
    name = harness.World.prefix[-1]
    queues = ["numrxqueues", "3", "numtxqueues", "3"]
    harness.run_quietly("ip", "link", "add", "clients3", *queues, "type", "veth", "peer", "name",
                        "server3", "netns", name, *queues)
    try:
        harness.run_quietly("ethtool", "-K", "clients3", "tx", "off")
        harness.run_quietly("ip", "addr", "add", "10.8.0.2/24", "dev", "clients3")
        harness.run_quietly("ip", "link", "set", "clients3", "up")
        harness.run_quietly(*harness.World.prefix, "ip", "addr", "add", "10.8.0.1/24", "dev",
                            "server3")
        harness.run_quietly(*harness.World.prefix, "ip", "link", "set", "server3", "up")
        with harness.temporary_directory(True) as directory, \
                AnyAddress(given, directory, "server3", "--retain-bytes", "4MiB") as server:
            assert any("3 queues" in line for line in server.said), server.said
            for _ in range(30):  # veth chooses the queue by the sender's core and a hash
                assert server.append("10.8.0.1", os.urandom(30_000)).stdout.strip().isdigit()
            assert server.frames_in("10.8.0.1") > 30 * 22
            done = subprocess.run(
                [given.pst, "bench", "http://10.8.0.1:8123/log/bench", "--port", "xdp:clients3",
                 "--connections", "9", "--seconds", "200ms", "--json"], capture_output=True,
                text=True, timeout=60, check=False)
            assert json.loads(done.stdout)["requests"] >= 9, done
    finally:
        harness.run_quietly("ip", "link", "del", "clients3")


def check_vlan(given):
    """A VLAN's interface: tagged frames are ours, those without a tag are the kernel's."""
    can = subprocess.run(["ip", "link", "add", "link", "clients", "name", "try.8", "type", "vlan",
                          "id", "8"], capture_output=True, text=True, check=False)
    if can.returncode != 0:
        print("not checked: no VLAN's interface can be made here: " + can.stderr.strip())
        return
    harness.run_quietly("ip", "link", "del", "try.8")
    for link in ("clients", "server"):  # a tag beside the frame is not seen by an XDP program
        prefix = harness.World.prefix if link == "server" else ()
        harness.run_quietly(*prefix, "ethtool", "-K", link, "txvlan", "off")
        harness.run_quietly(*prefix, "ip", "link", "add", "link", link, "name", f"{link}.7",
                            "type", "vlan", "id", "7")
        last = 1 if link == "server" else 2
        for address in (f"10.7.0.{last}/24", f"fd07::{last}/64"):
            nodad = ["nodad"] if ":" in address else []
            harness.run_quietly(*prefix, "ip", "addr", "add", address, "dev", f"{link}.7", *nodad)
        harness.run_quietly(*prefix, "ip", "link", "set", f"{link}.7", "up")
    try:
        with harness.temporary_directory(True) as directory, OtherService() as other, \
                AnyAddress(given, directory, "server.7") as server:
            for host in ("10.7.0.1", "[fd07::1]"):
                before = server.frames_in("10.7.0.1")
                record = os.urandom(3_000_000)
                done = server.append(host, record)
                assert done.stdout.strip().isdigit(), done
                assert server.frames_in("10.7.0.1") - before > 2000
                got = subprocess.run(
                    ["curl", "-sS", "-g", "-m", "10", "-H", "Accept: application/octet-stream",
                     f"http://{host}:8123/log/any?from={int(done.stdout)}&limit=1"],
                    capture_output=True, check=True).stdout
                assert record in got, len(got)
            other.check()  # without a tag, by the kernel
            before = server.frames_in("10.7.0.1")
            assert server.append("10.9.0.1", b"u" * 50_000).stdout.strip().isdigit()
            assert server.frames_in("10.7.0.1") - before < 20
    finally:
        harness.run_quietly("ip", "link", "del", "clients.7")
        harness.run_quietly(*harness.World.prefix, "ip", "link", "del", "server.7")


def main():
    given = harness.arguments()
    harness.need_program("curl")
    harness.run_checks([check_vlan, check_datagrams, check_several_queues,
                        check_it_follows_what_changes], given)


if __name__ == "__main__":
    main()
