#include "tap_options.h"

#include <cstdio>
#include <cstdlib>

namespace paste::interop {
namespace {

class Arguments {
 public:
  Arguments(int argc, char** argv) : end_(argv + argc), at_(argv + 1) {}
  [[nodiscard]] bool more() const { return at_ != end_; }
  [[nodiscard]] std::string text() {
    if (!more()) {
      std::fprintf(stderr, "tap_peer: the last option needs a value\n");
      std::exit(2);
    }
    return *at_++;
  }
  [[nodiscard]] uint64_t number() { return std::strtoull(text().c_str(), nullptr, 10); }
  [[nodiscard]] uint32_t number32() { return static_cast<uint32_t>(number()); }
  [[nodiscard]] Duration microseconds() {
    return std::chrono::microseconds(static_cast<int64_t>(number()));
  }

 private:
  char** end_;
  char** at_;
};

bool take_program(const std::string& name, Arguments& more, Program& program) {
  if (name == "--sink" || name == "--echo") {
    program.kind = name == "--sink" ? Program::Kind::sink : Program::Kind::echo;
  } else if (name == "--source" || name == "--reply") {
    program.kind = name == "--source" ? Program::Kind::source : Program::Kind::reply;
    program.bytes = more.number();
  } else if (name == "--abort-after") {
    program.abort_after = more.number();
  } else if (name == "--read-after") {
    program.read_after = more.microseconds();
  } else if (name == "--read-every") {
    program.read_every = more.microseconds();
  } else {
    return false;
  }
  return true;
}

bool take_connection(const std::string& name, Arguments& more, tcp::ConnectionOptions& connection) {
  if (name == "--no-sack") {
    connection.sack = false;
  } else if (name == "--no-timestamps") {
    connection.timestamps = false;
  } else if (name == "--no-window-scale") {
    connection.window_scale = false;
  } else if (name == "--ecn") {
    connection.ecn = true;
  } else if (name == "--reno") {
    connection.sender.congestion.algorithm = tcp::CongestionOptions::Algorithm::reno;
  } else if (name == "--keep-alive") {
    connection.keep_alive = true;
    connection.keep_alive_idle = connection.keep_alive_interval = more.microseconds();
  } else if (name == "--rto-min") {
    connection.sender.rtt.rto_min = more.microseconds();
  } else if (name == "--window") {
    connection.window_initial = connection.window_max = more.number32();
  } else {
    return false;
  }
  return true;
}

bool take_impairment(const std::string& name, Arguments& more, ImpairmentOptions& impairment) {
  if (name == "--loss") {
    impairment.loss_ppm = more.number32();
  } else if (name == "--reorder") {
    impairment.reorder_ppm = more.number32();
  } else if (name == "--ce") {
    impairment.ce_ppm = more.number32();
  } else if (name == "--delay") {
    impairment.delay = more.microseconds();
  } else {
    return false;
  }
  return true;
}

}  // namespace

Options read_options(int argc, char** argv) {
  Options options;
  options.connection.time_wait = std::chrono::milliseconds(500);
  options.connection.sender.slices_max = 4096;
  for (Arguments more(argc, argv); more.more();) {
    const std::string name = more.text();
    if (take_program(name, more, options.program) ||
        take_connection(name, more, options.connection) ||
        take_impairment(name, more, options.impairment)) {
      continue;
    }
    if (name == "--serve") {
      options.port = static_cast<uint16_t>(more.number());
    } else if (name == "--connect") {
      options.serve = false;
      const std::string where = more.text();
      unsigned a = 0, b = 0, c = 0, d = 0, port = 0;
      if (std::sscanf(where.c_str(), "%u.%u.%u.%u:%u", &a, &b, &c, &d, &port) != 5) {
        std::fprintf(stderr, "tap_peer: not ADDRESS:PORT: %s\n", where.c_str());
        std::exit(2);
      }
      options.remote = wire::IpAddress::from_v4(a << 24 | b << 16 | c << 8 | d);
      options.port = static_cast<uint16_t>(port);
    } else if (name == "--device") {
      options.device = more.text();
    } else if (name == "--count") {
      options.count = more.number32();
    } else if (name == "--mtu") {
      options.mtu = static_cast<uint16_t>(more.number());
    } else if (name == "--seed") {
      options.seed = more.number();
    } else if (name == "--timeout") {
      options.timeout = more.microseconds();
    } else {
      std::fprintf(stderr, "tap_peer: unknown option %s\n", name.c_str());
      std::exit(2);
    }
  }
  options.connection.mss = static_cast<uint16_t>(options.mtu - 40);
  return options;
}

}  // namespace paste::interop
