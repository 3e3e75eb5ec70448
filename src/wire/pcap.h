// Classic capture files, with nanoseconds, as tcpdump and Wireshark read them, little-endian
// (pcap-savefile(5)).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace paste::wire::pcap {

inline constexpr uint32_t kMagicNanoseconds = 0xa1b23c4d;  // in the byte order of the file
inline constexpr uint16_t kVersionMajor = 2;
inline constexpr uint16_t kVersionMinor = 4;
inline constexpr uint32_t kSnapLength = 262'144;
inline constexpr uint32_t kEthernet = 1;
inline constexpr size_t kFileHeader = 24;  // magic, versions, zone, accuracy, snap length, network
inline constexpr size_t kRecordHeader = 16;  // seconds, nanoseconds, bytes kept, bytes on the wire

[[nodiscard]] std::array<std::byte, kFileHeader> file_header() noexcept;
// What precedes a frame of `length` bytes, of which `kept` follow; `ns` since 1970.
[[nodiscard]] std::array<std::byte, kRecordHeader> record_header(uint64_t ns, uint32_t kept,
                                                                 uint32_t length) noexcept;

}  // namespace paste::wire::pcap
