// Goal: the short way for usual packets gives exactly what the general way gives. Method: random
// packets of all kinds, emitted by both and parsed by both, whole, cut short, and with any one bit
// of the headers changed.
#include <gtest/gtest.h>

#include <vector>

#include "tcp/packet_common.h"
#include "tcp/test_random.h"

namespace paste::tcp {
namespace {

constexpr size_t kBufferSize = 2048;
constexpr uint32_t kBuffers = 4;

struct Made {
  FourTuple tuple;
  Outgoing out;
};

Address random_address(TestRandom& random, bool v4) {
  if (v4) {
    return ipv4_mapped(static_cast<uint8_t>(random.below(256)), 7, 200,
                       static_cast<uint8_t>(random.below(256)));
  }
  Address address{0x20, 0x01};
  for (size_t i = 2; i < 16; ++i) address[i] = static_cast<uint8_t>(random.below(256));
  return address;
}

// Most are usual ones.
Made random_packet(TestRandom& random) {
  Made made;
  const bool v4 = random.below(8) != 0;
  made.tuple = {.local = random_address(random, v4),
                .remote = random_address(random, v4),
                .local_port = static_cast<uint16_t>(random.below(65536)),
                .remote_port = static_cast<uint16_t>(random.below(65536))};
  Segment& header = made.out.header;
  header.seq = Seq{static_cast<uint32_t>(random.word())};
  header.ack = Seq{static_cast<uint32_t>(random.word())};
  header.window = static_cast<uint16_t>(random.below(65536));
  header.flags = random.below(8) == 0 ? static_cast<uint8_t>(random.below(256)) : uint8_t{kAck};
  if (random.below(2) == 0) header.flags |= kPsh;
  header.ect = random.below(4) == 0;
  SegmentOptions& options = header.options;
  options.timestamps = random.below(4) != 0;
  if (options.timestamps) {
    options.ts_value = static_cast<uint32_t>(random.word());
    options.ts_echo = static_cast<uint32_t>(random.word());
  }
  if (random.below(16) == 0) options.mss = 1400;
  if (random.below(16) == 0) options.shift = 7;
  if (random.below(16) == 0) options.sack_permitted = true;
  if (random.below(8) == 0 && options.mss == 0) {
    options.sack_count = 1;
    options.sack[0] = {Seq{1}, Seq{100}};
  }
  made.out.slice_count = static_cast<uint32_t>(random.below(4));
  for (uint32_t i = 0; i < made.out.slice_count; ++i) {
    const auto length = static_cast<uint16_t>(random.below(400) + 1);
    made.out.slices[i] = {static_cast<BufferName>(random.below(kBuffers)),
                          static_cast<uint16_t>(random.below(1000)), length};
    made.out.bytes += length;
  }
  return made;
}

bool same(const Packet& a, const Packet& b) {
  const SegmentOptions &x = a.segment.options, &y = b.segment.options;
  return a.tuple == b.tuple && a.segment.seq == b.segment.seq && a.segment.ack == b.segment.ack &&
         a.segment.window == b.segment.window && a.segment.flags == b.segment.flags &&
         a.segment.ce == b.segment.ce && a.segment.ect == b.segment.ect && x.mss == y.mss &&
         x.shift == y.shift && x.sack_permitted == y.sack_permitted &&
         x.timestamps == y.timestamps && x.ts_value == y.ts_value && x.ts_echo == y.ts_echo &&
         x.sack_count == y.sack_count && a.segment.payload.offset == b.segment.payload.offset &&
         a.segment.payload.length == b.segment.payload.length;
}

// True if the short way took it; it must then be as the general way has it.
bool agree(Bytes frame) {
  Packet by_short, by_general;
  if (!common::parse(frame, by_short)) return false;
  EXPECT_FALSE(general::parse(frame, by_general).has_value());
  EXPECT_TRUE(same(by_short, by_general));
  return true;
}

// RFC 9293 MUST-2, MUST-3: what one computes the other verifies, and no damaged bit passes.
TEST(Packet, ShortWayAndGeneralWayAgree) {
  TestRandom random(20260);
  std::vector<std::byte> memory(kBuffers * kBufferSize);
  for (std::byte& b : memory) b = static_cast<std::byte>(random.below(256));
  size_t taken = 0, emitted = 0;
  for (int i = 0; i < 4000; ++i) {
    const Made made = random_packet(random);
    std::array<std::byte, kHeadersMax> a{}, b{};
    const size_t length = general::emit(made.tuple, made.out, memory, kBufferSize, a);
    const size_t by_short = common::emit(made.tuple, made.out, memory, kBufferSize, b);
    if (by_short != 0) {
      ++emitted;
      ASSERT_EQ(by_short, length);
      ASSERT_EQ(a, b);
    }
    std::vector<std::byte> frame(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(length));
    for (const Slice s : made.out.payload()) {
      const auto at =
          memory.begin() + static_cast<std::ptrdiff_t>(s.buffer * kBufferSize + s.offset);
      frame.insert(frame.end(), at, at + s.length);
    }
    taken += agree(frame);
    frame.resize(frame.size() + random.below(9));  // padding of the link
    agree(frame);
    const size_t bit = random.below(static_cast<uint32_t>(length) * 8);
    frame[bit / 8] ^= std::byte{1} << (bit % 8);
    agree(frame);
    frame[bit / 8] ^= std::byte{1} << (bit % 8);
    frame.resize(random.below(static_cast<uint32_t>(frame.size())));
    agree(frame);
  }
  EXPECT_GT(taken, 1500U);
  EXPECT_GT(emitted, 1500U);
}

TEST(Packet, ShortestFrames) {
  for (size_t length = 0; length < 80; ++length) {
    const std::vector<std::byte> zeros(length);
    Packet packet;
    EXPECT_TRUE(parse_packet(zeros, packet).has_value());
    EXPECT_FALSE(parse_packet(zeros).has_value());
  }
}

}  // namespace
}  // namespace paste::tcp
