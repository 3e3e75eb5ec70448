#include "pmem/probe.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "pmem/disk_writer.h"
#include "pmem/flush.h"
#include "pmem/pool_file.h"
#include "pmem/system_error.h"

namespace paste::pmem {
namespace {

// A value of /proc/meminfo, in its own unit; 0 if absent.
uint64_t meminfo(std::string_view wanted) {
  std::ifstream in("/proc/meminfo");
  std::string key;
  uint64_t value = 0;
  std::string unit;
  while (in >> key >> value && std::getline(in, unit)) {
    if (key == wanted) return value;
  }
  return 0;
}

// The word in brackets of "always [madvise] never".
std::string chosen_word(const char* path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  const size_t open = line.find('[');
  const size_t close = line.find(']');
  if (open == std::string::npos || close == std::string::npos || close < open) return "unknown";
  return line.substr(open + 1, close - open - 1);
}

// A file without a name in `directory`, one page long.
Result<UniqueFd> nameless_file(const std::string& directory) {
  UniqueFd fd(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd) return system_failure(fmt::format("cannot make a file in {}", directory), errno);
  struct statvfs info {};
  const uint64_t block = ::fstatvfs(fd.get(), &info) == 0 ? info.f_bsize : kPage;
  if (::ftruncate(fd.get(), static_cast<off_t>(block > kPage ? block : kPage)) != 0) {
    return system_failure(fmt::format("cannot make a file in {}", directory), errno);
  }
  return fd;
}

Result<UniqueFd> open_for_probe(const std::string& path, bool* exists) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    if (errno != ENOENT) return system_failure(fmt::format("cannot look at {}", path), errno);
    const auto parent = std::filesystem::path(path).parent_path();
    return nameless_file(parent.empty() ? "." : parent.string());
  }
  *exists = true;
  if (S_ISDIR(info.st_mode)) return nameless_file(path);
  if (!S_ISREG(info.st_mode) && !S_ISCHR(info.st_mode)) {
    return fail(Code::unsupported,
                fmt::format("{} is neither a regular file nor a DAX device", path));
  }
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return system_failure(fmt::format("cannot open {}", path), errno);
  return fd;
}

}  // namespace

Result<PathReport> probe_path(const std::string& path) {
  PathReport report;
  report.path = path;
  PASTE_TRY_ASSIGN(const UniqueFd fd, open_for_probe(path, &report.exists));
  PASTE_TRY_ASSIGN(const Inspected inspected, inspect(fd.get(), path));
  PASTE_TRY_ASSIGN(const DomainChoice choice, choose_domain(inspected.facts, std::nullopt, path));
  report.backing = inspected.facts.backing;
  report.file_system = inspected.file_system;
  report.dax = report.backing == Backing::device_dax || report.backing == Backing::dax_file;
  report.persistence = inspected.facts.persistence;
  report.domain = choice.domain;
  report.domain_text = describe_domain(choice);
  report.direct_io = report.backing == Backing::regular_file && enable_direct(fd.get());
  report.free_bytes = inspected.device_size;
  struct statvfs info {};
  if (report.backing != Backing::device_dax && ::fstatvfs(fd.get(), &info) == 0) {
    report.free_bytes = uint64_t{info.f_bavail} * info.f_frsize;
  }
  return report;
}

MachineReport probe_machine() {
  MachineReport report;
  report.flush_instruction = cache_flush().name;
  report.eadr = any_cpu_cache_region(kSysfs);
  report.transparent_huge_pages = chosen_word("/sys/kernel/mm/transparent_hugepage/enabled");
  report.huge_pages_free = meminfo("HugePages_Free:");
  report.huge_page_size = meminfo("Hugepagesize:") << 10;
  report.memory_available = meminfo("MemAvailable:") << 10;
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
    report.memlock_unlimited = limit.rlim_cur == RLIM_INFINITY;
    report.memlock_limit = report.memlock_unlimited ? 0 : limit.rlim_cur;
  }
  while (::access(fmt::format("/sys/devices/system/node/node{}", report.numa_nodes).c_str(),
                  F_OK) == 0) {
    ++report.numa_nodes;
  }
  const auto ring = make_uring_writer(-1, nullptr);  // no file: only asks whether the kernel would
  report.io_uring = ring.has_value();
  if (!ring) report.io_uring_refusal = ring.error().message();
  return report;
}

}  // namespace paste::pmem
