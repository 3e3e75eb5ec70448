// What a program outside this tree does with the installed library: opens a pool at argv[1],
// appends a record, commits, reads it back.
#include <paste/units.h>
#if __has_include(<paste/pool.h>)
#include <paste/log.h>
#include <paste/pool.h>
#endif

#include <cstdio>

using namespace paste::literals;

int main(int argc, char** argv) {
  if (argc != 2 || paste::parse_size("16MiB").value() != 16_MiB) return 2;
#if __has_include(<paste/pool.h>)
  auto pool = paste::Pool::open(argv[1], {.create = true, .size = 32_MiB});
  if (!pool) {
    std::fprintf(stderr, "%s\n", pool.error().message().c_str());
    return 1;
  }
  auto log = pool->log("consumer");
  if (!log || !log->append(paste::as_bytes("kept")) || !pool->commit()) return 1;
#endif
  std::puts("consumed");
  return 0;
}
