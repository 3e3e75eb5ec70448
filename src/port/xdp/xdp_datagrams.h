// UDP of an xdp port: what arrived in this turn, in the very buffers, and the replies that wait for
// their tickets. A reply that does not fit one packet, or answers what came otherwise, is not for
// here: the kernel's socket on the same port sends it.
// Thread-safety: none.
#pragma once

#include <deque>
#include <span>
#include <vector>

#include "pool/core.h"
#include "port/driver.h"
#include "tcp/tuple.h"
#include "udp/udp.h"

namespace paste::port {

class XdpDatagrams {
 public:
  explicit XdpDatagrams(pool::Core& core) noexcept : core_(core) {}
  ~XdpDatagrams();
  XdpDatagrams(const XdpDatagrams&) = delete;
  XdpDatagrams& operator=(const XdpDatagrams&) = delete;

  // `address` all zeros: every address. Errors: in_use, invalid.
  Result<void> bind(uint16_t port, ListenerId listener, const tcp::Address& address);

  void begin_turn();  // gives back what arrived in the turn before
  enum class Arrival : uint8_t { not_udp, taken, refused };
  // taken: the buffer's hold is ours. `tag`: octets of the frame before what `frame` begins with.
  Arrival arrive(Bytes frame, BufferName buffer, uint32_t frame_at);
  [[nodiscard]] std::span<const Datagram> arrived();
  [[nodiscard]] const tcp::Address& last_remote() const noexcept { return last_remote_; }

  // Queues a reply to a datagram of this turn. The payload's hold is ours if it succeeds.
  // Errors: unsupported (nothing came from there in this turn), too_large.
  Result<void> reply(ListenerId listener, const sockaddr_storage& peer, Slice payload, Ticket after,
                     size_t mtu);
  [[nodiscard]] bool due() const noexcept {
    return !waiting_.empty() && waiting_.front().after <= core_.durable();
  }
  void drop_waiting();  // the pool failed: nothing may be acknowledged any more
  [[nodiscard]] bool idle() const noexcept { return waiting_.empty(); }
  // Writes the next reply's frame, but for its MAC addresses; its bytes. REQUIRES: due().
  size_t emit(std::span<std::byte> frame, size_t mtu, tcp::Address& remote);

 private:
  struct Waiting {
    Ticket after;
    udp::Datagram to;
    Slice payload;
  };
  struct Bound {
    ListenerId listener;
    tcp::Address address;
  };
  pool::Core& core_;
  std::unique_ptr<udp::Endpoints> endpoints_;  // once something is bound
  std::vector<Bound> bound_;
  std::vector<udp::Datagram> came_;
  std::vector<Datagram> arrived_;
  std::deque<Waiting> waiting_;
  size_t answered_ = 0;  // where the search for the next reply's datagram begins
  tcp::Address last_remote_{};
};

}  // namespace paste::port
