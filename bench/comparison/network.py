"""Where server and client meet: the loopback device, or two network namespaces."""

import os
import socket
import subprocess

from comparison.measure import Failed

COUNTED = """
What is counted: CPU time per request is the time that the server's core was not idle while wrk ran
(user, system, interrupts and softirq, whoever's) divided by the requests. Idle time comes from
/proc/stat, where it is exact; the other columns there are sampled at the timer tick.
"""


class Loopback:
    host, server, client = "127.0.0.1", [], []
    name = "loopback"
    accounting = COUNTED + """Server and client talk over loopback, where the sender's core runs the
receiver's protocol processing: the server's core delivers the replies to wrk, wrk's core delivers
the requests to the server, for every server alike. "Both cores" counts all of it.
"""

    def __init__(self, args):
        pass

    def new_port(self):
        with socket.socket() as s:
            s.bind((self.host, 0))
            return s.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


CHARGED = """Server and client live in two network namespaces, joined by a veth pair whose receive
steering (RPS) runs each side's protocol processing on its own core, as two machines would. What RPS
adds, an interrupt from core to core, a network card would not.
"""
CHARGED_XDP = """An xdp port that polls busily drives its end of the veth pair itself (NAPI), so the
copy into its buffers is done on its own core, too; its counter of frames by processor shows it.
"""
UNCHARGED = """Server and client live in two network namespaces, joined by a veth pair. NOT fair:
whoever sends also does the receiver's part, so the client's core does the server's receiving.
"""


class Veth:
    """Two network namespaces of our own, joined by a veth pair, gone afterwards. Needs root."""

    host, name = "10.77.0.1", "veth"

    def __init__(self, args):
        self.charged = args.accounting == "charged"
        self.accounting = COUNTED + (CHARGED + CHARGED_XDP if self.charged else UNCHARGED)
        self.cores = {"s": args.server_core, "c": args.client_core}
        self.spaces = {side: f"paste-{os.getpid()}-{side}" for side in self.cores}
        self.server, self.client = (["ip", "netns", "exec", self.spaces[x]] for x in "sc")

    def new_port(self):
        return 8080

    def run(self, *command):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}: {done.stderr.strip()}")

    def __enter__(self):
        try:
            for space in self.spaces.values():
                self.run("ip", "netns", "add", space)
            self.run("ip", "link", "add", "end-s", "netns", self.spaces["s"], "type", "veth",
                     "peer", "name", "end-c", "netns", self.spaces["c"])
            for side, address in (("s", f"{self.host}/24"), ("c", "10.77.0.2/24")):
                here, device = self.spaces[side], f"end-{side}"
                self.run("ip", "-n", here, "addr", "add", address, "dev", device)
                self.run("ip", "-n", here, "link", "set", device, "up")
                # There is no hardware that would fill in the checksums for an xdp port.
                self.run("ip", "netns", "exec", here, "ethtool", "-K", device, "tx", "off")
                if not self.charged:
                    continue
                self.run("ip", "netns", "exec", here, "sh", "-c",
                         f"for q in /sys/class/net/{device}/queues/rx-*; do "
                         f"echo {1 << self.cores[side]:x} > $q/rps_cpus; done")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for space in self.spaces.values():
            subprocess.run(["ip", "netns", "del", space], stderr=subprocess.DEVNULL)


def choose(args):
    """`auto` is veth where we may, because it charges each side with its own work."""
    if args.network_name == "auto":
        try:
            with Veth(args):
                return Veth(args)
        except (OSError, Failed):
            return Loopback(args)
    return {"veth": Veth, "loopback": Loopback}[args.network_name](args)
