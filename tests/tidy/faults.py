"""One planted fault for each rule of tidy.py: a checker that finds nothing must be shown to look.

Each case starts from a small clean tree, changes one file, and expects findings of that rule alone.
INNOCENT changes look like faults and must pass.
"""

import pathlib
import tempfile

CLEAN = {
    "include/paste/a.h": "// A.\n#pragma once\n\n#include <cstdint>\n\nusing A = uint32_t;\n",
    "src/base/b.h": '#pragma once\n\n#include "paste/a.h"\n\nA b();\n',
    "src/base/b.cc": '#include "base/b.h"\n\nA b() { return 1; }\n',
    "src/base/time.cc": "#include <ctime>\n\nlong t() { return clock_gettime(0, nullptr); }\n",
    "src/log/l.cc": '#include "base/b.h"\n\nA l() { return b(); }\n',
    "src/pmem/p.cc": "void p() { _mm_sfence(); }\n",
    "src/CMakeLists.txt": "add_library(x base/b.cc base/time.cc log/l.cc pmem/p.cc)\n",
    ".clang-format": "BasedOnStyle: Google\nColumnLimit: 100\n",
}
MARKER = "TO" + "DO"
LONG = "int x" + "y" * 100 + ";\n"

FAULTS = [  # rule, path, text (appended to what is there)
    ("module_order", "src/base/b.cc", '#include "pool/core.h"\n'),
    ("module_order", "src/log/l.cc", '#include "port/driver.h"\n'),
    ("module_order", "src/log/l.cc", '#include "local.h"\n'),
    ("module_order", "include/paste/a.h", '#include "base/b.h"\n'),
    ("module_order", "src/port/sim/s.cc", '#include "pool/core.h"\n'),
    ("module_order", "src/port/p.cc", '#include "port/sim/world.h"\n'),
    ("sizes", "src/base/b.cc", LONG),
    ("sizes", "src/base/b.cc", "\n" * 600),
    ("sizes", "src/base/b.h", "\n" * 250),
    ("markers", "src/base/b.cc", f"// {MARKER}: later\n"),
    ("clocks", "src/log/l.cc", "auto n() { return std::chrono::steady_clock::now(); }\n"),
    ("clocks", "src/log/l.cc", "auto n() { return time(nullptr); }\n"),
    ("randomness", "src/log/l.cc", "int r() { return rand(); }\n"),
    ("environment", "src/log/l.cc", 'auto e() { return std::getenv("X"); }\n'),
    ("threads", "src/log/l.cc", "std::thread t;\n"),
    ("threads", "src/log/l.cc", "int f() { return ::fork( ); }\n"),
    ("persistence", "src/log/l.cc", "void f() { _mm_clwb(nullptr); }\n"),
    ("persistence", "src/log/l.cc", "void f(int d) { fdatasync(d); }\n"),
    ("persistence", "src/log/l.cc", 'void f() { asm volatile("sfence"); }\n'),
    ("sockets", "src/log/l.cc", "int f() { return socket(1, 2, 3); }\n"),
    ("sockets", "src/log/l.cc", "void f() { listen(3, 4); }\n"),
    ("sockets", "src/server/s.cc", "void f() { ::send(1, nullptr, 0, 0); }\n"),
    ("sockets", "src/server/s.cc", "void f() { setsockopt(1, 2, 3, nullptr, 0); }\n"),
    ("sockets", "src/log/l.cc", "#include <liburing.h>\n"),
    ("pragma_once", "src/base/c.h", "int c();\n"),
    ("listed", "src/base/forgotten.cc", "int f;\n"),
    ("machine_paths", "src/log/l.cc", 'auto p = "/ho' 'me/somebody/x";\n'),
    ("public_headers", "include/paste/a.h", "inline std::string s;\n"),
    ("formatted", "src/base/b.cc", "A   c( ) ;\n"),
]
INNOCENT = [
    ("module_order", "src/port/sim/s.cc", '#include "base/b.h"\n#include "tcp/instant.h"\n'),
    ("module_order", "src/tcp/t_test.cc", '#include "port/sim/world.h"\n'),
    ("clocks", "src/log/l.cc", "// steady_clock::now() would be wrong here.\n"),
    ("clocks", "src/log/l.cc", 'auto s = "time(nullptr)";\n'),
    ("persistence", "src/log/l.cc", "void g(Region& r) { r.flush(nullptr, 0); }\n"),
    ("sockets", "src/log/l.cc", "void g(Port& p) { p.listen(1); p.send(2); }\n"),
    ("sockets", "src/server/s.cc", "void f() { send(reply); }\n"),
    ("threads", "src/log/l.cc", 'Prng f(Prng& p) { return p.fork("link"); }\n'),
    ("threads", "src/log/l_test.cc", "std::thread t;\n"),
    ("threads", "src/log/test_pool.h", "#pragma once\nstd::thread t;\n"),
    ("machine_paths", "src/log/l.cc", 'auto p = "/dev/shm/x";\n'),
]


def findings(check, rule, changes):
    with tempfile.TemporaryDirectory(prefix="tidy-") as scratch:
        root = pathlib.Path(scratch).resolve()
        for path, text in changes.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return check(root, [rule])


def run(check, rules):
    failures = []
    for rule in rules:
        if found := findings(check, rule, CLEAN):
            failures.append(f"{rule}: the clean tree has findings: {found}")
        if rule not in {f[0] for f in FAULTS}:
            failures.append(f"{rule}: no fault is planted for it")
    for rule, path, text in FAULTS:
        if not findings(check, rule, {**CLEAN, path: CLEAN.get(path, "") + text}):
            failures.append(f"{rule}: missed {text[:60]!r} in {path}")
    for rule, path, text in INNOCENT:
        if found := findings(check, rule, {**CLEAN, path: CLEAN.get(path, "") + text}):
            failures.append(f"{rule}: refused what is right: {found}")
    print("\n".join(failures) or f"tidy: {len(FAULTS)} planted faults found, "
          f"{len(INNOCENT)} innocent changes passed")
    return 1 if failures else 0
