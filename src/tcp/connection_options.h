// What a connection is made with, what it needs of its owner, and what it counts.
#pragma once

#include <cstdint>

#include "paste/slot.h"
#include "tcp/ack_policy.h"
#include "tcp/challenge.h"
#include "tcp/reassembly.h"
#include "tcp/sender_options.h"

namespace paste::tcp {

enum class State : uint8_t {
  closed,
  syn_sent,
  syn_received,
  established,
  fin_wait_1,
  fin_wait_2,
  close_wait,
  closing,
  last_ack,
  time_wait,
};
[[nodiscard]] const char* to_string(State state) noexcept;

// Why a connection ended.
enum class Ending : uint8_t { none, orderly, reset, refused, timed_out, aborted };

struct ConnectionOptions {
  SenderOptions sender;
  ReassemblyLimits reassembly;
  AckConfig ack;
  uint32_t window_initial = 64 << 10;  // bytes
  uint32_t window_max = 4 << 20;
  uint32_t buffers_max = 1024;  // received buffers that it may pin, read or not
  uint16_t mss = 1460;          // what we announce, and the most we send
  bool sack = true;
  bool timestamps = true;
  bool window_scale = true;
  bool ecn = false;
  uint8_t syn_tries = 6;
  Duration time_wait = std::chrono::seconds(60);  // 2 MSL
  Duration keep_alive{0};                         // idle time before the first probe; 0: off
  Duration keep_alive_interval = std::chrono::seconds(75);
  uint8_t keep_alive_probes = 9;
};

// The owner of buffers and of the program's side.
class Owner : public SliceSink {
 public:
  // In-order bytes; the hold of the slice's buffer is the callee's now.
  virtual void deliver(Slice slice) = 0;
  // RFC 9293 §3.8.5: the next `bytes` bytes to be read are urgent.
  virtual void urgent(uint32_t /*bytes*/) {}
  // Drops one hold of a received buffer.
  virtual void release(BufferName buffer) = 0;
  // Takes `n` more holds.
  virtual void hold(BufferName buffer, uint32_t n) = 0;
  // Buffers that may still be received into, over all connections.
  [[nodiscard]] virtual uint32_t free_buffers() const = 0;
  // RFC 5961 §7: the limit over all connections (ChallengeLimiter).
  [[nodiscard]] virtual bool may_challenge(Instant now, ChallengeState& connection) = 0;

 protected:
  ~Owner() = default;
};

// Why segments were dropped; one count each.
struct ConnectionDrops {
  uint64_t not_acceptable = 0, paws = 0, no_timestamp = 0, bad_ack = 0, no_ack = 0, bad_reset = 0,
           bad_syn = 0, out_of_order_full = 0, after_close = 0, beyond_fin = 0, in_syn_sent = 0;
};

}  // namespace paste::tcp
