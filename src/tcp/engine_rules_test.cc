// The rules of RFC 9293 that concern the whole engine: opening, initial numbers, options of a call,
// errors from the network. Method: segments and frames given to an engine, and what it answers.
#include <gtest/gtest.h>

#include <vector>

#include "tcp/engine.h"
#include "tcp/isn.h"
#include "wire/icmp.h"
#include "wire/ip.h"

namespace paste::tcp {
namespace {

constexpr Address kOurs = ipv4_mapped(10, 0, 0, 1), kAlso = ipv4_mapped(10, 0, 0, 2);
constexpr Address kPeer = ipv4_mapped(10, 0, 0, 9);
using Frame = std::vector<std::byte>;

class Host final : public EngineOwner {
 public:
  explicit Host(const ConnectionOptions& connection = {})
      : engine(options(connection), {}, *this, now) {}
  static EngineOptions options(const ConnectionOptions& connection) {
    EngineOptions options;
    options.connection = connection;
    options.connections_max = 16;
    return options;
  }
  void opened(ConnectionId id, uint32_t listener) override {
    last = id;
    listeners.push_back(listener);
  }
  void deliver(ConnectionId, Slice) override {}
  void peer_finished(ConnectionId) override {}
  void soft_error(ConnectionId id, SoftError error) override { errors.emplace_back(id, error); }
  void closed(ConnectionId, Ending how) override { endings.push_back(how); }
  void acknowledged(ConnectionId, Slice, uint64_t) override {}
  void release(BufferName) override {}
  void hold(BufferName, uint32_t) override {}
  [[nodiscard]] uint32_t free_buffers() const override { return 1000; }
  [[nodiscard]] uint64_t draw() override { return 5; }

  Packet packet(uint8_t flags, Seq seq, Seq ack = {}, const Address& local = kOurs) {
    Packet p;
    p.tuple = {.local = local, .remote = kPeer, .local_port = 80, .remote_port = 5000};
    p.segment.seq = seq;
    p.segment.ack = ack;
    p.segment.flags = flags;
    p.segment.window = 60'000;
    return p;
  }
  // All that leaves now.
  std::vector<Outgoing> sent() {
    std::vector<Outgoing> all;
    while (engine.dispatch(now, tuple, out)) all.push_back(out);
    return all;
  }
  // A connection from the peer to `local`; our initial number.
  Seq accept(const Address& local = kOurs) {
    Packet syn = packet(kSyn, Seq{100}, {}, local);
    syn.segment.options.mss = 1000;
    engine.arrive(syn, now);
    const auto answer = sent();
    EXPECT_EQ(answer.size(), 1U);
    if (answer.empty()) return {};
    EXPECT_EQ(tuple.local, local);  // RFC 9293 MUST-45
    engine.arrive(packet(kAck, Seq{101}, answer[0].header.seq + 1, local), now);
    (void)sent();
    return answer[0].header.seq;
  }
  std::vector<Outgoing> wait(Duration time) {
    std::vector<Outgoing> all;
    const Instant end = now + time;
    while (now < end) {
      now = std::min(end, std::max(engine.next_deadline(now), now + std::chrono::milliseconds(1)));
      for (const Outgoing& one : sent()) all.push_back(one);
    }
    return all;
  }

  Instant now{5'000'000'000};
  Engine engine;
  FourTuple tuple;
  Outgoing out;
  ConnectionId last;
  std::vector<uint32_t> listeners;
  std::vector<std::pair<ConnectionId, SoftError>> errors;
  std::vector<Ending> endings;
};

// RFC 9293 MUST-8, MUST-9: a clock drives it, and without the key nobody computes it.
TEST(EngineRules, InitialNumbersFollowAClockAndAKey) {
  const SipKey key{1, 2}, other{1, 3};
  const FourTuple tuple{.local = kOurs, .remote = kPeer, .local_port = 80, .remote_port = 5000};
  FourTuple next = tuple;
  next.remote_port = 5001;
  const Instant now{7'000'000'000};
  const Seq first = initial_sequence(key, tuple, now);
  EXPECT_EQ(initial_sequence(key, tuple, now + std::chrono::microseconds(400)) - first, 100);
  EXPECT_NE(initial_sequence(other, tuple, now), first);
  EXPECT_GT(std::abs(initial_sequence(key, next, now) - first), 1000);
}

// RFC 9293 MUST-23: a SYN is sent for three minutes at least.
TEST(EngineRules, SynsGoOnForThreeMinutes) {
  Host host;
  ASSERT_TRUE(host.engine.connect(kOurs, kPeer, 80, host.now).has_value());
  EXPECT_GE(host.wait(std::chrono::minutes(3)).size(), 6U);
  EXPECT_TRUE(host.endings.empty());
  (void)host.wait(std::chrono::minutes(3));
  ASSERT_EQ(host.endings.size(), 1U);
  EXPECT_EQ(host.endings[0], Ending::timed_out);
}

// What happens in the same turn is told in the end, and only what still matters.
TEST(EngineRules, AnAbortedConnectionIsNotToldToBeOpen) {
  Host host;
  const auto dialled = host.engine.connect(kOurs, kPeer, 80, host.now);
  ASSERT_TRUE(dialled.has_value());
  const auto syn = host.sent();
  ASSERT_EQ(syn.size(), 1U);
  Packet answer = host.packet(kSyn | kAck, Seq{100}, syn[0].header.seq + 1);
  answer.tuple = host.tuple;
  host.engine.arrive(answer, host.now);
  ASSERT_TRUE(host.engine.abort(*dialled).has_value());
  (void)host.sent();
  EXPECT_TRUE(host.listeners.empty());
  EXPECT_EQ(host.endings, std::vector<Ending>{Ending::aborted});
}

// RFC 9293 MUST-24, MUST-25, MUST-28: on request, and not before two hours of silence.
TEST(EngineRules, KeepAliveWaitsTwoHours) {
  for (const bool on : {false, true}) {
    Host host;
    ASSERT_TRUE(host.engine.listen(80, 1).has_value());
    (void)host.accept();
    ASSERT_TRUE(host.engine.set_keep_alive(host.last, on, host.now).has_value());
    EXPECT_TRUE(host.wait(std::chrono::minutes(119)).empty());
    EXPECT_EQ(host.wait(std::chrono::minutes(2)).empty(), !on);
  }
}

// RFC 9293 MUST-41: a new listener leaves what is there alone. MUST-42, MUST-43: one port may be
// listened to at several addresses, each with its own listener.
// RFC 9293 MUST-41, MUST-42, MUST-43, MUST-45.
TEST(EngineRules, ListenersHaveAddresses) {
  Host host;
  ASSERT_TRUE(host.engine.listen(80, 1, kOurs).has_value());
  (void)host.accept(kOurs);
  const ConnectionId first = host.last;
  ASSERT_TRUE(host.engine.listen(80, 2, kAlso).has_value());
  ASSERT_TRUE(host.engine.listen(80, 3).has_value());
  EXPECT_EQ(host.engine.listen(80, 4, kOurs).error().code(), Code::in_use);
  (void)host.accept(kAlso);
  (void)host.accept(ipv4_mapped(10, 0, 0, 3));
  EXPECT_EQ(host.listeners, (std::vector<uint32_t>{1, 2, 3}));
  ASSERT_NE(host.engine.find(first), nullptr);
  EXPECT_EQ(host.engine.find(first)->state(), State::established);
}

// RFC 9293 MUST-46.
TEST(EngineRules, NoConnectionToAGroup) {
  Host host;
  const Address v6_group{0xFF, 2};
  for (const Address& bad : {ipv4_mapped(224, 0, 0, 1), ipv4_mapped(255, 255, 255, 255),
                             ipv4_mapped(0, 0, 0, 0), v6_group}) {
    const auto id = host.engine.connect(kOurs, bad, 80, host.now);
    ASSERT_FALSE(id.has_value());
    EXPECT_EQ(id.error().code(), Code::invalid);
  }
  EXPECT_TRUE(host.sent().empty());
}

// RFC 9293 MUST-57, MUST-63: a SYN to or from an address of many is dropped without a word.
TEST(EngineRules, SynsOfGroupsAreDropped) {
  Outgoing syn;
  syn.header.flags = kSyn;
  for (const auto& [from, to] :
       {std::pair(kPeer, ipv4_mapped(224, 0, 0, 1)),
        std::pair(kPeer, ipv4_mapped(255, 255, 255, 255)),
        std::pair(ipv4_mapped(239, 1, 1, 1), kOurs), std::pair(ipv4_mapped(0, 0, 0, 0), kOurs)}) {
    const FourTuple tuple{.local = from, .remote = to, .local_port = 5000, .remote_port = 80};
    Frame frame(kHeadersMax);
    frame.resize(emit_packet(tuple, syn, {}, 0, frame));
    Packet packet;
    const auto refusal = parse_packet(frame, packet);
    ASSERT_TRUE(refusal.has_value());
    EXPECT_EQ(refusal->reason, Refused::bad_address);
  }
}

// RFC 9293 MUST-58, MUST-59: what has arrived is processed before one acknowledgement stands for
// it.
TEST(EngineRules, OneAcknowledgementForAll) {
  Host host;
  ASSERT_TRUE(host.engine.listen(80, 1).has_value());
  const Seq iss = host.accept();
  for (uint32_t i = 0; i < 8; ++i) {
    Packet data = host.packet(kAck, Seq{101} + 1000 * i, iss + 1);
    data.segment.payload = {1, 0, 1000};
    host.engine.arrive(data, host.now);
  }
  const auto sent = host.sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].header.ack, Seq{8101});
}

// RFC 9293 MUST-48, MUST-49: both fields of IP are the program's to set.
TEST(EngineRules, TtlAndDiffServ) {
  ConnectionOptions options;
  options.ttl = 7;
  options.dscp = 10;
  Host host(options);
  ASSERT_TRUE(host.engine.listen(80, 1).has_value());
  (void)host.accept();
  EXPECT_EQ(host.engine.set_dscp(host.last, 64).error().code(), Code::invalid);
  for (const uint8_t dscp : {uint8_t{10}, uint8_t{46}}) {
    if (dscp != options.dscp) {
      ASSERT_TRUE(host.engine.set_dscp(host.last, dscp).has_value());
    }
    ASSERT_TRUE(host.engine.write(host.last, {0, 0, 100}, 0).has_value());
    const auto sent = host.sent();
    ASSERT_EQ(sent.size(), 1U);
    Frame frame(kHeadersMax), memory(100);
    emit_packet(host.tuple, sent[0], memory, 100, frame);
    EXPECT_EQ(wire::load8(frame, wire::kEthernetHeaderLength + 1) >> 2, dscp);
    EXPECT_EQ(wire::load8(frame, wire::kEthernetHeaderLength + 8), 7);
    host.engine.arrive(host.packet(kAck, Seq{101}, sent[0].header.seq + 100), host.now);
    (void)host.sent();
  }
}

// An ICMP message as a router sends it about a segment from `ours`.
Frame icmp(uint8_t type, uint8_t code, const FourTuple& tuple, Seq seq) {
  const wire::IpAddress ours{tuple.local}, peer{tuple.remote};
  Frame quote(28);
  wire::emit(wire::Ipv4Header{.source = ours, .destination = peer, .protocol = wire::kProtocolTcp},
             1000, quote);
  const wire::MutableBytes behind = wire::MutableBytes(quote).subspan(20);
  wire::store16(behind, 0, tuple.local_port);
  wire::store16(behind, 2, tuple.remote_port);
  wire::store32(behind, 4, seq.value);
  Frame frame(wire::kEthernetHeaderLength + 20 + 8 + quote.size());
  wire::EthernetHeader ethernet;
  ethernet.type = wire::kEtherTypeIpv4;
  const wire::MutableBytes all(frame);
  wire::emit(ethernet, all);
  wire::emit(
      wire::Ipv4Header{.source = peer, .destination = ours, .protocol = wire::kProtocolIcmpV4},
      8 + quote.size(), all.subspan(wire::kEthernetHeaderLength));
  wire::emit(wire::IcmpHeader{.is_v6 = false, .type = type, .code = code}, quote, 0,
             all.subspan(wire::kEthernetHeaderLength + 20));
  return frame;
}

// RFC 9293 MUST-47, MUST-54, MUST-55, MUST-56: errors go to the connection that caused them, are
// told to the program, and end nothing; a source quench is no error.
TEST(EngineRules, ErrorsFindTheirConnection) {
  Host host;
  ASSERT_TRUE(host.engine.listen(80, 1).has_value());
  (void)host.accept();
  const ConnectionId id = host.last;
  ASSERT_TRUE(host.engine.write(id, {0, 0, 100}, 0).has_value());
  const auto sent = host.sent();
  ASSERT_EQ(sent.size(), 1U);
  const auto tell = [&](uint8_t type, uint8_t code, Seq seq) {
    const auto error = parse_icmp_error(icmp(type, code, host.tuple, seq));
    if (error) host.engine.icmp(*error, host.now);
    return error.has_value();
  };
  const Seq seq = sent[0].header.seq;
  EXPECT_FALSE(tell(4, 0, seq));  // source quench
  EXPECT_TRUE(tell(3, 0, seq));   // network
  EXPECT_TRUE(tell(3, 1, seq));   // host
  EXPECT_TRUE(tell(3, 3, seq));   // port
  EXPECT_TRUE(tell(11, 0, seq));  // time exceeded
  EXPECT_TRUE(tell(12, 0, seq));  // parameter problem
  ASSERT_EQ(host.errors.size(), 5U);
  for (const auto& [whose, error] : host.errors) EXPECT_EQ(whose.index, id.index);
  EXPECT_TRUE(tell(3, 1, seq + 5000));  // RFC 5927 §4.1: not in flight
  EXPECT_EQ(host.errors.size(), 5U);
  FourTuple nobody = host.tuple;
  nobody.remote_port = 1;
  host.engine.icmp(*parse_icmp_error(icmp(3, 1, nobody, seq)), host.now);
  EXPECT_EQ(host.engine.counters().icmp_ignored, 2U);
  ASSERT_NE(host.engine.find(id), nullptr);
  EXPECT_EQ(host.engine.find(id)->state(), State::established);
}

// RFC 9293 MUST-20, MUST-47: after three retransmissions the program hears that the path is
// suspect.
TEST(EngineRules, SuspectPathIsTold) {
  Host host;
  ASSERT_TRUE(host.engine.listen(80, 1).has_value());
  (void)host.accept();
  ASSERT_TRUE(host.engine.write(host.last, {0, 0, 100}, 0).has_value());
  (void)host.sent();
  (void)host.wait(std::chrono::seconds(20));
  ASSERT_EQ(host.errors.size(), 1U);
  EXPECT_EQ(host.errors[0].second, SoftError::retransmitting);
}

}  // namespace
}  // namespace paste::tcp
