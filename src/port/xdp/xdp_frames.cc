// XdpDriver: frames in and out, and the buffers they lie in.
#include <algorithm>
#include <cstring>

#include "base/logging.h"
#include "port/xdp/xdp_driver.h"
#include "tcp/packet.h"
#include "wire/bytes.h"
#include "wire/ethernet.h"

namespace paste::port {
namespace {

constexpr uint32_t kBatch = 64;
// Shorter payloads are copied behind their headers: cheaper than another descriptor.
constexpr uint32_t kCopyBelow = 512;
constexpr uint32_t kTagBytes = 4;  // IEEE 802.1Q

}  // namespace

void XdpDriver::back_from_kernel(BufferName buffer) noexcept {
  --lent_[buffer];
  if (spare_.size() < kBatch && core_.holds(buffer) == 1) {
    spare_.push_back(buffer);
  } else {
    core_.release(buffer);
  }
}

void XdpDriver::take_completions() {
  for (const auto& socket : sockets_) {
    const uint32_t n = socket->completion.available();
    if (n == 0) continue;
    for (uint32_t i = 0; i < n; ++i) {
      back_from_kernel(static_cast<BufferName>(socket->completion.take() / core_.buffer_size()));
    }
    socket->completion.give_back();
  }
}

void XdpDriver::refill(XdpRing<uint64_t>& fill) {
  uint32_t room = fill.room();
  if (room == 0) return;
  for (; room > 0; --room) {
    BufferName buffer = kNoBuffer;
    if (!spare_.empty()) {
      buffer = spare_.back();
      spare_.pop_back();
    } else if (const auto taken = core_.take(pool::Purpose::receive)) {
      buffer = *taken;
    } else {
      ++counters_.no_buffer;
      break;
    }
    lend(buffer);
    fill.put(uint64_t{buffer} * core_.buffer_size());
  }
  fill.publish();
}

// --- In ------------------------------------------------------------------------------------------

void XdpDriver::note_refused(const tcp::Refusal& refusal, Bytes frame, tcp::Instant now) {
  switch (refusal.reason) {
    case tcp::Refused::not_tcp:
      if (const auto error = tcp::parse_icmp_error(frame)) {
        engine_->icmp(*error, now);
      } else {
        ++counters_.not_ours;
      }
      return;
    case tcp::Refused::bad_checksum:
      ++counters_.bad_checksum;
      if (!told_checksum_ && counters_.bad_checksum >= 8 &&
          counters_.bad_checksum > counters_.frames_in / 2) {
        told_checksum_ = true;
        base::log_warning(
            "most segments on {} have a wrong checksum: the other end of a veth pair leaves it to "
            "hardware that does not exist; there: ethtool -K INTERFACE tx off",
            interface_.name);
      }
      return;
    case tcp::Refused::not_ip:
      ++counters_.not_ours;
      return;
    case tcp::Refused::malformed:
    case tcp::Refused::fragment:
    case tcp::Refused::bad_address:
      ++counters_.malformed;
      return;
  }
}

void XdpDriver::take_frame(const xdp_desc& at, tcp::Instant now) {
  const auto buffer = static_cast<BufferName>(at.addr / core_.buffer_size());
  const auto offset = static_cast<uint32_t>(at.addr % core_.buffer_size());
  const Bytes frame{core_.buffer(buffer) + offset, at.len};
  ++counters_.frames_in;
  if (tap_ != nullptr) [[unlikely]]
    tap_->add(frame);
  // Parsed as if a tag were not there: what lies before the type is not looked at.
  const uint32_t tag = interface_.vlan != 0 ? kTagBytes : 0;
  tcp::Packet packet;
  if (const auto refusal = tcp::parse_packet(frame.subspan(tag), packet)) {
    using Arrival = XdpDatagrams::Arrival;
    const Arrival came = refusal->reason == tcp::Refused::not_tcp
                             ? datagrams_.arrive(frame.subspan(tag), buffer, offset + tag)
                             : Arrival::not_udp;
    if (came == Arrival::taken) {
      --lent_[buffer];
      neighbours_.learn(datagrams_.last_remote(), wire::MacAddress::load(frame, 6));
      ++stats_.datagrams;
      const auto arrived = datagrams_.arrived();
      for (const Slice slice : arrived.back().slices) stats_.received_bytes += slice.length;
      if (arrived.size() == 1) {
        events_.push_back({.type = EventType::datagram, .connection = {}});
      }
      return;
    }
    if (came == Arrival::refused) {
      ++counters_.malformed;
      return back_from_kernel(buffer);
    }
    note_refused(*refusal, frame.subspan(tag), now);
    return back_from_kernel(buffer);
  }
  neighbours_.learn(packet.tuple.remote, wire::MacAddress::load(frame, 6));
  Slice& payload = packet.segment.payload;
  if (payload.length == 0) {
    engine_->arrive(packet, now);
    return back_from_kernel(buffer);
  }
  --lent_[buffer];
  payload.buffer = buffer;
  payload.offset = static_cast<uint16_t>(payload.offset + offset + tag);
  ++stats_.receives;
  engine_->arrive(packet, now);
}

// True if there may be more.
bool XdpDriver::receive(uint64_t now_ns) {
  const tcp::Instant now{now_ns};
  bool more = false;
  for (const auto& socket : sockets_) {
    const uint32_t there = socket->receive.available();
    const uint32_t n = std::min(there, kBatch);
    more = more || there > n;
    for (uint32_t i = 0; i < n; ++i) {
      const xdp_desc frame = socket->receive.take();
      if (i + 1 < n) {
        const xdp_desc& next = socket->receive.front();
        prefetch(core_.buffer(0) + next.addr, next.len);
      }
      take_frame(frame, now);
    }
    if (n != 0) socket->receive.give_back();
  }
  for (const auto& socket : sockets_) {
    refill(socket->fill);
    if (socket->fill.needs_wakeup()) socket->kick_receive();
  }
  return more;
}

// --- Out -----------------------------------------------------------------------------------------

void XdpDriver::tap_sent(Bytes head) {
  Bytes pieces[1 + tcp::Outgoing::kSlicesMax] = {head};
  size_t n = 1;
  for (const Slice slice : out_.payload()) {
    pieces[n++] = {core_.buffer(slice.buffer) + slice.offset, slice.length};
  }
  tap_->add({pieces, n});
}

// There is room in the ring, and a buffer for headers in spare_.
bool XdpDriver::ready_to_send() {
  if (sockets_[0]->transmit.room() < 1 + tcp::Outgoing::kSlicesMax) {
    ++counters_.transmit_full;
    return false;
  }
  if (spare_.empty()) {
    const auto taken = core_.take(pool::Purpose::receive);
    if (!taken) {
      ++counters_.no_buffer;
      return false;
    }
    spare_.push_back(*taken);
  }
  return true;
}

// False if nobody knows where the address is: as if lost; what comes from there next tells.
bool XdpDriver::put_link_header(std::byte* frame, const tcp::Address& to) {
  const wire::MacAddress* const mac = neighbours_.find(to);
  if (mac == nullptr) return false;
  std::memcpy(frame, mac->octets.data(), 6);
  std::memcpy(frame + 6, interface_.mac.octets.data(), 6);
  if (interface_.vlan != 0) {
    const std::span<std::byte> header(frame, 18);
    wire::store16(header, 12, wire::kEtherTypeVlan);
    wire::store16(header, 14, interface_.vlan);
  }
  return true;
}

// The next datagram whose ticket is durable.
bool XdpDriver::send_reply() {
  if (!datagrams_.due() || !ready_to_send()) return false;
  const BufferName head = spare_.back();
  std::byte* const to = core_.buffer(head);
  const uint32_t tag = interface_.vlan != 0 ? kTagBytes : 0;
  tcp::Address remote;
  const auto bytes = static_cast<uint32_t>(
      datagrams_.emit({to + tag, core_.buffer_size() - tag}, interface_.mtu, remote));
  if (bytes == 0 || !put_link_header(to, remote)) return true;
  spare_.pop_back();
  lend(head);
  ++counters_.frames_out;
  if (tap_ != nullptr) [[unlikely]]
    tap_->add({to, tag + bytes});
  sockets_[0]->transmit.put(
      {.addr = uint64_t{head} * core_.buffer_size(), .len = tag + bytes, .options = 0});
  return true;
}

bool XdpDriver::send_packet(tcp::Instant now) {
  XdpSocket& socket = *sockets_[0];
  if (!ready_to_send()) return false;
  if (!engine_->dispatch(now, tuple_, out_)) return false;
  const BufferName head = spare_.back();
  std::byte* const to = core_.buffer(head);
  const Bytes memory{core_.buffer(0), size_t{core_.buffer_end()} * core_.buffer_size()};
  // A tag moves the addresses before it to the front.
  const size_t tag = interface_.vlan != 0 ? kTagBytes : 0;
  const size_t head_bytes = tag + tcp::emit_packet(tuple_, out_, memory, core_.buffer_size(),
                                                   {to + tag, tcp::kHeadersMax});
  if (!put_link_header(to, tuple_.remote)) return true;
  spare_.pop_back();
  lend(head);
  ++counters_.frames_out;
  if (tap_ != nullptr) [[unlikely]]
    tap_sent({to, head_bytes});
  const uint64_t at = uint64_t{head} * core_.buffer_size();
  const auto length = static_cast<uint32_t>(head_bytes);
  if (out_.bytes < kCopyBelow || !scatter_) {
    std::byte* behind = to + head_bytes;
    for (const Slice slice : out_.payload()) {
      std::memcpy(behind, core_.buffer(slice.buffer) + slice.offset, slice.length);
      behind += slice.length;
    }
    socket.transmit.put({.addr = at, .len = length + out_.bytes, .options = 0});
    return true;
  }
  socket.transmit.put({.addr = at, .len = length, .options = kXdpPacketContinues});
  for (uint32_t i = 0; i < out_.slice_count; ++i) {
    const Slice slice = out_.slices[i];
    core_.hold(slice.buffer);
    lend(slice.buffer);
    socket.transmit.put({.addr = uint64_t{slice.buffer} * core_.buffer_size() + slice.offset,
                         .len = slice.length,
                         .options = i + 1 == out_.slice_count ? 0 : kXdpPacketContinues});
  }
  return true;
}

void XdpDriver::transmit(uint64_t now_ns) {
  const tcp::Instant now{now_ns};
  XdpSocket& socket = *sockets_[0];
  bool any = transmit_left_;
  for (int round = 0; round < 4; ++round) {
    uint32_t sent = 0;
    while (sent < kBatch && (send_reply() || send_packet(now))) ++sent;
    if (sent == 0 && !any) return;
    socket.transmit.publish();
    // Copy mode takes some descriptors at a call.
    for (int i = 0; i < 8; ++i) {
      if (socket.kick_transmit()) break;
    }
    any = transmit_left_ = socket.transmit.needs_wakeup() && !socket.transmit.drained();
    take_completions();
    if (sent < kBatch) return;
  }
}

}  // namespace paste::port
