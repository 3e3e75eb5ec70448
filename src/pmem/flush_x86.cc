// x86-64: clwb keeps the line cached, clflushopt drops it, clflush drops it and waits each time.
#include <cpuid.h>
#include <immintrin.h>

#include <array>

#include "pmem/flush.h"

namespace paste::pmem {
namespace {

__attribute__((target("clwb"))) void write_back_clwb(const void* p, size_t n) noexcept {
  const LineRange lines = lines_of(reinterpret_cast<uintptr_t>(p), n);
  for (uintptr_t a = lines.first; a != lines.end; a += kCacheLine) {
    _mm_clwb(reinterpret_cast<void*>(a));
  }
}

__attribute__((target("clflushopt"))) void write_back_clflushopt(const void* p, size_t n) noexcept {
  const LineRange lines = lines_of(reinterpret_cast<uintptr_t>(p), n);
  for (uintptr_t a = lines.first; a != lines.end; a += kCacheLine) {
    _mm_clflushopt(reinterpret_cast<void*>(a));
  }
}

void write_back_clflush(const void* p, size_t n) noexcept {
  const LineRange lines = lines_of(reinterpret_cast<uintptr_t>(p), n);
  for (uintptr_t a = lines.first; a != lines.end; a += kCacheLine) {
    _mm_clflush(reinterpret_cast<const void*>(a));
  }
}

// Best first.
constexpr std::array<CacheFlush, 3> kAll{{
    {"clwb", true, write_back_clwb},
    {"clflushopt", true, write_back_clflushopt},
    {"clflush", true, write_back_clflush},
}};

// Intel SDM vol. 2A, CPUID leaf 7: EBX bit 23 CLFLUSHOPT, bit 24 CLWB. CLFLUSH is part of x86-64.
bool cpu_has(std::string_view name) noexcept {
  if (name == "clflush") return true;
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  return (ebx & (name == "clwb" ? 1u << 24 : 1u << 23)) != 0;
}

}  // namespace

const CacheFlush* cache_flush_named(std::string_view name) noexcept {
  for (const CacheFlush& flush : kAll) {
    if (flush.name == name && cpu_has(name)) return &flush;
  }
  return nullptr;
}

const CacheFlush& cache_flush() noexcept {
  static const CacheFlush* const chosen = [] {
    for (const CacheFlush& flush : kAll) {
      if (cpu_has(flush.name)) return &flush;
    }
    return &kAll.back();
  }();
  return *chosen;
}

void store_fence() noexcept { _mm_sfence(); }

}  // namespace paste::pmem
