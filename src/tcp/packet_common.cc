#include "tcp/packet_common.h"

#include <cstring>

#include "wire/checksum.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/protocol.h"
#include "wire/tcp.h"

namespace paste::tcp::common {
namespace {

constexpr size_t kIp = wire::kEthernetHeaderLength;
constexpr size_t kTcp = kIp + wire::kIpv4HeaderLength;
constexpr size_t kOptions = kTcp + wire::kTcpHeaderLength;
constexpr size_t kTimestamps = 12;
constexpr uint8_t kUnusual = kFin | kSyn | kRst | kUrg;

uint32_t load_native(const std::byte* at) noexcept {
  uint32_t v;
  std::memcpy(&v, at, sizeof v);
  return v;
}
uint32_t load(const std::byte* at) noexcept { return wire::internal::big_endian(load_native(at)); }
uint16_t load16(const std::byte* at) noexcept {
  uint16_t v;
  std::memcpy(&v, at, sizeof v);
  return wire::internal::big_endian(v);
}

// The four last bytes of ::ffff:a.b.c.d, as they lie in memory.
uint32_t v4_native(const Address& address) noexcept {
  uint32_t v;
  std::memcpy(&v, address.data() + 12, sizeof v);
  return v;
}
void set_v4(Address& address, uint32_t native) noexcept {
  static constexpr Address kPrefix = ipv4_mapped(0, 0, 0, 0);
  address = kPrefix;
  std::memcpy(address.data() + 12, &native, sizeof native);
}

// Of one host: RFC 9293 MUST-57, MUST-63. `native` as in memory.
bool of_one_host(uint32_t native) noexcept {
  const uint32_t address = wire::internal::big_endian(native);
  return address - 1 < 0xE0000000U - 1;  // neither 0 nor from 224.0.0.0 on
}

// A writer of big-endian words that sums what it writes, in the processor's byte order.
class Words {
 public:
  explicit Words(std::byte* at) noexcept : at_(at) {}
  void put(uint32_t word) noexcept { put_native(wire::internal::big_endian(word)); }
  void put_native(uint32_t word) noexcept {
    std::memcpy(at_, &word, sizeof word);
    at_ += sizeof word;
    sum_ += word;
  }
  [[nodiscard]] uint64_t sum() const noexcept { return sum_; }

 private:
  std::byte* at_;
  uint64_t sum_ = 0;
};

void store_checksum(std::byte* at, uint64_t native_sum) noexcept {
  const auto field = static_cast<uint16_t>(~wire::fold(native_sum));
  std::memcpy(at, &field, sizeof field);
}

}  // namespace

bool parse(Bytes frame, Packet& packet) noexcept {
  if (frame.size() < kOptions) return false;
  const std::byte* at = frame.data();
  // Type, version, header length; length; no fragment (RFC 791 §3.1: MF and offset); protocol.
  if (load16(at + 12) != wire::kEtherTypeIpv4 || at[kIp] != std::byte{0x45}) return false;
  const size_t total = load16(at + kIp + 2);
  const size_t offset =
      kTcp + size_t{std::to_integer<uint8_t>(at[kTcp + 12] & std::byte{0xF0})} / 4;
  const auto flags = std::to_integer<uint8_t>(at[kTcp + 13]);
  if (total + kIp > frame.size() || offset > total + kIp || (load16(at + kIp + 6) & 0x3FFF) != 0 ||
      at[kIp + 9] != std::byte{wire::kProtocolTcp} || (flags & (kUnusual | kAck)) != kAck) {
    return false;
  }
  const bool timestamps = offset == kOptions + kTimestamps;
  if (timestamps ? load(at + kOptions) != kTimestampsWord : offset != kOptions) return false;
  const uint32_t source = load_native(at + kIp + 12), destination = load_native(at + kIp + 16);
  if (!of_one_host(source) || !of_one_host(destination)) return false;

  // RFC 791 §3.1, RFC 9293 MUST-3: both checksums, each over words in the processor's order.
  const uint64_t addresses = uint64_t{source} + destination;
  const uint64_t ip =
      addresses + load_native(at + kIp) + load_native(at + kIp + 4) + load_native(at + kIp + 8);
  const auto length = static_cast<uint16_t>(total - wire::kIpv4HeaderLength);
  const uint64_t pseudo = addresses + wire::internal::big_endian(length) +
                          wire::internal::big_endian(uint16_t{wire::kProtocolTcp});
  if (wire::fold(ip) != 0xFFFF ||
      wire::fold(pseudo + wire::sum_native(frame.subspan(kTcp, length))) != 0xFFFF) {
    return false;
  }

  set_v4(packet.tuple.local, destination);
  set_v4(packet.tuple.remote, source);
  packet.tuple.remote_port = load16(at + kTcp);
  packet.tuple.local_port = load16(at + kTcp + 2);
  Segment& segment = packet.segment;
  segment.seq = Seq{load(at + kTcp + 4)};
  segment.ack = Seq{load(at + kTcp + 8)};
  segment.window = load16(at + kTcp + 14);
  segment.flags = flags;
  segment.urgent = load16(at + kTcp + 18);
  segment.ce = (at[kIp + 1] & std::byte{wire::kEcnMask}) == std::byte{wire::kEcnCongestion};
  segment.ect = false;
  SegmentOptions& options = segment.options;
  options.mss = 0;
  options.shift = SegmentOptions::kNoShift;
  options.sack_permitted = false;
  options.sack_count = 0;
  options.timestamps = timestamps;
  options.ts_value = timestamps ? load(at + kOptions + 4) : 0;
  options.ts_echo = timestamps ? load(at + kOptions + 8) : 0;
  segment.payload = {.buffer = 0,
                     .offset = static_cast<uint16_t>(offset),
                     .length = static_cast<uint16_t>(total + kIp - offset)};
  return true;
}

size_t emit(const FourTuple& tuple, const Outgoing& out, Bytes memory, size_t buffer_size,
            std::span<std::byte> headers) noexcept {
  const Segment& segment = out.header;
  const SegmentOptions& options = segment.options;
  if ((segment.flags & kUnusual) != 0 || options.mss != 0 || options.sack_permitted ||
      options.sack_count != 0 || options.shift != SegmentOptions::kNoShift || !is_v4(tuple.local) ||
      !is_v4(tuple.remote)) {
    return 0;
  }
  const size_t tcp_length = wire::kTcpHeaderLength + (options.timestamps ? kTimestamps : 0);
  const auto carried = static_cast<uint32_t>(tcp_length + out.bytes);
  const uint32_t source = v4_native(tuple.local), destination = v4_native(tuple.remote);
  const uint64_t addresses = uint64_t{source} + destination;
  std::byte* at = headers.data();
  std::memset(at, 0, 12);  // the port knows the MAC addresses
  at[12] = std::byte{wire::kEtherTypeIpv4 >> 8};
  at[13] = std::byte{wire::kEtherTypeIpv4 & 0xFF};
  const uint32_t ecn = segment.ect ? wire::kEcnCapable0 : wire::kEcnNotCapable;
  const uint32_t traffic_class = uint32_t{out.dscp} << 2 | ecn;
  Words ip(at + kIp);
  ip.put(0x45000000U | traffic_class << 16 |
         (static_cast<uint32_t>(wire::kIpv4HeaderLength) + carried));
  ip.put(0x00004000);  // RFC 6864 §4.1: an atomic datagram needs no ID; DF
  ip.put(uint32_t{out.ttl} << 24 | uint32_t{wire::kProtocolTcp} << 16);
  ip.put_native(source);
  ip.put_native(destination);
  store_checksum(at + kIp + 10, ip.sum());

  uint64_t sum = addresses + wire::internal::big_endian(static_cast<uint16_t>(carried)) +
                 wire::internal::big_endian(uint16_t{wire::kProtocolTcp});
  bool odd = false;
  for (const Slice slice : out.payload()) {
    const uint64_t part =
        wire::sum_native(memory.subspan(slice.buffer * buffer_size + slice.offset, slice.length));
    // RFC 1071 §2 (B): at an odd offset the sum of the piece has its bytes swapped.
    sum += odd ? uint64_t{wire::internal::swap(wire::fold(part))} : part;
    odd ^= (slice.length & 1) != 0;
  }
  Words tcp(at + kTcp);
  tcp.put(uint32_t{tuple.local_port} << 16 | tuple.remote_port);
  tcp.put(segment.seq.value);
  tcp.put(segment.ack.value);
  tcp.put(static_cast<uint32_t>(tcp_length / 4) << 28 | uint32_t{segment.flags} << 16 |
          segment.window);
  tcp.put(segment.urgent);  // checksum, urgent pointer
  if (options.timestamps) {
    tcp.put(kTimestampsWord);
    tcp.put(options.ts_value);
    tcp.put(options.ts_echo);
  }
  store_checksum(at + kTcp + 16, sum + tcp.sum());
  return kTcp + tcp_length;
}

}  // namespace paste::tcp::common
