#include "pmem/backing.h"

#include <fmt/format.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "pmem/flush.h"
#include "pmem/mapping.h"
#include "pmem/system_error.h"

namespace paste::pmem {
namespace {

struct FileSystemName {
  uint64_t magic;
  const char* name;
};
constexpr uint64_t kXfsMagic = 0x58465342;  // not in linux/magic.h of Debian 12
constexpr uint64_t kZfsMagic = 0x2fc12fc1;
constexpr uint64_t kBcachefsMagic = 0xca451a4e;
constexpr std::array<FileSystemName, 11> kFileSystems{{
    {TMPFS_MAGIC, "tmpfs"},
    {RAMFS_MAGIC, "ramfs"},
    {HUGETLBFS_MAGIC, "hugetlbfs"},
    {EXT4_SUPER_MAGIC, "ext4"},
    {kXfsMagic, "xfs"},
    {BTRFS_SUPER_MAGIC, "btrfs"},
    {F2FS_SUPER_MAGIC, "f2fs"},
    {OVERLAYFS_SUPER_MAGIC, "overlayfs"},
    {NFS_SUPER_MAGIC, "nfs"},
    {kZfsMagic, "zfs"},
    {kBcachefsMagic, "bcachefs"},
}};

std::string file_system_name(uint64_t magic) {
  for (const auto& known : kFileSystems) {
    if (known.magic == magic) return known.name;
  }
  return fmt::format("file system 0x{:x}", magic);
}

// MAP_SYNC succeeds exactly where a store can be made durable from user space alone: the kernel
// refuses it on anything that is not DAX, and on DAX devices that need a flush of their own.
bool maps_synchronously(int fd) {
  void* p = ::mmap(nullptr, kPage, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
  if (p == MAP_FAILED) return false;
  ::munmap(p, kPage);
  return true;
}

// File systems with checksums of file data; btrfs makes none where it does not copy on write.
bool checksums_data(int fd, uint64_t magic) {
  if (magic == kZfsMagic || magic == kBcachefsMagic) return true;
  if (magic != BTRFS_SUPER_MAGIC) return false;
  int flags = 0;
  return ::ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0 || (flags & FS_NOCOW_FL) == 0;
}

Unexpected refuse(std::string_view path, const char* gives) {
  return fail(Code::unsupported, fmt::format("{} {}", path, gives));
}

Result<DomainChoice> choose_for_dax(const BackingFacts& facts, std::optional<Domain> wanted,
                                    std::string_view path) {
  const bool vouched = facts.persistence != Persistence::unvouched && facts.cpu_reaches_memory;
  if (!wanted) return DomainChoice{vouched ? Domain::memory : Domain::process, false};
  switch (*wanted) {
    case Domain::memory:
      if (!facts.cpu_reaches_memory) {
        return refuse(path,
                      "cannot give domain memory: this build knows no cache write-back "
                      "instruction for this CPU; it gives process");
      }
      return DomainChoice{Domain::memory, !vouched};
    case Domain::process:
      return DomainChoice{Domain::process, false};
    case Domain::page:
      break;
  }
  if (facts.backing == Backing::dax_file) return DomainChoice{Domain::page, false};
  return refuse(path,
                "is a DAX device, which has no blocks to write: it gives domain memory or process; "
                "for page use a regular file");
}

}  // namespace

std::string_view to_string(Backing backing) noexcept {
  switch (backing) {
    case Backing::device_dax:
      return "device DAX";
    case Backing::dax_file:
      return "DAX file";
    case Backing::tmpfs:
      return "tmpfs file";
    case Backing::hugetlbfs:
      return "hugetlbfs file";
    case Backing::regular_file:
      return "regular file";
  }
  return "unknown";
}

Result<DomainChoice> choose_domain(const BackingFacts& facts, std::optional<Domain> wanted,
                                   std::string_view path) {
  switch (facts.backing) {
    case Backing::device_dax:
    case Backing::dax_file:
      return choose_for_dax(facts, wanted, path);
    case Backing::tmpfs:
    case Backing::hugetlbfs:
      if (!wanted || *wanted == Domain::process) return DomainChoice{Domain::process, false};
      return refuse(path,
                    "is in memory that does not survive power loss: it gives domain process; "
                    "for more use a file on a disk (page) or a DAX device (memory)");
    case Backing::regular_file:
      break;
  }
  if (!wanted || *wanted == Domain::page) return DomainChoice{Domain::page, false};
  if (*wanted == Domain::memory) {
    return refuse(path,
                  "is a regular file that cannot be mapped with MAP_SYNC: it gives domain page; "
                  "for memory use a DAX device or a file system mounted with dax");
  }
  return refuse(path,
                "is a regular file: it gives domain page; for process use a file on tmpfs, such as "
                "one in /dev/shm");
}

std::string describe_domain(const DomainChoice& choice) {
  switch (choice.domain) {
    case Domain::process:
      return "process: survives a crash of the program, not of the machine";
    case Domain::page:
      return "page: survives power loss, once written to the file";
    case Domain::memory:
      break;
  }
  return choice.asserted
             ? "memory: survives power loss if the user is right, the platform does not "
               "vouch for it"
             : "memory: survives power loss";
}

Result<Inspected> inspect(int fd, std::string_view path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) {
    return system_failure(fmt::format("cannot look at {}", path), errno);
  }
  Inspected result;
  result.facts.cpu_reaches_memory = cache_flush().reaches_memory;
  if (S_ISCHR(info.st_mode) && is_dax_device(kSysfs, info.st_rdev)) {
    result.facts.backing = Backing::device_dax;
    result.facts.persistence = persistence_of(kSysfs, DeviceKind::character, info.st_rdev);
    result.file_system = "device DAX";
    result.granularity = dax_device_alignment(kSysfs, info.st_rdev);
    result.device_size = dax_device_size(kSysfs, info.st_rdev).value_or(0);
    return result;
  }
  if (!S_ISREG(info.st_mode)) {
    return fail(Code::unsupported,
                fmt::format("{} is neither a regular file nor a DAX device", path));
  }
  struct statfs system {};
  if (::fstatfs(fd, &system) != 0) {
    return system_failure(fmt::format("cannot look at the file system of {}", path), errno);
  }
  const auto magic = static_cast<uint64_t>(static_cast<uint32_t>(system.f_type));
  result.file_system = file_system_name(magic);
  result.granularity = kPage;
  if (magic == TMPFS_MAGIC || magic == RAMFS_MAGIC) {
    result.facts.backing = Backing::tmpfs;
  } else if (magic == HUGETLBFS_MAGIC) {
    result.facts.backing = Backing::hugetlbfs;
    result.granularity = static_cast<uint64_t>(system.f_bsize);
  } else if (maps_synchronously(fd)) {
    result.facts.backing = Backing::dax_file;
    result.facts.persistence = persistence_of(kSysfs, DeviceKind::block, info.st_dev);
  } else {
    result.stable_writes = checksums_data(fd, magic) || needs_stable_writes(kSysfs, info.st_dev);
  }
  return result;
}

namespace {

// Where the file's bytes lie on its device; empty where the file system does not say.
std::vector<Extent> extents_of(int fd) {
  constexpr uint32_t kBatch = 64;
  alignas(fiemap) std::array<std::byte, sizeof(fiemap) + kBatch * sizeof(fiemap_extent)> storage{};
  std::vector<Extent> extents;
  for (uint64_t next = 0;;) {
    storage.fill(std::byte{0});
    auto* map = reinterpret_cast<fiemap*>(storage.data());  // its last member has no size in C++
    map->fm_start = next;
    map->fm_length = ~uint64_t{0} - next;
    map->fm_extent_count = kBatch;
    if (::ioctl(fd, FS_IOC_FIEMAP, map) != 0 || map->fm_mapped_extents == 0) return extents;
    for (uint32_t i = 0; i < map->fm_mapped_extents; ++i) {
      fiemap_extent extent;
      std::memcpy(&extent, storage.data() + sizeof(fiemap) + i * sizeof extent, sizeof extent);
      extents.push_back({extent.fe_logical, extent.fe_physical, extent.fe_length});
      next = extent.fe_logical + extent.fe_length;
      if ((extent.fe_flags & FIEMAP_EXTENT_LAST) != 0) return extents;
    }
  }
}

}  // namespace

Ranges known_bad_ranges(int fd, Backing backing) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return {};
  if (backing == Backing::device_dax) {
    return bad_blocks_of(kSysfs, DeviceKind::character, info.st_rdev);
  }
  if (backing != Backing::dax_file) return {};
  const Ranges bad = bad_blocks_of(kSysfs, DeviceKind::block, info.st_dev);
  return bad.empty() ? Ranges{} : bad_file_ranges(bad, extents_of(fd));
}

}  // namespace paste::pmem
