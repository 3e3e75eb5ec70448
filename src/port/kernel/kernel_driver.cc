#include "port/kernel/kernel_driver.h"

#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "base/logging.h"
#include "base/time.h"

namespace paste::port {
namespace {

constexpr uint64_t kAcceptRetryNs = 100'000'000;

// At most a quarter of the pool, so that a small one serves writes too.
uint32_t receive_buffers_of(const pool::Core& core, const Limits& limits) {
  const uint32_t quarter = (core.buffer_end() - core.first_buffer()) / 4;
  return std::clamp<uint32_t>(std::min(limits.receive_buffers, quarter), 1, 32768);
}

}  // namespace

KernelDriver::KernelDriver(pool::Core& core, const DriverOptions& options, Blocking blocking)
    : core_(core),
      options_(options),
      receive_buffers_(receive_buffers_of(core, options.limits)),
      stock_(core),
      connections_(options.limits.connections_max),
      blocking_(blocking),
      inbox_(core, receive_buffers_) {}

KernelDriver::~KernelDriver() {
  for (uint32_t i = 0; i < connections_.size(); ++i) {
    Connection& c = connections_[i];
    if (c.phase == Phase::free) continue;
    drop_received(c);
    c.output.clear(stock_);
    Descriptor(c.fd).reset();
  }
  for (const auto& listener : listeners_) {
    listener->outbox.clear(stock_);
    if (!listener->stopped) remove_unix_file(listener->socket);
  }
}

Result<void> KernelDriver::open_descriptors() {
  // As with sockets: io_uring waits for readiness only where a call would block.
  const bool blocking = blocking_ == Blocking::yes;
  wake_fd_ = Descriptor(::eventfd(0, EFD_CLOEXEC | (blocking ? 0 : EFD_NONBLOCK)));
  if (wake_fd_.get() < 0) return fail(Code::io, "cannot make an event descriptor", errno);
  timer_fd_ =
      Descriptor(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | (blocking ? 0 : TFD_NONBLOCK)));
  if (timer_fd_.get() < 0) return fail(Code::io, "cannot make a timer descriptor", errno);
  return {};
}

// --- Listening -------------------------------------------------------------------------------

Result<ListenerId> KernelDriver::listen(const Endpoint& endpoint) {
  auto added = std::make_unique<Listener>();
  PASTE_TRY_ASSIGN(added->socket, open_listener(endpoint, blocking_));
  added->transport = endpoint.transport;
  listeners_.push_back(std::move(added));
  if (endpoint.transport == Transport::udp) any_datagrams_ = true;
  const auto id = static_cast<ListenerId>(listeners_.size());
  watch(id);
  return id;
}

Endpoint KernelDriver::local(ListenerId id) const {
  if (id == 0 || id > listeners_.size()) return {};
  return listeners_[id - 1]->socket.bound;
}

void KernelDriver::stop_listening() {
  for (ListenerId id = 1; id <= listeners_.size(); ++id) {
    Listener& l = listener(id);
    if (l.stopped) continue;
    l.stopped = true;
    unwatch(id);
    remove_unix_file(l.socket);
    // What is queued on a datagram socket is still sent.
    if (l.transport == Transport::udp) continue;
    // Operations under way hold the socket beyond its close().
    ::shutdown(l.socket.fd.get(), SHUT_RDWR);
    l.socket.fd.reset();
  }
}

void KernelDriver::accept_failed(ListenerId id, int os_error) {
  ++stats_.accept_errors;
  if (os_error == ECONNABORTED || os_error == EINTR || os_error == EAGAIN) return;
  // Out of descriptors or memory: the connection stays in the backlog, and asking at once would
  // only fail again, for ever.
  Listener& l = listener(id);
  if (l.retry_ns == 0) {
    base::log_warning("cannot accept on {}: {}; trying again", to_string(l.socket.bound),
                      Error(Code::io, "no descriptor", os_error).message());
  }
  l.retry_ns = base::monotonic_ns() + kAcceptRetryNs;
}

// --- The turn --------------------------------------------------------------------------------

void KernelDriver::begin_turn() {
  ++turn_;
  ++stats_.polls;
  woken_ = false;
  moved_ = false;
  events_.clear();
  events_.swap(pending_events_);
  inbox_.begin_turn();
  if (dying_.empty()) return;
  dying_now_.swap(dying_);
  for (const uint32_t index : dying_now_) {
    drop_received(connections_[index]);
    connections_[index].torn = true;
    tear_down(index);
  }
  dying_now_.clear();
}

// Drives the sync in flight, and lets go what became durable.
Result<void> KernelDriver::advance_pool() {
  const Ticket before = core_.durable();
  if (auto synced = core_.poll_sync(); !synced || core_.failed()) [[unlikely]] {
    return fail_gated(synced ? Error(Code::failed, "the pool failed") : synced.error());
  }
  if (core_.durable() != before) moved_ = true;
  if (core_.durable() != gates_opened_) open_gates();
  if (!sync_asked_ && core_.region().barrier_in_flight() && core_.event_fd() >= 0) {
    sync_asked_ = true;
    watch_sync(core_.event_fd());
  }
  return {};
}

Result<void> KernelDriver::poll(Duration timeout) {
  begin_turn();
  const bool endless = timeout.count() < 0;
  uint64_t now = base::monotonic_ns();
  const uint64_t end = endless ? UINT64_MAX : now + static_cast<uint64_t>(timeout.count());
  uint64_t spin_end = 0;
  if (options_.polling == Polling::busy) spin_end = UINT64_MAX;
  if (options_.polling == Polling::adaptive) {
    spin_end = now + static_cast<uint64_t>(options_.spin.count());
  }
  for (;;) {
    PASTE_TRY(advance_pool());
    run_timers(now);
    if (!blocked_.empty()) notify_writable();
    const bool done = happened() || now >= end;
    int64_t wait = 0;
    if (!done && now >= spin_end) {
      const uint64_t until = std::min(end, next_deadline_ns());
      wait = until == UINT64_MAX ? -1 : static_cast<int64_t>(until > now ? until - now : 0);
    }
    PASTE_TRY(exchange(wait));
    if (!blocked_.empty()) notify_writable();
    if (done || happened()) break;
    now = base::monotonic_ns();
  }
  if (watched_) {
    settle();
    arm_timer_fd();
    // What is left to do is found by the next turn, not by the kernel.
    if (!work_.empty() || !pending_events_.empty() || !dying_.empty()) wake();
  }
  return {};
}

void KernelDriver::wake() noexcept {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(wake_fd_.get(), &one, sizeof one);
}

int KernelDriver::fd() const {
  auto* self = const_cast<KernelDriver*>(this);
  if (!watched_) {
    // Whatever was not yet handed to the kernel is found by the turn that this causes.
    self->watched_ = true;
    self->wake();
  }
  return self->pollable();
}

const DriverStats& KernelDriver::stats() const {
  stats_.connections = connections_.used();
  stats_.send_queued = queued_;
  stats_.gated = gated_.size();
  return stats_;
}

// --- Timers ----------------------------------------------------------------------------------

TimerId KernelDriver::add_timer(Duration delay, uint64_t cookie) {
  const auto ns = static_cast<uint64_t>(std::max<int64_t>(delay.count(), 0));
  const TimerId id = timers_.add(base::monotonic_ns() + ns, cookie);
  if (watched_) arm_timer_fd();
  return id;
}

void KernelDriver::cancel_timer(TimerId timer) { timers_.cancel(timer); }

uint64_t KernelDriver::next_deadline_ns() const noexcept {
  uint64_t next = timers_.next_ns();
  if (!lingering_.empty()) next = std::min(next, lingering_.front().deadline_ns);
  for (const auto& l : listeners_) {
    if (l->retry_ns != 0 && !l->stopped) next = std::min(next, l->retry_ns);
  }
  return next;
}

void KernelDriver::arm_timer_fd() {
  const uint64_t next = next_deadline_ns();
  if (next == timer_fd_ns_) return;
  timer_fd_ns_ = next;
  itimerspec spec{};
  if (next != UINT64_MAX) {
    spec.it_value.tv_sec = static_cast<time_t>(next / 1'000'000'000);
    spec.it_value.tv_nsec = static_cast<long>(next % 1'000'000'000);
  }
  ::timerfd_settime(timer_fd_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
}

void KernelDriver::run_timers(uint64_t now_ns) {
  if (timers_.next_ns() <= now_ns) {
    while (const auto cookie = timers_.take_due(now_ns)) {
      events_.push_back({.type = EventType::timer, .connection = {}, .cookie = *cookie});
    }
  }
  while (!lingering_.empty() && lingering_.front().deadline_ns <= now_ns) {
    const ConnectionId id = lingering_.front().connection;
    lingering_.pop(lingering_stock_);
    const Connection* c = connections_.find(id);
    if (c != nullptr && c->phase == Phase::open) finish(id.index, CloseReason::done, 0, events_);
  }
  for (ListenerId id = 1; id <= listeners_.size(); ++id) {
    Listener& l = listener(id);
    if (l.retry_ns == 0 || l.retry_ns > now_ns || l.stopped) continue;
    l.retry_ns = 0;
    watch(id);
  }
}

}  // namespace paste::port
