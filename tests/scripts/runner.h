// Runs one script against a backend and compares what leaves with what must.
#pragma once

#include <deque>
#include <string>

#include "backend.h"
#include "script.h"
#include "tcp/packet.h"

namespace paste::scripts {

class Runner {
 public:
  Runner(const Script& script, Backend& backend);
  // "" if all was as the script says; else what was not, where, and what had happened.
  [[nodiscard]] std::string run();
  // The lines only; run() is this and then looks for packets left over and for leaks.
  [[nodiscard]] std::string play(const std::vector<Line>& lines);
  // The flags of all that leaves in that time, such as "ACK RST", or "-".
  [[nodiscard]] std::string leaves(Duration within);

 private:
  struct Seen {
    Duration at{0};
    tcp::Packet packet;
    bool ect = false;
    uint16_t urgent = 0;
  };

  [[nodiscard]] std::string step(const Line& line);
  [[nodiscard]] std::string send(const Shape& shape);
  [[nodiscard]] std::string send_icmp(const Shape& shape);
  [[nodiscard]] std::string expect(const Line& line);
  [[nodiscard]] std::string expect_none(const Line& line);
  [[nodiscard]] std::string connect(const Line& line);
  [[nodiscard]] std::string compare(const Shape& shape, const Seen& seen) const;
  void compare_options(const Shape& shape, const tcp::SegmentOptions& options,
                       std::string& problem) const;
  // The next packet until then, noted.
  [[nodiscard]] std::optional<Seen> receive(Duration until);
  [[nodiscard]] Frame build(const tcp::Outgoing& out, uint32_t length, const Shape& shape) const;
  void note(Duration at, const char* direction, const tcp::Segment& segment, uint32_t length);
  [[nodiscard]] std::string describe(const tcp::Segment& segment, uint32_t length, bool in) const;

  const Script& script_;
  Backend& backend_;
  tcp::FourTuple tuple_;
  std::string history_;
  Duration reference_{0};  // of `within`
  uint32_t isn_;           // the script's
  uint32_t iss_ = 0;       // of the end under test
  bool iss_known_ = false;
  uint32_t in_next_ = 0;   // relative: behind the last octet injected
  uint32_t out_next_ = 0;  // relative: behind the last octet seen
  uint16_t window_ = 65535;
  bool ts_agreed_ = false;
  bool peer_ts_ = false;
  uint32_t ts_seen_ = 0;
  std::optional<uint32_t> ts_first_;
};

}  // namespace paste::scripts
