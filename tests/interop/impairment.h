// What happens to frames between two stacks in real time: lost, marked, delayed, overtaken.
#pragma once

#include <cstddef>
#include <queue>
#include <vector>

#include "port/sim/prng.h"
#include "tcp/instant.h"
#include "wire/bytes.h"
#include "wire/checksum.h"
#include "wire/ethernet.h"

namespace paste::interop {

struct ImpairmentOptions {
  uint32_t loss_ppm = 0;
  uint32_t reorder_ppm = 0;  // a frame that is chosen arrives 1 to 4 ms later than the others
  uint32_t ce_ppm = 0;       // of ECN-capable packets
  Duration delay{0};         // each way

  [[nodiscard]] bool any() const noexcept {
    return loss_ppm != 0 || reorder_ppm != 0 || ce_ppm != 0 || delay.count() != 0;
  }
};

// One direction. Frames that are due at the same time leave in the order in which they came.
class Impairment {
 public:
  using Frame = std::vector<std::byte>;

  Impairment(const ImpairmentOptions& options, sim::Prng prng) : options_(options), prng_(prng) {}

  void put(tcp::Instant now, Frame frame) {
    if (prng_.chance(options_.loss_ppm)) {
      ++lost_;
      return;
    }
    if (prng_.chance(options_.ce_ppm)) mark(frame);
    tcp::Instant due = now + options_.delay;
    if (prng_.chance(options_.reorder_ppm)) {
      due = due + std::chrono::microseconds(prng_.between(1000, 4000));
    }
    queue_.push({due, count_++, std::move(frame)});
  }
  [[nodiscard]] tcp::Instant next() const {
    return queue_.empty() ? tcp::kNever : queue_.top().due;
  }
  // REQUIRES: next() != kNever.
  [[nodiscard]] Frame take() {
    Frame frame = std::move(const_cast<Waiting&>(queue_.top()).frame);  // the order ignores it
    queue_.pop();
    return frame;
  }
  [[nodiscard]] uint64_t lost() const noexcept { return lost_; }
  [[nodiscard]] uint64_t marked() const noexcept { return marked_; }

 private:
  struct Waiting {
    tcp::Instant due;
    uint64_t number;
    Frame frame;
  };
  struct Later {
    bool operator()(const Waiting& a, const Waiting& b) const noexcept {
      return a.due != b.due ? a.due > b.due : a.number > b.number;
    }
  };

  // RFC 3168 §5: a router may mark what is ECN-capable. RFC 1624: the checksum follows.
  void mark(Frame& frame) {
    constexpr size_t kIp = wire::kEthernetHeaderLength;
    if (frame.size() < kIp + 20 || wire::load16(frame, 12) != wire::kEtherTypeIpv4) return;
    const auto ecn = std::to_integer<unsigned>(frame[kIp + 1]) & 3;
    if (ecn == 0 || ecn == 3) return;
    const uint16_t before = wire::load16(frame, kIp);
    const auto after = static_cast<uint16_t>(before | 3);
    wire::store16(frame, kIp, after);
    uint32_t sum = static_cast<uint16_t>(~wire::load16(frame, kIp + 10));
    sum += static_cast<uint16_t>(~before);
    sum += after;
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    wire::store16(frame, kIp + 10, static_cast<uint16_t>(~sum));
    ++marked_;
  }

  ImpairmentOptions options_;
  sim::Prng prng_;
  std::priority_queue<Waiting, std::vector<Waiting>, Later> queue_;
  uint64_t count_ = 0;
  uint64_t lost_ = 0;
  uint64_t marked_ = 0;
};

}  // namespace paste::interop
