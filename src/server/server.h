// The durable store as a program part: a port, the logs, and the front ends, in one loop.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "log/log.h"
#include "paste/endpoint.h"
#include "paste/result.h"
#include "paste/units.h"
#include "pool/core.h"
#include "port/driver.h"

namespace paste::server {

enum class Protocol : uint8_t { http, udp_log };

// "http://127.0.0.1:8080", "http://unix:/run/pst.sock", "udp://0.0.0.0:9001/NAME" (each datagram a
// record of log NAME; the reply is its LSN).
struct Listen {
  Protocol protocol = Protocol::http;
  Endpoint endpoint;
  std::string log_name;  // udp_log only
};
[[nodiscard]] Result<Listen> parse_listen(std::string_view url);

struct HttpLimits {
  uint32_t header_bytes_max = 16 * 1024;           // request line and headers: 431
  uint64_t body_bytes_max = log::kRecordBytesMax;  // 413
  uint64_t bodies_bytes_max = 256u << 20;          // of all requests still arriving: 503
  Duration idle{75'000'000'000};                   // connection without a request
  Duration request{30'000'000'000};                // from first to last byte of a request's header
  uint32_t pipeline_max = 1024;                    // requests taken from one connection per turn
};

struct Retention {  // of every log; 0: no limit
  uint64_t count = 0;
  uint64_t bytes = 0;
  Duration age{0};
};

struct ServerOptions {
  std::vector<Listen> listen;
  HttpLimits http;
  Retention retention;
  Duration seal_after{1'000'000'000};  // idle logs are sealed
  uint32_t scrub_per_second = 1000;    // records; 0: off
  bool copy = false;                   // keep by copying instead of holding, for comparison
  Duration grace{5'000'000'000};       // how long stop() waits for clients
};

// What `pst serve` prints at start and GET / shows.
struct ServerInfo {
  std::string version, pool, domain, survives, port, recovery;
};

class Server {
 public:
  // Listens at once. The core, logs and driver must outlive the server.
  // Errors: those of listen.
  static Result<std::unique_ptr<Server>> create(pool::Core& core, log::Logs& logs,
                                                port::Driver& driver, const ServerOptions& options,
                                                ServerInfo info);
  ~Server();

  [[nodiscard]] std::vector<std::string> addresses() const;  // really bound

  // Runs turns until stop() and everything is drained, or the pool fails.
  // Errors: failed, io.
  Result<void> run();
  // One turn: for tests. Waits at most `timeout`.
  Result<void> turn(Duration timeout);
  // Ends run(): stops accepting, answers what was received, drains for at most `grace`, seals the
  // logs. Async-signal-safe.
  void stop() noexcept;

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace paste::server
