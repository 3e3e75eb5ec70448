// Sizes are bytes, durations are std::chrono::nanoseconds; these make them readable.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "paste/result.h"

namespace paste {

using Bytes = std::span<const std::byte>;
using Duration = std::chrono::nanoseconds;

inline Bytes as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view as_text(Bytes bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

namespace literals {
consteval uint64_t operator""_KiB(unsigned long long n) { return n << 10; }
consteval uint64_t operator""_MiB(unsigned long long n) { return n << 20; }
consteval uint64_t operator""_GiB(unsigned long long n) { return n << 30; }
}  // namespace literals

// "4096", "64KiB", "2GiB", "1.5GiB"; K, M, G, T and KB, MB … mean powers of 1000.
// Errors: Code::invalid with what is allowed.
[[nodiscard]] Result<uint64_t> parse_size(std::string_view text);
// "10us", "1.5ms", "30s", "5m", "2h", "0"; a number alone is refused unless it is 0.
[[nodiscard]] Result<Duration> parse_duration(std::string_view text);
// The shortest exact or three-digit form: "2 GiB", "1.37 MiB", "10 us".
[[nodiscard]] std::string format_size(uint64_t bytes);
[[nodiscard]] std::string format_duration(Duration duration);

}  // namespace paste
