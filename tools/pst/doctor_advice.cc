#include "doctor_advice.h"

#include <fmt/format.h>

#include <filesystem>

namespace paste::tool {
namespace {

using pmem::Backing;
using pmem::Persistence;

// Below this a default --max-connections of 20000 does not fit.
constexpr uint64_t kDescriptorsWanted = 20'064;

bool ring_is_switched_off(const std::string& reason) {
  return reason.find("io_uring_disabled") != std::string::npos;
}

}  // namespace

std::vector<Advice> advise(const Machine& machine) {
  std::vector<Advice> advice = machine.kernel_defects;
  if (!machine.uring_refusal.empty()) {
    advice.push_back({"sockets are served through epoll, at more CPU time per request",
                      ring_is_switched_off(machine.uring_refusal)
                          ? "sysctl kernel.io_uring_disabled=0"
                          : "use a kernel from 6.1 on; in a container, allow io_uring_setup, "
                            "io_uring_enter and io_uring_register in its seccomp profile"});
  }
  if (machine.memory.flush_instruction == "none") {
    advice.push_back({"the processor has no cache write-back that is known here",
                      "use the page domain (--domain page): it needs none"});
  }
  if (machine.memory.transparent_huge_pages == "never") {
    advice.push_back({"page pools live in small pages, which costs time per request",
                      "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"});
  }
  if (machine.descriptors < kDescriptorsWanted) {
    advice.push_back({fmt::format("at most about {} connections fit", machine.descriptors),
                      "raise the hard limit: ulimit -Hn 65536, or LimitNOFILE=65536 in the unit"});
  }
  return advice;
}

std::vector<Advice> advise(const pmem::PathReport& report) {
  std::vector<Advice> advice;
  const auto add = [&](std::string finding, std::string remedy) {
    advice.push_back({std::move(finding), std::move(remedy)});
  };
  const bool memory_file = report.backing == Backing::tmpfs || report.backing == Backing::hugetlbfs;
  if (memory_file) {
    add("records do not survive a crash of the machine or power loss",
        "put the pool on a disk file system (domain page) or on persistent memory");
  }
  if (report.backing == Backing::regular_file && !report.direct_io) {
    add("no O_DIRECT here: pools are written through the cache and synced", "use ext4 or xfs");
  }
  if (report.dax && report.persistence == Persistence::unvouched) {
    add("the platform does not vouch that this memory survives power loss",
        "if you know that it does (battery, CXL with global persistent flush): --domain memory");
  }
  if (!report.exists && report.free_bytes < (uint64_t{1} << 30) && !report.dax) {
    add(fmt::format("only {} are free", format_size(report.free_bytes)),
        memory_file ? fmt::format("mount -o remount,size=SIZE {}",
                                  std::filesystem::path(report.path).parent_path().string())
                    : "free some space, or make the pool smaller with --size");
  }
  return advice;
}

std::string why_text(const pmem::PathReport& report) {
  switch (report.backing) {
    case Backing::tmpfs:
    case Backing::hugetlbfs:
      return "the file lives in ordinary memory, which outlives the program and not the machine";
    case Backing::regular_file:
      return report.direct_io
                 ? "the file lives on a disk: each ticket's blocks are written with O_DIRECT"
                 : "the file lives on a disk: each ticket's blocks are written and synced";
    case Backing::device_dax:
    case Backing::dax_file:
      break;
  }
  switch (report.persistence) {
    case Persistence::memory_controller:
      return "the platform vouches for its memory controller: cache lines written back are safe";
    case Persistence::cpu_cache:
      return "the platform vouches for its caches too: stores are safe after a fence";
    case Persistence::unvouched:
      return "memory reached directly, but the platform does not vouch that it survives power loss";
  }
  return "";
}

}  // namespace paste::tool
