// The file or device behind a region: opened, locked against other processes, created under a
// temporary name and published under its own.
#pragma once

#include <cstdint>
#include <string>

#include "paste/result.h"
#include "pmem/mapping.h"
#include "pmem/unique_fd.h"

namespace paste::pmem {

class PoolFile {
 public:
  // Opens what exists and locks it: exclusively, or for read_only together with other readers.
  // Errors: not_found, permission, in_use (with the other's process id if known), unsupported
  // (neither a regular file nor a character device), io.
  [[nodiscard]] static Result<PoolFile> open(const std::string& path, bool read_only);

  // Makes an empty, locked file beside `path` named "NAME.creating". One that a dead creator left
  // behind is replaced. Errors: exists (path), in_use (another creates it now), not_found
  // (directory), permission, io.
  [[nodiscard]] static Result<PoolFile> create(const std::string& path);

  PoolFile(PoolFile&& other) noexcept;
  PoolFile& operator=(PoolFile&& other) = delete;
  ~PoolFile();  // removes the temporary file if it was never published

  // Gives a created file its room: every byte is a written zero when it returns, so that no later
  // write has to convert an unwritten extent (a metadata change) or can find the disk full.
  // `disk`: the zeroes go through to the medium. Errors: io (no room: says how much there is).
  [[nodiscard]] Result<void> fill_with_zeroes(uint64_t size, bool disk, const Progress& progress);

  // Renames the temporary file to its own name without replacing anything, durably. Nothing to do
  // for one that was opened. Errors: exists, io.
  [[nodiscard]] Result<void> publish();

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] bool is_device() const noexcept { return is_device_; }
  // Bytes of a regular file now. Errors: io.
  [[nodiscard]] Result<uint64_t> size() const;

 private:
  PoolFile() = default;
  [[nodiscard]] Result<void> create_attempt(bool* again);
  [[nodiscard]] Result<void> zero_step(const std::byte* zeroes, uint64_t offset, uint64_t n);
  [[nodiscard]] Unexpected no_room(uint64_t size, int os_error) const;

  std::string path_;
  std::string name_;       // within its directory
  std::string temporary_;  // within its directory; empty once published, or when opened
  UniqueFd directory_;     // of a created file: the program may change its own meanwhile
  UniqueFd fd_;
  bool is_device_ = false;
};

// Turns O_DIRECT on or off for an open file. False if the file system refuses.
bool set_direct(int fd, bool on) noexcept;
// Turns O_DIRECT on if 4096-byte transfers then work, and says so; leaves it off otherwise.
[[nodiscard]] bool enable_direct(int fd);

// The process that holds a flock on this file, from /proc/locks; 0 if it cannot be found.
[[nodiscard]] int lock_holder(int fd);

}  // namespace paste::pmem
