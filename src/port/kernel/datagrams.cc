#include "port/kernel/datagrams.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace paste::port {

DatagramInbox::DatagramInbox(pool::Core& core, uint32_t buffers_max)
    : core_(core),
      per_datagram_((kBytesMax + core.buffer_size() - 1) / core.buffer_size()),
      ahead_(std::clamp<uint32_t>(buffers_max / per_datagram_, 1, kPerCall)) {}

DatagramInbox::~DatagramInbox() {
  begin_turn();
  for (const BufferName name : spare_) core_.release(name);
}

void DatagramInbox::begin_turn() {
  if (arrived_.empty()) return;
  for (const Slice slice : slices_) core_.release(slice.buffer);
  arrived_.clear();
  first_slice_.clear();
  slices_.clear();
}

// How many datagrams there are buffers for.
uint32_t DatagramInbox::take_buffers() {
  const size_t wanted = size_t{per_datagram_} * ahead_;
  while (spare_.size() < wanted) {
    const auto name = core_.take(pool::Purpose::receive);
    if (!name) break;
    spare_.push_back(*name);
  }
  return static_cast<uint32_t>(spare_.size() / per_datagram_);
}

void DatagramInbox::keep(const mmsghdr& message, uint32_t place, ListenerId listener) {
  Datagram& datagram = arrived_.emplace_back();
  datagram.listener = listener;
  datagram.peer = peers_[place];
  datagram.peer_length = message.msg_hdr.msg_namelen;
  first_slice_.push_back(static_cast<uint32_t>(slices_.size()));
  uint32_t left = message.msg_len;
  for (size_t i = size_t{place} * per_datagram_; left > 0; ++i) {
    const uint32_t n = std::min(left, core_.buffer_size());
    slices_.push_back({spare_[i], 0, static_cast<uint16_t>(n)});
    spare_[i] = kNoBuffer;
    left -= n;
  }
}

DatagramInbox::Found DatagramInbox::receive(int fd, ListenerId listener, DriverStats& stats) {
  const uint32_t places = take_buffers();
  if (places == 0) {
    ++stats.receive_buffers_exhausted;
    return Found::no_buffers;
  }
  peers_.resize(kPerCall);
  messages_.resize(kPerCall);
  pieces_.resize(size_t{per_datagram_} * ahead_);
  for (uint32_t i = 0; i < places; ++i) {
    const size_t first = size_t{i} * per_datagram_;
    for (size_t j = first; j < first + per_datagram_; ++j) {
      pieces_[j] = {core_.buffer(spare_[j]), core_.buffer_size()};
    }
    messages_[i] = {};
    messages_[i].msg_hdr.msg_name = &peers_[i];
    messages_[i].msg_hdr.msg_namelen = sizeof peers_[i];
    messages_[i].msg_hdr.msg_iov = &pieces_[first];
    messages_[i].msg_hdr.msg_iovlen = per_datagram_;
  }
  const int n = ::recvmmsg(fd, messages_.data(), places, MSG_DONTWAIT, nullptr);
  ++stats.receives;
  if (n < 0) {
    // Errors of earlier datagrams sent (an unreachable peer) are reported here once each.
    return errno == EAGAIN ? Found::nothing_more : Found::maybe_more;
  }
  for (uint32_t i = 0; i < static_cast<uint32_t>(n); ++i) {
    if ((messages_[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) continue;
    stats.received_bytes += messages_[i].msg_len;
    ++stats.datagrams;
    keep(messages_[i], i, listener);
  }
  std::erase(spare_, kNoBuffer);
  return static_cast<uint32_t>(n) < places ? Found::nothing_more : Found::maybe_more;
}

std::span<const Datagram> DatagramInbox::datagrams() {
  // Spans are set when asked for: the slices move while more arrive.
  for (size_t i = 0; i < arrived_.size(); ++i) {
    const size_t end = i + 1 < arrived_.size() ? first_slice_[i + 1] : slices_.size();
    arrived_[i].slices = std::span(slices_).subspan(first_slice_[i], end - first_slice_[i]);
  }
  return arrived_;
}

Result<void> DatagramOutbox::append(const sockaddr_storage& peer, uint32_t peer_length, Bytes bytes,
                                    Ticket after, OutputStock& stock) {
  constexpr size_t kPayloadMax = 65507;  // IPv4: 65535 less the headers of IP and UDP
  if (bytes.size() > kPayloadMax) {
    return fail(Code::too_large, "a datagram has at most 65507 bytes");
  }
  Head head{.after = after,
            .length = static_cast<uint32_t>(bytes.size()),
            .peer_length = peer_length,
            .peer = {}};
  if (peer_length == 0 || peer_length > sizeof head.peer) {
    return fail(Code::invalid, "the peer of a datagram is an IPv4 or IPv6 address");
  }
  std::memcpy(&head.peer, &peer, peer_length);
  if (!heads_.empty()) head.after = std::max(head.after, heads_.back().after);
  output_.append(bytes, head.after, stock);
  heads_.push(head, spare_heads_);
  return {};
}

bool DatagramOutbox::send(int fd, Ticket durable, OutputStock& stock, DriverStats& stats) {
  constexpr size_t kPieces = 65536 / Chunk::kRoom + 2;
  iovec pieces[kPieces];
  while (!heads_.empty() && heads_.front().after <= durable) {
    Head& head = heads_.front();
    uint64_t total = 0;
    msghdr message{};
    message.msg_name = &head.peer;
    message.msg_namelen = head.peer_length;
    message.msg_iov = pieces;
    message.msg_iovlen = output_.gather(durable, head.length, pieces, total);
    const ssize_t n = ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return false;
    // Any other error concerns this datagram or its peer; the network may lose it too.
    if (n >= 0) {
      ++stats.sends;
      stats.sent_bytes += static_cast<uint64_t>(n);
    }
    output_.pop(head.length, stock);
    heads_.pop(spare_heads_);
  }
  return true;
}

void DatagramOutbox::clear(OutputStock& stock) {
  output_.clear(stock);
  heads_.clear(spare_heads_);
}

}  // namespace paste::port
