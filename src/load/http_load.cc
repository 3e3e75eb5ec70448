#include "load/http_load.h"

#include <algorithm>
#include <cstring>

#include "base/time.h"

namespace paste::load {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kDialNs = 10 * kSecond;

// No run of equal bytes, so that a record that was cut or shifted differs.
std::string request_text(const HttpLoadOptions& o) {
  std::string text = "POST " + o.path + " HTTP/1.1\r\nHost: " + to_string(o.server) +
                     "\r\nContent-Length: " + std::to_string(o.record_bytes) + "\r\n\r\n";
  for (uint32_t i = 1; i <= o.record_bytes; ++i) {
    text.push_back(static_cast<char>(33 + (i * 7) % 94));
  }
  return text;
}

}  // namespace

HttpLoad::HttpLoad(pool::Core& core, port::Driver& driver, const HttpLoadOptions& options)
    : core_(core), driver_(driver), options_(options), clients_(options.connections) {}

HttpLoad::~HttpLoad() {
  for (const Client& client : clients_) (void)driver_.abort(client.connection);
  for (const Slice slice : request_) core_.release(slice.buffer);
  (void)driver_.poll(Duration{0});  // so that they go
}

Result<std::unique_ptr<HttpLoad>> HttpLoad::open(pool::Core& core, port::Driver& driver,
                                                 const HttpLoadOptions& options) {
  std::unique_ptr<HttpLoad> load(new HttpLoad(core, driver, options));
  PASTE_TRY(load->make_request());
  for (uint32_t i = 0; i < options.connections; ++i) {
    PASTE_TRY(load->dial(i));
    // A listener's backlog is short.
    if (i % 64 == 63) PASTE_TRY(load->turn(Duration{1'000'000}));
  }
  const uint64_t end = base::monotonic_ns() + kDialNs;
  while (load->open_ < options.connections) {
    PASTE_TRY(load->turn(Duration{100'000'000}));
    if (base::monotonic_ns() < end) continue;
    return fail(Code::io, to_string(options.server) + " did not take " +
                              std::to_string(options.connections) + " connections within 10 s");
  }
  return load;
}

Result<void> HttpLoad::make_request() {
  const std::string text = request_text(options_);
  for (std::string_view rest = text; !rest.empty();) {
    PASTE_TRY_ASSIGN(const BufferName buffer, core_.take(pool::Purpose::receive));
    const auto n = static_cast<uint16_t>(std::min<size_t>(rest.size(), core_.buffer_size()));
    std::memcpy(core_.buffer(buffer), rest.data(), n);
    request_.push_back({buffer, 0, n});
    rest.remove_prefix(n);
  }
  return {};
}

Result<void> HttpLoad::dial(uint32_t index) {
  PASTE_TRY_ASSIGN(const ConnectionId id, driver_.connect(options_.server));
  if (id.index >= client_of_.size()) client_of_.resize(id.index + 1);
  client_of_[id.index] = index;
  clients_[index] = {.connection = id, .sent_ns = 0, .reader = {}};
  return {};
}

Result<void> HttpLoad::request(Client& client, uint64_t now_ns) {
  client.sent_ns = now_ns;
  auto sent = driver_.send(client.connection, request_, {.after = port::kUngated});
  // Its `closed` event comes, or has come.
  if (!sent && sent.error().code() == Code::closed) return {};
  return sent;
}

Result<void> HttpLoad::take_replies(Client& client) {
  size_t taken = 0;
  for (const Slice slice : driver_.received(client.connection)) {
    taken += slice.length;
    std::string_view bytes(reinterpret_cast<const char*>(core_.buffer(slice.buffer)) + slice.offset,
                           slice.length);
    while (!bytes.empty()) {
      const auto outcome = client.reader.read(bytes);
      if (outcome == ReplyReader::Outcome::need_more) break;
      if (outcome == ReplyReader::Outcome::malformed || client.sent_ns == 0) {
        return driver_.abort(client.connection);
      }
      const uint64_t now = base::monotonic_ns();
      if (client.reader.status() / 100 == 2) {
        ++counts_.replies;
        counts_.latency.record(now - client.sent_ns);
      } else {
        ++counts_.refused;
        counts_.last_refusal = client.reader.status();
      }
      lost_in_a_row_ = 0;
      client.sent_ns = 0;
      if (running_) PASTE_TRY(request(client, now));
    }
  }
  driver_.consume(client.connection, taken);
  return {};
}

// A server may end a connection at any time; one that ends every one is not there.
Result<void> HttpLoad::lost(uint32_t index) {
  --open_;
  ++counts_.broken;
  if (++lost_in_a_row_ > 2 * options_.connections + 16) {
    return fail(Code::closed,
                to_string(options_.server) + " ends every connection before it replies");
  }
  return dial(index);
}

Result<void> HttpLoad::take(const Event& event) {
  const uint32_t index = client_of_[event.connection.index];
  Client& client = clients_[index];
  if (client.connection != event.connection) return {};
  switch (event.type) {
    case EventType::opened:
      ++open_;
      if (running_) return request(client, base::monotonic_ns());
      return {};
    case EventType::readable:
      return take_replies(client);
    case EventType::peer_closed:
      return driver_.close(client.connection);
    case EventType::closed:
      if (event.reason == CloseReason::refused) {
        return fail(Code::closed, to_string(options_.server) + " refuses connections",
                    event.os_error);
      }
      return lost(index);
    default:
      return {};
  }
}

Result<void> HttpLoad::turn(Duration timeout) {
  PASTE_TRY(driver_.poll(timeout));
  counts_.turns += driver_.events().empty() ? 0 : 1;
  for (const Event& event : driver_.events()) {
    if (event.connection) PASTE_TRY(take(event));
  }
  return {};
}

Result<void> HttpLoad::run(Duration duration, const std::function<void(const Counts&)>& tell) {
  running_ = true;
  const uint64_t begin = base::monotonic_ns();
  const uint64_t end = begin + static_cast<uint64_t>(duration.count());
  uint64_t next = begin + kSecond;
  for (Client& client : clients_) {
    if (client.sent_ns == 0) PASTE_TRY(request(client, base::monotonic_ns()));
  }
  for (uint64_t now = begin; now < end && !stopped_.load(); now = base::monotonic_ns()) {
    PASTE_TRY(turn(Duration{static_cast<int64_t>(std::min(end - now, kSecond / 10))}));
    if (now < next) continue;
    next += kSecond;
    if (tell) tell(counts_);
  }
  running_ = false;
  return {};
}

void HttpLoad::stop() noexcept {
  stopped_.store(true);
  driver_.wake();
}

}  // namespace paste::load
