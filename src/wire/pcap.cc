#include "wire/pcap.h"

namespace paste::wire::pcap {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

std::byte* put(std::byte* at, uint64_t value, size_t bytes) noexcept {
  for (size_t i = 0; i < bytes; ++i) *at++ = static_cast<std::byte>(value >> 8 * i & 0xff);
  return at;
}

}  // namespace

std::array<std::byte, kFileHeader> file_header() noexcept {
  std::array<std::byte, kFileHeader> header;
  std::byte* at = put(header.data(), kMagicNanoseconds, 4);
  at = put(at, kVersionMajor, 2);
  at = put(at, kVersionMinor, 2);
  at = put(at, 0, 4);  // time zone: UTC
  at = put(at, 0, 4);  // accuracy: always written as 0
  at = put(at, kSnapLength, 4);
  put(at, kEthernet, 4);
  return header;
}

std::array<std::byte, kRecordHeader> record_header(uint64_t ns, uint32_t kept,
                                                   uint32_t length) noexcept {
  std::array<std::byte, kRecordHeader> header;
  std::byte* at = put(header.data(), ns / kSecond, 4);
  at = put(at, ns % kSecond, 4);
  at = put(at, kept, 4);
  put(at, length, 4);
  return header;
}

}  // namespace paste::wire::pcap
