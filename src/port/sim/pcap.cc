#include "port/sim/pcap.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>

namespace paste::sim {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

void put(std::vector<std::byte>& out, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) out.push_back(static_cast<std::byte>(value >> 8 * i & 0xff));
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
  put(out, pcap::kMagicNanoseconds, 4);
  put(out, pcap::kVersionMajor, 2);
  put(out, pcap::kVersionMinor, 2);
  put(out, 0, 4);  // time zone: UTC
  put(out, 0, 4);  // accuracy: always written as 0
  put(out, pcap::kSnapLength, 4);
  put(out, pcap::kEthernet, 4);
  for (const Record& record : records_) {
    const size_t kept = std::min<size_t>(record.frame.size(), pcap::kSnapLength);
    put(out, record.at.ns / kSecond, 4);
    put(out, record.at.ns % kSecond, 4);
    put(out, kept, 4);
    put(out, record.frame.size(), 4);
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
