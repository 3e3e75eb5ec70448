#include "paste/port.h"

#include <algorithm>

#include "api/state.h"
#include "base/check.h"
#include "base/time.h"
#include "port/driver.h"

namespace paste {

struct Port::State {
  struct Taken {  // framed bytes, given back at the next poll()
    ConnectionId connection;
    size_t bytes;
  };
  Pool::State* pool = nullptr;
  std::unique_ptr<port::Driver> driver;
  std::vector<Message> messages;
  std::vector<std::pair<size_t, size_t>> ranges;  // of `slices`, one per message
  std::vector<Slice> slices;
  std::vector<Bytes> pieces;
  std::vector<Taken> taken;

  void give_back();
  void frame(ConnectionId connection, Framing framing);
  void add_message(ConnectionId connection, std::span<const Slice> received, size_t begin,
                   size_t length);
};

Held::Held(Held&& other) noexcept : core_(other.core_), slices_(other.slices_) {
  other.core_ = nullptr;
}

Held::~Held() {
  if (core_ == nullptr) return;
  for (const Slice& slice : slices_) static_cast<pool::Core*>(core_)->release(slice.buffer);
}

void Port::State::give_back() {
  for (const Taken& t : taken) driver->consume(t.connection, t.bytes);
  taken.clear();
  messages.clear();
  ranges.clear();
  slices.clear();
}

// Cuts [begin, begin + length) of the received bytes into slices of their buffers.
void Port::State::add_message(ConnectionId connection, std::span<const Slice> received,
                              size_t begin, size_t length) {
  const size_t first = slices.size();
  size_t base = 0;
  for (const Slice& slice : received) {
    const size_t from = std::max(begin, base);
    const size_t to = std::min(begin + length, base + slice.length);
    if (from < to) {
      slices.push_back({slice.buffer, static_cast<uint16_t>(slice.offset + (from - base)),
                        static_cast<uint16_t>(to - from)});
    }
    base += slice.length;
  }
  messages.push_back({.connection = connection, .slices = {}, .length = length});
  ranges.emplace_back(first, slices.size() - first);
}

void Port::State::frame(ConnectionId connection, Framing framing) {
  const std::span<const Slice> received = driver->received(connection);
  size_t done = 0;
  for (;;) {
    pieces.clear();
    size_t skip = done;
    for (const Slice& slice : received) {
      const Bytes bytes = pool->core->bytes(slice);
      const size_t cut = std::min(skip, bytes.size());
      skip -= cut;
      if (cut < bytes.size()) pieces.push_back(bytes.subspan(cut));
    }
    const ByteView view(pieces);
    if (view.size() == 0) break;
    const auto frame = framing(view);
    if (!frame) {
      (void)driver->abort(connection);
      return;
    }
    if (!*frame) break;
    PASTE_CHECK((*frame)->total > 0 && (*frame)->total <= view.size() &&
                (*frame)->begin + (*frame)->length <= (*frame)->total);
    add_message(connection, received, done + (*frame)->begin, (*frame)->length);
    done += (*frame)->total;
  }
  if (done > 0) taken.push_back({connection, done});
}

Result<Port> Port::open(std::string_view spec, Pool& pool, const PortOptions& options) {
  auto state = std::make_unique<State>();
  state->pool = pool.state_.get();
  PASTE_TRY_ASSIGN(state->driver, port::open_driver(spec, *pool.state_->core, options));
  return Port(std::move(state));
}

Port::Port(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Port::Port(Port&&) noexcept = default;
Port& Port::operator=(Port&&) noexcept = default;
Port::~Port() = default;

Result<ListenerId> Port::listen(const Endpoint& endpoint) {
  return state_->driver->listen(endpoint);
}
Endpoint Port::local(ListenerId listener) const { return state_->driver->local(listener); }
Result<ConnectionId> Port::connect(const Endpoint& endpoint) {
  return state_->driver->connect(endpoint);
}

Result<void> Port::poll(Duration timeout) {
  state_->give_back();
  return state_->driver->poll(timeout);
}
std::span<const Event> Port::events() const { return state_->driver->events(); }

std::span<const Message> Port::messages(Framing framing) {
  State& s = *state_;
  for (const Event& event : s.driver->events()) {
    if (event.type == EventType::readable) s.frame(event.connection, framing);
  }
  // Spans are set at the end: `slices` may have moved while it grew.
  for (size_t i = 0; i < s.messages.size(); ++i) {
    s.messages[i].slices = std::span(s.slices).subspan(s.ranges[i].first, s.ranges[i].second);
  }
  return s.messages;
}

Held Port::hold(const Message& message) {
  for (const Slice& slice : message.slices) state_->pool->core->hold(slice.buffer);
  return Held(state_->pool->core.get(), message.slices);
}

Result<void> Port::send(ConnectionId connection, std::string_view text, const SendOptions& how) {
  return state_->driver->send(connection, as_bytes(text), how);
}
Result<void> Port::send(ConnectionId connection, std::span<const Slice> slices,
                        const SendOptions& how) {
  return state_->driver->send(connection, slices, how);
}

void Port::pause(ConnectionId connection) { state_->driver->pause(connection); }
void Port::resume(ConnectionId connection) { state_->driver->resume(connection); }
Result<void> Port::shutdown(ConnectionId connection) {
  return state_->driver->shutdown(connection);
}
Result<void> Port::close(ConnectionId connection) { return state_->driver->close(connection); }
Result<void> Port::abort(ConnectionId connection) { return state_->driver->abort(connection); }
TimerId Port::add_timer(Duration delay, uint64_t cookie) {
  return state_->driver->add_timer(delay, cookie);
}
void Port::cancel_timer(TimerId timer) { state_->driver->cancel_timer(timer); }
void Port::wake() noexcept { state_->driver->wake(); }
int Port::fd() const { return state_->driver->fd(); }

Result<void> Port::drain(Duration grace) {
  state_->driver->stop_listening();
  const uint64_t end = base::monotonic_ns() + static_cast<uint64_t>(grace.count());
  while (!state_->driver->idle() && base::monotonic_ns() < end) {
    PASTE_TRY(state_->pool->core->commit());
    PASTE_TRY(poll(std::chrono::milliseconds(1)));
  }
  return {};
}

Result<void> poll(std::span<Port* const> ports, Duration timeout) {
  std::vector<port::Driver*> drivers;
  for (Port* port : ports) {
    port->state_->give_back();
    drivers.push_back(port->state_->driver.get());
  }
  return port::poll_all(drivers, timeout);
}

}  // namespace paste
