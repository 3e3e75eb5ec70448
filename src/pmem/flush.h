// Cache-line write-back and the fence behind it, one implementation file per architecture
// (flush_x86.cc, flush_generic.cc; the build picks one).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace paste::pmem {

inline constexpr size_t kCacheLine = 64;

// Addresses of the first line and of the end behind the last one, both multiples of kCacheLine.
struct LineRange {
  uintptr_t first;
  uintptr_t end;
};

// The lines that [address, address+n) touches, whatever its alignment; none when n is 0.
// Rounding both ends matters: stepping 64 bytes from an unaligned start misses the last line.
[[nodiscard]] constexpr LineRange lines_of(uintptr_t address, size_t n) noexcept {
  constexpr uintptr_t kMask = kCacheLine - 1;
  const uintptr_t first = address & ~kMask;
  return {first, n == 0 ? first : (address + n + kMask) & ~kMask};
}

struct CacheFlush {
  std::string_view name;  // "clwb", "clflushopt", "clflush", "none"
  // False where this build knows no instruction that reaches memory: the memory domain is refused.
  bool reaches_memory;
  // Begins the write-back of every line of the range; store_fence() completes it.
  void (*write_back)(const void* p, size_t n) noexcept;
};

// What this CPU does best; chosen at the first call. Thread-safe.
[[nodiscard]] const CacheFlush& cache_flush() noexcept;

// The one of that name if this CPU has it, nullptr otherwise: for tests and benchmarks.
[[nodiscard]] const CacheFlush* cache_flush_named(std::string_view name) noexcept;

// Orders every earlier store and write-back of this thread before every later one.
void store_fence() noexcept;

}  // namespace paste::pmem
