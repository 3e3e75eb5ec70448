// A closed-loop load: each of N connections sends a request, waits for its reply, and sends the
// next. The request lies in pool buffers and is never copied on its way into the port.
//
// Latency is from the send() of a request until its reply was read whole, as the program sees it.
// Thread-safety: none but stop().
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "load/reply_reader.h"
#include "paste/endpoint.h"
#include "port/driver.h"

namespace paste::load {

struct HttpLoadOptions {
  Endpoint server;
  std::string path = "/log/bench";
  uint32_t connections = 64;
  uint32_t record_bytes = 1024;  // of the body of each POST
};

struct Counts {
  uint64_t replies = 0;  // those of status 2xx
  uint64_t refused = 0;  // replies of any other status
  uint64_t broken = 0;   // connections that ended before a reply, or answered with something else
  int last_refusal = 0;  // the status of the last refused one
  uint64_t turns = 0;    // polls that brought something
  base::Histogram latency;  // nanoseconds, of replies
};

class HttpLoad {
 public:
  // Dials all connections and waits until they are open, at most 10 s. Core and driver must
  // outlive the load. Errors: those of Driver::connect, pool_full, timed_out, io.
  static Result<std::unique_ptr<HttpLoad>> open(pool::Core& core, port::Driver& driver,
                                                const HttpLoadOptions& options);
  ~HttpLoad();

  // Runs for `duration`, or until stop(). `each_second` hears what was counted so far.
  // Requests under way at the end stay under way. Errors: io, failed (of Driver::poll); closed
  // (every connection is gone and cannot be dialled again).
  Result<void> run(Duration duration, const std::function<void(const Counts&)>& each_second = {});
  // What was counted since the last clear().
  [[nodiscard]] const Counts& counts() const noexcept { return counts_; }
  void clear() { counts_ = {}; }
  // Thread-safe.
  void stop() noexcept;
  [[nodiscard]] bool stopped() const noexcept { return stopped_.load(); }

 private:
  struct Client {
    ConnectionId connection;
    uint64_t sent_ns = 0;  // 0: nothing is under way
    ReplyReader reader;
  };

  HttpLoad(pool::Core& core, port::Driver& driver, const HttpLoadOptions& options);
  Result<void> make_request();
  Result<void> dial(uint32_t client);
  Result<void> turn(Duration timeout);
  Result<void> take(const Event& event);
  Result<void> take_replies(Client& client);
  Result<void> request(Client& client, uint64_t now_ns);
  Result<void> lost(uint32_t client);

  pool::Core& core_;
  port::Driver& driver_;
  const HttpLoadOptions options_;
  std::vector<Slice> request_;
  std::vector<Client> clients_;
  std::vector<uint32_t> client_of_;  // by the connection's index
  uint32_t open_ = 0;
  uint32_t lost_in_a_row_ = 0;
  bool running_ = false;
  std::atomic<bool> stopped_ = false;
  Counts counts_;
};

}  // namespace paste::load
