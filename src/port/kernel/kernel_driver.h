// What both kernel drivers share: handles, queues, the gate, timers, events, the turn. The two
// differ only in how they ask the kernel for bytes, behind the few hooks at the end, none of which
// is called per message.
//
// State is driven by level, not by edge: a connection whose wishes or queues changed is put in the
// work list, and the implementation brings the kernel's side in line with them once per exchange.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "port/connection.h"
#include "port/driver.h"
#include "port/kernel/datagrams.h"
#include "port/kernel/sockets.h"
#include "port/output.h"
#include "port/timers.h"

namespace paste::port {

class KernelDriver : public Driver {
 public:
  Result<ListenerId> listen(const Endpoint& endpoint) override;
  [[nodiscard]] Endpoint local(ListenerId listener) const override;
  Result<ConnectionId> connect(const Endpoint& endpoint) override;
  void stop_listening() override;
  Result<void> shutdown(ConnectionId connection) override;
  Result<void> close(ConnectionId connection) override;
  Result<void> abort(ConnectionId connection) override;

  Result<void> poll(Duration timeout) override;
  [[nodiscard]] std::span<const Event> events() const override { return events_; }

  [[nodiscard]] std::span<const Slice> received(ConnectionId connection) const override;
  void consume(ConnectionId connection, size_t bytes) override;
  void pause(ConnectionId connection) override;
  void resume(ConnectionId connection) override;
  [[nodiscard]] std::span<const Datagram> datagrams() const override;

  Result<void> send(ConnectionId connection, Bytes bytes, const SendOptions& how) override;
  Result<void> send(ConnectionId connection, std::span<const Slice> slices,
                    const SendOptions& how) override;
  Result<void> send_datagram(ListenerId listener, const sockaddr_storage& peer,
                             uint32_t peer_length, Bytes bytes, const SendOptions& how) override;
  [[nodiscard]] uint64_t queued(ConnectionId connection) const override;
  [[nodiscard]] bool idle() const override { return queued_ == 0; }
  [[nodiscard]] std::string peer(ConnectionId connection) const override;

  TimerId add_timer(Duration delay, uint64_t cookie) override;
  void cancel_timer(TimerId timer) override;
  void wake() noexcept override;
  [[nodiscard]] int fd() const override;
  [[nodiscard]] const DriverStats& stats() const override;

  [[nodiscard]] const DriverOptions& options() const noexcept { return options_; }

 protected:
  struct Listener {
    ListenSocket socket;
    Transport transport = Transport::tcp;
    bool watched = false;      // the implementation's: an operation or registration is there
    bool stopped = false;      // accepts or receives no more
    bool can_read = false;     // datagrams may wait in the kernel
    bool can_write = true;     // datagrams may be sent
    bool asked_write = false;  // the implementation's: it will hear of can_write
    uint64_t retry_ns = 0;     // out of descriptors: accept again then
    uint64_t event_turn = 0;   // of its last `datagram` event
    DatagramOutbox outbox;
  };

  KernelDriver(pool::Core& core, const DriverOptions& options, Blocking blocking);
  ~KernelDriver() override;
  // Errors: io (no descriptors).
  Result<void> open_descriptors();

  // --- The implementation's ----------------------------------------------------------------
  // Brings the kernel's side in line with the work list, transmits, waits for at most `wait_ns`
  // (0: not at all; negative: without limit) unless something is there, and takes what is there.
  virtual Result<void> exchange(int64_t wait_ns) = 0;
  // Brings the kernel's side in line without taking anything: the program may sleep on fd() now.
  virtual void settle() = 0;
  virtual void watch(ListenerId listener) = 0;    // begins to accept, or to receive datagrams
  virtual void unwatch(ListenerId listener) = 0;  // its descriptor is closed next (not: datagrams)
  virtual void attach(uint32_t index) = 0;        // a connection with a new descriptor
  // Ends a closed connection's operations, closes its descriptor, then calls forget().
  virtual void tear_down(uint32_t index) = 0;
  // Readable once: sets sync_asked_ to false then.
  virtual void watch_sync(int fd) = 0;
  [[nodiscard]] virtual int pollable() = 0;  // see Driver::fd()

  // --- What the implementation reports -----------------------------------------------------
  void accepted(int fd, ListenerId listener);
  // `os_error` of an accept: whether to stop for a while (out of descriptors), set in retry_ns.
  void accept_failed(ListenerId listener, int os_error);
  void dialled(uint32_t index);  // its descriptor is writable or in error
  // Takes over the hold. REQUIRES: length > 0.
  void arrived(uint32_t index, BufferName buffer, uint32_t length);
  void ended(uint32_t index);  // the peer sends no more
  void broken(uint32_t index, int os_error);
  void sent(uint32_t index, uint64_t bytes);
  void forget(uint32_t index);
  // Sends and receives datagrams where the sockets allow it. True if there is more at once.
  bool run_datagrams();

  // --- Levels ------------------------------------------------------------------------------
  void touch(uint32_t index) {
    Connection& c = connections_[index];
    if (c.in_work) return;
    c.in_work = true;
    work_.push_back(index);
  }
  [[nodiscard]] bool wants_receive(const Connection& c) const noexcept {
    return c.phase == Phase::open && !c.eof &&
           (c.closing || (!c.paused && c.received_bytes < options_.limits.connection_receive_max));
  }
  // What may leave now; if nothing, and something waits, it is put in the gated list.
  uint32_t gather(uint32_t index, std::span<iovec> pieces, uint64_t& total);
  // Tells the kernel of our end if it is time. May close the connection.
  void end_sending(uint32_t index);
  [[nodiscard]] Listener& listener(ListenerId id) { return *listeners_[id - 1]; }
  [[nodiscard]] uint32_t listener_count() const { return static_cast<uint32_t>(listeners_.size()); }

  static constexpr uint64_t kDatagramSendMax = 16u << 20;  // bytes queued of one socket

  pool::Core& core_;
  const DriverOptions options_;
  const uint32_t receive_buffers_;  // as limited by the pool
  mutable DriverStats stats_;
  OutputStock stock_;
  ConnectionTable connections_;
  std::vector<uint32_t> work_;
  Descriptor wake_fd_, timer_fd_;
  bool woken_ = false;
  bool sync_asked_ = false;

 private:
  struct Linger {
    uint64_t deadline_ns;
    ConnectionId connection;
  };

  void begin_turn();
  Result<void> advance_pool();
  Result<void> fail_gated(Error error);
  void open_gates();
  void run_timers(uint64_t now_ns);
  [[nodiscard]] uint64_t next_deadline_ns() const noexcept;
  void arm_timer_fd();
  void notify_writable();
  [[nodiscard]] bool happened() const noexcept { return !events_.empty() || woken_ || moved_; }

  bool receive_datagrams(ListenerId listener);
  void send_datagrams(ListenerId listener);
  [[nodiscard]] Connection* sendable(ConnectionId id) noexcept;
  bool admit(Connection& c, uint32_t index, uint64_t bytes);
  void enqueued(Connection& c, uint32_t index, uint64_t bytes);
  void gate(uint32_t index);
  // Reports the end; the teardown follows in the next turn.
  void finish(uint32_t index, CloseReason reason, int os_error, std::vector<Event>& events);
  void drop_received(Connection& c) noexcept;
  [[nodiscard]] Ticket ticket_of(const SendOptions& how) const noexcept {
    return how.after.value_or(core_.filling());
  }

  const Blocking blocking_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  bool any_datagrams_ = false;  // a listener for datagrams exists
  std::vector<Event> events_;
  std::vector<Event> pending_events_;  // of calls between turns
  std::vector<uint32_t> dying_, dying_now_;
  std::vector<uint32_t> gated_;
  std::vector<uint32_t> blocked_;
  Fifo<Slice>::Stock received_stock_;
  mutable DatagramInbox inbox_;
  Timers timers_;
  Fifo<Linger> lingering_;
  Fifo<Linger>::Stock lingering_stock_;
  uint64_t turn_ = 0;
  uint64_t queued_ = 0;     // bytes, and one for each datagram
  Ticket gates_opened_{0};  // the durable ticket that the gated list was last walked for
  bool moved_ = false;      // a sync completed in this turn: the program should commit again
  uint64_t timer_fd_ns_ = UINT64_MAX;  // what it is armed for
  bool watched_ = false;               // fd() was asked for
};

// The two. Errors: unsupported, io.
[[nodiscard]] Result<std::unique_ptr<Driver>> open_uring(pool::Core& core,
                                                         const DriverOptions& options);
[[nodiscard]] Result<std::unique_ptr<Driver>> open_epoll(pool::Core& core,
                                                         const DriverOptions& options);

}  // namespace paste::port
