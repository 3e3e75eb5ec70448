// What an end host answers with ICMP: echo, and errors about what nobody takes. RFC 792, RFC 1122
// §3.2.2, RFC 4443.
#pragma once

#include <cstdint>
#include <span>

#include "wire/address.h"
#include "wire/bytes.h"
#include "wire/ip.h"

namespace paste::ip {

struct IcmpCounters {
  uint64_t echoes = 0;      // answered
  uint64_t errors = 0;      // sent
  uint64_t limited = 0;     // errors that the limit kept back
  uint64_t not_to_say = 0;  // errors that the RFCs forbid
  uint64_t bad = 0;         // messages with a wrong checksum or too short
};

// Sans-IO; replies go back to the frame's sender. Not thread-safe.
class IcmpResponder {
 public:
  // RFC 4443 §2.4 (f), RFC 1812 §4.3.2.8: at most so many errors a second, in bursts of as many.
  explicit IcmpResponder(uint32_t errors_per_second = 100) noexcept
      : per_second_(errors_per_second), tokens_(errors_per_second) {}

  // A reply's largest frame, with what is quoted.
  static constexpr size_t kErrorMax = wire::kEthernetHeaderLength + 1280;

  // An echo request for one of `ours`: writes the reply with all its data (RFC 1122 §3.2.2.6) and
  // returns its length; 0 if there is none to send, or `out` is smaller than the frame.
  [[nodiscard]] size_t answer_echo(Bytes frame, std::span<const wire::IpAddress> ours,
                                   wire::MutableBytes out) noexcept;

  enum class Unreachable : uint8_t { port, protocol };
  // Writes an error about the frame, whose packet was for us, and returns its length; 0 if none
  // may be sent. `seconds` is the time, in any origin, never going back.
  // REQUIRES: out.size() >= kErrorMax.
  [[nodiscard]] size_t unreachable(Bytes frame, Unreachable what, uint64_t seconds,
                                   wire::MutableBytes out) noexcept;

  [[nodiscard]] const IcmpCounters& counters() const noexcept { return counters_; }

 private:
  [[nodiscard]] bool allowed(uint64_t seconds) noexcept;

  IcmpCounters counters_;
  uint64_t second_ = 0;
  uint32_t per_second_;
  uint32_t tokens_;
};

}  // namespace paste::ip
