// impair LEFT RIGHT: a bad network between two interfaces. See README.md.
#include <poll.h>
#include <sys/prctl.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/time.h"
#include "port/sim/link.h"
#include "raw_interface.h"
#include "tcp_judge.h"

namespace {

using paste::tool::RawInterface;
using paste::tool::TcpJudge;
namespace sim = paste::sim;

volatile std::sig_atomic_t ended = 0;

struct Settings {
  std::string left, right, monitor;
  uint64_t seed = 1;
  sim::LinkOptions link;
};

std::function<void(const double&)> percent(uint32_t& target) {
  return [&target](const double& value) {
    if (value < 0 || value > 100) throw CLI::ValidationError("0 to 100 per cent are allowed");
    target = static_cast<uint32_t>(value * 10'000);
  };
}

std::function<void(const std::string&)> duration(paste::Duration& target) {
  return [&target](const std::string& text) {
    const auto value = paste::parse_duration(text);
    if (!value) throw CLI::ValidationError(value.error().message());
    target = *value;
  };
}

void declare(CLI::App& app, Settings& s) {
  app.add_option("left", s.left, "one interface")->required();
  app.add_option("right", s.right, "the other")->required();
  app.add_option("--seed", s.seed, "of all chances (default 1)");
  app.add_option_function("--loss", percent(s.link.loss_ppm), "frames lost, in per cent");
  app.add_option_function("--burst", percent(s.link.burst.to_bad_ppm),
                          "chance in per cent that a frame begins a stretch of losses, 4 long");
  app.add_option_function("--duplicate", percent(s.link.duplicate_ppm), "in per cent");
  app.add_option_function("--corrupt", percent(s.link.corrupt_ppm), "a bit flipped, in per cent");
  app.add_option_function("--reorder", percent(s.link.reorder_ppm),
                          "frames that arrive 3 ms late, in per cent");
  app.add_option_function("--delay", duration(s.link.delay), "each way, as 20ms");
  app.add_option_function("--jitter", duration(s.link.jitter), "more delay, at random up to this");
  app.add_option_function<double>(
      "--rate", [&s](double value) { s.link.rate_bps = static_cast<uint64_t>(value * 1e6); },
      "in Mbit/s");
  app.add_option("--queue", s.link.queue_frames, "frames that wait for the line");
  app.add_option("--monitor", s.monitor, "judge the TCP of this side")
      ->check(CLI::IsMember({"left"}));
  s.link.burst.to_good_ppm = sim::kPpm / 4;
  s.link.reorder_extra = std::chrono::milliseconds(3);
}

nlohmann::json counters(const sim::Link& link, const RawInterface& to) {
  const sim::LinkCounters& c = link.counters();
  return {{"sent", c.sent},
          {"delivered", c.delivered},
          {"dropped", c.dropped_total()},
          {"duplicated", c.duplicated},
          {"corrupted", c.corrupted},
          {"reordered", c.reordered},
          {"not_taken", to.refused()}};
}

void take_all(RawInterface& from, sim::Link& link) {
  constexpr int kBatch = 64;
  for (int i = 0; i < kBatch; ++i) {
    sim::Frame frame = from.take();
    if (frame.empty()) return;
    link.send(std::move(frame));
  }
}

paste::Result<void> run(const Settings& s) {
  PASTE_TRY_ASSIGN(const auto left, RawInterface::open(s.left));
  PASTE_TRY_ASSIGN(const auto right, RawInterface::open(s.right));
  sim::World world(s.seed);
  sim::Link rightward(world, "rightward", s.link), leftward(world, "leftward", s.link);
  rightward.connect(*right);
  leftward.connect(*left);
  TcpJudge judge;
  if (!s.monitor.empty()) {
    rightward.observe(&judge.tap(0));
    leftward.observe(&judge.tap(1));
  }
  std::printf("ready\n");
  std::fflush(stdout);
  // The world's time is real time, as far as this thread gets to run.
  const uint64_t begin = paste::base::monotonic_ns() - world.now().ns;
  const auto never = [] { return false; };
  while (ended == 0) {
    world.run_until(never, paste::tcp::Instant{paste::base::monotonic_ns() - begin});
    take_all(*left, rightward);
    take_all(*right, leftward);
    const paste::tcp::Instant now{paste::base::monotonic_ns() - begin};
    const paste::tcp::Instant next = world.next_event();
    timespec wait{.tv_sec = 1, .tv_nsec = 0};
    if (next != paste::tcp::kNever) {
      const uint64_t ns = next.ns > now.ns ? next.ns - now.ns : 0;
      wait = {.tv_sec = static_cast<time_t>(ns / 1'000'000'000),
              .tv_nsec = static_cast<long>(ns % 1'000'000'000)};
    }
    pollfd fds[] = {{.fd = left->fd(), .events = POLLIN, .revents = 0},
                    {.fd = right->fd(), .events = POLLIN, .revents = 0}};
    (void)::ppoll(fds, 2, &wait, nullptr);
  }
  nlohmann::json result = {{"rightward", counters(rightward, *right)},
                           {"leftward", counters(leftward, *left)}};
  if (!s.monitor.empty()) {
    result["monitor"] = {{"connections", judge.connections()},
                         {"frames", judge.frames()},
                         {"problem", judge.problem()}};
  }
  std::printf("%s\n", result.dump().c_str());
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Joins two interfaces by a bad network");
  Settings settings;
  declare(app, settings);
  CLI11_PARSE(app, argc, argv);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { ended = 1; });
  if (const auto done = run(settings); !done) {
    std::fprintf(stderr, "impair: %s\n", done.error().message().c_str());
    return 1;
  }
  return 0;
}
