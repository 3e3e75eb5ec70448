// What this machine, kernel and file system can do for a pool at a path: the facts that
// `pst doctor` prints.
#pragma once

#include <cstdint>
#include <string>

#include "paste/result.h"
#include "pmem/backing.h"

namespace paste::pmem {

struct PathReport {
  std::string path;
  bool exists = false;  // if not, the rest is about a file made in its directory
  Backing backing = Backing::regular_file;
  std::string file_system;
  bool dax = false;        // can be mapped so that cache write-back makes durable
  bool direct_io = false;  // O_DIRECT reads and writes work
  Persistence persistence = Persistence::unvouched;
  Domain domain = Domain::process;  // what `auto` gives
  std::string domain_text;          // the same, with what it survives
  uint64_t free_bytes = 0;          // room on its file system; size of a device
};
// Nothing is left behind: a file that has to be made for the probe has no name.
// Errors: not_found (neither the path nor its directory), permission, unsupported, io.
[[nodiscard]] Result<PathReport> probe_path(const std::string& path);

struct MachineReport {
  std::string flush_instruction;       // "clwb", "clflushopt", "clflush", "none"
  bool eadr = false;                   // some nd region saves the CPU caches too
  std::string transparent_huge_pages;  // "always", "madvise", "never"
  uint64_t huge_pages_free = 0;        // of hugetlbfs
  uint64_t huge_page_size = 0;         // bytes
  uint64_t memory_available = 0;       // bytes
  bool memlock_unlimited = false;
  uint64_t memlock_limit = 0;    // bytes, if limited
  uint32_t numa_nodes = 1;
  bool io_uring = false;         // the kind the page domain uses
  std::string io_uring_refusal;  // why not
};
[[nodiscard]] MachineReport probe_machine();

}  // namespace paste::pmem
