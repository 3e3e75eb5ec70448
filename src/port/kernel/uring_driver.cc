#include "port/kernel/uring_driver.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "base/logging.h"
#include "base/time.h"

namespace paste::port {

UringDriver::UringDriver(pool::Core& core, const DriverOptions& options,
                         std::unique_ptr<UringRing> ring)
    : KernelDriver(core, options, Blocking::yes), ring_(std::move(ring)) {}

Result<void> UringDriver::open() {
  PASTE_TRY(open_descriptors());
  PASTE_TRY(ring_->open_buffers(receive_buffers_));
  names_.resize(ring_->buffer_places(), kNoBuffer);
  for (uint32_t id = ring_->buffer_places(); id-- > 0;) {
    free_ids_.push_back(static_cast<uint16_t>(id));
  }
  messages_.resize(kTurnMessages);
  pieces_.resize(kTurnPieces);
  begin_read(wake_fd_.get(), wake_value_, Kind::wake);
  begin_read(timer_fd_.get(), timer_value_, Kind::timer);
  return {};
}

UringDriver::~UringDriver() { drain(); }

// Takes everything back from the kernel: until an operation has completed, it may write to its
// buffer.
void UringDriver::drain() {
  constexpr uint64_t kPatienceNs = 5'000'000'000;
  stopping_ = true;
  if (!ring_->started()) operations_ = 0;  // nothing was ever submitted
  if (operations_ != 0) {
    io_uring_sqe* sqe = ring_->entry();
    io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = pack(Kind::ignored, 0);
  }
  const uint64_t end = base::monotonic_ns() + kPatienceNs;
  while (operations_ != 0 && base::monotonic_ns() < end) {
    if (!ring_->enter(100'000'000)) break;
    reap();
  }
  if (operations_ != 0) {
    // Better a buffer lost until the next start than one that changes while it is kept.
    base::log_error("io_uring did not give back {} operations", operations_);
    return;
  }
  std::vector<bool> ours(names_.size(), true);
  for (const uint16_t id : free_ids_) ours[id] = false;
  for (size_t id = 0; id < names_.size(); ++id) {
    if (ours[id]) core_.release(names_[id]);
  }
}

// --- The exchange ----------------------------------------------------------------------------

Result<void> UringDriver::exchange(int64_t wait_ns) {
  replenish();
  flush_work();
  if (run_datagrams() || !work_.empty()) wait_ns = 0;
  if (!events().empty()) wait_ns = 0;
  ask_for_datagram_room();
  if (wait_ns != 0) ++stats_.sleeps;
  PASTE_TRY(ring_->enter(wait_ns));
  stats_.completions_overflowed = ring_->overflows();
  if (ring_->unsubmitted() == 0) messages_used_ = pieces_used_ = 0;
  reap();
  // The kernel runs little of what it has put off in one call (20 items since 6.13); the more of
  // it is in this turn, the more share its barrier.
  constexpr int kMoreCalls = 15;
  for (int i = 0; i < kMoreCalls && ring_->more_put_off(); ++i) {
    PASTE_TRY(ring_->enter(0));
    reap();
  }
  run_datagrams();
  return {};
}

void UringDriver::settle() {
  replenish();
  flush_work();
  ask_for_datagram_room();
  if (!ring_->submit()) return;  // the next exchange reports it
  if (ring_->unsubmitted() == 0) messages_used_ = pieces_used_ = 0;
  // What came before the event was cleared is seen now, what comes later signals again.
  uint64_t value = 0;
  [[maybe_unused]] const ssize_t n = ::read(event_fd_.get(), &value, sizeof value);
  if (ring_->ready() != 0 || ring_->more_put_off()) wake();
}

// The ring's own descriptor stays silent about work that the kernel has put off until we enter.
int UringDriver::pollable() {
  if (event_fd_.get() < 0) {
    // Readable at first: what was not yet submitted is found by the turn that this causes.
    event_fd_ = Descriptor(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
    ring_->signal(event_fd_.get());
  }
  return event_fd_.get();
}

void UringDriver::watch_sync(int fd) { begin_poll(fd, POLLIN, false, pack(Kind::sync, 0)); }

void UringDriver::flush_work() {
  work_now_.swap(work_);
  for (const uint32_t index : work_now_) {
    connections_[index].in_work = false;
    service(index);
  }
  work_now_.clear();
}

void UringDriver::service(uint32_t index) {
  Connection& c = connections_[index];
  if (c.phase != Phase::open) return;
  if (!c.sending && !c.output.empty()) begin_send(index);
  end_sending(index);
  if (c.phase != Phase::open) return;
  const bool wanted = wants_receive(c);
  if (wanted && !c.receiving && !c.in_starved) {
    begin_receive(index);
  } else if ((!wanted || c.hung_up) && c.receiving && !c.cancelling) {
    c.cancelling = true;
    cancel(pack_connection(Kind::receive, index));
  }
}

// Posts free buffers until the kernel has its share, and lets those receive that found none.
void UringDriver::replenish() {
  if (posted_ < receive_buffers_ && !free_ids_.empty()) {
    while (posted_ < receive_buffers_ && !free_ids_.empty()) {
      const auto name = core_.take(pool::Purpose::receive);
      if (!name) break;
      const uint16_t id = free_ids_.back();
      free_ids_.pop_back();
      names_[id] = *name;
      ring_->provide(core_.buffer(*name), core_.buffer_size(), id);
      ++posted_;
    }
    ring_->publish_provided();
  }
  if (starved_.empty() || posted_ == 0) return;
  // Not more than there are buffers, or most would only find none again.
  const size_t n = std::min<size_t>(posted_, starved_.size());
  for (size_t i = 0; i < n; ++i) {
    connections_[starved_[i]].in_starved = false;
    touch(starved_[i]);
  }
  starved_.erase(starved_.begin(), starved_.begin() + static_cast<std::ptrdiff_t>(n));
}

// --- Beginning operations --------------------------------------------------------------------

void UringDriver::begin_receive(uint32_t index) {
  Connection& c = connections_[index];
  io_uring_sqe* sqe = ring_->entry();
  io_uring_prep_recv_multishot(sqe, c.fd, nullptr, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = 0;
  // A new connection has seldom sent anything yet.
  if (!c.watching) sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
  c.hung_up = false;
  sqe->user_data = pack_connection(Kind::receive, index);
  c.receiving = true;
  operation_begun(c);
  if (!c.watching) begin_watch(index);
}

// A multishot receive that has taken all bytes goes to sleep without looking again: it sleeps
// through a reset that came right behind them. This one-shot poll wakes it (complete_hang_up).
void UringDriver::begin_watch(uint32_t index) {
  Connection& c = connections_[index];
  c.watching = true;
  begin_poll(c.fd, 0, false, pack_connection(Kind::hang_up, index));
  ++c.operations;
}

// Entries of earlier sends may be used again once the kernel has read them.
bool UringDriver::room_for_pieces() {
  const auto room = [this] {
    return messages_used_ < kTurnMessages && pieces_used_ + kSendPieces <= kTurnPieces;
  };
  if (room()) return true;
  if (ring_->submit() && ring_->unsubmitted() == 0) messages_used_ = pieces_used_ = 0;
  return room();
}

void UringDriver::begin_send(uint32_t index) {
  if (!room_for_pieces()) return touch(index);
  const std::span<iovec> pieces = std::span(pieces_).subspan(pieces_used_, kSendPieces);
  uint64_t total = 0;
  const uint32_t count = gather(index, pieces, total);
  if (count == 0) return;
  Connection& c = connections_[index];
  // The kernel goes on by itself until all of it is sent.
  constexpr int kFlags = MSG_NOSIGNAL | MSG_WAITALL;
  io_uring_sqe* sqe = ring_->entry();
  if (count == 1) {
    io_uring_prep_send(sqe, c.fd, pieces[0].iov_base, pieces[0].iov_len, kFlags);
  } else {
    msghdr& message = messages_[messages_used_++];
    message = {};
    message.msg_iov = pieces.data();
    message.msg_iovlen = count;
    pieces_used_ += count;
    io_uring_prep_sendmsg(sqe, c.fd, &message, kFlags);
  }
  sqe->user_data = pack_connection(Kind::send, index);
  c.sending = true;
  ++stats_.sends;
  operation_begun(c);
}

void UringDriver::begin_read(int fd, uint64_t& value, Kind kind) {
  io_uring_sqe* sqe = ring_->entry();
  io_uring_prep_read(sqe, fd, &value, sizeof value, 0);
  sqe->user_data = pack(kind, 0);
  ++operations_;
}

void UringDriver::begin_poll(int fd, unsigned events, bool multishot, uint64_t user_data) {
  io_uring_sqe* sqe = ring_->entry();
  if (multishot) {
    io_uring_prep_poll_multishot(sqe, fd, events);
  } else {
    io_uring_prep_poll_add(sqe, fd, events);
  }
  sqe->user_data = user_data;
  ++operations_;
}

void UringDriver::cancel(uint64_t user_data) {
  io_uring_sqe* sqe = ring_->entry();
  io_uring_prep_cancel64(sqe, user_data, 0);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = pack(Kind::ignored, 0);
}

void UringDriver::watch(ListenerId id) {
  Listener& l = listener(id);
  if (l.watched || l.stopped || stopping_) return;
  l.watched = true;
  if (l.transport == Transport::udp) {
    l.can_read = true;
    return begin_poll(l.socket.fd.get(), POLLIN, true, pack(Kind::datagram_in, id));
  }
  io_uring_sqe* sqe = ring_->entry();
  io_uring_prep_multishot_accept(sqe, l.socket.fd.get(), nullptr, nullptr, SOCK_CLOEXEC);
  sqe->user_data = pack(Kind::accept, id);
  ++operations_;
}

void UringDriver::unwatch(ListenerId id) {
  Listener& l = listener(id);
  if (!l.watched) return;
  cancel(pack(l.transport == Transport::udp ? Kind::datagram_in : Kind::accept, id));
}

void UringDriver::ask_for_datagram_room() {
  for (ListenerId id = 1; id <= listener_count(); ++id) {
    Listener& l = listener(id);
    if (l.can_write || l.asked_write) continue;
    l.asked_write = true;
    begin_poll(l.socket.fd.get(), POLLOUT, false, pack(Kind::datagram_out, id));
  }
}

void UringDriver::attach(uint32_t index) {
  Connection& c = connections_[index];
  if (c.phase == Phase::open) return touch(index);
  begin_poll(c.fd, POLLOUT, false, pack_connection(Kind::dial, index));
  ++c.operations;
}

void UringDriver::tear_down(uint32_t index) {
  Connection& c = connections_[index];
  if (c.operations == 0) return close_descriptor(index);
  io_uring_sqe* sqe = ring_->entry();
  io_uring_prep_cancel_fd(sqe, c.fd, IORING_ASYNC_CANCEL_ALL);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = pack(Kind::ignored, 0);
}

void UringDriver::close_descriptor(uint32_t index) {
  io_uring_sqe* sqe = ring_->entry();
  io_uring_prep_close(sqe, connections_[index].fd);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = pack(Kind::ignored, 0);
  forget(index);
}

Result<std::unique_ptr<Driver>> open_uring(pool::Core& core, const DriverOptions& options) {
  PASTE_TRY_ASSIGN(auto ring, UringRing::open(options));
  auto driver = std::make_unique<UringDriver>(core, options, std::move(ring));
  PASTE_TRY(driver->open());
  return driver;
}

}  // namespace paste::port
