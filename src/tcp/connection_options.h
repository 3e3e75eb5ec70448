// What a connection is made with, what it needs of its owner, and what it counts.
#pragma once

#include <cstdint>
#include <span>

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

// RFC 9293 §3.9.1.8: what a program may want to know, though the connection goes on.
enum class SoftError : uint8_t {
  unreachable,     // a network or host, says a router
  other,           // time exceeded, parameter problem, a port while the connection is open
  retransmitting,  // RFC 9293 MUST-20, SHLD-9: R1 is passed: the path is suspect
};

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
  uint8_t syn_tries = 8;                          // RFC 9293 MUST-23: three minutes at least
  Duration time_wait = std::chrono::seconds(60);  // 2 MSL
  // RFC 9293 §3.8.4: off by default (MUST-25), after two hours of silence at least (MUST-28).
  bool keep_alive = false;
  Duration keep_alive_idle = std::chrono::hours(2);
  Duration keep_alive_interval = std::chrono::seconds(75);
  uint8_t keep_alive_probes = 9;
  uint8_t ttl = 64;  // RFC 9293 MUST-49
  uint8_t dscp = 0;  // RFC 9293 MUST-48: six bits; set_dscp() changes it for a connection
};

// The owner of buffers and of the program's side.
class Owner : public SliceSink {
 public:
  // In-order bytes; the hold of the slice's buffer is the callee's now.
  virtual void deliver(Slice slice) = 0;
  // RFC 9293 §3.8.5: the next `bytes` bytes to be read are urgent.
  virtual void urgent(uint32_t /*bytes*/) {}
  // RFC 9293 MUST-47: something that may pass: no reason to give up.
  virtual void soft_error(SoftError /*error*/) {}
  // Drops one hold of a received buffer.
  virtual void release(BufferName buffer) = 0;
  // Takes `n` more holds.
  virtual void hold(BufferName buffer, uint32_t n) = 0;
  // Copies `pieces`, `bytes` in all, in their order into one fresh buffer, drops a hold of each and
  // returns the copy with one hold; or returns length 0 and has done nothing.
  virtual Slice gather(std::span<const Slice> /*pieces*/, uint32_t /*bytes*/) { return {}; }
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
           bad_syn = 0, out_of_order_full = 0, after_close = 0, beyond_fin = 0, in_syn_sent = 0,
           no_buffers = 0;  // more would be pinned than buffers_max
};

}  // namespace paste::tcp
