// What lies behind a pool's path, and which persistence domain it therefore gives.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "paste/result.h"
#include "pmem/region.h"
#include "pmem/sysfs.h"

namespace paste::pmem {

enum class Backing : uint8_t {
  device_dax,  // /dev/daxX.Y
  dax_file,    // a file that can be mapped with MAP_SYNC
  tmpfs,       // also ramfs
  hugetlbfs,
  regular_file,  // anything else
};
// "device DAX", "DAX file", "tmpfs file", "hugetlbfs file", "regular file".
[[nodiscard]] std::string_view to_string(Backing backing) noexcept;

struct BackingFacts {
  Backing backing = Backing::regular_file;
  Persistence persistence = Persistence::unvouched;  // of the nd region behind it
  bool cpu_reaches_memory = true;                    // the CPU has a write-back that we know
};

struct DomainChoice {
  Domain domain;
  bool asserted;  // memory on the user's word, where the platform does not vouch for it
};

// A pure function. Without a wish: the strongest domain that the platform vouches for. With one:
// that one, or an error that says what the backing gives and what to do; never something else.
// `path` is for the sentence only. Errors: unsupported.
[[nodiscard]] Result<DomainChoice> choose_domain(const BackingFacts& facts,
                                                 std::optional<Domain> wanted,
                                                 std::string_view path);

// "memory: survives power loss", and what an assertion rests on.
[[nodiscard]] std::string describe_domain(const DomainChoice& choice);

struct Inspected {
  BackingFacts facts;
  std::string file_system;   // "ext4", "tmpfs", "device DAX", "0x1234" where it has no name here
  uint64_t granularity = 0;  // sizes must be multiples of it: 4096, huge page, device alignment
  uint64_t device_size = 0;  // device DAX only
  // The file must not be written with O_DIRECT from memory that changes meanwhile: a checksum made
  // from it on the way would no longer fit, and the block could not be read again.
  bool stable_writes = false;
};
// Looks at an open file or device. It may be empty; nothing is changed. Errors: io, unsupported
// (neither a regular file nor a DAX device).
[[nodiscard]] Result<Inspected> inspect(int fd, std::string_view path);

// Bad ranges of an open file or device that the kernel knows of, in bytes from its start.
[[nodiscard]] Ranges known_bad_ranges(int fd, Backing backing);

}  // namespace paste::pmem
