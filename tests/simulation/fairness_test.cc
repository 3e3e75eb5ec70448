// Goal: flows that share a line share it fairly. Method: two bulk flows over one line and queue,
// the second starting later; after both have settled, what each received in the same time gives
// Jain's index: (x + y)² / 2(x² + y²), 1 if both got as much.
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <vector>

#include "peer.h"

namespace paste::simulation {
namespace {

constexpr uint64_t kRate = 50'000'000;

// Gives a frame to whom it is for.
class Fork final : public sim::Endpoint {
 public:
  void add(uint16_t port, Peer& peer) { peers_.emplace_back(port, &peer); }
  void receive(sim::Frame frame) override {
    const auto packet = tcp::parse_packet(frame);
    if (!packet) return;
    for (const auto& [port, peer] : peers_) {
      if (packet->tuple.local_port == port) return peer->receive(std::move(frame));
    }
  }

 private:
  std::vector<std::pair<uint16_t, Peer*>> peers_;
};

PeerOptions bulk(uint16_t local_port, uint16_t remote_port, bool sends,
                 tcp::CongestionOptions::Algorithm algorithm) {
  PeerOptions options;
  options.buffers = 8192;
  options.queue_bytes = 2 << 20;
  options.write_bytes = 1448;
  options.send_bytes = sends ? uint64_t{1} << 40 : 0;
  tcp::ConnectionOptions& c = options.connection;
  c.window_initial = 1 << 20;
  c.window_max = 4 << 20;
  c.buffers_max = 4096;
  c.reassembly = {.bytes_max = 4 << 20, .buffers_max = 4096};
  c.sender.slices_max = c.sender.records_max = 4096;
  c.sender.congestion.algorithm = algorithm;
  c.sender.rtt.rto_min = std::chrono::milliseconds(200);
  options.tuple = {.local = tcp::ipv4_mapped(10, 0, 0, sends ? 1 : 2),
                   .remote = tcp::ipv4_mapped(10, 0, 0, sends ? 2 : 1),
                   .local_port = local_port,
                   .remote_port = remote_port};
  return options;
}

double jain(Duration rtt, tcp::CongestionOptions::Algorithm algorithm, uint32_t loss_ppm) {
  sim::World world(7);
  sim::LinkOptions line{.rate_bps = kRate, .delay = rtt / 2};
  sim::LinkOptions back = line;
  line.loss_ppm = loss_ppm;
  line.queue_bytes =
      std::max<uint64_t>(kRate / 8 * static_cast<uint64_t>(rtt.count()) / 1'000'000'000, 60'000);
  sim::Link to_right(world, "right", line), to_left(world, "left", back);
  std::vector<std::unique_ptr<Peer>> senders, receivers;
  Fork right, left;
  to_right.connect(right);
  to_left.connect(left);
  for (uint16_t i = 0; i < 2; ++i) {
    const auto from = static_cast<uint16_t>(40'000 + i), to = static_cast<uint16_t>(9000 + i);
    senders.push_back(std::make_unique<Peer>(world, "sender" + std::to_string(i),
                                             bulk(from, to, true, algorithm), to_right));
    receivers.push_back(std::make_unique<Peer>(world, "receiver" + std::to_string(i),
                                               bulk(to, from, false, algorithm), to_left));
    left.add(from, *senders.back());
    right.add(to, *receivers.back());
    receivers.back()->listen();
  }
  senders[0]->connect();
  world.run_for(std::chrono::seconds(2));
  senders[1]->connect();
  world.run_for(std::chrono::seconds(20));  // to settle
  const uint64_t x0 = receivers[0]->received(), y0 = receivers[1]->received();
  world.run_for(std::chrono::seconds(30));
  const auto x = static_cast<double>(receivers[0]->received() - x0);
  const auto y = static_cast<double>(receivers[1]->received() - y0);
  for (const auto& peer : senders) EXPECT_EQ(peer->problem(), "");
  for (const auto& peer : receivers) EXPECT_EQ(peer->problem(), "");
  const double used = (x + y) * 8 / 30 / static_cast<double>(kRate) * 100;
  const double index = (x + y) * (x + y) / (2 * (x * x + y * y));
  std::printf("%s, rtt %3d ms, loss %.2f %%: Jain %.3f, %4.1f %% of the line used\n",
              algorithm == tcp::CongestionOptions::Algorithm::cubic ? "CUBIC" : "Reno ",
              static_cast<int>(rtt / std::chrono::milliseconds(1)), loss_ppm / 1e4, index, used);
  return index;
}

TEST(Fairness, TwoFlowsShareALine) {
  using Algorithm = tcp::CongestionOptions::Algorithm;
  for (const Algorithm algorithm : {Algorithm::cubic, Algorithm::reno}) {
    for (const int rtt : {5, 20, 50}) {
      EXPECT_GE(jain(std::chrono::milliseconds(rtt), algorithm, 0), 0.9) << rtt;
    }
  }
  EXPECT_GE(jain(std::chrono::milliseconds(20), Algorithm::cubic, 1000), 0.9);
}

}  // namespace
}  // namespace paste::simulation
