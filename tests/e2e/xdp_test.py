"""Goal: an xdp port takes what is addressed to the server and leaves the host whole.

Method: a server behind a veth pair in a network namespace of its own; remote clients of both
versions of IP, local ones, large records both ways; other services of the same host on the same
interface before, while, and after we serve, kill -9 included; and what cannot be started.
"""
import hashlib
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import time

import harness

SERVICE = """
import socket, threading
tcp = socket.create_server(("::", 7000), family=socket.AF_INET6, dualstack_ipv6=True)
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind(("::", 7000))
def answer():
    while True:
        data, peer = udp.recvfrom(65536)
        udp.sendto(data, peer)
threading.Thread(target=answer, daemon=True).start()
print("ready", flush=True)
while True:
    connection, _ = tcp.accept()
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.close()
"""


class OtherService:
    """A TCP and UDP echo of the kernel's in the server's namespace."""

    def __enter__(self):
        self.process = subprocess.Popen([*harness.World.prefix, sys.executable, "-c", SERVICE],
                                        stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"ready\n"
        return self

    def check(self):
        for host in ("10.9.0.1", "fd09::1"):
            with socket.create_connection((host, 7000), timeout=5) as connection:
                connection.sendall(b"x" * 100_000)
                connection.shutdown(socket.SHUT_WR)
                got = b""
                while part := connection.recv(65536):
                    got += part
                assert got == b"x" * 100_000, len(got)
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as datagram:
                datagram.settimeout(5)
                datagram.sendto(b"hello", (host, 7000))
                assert datagram.recv(100) == b"hello"

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def start(given, directory, *args, size="256MiB", **more):
    return harness.Server(given.pst, f"{directory}/x.paste", "--create", "--size", size, *args,
                          **more)


def in_server_namespace(*command):
    return subprocess.run([*harness.World.prefix, *command], capture_output=True, text=True,
                          timeout=30, check=False)


def attached():
    return "prog/xdp" in in_server_namespace("ip", "link", "show", "dev", "server").stdout


def check_large_records_both_ways(given):
    with harness.temporary_directory(True) as directory, \
            start(given, directory, size="512MiB") as server:
        for size in (0, 1, 1460, 1461, 100_000, 50 << 20, 50 << 20):
            record = os.urandom(size)
            lsn = server.append("large", record)
            status, _, got = server.request("GET", f"/log/large?from={lsn}&limit=1", headers={
                "Accept": "application/x-ndjson"})
            assert status == 200
            [(found, data)] = [harness.parse_record(line) for line in got.splitlines()]
            assert found == lsn and hashlib.sha256(data).digest() == hashlib.sha256(record).digest()
        assert server.stop() == 0


def check_ipv6(given):
    with harness.temporary_directory(True) as directory:
        port = harness.free_port()
        command = [*harness.World.prefix, str(given.pst), "serve", "--pool",
                   f"{directory}/six.paste", "--create", "--size", "64MiB", "--port", "xdp:server",
                   "--listen", f"http://[fd09::1]:{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            while not process.stdout.readline().startswith("listening"):
                assert process.poll() is None
            try:
                done = subprocess.run(["curl", "-sS", "-g", "-m", "10", "--data-binary", "@-",
                                       f"http://[fd09::1]:{port}/log/six"], input=b"z" * 50_000,
                                      capture_output=True, check=False)
                assert done.stdout == b"1\n", done
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)


def metrics(server, name):
    """{labels: value} of one metric of the server."""
    _, _, text = server.request("GET", "/metrics")
    found = {}
    for line in text.decode().splitlines():
        if line.startswith(name + "{") or line.startswith(name + " "):
            labels, value = line[len(name):].rsplit(" ", 1)
            found[labels] = float(value)
    return found


def check_counters_tell_what_the_port_did(given):
    with harness.temporary_directory(True) as directory, start(given, directory) as server:
        server.append("counted", b"x" * 5000)
        assert metrics(server, "paste_port_frames_in_total")[""] > 5
        assert metrics(server, "paste_port_frames_out_total")[""] > 2
        refused = metrics(server, "paste_port_frames_refused_total")
        assert sum(refused.values()) == 0, refused
        dropped = metrics(server, "paste_port_frames_dropped_total")
        assert dropped and sum(dropped.values()) == 0, dropped


def check_busy_polling_does_the_receiving_on_its_own_core(given):
    if os.cpu_count() < 2:
        return
    before = os.sched_getaffinity(0)
    with harness.temporary_directory(True) as directory:
        with start(given, directory, "--poll", "busy", "--cpu", "0") as server:
            if "runs where the kernel wants" in server.error_text():
                print("not checked: " + server.error_text().strip().splitlines()[-1])
                return
            try:
                os.sched_setaffinity(0, {1})
                for i in range(300):
                    assert server.append("driven", b"y" * 1000) == i + 1
            finally:
                os.sched_setaffinity(0, before)
            steered = metrics(server, "paste_port_frames_steered_total")
            assert steered['{cpu="0"}'] > 0.9 * sum(steered.values()), steered


def check_both_ends_over_xdp(given):
    """Our TCP against itself, dialling and listening; payload copied together or in pieces."""
    with harness.temporary_directory(True) as directory, \
            start(given, directory, size="1GiB") as server:
        kept = 0
        for port in ("xdp:clients", "xdp:clients:scatter", "xdp:clients:copy"):
            for size in (0, 700, 1024, 10_000):
                done = subprocess.run(
                    [given.pst, "bench", f"{server.url.rstrip('/')}/log/bench", "--port", port,
                     "--record-bytes", str(size), "--connections", "7", "--seconds", "50ms",
                     "--warmup", "20ms", "--json"], capture_output=True, text=True, timeout=60,
                    check=False)
                assert done.returncode == 0, done
                result = json.loads(done.stdout)
                assert result["requests"] >= 7 and result["p50_us"] > 0, result
                kept += result["requests"]
                last = server.append("bench", b"the last")
                assert last > kept, (last, kept)
                [(_, data)] = server.records("bench", last - 1)[:1]
                assert data == bytes(33 + i * 7 % 94 for i in range(1, size + 1)), data[:100]
                kept = last


def check_local_and_remote_clients_at_once(given):
    with harness.temporary_directory(True) as directory, start(given, directory) as server:
        url = server.url.rstrip("/") + "/log/both"
        local = in_server_namespace("curl", "-sS", "-m", "10", "-d", "from here", url)
        assert local.stdout == "1\n", local
        assert server.append("both", b"from there") == 2
        local = in_server_namespace("curl", "-sS", "-m", "10", "-d", "from here again", url)
        assert local.stdout == "3\n", local
        assert [data for _, data in server.records("both")] == [
            b"from here", b"from there", b"from here again"]


def check_the_host_stays_whole(given):
    with harness.temporary_directory(True) as directory, OtherService() as other:
        other.check()
        with start(given, directory) as server:
            assert attached()
            server.append("log", b"one")
            other.check()
            assert server.stop() == 0
        assert not attached()
        other.check()
        with start(given, directory) as server:
            server.append("log", b"two")
            server.kill()
        harness.wait_until(lambda: not attached(), what="the program's end")
        other.check()
        with start(given, directory) as server:
            assert [data for _, data in server.records("log")] == [b"one", b"two"]


def check_closed_ports_are_refused_by_the_kernel(given):
    with harness.temporary_directory(True) as directory, start(given, directory):
        try:
            socket.create_connection(("10.9.0.1", 7999), timeout=5)
            raise AssertionError("somebody answered")
        except ConnectionRefusedError:
            pass


def expect_failure(given, directory, port, *words):
    done = in_server_namespace(str(given.pst), "serve", "--pool", f"{directory}/bad.paste",
                               "--create", "--size", "64MiB", "--port", port)
    assert done.returncode != 0 and all(word in done.stderr for word in words), done


def check_bad_starts_say_what_to_do(given):
    with harness.temporary_directory(True) as directory:
        expect_failure(given, directory, "xdp:nothing0", "no interface 'nothing0'", "server")
        expect_failure(given, directory, "xdp:lo", "use --port kernel")
        expect_failure(given, directory, "xdp:server:7", "receive queues")
        expect_failure(given, directory, "xdp:server:x", "is neither a queue nor")
        expect_failure(given, directory, "xdp:", "xdp:INTERFACE")
        with start(given, directory):
            expect_failure(given, directory, "xdp:server", "another XDP program", "bpftool net")
        in_server_namespace("ip", "link", "set", "server", "mtu", "3000")
        try:
            expect_failure(given, directory, "xdp:server", "MTU", "ip link set server mtu 1500")
        finally:
            in_server_namespace("ip", "link", "set", "server", "mtu", "1500")


def check_doctor_knows_the_interface(given):
    def look():
        done = in_server_namespace(str(given.pst), "doctor", "--interface", "server", "--json")
        assert done.returncode == 0, done
        [found] = json.loads(done.stdout)["interfaces"]
        return found, {one["do"] for one in found["advice"]}
    found, advice = look()
    assert found["driver"] == "veth" and found["up"] and found["mtu"] == 1500, found
    assert found["addresses"] >= 2 and found["receive_queues"] >= 1, found
    assert found["xdp_program"] == 0 and any("tx off" in one for one in advice), found
    in_server_namespace("ip", "link", "set", "server", "mtu", "3000")
    try:
        assert any(one.startswith("ip link set server mtu 1500") for one in look()[1])
    finally:
        in_server_namespace("ip", "link", "set", "server", "mtu", "1500")
    with harness.temporary_directory(True) as directory, start(given, directory):
        found, advice = look()
        assert found["xdp_program"] != 0 and any("xdp off" in one for one in advice), found
    text = in_server_namespace(str(given.pst), "doctor").stdout
    assert "interface  server: veth" in text and "driven" in text, text


def read_capture(path):
    """The frames of a classic capture file."""
    data = path.read_bytes()
    assert struct.unpack_from("<I", data)[0] == 0xa1b23c4d, data[:24]
    at, frames = 24, []
    while at < len(data):
        kept, length = struct.unpack_from("<II", data, at + 8)
        assert kept == length <= 1514 and at + 16 + kept <= len(data)
        frames.append(data[at + 16:at + 16 + kept])
        at += 16 + kept
    return frames


def check_capture(given):
    record = b"what-the-capture-shows" * 3000
    with harness.temporary_directory(True) as directory:
        file = pathlib.Path(directory, "x.pcap")
        with start(given, directory, "--pcap", file, "--pcap-size", "1MiB") as server:
            port = struct.pack(">H", server.address[1])
            lsn = server.append("tapped", record)
            assert server.request("GET", f"/log/tapped?from={lsn}&limit=1")[0] == 200
            assert server.stop() == 0
        frames = read_capture(file)
        inbound = b"".join(frame[66:] for frame in frames if frame[36:38] == port)
        outbound = b"".join(frame[66:] for frame in frames if frame[34:36] == port)
        assert inbound.count(b"POST /log/tapped") == 1 and record in inbound, len(inbound)
        assert outbound.count(b"HTTP/1.1 200") == 2, len(outbound)
        assert file.with_name("x.pcap.2").stat().st_size == 0
        done = harness.run_pst(given.pst, "serve", "--pool", f"{directory}/k.paste", "--create",
                               "--size", "16MiB", "--pcap", f"{directory}/k.pcap")
    assert done.returncode != 0 and "needs an xdp port" in done.stderr, done


def check_it_sleeps_when_idle(given):
    with harness.temporary_directory(True) as directory, start(given, directory) as server:
        server.append("log", b"one")
        with socket.create_connection(server.address):
            def used():
                with open(f"/proc/{server.process.pid}/stat", encoding="ascii") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
                return int(fields[11]) + int(fields[12])  # ticks of 10 ms
            before = used()
            time.sleep(1)
            assert used() - before <= 5, "an idle server burns CPU"


def main():
    given = harness.arguments()
    harness.need_program("curl")
    harness.run_checks([check_large_records_both_ways, check_ipv6, check_both_ends_over_xdp,
                        check_counters_tell_what_the_port_did,
                        check_busy_polling_does_the_receiving_on_its_own_core,
                        check_local_and_remote_clients_at_once, check_the_host_stays_whole,
                        check_closed_ports_are_refused_by_the_kernel,
                        check_bad_starts_say_what_to_do, check_doctor_knows_the_interface,
                        check_capture, check_it_sleeps_when_idle], given)


if __name__ == "__main__":
    main()
