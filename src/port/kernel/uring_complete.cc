// UringDriver: what the kernel has done.
#include <poll.h>

#include <cerrno>

#include "base/check.h"
#include "port/kernel/uring_driver.h"

namespace paste::port {

void UringDriver::reap() {
  for (;;) {
    const uint32_t n = ring_->ready();
    if (n == 0) return;
    for (uint32_t i = 0; i < n; ++i) complete(ring_->completion(i));
    ring_->done(n);
  }
}

void UringDriver::complete(const io_uring_cqe& cqe) {
  const auto kind = static_cast<Kind>(cqe.user_data >> 56);
  const auto index = static_cast<uint32_t>(cqe.user_data);
  const auto generation = static_cast<uint32_t>(cqe.user_data >> 32) & kGenerationMask;
  switch (kind) {
    case Kind::receive:
      PASTE_CHECK(generation == (connections_[index].generation & kGenerationMask));
      return complete_receive(cqe, index);
    case Kind::send:
      PASTE_CHECK(generation == (connections_[index].generation & kGenerationMask));
      return complete_send(cqe, index);
    case Kind::accept:
      return complete_accept(cqe, index);
    case Kind::dial:
      PASTE_CHECK(generation == (connections_[index].generation & kGenerationMask));
      dialled(index);
      return operation_done(index);
    case Kind::hang_up:
      PASTE_CHECK(generation == (connections_[index].generation & kGenerationMask));
      return complete_hang_up(cqe, index);
    case Kind::wake:
      --operations_;
      woken_ = true;
      if (!stopping_) begin_read(wake_fd_.get(), wake_value_, Kind::wake);
      return;
    case Kind::timer:
      --operations_;
      if (!stopping_) begin_read(timer_fd_.get(), timer_value_, Kind::timer);
      return;
    case Kind::sync:  // the turn itself drives the sync
      --operations_;
      sync_asked_ = false;
      return;
    case Kind::datagram_in:
      return complete_datagram_in(cqe, index);
    case Kind::datagram_out:
      --operations_;
      listener(index).asked_write = false;
      listener(index).can_write = true;
      return;
    case Kind::ignored:
      return;
  }
}

void UringDriver::complete_accept(const io_uring_cqe& cqe, ListenerId id) {
  if ((cqe.flags & IORING_CQE_F_MORE) == 0) {
    --operations_;
    listener(id).watched = false;
  }
  if (cqe.res >= 0) {
    accepted(cqe.res, id);
  } else if (cqe.res != -ECANCELED && !listener(id).stopped) {
    accept_failed(id, -cqe.res);
  }
  if (listener(id).retry_ns == 0) watch(id);
}

void UringDriver::complete_datagram_in(const io_uring_cqe& cqe, ListenerId id) {
  Listener& l = listener(id);
  l.can_read = true;
  if ((cqe.flags & IORING_CQE_F_MORE) != 0) return;
  --operations_;
  l.watched = false;
  watch(id);
}

void UringDriver::complete_receive(const io_uring_cqe& cqe, uint32_t index) {
  Connection& c = connections_[index];
  const bool more = (cqe.flags & IORING_CQE_F_MORE) != 0;
  if (!more) c.receiving = c.cancelling = false;
  if ((cqe.flags & IORING_CQE_F_BUFFER) != 0) {
    const auto id = static_cast<uint16_t>(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
    free_ids_.push_back(id);
    --posted_;
    if (cqe.res > 0) {
      arrived(index, names_[id], static_cast<uint32_t>(cqe.res));
    } else {
      core_.release(names_[id]);
    }
  }
  if (cqe.res > 0) {
    // Begins again, or stops because the program is behind: the level decides.
    if (!more || !wants_receive(c)) touch(index);
  } else if (cqe.res == 0) {
    ended(index);
    if (c.ending) touch(index);
  } else if (cqe.res == -ENOBUFS) {
    ++stats_.receive_buffers_exhausted;
    if (!c.in_starved) {
      c.in_starved = true;
      starved_.push_back(index);
    }
  } else if (cqe.res == -ECANCELED || cqe.res == -EINTR || cqe.res == -EAGAIN) {
    touch(index);
  } else {
    broken(index, -cqe.res);
  }
  if (!more) operation_done(index);
}

// An orderly end needs nothing: the receive finds it. After an error, a receive that has gone to
// sleep is begun again, and then reads what is left and the error.
void UringDriver::complete_hang_up(const io_uring_cqe& cqe, uint32_t index) {
  Connection& c = connections_[index];
  if (cqe.res > 0 && (cqe.res & (POLLERR | POLLHUP)) != 0 && c.phase == Phase::open) {
    c.hung_up = true;
    touch(index);
  }
  operation_done(index);
}

void UringDriver::complete_send(const io_uring_cqe& cqe, uint32_t index) {
  Connection& c = connections_[index];
  c.sending = false;
  if (cqe.res >= 0) {
    sent(index, static_cast<uint64_t>(cqe.res));
    if (!c.output.empty() || c.ending) touch(index);
  } else if (cqe.res == -ECANCELED || cqe.res == -EINTR || cqe.res == -EAGAIN) {
    touch(index);
  } else {
    broken(index, -cqe.res);
  }
  operation_done(index);
}

void UringDriver::operation_done(uint32_t index) {
  Connection& c = connections_[index];
  --operations_;
  --c.operations;
  if (c.operations == 0 && c.torn && !stopping_) close_descriptor(index);
}

}  // namespace paste::port
