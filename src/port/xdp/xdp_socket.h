// An AF_XDP socket: four rings shared with the kernel, over a mapping that the caller owns.
//
// Addresses are byte offsets into the mapping. Each buffer given to the kernel, by fill() or
// send(), is the kernel's until receive() or completions() returns it.
// Source: Documentation/networking/af_xdp.rst.
// Thread-safety: none.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "paste/result.h"
#include "port/kernel/sockets.h"
#include "port/xdp/xdp_constants.h"

namespace paste::port {

// One ring: the kernel is at the other end. Entries are read and written by the owner of `Ring`.
template <typename Entry>
class XdpRing {
 public:
  XdpRing() = default;
  XdpRing(std::byte* map, const xdp_ring_offset& at, uint32_t size) noexcept
      : producer_(reinterpret_cast<uint32_t*>(map + at.producer)),
        consumer_(reinterpret_cast<uint32_t*>(map + at.consumer)),
        flags_(reinterpret_cast<uint32_t*>(map + at.flags)),
        entries_(reinterpret_cast<Entry*>(map + at.desc)),
        size_(size) {}

  // As a producer.
  [[nodiscard]] uint32_t room() noexcept {
    return size_ - (next_ - std::atomic_ref<uint32_t>(*consumer_).load(std::memory_order_acquire));
  }
  void put(const Entry& entry) noexcept { entries_[next_++ & (size_ - 1)] = entry; }
  void publish() noexcept {
    std::atomic_ref<uint32_t>(*producer_).store(next_, std::memory_order_release);
  }
  // Everything published was taken.
  [[nodiscard]] bool drained() noexcept { return room() == size_; }
  // As a consumer.
  [[nodiscard]] uint32_t available() noexcept {
    return std::atomic_ref<uint32_t>(*producer_).load(std::memory_order_acquire) - next_;
  }
  [[nodiscard]] Entry take() noexcept { return entries_[next_++ & (size_ - 1)]; }
  // What the next take() returns. REQUIRES: available() > 0.
  [[nodiscard]] const Entry& front() const noexcept { return entries_[next_ & (size_ - 1)]; }
  void give_back() noexcept {
    std::atomic_ref<uint32_t>(*consumer_).store(next_, std::memory_order_release);
  }
  [[nodiscard]] bool needs_wakeup() const noexcept {
    return (std::atomic_ref<uint32_t>(*flags_).load(std::memory_order_relaxed) &
            XDP_RING_NEED_WAKEUP) != 0;
  }

 private:
  uint32_t* producer_ = nullptr;
  uint32_t* consumer_ = nullptr;
  uint32_t* flags_ = nullptr;
  Entry* entries_ = nullptr;
  uint32_t size_ = 0;
  uint32_t next_ = 0;
};

// The other end of a socket's rings, for a model of a NIC in the program itself: it consumes `fill`
// and `transmit`, and produces `completion` and `receive`.
struct NicRings {
  XdpRing<uint64_t> fill;
  XdpRing<uint64_t> completion;
  XdpRing<xdp_desc> receive;
  XdpRing<xdp_desc> transmit;
};

// Begins to fetch a frame that is looked at soon: the NIC, or another core, has written it.
inline void prefetch(const std::byte* frame, uint32_t length) noexcept {
  constexpr uint32_t kLine = 64;
  for (uint32_t at = 0; at < length; at += kLine) __builtin_prefetch(frame + at);
}

struct XdpSocketOptions {
  std::string interface;  // for messages
  int ifindex = 0;
  uint32_t queue = 0;
  std::byte* area = nullptr;  // page-aligned
  uint64_t area_bytes = 0;    // a multiple of buffer_size
  uint32_t buffer_size = 2048;
  uint32_t receive_ring = 2048;  // entries; powers of two
  uint32_t fill_ring = 4096;
  uint32_t transmit_ring = 2048;
  bool copy = false;    // do not even try zero copy
  bool scatter = true;  // try packets of several descriptors
  // Fills the fill ring before the driver first looks at it. A driver that finds it empty may ask
  // for a wake-up late, or never, since nothing can arrive.
  std::function<void(XdpRing<uint64_t>& fill)> before_bind = {};
  int shared_with = -1;  // a socket on another queue, whose mapping it uses; -1: registers its own
};

class XdpSocket {
 public:
  // Errors: permission, in_use (queue taken), unsupported, too_large (locked memory), io; each says
  // what to do.
  static Result<std::unique_ptr<XdpSocket>> open(const XdpSocketOptions& options);
  // Without the kernel: whoever has `nic` plays its part, in any one thread. Never needs a wake-up.
  static Result<std::unique_ptr<XdpSocket>> open_model(const XdpSocketOptions& options,
                                                       NicRings& nic);
  ~XdpSocket();
  XdpSocket(const XdpSocket&) = delete;
  XdpSocket& operator=(const XdpSocket&) = delete;

  XdpRing<uint64_t> fill;
  XdpRing<uint64_t> completion;
  XdpRing<xdp_desc> receive;
  XdpRing<xdp_desc> transmit;

  // Makes the kernel send what was published. Copy mode takes a few descriptors at a call: returns
  // false while some are left.
  bool kick_transmit() noexcept;
  // Makes the kernel look at the fill ring, and runs the interface's NAPI where that is enabled.
  void kick_receive() noexcept;

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] uint32_t queue() const noexcept { return options_.queue; }
  [[nodiscard]] bool zero_copy() const noexcept { return zero_copy_; }
  [[nodiscard]] bool scatter() const noexcept { return scatter_; }
  [[nodiscard]] xdp_statistics statistics() const noexcept;

 private:
  explicit XdpSocket(const XdpSocketOptions& options) : options_(options) {}
  Result<void> make_rings();
  Result<void> bind();
  Result<std::byte*> map_ring(uint64_t page_offset, size_t bytes);

  struct Mapping {
    void* at;
    size_t bytes;
  };
  XdpSocketOptions options_;
  Descriptor fd_;
  Mapping mappings_[4]{};
  uint32_t mapped_ = 0;
  bool zero_copy_ = false;
  bool scatter_ = false;
};

}  // namespace paste::port
