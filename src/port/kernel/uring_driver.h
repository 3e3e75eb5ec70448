// The kernel's sockets through io_uring: multishot accept and receive into pool buffers that the
// kernel picks from a ring, all sends of a turn in the one system call that also waits.
//
// Invariants
//  1. Memory and buffers of an operation stay until its completion; a connection's place is used
//     again only when all its operations have completed, so a completion never meets a stranger.
//  2. posted_ buffers are the kernel's; each comes back with exactly one completion.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "port/kernel/kernel_driver.h"
#include "port/kernel/uring_ring.h"

namespace paste::port {

class UringDriver final : public KernelDriver {
 public:
  UringDriver(pool::Core& core, const DriverOptions& options, std::unique_ptr<UringRing> ring);
  ~UringDriver() override;
  // Errors: unsupported, io.
  Result<void> open();
  [[nodiscard]] std::string description() const override { return "kernel (io_uring)"; }

 protected:
  Result<void> exchange(int64_t wait_ns) override;
  void settle() override;
  void watch(ListenerId listener) override;
  void unwatch(ListenerId listener) override;
  void attach(uint32_t index) override;
  void tear_down(uint32_t index) override;
  void watch_sync(int fd) override;
  [[nodiscard]] int pollable() override;

 private:
  enum class Kind : uint8_t {
    ignored,  // reports only failures that do not matter
    accept,
    receive,
    send,
    dial,
    hang_up,
    wake,
    timer,
    sync,
    datagram_in,
    datagram_out,
  };
  // user_data: kind, 24 bits of the generation, index of the connection or listener.
  static constexpr uint32_t kGenerationMask = 0xFFFFFF;
  static constexpr uint64_t pack(Kind kind, uint32_t index, uint32_t generation = 0) noexcept {
    return uint64_t{static_cast<uint8_t>(kind)} << 56 |
           uint64_t{generation & kGenerationMask} << 32 | index;
  }
  [[nodiscard]] uint64_t pack_connection(Kind kind, uint32_t index) const noexcept {
    return pack(kind, index, connections_[index].generation);
  }

  void flush_work();
  void service(uint32_t index);
  void begin_receive(uint32_t index);
  void begin_send(uint32_t index);
  void begin_watch(uint32_t index);
  bool room_for_pieces();
  void begin_read(int fd, uint64_t& value, Kind kind);
  void begin_poll(int fd, unsigned events, bool multishot, uint64_t user_data);
  void cancel(uint64_t user_data);
  void replenish();
  void ask_for_datagram_room();

  void reap();
  void complete(const io_uring_cqe& cqe);
  void complete_accept(const io_uring_cqe& cqe, ListenerId listener);
  void complete_receive(const io_uring_cqe& cqe, uint32_t index);
  void complete_send(const io_uring_cqe& cqe, uint32_t index);
  void complete_hang_up(const io_uring_cqe& cqe, uint32_t index);
  void complete_datagram_in(const io_uring_cqe& cqe, ListenerId listener);
  void operation_begun(Connection& c) noexcept {
    ++c.operations;
    ++operations_;
  }
  void operation_done(uint32_t index);
  void close_descriptor(uint32_t index);
  void drain();

  static constexpr uint32_t kSendPieces = 64;      // of one send
  static constexpr uint32_t kTurnMessages = 1024;  // scattered sends between two submissions
  static constexpr uint32_t kTurnPieces = 4096;

  std::unique_ptr<UringRing> ring_;
  uint64_t operations_ = 0;  // begun, not completed
  bool stopping_ = false;
  Descriptor event_fd_;  // signalled by the ring; only once the program asks for fd()

  std::vector<BufferName> names_;  // of the buffer with this id, posted or not
  std::vector<uint16_t> free_ids_;
  uint32_t posted_ = 0;
  std::vector<uint32_t> starved_;  // connections whose receive found no buffer

  // What scattered sends point to until they are submitted.
  std::vector<msghdr> messages_;
  std::vector<iovec> pieces_;
  uint32_t messages_used_ = 0;
  uint32_t pieces_used_ = 0;

  std::vector<uint32_t> work_now_;
  uint64_t wake_value_ = 0, timer_value_ = 0;
};

}  // namespace paste::port
