// A NIC with its clients in a thread: writes request frames straight into the buffers that a port
// has posted, as DMA would, and reads the replies out of those that it sends.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "paste/slot.h"
#include "port/xdp/xdp_socket.h"

namespace paste::bench {

struct NicModelOptions {
  uint32_t connections = 64;  // each has one request under way
  uint32_t record_bytes = 1024;
  uint16_t port = 8080;
  bool endless = false;  // sends requests and waits for no reply
  int cpu = -1;
};

// The clients' TCP is as small as can be: the link loses nothing.
class NicModel {
 public:
  static constexpr uint32_t kOffset = 256;  // of a frame in its buffer, as XDP's headroom

  // `memory` and the rings outlive it.
  NicModel(const NicModelOptions& options, port::NicRings& rings, std::byte* memory,
           uint32_t buffer_size);
  ~NicModel() { stop(); }
  NicModel(const NicModel&) = delete;
  NicModel& operator=(const NicModel&) = delete;

  void start();
  void stop();
  // Where a record begins in its frame.
  [[nodiscard]] uint32_t record_at() const noexcept;
  [[nodiscard]] uint64_t replies() const noexcept { return replies_.load(); }
  [[nodiscard]] uint64_t refused() const noexcept { return refused_.load(); }
  // Turns in which nothing was to be done: if there are few, it is the NIC that is measured.
  [[nodiscard]] uint64_t idle_turns() const noexcept { return idle_.load(); }
  [[nodiscard]] uint64_t turns() const noexcept { return turns_.load(); }

 private:
  struct Client {
    std::vector<std::byte> request;  // a whole frame, with the numbers zero
    uint32_t sum = 0;                // of its TCP segment
    uint32_t seq = 1, ack = 0;
  };
  void run();
  void make_clients();
  [[nodiscard]] bool take_replies();
  [[nodiscard]] bool send_requests();
  void read_reply(const std::byte* frame, uint32_t length);
  void write_frame(Client& client, bool syn, std::byte* to);

  NicModelOptions options_;
  port::NicRings& rings_;
  std::byte* memory_;
  uint32_t buffer_size_;
  std::vector<Client> clients_;
  std::vector<uint32_t> ready_;  // clients whose next frame is due
  std::atomic<uint64_t> replies_{0}, refused_{0}, idle_{0}, turns_{0};
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

// Runs the calling thread on one processor, if it is not negative.
void run_on(int cpu);

}  // namespace paste::bench
