"""PASTE's TCP against the kernel's, over a tap device in network namespaces of our own.

Each worker process has an unnamed network namespace, which the kernel removes with the process.
The cases cover every pair of values of the factors in cases.py; what a case must do follows from
them.
"""
import argparse
import concurrent.futures
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

from cases import FACTORS, pairwise, sent_by_kernel, sent_by_us

SKIP = 77
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
KERNEL, OURS, PORT = "10.99.0.1", "10.99.0.2", 7000
MIB = 1 << 20

IMPAIRMENTS = {"none": [], "loss": ["--loss", "10000"], "reorder": ["--reorder", "20000"],
               "delay": ["--delay", "20000"]}
SHORT = 50
SYSCTLS = {"kernel-no-sack": "tcp_sack", "kernel-no-timestamps": "tcp_timestamps",
           "kernel-no-window-scale": "tcp_window_scaling"}
# Bits of tcpi_options, and the cases in which each must be missing.
AGREED = {1: "timestamps", 2: "sack", 4: "window-scale"}


class Wrong(Exception):
    """What a case must do and did not."""


def check(condition, message):
    if not condition:
        raise Wrong(message)


# --- The network ----------------------------------------------------------------------------------

def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def sysctl(name, value):
    pathlib.Path("/proc/sys/net/ipv4", name).write_text(str(value))


def enter_namespace():
    die_with_parent()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET) failed")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


class Peer:
    """One tap_peer with the kernel's side of its device set up."""

    def __init__(self, program, arguments, mtu):
        self.process = subprocess.Popen([str(program), "--mtu", str(mtu), *map(str, arguments)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            check(self.process.stdout.readline() == "ready\n", "tap_peer did not start")
            subprocess.run(["ip", "-batch", "-"], text=True, check=True, input=(
                f"link set tap0 mtu {mtu}\naddr add {KERNEL}/24 dev tap0\nlink set tap0 up\n"))
        except BaseException:
            self.stop()
            raise

    def go(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def result(self, timeout):
        out, _ = self.process.communicate(timeout=timeout)
        check(out, f"tap_peer ended with status {self.process.returncode} and said nothing")
        return json.loads(out)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except OSError:
                pass


# --- The kernel's side ----------------------------------------------------------------------------

class Kernel:
    """Makes the kernel's end of each connection, whoever opens it."""

    def __init__(self, role, receive_buffer=None):
        self.role = role
        self.receive_buffer = receive_buffer
        self.listener = None
        if role == "client":  # ours; so the kernel listens
            self.listener = self.socket()
            self.listener.bind((KERNEL, PORT))
            self.listener.listen(64)

    def socket(self):
        made = socket.socket()
        made.settimeout(15)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.receive_buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        return made

    def open(self):
        """(socket, the client's port)"""
        if self.listener:
            connection, address = self.listener.accept()
            connection.settimeout(15)
            return connection, address[1]
        connection = self.socket()
        connection.connect((OURS, PORT))
        return connection, connection.getsockname()[1]

    def close(self):
        if self.listener:
            self.listener.close()


def expect(connection, wanted):
    """Reads until the end of the stream, which must be `wanted`."""
    got = bytearray()
    while block := connection.recv(1 << 18):
        got += block
    check(len(got) == len(wanted), f"the kernel read {len(got)} bytes instead of {len(wanted)}")
    check(got == wanted, "the kernel read wrong bytes")


def expect_reset(connection):
    try:
        while connection.recv(1 << 18):
            pass
    except ConnectionResetError:
        return
    raise Wrong("the kernel saw the end of the stream instead of a reset")


def info(connection):
    raw = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return {"options": raw[5], "scales": raw[6], "mss": struct.unpack_from("I", raw, 16)[0],
            "retransmits": struct.unpack_from("I", raw, 100)[0]}


def kernel_counters():
    """Of this network namespace."""
    counters = {}
    for file in ("netstat", "snmp"):
        lines = pathlib.Path("/proc/net", file).read_text().splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            counters |= zip(names.split()[1:], map(int, values.split()[1:]))
    return counters


def run_sink(connection, port, case):
    connection.sendall(sent_by_kernel(port, case["bytes"]))
    connection.shutdown(socket.SHUT_WR)
    expect(connection, b"")


def run_source(connection, port, case):
    expect(connection, sent_by_us(port, case["bytes"]))


def run_echo(connection, port, case):
    data = sent_by_kernel(port, case["bytes"])
    errors = []

    def write():
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError as error:
            errors.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        expect(connection, data)
    finally:
        writer.join()
    check(not errors, f"the kernel could not write: {errors}")


def run_half_close(connection, port, case):
    connection.sendall(sent_by_kernel(port, 10000))
    connection.shutdown(socket.SHUT_WR)
    expect(connection, sent_by_us(port, case["bytes"]))


def run_kernel_resets(connection, port, _):
    connection.sendall(sent_by_kernel(port, 20000))
    check(len(connection.recv(1)) == 1, "nothing came back")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def run_we_reset(connection, port, case):
    try:
        connection.sendall(sent_by_kernel(port, case["bytes"]))
    except (ConnectionResetError, BrokenPipeError):
        return
    expect_reset(connection)


def run_kernel_reads_slowly(connection, port, case):
    time.sleep(1.5)  # longer than the retransmission timeout, after which the window is probed
    run_source(connection, port, case)


WORKLOADS = {
    "sink": (run_sink, ["--sink"], MIB),
    "source": (run_source, ["--source", MIB], MIB),
    "echo": (run_echo, ["--echo"], MIB // 4),
    "half-close": (run_half_close, ["--reply", MIB // 2], MIB // 2),
    # The reset may get lost and does not come again: only a keep-alive probe finds out.
    "kernel-resets": (run_kernel_resets, ["--echo", "--keep-alive", 300000], 0),
    "we-reset": (run_we_reset, ["--abort-after", 100000], MIB),
    "kernel-reads-slowly": (run_kernel_reads_slowly, ["--source", MIB // 4], MIB // 4),
    "we-read-slowly": (run_sink, ["--sink", "--read-after", 400000, "--read-every", 500,
                                  "--window", 32768], MIB // 4),
    "short": (run_echo, ["--echo", "--count", SHORT], 3000),
}
ENDINGS = {"kernel-resets": "reset", "we-reset": "aborted"}


# --- Verdicts -------------------------------------------------------------------------------------

def check_agreed(seen, case):
    for bit, name in AGREED.items():
        wanted = case["option"] not in ("no-" + name, "kernel-no-" + name)
        check(bool(seen["options"] & bit) == wanted,
              f"the kernel says that {name} is {'off' if wanted else 'on'}")
    if case["option"] == "ecn":
        check(seen["options"] & 8, "ECN was not agreed on")


def undisturbed(case):
    return case["impairment"] in ("none", "delay") and "slowly" not in case["workload"]


def check_kernel_sent_once(connection, case):
    if undisturbed(case) and case["option"] != "ecn":
        sent_again = info(connection)["retransmits"]
        check(sent_again == 0, f"the kernel sent {sent_again} segments again, and none was lost")


def check_kernel_counters(before, case):
    """The kernel found nothing wrong with what we sent."""
    wrong = ["InErrs", "InCsumErrors", "TCPSACKDiscard", "InHdrErrors"]
    if undisturbed(case):
        wrong += ["PAWSEstab", "TCPSYNChallenge", "TCPChallengeACK", "TCPTimeouts"]
    after = kernel_counters()
    grown = {name: after[name] - before[name] for name in wrong if after[name] != before[name]}
    check(not grown, f"the kernel counts {grown}")


def allowed_drops(case):
    """What may be dropped for a reason that the case itself gives."""
    allowed = set()
    if case["impairment"] in ("loss", "reorder", "delay"):
        allowed |= {"not_acceptable"}  # what the kernel sent again came twice
    if case["impairment"] in ("loss", "reorder"):
        allowed |= {"paws", "bad_syn", "out_of_order_full"}
    if case["impairment"] == "reorder":
        # Acknowledgements that are older than a whole window; and our own late ones, to which the
        # kernel's closed end answers with resets while we are in TIME-WAIT.
        allowed |= {"bad_ack", "bad_reset"}
    if case["workload"] in ("we-read-slowly", "kernel-resets", "we-reset"):
        allowed |= {"not_acceptable", "bad_reset"}  # probes of a closed window
    return allowed


def check_result(result, case):
    count = SHORT if case["workload"] == "short" else 1
    ending = ENDINGS.get(case["workload"], "orderly")
    check(result["problem"] == "", result["problem"])
    check(result["complete"], f"not every connection ended: {result['open']}")
    check(result["endings"] == {ending: count}, f"endings {result['endings']}")
    check(result["held"] == 0 and result["wrong_holds"] == 0, "holds of buffers are wrong")
    for name in ("malformed", "bad_checksum", "no_buffer", "send_failed"):
        check(result[name] == 0, f"{name}: {result[name]}")
    unexplained = set(result["drops"]) - allowed_drops(case)
    check(not unexplained, f"dropped: {result['drops']}")
    if case["workload"] in ("sink", "we-read-slowly"):
        check(result["received"] == case["bytes"], f"received {result['received']}")
    if case["workload"] in ("source", "half-close", "kernel-reads-slowly"):
        check(result["acknowledged"] == case["bytes"], f"acknowledged {result['acknowledged']}")
    if undisturbed(case):
        check(result["timeouts"] == 0, f"{result['timeouts']} timeouts without a loss")
        if case["option"] != "ecn":
            check(result["retransmits"] == 0, f"{result['retransmits']} retransmits without a loss")
    # A loss may put the first probe off beyond the pause.
    if case["workload"] == "kernel-reads-slowly" and case["impairment"] != "loss":
        check(result["window_probes"] > 0, "the window never was zero")
    if case["option"] == "ecn" and case["bytes"] >= MIB // 4:
        if case["workload"] in ("source", "echo", "half-close"):
            check(result["ect_sent"] > 0, "no packet was ECN-capable")


def our_arguments(case, seed):
    arguments = ["--seed", seed, *WORKLOADS[case["workload"]][1], *IMPAIRMENTS[case["impairment"]]]
    if case["role"] == "server":
        arguments += ["--serve", PORT]
    else:
        arguments += ["--connect", f"{KERNEL}:{PORT}"]
    if case["option"] == "ecn":
        arguments += ["--ecn", "--ce", "5000"]
    elif case["option"] in ("no-sack", "no-timestamps", "no-window-scale", "reno"):
        arguments += ["--" + case["option"]]
    return arguments


def run_case(program, number, case):
    """(seconds, the peer's result, what went wrong or None)"""
    began = time.monotonic()
    run, _, case["bytes"] = WORKLOADS[case["workload"]]
    sysctl("tcp_ecn", 1 if case["option"] == "ecn" else 2)
    for option, name in SYSCTLS.items():
        sysctl(name, 0 if case["option"] == option else 1)
    sysctl("tcp_no_metrics_save", 1)
    # Less than a few segments, and Linux offers a window of one byte from time to time.
    slow = case["workload"] == "kernel-reads-slowly"
    receive_buffer = max(8192, 4 * case["mtu"]) if slow else None
    before = kernel_counters()
    result, wrong, peer, kernel = {}, None, None, None
    try:
        peer = Peer(program, our_arguments(case, number + 1), case["mtu"])
        kernel = Kernel(case["role"], receive_buffer)
        peer.go()
        for _ in range(SHORT if case["workload"] == "short" else 1):
            connection, port = kernel.open()
            with connection:
                check_agreed(info(connection), case)
                run(connection, port, case)
                check_kernel_sent_once(connection, case)
        result = peer.result(25)
        check_result(result, case)
        check_kernel_counters(before, case)
    except (Wrong, OSError, subprocess.SubprocessError, ValueError) as error:
        wrong = f"{type(error).__name__}: {error}"
        if not result and peer is not None:
            try:
                result = peer.result(25)
            except (Wrong, OSError, subprocess.SubprocessError, ValueError):
                pass
    finally:
        if kernel is not None:
            kernel.close()
        if peer is not None:
            peer.stop()
    return time.monotonic() - began, result, wrong


def measure_goodput(program, role):
    """100 MiB that we send, the kernel reads; nothing impaired."""
    total = 100 * MIB
    where = ["--serve", PORT] if role == "server" else ["--connect", f"{KERNEL}:{PORT}"]
    peer = Peer(program, [*where, "--source", total], 1500)
    kernel = None
    try:
        kernel = Kernel(role)
        peer.go()
        connection, _ = kernel.open()
        with connection:
            began, got = time.monotonic(), 0
            while n := connection.recv_into(bytearray(1 << 20)):
                got += n
            seconds = time.monotonic() - began
        result = peer.result(30)
        check(got == total, f"the kernel read {got} bytes instead of {total}")
        return f"{got / seconds / MIB:.0f} MiB/s ({result['retransmits']} retransmits)"
    finally:
        if kernel is not None:
            kernel.close()
        peer.stop()


def describe(case):
    return " ".join(str(case[name]) for name in FACTORS)


def need_what_it_takes():
    reason = None
    if os.geteuid() != 0:
        reason = "network namespaces need root"
    elif not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        reason = "/dev/net/tun is missing"
    elif shutil.which("ip") is None:
        reason = "ip is not installed"
    else:
        with concurrent.futures.ProcessPoolExecutor(1) as pool:
            try:
                pool.submit(enter_namespace).result()
            except (OSError, subprocess.SubprocessError) as error:
                reason = f"no network namespace can be made: {error}"
    if reason:
        print(f"SKIPPED: {reason}")
        sys.exit(SKIP)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", required=True, type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, action="append", help="numbers of cases")
    parser.add_argument("--workers", type=int, default=4)
    given = parser.parse_args()
    need_what_it_takes()
    cases = list(enumerate(pairwise(given.seed)))
    if given.only:
        cases = [case for case in cases if case[0] in given.only]
    print(f"seed {given.seed}, {len(cases)} cases")
    failures = 0
    program = given.peer.resolve()
    with concurrent.futures.ProcessPoolExecutor(given.workers,
                                                initializer=enter_namespace) as pool:
        runs = [(n, case, pool.submit(run_case, program, n, case)) for n, case in cases]
        for n, case, run in runs:
            seconds, result, wrong = run.result()
            print(f"{n:3} {'FAILED' if wrong else 'ok':6} {seconds:5.1f} s  {describe(case)}")
            if wrong:
                print(f"    {wrong}\n    {json.dumps(result)}")
                # Time is real: a machine that stood still for 200 ms makes a timeout. What is wrong
                # in itself is wrong again.
                _, result, wrong = pool.submit(run_case, program, n, case).result()
                print(f"    again: {wrong or 'ok'} {json.dumps(result) if wrong else ''}")
            failures += wrong is not None
    if not given.only:
        with concurrent.futures.ProcessPoolExecutor(1, initializer=enter_namespace) as pool:
            for role in FACTORS["role"]:
                goodput = pool.submit(measure_goodput, program, role).result()
                print(f"goodput as {role}, 100 MiB to the kernel: {goodput}")
    print(f"{len(cases) - failures} of {len(cases)} cases passed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
