// What the kernel tells about persistent memory devices in /sys. Each call takes the root of the
// tree so that tests can lay out their own.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace paste::pmem {

inline constexpr const char* kSysfs = "/sys";

enum class DeviceKind : uint8_t { block, character };

// What the platform promises to save when power fails (persistence_domain of the nd region).
enum class Persistence : uint8_t {
  unvouched,          // nothing: plain DRAM, or the platform does not say
  memory_controller,  // what has left the CPU caches
  cpu_cache,          // the caches too (eADR)
};
[[nodiscard]] std::string_view to_string(Persistence persistence) noexcept;

// Byte ranges: offset and length.
using Ranges = std::vector<std::pair<uint64_t, uint64_t>>;

// Of the nd region behind a device; of a device made of several (dm, md), the weakest.
[[nodiscard]] Persistence persistence_of(const std::string& root, DeviceKind kind, dev_t device);

[[nodiscard]] bool is_dax_device(const std::string& root, dev_t device);
[[nodiscard]] std::optional<uint64_t> dax_device_size(const std::string& root, dev_t device);
[[nodiscard]] uint64_t dax_device_alignment(const std::string& root,
                                            dev_t device);  // 4096 if unknown

// Known bad blocks, in bytes from the start of the device. Empty where nothing is known.
[[nodiscard]] Ranges bad_blocks_of(const std::string& root, DeviceKind kind, dev_t device);

// One piece of a file on its device, in bytes.
struct Extent {
  uint64_t file_offset;
  uint64_t device_offset;
  uint64_t length;
};
// The parts of a file that lie on bad ranges of its device, in order of file offset.
[[nodiscard]] Ranges bad_file_ranges(const Ranges& bad_on_device,
                                     const std::vector<Extent>& extents);

// True if the device needs memory that does not change while it is written (it makes a checksum or
// parity of its own from it): iSCSI digests, T10 protection, RAID 5.
[[nodiscard]] bool needs_stable_writes(const std::string& root, dev_t device);

// True if some nd region of the machine saves the CPU caches too.
[[nodiscard]] bool any_cpu_cache_region(const std::string& root);

}  // namespace paste::pmem
