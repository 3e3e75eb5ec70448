// An xdp port as programs see it: XdpDriver for what comes by the interface, and the kernel's
// sockets, on the same addresses and ports, for everybody else: clients on this host, who never
// pass the interface, other interfaces, Unix sockets, datagrams, and connections that we begin.
// The kernel's listening socket also keeps the port from other programs.
//
// Handles: a connection's index is twice that of its driver, plus one for the kernel's; a
// listener's is the kernel's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "port/driver.h"
#include "port/kernel/sockets.h"
#include "port/xdp/xdp_driver.h"

namespace paste::port {

class SharedPortDriver final : public Driver {
 public:
  SharedPortDriver(std::unique_ptr<XdpDriver> xdp, std::unique_ptr<Driver> kernel) noexcept
      : xdp_(std::move(xdp)), kernel_(std::move(kernel)) {}

  Result<ListenerId> listen(const Endpoint& endpoint) override;
  [[nodiscard]] Endpoint local(ListenerId listener) const override {
    return kernel_->local(listener);
  }
  // By the interface if the route is, else by the kernel.
  Result<ConnectionId> connect(const Endpoint& endpoint) override;
  void stop_listening() override;
  Result<void> shutdown(ConnectionId id) override { return of(id).shutdown(below(id)); }
  Result<void> close(ConnectionId id) override { return of(id).close(below(id)); }
  Result<void> abort(ConnectionId id) override { return of(id).abort(below(id)); }
  Result<void> poll(Duration timeout) override;
  [[nodiscard]] std::span<const Event> events() const override { return events_; }
  [[nodiscard]] std::span<const Slice> received(ConnectionId id) const override {
    return of(id).received(below(id));
  }
  void consume(ConnectionId id, size_t bytes) override { of(id).consume(below(id), bytes); }
  void pause(ConnectionId id) override { of(id).pause(below(id)); }
  void resume(ConnectionId id) override { of(id).resume(below(id)); }
  [[nodiscard]] std::span<const Datagram> datagrams() const override { return datagrams_; }
  Result<void> send(ConnectionId id, Bytes bytes, const SendOptions& how) override {
    return of(id).send(below(id), bytes, how);
  }
  Result<void> send(ConnectionId id, std::span<const Slice> slices,
                    const SendOptions& how) override {
    return of(id).send(below(id), slices, how);
  }
  Result<void> send_datagram(ListenerId listener, const sockaddr_storage& peer,
                             uint32_t peer_length, Bytes bytes, const SendOptions& how) override;
  [[nodiscard]] uint64_t queued(ConnectionId id) const override { return of(id).queued(below(id)); }
  [[nodiscard]] bool idle() const override { return xdp_->idle() && kernel_->idle(); }
  [[nodiscard]] std::string peer(ConnectionId id) const override { return of(id).peer(below(id)); }
  TimerId add_timer(Duration delay, uint64_t cookie) override {
    return kernel_->add_timer(delay, cookie);
  }
  void cancel_timer(TimerId timer) override { kernel_->cancel_timer(timer); }
  void wake() noexcept override { kernel_->wake(); }
  [[nodiscard]] int fd() const override;
  [[nodiscard]] const DriverStats& stats() const override;
  [[nodiscard]] std::vector<NamedCount> counts() const override { return xdp_->counts(); }
  [[nodiscard]] std::string description() const override;

 private:
  [[nodiscard]] Driver& of(ConnectionId id) const noexcept {
    return (id.index & 1) != 0 ? *kernel_ : static_cast<Driver&>(*xdp_);
  }
  [[nodiscard]] static ConnectionId below(ConnectionId id) noexcept {
    return {id.index >> 1, id.generation};
  }
  void take_events(const Driver& from, uint32_t which);

  std::unique_ptr<XdpDriver> xdp_;
  std::unique_ptr<Driver> kernel_;
  std::vector<ListenerId> above_;  // xdp's listener → the kernel's; index 0 is not used
  std::vector<Event> events_;
  std::vector<Datagram> datagrams_;
  mutable DriverStats stats_;
  mutable Descriptor epoll_fd_;
};

}  // namespace paste::port
