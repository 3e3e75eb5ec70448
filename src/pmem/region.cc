#include "pmem/region.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include "pmem/backing.h"
#include "pmem/mapped_region.h"
#include "pmem/page_region.h"
#include "pmem/pool_file.h"

namespace paste::pmem {
namespace {

// Block and buffer numbers are 32 bits wide.
constexpr uint64_t kSizeMax = uint64_t{1} << 43;

uint64_t round_up(uint64_t size, uint64_t multiple) {
  return (size + multiple - 1) / multiple * multiple;
}

Result<void> check_options(const RegionOptions& options) {
  if (options.path.empty()) return fail(Code::invalid, "a pool needs a path");
  if (options.create && options.read_only) {
    return fail(Code::invalid, "a pool cannot be created read-only");
  }
  if (options.size > kSizeMax) {
    return fail(Code::invalid, fmt::format("a pool of {} is larger than the limit of {}",
                                           format_size(options.size), format_size(kSizeMax)));
  }
  if (options.media_delay.count() < 0 || options.media_delay >= std::chrono::seconds(10)) {
    return fail(Code::invalid, fmt::format("a media delay of {} is not between 0 and 10 s",
                                           format_duration(options.media_delay)));
  }
  return {};
}

// How many bytes to map: what was asked for, or what is there.
Result<uint64_t> choose_size(const PoolFile& file, const Inspected& inspected,
                             const RegionOptions& options) {
  if (file.is_device()) {
    const uint64_t size = options.create && options.size != 0
                              ? round_up(options.size, inspected.granularity)
                              : inspected.device_size;
    if (size == 0 || size > inspected.device_size) {
      return fail(Code::invalid,
                  fmt::format("{} has {}, not {}", options.path, format_size(inspected.device_size),
                              format_size(size)));
    }
    return size;
  }
  if (options.create) {
    if (options.size == 0) return fail(Code::invalid, "a new pool file needs a size");
    return round_up(options.size, inspected.granularity);
  }
  PASTE_TRY_ASSIGN(const uint64_t bytes, file.size());
  const uint64_t size = bytes / inspected.granularity * inspected.granularity;
  if (size == 0 || size > kSizeMax) {
    return fail(Code::corrupt,
                fmt::format("{} has {}: it is not a pool", options.path, format_size(bytes)));
  }
  return size;
}

bool is_character_device(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISCHR(info.st_mode);
}

}  // namespace

std::string_view to_string(Domain domain) noexcept {
  switch (domain) {
    case Domain::process:
      return "process";
    case Domain::page:
      return "page";
    case Domain::memory:
      return "memory";
  }
  return "unknown";
}

Result<std::unique_ptr<Region>> open_region(const RegionOptions& options) {
  PASTE_TRY(check_options(options));
  const bool create_file = options.create && !is_character_device(options.path);
  PASTE_TRY_ASSIGN(PoolFile file, create_file ? PoolFile::create(options.path)
                                              : PoolFile::open(options.path, options.read_only));
  PASTE_TRY_ASSIGN(const Inspected inspected, inspect(file.fd(), options.path));
  PASTE_TRY_ASSIGN(const DomainChoice choice,
                   choose_domain(inspected.facts, options.domain, options.path));
  PASTE_TRY_ASSIGN(const uint64_t size, choose_size(file, inspected, options));
  if (create_file) {
    const Backing backing = inspected.facts.backing;
    const bool disk = backing != Backing::tmpfs && backing != Backing::hugetlbfs;
    auto filled = file.fill_with_zeroes(size, disk, options.progress);
    if (!filled && backing == Backing::hugetlbfs) {
      return fail(Code::io, fmt::format("not enough huge pages for {}: raise vm.nr_hugepages",
                                        format_size(size)));
    }
    PASTE_TRY(std::move(filled));
  }
  std::string description = fmt::format("{} {} ({})", to_string(inspected.facts.backing),
                                        options.path, describe_domain(choice));
  if (choice.domain == Domain::page) {
    return PageRegion::open(std::move(file), size, inspected.stable_writes, std::move(description),
                            options);
  }
  return MappedRegion::open(std::move(file), size, inspected, choice, std::move(description),
                            options);
}

}  // namespace paste::pmem
