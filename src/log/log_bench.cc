// What keeping a record costs: by hold and by copy, with its CRC and the commit, hot and cold in
// the cache; and what opening a log costs by its number of records.
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>

#include "base/check.h"
#include "log/log.h"
#include "pmem/region.h"
#include "pool/core.h"

namespace paste::log {
namespace {

constexpr uint64_t kPoolBytes = 256u << 20;
constexpr uint32_t kBatch = 16;

struct BenchPool {
  std::unique_ptr<pool::Core> core;
  std::unique_ptr<Logs> logs;

  static std::unique_ptr<pmem::Region> region(uint64_t bytes) {
    auto made = pmem::anonymous_region(bytes).value();
    PASTE_CHECK(pool::Core::create(*made, {}).has_value());
    return made;
  }
  explicit BenchPool(std::unique_ptr<pmem::Region> region)
      : core(pool::Core::open(std::move(region)).value()), logs(Logs::recover(*core).value()) {
    PASTE_CHECK(core->finish_recovery().has_value());
  }
};

// Arguments: record bytes, and whether each buffer is warm when it is appended.
void append_held(benchmark::State& state) {
  BenchPool pool(BenchPool::region(kPoolBytes));
  Log& log = *pool.logs->create("bench").value();
  const auto bytes = static_cast<uint16_t>(state.range(0));
  for (auto _ : state) {
    for (uint32_t i = 0; i < kBatch; ++i) {
      const Slice packet{pool.core->take(pool::Purpose::receive).value(), 0, bytes};
      if (state.range(1) != 0) std::memset(pool.core->buffer(packet.buffer), 7, bytes);
      PASTE_CHECK(log.append({&packet, 1}, {.time_ns = 1}).has_value());
    }
    PASTE_CHECK(log.truncate(log.cut_for_count(state.range(1) != 0 ? 64 : 40'000)).has_value());
    pool.logs->reclaim(64);
    PASTE_CHECK(pool.core->commit().has_value());
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
  state.SetBytesProcessed(state.iterations() * kBatch * bytes);
}
BENCHMARK(append_held)
    ->ArgNames({"bytes", "warm"})
    ->Args({1024, 0})
    ->Args({1024, 1})
    ->Args({64, 1});

void append_copied(benchmark::State& state) {
  BenchPool pool(BenchPool::region(kPoolBytes));
  Log& log = *pool.logs->create("bench").value();
  const std::vector<std::byte> record(static_cast<size_t>(state.range(0)), std::byte{7});
  for (auto _ : state) {
    for (uint32_t i = 0; i < kBatch; ++i) {
      PASTE_CHECK(log.append_bytes(record, {.time_ns = 1}).has_value());
    }
    PASTE_CHECK(log.truncate(log.cut_for_count(state.range(1) != 0 ? 64 : 40'000)).has_value());
    pool.logs->reclaim(64);
    PASTE_CHECK(pool.core->commit().has_value());
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
  state.SetBytesProcessed(state.iterations() * kBatch * state.range(0));
}
BENCHMARK(append_copied)
    ->ArgNames({"bytes", "warm"})
    ->Args({1024, 0})
    ->Args({1024, 1})
    ->Args({64, 1})
    ->Args({100'000, 1});

void recover(benchmark::State& state) {
  auto region = BenchPool::region(kPoolBytes);
  pmem::Region* const memory = region.get();
  std::vector<std::byte> image;
  {
    BenchPool pool(std::move(region));
    Log& log = *pool.logs->create("bench").value();
    const std::vector<std::byte> record(1000, std::byte{7});
    for (int64_t i = 0; i < state.range(0); ++i) {
      PASTE_CHECK(log.append_bytes(record, {.time_ns = 1}).has_value());
      if (i % kBatch == 0) PASTE_CHECK(pool.core->commit().has_value());
    }
    PASTE_CHECK(pool.core->wait_durable(pool.core->filling()).has_value());
    image.assign(memory->data(), memory->data() + memory->size());
  }
  for (auto _ : state) {
    state.PauseTiming();
    auto copy = pmem::anonymous_region(kPoolBytes).value();
    std::memcpy(copy->data(), image.data(), image.size());
    state.ResumeTiming();
    BenchPool pool(std::move(copy));
    PASTE_CHECK(pool.logs->recovery().records == static_cast<uint64_t>(state.range(0)));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(recover)->Arg(1000)->Arg(100'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace paste::log
