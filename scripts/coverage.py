"""Sums up what gcov says of the lines of some folders."""
import collections
import json
import pathlib
import subprocess
import sys

LEAST = 95.0  # per cent, in each folder


def main():
    build, folders = pathlib.Path(sys.argv[1]), " ".join(sys.argv[2:]).split()
    root = pathlib.Path.cwd()
    lines = collections.defaultdict(dict)  # file -> line -> count
    for data in build.rglob("*.gcda"):
        done = subprocess.run(["gcov", "--json-format", "--stdout", str(data.resolve())],
                              capture_output=True, text=True, check=True)
        for text in done.stdout.splitlines():
            for one in json.loads(text)["files"]:
                path = pathlib.Path(one["file"])
                path = path if path.is_absolute() else (build / path).resolve()
                if not path.is_relative_to(root):
                    continue
                name = str(path.relative_to(root))
                if name.endswith(("_test.cc", "_bench.cc")) or "test_" in name:
                    continue
                for line in one["lines"]:
                    number = line["line_number"]
                    lines[name][number] = lines[name].get(number, 0) + line["count"]
    ok = True
    for folder in folders:
        total = hit = 0
        for name in sorted(n for n in lines if n.startswith(folder + "/")):
            counts = lines[name]
            ran = sum(1 for c in counts.values() if c)
            total, hit = total + len(counts), hit + ran
            missed = [n for n, c in sorted(counts.items()) if not c]
            print(f"{100 * ran / max(len(counts), 1):6.1f} %  {name}"
                  + (f"  not: {' '.join(map(str, missed[:12]))}" if missed else ""))
        share = 100 * hit / max(total, 1)
        ok = ok and share >= LEAST
        print(f"{share:6.1f} %  of {total} lines in {folder}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
