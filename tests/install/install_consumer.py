"""Installs to a scratch prefix and builds a program against it, by the CMake package and by
pkg-config, moved elsewhere in between; then runs both.

    install_consumer.py BUILD_DIR CMAKE CXX SANITIZE CONFIG_LIBDIR
"""

import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SKIP = 77


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{shlex.join(str(c) for c in command)}: status {done.returncode}\n{done.stdout}")
    return done.stdout.strip()


def consume(program, scratch):
    pool = scratch / "consumer.paste"
    pool.unlink(missing_ok=True)
    said = run(program, pool)
    assert said == "consumed", said


def main():
    build, cmake, compiler, sanitize, libdir = sys.argv[1:6]
    if sanitize:
        print("skipped: a sanitised library wants a sanitised consumer")
        return SKIP
    if shutil.which("pkg-config") is None:
        print("skipped: there is no pkg-config")
        return SKIP
    shm = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="paste-install-", dir=shm) as folder:
        scratch = pathlib.Path(folder)
        first, prefix = scratch / "first", scratch / "moved"
        run(cmake, "--install", build, "--prefix", first)
        first.rename(prefix)
        assert (prefix / libdir / "libpaste.a").exists()
        assert (prefix / "include/paste/result.h").exists()
        installed = [p for p in prefix.rglob("*.h") if p.parent != prefix / "include/paste"]
        assert not installed, f"headers that are not public: {installed}"

        run(cmake, "-S", HERE / "consumer", "-B", scratch / "by-cmake", "-G", "Ninja",
            f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_CXX_COMPILER={compiler}")
        run(cmake, "--build", scratch / "by-cmake")
        consume(scratch / "by-cmake/consumer", scratch)

        found = dict(os.environ, PKG_CONFIG_PATH=str(prefix / libdir / "pkgconfig"))
        flags = run("pkg-config", "--cflags", "--libs", "--static", "paste", env=found)
        run(compiler, "-std=c++20", HERE / "consumer/main.cc", *shlex.split(flags), "-o",
            scratch / "by-pkg-config")
        consume(scratch / "by-pkg-config", scratch)

        pst = prefix / "bin/pst"
        if pst.exists():
            print(run(pst, "--version"))
    print("installed, moved, and consumed by CMake and by pkg-config")
    return 0


if __name__ == "__main__":
    sys.exit(main())
