#!/usr/bin/env python3
"""Reads the tree and fails on what reviewers would otherwise repeat.

    tidy.py [--root DIR]            check the tree
    tidy.py --format                also clang-format
    tidy.py --only RULE …           some rules only (--list names them)
    tidy.py --self-test             plant one fault for each rule and expect it to be found

Each rule is a function that yields (path, line, what). A new rule needs a planted fault in FAULTS.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HEADER_LINES, SOURCE_LINES, COLUMNS = 200, 500, 100
CODE = (".h", ".cc")
TEXT = CODE + (".py", ".cmake", ".txt", ".md", ".json", ".in", ".toml", ".lua", ".service", "")
SKIPPED = {".git", "build", ".cache", "__pycache__"}

# design order: a module may include itself, what it names here, and what those may include.
USES = {
    "base": [],
    "pmem": ["base"],
    "pool": ["pmem"],
    "log": ["pool"],
    "tree": ["pool"],
    "wire": ["base"],
    "ip": ["wire"],
    "udp": ["wire"],
    "tcp": ["wire"],
    "port": ["pool", "tcp", "ip", "udp"],
    "proto": ["base"],
    "kv": ["log", "tree", "proto"],
    "api": ["port", "log", "tree"],
    "server": ["port", "log", "tree", "proto", "kv"],
    "switch": ["port", "log", "wire"],
    "load": ["port"],
    "sim": ["tcp"],  # the ground of tests that run in virtual time: src/port/sim
}
NESTED = {"port/sim": "sim"}  # folders that are modules of their own
RULES = {}


def rule(function):
    RULES[function.__name__] = function
    return function


class File:
    def __init__(self, root, path):
        self.path = path.relative_to(root).as_posix()
        self.parts = self.path.split("/")
        self.suffix = path.suffix
        self.text = path.read_text(encoding="utf-8", errors="replace")
        self.lines = self.text.splitlines()
        self._code = None

    @property
    def is_code(self):
        return self.suffix in CODE

    @property
    def is_test(self):
        return (self.parts[0] in ("tests", "fuzz", "bench", "examples")
                or bool(re.search(r"_(test|bench|fuzz)\.cc$|/test_\w+\.(h|cc)$", self.path))
                or "testing" in self.parts)

    @property
    def module(self):
        return module_of(self.parts[1:]) if self.parts[0] == "src" and len(self.parts) > 2 else None

    @property
    def code(self):
        """Lines with comments and literals blanked, so that prose breaks no rule."""
        if self._code is None:
            self._code = blank(self.text).splitlines()
        return self._code


def module_of(parts):
    """The module that a path from src/ is of."""
    return NESTED.get("/".join(parts[:2]), parts[0])


def blank(text):
    """Comments, strings and characters become spaces; line breaks stay."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"(?P<d>[^()\\\s]{0,16})\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"|'
        r"(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'", re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def matches(files, pattern, allowed):
    """(path, line, match) in code outside what `allowed(file)` exempts."""
    for f in files:
        if f.is_code and not allowed(f):
            for i, line in enumerate(f.code, 1):
                if m := pattern.search(line):
                    yield f.path, i, m.group().strip()


# ---- Rules ---------------------------------------------------------------------------------------


def reachable(module):
    seen, todo = set(), [module]
    while todo:
        m = todo.pop()
        if m not in seen:
            seen.add(m)
            todo += USES.get(m, [])
    return seen


@rule
def module_order(tree):
    """Includes follow the order of the modules; public headers include public headers only."""
    include = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
    for f in tree.code:
        public = f.parts[0] == "include"
        if f.module and f.module not in USES:
            yield f.path, 1, f"module {f.module} has no place in the order (USES in tidy.py)"
            continue
        for i, line in enumerate(f.lines, 1):
            m = include.match(line)
            if not m or m.group(1).startswith("paste/"):
                continue
            target = m.group(1)
            other = module_of(target.split("/"))
            if public:
                yield f.path, i, f'a public header includes "{target}"'
            elif f.module and target.startswith("tools/"):
                yield f.path, i, f'{f.module} must not include "{target}"'
            elif f.module and other in USES and other not in reachable(f.module):
                if not (f.is_test and other in ("testing", "sim")):
                    yield f.path, i, f'{f.module} must not include "{target}"'
            elif f.module and "/" not in target:
                yield f.path, i, f'"{target}" wants its path from src/'


@rule
def sizes(tree):
    """A header has at most 200 lines, a source 500; a line has at most 100 columns."""
    for f in tree.files:
        limit = {".h": HEADER_LINES, ".cc": SOURCE_LINES, ".py": SOURCE_LINES}.get(f.suffix)
        if limit and len(f.lines) > limit:
            yield f.path, limit + 1, f"{len(f.lines)} lines, at most {limit}"
        if f.suffix in CODE + (".py", ".cmake", ".lua") or f.parts[-1] == "CMakeLists.txt":
            for i, line in enumerate(f.lines, 1):
                if len(line) > COLUMNS:
                    yield f.path, i, f"{len(line)} columns, at most {COLUMNS}"


@rule
def markers(tree):
    """Nothing is left to do in a comment."""
    marker = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
    for f in tree.files:
        for i, line in enumerate(f.lines, 1):
            if m := marker.search(line):
                yield f.path, i, f"leftover {m.group()}"


@rule
def clocks(tree):
    """Only base/time.cc reads a clock."""
    pattern = re.compile(r"\b(clock_gettime|gettimeofday|time\s*\(\s*(nullptr|NULL|0|&)|"
                         r"__?rdtscp?\b|(steady|system|high_resolution)_clock::now|Clock::now|"
                         r"timespec_get)")
    home = "src/base/time.cc"
    for path, i, what in matches(tree.code, pattern, lambda f: f.path == home or f.is_test):
        yield path, i, f"{what}: clocks are read in src/base/time.cc"


@rule
def randomness(tree):
    """Randomness makes identities, keys, and test data; nothing else."""
    pattern = re.compile(r"\b(s?rand(om)?(_r)?\s*\(|getrandom|getentropy|std::random_device|"
                         r"std::mt19937(_64)?|arc4random)")
    home = "src/base/random.cc"
    for path, i, what in matches(tree.code, pattern, lambda f: f.path == home or f.is_test):
        yield path, i, f"{what}: only {home} and tests ask for randomness"


@rule
def environment(tree):
    """Only the tool reads the environment (and the system's notification socket)."""
    pattern = re.compile(r"\b((secure_)?getenv|environ)\b")
    for path, i, what in matches(tree.code, pattern, lambda f: f.parts[0] == "tools" or f.is_test):
        yield path, i, f"{what}: settings arrive as arguments; only tools/ reads the environment"


@rule
def threads(tree):
    """One thread: no other is started, but for the tool's signal thread and in tests."""
    # fork(2) has no argument and is no method; a generator's fork(name) is no process.
    pattern = re.compile(r"\b(std::j?thread\b(?!_)|std::async|pthread_create|"
                         r"(?<![.>])fork\s*\(\s*(void\s*)?\)|vfork)")
    home = ("tools/pst/stop_signals.h", "tools/pst/stop_signals.cc")
    for path, i, what in matches(tree.code, pattern, lambda f: f.path in home or f.is_test):
        yield path, i, f"{what}: the loop is one thread"


@rule
def persistence(tree):
    """Only src/pmem writes back, fences and syncs."""
    pattern = re.compile(r"\b(_mm_clwb|_mm_clflush(opt)?|_mm_[sm]fence|clwb|clflush(opt)?|sfence|"
                         r"msync|fdatasync|fsync|sync_file_range|syncfs|p?writev?2?|pwrite(64)?|"
                         r"MAP_SYNC|RWF_DSYNC)\s*[(;|)]|\basm\b")
    only_here = re.compile(r"^(p?writev?2?)\s*\($")
    for f in tree.code:
        if f.module == "pmem" or f.path.startswith("bench/baselines/") or f.is_test:
            continue
        for i, line in enumerate(f.code, 1):
            m = pattern.search(line)
            # write() also goes to sockets, pipes and terminals; pwrite() can only be a file.
            if m and not (only_here.match(m.group()) and not m.group().startswith("pw")):
                yield f.path, i, f"{m.group().strip()}: only src/pmem makes anything durable"


@rule
def sockets(tree):
    """Only src/port has sockets, only src/port and src/pmem have io_uring."""
    # Names that only the system has, then those that a method of ours may have too.
    system = re.compile(r"(?<![\w.>:])(::)?(socket(pair)?|accept4|recv(from|m?msg)|send(to|m?msg)|"
                        r"[gs]etsockopt|epoll_(create1?|ctl|p?wait2?))\s*\(|"
                        r"(?<!\w)::(accept|listen|bind|connect|recv|send)\s*\(")
    plain = re.compile(r"(?<![\w.>:])(accept|listen|bind|connect|recv|send)\s*\(")
    header = re.compile(r"#\s*include\s+<(sys/epoll\.h|netinet/[\w/]+\.h|arpa/inet\.h|liburing\.h|"
                        r"linux/io_uring\.h)>")
    for f in tree.code:
        home = f.module in ("port", "pmem") or f.is_test or f.path in (
            "tools/pst/notify.cc", "tools/impair/raw_interface.cc")
        # inet_pton and its like only read an address; they open nothing.
        if home or f.parts[0] == "include" or f.path == "src/base/endpoint.cc":
            continue
        for i, line in enumerate(f.code, 1):
            if m := header.search(f.lines[i - 1]):
                yield f.path, i, f"<{m.group(1)}>: sockets and io_uring are in src/port"
            elif m := re.search(r"\bio_uring_\w+\s*\(", line):
                yield f.path, i, f"{m.group()}: io_uring is in src/port and src/pmem"
            elif m := system.search(line):
                yield f.path, i, f"{m.group().strip()}: sockets are in src/port"
            elif f.module in ("base", "pool", "log", "proto") and plain.search(line):
                yield f.path, i, f"{plain.search(line).group().strip()}: sockets are in src/port"


@rule
def pragma_once(tree):
    """A header guards itself, at its top."""
    for f in tree.code:
        if f.suffix == ".h":
            first = next((i for i, l in enumerate(f.code, 1) if l.strip()), 1)
            if not f.code or f.code[first - 1].strip() != "#pragma once":
                yield f.path, first, "the first line of code of a header is #pragma once"


@rule
def listed(tree):
    """Every source is built: some CMakeLists.txt names it. Every module header is included."""
    lists = {os.path.dirname(f.path): f.text for f in tree.files if f.parts[-1] == "CMakeLists.txt"}
    included = set()
    for f in tree.code:
        included.update(re.findall(r'#\s*include\s+[<"]([^">]+)[">]', f.text))
    for f in tree.code:
        if f.suffix == ".cc":
            if not any(re.search(rf"(?<![\w/.-]){re.escape(os.path.relpath(f.path, d or '.'))}"
                                 r"(?![\w.-])", text)
                       for d, text in lists.items() if not d or f.path.startswith(d + "/")):
                yield f.path, 1, "no CMakeLists.txt names it"
        elif f.parts[0] != "include":
            names = {"/".join(f.parts[1:]), f.path, f.parts[-1]}
            if not names & included:
                yield f.path, 1, "nothing includes it"


@rule
def machine_paths(tree):
    """Nothing names a place that exists on one machine only."""
    pattern = re.compile(r"(?<![\w.$}/-])/(home|root|work|Users|mnt|tmp/[a-z]+[-_.]?\d{2,})(?=/\w)")
    for f in tree.files:
        for i, line in enumerate(f.lines, 1):
            if m := pattern.search(line):
                yield f.path, i, f"absolute path {m.group()}"


@rule
def public_headers(tree):
    """Each public header compiles on its own."""
    headers = [f.path for f in tree.code if f.parts[0] == "include"]
    compiler = os.environ.get("CXX") or shutil.which("g++") or "c++"

    def compile_one(path):
        command = [compiler, "-fsyntax-only", "-std=c++20", "-Wall", "-Wextra", "-Werror",
                   "-x", "c++", "-I", str(tree.root / "include"),
                   "-include", str(tree.root / path), os.devnull]
        return path, subprocess.run(command, capture_output=True, text=True)

    with concurrent.futures.ThreadPoolExecutor(2) as workers:
        for path, done in workers.map(compile_one, headers):
            if done.returncode != 0:
                errors = [l for l in done.stderr.splitlines() if "error" in l]
                said = errors[0] if errors else done.stderr[:200]
                yield path, 1, f"does not compile on its own: {said}"


@rule
def formatted(tree):
    """clang-format has nothing to change (only with --format)."""
    program = shutil.which("clang-format") or shutil.which("clang-format-14")
    if program is None:
        yield ".clang-format", 1, "clang-format is not installed"
        return
    paths = [str(tree.root / f.path) for f in tree.code]
    for start in range(0, len(paths), 50):
        done = subprocess.run([program, "--dry-run", "--style=file", *paths[start : start + 50]],
                              capture_output=True, text=True)
        for path in sorted(set(re.findall(r"^(.+?):\d+:\d+: warning", done.stderr, re.M))):
            yield os.path.relpath(path, tree.root), 1, "not formatted: clang-format -i"


# ---- The tree and the command --------------------------------------------------------------------


class Tree:
    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()
        self.files = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(d for d in folders if d not in SKIPPED)
            for name in sorted(names):
                path = pathlib.Path(folder, name)
                if path.suffix in TEXT and path.is_file() and not path.is_symlink():
                    f = File(self.root, path)
                    if "\0" not in f.text and not is_data(f):
                        self.files.append(f)
        self.code = [f for f in self.files if f.is_code]


def is_data(f):
    return "seeds" in f.parts or "/data/" in f.path


def check(root, names):
    tree = Tree(root)
    return [(name, *found) for name in names for found in RULES[name](tree)]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=pathlib.Path(__file__).resolve().parents[2])
    parser.add_argument("--only", nargs="+", choices=RULES, metavar="RULE")
    parser.add_argument("--format", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    args = parser.parse_args()
    if args.list:
        print("\n".join(f"{n:16} {f.__doc__.splitlines()[0]}" for n, f in RULES.items()))
        return 0
    if args.self_test:
        import faults

        return faults.run(check, RULES)
    names = args.only or [n for n in RULES if n != "formatted" or args.format]
    found = check(args.root, names)
    for name, path, line, what in found:
        print(f"{path}:{line}: {what} [{name}]")
    print(f"tidy: {len(names)} rules, {len(found)} findings", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
