#include "port/xdp/xdp_datagrams.h"

#include <algorithm>
#include <cstring>

#include "port/xdp/socket_address.h"
#include "wire/ip.h"

namespace paste::port {
namespace {

bool same(const sockaddr_storage& a, const sockaddr_storage& b) noexcept {
  if (a.ss_family != b.ss_family) return false;
  if (a.ss_family == AF_INET) {
    const auto& x = reinterpret_cast<const sockaddr_in&>(a);
    const auto& y = reinterpret_cast<const sockaddr_in&>(b);
    return x.sin_port == y.sin_port && x.sin_addr.s_addr == y.sin_addr.s_addr;
  }
  const auto& x = reinterpret_cast<const sockaddr_in6&>(a);
  const auto& y = reinterpret_cast<const sockaddr_in6&>(b);
  return x.sin6_port == y.sin6_port && std::memcmp(&x.sin6_addr, &y.sin6_addr, 16) == 0;
}

}  // namespace

XdpDatagrams::~XdpDatagrams() {
  begin_turn();
  drop_waiting();
}

void XdpDatagrams::drop_waiting() {
  for (const Waiting& one : waiting_) core_.release(one.payload.buffer);
  waiting_.clear();
}

Result<void> XdpDatagrams::bind(uint16_t port, ListenerId listener, const tcp::Address& address) {
  if (endpoints_ == nullptr) endpoints_ = std::make_unique<udp::Endpoints>();
  PASTE_TRY(endpoints_->bind(port, static_cast<uint32_t>(bound_.size())));
  bound_.push_back({listener, address});
  return {};
}

void XdpDatagrams::begin_turn() {
  for (const udp::Datagram& one : came_) core_.release(one.payload.buffer);
  came_.clear();
  arrived_.clear();
  answered_ = 0;
}

XdpDatagrams::Arrival XdpDatagrams::arrive(Bytes frame, BufferName buffer, uint32_t frame_at) {
  if (endpoints_ == nullptr) return Arrival::not_udp;
  udp::Refused why{};
  auto found = endpoints_->arrive(frame, why);
  if (!found) return why == udp::Refused::not_udp ? Arrival::not_udp : Arrival::refused;
  const Bound& bound = bound_[found->endpoint];
  if (bound.address != tcp::Address{} && bound.address != found->local.octets) {
    return Arrival::refused;
  }
  found->payload.buffer = buffer;
  found->payload.offset = static_cast<uint16_t>(found->payload.offset + frame_at);
  last_remote_ = found->remote.octets;
  const SocketAddress peer(found->remote.octets, found->remote_port, 0);
  Datagram& datagram = arrived_.emplace_back();
  datagram.listener = bound.listener;
  std::memcpy(&datagram.peer, peer.get(), peer.length());
  datagram.peer_length = peer.length();
  came_.push_back(*found);
  return Arrival::taken;
}

std::span<const Datagram> XdpDatagrams::arrived() {
  for (size_t i = 0; i < arrived_.size(); ++i) {
    const bool empty = came_[i].payload.length == 0;
    arrived_[i].slices = empty ? std::span<const Slice>{} : std::span(&came_[i].payload, 1);
  }
  return arrived_;
}

Result<void> XdpDatagrams::reply(ListenerId listener, const sockaddr_storage& peer, Slice payload,
                                 Ticket after, size_t mtu) {
  // Replies come in the order of what they answer, mostly.
  size_t i = answered_;
  for (size_t n = 0; n < arrived_.size(); ++n, ++i) {
    if (i >= arrived_.size()) i = 0;
    if (arrived_[i].listener != listener || !same(arrived_[i].peer, peer)) continue;
    const udp::Datagram& asked = came_[i];
    const size_t headers = wire::ip_header_length(asked.local) + 8;
    if (headers + payload.length > mtu) break;
    answered_ = i + 1;
    if (!waiting_.empty()) after = std::max(after, waiting_.back().after);
    waiting_.push_back({after, asked, payload});
    return {};
  }
  return fail(Code::unsupported, "the datagram is for the kernel to send");
}

size_t XdpDatagrams::emit(std::span<std::byte> frame, size_t mtu, tcp::Address& remote) {
  const Waiting next = waiting_.front();
  waiting_.pop_front();
  const Bytes memory{core_.buffer(0), size_t{core_.buffer_end()} * core_.buffer_size()};
  const std::span<const Slice> payload(&next.payload, next.payload.length == 0 ? 0 : 1);
  const auto headers = udp::emit(next.to, payload, memory, core_.buffer_size(), mtu, frame);
  size_t bytes = 0;
  if (headers) {
    std::memcpy(frame.data() + *headers, core_.bytes(next.payload).data(), next.payload.length);
    bytes = *headers + next.payload.length;
  }
  core_.release(next.payload.buffer);
  remote = next.to.remote.octets;
  return bytes;
}

}  // namespace paste::port
