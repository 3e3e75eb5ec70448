// Writes what a port receives and sends to a capture file. Bounded: two files are filled in turn,
// each to half of the limit; the older is emptied. Both are opened at once, since a confined
// program opens nothing later.
// Thread-safety: none.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>

#include "paste/result.h"
#include "paste/units.h"

namespace paste::port {

class Tap {
 public:
  // `path` and `path`.2; what was there is lost. Errors: invalid (a limit below 64 KiB), io.
  static Result<std::unique_ptr<Tap>> open(const std::string& path, uint64_t bytes_max);

  // A frame in pieces. Never fails: after a failed write it says so once, and stays silent.
  void add(std::span<const Bytes> pieces);
  void add(Bytes frame) { add({&frame, 1}); }
  // What was added is in the file.
  void flush();

 private:
  struct CloseFile {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  Tap() = default;
  void put(Bytes bytes);
  void turn_over();
  std::unique_ptr<std::FILE, CloseFile> files_[2];
  size_t current_ = 0;
  uint64_t half_ = 0;
  uint64_t written_ = 0;  // to the current file
  bool failed_ = false;
  std::string path_;
};

}  // namespace paste::port
