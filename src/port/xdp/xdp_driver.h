// The xdp port: the NIC writes packets into the pool's buffers, TCP runs in this thread.
//
// A frame that arrives stays in its buffer; its payload is handed up as a slice of it. What the
// program keeps, it holds; a free buffer takes its place in the fill ring. Replies leave from the
// pool's buffers: small ones are copied behind their headers, larger ones are gathered by the NIC
// where it can.
//
// Invariants
//  1. Each buffer that the kernel may read or write has a hold for it, counted in `lent_`.
//  2. The gate: bytes reach the engine, which may send them at any time from then on, only when
//     their ticket is durable.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "port/connection.h"
#include "port/driver.h"
#include "port/kernel/sockets.h"
#include "port/output.h"
#include "port/timers.h"
#include "port/xdp/dialled_ports.h"
#include "port/xdp/interface.h"
#include "port/xdp/link_watch.h"
#include "port/xdp/napi.h"
#include "port/xdp/neighbours.h"
#include "port/xdp/steering.h"
#include "port/xdp/tap.h"
#include "port/xdp/xdp_datagrams.h"
#include "port/xdp/xdp_parts.h"
#include "port/xdp/xdp_socket.h"
#include "port/xdp/xdp_spec.h"
#include "tcp/engine.h"

namespace paste::port {

class XdpDriver final : public Driver, private tcp::EngineOwner {
 public:
  // `spec` is what follows "xdp:". Errors: those of Interface, Steering and XdpSocket; too_large
  // (an MTU that does not fit a buffer), pool_full.
  static Result<std::unique_ptr<XdpDriver>> open(std::string_view spec, pool::Core& core,
                                                 const DriverOptions& options);
  // On a model of a NIC: no privilege, no kernel, no interface. For tests and measurements.
  static Result<std::unique_ptr<XdpDriver>> open_model(Interface, NicRings&, pool::Core&,
                                                       const DriverOptions&);
  ~XdpDriver() override;

  // The port number is not 0: whoever keeps it from other programs has chosen it.
  Result<ListenerId> listen(const Endpoint& endpoint) override;
  // Whether the endpoint's address is one of the interface's, or every address.
  [[nodiscard]] bool has(const Endpoint& endpoint) const;
  [[nodiscard]] const std::string& interface_name() const noexcept { return interface_.name; }
  [[nodiscard]] Endpoint local(ListenerId listener) const override;
  Result<ConnectionId> connect(const Endpoint& endpoint) override;
  void stop_listening() override;
  Result<void> shutdown(ConnectionId connection) override;
  Result<void> close(ConnectionId connection) override;
  Result<void> abort(ConnectionId connection) override;
  Result<void> poll(Duration timeout) override;
  [[nodiscard]] std::span<const Event> events() const override { return events_; }
  [[nodiscard]] std::span<const Slice> received(ConnectionId connection) const override;
  void consume(ConnectionId connection, size_t bytes) override;  // what is not closes the window
  void pause(ConnectionId) override {}
  void resume(ConnectionId) override {}
  [[nodiscard]] std::span<const Datagram> datagrams() const override {
    return datagrams_.arrived();
  }
  Result<void> send(ConnectionId connection, Bytes bytes, const SendOptions& how) override;
  Result<void> send(ConnectionId connection, std::span<const Slice> slices,
                    const SendOptions& how) override;
  // Error: unsupported: it is for the kernel's socket to send.
  Result<void> send_datagram(ListenerId, const sockaddr_storage&, uint32_t, Bytes,
                             const SendOptions&) override;
  [[nodiscard]] uint64_t queued(ConnectionId connection) const override;
  [[nodiscard]] bool idle() const override { return queued_ == 0 && datagrams_.idle(); }
  [[nodiscard]] std::string peer(ConnectionId connection) const override;
  TimerId add_timer(Duration delay, uint64_t cookie) override;
  void cancel_timer(TimerId timer) override { timers_.cancel(timer); }
  void wake() noexcept override;
  [[nodiscard]] int fd() const override;
  [[nodiscard]] const DriverStats& stats() const override;
  [[nodiscard]] std::vector<NamedCount> counts() const override;
  [[nodiscard]] std::string description() const override;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  XdpDriver(Interface&& interface, pool::Core& core, const DriverOptions& options);
  Result<void> start(const XdpSpec& spec);
  [[nodiscard]] XdpSocketOptions socket_options(uint32_t queues) const;
  Result<void> open_sockets(uint32_t first, uint32_t count, const XdpSpec& spec);
  Result<void> begin();
  Result<void> open_descriptors();
  void drive_napi();

  // What the engine tells (xdp_connections.cc).
  void opened(ConnectionId connection, uint32_t listener) override;
  void deliver(ConnectionId connection, Slice slice) override;
  void peer_finished(ConnectionId connection) override;
  void closed(ConnectionId connection, tcp::Ending ending) override;
  void acknowledged(ConnectionId connection, Slice slice, uint64_t cookie) override;
  void release(BufferName buffer) override { core_.release(buffer); }
  void hold(BufferName buffer, uint32_t n) override;
  Slice gather(std::span<const Slice> pieces, uint32_t bytes) override;
  [[nodiscard]] uint32_t free_buffers() const override { return free_buffers_; }
  [[nodiscard]] uint64_t draw() override;

  // The turn (xdp_driver.cc).
  void begin_turn();
  Result<void> advance_pool();
  Result<void> fail_gated(Error error);
  void run_timers(uint64_t now_ns);
  [[nodiscard]] uint64_t next_deadline_ns(uint64_t now_ns) const noexcept;
  void sleep(int64_t wait_ns);
  void take_wake();
  void take_news(uint64_t now_ns);
  void arm_timer_fd(uint64_t now_ns);
  [[nodiscard]] bool happened() const noexcept { return !events_.empty() || woken_ || moved_; }

  // Frames (xdp_frames.cc).
  void take_completions();
  void refill(XdpRing<uint64_t>& fill);
  bool receive(uint64_t now_ns);
  void take_frame(const xdp_desc& frame, tcp::Instant now);
  void note_refused(const tcp::Refusal& refusal, Bytes frame, tcp::Instant now);
  void transmit(uint64_t now_ns);
  [[nodiscard]] bool ready_to_send();
  bool send_packet(tcp::Instant now);
  bool send_reply();
  bool put_link_header(std::byte* frame, const tcp::Address& to);
  void tap_sent(Bytes head);
  void lend(BufferName buffer) noexcept { ++lent_[buffer]; }
  void back_from_kernel(BufferName buffer) noexcept;

  // Queues (xdp_connections.cc).
  [[nodiscard]] Connection* sendable(ConnectionId id) noexcept;
  bool admit(Connection& c, uint32_t index, uint64_t bytes);
  void enqueued(Connection& c, uint32_t index, uint64_t bytes);
  [[nodiscard]] std::optional<Slice> stage(Bytes bytes);
  void open_gates();
  void feed(uint32_t index);
  void feed_all();
  void notify_writable();
  void finish(uint32_t index, CloseReason reason, int os_error, std::vector<Event>& events);
  void drop_received(Connection& c) noexcept;
  [[nodiscard]] uint32_t above(ConnectionId below) const noexcept;
  void bind_above(ConnectionId below, uint32_t index);
  void touch(uint32_t index);
  [[nodiscard]] Ticket ticket_of(const SendOptions& how) const noexcept {
    return how.after.value_or(core_.filling());
  }

  Interface interface_;
  pool::Core& core_;
  const DriverOptions options_;
  mutable DriverStats stats_;
  XdpCounters counters_;
  std::unique_ptr<Steering> steering_;
  std::vector<std::unique_ptr<XdpSocket>> sockets_;
  std::unique_ptr<NapiPoller> napi_;  // in busy mode, where it can be
  std::unique_ptr<Tap> tap_;
  std::unique_ptr<LinkWatch> watch_;
  std::vector<uint16_t> lent_;     // holds that the kernel has, by buffer
  std::vector<BufferName> spare_;  // held once, for the next frame in or out
  uint32_t free_buffers_ = 0;
  OutputStock stock_;
  ConnectionTable connections_;
  std::vector<uint32_t> above_;  // the engine's index → ours
  std::vector<std::unique_ptr<XdpListener>> listeners_;
  std::vector<Event> events_, pending_events_;
  std::vector<ConnectionId> unwanted_;  // the engine's, above connections_max
  std::vector<uint32_t> dying_, dying_now_, work_, gated_, blocked_;
  Fifo<Slice>::Stock received_stock_;
  Fifo<XdpLinger> lingering_;
  Fifo<XdpLinger>::Stock lingering_stock_;
  Timers timers_;
  Slice staging_{};  // `length` bytes are used; the driver holds the buffer

  mutable XdpDatagrams datagrams_;
  Neighbours neighbours_;
  DialledPorts dialled_;
  std::vector<uint64_t> random_;
  Descriptor wake_fd_, timer_fd_, epoll_fd_;
  uint64_t turn_ = 0, queued_ = 0;  // queued: bytes, in queues or not acknowledged
  Ticket gates_opened_{0};
  std::atomic<bool> wake_sent_ = false;
  bool woken_ = false, moved_ = false, watched_ = false, told_checksum_ = false;
  bool transmit_left_ = false;                          // the kernel has not taken all of the ring
  bool scatter_ = false;                                // packets leave in pieces
  uint64_t timer_fd_ns_ = UINT64_MAX, news_at_ns_ = 0;  // when to look at watch_ again
  tcp::FourTuple tuple_;
  tcp::Outgoing out_;
  std::unique_ptr<tcp::Engine> engine_;
};

}  // namespace paste::port
