#include "port/xdp/tap.h"

#include <unistd.h>

#include <cerrno>

#include "base/logging.h"
#include "base/time.h"
#include "wire/pcap.h"

namespace paste::port {
namespace {

namespace pcap = wire::pcap;
constexpr uint64_t kBytesMin = 64 << 10;

}  // namespace

Result<std::unique_ptr<Tap>> Tap::open(const std::string& path, uint64_t bytes_max) {
  if (bytes_max < kBytesMin) return fail(Code::invalid, "a capture has at least 64 KiB");
  std::unique_ptr<Tap> tap(new Tap);
  tap->path_ = path;
  tap->half_ = bytes_max / 2;
  const std::string names[] = {path, path + ".2"};
  for (size_t i = 0; i < 2; ++i) {
    tap->files_[i].reset(std::fopen(names[i].c_str(), "we"));
    if (tap->files_[i] == nullptr) {
      return fail(Code::io, "cannot create the capture " + names[i], errno);
    }
  }
  tap->put(pcap::file_header());
  tap->flush();
  if (tap->failed_) return fail(Code::io, "cannot write the capture " + path);
  return tap;
}

void Tap::put(Bytes bytes) {
  if (failed_) return;
  written_ += bytes.size();
  if (std::fwrite(bytes.data(), 1, bytes.size(), files_[current_].get()) == bytes.size()) return;
  failed_ = true;
  base::log_warning("the capture {} ends here: it cannot be written (errno {})", path_, errno);
}

void Tap::add(std::span<const Bytes> pieces) {
  size_t length = 0;
  for (const Bytes piece : pieces) length += piece.size();
  if (written_ + pcap::kRecordHeader + length > half_) turn_over();
  const auto octets = static_cast<uint32_t>(length);
  put(pcap::record_header(base::wall_ns(), octets, octets));
  for (const Bytes piece : pieces) put(piece);
}

void Tap::turn_over() {
  flush();
  current_ ^= 1;
  std::FILE* const file = files_[current_].get();
  std::rewind(file);
  if (::ftruncate(::fileno(file), 0) != 0) failed_ = true;
  written_ = 0;
  put(pcap::file_header());
}

void Tap::flush() {
  if (std::fflush(files_[current_].get()) != 0) failed_ = true;
}

}  // namespace paste::port
