// What the pool's own work costs: taking, holding and giving back buffers; a commit of nothing, of
// bytes, and of published words; opening by the size of the pool.
#include <benchmark/benchmark.h>

#include "base/check.h"
#include "pmem/region.h"
#include "pool/core.h"

namespace paste::pool {
namespace {

std::unique_ptr<Core> make_core(uint64_t bytes) {
  auto region = must(pmem::anonymous_region(bytes));
  must(Core::create(*region, {}));
  auto core = must(Core::open(std::move(region)));
  must(core->finish_recovery());
  return core;
}

void hold_release(benchmark::State& state) {
  auto core = make_core(16u << 20);
  const BufferName name = must(core->take(Purpose::data));
  for (auto _ : state) {
    core->hold(name);
    core->release(name);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(hold_release);

void take_release(benchmark::State& state) {
  auto core = make_core(16u << 20);
  for (auto _ : state) core->release(must(core->take(Purpose::receive)));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(take_release);

// The argument: buffers freed by each ticket.
void take_release_after_ticket(benchmark::State& state) {
  auto core = make_core(16u << 20);
  for (auto _ : state) {
    for (int64_t i = 0; i < state.range(0); ++i) {
      core->release_after_ticket(must(core->take(Purpose::receive)));
    }
    must(core->commit());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(take_release_after_ticket)->Arg(1)->Arg(64);

void commit_nothing(benchmark::State& state) {
  auto core = make_core(16u << 20);
  for (auto _ : state) must(core->commit());
}
BENCHMARK(commit_nothing);

void commit_line(benchmark::State& state) {
  auto core = make_core(16u << 20);
  auto* word = reinterpret_cast<uint64_t*>(core->buffer(must(core->take(Purpose::data))));
  for (auto _ : state) {
    ++*word;
    core->flush(word, sizeof *word, Site::log_entry);
    must(core->commit());
  }
}
BENCHMARK(commit_line);

// The argument: words that each ticket publishes.
void commit_published(benchmark::State& state) {
  auto core = make_core(16u << 20);
  auto* words = reinterpret_cast<uint64_t*>(core->buffer(must(core->take(Purpose::structure))));
  uint64_t value = 0;
  for (auto _ : state) {
    for (int64_t i = 0; i < state.range(0); ++i) must(core->publish(words + i, ++value));
    must(core->commit());
  }
}
BENCHMARK(commit_published)->Arg(1)->Arg(16)->Arg(256);

void take_zeroed(benchmark::State& state) {
  auto core = make_core(16u << 20);
  for (auto _ : state) {
    core->release_after_ticket(must(core->take_zeroed(Purpose::structure)));
    must(core->commit());
  }
}
BENCHMARK(take_zeroed);

// The argument: MiB.
void open_empty(benchmark::State& state) {
  const auto bytes = static_cast<uint64_t>(state.range(0)) << 20;
  for (auto _ : state) benchmark::DoNotOptimize(make_core(bytes));
}
BENCHMARK(open_empty)->Arg(16)->Arg(1024)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace paste::pool
