#include "open_pool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>

#include "base/time.h"
#include "pmem/pool_file.h"
#include "pool/format.h"
#include "port/xdp/binding.h"

namespace paste::tool {
namespace {

enum class Place { nothing, device, file };

Place place_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return Place::nothing;
  return S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode) ? Place::device : Place::file;
}

// A device always exists; it counts as free only where nothing was ever written to the pool's
// fixed places, so that a damaged pool is never taken for an empty device.
bool blank(const pmem::Region& region) {
  const std::byte* const begin = region.data();
  const uint64_t end = std::min<uint64_t>(region.size(), pool::format::kFirstRootOffset);
  return std::all_of(begin, begin + end, [](std::byte b) { return b == std::byte{0}; });
}

// Long work shows on a terminal, at most five times a second.
void show_progress(std::string_view what, uint64_t done, uint64_t total) {
  static uint64_t shown_ns = 0;
  const uint64_t now = base::monotonic_ns();
  const bool end = done >= total;
  if (::isatty(STDERR_FILENO) == 0 || (!end && now - shown_ns < 200'000'000)) return;
  if (end && shown_ns == 0) return;  // it was short
  shown_ns = end ? 0 : now;
  fmt::print(stderr, "\r{}: {} of {}   {}", what, format_size(done), format_size(total),
             end ? "\n" : "");
  std::fflush(stderr);
}

// True when the pool's lock is held by nobody who lives: the kernel keeps a file open for a killed
// process until the last disk write it had under way is done.
bool holder_is_gone(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const int holder = pmem::lock_holder(fd);
  ::close(fd);
  if (holder == 0) return true;
  std::ifstream file(fmt::format("/proc/{}/stat", holder));
  std::string stat;
  std::getline(file, stat);
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= stat.size()) return true;
  const char state = stat[name_end + 2];
  return state == 'Z' || state == 'X';
}

// A restart right after SIGKILL must not fail because the dead process still writes.
Result<std::unique_ptr<pmem::Region>> open_when_free(const pmem::RegionOptions& options) {
  constexpr uint64_t kPatienceNs = 5'000'000'000;
  const uint64_t begin = base::monotonic_ns();
  for (;;) {
    auto region = pmem::open_region(options);
    if (region || region.error().code() != Code::in_use) return region;
    if (!holder_is_gone(options.path) || base::monotonic_ns() - begin > kPatienceNs) return region;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

// Nothing must hold a pool open twice, so a region moves through here once.
Result<OpenedPool> recover(std::unique_ptr<pmem::Region> region) {
  OpenedPool opened;
  PASTE_TRY_ASSIGN(opened.core, pool::Core::open(std::move(region)));
  PASTE_TRY(port::wait_for_old_bindings(*opened.core));
  PASTE_TRY_ASSIGN(opened.logs, log::Logs::recover(*opened.core));
  PASTE_TRY(opened.core->finish_recovery());
  return opened;
}

}  // namespace

Result<std::unique_ptr<pmem::Region>> create_pool(pmem::RegionOptions options,
                                                  const pool::CreateOptions& format, bool force) {
  options.create = true;
  options.progress = show_progress;
  const bool device = place_of(options.path) == Place::device;
  if (options.size == 0 && !device) options.size = uint64_t{1} << 30;
  if (device && !force) {
    pmem::RegionOptions look;
    look.path = options.path;
    look.read_only = true;
    PASTE_TRY_ASSIGN(const std::unique_ptr<pmem::Region> region, pmem::open_region(look));
    if (!blank(*region)) {
      return fail(Code::exists, fmt::format("{} is not blank: pst pool create --force {} formats "
                                            "it, and what it holds is lost",
                                            options.path, options.path));
    }
  }
  PASTE_TRY_ASSIGN(std::unique_ptr<pmem::Region> region, pmem::open_region(options));
  PASTE_TRY(pool::Core::create(*region, format));
  PASTE_TRY(region->publish_file());
  return region;
}

Result<OpenedPool> open_pool(pmem::RegionOptions options, const pool::CreateOptions& format) {
  const uint64_t begin = base::monotonic_ns();
  const auto finish = [begin](Result<OpenedPool> opened, bool created) {
    if (opened) {
      opened->created = created;
      opened->took = Duration(base::monotonic_ns() - begin);
    }
    return opened;
  };
  const Place place = place_of(options.path);
  bool create = options.create && place == Place::nothing;
  if (options.create && place == Place::device) {
    pmem::RegionOptions look;
    look.path = options.path;
    look.read_only = true;
    PASTE_TRY_ASSIGN(const std::unique_ptr<pmem::Region> region, pmem::open_region(look));
    create = blank(*region);
  }
  if (create) {
    PASTE_TRY_ASSIGN(auto region, create_pool(options, format, true));
    return finish(recover(std::move(region)), true);
  }
  options.create = false;
  options.size = 0;
  options.progress = show_progress;
  PASTE_TRY_ASSIGN(auto region, open_when_free(options));
  return finish(recover(std::move(region)), false);
}

Result<std::unique_ptr<InspectedPool>> inspect_pool(const std::string& path) {
  pmem::RegionOptions options;
  options.path = path;
  options.read_only = true;
  options.progress = show_progress;
  PASTE_TRY_ASSIGN(auto region, open_when_free(options));
  auto inspected = std::make_unique<InspectedPool>();
  // What stopped the walk is usually among the findings, in more detail.
  const auto note = [&](const Error& error) {
    if (!inspected->findings.empty()) return;
    inspected->findings.push_back({error.code(), "pool", error.message()});
  };
  auto core = pool::Core::open(std::move(region), {.findings = &inspected->findings});
  if (!core) {
    if (core.error().code() != Code::corrupt) return fail(core.error());
    note(core.error());
    return inspected;
  }
  inspected->core = std::move(*core);
  auto logs = log::Logs::recover(*inspected->core);
  if (!logs) {
    if (logs.error().code() != Code::corrupt) return fail(logs.error());
    note(logs.error());
    return inspected;
  }
  inspected->logs = std::move(*logs);
  return inspected;
}

std::string recovery_text(const OpenedPool& pool) {
  if (pool.created) return fmt::format("created in {}", format_duration(pool.took));
  const log::RecoveryStats& stats = pool.logs->recovery();
  std::string text = fmt::format(
      "recovered {} {} with {} {} in {}", stats.logs, stats.logs == 1 ? "log" : "logs",
      stats.records, stats.records == 1 ? "record" : "records", format_duration(pool.took));
  if (stats.torn != 0) {
    text += fmt::format(", dropped {} unacknowledged {}", stats.torn,
                        stats.torn == 1 ? "entry" : "entries");
  }
  if (stats.corrupt != 0) text += fmt::format(", {} DAMAGED", stats.corrupt);
  return text;
}

std::string_view survives_text(pmem::Domain domain) {
  switch (domain) {
    case pmem::Domain::process:
      return "a crash of this program, not of the machine";
    case pmem::Domain::page:
      return "power loss";
    case pmem::Domain::memory:
      return "power loss";
  }
  return "nothing";
}

PoolWords pool_words(const pmem::Region& region) {
  const std::string& text = region.description();
  const std::string start = fmt::format(" ({}: ", to_string(region.domain()));
  const size_t open = text.rfind(start);
  const size_t close = open == std::string::npos ? open : text.find(')', open);
  if (close == std::string::npos) {
    return {text, fmt::format("{}: survives {}", to_string(region.domain()),
                              survives_text(region.domain()))};
  }
  return {text.substr(0, open) + text.substr(close + 1), text.substr(open + 2, close - open - 2)};
}

uint64_t count_held(const pool::Core& core) {
  uint64_t held = 0;
  for (BufferName name = core.first_buffer(); name < core.buffer_end(); ++name) {
    held += core.holds(name) != 0;
  }
  return held;
}

std::string uuid_text(const pool::Core& core) {
  std::string text;
  for (size_t i = 0; i < core.uuid().size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", core.uuid()[i]);
  }
  return text;
}

}  // namespace paste::tool
