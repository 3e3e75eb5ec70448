// The kernel's sockets through epoll: the same semantics where io_uring is forbidden. Sockets are
// watched edge by edge for both directions at once, so that a connection costs one epoll_ctl() in
// its life; what an edge said is remembered until reading or writing finds the end.
#include <sys/epoll.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/check.h"
#include "port/kernel/kernel_driver.h"

namespace paste::port {
namespace {

constexpr uint32_t kReadPieces = 8;        // buffers offered to one readv()
constexpr uint64_t kReadMax = 128 * 1024;  // bytes of one connection in one exchange
constexpr uint32_t kSendPieces = 64;
constexpr uint32_t kSpareBuffers = 256;
constexpr int kAcceptMax = 256;  // connections of one listener in one exchange
constexpr uint32_t kReadyMax = 512;

enum class Kind : uint8_t { connection, listener, wake, timer, sync };

// Kind, 24 bits of the generation, index.
constexpr uint32_t kGenerationMask = 0xFFFFFF;
constexpr uint64_t pack(Kind kind, uint32_t index = 0, uint32_t generation = 0) {
  return uint64_t{static_cast<uint8_t>(kind)} << 56 | uint64_t{generation & kGenerationMask} << 32 |
         index;
}

// Makes an event or timer descriptor unreadable again.
void clear(int fd) noexcept {
  uint64_t value = 0;
  [[maybe_unused]] const ssize_t n = ::read(fd, &value, sizeof value);
}

class EpollDriver final : public KernelDriver {
 public:
  EpollDriver(pool::Core& core, const DriverOptions& options)
      : KernelDriver(core, options, Blocking::no) {}
  ~EpollDriver() override {
    for (const BufferName name : spare_) core_.release(name);
  }
  Result<void> open();
  [[nodiscard]] std::string description() const override { return "kernel (epoll)"; }

 protected:
  Result<void> exchange(int64_t wait_ns) override;
  void settle() override { flush_work(); }
  void watch(ListenerId id) override;
  void unwatch(ListenerId id) override;
  void attach(uint32_t index) override;
  void tear_down(uint32_t index) override;
  void watch_sync(int fd) override;
  [[nodiscard]] int pollable() override { return epoll_.get(); }

 private:
  bool add(int fd, uint32_t events, uint64_t data) noexcept;
  int wait(int64_t wait_ns) noexcept;
  void handle(const epoll_event& event);
  void handle_connection(uint32_t index, uint32_t generation, uint32_t events);
  void accept_all(ListenerId id);
  void flush_work();
  void service(uint32_t index);
  void send_some(uint32_t index);
  void read_some(uint32_t index);
  // Reads once. False if there is no more for now, or no buffer.
  bool read_once(uint32_t index, uint64_t& total);
  void replenish();

  Descriptor epoll_;
  std::array<epoll_event, kReadyMax> ready_;
  std::vector<uint32_t> work_now_;
  std::vector<uint32_t> starved_;  // readable, but there was no buffer
  std::vector<BufferName> spare_;  // to read into
};

Result<void> EpollDriver::open() {
  PASTE_TRY(open_descriptors());
  epoll_ = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
  const bool added = epoll_.get() >= 0 && add(wake_fd_.get(), EPOLLIN, pack(Kind::wake)) &&
                     add(timer_fd_.get(), EPOLLIN, pack(Kind::timer));
  if (!added) return fail(Code::io, "epoll cannot be set up", errno);
  return {};
}

bool EpollDriver::add(int fd, uint32_t events, uint64_t data) noexcept {
  epoll_event event{.events = events, .data = {.u64 = data}};
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

// --- The exchange ----------------------------------------------------------------------------

Result<void> EpollDriver::exchange(int64_t wait_ns) {
  replenish();
  flush_work();
  if (run_datagrams() || !work_.empty() || !events().empty()) wait_ns = 0;
  if (wait_ns != 0) ++stats_.sleeps;
  const int n = wait(wait_ns);
  if (n < 0) {
    // A handler that wants the turn to end calls wake(); other interruptions mean nothing.
    if (errno != EINTR) return fail(Code::io, "epoll failed", errno);
    return {};
  }
  for (int i = 0; i < n; ++i) handle(ready_[static_cast<size_t>(i)]);
  flush_work();
  run_datagrams();
  return {};
}

int EpollDriver::wait(int64_t wait_ns) noexcept {
  if (wait_ns <= 0) {
    return ::epoll_wait(epoll_.get(), ready_.data(), kReadyMax, wait_ns < 0 ? -1 : 0);
  }
  const timespec limit{.tv_sec = wait_ns / 1'000'000'000, .tv_nsec = wait_ns % 1'000'000'000};
  const int n = ::epoll_pwait2(epoll_.get(), ready_.data(), kReadyMax, &limit, nullptr);
  if (n >= 0 || errno != ENOSYS) return n;
  const int64_t ms = std::min<int64_t>((wait_ns + 999'999) / 1'000'000, 1'000'000'000);
  return ::epoll_wait(epoll_.get(), ready_.data(), kReadyMax, static_cast<int>(ms));
}

void EpollDriver::handle(const epoll_event& event) {
  const auto index = static_cast<uint32_t>(event.data.u64);
  const auto generation = static_cast<uint32_t>(event.data.u64 >> 32) & kGenerationMask;
  switch (static_cast<Kind>(event.data.u64 >> 56)) {
    case Kind::connection:
      return handle_connection(index, generation, event.events);
    case Kind::listener: {
      Listener& l = listener(index);
      if (l.transport != Transport::udp) return accept_all(index);
      if ((event.events & ~EPOLLOUT) != 0) l.can_read = true;
      if ((event.events & EPOLLOUT) != 0) l.can_write = true;
      return;
    }
    case Kind::wake:
      woken_ = true;
      return clear(wake_fd_.get());
    case Kind::timer:
      return clear(timer_fd_.get());
    case Kind::sync:  // the turn itself drives the sync
      sync_asked_ = false;
      return;
  }
}

void EpollDriver::handle_connection(uint32_t index, uint32_t generation, uint32_t events) {
  Connection& c = connections_[index];
  if ((c.generation & kGenerationMask) != generation) return;
  if (c.phase == Phase::connecting) {
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
    dialled(index);
    if (c.phase != Phase::open) return;
  }
  if (c.phase != Phase::open) return;
  if ((events & EPOLLOUT) != 0) c.can_write = true;
  if ((events & EPOLLIN) != 0) c.can_read = true;
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) c.can_read = c.hung_up = true;
  touch(index);
}

void EpollDriver::accept_all(ListenerId id) {
  Listener& l = listener(id);
  for (int i = 0; i < kAcceptMax && !l.stopped; ++i) {
    const int fd = ::accept4(l.socket.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      accepted(fd, id);
      continue;
    }
    if (errno == EAGAIN) return;
    accept_failed(id, errno);
    if (l.retry_ns != 0) return unwatch(id);
  }
}

void EpollDriver::flush_work() {
  work_now_.swap(work_);
  for (const uint32_t index : work_now_) {
    connections_[index].in_work = false;
    service(index);
  }
  work_now_.clear();
}

void EpollDriver::service(uint32_t index) {
  Connection& c = connections_[index];
  if (c.phase != Phase::open) return;
  if (c.can_write && !c.output.empty()) send_some(index);
  end_sending(index);
  if (c.can_read && !c.in_starved && wants_receive(c)) read_some(index);
}

void EpollDriver::send_some(uint32_t index) {
  Connection& c = connections_[index];
  iovec pieces[kSendPieces];
  while (c.can_write) {
    uint64_t total = 0;
    const uint32_t count = gather(index, pieces, total);
    if (count == 0) return;
    msghdr message{};
    message.msg_iov = pieces;
    message.msg_iovlen = count;
    const ssize_t n = count == 1 ? ::send(c.fd, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL)
                                 : ::sendmsg(c.fd, &message, MSG_NOSIGNAL);
    ++stats_.sends;
    if (n >= 0) {
      sent(index, static_cast<uint64_t>(n));
      if (static_cast<uint64_t>(n) < total) c.can_write = false;
    } else if (errno == EAGAIN) {
      c.can_write = false;
    } else if (errno != EINTR) {
      return broken(index, errno);
    }
  }
}

void EpollDriver::read_some(uint32_t index) {
  Connection& c = connections_[index];
  uint64_t total = 0;
  while (total < kReadMax && wants_receive(c)) {
    if (!read_once(index, total)) return;
  }
  if (wants_receive(c)) touch(index);  // others first
}

bool EpollDriver::read_once(uint32_t index, uint64_t& total) {
  Connection& c = connections_[index];
  if (spare_.empty()) replenish();
  const auto count = static_cast<uint32_t>(std::min<size_t>(spare_.size(), kReadPieces));
  if (count == 0) {
    ++stats_.receive_buffers_exhausted;
    c.in_starved = true;
    starved_.push_back(index);
    return false;
  }
  const uint32_t size = core_.buffer_size();
  iovec pieces[kReadPieces];
  for (uint32_t i = 0; i < count; ++i) {
    pieces[i] = {core_.buffer(spare_[spare_.size() - 1 - i]), size};
  }
  const ssize_t n = ::readv(c.fd, pieces, static_cast<int>(count));
  if (n == 0) {
    c.can_read = false;
    ended(index);
    return false;
  }
  if (n < 0) {
    if (errno == EINTR) return true;
    c.can_read = false;
    if (errno != EAGAIN) broken(index, errno);
    return false;
  }
  auto left = static_cast<uint32_t>(n);
  total += left;
  for (; left > 0; left -= std::min(left, size)) {
    const BufferName name = spare_.back();
    spare_.pop_back();
    arrived(index, name, std::min(left, size));
  }
  // Less than was asked for is all there is, unless the end follows.
  if (static_cast<uint64_t>(n) == uint64_t{count} * size || c.hung_up) return true;
  c.can_read = false;
  return false;
}

void EpollDriver::replenish() {
  const size_t wanted = std::min(kSpareBuffers, receive_buffers_);
  if (spare_.size() < (wanted + 1) / 2) {
    while (spare_.size() < wanted) {
      const auto name = core_.take(pool::Purpose::receive);
      if (!name) break;
      spare_.push_back(*name);
    }
  }
  const size_t n = std::min(spare_.size(), starved_.size());
  if (n == 0) return;
  for (size_t i = 0; i < n; ++i) {
    connections_[starved_[i]].in_starved = false;
    touch(starved_[i]);
  }
  starved_.erase(starved_.begin(), starved_.begin() + static_cast<std::ptrdiff_t>(n));
}

// --- Descriptors -----------------------------------------------------------------------------

void EpollDriver::watch(ListenerId id) {
  Listener& l = listener(id);
  if (l.watched || l.stopped) return;
  const bool udp = l.transport == Transport::udp;
  const uint32_t events = udp ? EPOLLIN | EPOLLOUT | EPOLLET : EPOLLIN;
  l.watched = add(l.socket.fd.get(), events, pack(Kind::listener, id));
  if (!l.watched) accept_failed(id, errno);
}

void EpollDriver::unwatch(ListenerId id) {
  Listener& l = listener(id);
  // A stopped socket for datagrams may still have to send.
  if (!l.watched || l.transport == Transport::udp) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, l.socket.fd.get(), nullptr);
  l.watched = false;
}

// One shot: between barriers it may stay readable, which must not keep us from sleeping.
void EpollDriver::watch_sync(int fd) {
  constexpr uint32_t kEvents = EPOLLIN | EPOLLONESHOT;
  epoll_event event{.events = kEvents, .data = {.u64 = pack(Kind::sync)}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0) return;
  PASTE_CHECK(add(fd, kEvents, pack(Kind::sync)));
}

void EpollDriver::attach(uint32_t index) {
  Connection& c = connections_[index];
  c.can_write = c.phase == Phase::open;
  constexpr uint32_t kEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  if (!add(c.fd, kEvents, pack(Kind::connection, index, c.generation))) broken(index, errno);
}

void EpollDriver::tear_down(uint32_t index) {
  Descriptor(connections_[index].fd).reset();
  forget(index);
}

}  // namespace

Result<std::unique_ptr<Driver>> open_epoll(pool::Core& core, const DriverOptions& options) {
  auto driver = std::make_unique<EpollDriver>(core, options);
  PASTE_TRY(driver->open());
  return driver;
}

}  // namespace paste::port
