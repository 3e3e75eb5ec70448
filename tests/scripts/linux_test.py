"""Runs the script tests against the kernel's TCP: a check on the scripts themselves.

Each script gets a process, a network namespace and a tun device of its own. A script that says
`linux same` must pass, with another try for the machine's noise; one that says `linux differs`
names the clause by which the kernel answers otherwise, and is run, too.
"""
import argparse
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
SHARE = 0.6  # of the scripts must be the same on Linux
TRIES = 3


def why_not():
    if os.geteuid() != 0:
        return "needs root"
    if not os.path.exists("/dev/net/tun"):
        return "needs /dev/net/tun"
    if shutil.which("ip") is None:
        return "needs ip (iproute2)"
    probe = subprocess.run(["unshare", "-n", "true"], capture_output=True)
    return None if probe.returncode == 0 else "needs network namespaces"


def run(tcpt, script, tries):
    for _ in range(tries):
        done = subprocess.run([tcpt, "--linux", str(script)], capture_output=True, text=True,
                              timeout=240)
        if done.returncode == 0:
            return True, ""
    return False, done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tcpt", required=True)
    parser.add_argument("--jobs", type=int, default=16)
    parser.add_argument("--verbose", action="store_true", help="also what differs, and how")
    parser.add_argument("scripts", nargs="*")
    args = parser.parse_args()
    reason = why_not()
    if reason:
        print(f"skipped: {reason}")
        return 77
    scripts = sorted(map(pathlib.Path, args.scripts)) or sorted(FOLDER.rglob("*.tcpt"))
    same = {s: "\nlinux same" in "\n" + s.read_text() for s in scripts}
    failed, surprising, passed = [], [], 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        jobs = {s: pool.submit(run, args.tcpt, s, TRIES if same[s] else 1) for s in scripts}
        for script, job in jobs.items():
            ok, text = job.result()
            name = script.relative_to(FOLDER) if script.is_relative_to(FOLDER) else script
            passed += ok
            if same[script] and not ok:
                failed.append(name)
                print(text)
            elif not same[script] and ok:
                surprising.append(name)
            elif not ok and args.verbose:
                print(text)
    share = sum(same.values()) / max(len(same), 1)
    print(f"{len(scripts)} scripts: {passed} pass on Linux, {sum(same.values())} say that they do "
          f"({share:.0%}), {len(failed)} of these fail")
    if surprising:
        print("pass although they say that Linux differs: " + ", ".join(map(str, surprising)))
    if failed:
        print("FAILED: " + ", ".join(map(str, failed)))
    if share < SHARE:
        print(f"FAILED: fewer than {SHARE:.0%} of the scripts are the same on Linux")
    return 1 if failed or share < SHARE else 0


if __name__ == "__main__":
    sys.exit(main())
