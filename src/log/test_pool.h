// A small pool in plain memory for the tests of logs: it can be copied at any moment, reopened from
// any image, have barriers that wait, and pages that cannot be read.
#pragma once

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "log/log.h"
#include "pmem/region.h"
#include "pool/core.h"

namespace paste::log {

using Image = std::vector<std::byte>;

class TestRegion final : public pmem::Region {
 public:
  explicit TestRegion(uint64_t bytes) {
    void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    PASTE_CHECK(at != MAP_FAILED);
    data_ = static_cast<std::byte*>(at);
    size_ = bytes;
    domain_ = pmem::Domain::process;
  }
  explicit TestRegion(const Image& image) : TestRegion(image.size()) {
    std::memcpy(data_, image.data(), image.size());
  }
  ~TestRegion() override { munmap(data_, size_); }

  void flush(const void* p, size_t n, pmem::Site) noexcept override {
    const auto* at = static_cast<const std::byte*>(p);
    PASTE_CHECK(at >= data_ && at + n <= data_ + size_);
  }
  Result<void> begin_barrier(pmem::Site) override {
    PASTE_CHECK(!barrier_in_flight_);
    if (failing) return fail(Code::failed, "the test's medium failed");
    barrier_in_flight_ = asynchronous;
    return {};
  }
  Result<bool> poll_barrier() override {
    if (!released) return !barrier_in_flight_;
    barrier_in_flight_ = false;
    return true;
  }
  Result<void> wait_barrier() override {
    barrier_in_flight_ = false;
    return {};
  }

  [[nodiscard]] Image image() const { return Image(data_, data_ + size_); }
  // Makes the 4096 bytes around `at` unreadable: they raise SIGBUS.
  void poison(const void* at) const {
    auto address = reinterpret_cast<uintptr_t>(at) & ~uintptr_t{4095};
    const int empty = memfd_create("poison", 0);
    PASTE_CHECK(mmap(reinterpret_cast<void*>(address), 4096, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_FIXED, empty, 0) != MAP_FAILED);
    close(empty);
  }

  // Makes `bytes` bytes at `at` what the page domain shows of a sector that it could not read.
  void lose(void* at, uint64_t bytes) {
    std::memset(at, 0, bytes);
    bad_ranges_.emplace_back(static_cast<std::byte*>(at) - data_, bytes);
  }

  bool asynchronous = false;  // barriers stay in flight until polled
  bool released = true;       // polls complete them
  bool failing = false;
};

struct TestPool {
  TestRegion* region = nullptr;
  std::unique_ptr<pool::Core> core;
  std::unique_ptr<Logs> logs;

  static TestPool create(uint64_t bytes, uint32_t buffer_size = 2048) {
    auto region = std::make_unique<TestRegion>(bytes);
    auto made = pool::Core::create(*region, {.buffer_size = buffer_size});
    EXPECT_TRUE(made.has_value()) << made.error().message();
    return open(std::move(region)).value();
  }
  static Result<TestPool> open(std::unique_ptr<TestRegion> region,
                               std::vector<pool::Finding>* findings = nullptr) {
    TestPool pool;
    pool.region = region.get();
    PASTE_TRY_ASSIGN(pool.core, pool::Core::open(std::move(region), {.findings = findings}));
    PASTE_TRY_ASSIGN(pool.logs, Logs::recover(*pool.core));
    PASTE_TRY(pool.core->finish_recovery());
    return pool;
  }
  static Result<TestPool> open(const Image& image, std::vector<pool::Finding>* findings = nullptr) {
    return open(std::make_unique<TestRegion>(image), findings);
  }
  // The findings of a check of the image.
  static std::vector<pool::Finding> check(const Image& image) {
    std::vector<pool::Finding> findings;
    (void)open(image, &findings);
    return findings;
  }
  TestPool reopen() const { return open(region->image()).value(); }
  [[nodiscard]] Image image() const { return region->image(); }

  void commit() const { EXPECT_TRUE(core->wait_durable(core->filling()).has_value()); }
  // Truncations and removals carried through, until nothing is deferred any more.
  void settle() const {
    for (int i = 0; i < 1000 && logs->reclaim(64); ++i) commit();
    for (int i = 0; i < 4; ++i) {
      // A ticket with something in it, so that what waits for one is given back.
      core->flush(core->buffer(core->first_buffer()), 1, pmem::Site::log_data);
      commit();
    }
  }
  // A held buffer, filled with `text`, as a port would hand it over.
  Slice packet(std::string_view text, uint16_t offset = 0) const {
    const BufferName name = core->take(pool::Purpose::receive).value();
    std::memcpy(core->buffer(name) + offset, text.data(), text.size());
    return {name, offset, static_cast<uint16_t>(text.size())};
  }
  [[nodiscard]] std::string text(const Record& record) const {
    std::string all;
    for (const Slice& slice : record.slices) all += as_text(core->bytes(slice));
    EXPECT_EQ(all.size(), record.length);
    return all;
  }
  [[nodiscard]] std::string read(Log& log, Lsn lsn) const {
    auto record = log.read(lsn);
    if (!record) return fmt::format("({})", to_string(record.error().code()));
    EXPECT_EQ(record->lsn, lsn);
    return text(*record);
  }
  Lsn add(Log& log, std::string_view text, uint64_t time_ns = 0) const {
    auto appended = log.append_bytes(as_bytes(text), {.time_ns = time_ns});
    EXPECT_TRUE(appended.has_value()) << appended.error().message();
    return appended ? appended->lsn : 0;
  }
  // Where the entry of a record lies: found by walking the chain as format.h describes it.
  [[nodiscard]] format::Entry* entry(const Log& log, Lsn lsn) const {
    const pool::Root* root = core->find_root(log.name());
    auto page = static_cast<BufferName>(root->words[format::kWordHead]);
    const uint32_t per_page = format::records_per_page(core->buffer_size());
    for (;;) {
      std::byte* bytes = core->buffer(page);
      const auto* header = reinterpret_cast<const format::PageHeader*>(bytes);
      auto* entries = reinterpret_cast<format::Entry*>(bytes + sizeof(format::PageHeader));
      if (lsn <= header->first_lsn + per_page - 1) return entries + (lsn - header->first_lsn);
      page = entries[per_page].buffer;
    }
  }
};

// A deterministic text, different for each (seed, length).
inline std::string pattern(uint64_t seed, size_t length) {
  std::string text(length, '\0');
  uint64_t state = seed * 0x9E3779B97F4A7C15ull + length;
  for (char& c : text) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    c = static_cast<char>('a' + (state >> 40) % 26);
  }
  return text;
}

}  // namespace paste::log
