// What a flush, a fence and a barrier cost here.
#include <benchmark/benchmark.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "pmem/flush.h"
#include "pmem/region.h"

namespace paste::pmem {
namespace {

constexpr uint64_t kRecord = 1024;

// One record over and over: its lines stay in the cache.
void flush_hot(benchmark::State& state) {
  auto region = anonymous_region(1u << 20).value();
  for (auto _ : state) {
    std::memset(region->data(), static_cast<int>(state.iterations()), kRecord);
    region->flush(region->data(), kRecord, Site::log_data);
    (void)region->begin_barrier(Site::barrier_ticket);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kRecord));
}
BENCHMARK(flush_hot)->Name("store_flush_fence/1KiB_hot");

// Records side by side through 256 MiB: as a log writes.
void flush_cold(benchmark::State& state) {
  constexpr uint64_t kSize = 256u << 20;
  auto region = anonymous_region(kSize).value();
  uint64_t at = 0;
  for (auto _ : state) {
    std::memset(region->data() + at, static_cast<int>(state.iterations()), kRecord);
    region->flush(region->data() + at, kRecord, Site::log_data);
    (void)region->begin_barrier(Site::barrier_ticket);
    at = (at + 2048) % kSize;
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kRecord));
}
BENCHMARK(flush_cold)->Name("store_flush_fence/1KiB_cold");

void flush_clean(benchmark::State& state) {
  auto region = anonymous_region(1u << 20).value();
  for (auto _ : state) region->flush(region->data(), kRecord, Site::log_data);
}
BENCHMARK(flush_clean)->Name("flush/1KiB_clean");

void fence(benchmark::State& state) {
  for (auto _ : state) store_fence();
}
BENCHMARK(fence)->Name("fence");

void page_barrier(benchmark::State& state, DiskIo disk_io) {
  std::string directory = "/tmp/paste-bench-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) return state.SkipWithError("cannot make a directory");
  RegionOptions options;
  options.path = directory + "/pool";
  options.create = true;
  options.size = 16u << 20;
  options.disk_io = disk_io;
  if (auto region = open_region(options); region) {
    const auto blocks = static_cast<uint64_t>(state.range(0));
    for (auto _ : state) {
      for (uint64_t i = 0; i < blocks; ++i) (*region)->flush((*region)->data() + i * 8192, 64, {});
      if (!(*region)->begin_barrier(Site::barrier_ticket) || !(*region)->wait_barrier()) {
        state.SkipWithError("the barrier failed");
        break;
      }
    }
  } else {
    state.SkipWithError(region.error().message().c_str());
  }
  ::rmdir(directory.c_str());  // the file was never published, so it is gone
}
BENCHMARK_CAPTURE(page_barrier, uring, DiskIo::uring)->Arg(1)->Arg(64)->UseRealTime();
BENCHMARK_CAPTURE(page_barrier, posix, DiskIo::posix)->Arg(1)->Arg(64)->UseRealTime();

}  // namespace
}  // namespace paste::pmem
