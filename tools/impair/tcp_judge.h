// Sorts frames by TCP connection, and lets a monitor judge each.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "port/sim/link.h"
#include "tests/simulation/wire_monitor.h"

namespace paste::tool {

// End 0 of every connection is the one on the left. Judged is what that end sends.
class TcpJudge {
 public:
  TcpJudge() : left_(*this, 0), right_(*this, 1) {}
  TcpJudge(const TcpJudge&) = delete;
  TcpJudge& operator=(const TcpJudge&) = delete;

  // To be attached to the link that the end sends on.
  [[nodiscard]] sim::LinkObserver& tap(int end) noexcept { return end == 0 ? left_ : right_; }

  [[nodiscard]] uint64_t connections() const noexcept { return connections_; }
  [[nodiscard]] uint64_t frames() const noexcept { return frames_; }
  // The first rule that was broken, and by which connection; or "".
  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }

 private:
  class Tap final : public sim::LinkObserver {
   public:
    Tap(TcpJudge& judge, int end) : judge_(judge), end_(end) {}
    void sent(tcp::Instant now, Bytes frame) override { judge_.see(now, end_, frame, true); }
    void delivered(tcp::Instant now, Bytes frame) override { judge_.see(now, end_, frame, false); }

   private:
    TcpJudge& judge_;
    int end_;
  };
  void see(tcp::Instant now, int end, Bytes frame, bool sent);

  Tap left_, right_;
  static constexpr size_t kMax = 8192;
  // By addresses and ports, the left end's first. A connection from an old one's ports begins anew;
  // the oldest are judged no longer when there are too many.
  std::map<std::string, std::unique_ptr<simulation::WireMonitor>> monitors_;
  std::deque<std::string> order_;
  uint64_t connections_ = 0, frames_ = 0;
  std::string problem_;
};

}  // namespace paste::tool
