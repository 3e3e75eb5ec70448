#include "port/sim/pcap.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "wire/pcap.h"

namespace paste::sim {

namespace pcap = wire::pcap;

namespace {

template <size_t kBytes>
void put(std::vector<std::byte>& out, const std::array<std::byte, kBytes>& bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

struct CloseFile {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

}  // namespace

void Capture::add(tcp::Instant now, Bytes frame) {
  records_.push_back({now, Frame(frame.begin(), frame.end())});
  bytes_ += frame.size();
  while (bytes_ > bytes_max_) {
    bytes_ -= records_.front().frame.size();
    records_.pop_front();
    ++forgotten_;
  }
}

std::vector<std::byte> Capture::encode() const {
  std::vector<std::byte> out;
  out.reserve(pcap::kFileHeader + records_.size() * pcap::kRecordHeader + bytes_);
  put(out, pcap::file_header());
  for (const Record& record : records_) {
    const size_t kept = std::min<size_t>(record.frame.size(), pcap::kSnapLength);
    put(out, pcap::record_header(record.at.ns, static_cast<uint32_t>(kept),
                                 static_cast<uint32_t>(record.frame.size())));
    out.insert(out.end(), record.frame.begin(),
               record.frame.begin() + static_cast<ptrdiff_t>(kept));
  }
  return out;
}

Result<void> Capture::save(const std::string& path) const {
  const std::vector<std::byte> bytes = encode();
  std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "wb"));
  if (file == nullptr) {
    return fail(Code::io, fmt::format("cannot create the capture {}", path), errno);
  }
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file.get()) == bytes.size();
  const int error = errno;
  if (std::fclose(file.release()) != 0 || !written) {
    return fail(Code::io, fmt::format("cannot write the capture {}", path),
                written ? errno : error);
  }
  return {};
}

}  // namespace paste::sim
