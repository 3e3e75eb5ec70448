#include "pmem/mapping.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <fstream>
#include <string>

#include "paste/units.h"
#include "pmem/guarded.h"
#include "pmem/system_error.h"

namespace paste::pmem {
namespace {

constexpr uint64_t kPopulateStep = 64u << 20;

// MemAvailable of /proc/meminfo in bytes; all ones where it cannot be read.
uint64_t memory_available() {
  std::ifstream in("/proc/meminfo");
  std::string key;
  uint64_t kib = 0;
  std::string unit;
  while (in >> key >> kib && std::getline(in, unit)) {
    if (key == "MemAvailable:") return kib << 10;
  }
  return ~uint64_t{0};
}

// Makes [p, p+n) writable by touching, page by page: for kernels and mappings without
// MADV_POPULATE_WRITE. Adding zero writes without changing what is there.
bool touch(std::byte* p, uint64_t n, bool lenient) {
  for (uint64_t at = 0; at < n; at += kPage) {
    auto* word = reinterpret_cast<uint64_t*>(p + at);
    const bool present = guarded_read([word] { std::atomic_ref<uint64_t>(*word).fetch_add(0); });
    if (!present && !lenient) return false;
  }
  return true;
}

}  // namespace

Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

Result<Mapping> Mapping::anonymous(uint64_t size) {
  if (const uint64_t available = memory_available(); size > available) {
    return fail(
        Code::too_large,
        fmt::format("a pool of {} is kept in memory whole, and this machine has {} available",
                    format_size(size), format_size(available)));
  }
  // One huge page more, cut down to an aligned range: only aligned huge pages are used as such.
  const uint64_t reserved = size + kHugePage;
  void* raw = ::mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) {
    return fail(Code::io, fmt::format("cannot get {} of memory", format_size(size)), errno);
  }
  auto* begin = static_cast<std::byte*>(raw);
  const auto address = reinterpret_cast<uintptr_t>(raw);
  const uint64_t head = (kHugePage - address % kHugePage) % kHugePage;
  if (head != 0) ::munmap(begin, head);
  if (reserved > head + size) ::munmap(begin + head + size, reserved - head - size);
  ::madvise(begin + head, size, MADV_HUGEPAGE);  // only an advice: refusal costs speed, not safety
  return Mapping(begin + head, size);
}

Result<Mapping> Mapping::file(int fd, uint64_t size, int flags, int protection) {
  void* data = ::mmap(nullptr, size, protection, flags, fd, 0);
  if (data == MAP_FAILED) {
    return system_failure(fmt::format("cannot map {}", format_size(size)), errno);
  }
  return Mapping(static_cast<std::byte*>(data), size);
}

Result<void> Mapping::populate(const Progress& progress, bool lenient) {
  for (uint64_t done = 0; done < size_;) {
    const uint64_t step = std::min(kPopulateStep, size_ - done);
    if (::madvise(data_ + done, step, MADV_POPULATE_WRITE) != 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      if (!touch(data_ + done, step, lenient)) {
        return fail(Code::io, "no room left for the pages of the pool");
      }
    }
    done += step;
    if (progress) progress("preparing memory", done, size_);
  }
  return {};
}

}  // namespace paste::pmem
