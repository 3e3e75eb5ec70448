#include "port/xdp/shared_port_driver.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>

#include "base/logging.h"

namespace paste::port {

Result<ListenerId> SharedPortDriver::listen(const Endpoint& endpoint) {
  PASTE_TRY_ASSIGN(const ListenerId id, kernel_->listen(endpoint));
  if (endpoint.transport != Transport::tcp && endpoint.transport != Transport::udp) return id;
  const Endpoint bound = kernel_->local(id);
  if (!xdp_->has(bound)) {
    base::log_warning("{} is no address of {}: its clients are served through the kernel",
                      to_string(bound), xdp_->interface_name());
    return id;
  }
  PASTE_TRY_ASSIGN(const ListenerId there, xdp_->listen(bound));
  above_.resize(there + 1);
  above_[there] = id;
  return id;
}

Result<ConnectionId> SharedPortDriver::connect(const Endpoint& endpoint) {
  if (endpoint.transport == Transport::tcp) {
    const auto there = xdp_->connect(endpoint);
    if (there) return ConnectionId{there->index << 1, there->generation};
    if (there.error().code() != Code::unsupported) return there;
  }
  PASTE_TRY_ASSIGN(const ConnectionId id, kernel_->connect(endpoint));
  return ConnectionId{id.index << 1 | 1, id.generation};
}

void SharedPortDriver::stop_listening() {
  xdp_->stop_listening();
  kernel_->stop_listening();
}

void SharedPortDriver::take_events(const Driver& from, uint32_t which) {
  for (Event event : from.events()) {
    if (event.connection) event.connection.index = event.connection.index << 1 | which;
    if (which == 0 && event.listener != 0) event.listener = above_[event.listener];
    events_.push_back(event);
  }
}

Result<void> SharedPortDriver::poll(Duration timeout) {
  const std::array<Driver*, 2> both{xdp_.get(), kernel_.get()};
  auto polled = poll_all(both, timeout);
  events_.clear();
  take_events(*xdp_, 0);
  take_events(*kernel_, 1);
  datagrams_.assign(xdp_->datagrams().begin(), xdp_->datagrams().end());
  for (Datagram& one : datagrams_) one.listener = above_[one.listener];
  datagrams_.insert(datagrams_.end(), kernel_->datagrams().begin(), kernel_->datagrams().end());
  return polled;
}

Result<void> SharedPortDriver::send_datagram(ListenerId listener, const sockaddr_storage& peer,
                                             uint32_t peer_length, Bytes bytes,
                                             const SendOptions& how) {
  const auto found = std::find(above_.begin(), above_.end(), listener);
  if (found != above_.end() && !xdp_->datagrams().empty()) {
    const auto there = static_cast<ListenerId>(found - above_.begin());
    auto sent = xdp_->send_datagram(there, peer, peer_length, bytes, how);
    if (sent || sent.error().code() != Code::unsupported) return sent;
  }
  return kernel_->send_datagram(listener, peer, peer_length, bytes, how);
}

int SharedPortDriver::fd() const {
  if (epoll_fd_.get() < 0) {
    epoll_fd_ = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
    for (const int fd : {xdp_->fd(), kernel_->fd()}) {
      epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
      (void)::epoll_ctl(epoll_fd_.get(), EPOLL_CTL_ADD, fd, &event);
    }
  }
  return epoll_fd_.get();
}

const DriverStats& SharedPortDriver::stats() const {
  stats_ = {};
  for (const DriverStats* one : {&xdp_->stats(), &kernel_->stats()}) {
    stats_.accepted += one->accepted;
    stats_.connected += one->connected;
    stats_.closed += one->closed;
    stats_.refused_limit += one->refused_limit;
    stats_.accept_errors += one->accept_errors;
    stats_.received_bytes += one->received_bytes;
    stats_.sent_bytes += one->sent_bytes;
    stats_.receives += one->receives;
    stats_.sends += one->sends;
    stats_.datagrams += one->datagrams;
    stats_.receive_buffers_exhausted += one->receive_buffers_exhausted;
    stats_.completions_overflowed += one->completions_overflowed;
    stats_.connections += one->connections;
    stats_.send_queued += one->send_queued;
    stats_.gated += one->gated;
    stats_.polls += one->polls;
    stats_.sleeps += one->sleeps;
  }
  return stats_;
}

std::string SharedPortDriver::description() const {
  return xdp_->description() + "; local clients by " + kernel_->description();
}

}  // namespace paste::port
