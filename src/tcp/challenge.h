// RFC 5961: what blind attackers may not do, and how often we tell a peer about it.
#pragma once

#include <cstdint>

#include "tcp/instant.h"
#include "tcp/seq.h"

namespace paste::tcp {

enum class Admit : uint8_t {
  accept,     // go on
  challenge,  // answer with an ACK if the limiter allows it, and drop
  drop        // silently
};

// A segment with RST. RFC 5961 §3.2: only the exact next number resets; others in the window are
// challenged. RFC 9293 §3.10.7.4 says the same.
[[nodiscard]] Admit admit_reset(Seq seg_seq, Seq rcv_nxt, uint32_t window) noexcept;

// A segment with SYN on a synchronized connection. RFC 5961 §4.2: a challenge, whatever its number.
[[nodiscard]] constexpr Admit admit_syn() noexcept { return Admit::challenge; }

// SEG.ACK on a synchronized connection. RFC 5961 §5.2: acceptable from SND.UNA - MAX.SND.WND to
// SND.NXT; everything else is challenged and its data are dropped.
struct AckBounds {
  Seq snd_una;
  Seq snd_nxt;
  uint32_t max_snd_wnd = 0;
};
[[nodiscard]] Admit admit_ack(Seq seg_ack, const AckBounds& bounds) noexcept;

// One connection's part: 4 bytes. At least 537 ms lie between two challenges.
struct ChallengeState {
  uint32_t last_tick = 0;  // in 2^29 ns, plus one; 0: never
};

// The limit of all connections together. RFC 5961 §7 asks for one; a fixed one tells an attacker
// by the challenges that remain whether his guess hit another's connection (CVE-2016-5696). So each
// second has a secret budget in [limit / 2, limit / 2 + limit).
class ChallengeLimiter {
 public:
  explicit ChallengeLimiter(uint32_t limit_per_second) noexcept : limit_(limit_per_second) {}

  // True if a challenge may be sent now. `random` is a fresh random number.
  [[nodiscard]] bool allow(Instant now, uint64_t random, ChallengeState& connection) noexcept;
  [[nodiscard]] uint64_t refused() const noexcept { return refused_; }

 private:
  uint64_t second_ = UINT64_MAX;
  uint64_t refused_ = 0;
  uint32_t limit_;
  uint32_t budget_ = 0;
};

}  // namespace paste::tcp
