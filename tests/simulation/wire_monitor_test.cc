// Goal: each rule of the wire monitor fires when it is broken, and none when nothing is. Method: a
// short correct conversation through the wire format, in which one frame is altered on purpose.
#include "wire_monitor.h"

#include <gtest/gtest.h>

#include <functional>

namespace paste::simulation {
namespace {

using tcp::Segment;
using tcp::Seq;

constexpr uint32_t kClientIss = 0xffffff00;  // the numbers pass zero
constexpr uint32_t kServerIss = 7000;

// What is said, and which parts of it are altered; the default is a correct conversation.
class Conversation {
 public:
  using Alter = std::function<void(Segment&)>;

  Segment syn(int end) const {
    Segment s;
    s.seq = Seq{end == 0 ? kClientIss : kServerIss};
    s.flags = end == 0 ? tcp::kSyn | tcp::kEce | tcp::kCwr : tcp::kSyn | tcp::kAck | tcp::kEce;
    if (end == 1) s.ack = Seq{kClientIss} + 1;
    s.window = 4000;
    s.options = {.mss = 1000, .shift = 2, .sack_permitted = true, .timestamps = true};
    s.options.ts_value = 100;
    return s;
  }
  // Offsets count from the first byte of data.
  Segment data(int end, uint32_t from, uint32_t acked) const {
    Segment s;
    s.seq = Seq{end == 0 ? kClientIss : kServerIss} + 1 + from;
    s.ack = Seq{end == 0 ? kServerIss : kClientIss} + 1 + acked;
    s.flags = tcp::kAck;
    s.window = 1000;
    s.options.timestamps = true;
    s.options.ts_value = 200;
    return s;
  }
  void pass(int end, Segment segment, uint32_t bytes, bool arrives = true) {
    const auto frame = make(end, segment, bytes);
    monitor.sender_tap(end).sent(now, frame);
    if (arrives) monitor.sender_tap(end).delivered(now, frame);
  }
  void handshake() {
    pass(0, syn(0), 0);
    pass(1, syn(1), 0);
    pass(0, data(0, 0, 0), 0);
  }

  WireMonitor monitor;
  tcp::Instant now{1'000'000'000};

 private:
  sim::Frame make(int end, const Segment& segment, uint32_t bytes) const {
    tcp::FourTuple tuple{.local = tcp::ipv4_mapped(10, 0, 0, 1),
                         .remote = tcp::ipv4_mapped(10, 0, 0, 2),
                         .local_port = 1,
                         .remote_port = 2};
    if (end == 1) {
      std::swap(tuple.local, tuple.remote);
      std::swap(tuple.local_port, tuple.remote_port);
    }
    const std::vector<std::byte> memory(4096);
    tcp::Outgoing out;
    out.header = segment;
    out.bytes = bytes;
    out.slice_count = bytes != 0 ? 1 : 0;
    out.slices[0] = {0, 0, static_cast<uint16_t>(bytes)};
    sim::Frame frame(tcp::kHeadersMax);
    frame.resize(tcp::emit_packet(tuple, out, memory, 4096, frame) + bytes);
    return frame;
  }
};

struct Fault {
  const char* finding;  // "" for none
  std::function<void(Conversation&)> happen;
};

void expect(const std::vector<Fault>& faults) {
  for (const Fault& fault : faults) {
    Conversation c;
    c.handshake();
    ASSERT_EQ(c.monitor.problem(), "");
    fault.happen(c);
    if (*fault.finding == 0) {
      EXPECT_EQ(c.monitor.problem(), "");
    } else {
      EXPECT_NE(c.monitor.problem().find(fault.finding), std::string::npos)
          << "expected: " << fault.finding << ", found: " << c.monitor.problem();
    }
  }
}

void say(Conversation& c, int end, uint32_t from, uint32_t acked, uint32_t bytes,
         const Conversation::Alter& alter = nullptr, bool arrives = true) {
  Segment s = c.data(end, from, acked);
  if (alter) alter(s);
  c.pass(end, s, bytes, arrives);
}

TEST(WireMonitor, LetsPassWhatIsRight) {
  expect({{"",
           [](Conversation& c) {
             say(c, 0, 0, 0, 988, [](Segment& s) { s.ect = true; });
             say(c, 0, 988, 0, 988, nullptr, false);
             say(c, 1, 0, 988, 0);
             say(c, 0, 1976, 0, 10);
             say(c, 1, 0, 988, 0, [](Segment& s) {
               s.options.sack_count = 1;
               s.options.sack[0] = {Seq{kClientIss} + 1 + 1976, Seq{kClientIss} + 1 + 1986};
             });
             say(c, 0, 988, 0, 988);
             say(c, 1, 0, 1986, 0);
             say(c, 0, 0, 0, 988);  // once more: a D-SACK
             say(c, 1, 0, 1986, 0, [](Segment& s) {
               s.options.sack_count = 1;
               s.options.sack[0] = {Seq{kClientIss} + 1, Seq{kClientIss} + 989};
             });
             say(c, 0, 1986, 0, 1, [](Segment& s) { s.flags |= tcp::kFin | tcp::kPsh; });
             say(c, 1, 0, 1988, 0);
             say(c, 0, 1988, 0, 0);
             c.now = c.now + std::chrono::hours(1);
             say(c, 0, 1988, 0, 0);
           }},
          {"", [](Conversation& c) {  // a probe of a closed window
             say(c, 1, 0, 0, 0, [](Segment& s) { s.window = 1000; });
             for (uint32_t at = 0; at < 4000; at += 500) {
               say(c, 0, at, 0, 500);
               say(c, 1, 0, at + 500, 0,
                   [&](Segment& s) { s.window = static_cast<uint16_t>((4000 - at - 500) / 4); });
             }
             say(c, 0, 4000, 0, 1);
           }}});
}

TEST(WireMonitor, SeesWrongData) {
  expect({{"outside the window",
           [](Conversation& c) {
             for (uint32_t at = 0; at <= 4000; at += 500) say(c, 0, at, 0, 500, nullptr, false);
           }},
          {"leaves a hole", [](Conversation& c) { say(c, 0, 1, 0, 10); }},
          {"larger than the MSS", [](Conversation& c) { say(c, 0, 0, 0, 989); }},
          {"behind FIN",
           [](Conversation& c) {
             say(c, 0, 0, 0, 5, [](Segment& s) { s.flags |= tcp::kFin; });
             say(c, 0, 6, 0, 1);
           }},
          {"behind FIN",
           [](Conversation& c) {
             say(c, 0, 0, 0, 5, [](Segment& s) { s.flags |= tcp::kFin; });
             say(c, 0, 0, 0, 4, [](Segment& s) { s.flags |= tcp::kFin; });
           }},
          {"FIN lies before",
           [](Conversation& c) {
             say(c, 0, 0, 0, 5);
             say(c, 0, 0, 0, 4, [](Segment& s) { s.flags |= tcp::kFin; });
           }},
          {"SYN changed", [](Conversation& c) {
             Segment s = c.syn(0);
             s.seq += 1;
             c.pass(0, s, 0);
           }}});
}

TEST(WireMonitor, SeesWrongAcknowledgements) {
  const auto blocks = [](uint32_t from, uint32_t to) {
    return [=](Segment& s) {
      s.options.sack_count = 1;
      s.options.sack[0] = {Seq{kClientIss} + 1 + from, Seq{kClientIss} + 1 + to};
    };
  };
  expect({{"has not arrived",
           [](Conversation& c) {
             say(c, 0, 0, 0, 10, nullptr, false);
             say(c, 1, 0, 10, 0);
           }},
          {"acknowledgement went back",
           [](Conversation& c) {
             say(c, 0, 0, 0, 10);
             say(c, 1, 0, 10, 0);
             say(c, 1, 0, 9, 0, [](Segment& s) { s.window = 2000; });
           }},
          {"edge went back",
           [](Conversation& c) {
             say(c, 1, 0, 0, 0);
             say(c, 1, 0, 0, 0, [](Segment& s) { s.window = 999; });
           }},
          {"block covers what has not",
           [&](Conversation& c) {
             say(c, 0, 0, 0, 10, nullptr, false);
             say(c, 0, 10, 0, 10);
             say(c, 1, 0, 0, 0, blocks(10, 21));
           }},
          {"below the acknowledgement",
           [&](Conversation& c) {
             say(c, 0, 0, 0, 10);
             say(c, 0, 10, 0, 10);
             say(c, 1, 0, 10, 0, blocks(5, 20));
           }},
          {"not that of the newest",
           [&](Conversation& c) {
             for (uint32_t at = 0; at < 40; at += 10) say(c, 0, at, 0, 10, nullptr, at % 20 == 10);
             say(c, 1, 0, 0, 0, blocks(10, 20));
           }},
          {"acknowledged with FIN",
           [](Conversation& c) {
             const auto fin = [](Segment& s) { s.flags |= tcp::kFin; };
             say(c, 0, 0, 0, 10, fin);
             say(c, 1, 0, 11, 0, fin);
             say(c, 0, 0, 1, 10, fin);
           }},
          {"within 500 ms",
           [](Conversation& c) {
             say(c, 0, 0, 0, 10);
             c.now = c.now + std::chrono::milliseconds(501);
             say(c, 1, 0, 10, 0);
           }},
          {"two full-sized", [](Conversation& c) {
             for (uint32_t at = 0; at < 3 * 988; at += 988) say(c, 0, at, 0, 988);
           }}});
}

TEST(WireMonitor, SeesWrongOptionsAndMarks) {
  expect(
      {{"option of SYNs",
        [](Conversation& c) { say(c, 0, 0, 0, 0, [](Segment& s) { s.options.mss = 1000; }); }},
       {"option of SYNs",
        [](Conversation& c) { say(c, 0, 0, 0, 0, [](Segment& s) { s.options.shift = 1; }); }},
       {"option of SYNs",
        [](Conversation& c) {
          say(c, 0, 0, 0, 0, [](Segment& s) { s.options.sack_permitted = true; });
        }},
       {"not as agreed",
        [](Conversation& c) {
          say(c, 0, 0, 0, 0, [](Segment& s) { s.options.timestamps = false; });
        }},
       {"timestamp went back",
        [](Conversation& c) { say(c, 0, 0, 0, 0, [](Segment& s) { s.options.ts_value = 199; }); }},
       {"no ACK",
        [](Conversation& c) { say(c, 0, 0, 0, 5, [](Segment& s) { s.flags = tcp::kPsh; }); }},
       {"not new data",
        [](Conversation& c) { say(c, 0, 0, 0, 0, [](Segment& s) { s.ect = true; }); }},
       {"not new data", [](Conversation& c) {
          say(c, 0, 0, 0, 5);
          say(c, 0, 0, 0, 5, [](Segment& s) { s.ect = true; });
        }}});
  for (const uint8_t flag : {tcp::kEce, tcp::kCwr}) {
    Conversation c;
    Segment syn = c.syn(0);
    syn.flags = tcp::kSyn;
    Segment answer = c.syn(1);
    answer.flags = tcp::kSyn | tcp::kAck;
    c.pass(0, syn, 0);
    c.pass(1, answer, 0);
    ASSERT_EQ(c.monitor.problem(), "");
    say(c, 0, 0, 0, 5, [&](Segment& s) { s.flags |= flag; });
    EXPECT_NE(c.monitor.problem().find("not agreed"), std::string::npos) << c.monitor.problem();
  }
  Conversation c;
  Segment syn = c.syn(0);
  syn.flags = tcp::kSyn;
  c.pass(0, syn, 0);
  c.pass(1, c.syn(1), 0);
  EXPECT_NE(c.monitor.problem().find("not asked"), std::string::npos) << c.monitor.problem();
}

}  // namespace
}  // namespace paste::simulation
