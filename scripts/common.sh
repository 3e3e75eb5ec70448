# What the scripts share. Sourced, never run.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

say() { printf '\n== %s\n' "$*"; }
die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# configure PRESET: once, and again only when CMake asks for it by itself.
configure() {
  if [ ! -f "build/$1/build.ninja" ]; then
    cmake --preset "$1" "${@:2}"
  fi
}

# build PRESET [TARGET…]
build() {
  local preset=$1
  shift
  configure "$preset"
  cmake --build "build/$preset" ${1:+--target "$@"}
}
