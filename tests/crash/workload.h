// A random run on a pool and its logs, told to a model step by step.
//
// Each run leaves some kinds of operations out and prefers others. Bytes of held buffers are stored
// without any word to the region, as a device would. What is acknowledged is what the pool says is
// durable at the time; each acknowledgement is an event at which the process may die.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "pmem/shadow.h"
#include "tests/crash/model.h"

namespace paste::crash {

class Workload {
 public:
  enum Kind : uint8_t {
    kHold, kHoldTwice, kPieces, kBytes, kLongBytes, kBurst, kErase, kTruncateLsn, kTruncateCount,
    kTruncateBytes, kTruncateAge, kCreate, kRemove, kSeal, kCommit, kCommitWait, kPoll, kReply,
    kReclaim, kRead, kDevice, kKinds
  };

  // REQUIRES: store and model outlive the workload, and agree.
  Workload(Store& store, Model& model, uint64_t seed);

  // Runs so many operations. False if one went wrong (see problem()) or the medium failed.
  bool run(uint32_t operations);
  // Commits, waits, and acknowledges everything.
  bool finish();
  // What a contract was broken by; empty if none was.
  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
  // For scripts: one operation; a log of this name, if there is none; so many short records in it.
  bool step(Kind kind);
  bool make(std::string_view name);
  bool fill(std::string_view name, uint32_t records);
  bool fill_new(std::string_view name, uint32_t records) {
    return make(name) && fill(name, records);
  }
  // Buffers that a device may store into at any time.
  [[nodiscard]] std::span<const BufferName> posted() const noexcept { return posted_; }
  [[nodiscard]] pmem::ShadowRandom& random() noexcept { return random_; }
  [[nodiscard]] static const char* to_string(Kind kind) noexcept;

 private:
  [[nodiscard]] log::Log* pick_log();
  bool dispatch(Kind kind);
  bool hold(uint32_t records_in_buffer);
  bool pieces();
  bool bytes(log::Log* log, uint32_t length);
  bool seal();
  bool burst();
  bool erase();
  bool truncate(Kind kind);
  bool create(std::string_view name);
  bool remove();
  bool commit(bool wait);
  bool poll();
  bool reply();
  bool read();
  void device_stores();
  bool note(log::Log& log, const Result<Appended>& appended);
  bool changed(log::Log& log, const Result<Ticket>& ticket);
  template <typename T>
  bool harmless(const Result<T>& result, const char* what);
  BufferName receive(uint32_t offset, uint32_t length, std::string& text);
  bool wrong(std::string what);

  Store& store_;
  Model& model_;
  pmem::ShadowRegion& shadow_;
  pmem::ShadowRandom random_;
  std::array<uint32_t, kKinds> weights_{};
  std::vector<BufferName> posted_;  // where a device stores now and then
  uint64_t clock_ = 1;
  std::string problem_;
  bool failed_ = false;
};

}  // namespace paste::crash
