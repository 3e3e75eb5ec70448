// A capture of a link for the report of a failure: the last frames, written as a classic pcap file
// with nanoseconds, which tcpdump and Wireshark read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "paste/result.h"
#include "port/sim/link.h"

namespace paste::sim {

// Which end of a link is watched.
enum class CaptureAt : uint8_t { sender, receiver };

// One capture may observe both directions of a connection. When the frames outgrow the limit, the
// oldest go.
class Capture final : public LinkObserver {
 public:
  explicit Capture(CaptureAt end, size_t bytes_max = size_t{64} << 20) noexcept
      : bytes_max_(bytes_max), end_(end) {}

  void add(tcp::Instant now, Bytes frame);
  void sent(tcp::Instant now, Bytes frame) override {
    if (end_ == CaptureAt::sender) add(now, frame);
  }
  void delivered(tcp::Instant now, Bytes frame) override {
    if (end_ == CaptureAt::receiver) add(now, frame);
  }

  [[nodiscard]] size_t frames() const noexcept { return records_.size(); }
  [[nodiscard]] uint64_t forgotten() const noexcept { return forgotten_; }

  // The file, little-endian.
  [[nodiscard]] std::vector<std::byte> encode() const;
  // Replaces `path`. Errors: io, with the path and the system's reason.
  [[nodiscard]] Result<void> save(const std::string& path) const;

 private:
  struct Record {
    tcp::Instant at;
    Frame frame;
  };
  std::deque<Record> records_;
  size_t bytes_ = 0;
  size_t bytes_max_;
  uint64_t forgotten_ = 0;
  CaptureAt end_;
};

}  // namespace paste::sim
