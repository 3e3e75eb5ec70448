// Goal: the path is used: goodput under loss, delay and short queues.
// Method: long streams in virtual time, so the numbers are the same on every machine. The bounds
// below are what a well-tuned stack reaches or the square-root law allows, with room.
#include <gtest/gtest.h>

#include <cstdio>

#include "pair.h"

namespace paste::simulation {
namespace {

constexpr uint64_t kRate = 100'000'000;  // bits a second

PairOptions bulk(uint64_t bytes, Duration rtt, uint32_t loss_ppm, double queue_bdp) {
  PairOptions options;
  const double bdp = static_cast<double>(kRate) / 8 * static_cast<double>(rtt.count()) / 1e9;
  options.to_server.rate_bps = options.to_client.rate_bps = kRate;
  options.to_server.delay = options.to_client.delay = rtt / 2;
  options.to_server.loss_ppm = loss_ppm;
  options.to_server.queue_bytes =
      std::max<uint64_t>(static_cast<uint64_t>(bdp * queue_bdp), 30'000);
  for (PeerOptions* peer : {&options.client, &options.server}) {
    peer->buffers = 16384;
    peer->queue_bytes = 8 << 20;
    peer->write_bytes = 1448;
    peer->connection.window_initial = 1 << 20;
    peer->connection.window_max = 8 << 20;
    peer->connection.buffers_max = 8192;
    peer->connection.reassembly = {.bytes_max = 8 << 20, .buffers_max = 8192};
    peer->connection.sender.slices_max = 16384;
    peer->connection.sender.records_max = 16384;
    peer->connection.time_wait = std::chrono::milliseconds(1);
    peer->connection.sender.rtt.rto_min = std::chrono::milliseconds(200);
  }
  options.client.send_bytes = bytes;
  options.client.tuple = {.local = tcp::ipv4_mapped(10, 0, 0, 1),
                          .remote = tcp::ipv4_mapped(10, 0, 0, 2),
                          .local_port = 40000,
                          .remote_port = 9000};
  options.server.tuple = {.local = options.client.tuple.remote,
                          .remote = options.client.tuple.local,
                          .local_port = 9000,
                          .remote_port = 40000};
  return options;
}

// Goodput in per cent of the rate.
double goodput(uint64_t bytes, Duration rtt, uint32_t loss_ppm, double queue_bdp) {
  Pair pair(1, bulk(bytes, rtt, loss_ppm, queue_bdp));
  pair.server().listen();
  const tcp::Instant begin = pair.world().now();
  pair.client().connect();
  pair.world().run_until([&] { return pair.server().received() == bytes; },
                         begin + std::chrono::minutes(10));
  EXPECT_EQ(pair.client().problem() + pair.server().problem(), "");
  EXPECT_EQ(pair.server().received(), bytes) << pair.client().describe();
  const double seconds = static_cast<double>((pair.world().now() - begin).count()) / 1e9;
  return static_cast<double>(pair.server().received()) * 8 / seconds / kRate * 100;
}

TEST(Throughput, Table) {
  struct Row {
    uint32_t loss_ppm;
    int rtt_ms;
    double at_least;  // per cent
  };
  const Row rows[] = {{0, 1, 90},      {0, 10, 85},    {0, 100, 60},   {1000, 1, 90},
                      {1000, 10, 50},  {1000, 100, 5}, {10000, 1, 70}, {10000, 10, 8},
                      {10000, 100, 1}, {30000, 1, 25}, {30000, 10, 4}, {30000, 100, 0.5}};
  for (const Row& row : rows) {
    for (const double queue : {0.5, 1.0}) {
      const double got =
          goodput(32 << 20, std::chrono::milliseconds(row.rtt_ms), row.loss_ppm, queue);
      std::printf("loss %4.1f %%  rtt %3d ms  queue %.1f BDP: %5.1f %% of 100 Mbit/s\n",
                  row.loss_ppm / 1e4, row.rtt_ms, queue, got);
      EXPECT_GE(got, row.at_least) << row.loss_ppm << " ppm, " << row.rtt_ms << " ms";
    }
  }
}

}  // namespace
}  // namespace paste::simulation
