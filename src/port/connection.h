// Connections by index, each with a generation that makes handles of closed ones harmless.
#pragma once

#include <cstdint>
#include <vector>

#include "base/check.h"
#include "paste/event.h"
#include "paste/slot.h"
#include "port/fifo.h"
#include "port/output.h"

namespace paste::port {

enum class Phase : uint8_t {
  free,
  connecting,
  open,
  closed,  // its `closed` event is out or about to be; only the teardown is left
};

struct Connection {
  // What the program may know.
  uint32_t generation = 1;
  Phase phase = Phase::free;
  CloseReason reason = CloseReason::none;
  int os_error = 0;
  int fd = -1;
  ListenerId listener = 0;

  // What was asked for.
  bool paused : 1 = false;
  bool ending : 1 = false;   // shutdown() or close(): our direction ends after what is queued
  bool closing : 1 = false;  // close(): what arrives is dropped

  // What has happened.
  bool eof : 1 = false;          // the peer sends no more
  bool write_ended : 1 = false;  // our end is with the kernel
  bool torn : 1 = false;         // closed, and its operations are being cancelled

  // Lists that its index is in. They outlive a connection: a stale entry is dropped when met.
  bool in_work : 1 = false;
  bool in_gated : 1 = false;
  bool in_blocked : 1 = false;
  bool in_starved : 1 = false;

  // What the kernel is doing for it: io_uring.
  bool receiving : 1 = false;
  bool cancelling : 1 = false;
  bool sending : 1 = false;
  bool watching : 1 = false;  // for errors
  uint8_t operations = 0;
  // What it said last: epoll.
  bool can_read : 1 = false;
  bool can_write : 1 = false;
  // Both: an end or an error lies behind what is still to be read.
  bool hung_up : 1 = false;

  // xdp: the engine's handle, the port that connect() chose, and bytes not acknowledged yet.
  ConnectionId below;
  uint16_t dialled_port = 0;
  uint64_t in_flight = 0;

  uint64_t readable_turn = 0;  // the turn of its last `readable` event
  uint64_t received_bytes = 0;
  Fifo<Slice> received;
  Output output;

  void begin(int descriptor, Phase begun, ListenerId from) noexcept {
    PASTE_CHECK(phase == Phase::free && output.empty() && received.empty() && operations == 0);
    phase = begun;
    reason = CloseReason::none;
    os_error = 0;
    fd = descriptor;
    listener = from;
    paused = ending = closing = eof = write_ended = torn = false;
    receiving = cancelling = sending = watching = can_read = can_write = hung_up = false;
    below = {};
    dialled_port = 0;
    in_flight = 0;
    readable_turn = 0;
    received_bytes = 0;
  }
};

class ConnectionTable {
 public:
  explicit ConnectionTable(uint32_t max) : max_(max) {
    // So that places seldom move; memory not touched costs nothing.
    constexpr uint32_t kReserve = 65536;
    places_.reserve(max < kReserve ? max : kReserve);
  }
  [[nodiscard]] bool full() const noexcept { return used_ >= max_; }
  [[nodiscard]] uint32_t used() const noexcept { return used_; }
  [[nodiscard]] uint32_t size() const noexcept { return static_cast<uint32_t>(places_.size()); }

  // REQUIRES: !full(). References to connections are invalid afterwards.
  uint32_t add(int fd, Phase phase, ListenerId listener) {
    PASTE_CHECK(!full());
    uint32_t index = 0;
    if (free_.empty()) {
      index = size();
      places_.emplace_back();
    } else {
      index = free_.back();
      free_.pop_back();
    }
    places_[index].begin(fd, phase, listener);
    ++used_;
    return index;
  }
  void remove(uint32_t index) {
    Connection& c = places_[index];
    c.phase = Phase::free;
    c.fd = -1;
    if (++c.generation == 0) c.generation = 1;
    free_.push_back(index);
    --used_;
  }

  [[nodiscard]] Connection& operator[](uint32_t index) noexcept { return places_[index]; }
  [[nodiscard]] const Connection& operator[](uint32_t index) const noexcept {
    return places_[index];
  }
  [[nodiscard]] ConnectionId id(uint32_t index) const noexcept {
    return {index, places_[index].generation};
  }
  // nullptr for handles of connections that are gone.
  [[nodiscard]] Connection* find(ConnectionId id) noexcept {
    if (id.index >= places_.size()) return nullptr;
    Connection& c = places_[id.index];
    return c.generation == id.generation && c.phase != Phase::free ? &c : nullptr;
  }
  [[nodiscard]] const Connection* find(ConnectionId id) const noexcept {
    return const_cast<ConnectionTable*>(this)->find(id);
  }

 private:
  uint32_t max_;
  uint32_t used_ = 0;
  std::vector<Connection> places_;
  std::vector<uint32_t> free_;
};

}  // namespace paste::port
