// Goal: TCP headers and options are read as RFC 9293 says, whatever a peer writes, and what is
// written is read as it was meant. Method: tables, every truncation, every permutation of options,
// random round trips (RapidCheck prints its seed).
#include "wire/tcp.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "wire/test_bytes.h"

namespace paste::wire {
namespace {

const Buffer kFixed = hex("1f90 c350 01020304 05060708 50 18 1234 abcd 0007");

Buffer segment(const Buffer& options, const Buffer& payload = {}) {
  Buffer bytes = kFixed;
  bytes[12] = static_cast<std::byte>((20 + options.size()) / 4 << 4);
  return join(join(bytes, options), payload);
}

TEST(Tcp, Fields) {
  const Buffer bytes = join(kFixed, hex("6869"));
  const auto parsed = TcpSegment::parse(bytes);
  ASSERT_TRUE(parsed);
  const TcpHeader want{0x1f90, 0xc350, 0x01020304, 0x05060708, kTcpPsh | kTcpAck,
                       20,     0x1234, 0xabcd,     7};
  EXPECT_EQ(parsed->header, want);
  EXPECT_EQ(parsed->options, TcpOptions{});
  EXPECT_EQ(as_text(parsed->payload), "hi");
  EXPECT_TRUE(parsed->header.has(kTcpAck));
  EXPECT_FALSE(parsed->header.has(kTcpSyn));
}

TEST(Tcp, EachFlagIsItsBit) {
  const uint8_t flags[] = {kTcpFin, kTcpSyn, kTcpRst, kTcpPsh, kTcpAck, kTcpUrg, kTcpEce, kTcpCwr};
  for (size_t bit = 0; bit < 8; ++bit) {
    Buffer bytes = kFixed;
    bytes[13] = static_cast<std::byte>(1 << bit);
    EXPECT_EQ(TcpSegment::parse(bytes)->header.flags, flags[bit]);
  }
}

TEST(Tcp, EachReservedBitIsIgnored) {
  const TcpHeader want = TcpSegment::parse(kFixed)->header;
  for (int bit = 0; bit < 4; ++bit) {
    Buffer bytes = kFixed;
    bytes[12] |= static_cast<std::byte>(1 << bit);
    const auto parsed = TcpSegment::parse(bytes);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->header, want);
  }
}

TEST(Tcp, EveryTruncationAndHeaderLength) {
  const Buffer whole = segment(hex("0101080a 00000001 00000002"));
  for (size_t length = 0; length < whole.size(); ++length) {
    const auto parsed = TcpSegment::parse(head(whole, length));
    ASSERT_FALSE(parsed) << length;
    EXPECT_EQ(parsed.error(),
              length < 20 ? Malformed::tcp_truncated : Malformed::tcp_header_length);
  }
  for (int words = 0; words < 16; ++words) {
    Buffer bytes(40, std::byte{0});
    bytes[12] = static_cast<std::byte>(words << 4);
    EXPECT_EQ(TcpSegment::parse(bytes).has_value(), words >= 5 && words <= 10) << words;
  }
}

struct OptionCase {
  const char* bytes;
  Malformed why;
};

// RFC 9293 MUST-7.
TEST(TcpOptions, IllegalOnes) {
  const OptionCase cases[] = {
      {"02", Malformed::tcp_option_length},           // no length
      {"0200", Malformed::tcp_option_length},         // length 0: RFC 9293 MUST-7
      {"0201", Malformed::tcp_option_length},         // does not cover itself
      {"020405", Malformed::tcp_option_length},       // ends after the header
      {"fe00", Malformed::tcp_option_length},         // unknown, length 0
      {"fe01", Malformed::tcp_option_length},         // unknown, length 1
      {"fe0300 fe05", Malformed::tcp_option_length},  // the second ends after the header
      {"010101fe", Malformed::tcp_option_length},
      {"02030100", Malformed::tcp_option_size},
      {"0205010000", Malformed::tcp_option_size},
      {"0302", Malformed::tcp_option_size},
      {"03040101", Malformed::tcp_option_size},
      {"040300", Malformed::tcp_option_size},
      {"0502", Malformed::tcp_option_size},  // no block
      {"050600000000", Malformed::tcp_option_size},
      {"080900000000000000", Malformed::tcp_option_size},
      {"080200", Malformed::tcp_option_size},
  };
  for (const OptionCase& c : cases) {
    const auto parsed = TcpOptions::parse(hex(c.bytes));
    ASSERT_FALSE(parsed) << c.bytes;
    EXPECT_EQ(parsed.error(), c.why) << c.bytes;
  }
  Buffer five = hex("052a");  // five blocks would be longer than any header
  five.resize(42);
  EXPECT_EQ(TcpOptions::parse(five).error(), Malformed::tcp_option_size);
}

// RFC 9293 MUST-6, MUST-68.
TEST(TcpOptions, UnknownOnesAreSkippedAndEndEnds) {
  const TcpOptions mss_1460 = *TcpOptions::parse(hex("020405b4"));
  EXPECT_TRUE(mss_1460.has_mss);
  EXPECT_EQ(mss_1460.mss, 1460);
  EXPECT_EQ(*TcpOptions::parse(hex("1303aa 020405b4 fe02 01")), mss_1460);
  EXPECT_EQ(*TcpOptions::parse(hex("020405b4 00 0200ff")), mss_1460);  // after END: anything
  EXPECT_EQ(*TcpOptions::parse(hex("02040001 020405b4")), mss_1460);   // the last counts
  EXPECT_EQ(*TcpOptions::parse(hex("00000000")), TcpOptions{});
  for (int kind = 0; kind < 256; ++kind) {  // RFC 9293 MUST-6: each kind that is not known
    if (kind <= 5 || kind == 8) continue;
    Buffer bytes = hex("00 04 5555 020405b4");
    bytes[0] = static_cast<std::byte>(kind);
    const auto parsed = TcpOptions::parse(bytes);
    ASSERT_TRUE(parsed) << kind;
    EXPECT_EQ(*parsed, mss_1460) << kind;
  }
}

TEST(TcpOptions, WindowScaleAbove14IsReadAs14) {
  for (int shift = 0; shift < 256; ++shift) {
    Buffer bytes = hex("010303 00");
    bytes[3] = static_cast<std::byte>(shift);
    EXPECT_EQ(TcpOptions::parse(bytes)->window_scale, std::min(shift, 14));
  }
}

TEST(TcpOptions, TheSecondSackReplacesTheFirst) {
  const auto parsed =
      TcpOptions::parse(hex("0512 00000001 00000002 00000003 00000004 050a 00000005 00000006"));
  ASSERT_TRUE(parsed);
  TcpOptions want;
  want.sack_count = 1;
  want.sack[0] = {5, 6};
  EXPECT_EQ(*parsed, want);
}

// RFC 9293 MUST-4, MUST-64.
TEST(TcpOptions, EveryOrderAndTruncation) {
  std::vector<Buffer> parts = {hex("020405b4"),
                               hex("0402"),
                               hex("030307"),
                               hex("01"),
                               hex("080a 00000009 0000000a"),
                               hex("050a 00000001 00000002")};
  std::sort(parts.begin(), parts.end());
  TcpOptions want;
  want.has_mss = want.sack_permitted = want.has_window_scale = want.has_timestamps = true;
  want.mss = 1460;
  want.window_scale = 7;
  want.timestamp_value = 9;
  want.timestamp_echo = 10;
  want.sack_count = 1;
  want.sack[0] = {1, 2};
  int orders = 0;
  do {
    Buffer bytes;
    std::vector<size_t> ends = {0};
    for (const Buffer& part : parts) {
      bytes = join(bytes, part);
      ends.push_back(bytes.size());
    }
    ASSERT_EQ(TcpOptions::parse(bytes).value_or(TcpOptions{}), want);
    for (size_t length = 0; length < bytes.size(); ++length) {
      const bool between = std::find(ends.begin(), ends.end(), length) != ends.end();
      ASSERT_EQ(TcpOptions::parse(head(bytes, length)).has_value(), between) << length;
    }
    ++orders;
  } while (std::next_permutation(parts.begin(), parts.end()));
  EXPECT_EQ(orders, 720);
}

TEST(TcpOptions, TheFastPathEqualsTheOther) {
  const TcpOptions fast = *TcpOptions::parse(hex("0101080a 01020304 05060708"));
  const TcpOptions slow = *TcpOptions::parse(hex("080a 01020304 05060708 0101"));
  EXPECT_EQ(fast, slow);
  EXPECT_EQ(fast.timestamp_value, 0x01020304u);
  EXPECT_EQ(fast.timestamp_echo, 0x05060708u);
}

// RFC 9293 MUST-69: whole words, so that there is nothing to pad.
TEST(TcpOptions, UsualLayouts) {
  TcpOptions syn;
  syn.has_mss = syn.has_window_scale = syn.sack_permitted = syn.has_timestamps = true;
  syn.mss = 1460;
  syn.window_scale = 7;
  Buffer out(kTcpOptionsMax);
  EXPECT_EQ(emit(syn, out), 20u);
  EXPECT_EQ(head(out, 20), hex("020405b4 0402080a 00000000 00000000 01030307"));
  TcpOptions sack;
  sack.has_timestamps = true;
  sack.sack_count = 4;
  EXPECT_EQ(emit(sack, out), 40u);  // three blocks fit beside timestamps
  EXPECT_EQ(sack.sack_fitting(), 3u);
  EXPECT_EQ(emit(TcpOptions{}, MutableBytes{}), 0u);
}

TEST(Tcp, RoundTrip) {
  EXPECT_TRUE(rc::check("parse(emit(x)) == x", [] {
    TcpHeader header;
    header.source_port = *rc::gen::arbitrary<uint16_t>();
    header.destination_port = *rc::gen::arbitrary<uint16_t>();
    header.sequence = *rc::gen::arbitrary<uint32_t>();
    header.acknowledgment = *rc::gen::arbitrary<uint32_t>();
    header.flags = *rc::gen::arbitrary<uint8_t>();
    header.window = *rc::gen::arbitrary<uint16_t>();
    header.urgent = *rc::gen::arbitrary<uint16_t>();
    const TcpOptions options = any_options();
    const Buffer payload = any_bytes(64);
    const bool v6 = *rc::gen::arbitrary<bool>();
    const IpAddress from = v6 ? any_v6() : any_v4(), to = v6 ? any_v6() : any_v4();

    Buffer bytes(kTcpHeaderLength + options.length());
    RC_ASSERT(emit(header, options, bytes) == bytes.size());
    const auto total = static_cast<uint32_t>(bytes.size() + payload.size());
    store_tcp_checksum(bytes, pseudo_header_sum(from, to, kProtocolTcp, total), sum(payload));
    header.header_length = static_cast<uint8_t>(bytes.size());
    header.checksum = load16(bytes, 16);
    const Buffer whole = join(bytes, payload);
    RC_ASSERT(transport_checksum_ok(from, to, kProtocolTcp, whole));

    const auto parsed = TcpSegment::parse(whole);
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(parsed->header == header);
    RC_ASSERT(parsed->options == as_sent(options));
    RC_ASSERT(
        std::equal(payload.begin(), payload.end(), parsed->payload.begin(), parsed->payload.end()));
  }));
}

}  // namespace
}  // namespace paste::wire
