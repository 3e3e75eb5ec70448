// The bytes of a fuzzer's input as numbers, and the connection's options drawn from them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "tcp/connection.h"

namespace paste::tcp {

// Zeros follow the end.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  [[nodiscard]] bool empty() const { return size_ == 0; }
  uint8_t byte() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  uint16_t half() { return static_cast<uint16_t>(byte() << 8 | byte()); }
  uint32_t word() { return uint32_t{half()} << 16 | half(); }
  Bytes bytes(size_t n) {
    n = std::min(n, size_);
    const Bytes result(reinterpret_cast<const std::byte*>(data_), n);
    data_ += n;
    size_ -= n;
    return result;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

inline ConnectionOptions draw_options(Input& in) {
  ConnectionOptions options;
  const uint8_t a = in.byte();
  options.sack = (a & 1) == 0;
  options.timestamps = (a & 2) == 0;
  options.window_scale = (a & 4) == 0;
  options.ecn = (a & 8) != 0;
  options.sender.nagle = (a & 16) == 0;
  options.sender.pacing.timed = (a & 32) != 0;
  if ((a & 64) != 0) {
    options.keep_alive = true;
    options.keep_alive_idle = std::chrono::seconds(30);
  }
  if ((a & 128) != 0) options.sender.congestion.algorithm = CongestionOptions::Algorithm::reno;
  const uint8_t b = in.byte();
  options.window_initial = 512U << (b & 7);
  options.buffers_max = (b & 8) != 0 ? 4 : 1024;
  options.reassembly.buffers_max = (b & 16) != 0 ? 3 : 32;
  options.mss = std::array<uint16_t, 4>{1460, 536, 64, 1}[b >> 5 & 3];
  if ((b & 128) != 0) {
    options.sender.slices_max = 4;
    options.sender.records_max = 6;
    options.syn_tries = 60;
  }
  return options;
}

}  // namespace paste::tcp
