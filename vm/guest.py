"""A guest with an NVDIMM and a virtio-net NIC, and the namespace that it is reached from."""

import os
import pathlib
import subprocess
import time

ADDRESS, HOST_ADDRESS = "10.78.0.2", "10.78.0.1"
HERE = pathlib.Path(__file__).resolve().parent
SKIP = 77


class GuestFailed(Exception):
    pass


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise GuestFailed(f"{' '.join(command)}: {done.stderr.strip()}")


class Network:
    """A network namespace with a tap device, gone afterwards. Needs root."""

    def __init__(self, name=None):
        self.name = name or f"paste-vm-{os.getpid()}"
        self.prefix = ["ip", "netns", "exec", self.name]

    def __enter__(self):
        run("ip", "netns", "add", self.name)
        try:
            run("ip", "-n", self.name, "tuntap", "add", "dev", "tap0", "mode", "tap")
            run("ip", "-n", self.name, "addr", "add", f"{HOST_ADDRESS}/24", "dev", "tap0")
            run("ip", "-n", self.name, "link", "set", "tap0", "up")
            run("ip", "-n", self.name, "link", "set", "lo", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "del", self.name], check=False)


def accelerator():
    """Hardware virtualisation where it is whole; nested, Debian's kernels die early in it."""
    if os.access("/dev/kvm", os.W_OK) and "hypervisor" not in pathlib.Path(
            "/proc/cpuinfo").read_text():
        return "kvm", "host"
    return "tcg,thread=multi", "max"


def command(network, folder, image, size, words, serial):
    accel, cpu = accelerator()
    mac = "52:54:00:70:73:74"
    return [*network.prefix, "qemu-system-x86_64", "-accel", accel, "-cpu", cpu,
            "-machine", "q35,nvdimm=on,nvdimm-persistence=mem-ctrl", "-smp", "2",
            "-m", "1G,slots=4,maxmem=8G", "-kernel", f"{folder}/vmlinuz", "-initrd",
            f"{folder}/initrd", "-append", f"console=ttyS0 panic=-1 quiet {words}",
            "-object", "memory-backend-file,id=mem1,share=on,pmem=off,"
            f"mem-path={image},size={size}",
            "-device", "nvdimm,memdev=mem1",
            "-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no",
            "-device", "virtio-net-pci,netdev=n0,iommu_platform=on,disable-legacy=on,romfile=,"
            f"mac={mac}", "-nodefaults", "-display", "none", "-no-reboot", "-serial", serial]


class Guest:
    """One life of the machine, from boot to the end of its process."""

    def __init__(self, network, folder, image, size, mode, log="vm"):
        self.console = pathlib.Path(folder, f"console-{mode}.log")
        words = f"paste.mode={mode} paste.address={ADDRESS} paste.log={log}"
        self.console.write_text("")
        self.process = subprocess.Popen(
            command(network, folder, image, size, words, f"file:{self.console}"),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def said(self):
        return self.console.read_text(errors="replace")

    def wait_for(self, text, seconds=180):
        """What the console said, once `text` is in it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            said = self.said()
            if text in said:
                return said
            if "GUEST-FAILED" in said or self.process.poll() is not None:
                break
            time.sleep(0.05)
        complaint = b"" if self.process.poll() is None else self.process.stderr.read()
        raise GuestFailed(f"the guest did not say '{text}':\n{self.said()[-4000:]}\n"
                          f"{complaint.decode(errors='replace')}")

    def kill(self):
        """The power fails: SIGKILL, at once."""
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()
