// One direction of a link: a queue, a line of some rate, a delay, and whatever goes wrong on it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

#include "paste/result.h"
#include "port/sim/frame.h"
#include "port/sim/link_options.h"
#include "port/sim/world.h"

namespace paste::sim {

enum class Drop : uint8_t { queue, loss, burst, partition, mtu, count_ };

struct LinkCounters {
  uint64_t sent = 0;  // frames handed to send()
  uint64_t delivered = 0;
  uint64_t delivered_bytes = 0;
  uint64_t duplicated = 0;  // copies made
  uint64_t corrupted = 0;
  uint64_t reordered = 0;  // frames chosen to be late
  uint64_t ce_marked = 0;
  std::array<uint64_t, static_cast<size_t>(Drop::count_)> dropped{};

  [[nodiscard]] uint64_t of(Drop reason) const noexcept {
    return dropped[static_cast<size_t>(reason)];
  }
  [[nodiscard]] uint64_t dropped_total() const noexcept;
};

// Sees what goes in and what comes out: a capture file, a monitor of the protocol.
class LinkObserver {
 public:
  virtual ~LinkObserver() = default;
  virtual void sent(tcp::Instant /*now*/, Bytes /*frame*/) {}
  virtual void delivered(tcp::Instant /*now*/, Bytes /*frame*/) {}

 protected:
  LinkObserver() = default;
  LinkObserver(const LinkObserver&) = default;
  LinkObserver& operator=(const LinkObserver&) = default;
};

// A frame passes: partition and MTU, the drop-tail queue (where it may be marked), the line, then
// loss, corruption and duplication, then the delay. send() never calls the destination.
//
// Invariant, see check(): sent + duplicated == delivered + dropped + queued + on the line + in
// flight.
class Link final : public Actor {
 public:
  // `name` seeds the link's draws: unique in a world. REQUIRES: the world outlives the link.
  Link(World& world, std::string_view name, const LinkOptions& options);

  // Where frames arrive. REQUIRES: called before the first arrival; `destination` outlives the
  // link.
  void connect(Endpoint& destination) noexcept { destination_ = &destination; }
  // nullptr: nobody. REQUIRES: it outlives the link or is taken back.
  void observe(LinkObserver* observer) noexcept { observer_ = observer; }

  void send(Frame frame);

  // Cut: what is sent and what would arrive is lost, in this direction only.
  void partition(bool cut);
  // Clogged: nothing starts on the line and nothing arrives, but nothing is lost for that; what is
  // due by then arrives when the link is unclogged, in order.
  void clog(bool clogged);
  // Takes effect for frames that start on the line from now on; ordered frames stay in order.
  void set_options(const LinkOptions& options);
  // The liveness phase: no impairment, no partition, no clog. Rate, delay, queue and MTU stay.
  void faults_off();

  [[nodiscard]] const LinkOptions& options() const noexcept { return options_; }
  [[nodiscard]] const LinkCounters& counters() const noexcept { return counters_; }
  [[nodiscard]] size_t queued() const noexcept { return queue_.size(); }
  [[nodiscard]] uint64_t queued_bytes() const noexcept { return queued_bytes_; }
  // On the line or under way.
  [[nodiscard]] size_t in_flight() const noexcept { return flight_.size() + (line_busy_ ? 1 : 0); }
  [[nodiscard]] bool idle() const noexcept { return queue_.empty() && in_flight() == 0; }
  // Whether every frame is accounted for. Errors: failed, with the numbers.
  [[nodiscard]] Result<void> check() const;

  void act(tcp::Instant now) override;

 private:
  struct Flying {
    tcp::Instant at;
    uint64_t sequence;
    Frame frame;
  };
  // One generator for each kind of draw: turning one fault off leaves the others as they were.
  enum class Draw : uint8_t { loss, burst, corrupt, duplicate, reorder, jitter, count_ };

  [[nodiscard]] Prng& draw(Draw kind) noexcept { return draws_[static_cast<size_t>(kind)]; }
  void drop(Drop reason, size_t size) noexcept;
  [[nodiscard]] Duration time_on_line(size_t size) noexcept;
  void start_line();
  void finish_line();
  [[nodiscard]] bool lost(size_t size) noexcept;
  void fly(Frame frame);
  void deliver(Frame frame);
  void schedule();

  World& world_;
  LinkOptions options_;
  LinkCounters counters_;
  Endpoint* destination_ = nullptr;
  LinkObserver* observer_ = nullptr;
  std::array<Prng, static_cast<size_t>(Draw::count_)> draws_;
  uint64_t name_;  // in the trace

  std::deque<Frame> queue_;
  uint64_t queued_bytes_ = 0;
  Frame on_line_;
  bool line_busy_ = false;
  tcp::Instant line_free_{};  // when the frame on the line has left, or the last one did
  uint64_t line_carry_ = 0;   // what the last division left: back-to-back frames lose no time

  std::vector<Flying> flight_;  // heap, the next arrival first
  uint64_t flight_sequence_ = 0;
  tcp::Instant last_ordered_{};  // the arrival that no ordered frame may precede
  bool burst_bad_ = false;
  bool cut_ = false;
  bool clogged_ = false;
};

}  // namespace paste::sim
