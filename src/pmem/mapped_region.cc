#include "pmem/mapped_region.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/time.h"
#include "pmem/guarded.h"

namespace paste::pmem {
namespace {

constexpr uint64_t kStep = 64u << 20;

// A DAX device cannot be mapped privately, so a read-only open works on a copy. Poisoned pages
// become zeroes and bad ranges.
Result<Mapping> copy_of_device(const PoolFile& file, uint64_t size, const Progress& progress,
                               Ranges* bad) {
  PASTE_TRY_ASSIGN(Mapping source, Mapping::file(file.fd(), size, MAP_SHARED, PROT_READ));
  PASTE_TRY_ASSIGN(Mapping copy, Mapping::anonymous(size));
  for (uint64_t at = 0; at < size; at += kPage) {
    std::byte* to = copy.data() + at;
    const std::byte* from = source.data() + at;
    if (!guarded_read([to, from] { std::memcpy(to, from, kPage); })) {
      std::memset(to, 0, kPage);
      bad->emplace_back(at, kPage);
    }
    if (progress && (at + kPage == size || at % kStep == 0)) {
      progress("copying the pool", at + kPage, size);
    }
  }
  return copy;
}

// A device keeps what was there before; a created region begins with zeroes, as a file does.
void zero_device(Mapping& mapping, const Progress& progress) {
  for (uint64_t done = 0; done < mapping.size();) {
    const uint64_t step = std::min(kStep, mapping.size() - done);
    std::memset(mapping.data() + done, 0, step);
    cache_flush().write_back(mapping.data() + done, step);
    done += step;
    if (progress) progress("writing zeroes", done, mapping.size());
  }
  store_fence();
}

Result<Mapping> map_shared(const PoolFile& file, uint64_t size, const Inspected& inspected,
                           Domain domain, const RegionOptions& options) {
  const Backing backing = inspected.facts.backing;
  const bool dax = backing == Backing::device_dax || backing == Backing::dax_file;
  // MAP_SYNC: the file system's own metadata is durable before a page becomes writable, so that
  // cache-line write-back alone makes a store durable.
  const int flags = backing == Backing::dax_file && domain == Domain::memory
                        ? MAP_SHARED_VALIDATE | MAP_SYNC
                        : MAP_SHARED;
  auto mapping = Mapping::file(file.fd(), size, flags, PROT_READ | PROT_WRITE);
  if (!mapping) {
    if (backing == Backing::hugetlbfs && mapping.error().os_error() == ENOMEM) {
      return fail(Code::io, fmt::format("not enough huge pages for {}: raise vm.nr_hugepages",
                                        format_size(size)));
    }
    return fail(std::move(mapping).error());
  }
  if (backing == Backing::tmpfs) ::madvise(mapping->data(), size, MADV_HUGEPAGE);
  PASTE_TRY(mapping->populate(options.progress, dax));
  if (options.create && backing == Backing::device_dax) zero_device(*mapping, options.progress);
  return mapping;
}

}  // namespace

MappedRegion::MappedRegion(Setup setup)
    : file_(std::move(setup.file)),
      mapping_(std::move(setup.mapping)),
      write_back_lines_(cache_flush().write_back),
      write_back_(setup.read_only             ? WriteBack::none
                  : setup.cache_is_persistent ? WriteBack::device_written
                                              : WriteBack::all),
      media_delay_(setup.media_delay) {
  data_ = mapping_.data();
  size_ = mapping_.size();
  domain_ = setup.domain;
  bad_ranges_ = std::move(setup.bad_ranges);
  description_ = std::move(setup.description);
}

Result<std::unique_ptr<Region>> MappedRegion::open(PoolFile file, uint64_t size,
                                                   const Inspected& inspected,
                                                   const DomainChoice& choice,
                                                   std::string description,
                                                   const RegionOptions& options) {
  install_bus_guard();
  Setup setup;
  setup.domain = choice.domain;
  setup.cache_is_persistent =
      choice.domain == Domain::memory && inspected.facts.persistence == Persistence::cpu_cache;
  setup.read_only = options.read_only;
  setup.media_delay = options.media_delay;
  setup.description = std::move(description);
  setup.bad_ranges = known_bad_ranges(file.fd(), inspected.facts.backing);
  if (!options.read_only) {
    PASTE_TRY_ASSIGN(setup.mapping, map_shared(file, size, inspected, choice.domain, options));
  } else if (inspected.facts.backing == Backing::device_dax) {
    PASTE_TRY_ASSIGN(setup.mapping,
                     copy_of_device(file, size, options.progress, &setup.bad_ranges));
  } else {
    PASTE_TRY_ASSIGN(setup.mapping, Mapping::file(file.fd(), size, MAP_PRIVATE | MAP_NORESERVE,
                                                  PROT_READ | PROT_WRITE));
  }
  setup.file.emplace(std::move(file));
  return std::make_unique<MappedRegion>(std::move(setup));
}

void MappedRegion::flush(const void* p, size_t n, Site site) noexcept {
  const auto offset = static_cast<uint64_t>(static_cast<const std::byte*>(p) - data_);
  PASTE_CHECK(offset <= size_ && n <= size_ - offset);
  switch (write_back_) {
    case WriteBack::all:
      break;
    case WriteBack::device_written:
      // eADR vouches for what the CPU stored. Record bytes may have been written by a device, and
      // where those wait is not the CPU's to promise, so they are written back all the same.
      if (site != Site::log_data) return;
      break;
    case WriteBack::none:
      return;
  }
  write_back_lines_(p, n);
}

Result<void> MappedRegion::begin_barrier(Site) {
  if (write_back_ == WriteBack::none) return {};
  store_fence();  // completes the write-backs of flush() and, with eADR, orders the stores
  if (media_delay_.count() > 0) base::spin_for(media_delay_);
  return {};
}

Result<void> MappedRegion::publish_file() {
  if (!file_) return {};
  return file_->publish();
}

Result<std::unique_ptr<Region>> anonymous_region(uint64_t size) {
  if (size == 0) return fail(Code::invalid, "an anonymous region needs a size");
  MappedRegion::Setup setup;
  PASTE_TRY_ASSIGN(setup.mapping, Mapping::anonymous((size + kPage - 1) & ~(kPage - 1)));
  PASTE_TRY(setup.mapping.populate({}, false));
  setup.description = "anonymous memory (process: survives nothing, for tests)";
  return std::make_unique<MappedRegion>(std::move(setup));
}

}  // namespace paste::pmem
