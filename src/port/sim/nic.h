// A network card as a driver meets it: finite rings, bursts, late completions, a link that flaps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string_view>
#include <vector>

#include "paste/result.h"
#include "port/sim/frame.h"
#include "port/sim/link.h"
#include "port/sim/world.h"

namespace paste::sim {

struct NicOptions {
  uint32_t tx_ring = 256;             // frames accepted whose completion has not been taken
  uint32_t rx_ring = 256;             // frames that have arrived and were not taken
  uint32_t tx_burst = 64;             // frames accepted within `tx_pause`
  uint32_t rx_burst = 64;             // frames that one receive() gives at most
  Duration tx_pause{1000};            // > 0; also how long a refusal by chance lasts
  uint32_t tx_refuse_ppm = 0;         // a refusal although there is room
  Duration completion_delay{0};       // from acceptance
  Duration completion_jitter{0};      // grows it by up to this, uniformly
  bool completions_shuffled = false;  // else completions come in the order of acceptance
  Duration wakeup_delay{0};           // from an event to the wake-up of the one who waits
  uint32_t mtu = 1500;                // bytes behind the Ethernet header, both ways
};

struct NicCounters {
  uint64_t tx_accepted = 0;   // == tx_sent + tx_link_down + tx_too_large
  uint64_t tx_refused = 0;    // transmit() said no
  uint64_t tx_sent = 0;       // handed to the link
  uint64_t tx_link_down = 0;  // accepted and lost, completed like the rest
  uint64_t tx_too_large = 0;  // the same, above the MTU
  uint64_t tx_completed = 0;  // completions taken
  // Frames whose memory changed between acceptance and completion: a bug of the driver.
  uint64_t tx_changed = 0;
  uint64_t rx_arrived = 0;  // == rx_taken + rx_full + rx_link_down + rx_too_large + in the ring
  uint64_t rx_taken = 0;
  uint64_t rx_full = 0;
  uint64_t rx_link_down = 0;
  uint64_t rx_too_large = 0;
};

// The driver polls: transmit(), completions() and receive() never call back. To sleep it arms one
// wake-up.
class Nic final : public Actor, public Endpoint {
 public:
  // `name` seeds the card's draws: unique in a world. Sends on `out`; connect the other direction's
  // link to the card. REQUIRES: both outlive the card.
  Nic(World& world, std::string_view name, Link& out, const NicOptions& options);

  // Takes a frame, given in pieces, under a name of the caller's choice. The pieces belong to the
  // card until completions() has returned the token: they must neither change nor be freed.
  // Returns false, and keeps nothing, while the ring is full, after a burst, or by chance; whoever
  // is armed is woken when trying again makes sense. REQUIRES: at least one byte.
  [[nodiscard]] bool transmit(uint64_t token, std::span<const Bytes> pieces);
  // Returns how many tokens were written to the front of `out`: each accepted token exactly once.
  [[nodiscard]] size_t completions(std::span<uint64_t> out);
  // Moves the oldest frames to the front of `out` and returns how many.
  [[nodiscard]] size_t receive(std::span<Frame> out);

  // Wakes `owner` once, at the next arrival, completion, room after a refusal, or change of link or
  // MTU; at once if any of that is there or has happened since the last wake-up. REQUIRES: `owner`
  // outlives the card or disarms.
  void arm(Actor& owner);
  void disarm() noexcept { owner_ = nullptr; }

  // A flap: while down nothing is sent or received, and what was accepted still completes.
  void set_up(bool up);
  [[nodiscard]] bool up() const noexcept { return up_; }
  void set_mtu(uint32_t mtu);
  [[nodiscard]] uint32_t mtu() const noexcept { return options_.mtu; }
  // The liveness phase: up, no refusals by chance, completions on time and in order.
  void faults_off();

  [[nodiscard]] const NicCounters& counters() const noexcept { return counters_; }
  [[nodiscard]] size_t tx_in_ring() const noexcept { return options_.tx_ring - free_.size(); }
  [[nodiscard]] size_t rx_in_ring() const noexcept { return received_.size(); }
  // Whether every frame and token is accounted for and no driver touched what was the card's.
  // Errors: failed, with the numbers.
  [[nodiscard]] Result<void> check() const;

  void act(tcp::Instant now) override;
  void receive(Frame frame) override;  // from the link

 private:
  struct Slot {
    uint64_t token = 0;
    uint32_t digest = 0;
    std::vector<Bytes> pieces;  // keeps its capacity
  };
  struct Pending {
    tcp::Instant at;
    uint64_t sequence;
    uint32_t slot;
  };

  [[nodiscard]] bool room();
  void accept(uint64_t token, std::span<const Bytes> pieces);
  void ripen(tcp::Instant now);
  void signal();
  void schedule();

  World& world_;
  Link& out_;
  NicOptions options_;
  NicCounters counters_;
  Prng refusals_;
  Prng completion_draws_;
  uint64_t name_;  // in the trace

  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;    // slots
  std::vector<Pending> pending_;  // heap, the next completion first
  std::vector<uint32_t> ready_;   // slots whose completion may be taken, in order
  uint64_t sequence_ = 0;
  tcp::Instant last_completion_{};  // the time that no ordered completion may precede
  uint32_t burst_left_;
  tcp::Instant burst_ends_{};
  tcp::Instant retry_at_ = tcp::kNever;  // the end of a pause

  std::deque<Frame> received_;
  Actor* owner_ = nullptr;  // armed
  bool missed_ = false;     // something happened while nobody was armed
  bool up_ = true;
};

}  // namespace paste::sim
