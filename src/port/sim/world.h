// Virtual time: one thread runs actors in the order of (time, sequence number) and nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "paste/units.h"
#include "port/sim/event_ring.h"
#include "port/sim/prng.h"
#include "tcp/instant.h"

namespace paste::sim {

class World;

// Something that happens at times it asked for. It has at most one pending wake-up, and takes it
// back when it is destroyed.
class Actor {
 public:
  Actor() = default;
  Actor(const Actor&) = delete;
  Actor& operator=(const Actor&) = delete;
  virtual ~Actor();

  // Runs at the time of the wake-up, which is then no longer pending; may wake anybody.
  virtual void act(tcp::Instant now) = 0;

 private:
  friend class World;
  World* waiting_in_ = nullptr;  // while a wake-up is pending
  size_t heap_index_ = 0;        // of that wake-up
  uint64_t id_ = 0;              // from 1, in the order of first wake-ups; names it in the trace
};

// Invariants: time never goes back; events at one instant run in the order of their requests; a run
// is a function of the seed and the program, so equal runs have equal trace hashes. Addresses order
// nothing and reach no hash.
class World {
 public:
  // Above zero, so that "never happened" may be zero.
  static constexpr tcp::Instant kStart{1'000'000'000};
  // More events than this at one instant are a loop that no time passes in: the run is ended.
  static constexpr uint64_t kEventsAtOneInstantMax = 10'000'000;

  explicit World(uint64_t seed) noexcept : prng_(seed) {}
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  [[nodiscard]] tcp::Instant now() const noexcept { return now_; }
  // Fork it: prng().fork("link a"). Components with the same name draw the same numbers.
  [[nodiscard]] Prng& prng() noexcept { return prng_; }
  [[nodiscard]] uint64_t seed() const noexcept { return prng_.seed(); }

  // Runs `actor` at `at`, or now if that is past. The earliest request wins: a later one changes
  // nothing while one is pending. tcp::kNever asks for nothing.
  // REQUIRES: the actor is not pending in another world; it lives until then or takes it back.
  void wake(Actor& actor, tcp::Instant at);
  // Takes the pending wake-up back, if there is one.
  void cancel(Actor& actor) noexcept;
  [[nodiscard]] bool pending(const Actor& actor) const noexcept {
    return actor.waiting_in_ == this;
  }

  // Runs events until done() or until none is left at or before `deadline`; asks after each event.
  // Returns what done() said last. Without a success the clock ends at the deadline, unless that is
  // kNever.
  template <typename Predicate>
  bool run_until(Predicate&& done, tcp::Instant deadline) {
    while (!done()) {
      if (!step(deadline)) return done();
    }
    return true;
  }
  // Runs all events of the next `duration`, its end included. REQUIRES: duration >= 0.
  void run_for(Duration duration);
  // Runs one event at or before `deadline`; false if there is none (the clock as in run_until).
  bool step(tcp::Instant deadline);
  // When the next event is, or kNever.
  [[nodiscard]] tcp::Instant next_event() const noexcept {
    return heap_.empty() ? tcp::kNever : heap_.front().at;
  }

  // Folds a value into the trace: anything that should be equal in equal runs.
  void trace(uint64_t value) noexcept { hash_ = mix(hash_ + value + 0x9e3779b97f4a7c15); }
  // The same for an event, which is also kept for reports. `what` is static text.
  void record(const char* what, uint64_t who = 0, uint64_t value = 0) noexcept;
  [[nodiscard]] uint64_t trace_hash() const noexcept { return hash_; }
  [[nodiscard]] const EventRing& last_events() const noexcept { return ring_; }
  [[nodiscard]] uint64_t events_run() const noexcept { return events_run_; }

 private:
  struct Wakeup {
    tcp::Instant at;
    uint64_t sequence;
    Actor* actor;
    [[nodiscard]] bool before(const Wakeup& other) const noexcept {
      return at != other.at ? at < other.at : sequence < other.sequence;
    }
  };
  void place(size_t index, const Wakeup& wakeup) noexcept {
    heap_[index] = wakeup;
    wakeup.actor->heap_index_ = index;
  }
  void move_up(size_t index) noexcept;
  void move_down(size_t index) noexcept;
  void remove(size_t index) noexcept;

  Prng prng_;
  std::vector<Wakeup> heap_;  // binary, the next event first
  tcp::Instant now_ = kStart;
  uint64_t sequence_ = 0;
  uint64_t actors_seen_ = 0;
  uint64_t events_run_ = 0;
  uint64_t events_now_ = 0;  // at this instant
  uint64_t hash_ = 0;
  EventRing ring_;
};

}  // namespace paste::sim
