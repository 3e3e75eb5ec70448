// Owned mappings: anonymous huge-page memory, and files and devices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>

#include "paste/result.h"

namespace paste::pmem {

using Progress = std::function<void(std::string_view what, uint64_t done, uint64_t total)>;

inline constexpr uint64_t kPage = 4096;
inline constexpr uint64_t kHugePage = 2u << 20;

class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Mapping();

  // Zeroes, aligned to 2 MiB, huge pages asked for.
  // Errors: too_large (more than the memory that is available), io.
  [[nodiscard]] static Result<Mapping> anonymous(uint64_t size);

  // `flags` as for mmap(2), MAP_SHARED or MAP_PRIVATE or MAP_SHARED_VALIDATE | MAP_SYNC.
  // Errors: io, unsupported, permission.
  [[nodiscard]] static Result<Mapping> file(int fd, uint64_t size, int flags, int protection);

  // Makes every page present and writable now, so that no later store faults.
  // `lenient`: pages that cannot be made present (poisoned ones) are left to fault when touched.
  // Errors: io (the backing has no room for a page).
  [[nodiscard]] Result<void> populate(const Progress& progress, bool lenient);

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] uint64_t size() const noexcept { return size_; }

 private:
  Mapping(std::byte* data, uint64_t size) noexcept : data_(data), size_(size) {}
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace paste::pmem
