// Datagrams, in and out. Receiving takes no operation that waits: the socket says that it is
// readable, and then several datagrams are taken in one call, each into enough whole buffers.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <span>
#include <vector>

#include "paste/slot.h"
#include "paste/units.h"
#include "pool/core.h"
#include "port/driver.h"
#include "port/fifo.h"
#include "port/output.h"

namespace paste::port {

// What arrived in this turn.
class DatagramInbox {
 public:
  static constexpr uint32_t kBytesMax = 65536;  // more than a UDP payload can be

  // Takes no more than `buffers_max` buffers ahead, but enough for one datagram.
  DatagramInbox(pool::Core& core, uint32_t buffers_max);
  ~DatagramInbox();
  DatagramInbox(const DatagramInbox&) = delete;
  DatagramInbox& operator=(const DatagramInbox&) = delete;

  void begin_turn();  // gives back the buffers of the turn before
  enum class Found : uint8_t { nothing_more, maybe_more, no_buffers };
  // Takes up to kPerCall datagrams, none of them cut.
  Found receive(int fd, ListenerId listener, DriverStats& stats);
  [[nodiscard]] std::span<const Datagram> datagrams();

 private:
  static constexpr uint32_t kPerCall = 8;
  uint32_t take_buffers();
  void keep(const mmsghdr& message, uint32_t place, ListenerId listener);

  pool::Core& core_;
  uint32_t per_datagram_;  // buffers
  uint32_t ahead_;         // datagrams that buffers are taken for
  std::vector<BufferName> spare_;
  std::vector<iovec> pieces_;
  std::vector<sockaddr_storage> peers_;
  std::vector<mmsghdr> messages_;
  std::vector<Datagram> arrived_;
  std::vector<uint32_t> first_slice_;  // of each
  std::vector<Slice> slices_;
};

// What one socket is still to send, each datagram when its ticket is durable.
class DatagramOutbox {
 public:
  [[nodiscard]] bool empty() const noexcept { return heads_.empty(); }
  [[nodiscard]] uint64_t bytes() const noexcept { return output_.bytes() + heads_.size(); }
  // Errors: invalid (the address), too_large.
  Result<void> append(const sockaddr_storage& peer, uint32_t peer_length, Bytes bytes, Ticket after,
                      OutputStock& stock);
  // Sends what may leave. False if the socket took no more.
  bool send(int fd, Ticket durable, OutputStock& stock, DriverStats& stats);
  void clear(OutputStock& stock);

 private:
  struct Head {
    Ticket after;
    uint32_t length;
    uint32_t peer_length;
    sockaddr_in6 peer;  // or sockaddr_in
  };
  Fifo<Head> heads_;
  Fifo<Head>::Stock spare_heads_;
  Output output_;
};

}  // namespace paste::port
