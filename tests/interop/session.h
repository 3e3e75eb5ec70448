// One connection with a program on it, and the buffers that all connections share.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "port/sim/prng.h"
#include "tcp/connection.h"
#include "tcp/packet.h"

namespace paste::interop {

// The stream of each direction: the same bytes over and over, from a place that depends on the
// client's port and on who sends. The period is prime, so that no whole segment repeats in place.
inline constexpr uint32_t kPeriod = 65521;
[[nodiscard]] const std::array<std::byte, kPeriod>& stream_bytes() noexcept;

class Buffers {
 public:
  Buffers(uint32_t count, uint32_t size);

  // kNoBuffer if there is none. Sending leaves half of them for receiving.
  [[nodiscard]] BufferName take(bool for_sending);
  void release(BufferName buffer);
  void hold(BufferName buffer, uint32_t n);
  [[nodiscard]] std::byte* bytes(BufferName buffer) noexcept {
    return memory_.data() + size_t{buffer} * size_;
  }
  [[nodiscard]] Bytes memory() const noexcept { return memory_; }
  [[nodiscard]] uint32_t size() const noexcept { return size_; }
  [[nodiscard]] uint32_t free() const noexcept { return static_cast<uint32_t>(free_.size()); }
  [[nodiscard]] uint32_t held() const noexcept { return count_ - free(); }
  [[nodiscard]] uint64_t wrong_holds() const noexcept { return wrong_; }

 private:
  uint32_t count_;
  uint32_t size_;
  std::vector<std::byte> memory_;
  std::vector<uint32_t> holds_;
  std::vector<BufferName> free_;
  uint64_t wrong_ = 0;
};

struct Program {
  enum class Kind : uint8_t {
    sink,    // reads all, then closes
    source,  // writes, closes its direction, reads what comes
    reply,   // reads all, then writes and closes
    echo,    // sends back what it reads, without copying it
  };
  Kind kind = Kind::sink;
  uint64_t bytes = 0;        // source, reply
  uint64_t abort_after = 0;  // resets the connection after so many bytes were read; 0: never
  Duration read_after{0};    // reads nothing before
  Duration read_every{0};    // then one buffer at a time, so often
};

// Invariant: what the connection delivered and the program did not use yet is in unread_, with one
// hold each.
class Session final : private tcp::Owner {
 public:
  Session(Buffers& buffers, sim::Prng& prng, tcp::ChallengeLimiter& limiter, const Program& program,
          const tcp::FourTuple& tuple, bool we_are_server);

  void open(const tcp::ConnectionOptions& options, const tcp::SipKey& key, tcp::Instant now,
            const tcp::Segment* syn);
  // The payload's hold moves here. A reset to be sent, if any.
  [[nodiscard]] std::optional<tcp::Segment> process(const tcp::Segment& segment, tcp::Instant now);
  // Lets the program do what it can, then gives one segment; false: none.
  [[nodiscard]] bool dispatch(tcp::Instant now, tcp::Outgoing& out);
  [[nodiscard]] tcp::Instant next(tcp::Instant now) const;

  [[nodiscard]] const tcp::FourTuple& tuple() const noexcept { return tuple_; }
  [[nodiscard]] const tcp::Connection& connection() const noexcept { return *connection_; }
  [[nodiscard]] bool ended() const noexcept {
    return connection_->state() == tcp::State::closed && !dispatching_;
  }
  // Nothing is left but to wait: the next connection may begin.
  [[nodiscard]] bool done() const noexcept {
    return ended() || connection_->state() == tcp::State::time_wait;
  }
  [[nodiscard]] uint64_t received() const noexcept { return received_; }
  [[nodiscard]] uint64_t acknowledged() const noexcept { return acknowledged_; }
  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
  void drop_unread();

 private:
  void deliver(Slice slice) override;
  void release(BufferName buffer) override { buffers_.release(buffer); }
  void hold(BufferName buffer, uint32_t n) override { buffers_.hold(buffer, n); }
  void acknowledged(Slice slice, uint64_t cookie) override;
  [[nodiscard]] uint32_t free_buffers() const override { return buffers_.free(); }
  [[nodiscard]] bool may_challenge(tcp::Instant now, tcp::ChallengeState& state) override {
    return limiter_.allow(now, prng_.next(), state);
  }
  void run(tcp::Instant now);
  void read(tcp::Instant now);
  [[nodiscard]] bool use(Slice slice);
  void write();
  void finish();

  Buffers& buffers_;
  sim::Prng& prng_;
  tcp::ChallengeLimiter& limiter_;
  Program program_;
  tcp::FourTuple tuple_;
  std::optional<tcp::Shared> shared_;
  std::unique_ptr<tcp::Connection> connection_;
  std::deque<Slice> unread_;
  std::string problem_;
  uint64_t start_in_;
  uint64_t start_out_;
  uint64_t received_ = 0;
  uint64_t produced_ = 0;
  uint64_t acknowledged_ = 0;
  tcp::Instant read_at_{};
  bool shut_ = false;
  bool dispatching_ = false;
};

}  // namespace paste::interop
