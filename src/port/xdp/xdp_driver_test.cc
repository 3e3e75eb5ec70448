// Goal: an xdp port keeps the gate, and its buffers, whatever the NIC does.
// Method: the port's own rings with a NIC of the test's in the same thread: frames go in one by
// one, and what leaves is looked at; the region's barriers complete when the test says so.
#include "port/xdp/xdp_driver.h"

#include "port/test_driver.h"
#include "tcp/packet.h"
#include "udp/udp.h"

namespace paste::port {
namespace {

constexpr uint16_t kPort = 8080, kClientPort = 40'000;
constexpr uint32_t kFrameAt = 256;
const tcp::Address kServer = tcp::ipv4_mapped(10, 0, 0, 1), kClient = tcp::ipv4_mapped(10, 0, 0, 2);

class XdpDriverTest : public ::testing::Test {
 protected:
  void open() {
    auto region = pmem::ShadowRegion::create(pmem::Domain::page, 4u << 20);
    shadow_ = region.get();
    core_ = make_core(std::move(region));
    free_before_ = core_->stats().buffers_free;
    Interface interface;
    interface.name = interface.device = "model";
    interface.mtu = 1500;
    interface.mac = {{2, 0, 0, 0, 0, 1}};
    interface.addresses = {kServer};
    DriverOptions options;
    options.polling = Polling::busy;
    options.limits.receive_buffers = 64;
    driver_ = std::move(XdpDriver::open_model(interface, nic_, *core_, options).value());
  }
  void TearDown() override {
    driver_.reset();
    if (core_->failed()) return;
    shadow_->set_barrier_polls(0);
    for (int i = 0; i < 3; ++i) must(core_->wait_durable(core_->filling()));
    const pool::CoreStats stats = core_->stats();
    EXPECT_EQ(stats.buffers_data, 0u);
    EXPECT_LE(free_before_ - stats.buffers_free, stats.buffers_structure);
  }

  // What the NIC does.
  void receive(Bytes frame) {
    ASSERT_GT(nic_.fill.available(), 0u);
    const uint64_t at = nic_.fill.take() + kFrameAt;
    nic_.fill.give_back();
    std::memcpy(core_->buffer(0) + at, frame.data(), frame.size());
    nic_.receive.put({.addr = at, .len = static_cast<uint32_t>(frame.size()), .options = 0});
    nic_.receive.publish();
  }
  // Frames that left since the last call. The buffers stay the NIC's until complete().
  std::vector<std::vector<std::byte>> left() {
    std::vector<std::vector<std::byte>> frames;
    for (uint32_t n = nic_.transmit.available(); n > 0; --n) {
      const xdp_desc sent = nic_.transmit.take();
      const std::byte* begin = core_->buffer(0) + sent.addr;
      frames.emplace_back(begin, begin + sent.len);
      sent_.push_back(sent.addr);
    }
    nic_.transmit.give_back();
    return frames;
  }
  void complete() {
    for (const uint64_t address : sent_) nic_.completion.put(address);
    nic_.completion.publish();
    sent_.clear();
  }
  void turn() {
    const auto polled = driver_->poll(Duration{0});
    polled_ = polled.has_value();
    for (const Event& event : driver_->events()) {
      if (event.type == EventType::opened) connection_ = event.connection;
    }
  }

  // The client's TCP: what it sends, and the payload of what comes.
  void segment(uint8_t flags, std::string_view text = {}) {
    tcp::Outgoing out;
    out.header.flags = flags;
    out.header.seq = tcp::Seq{seq_};
    out.header.ack = tcp::Seq{ack_};
    out.header.window = 60'000;
    if ((flags & tcp::kSyn) != 0) out.header.options.mss = 1460;
    std::vector<std::byte> memory(2048);
    if (!text.empty()) {
      std::memcpy(memory.data(), text.data(), text.size());
      out.slices[0] = {0, 0, static_cast<uint16_t>(text.size())};
      out.slice_count = 1;
      out.bytes = static_cast<uint32_t>(text.size());
    }
    std::vector<std::byte> frame(tcp::kHeadersMax);
    const tcp::FourTuple tuple{
        .local = kClient, .remote = kServer, .local_port = kClientPort, .remote_port = kPort};
    frame.resize(tcp::emit_packet(tuple, out, memory, 2048, frame));
    const uint8_t macs[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
    std::memcpy(frame.data(), macs, sizeof macs);
    frame.insert(frame.end(), memory.begin(), memory.begin() + static_cast<ptrdiff_t>(text.size()));
    seq_ += static_cast<uint32_t>(text.size()) + ((flags & tcp::kSyn) != 0 ? 1 : 0);
    receive(frame);
  }
  std::string payloads() {
    std::string text;
    for (const auto& frame : left()) {
      const auto packet = tcp::parse_packet(frame);
      if (!packet) continue;
      EXPECT_EQ(frame[5], std::byte{2});  // to the client's MAC address
      const Slice slice = packet->segment.payload;
      text.append(reinterpret_cast<const char*>(frame.data()) + slice.offset, slice.length);
      const bool syn = packet->segment.has(tcp::kSyn);
      ack_ = packet->segment.seq.value + slice.length + (syn ? 1 : 0);
      if (packet->segment.has(tcp::kRst)) text += "<reset>";
    }
    return text;
  }
  void connect() {
    must(driver_->listen({.host = "10.0.0.1", .port = kPort}));
    segment(tcp::kSyn);
    turns(2);
    EXPECT_EQ(payloads(), "");
    segment(tcp::kAck);
    turns(2);
    ASSERT_TRUE(connection_);
    complete();
  }
  // Gives the filling ticket something to make durable.
  void change() {
    const BufferName name = core_->take(pool::Purpose::data).value();
    core_->flush(core_->buffer(name), 64, pmem::Site::log_data);
    core_->release_after_ticket(name);
  }
  void turns(int n = 5) {
    while (n-- > 0) turn();
  }

  pmem::ShadowRegion* shadow_ = nullptr;
  std::unique_ptr<pool::Core> core_;
  NicRings nic_;
  std::unique_ptr<XdpDriver> driver_;
  ConnectionId connection_{};
  std::vector<uint64_t> sent_;
  uint64_t free_before_ = 0;
  uint32_t seq_ = 1000, ack_ = 0;
  bool polled_ = true;
};

TEST_F(XdpDriverTest, AReplyWaitsForItsTicket) {
  open();
  connect();
  shadow_->set_barrier_polls(1'000'000);  // in flight until the test says otherwise
  change();
  const Ticket ticket = core_->filling();
  must(driver_->send(connection_, as_bytes("durable"), {}));
  turns();
  EXPECT_EQ(payloads(), "");
  must(core_->commit());
  turns();
  EXPECT_EQ(payloads(), "");
  EXPECT_FALSE(driver_->idle());
  shadow_->set_barrier_polls(0);
  must(core_->wait_durable(ticket));
  EXPECT_EQ(payloads(), "");
  turns();
  EXPECT_EQ(payloads(), "durable");
  complete();
  segment(tcp::kAck);
  turns();
  EXPECT_TRUE(driver_->idle());
}

TEST_F(XdpDriverTest, NothingIsAcknowledgedOnceThePoolFailed) {
  open();
  connect();
  shadow_->fail_barrier(1);
  change();
  must(driver_->send(connection_, as_bytes("lost"), {}));
  (void)core_->commit();
  turns();
  EXPECT_FALSE(polled_);
  EXPECT_EQ(payloads(), "<reset>");
}

TEST_F(XdpDriverTest, ADatagramsReplyWaitsForItsTicket) {
  open();
  const ListenerId listener =
      must(driver_->listen({.host = "10.0.0.1", .port = kPort, .transport = Transport::udp}));
  std::vector<std::byte> memory(2048), frame(2048);
  std::memcpy(memory.data(), "question", 8);
  const udp::Datagram question{
      .local = {kClient}, .remote = {kServer}, .local_port = kClientPort, .remote_port = kPort};
  const Slice text{0, 0, 8};
  frame.resize(udp::emit(question, {&text, 1}, memory, 2048, 1500, frame).value());
  frame.insert(frame.end(), memory.begin(), memory.begin() + 8);
  receive(frame);
  turn();
  ASSERT_EQ(driver_->datagrams().size(), 1u);
  const Datagram& asked = driver_->datagrams()[0];
  EXPECT_EQ(asked.listener, listener);
  const Bytes said = core_->bytes(asked.slices[0]);
  EXPECT_EQ(std::memcmp(said.data(), "question", 8), 0);

  shadow_->set_barrier_polls(1'000'000);
  change();
  const Ticket ticket = core_->filling();
  must(driver_->send_datagram(listener, asked.peer, asked.peer_length, as_bytes("answer"), {}));
  // What fits no packet, and what answers nobody, is for the kernel.
  const std::string large(1500, 'x');
  EXPECT_EQ(driver_->send_datagram(listener, asked.peer, asked.peer_length, as_bytes(large), {})
                .error()
                .code(),
            Code::unsupported);
  must(core_->commit());
  turns();
  EXPECT_TRUE(left().empty());
  shadow_->set_barrier_polls(0);
  must(core_->wait_durable(ticket));
  turns();
  const auto frames = left();
  ASSERT_EQ(frames.size(), 1u);
  udp::Endpoints client;
  must(client.bind(kClientPort, 1));
  udp::Refused why{};
  const auto answer = client.arrive(frames[0], why);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->remote_port, kPort);
  EXPECT_EQ(std::memcmp(frames[0].data() + answer->payload.offset, "answer", 6), 0);
  complete();
  EXPECT_TRUE(driver_->idle());
}

// A buffer that the NIC may still read is nobody else's, however late it says that it is done.
TEST_F(XdpDriverTest, ABufferIsTheNicsUntilItSaysSo) {
  open();
  connect();
  for (int round = 0; round < 20; ++round) {
    must(driver_->send(connection_, as_bytes("text"), {.after = kUngated}));
    turns(2);
    EXPECT_EQ(payloads(), "text");
    segment(tcp::kAck);
    turns(2);
  }
  ASSERT_GE(sent_.size(), 20u);
  for (const uint64_t address : sent_) {
    EXPECT_GE(core_->holds(static_cast<BufferName>(address / core_->buffer_size())), 1u);
  }
  std::sort(sent_.begin(), sent_.end());
  EXPECT_EQ(std::adjacent_find(sent_.begin(), sent_.end()), sent_.end());
}

// However many frames are kept, the NIC has as many buffers as before.
TEST_F(XdpDriverTest, WhatIsKeptIsReplaced) {
  open();
  connect();
  const uint32_t posted = nic_.fill.available();
  std::vector<Slice> kept;
  for (int i = 0; i < 100; ++i) {
    segment(tcp::kAck | tcp::kPsh, std::string(1000, 'k'));
    turn();
    for (const Slice slice : driver_->received(connection_)) {
      core_->hold(slice.buffer);
      kept.push_back(slice);
    }
    driver_->consume(connection_, 1000);
    (void)payloads();
    complete();
    turn();
    EXPECT_EQ(nic_.fill.available(), posted);
  }
  ASSERT_EQ(kept.size(), 100u);
  for (const Slice slice : kept) {
    EXPECT_EQ(core_->bytes(slice)[500], std::byte{'k'});
    core_->release(slice.buffer);
  }
}

}  // namespace
}  // namespace paste::port
