#include "pmem/sysfs.h"

#include <fmt/format.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace paste::pmem {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> read_line(const fs::path& path) {
  std::ifstream in(path);
  std::string line;
  if (!in) return std::nullopt;
  std::getline(in, line);
  return line;
}

// Decimal, or hexadecimal behind 0x as sysfs writes addresses.
std::optional<uint64_t> read_number(const fs::path& path) {
  const auto line = read_line(path);
  if (!line) return std::nullopt;
  std::string_view text = *line;
  int base = 10;
  if (text.starts_with("0x")) {
    text.remove_prefix(2);
    base = 16;
  }
  uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (parsed.ec != std::errc{}) return std::nullopt;
  return value;
}

fs::path device_link(const std::string& root, DeviceKind kind, dev_t device) {
  return fs::path(root) / "dev" / (kind == DeviceKind::block ? "block" : "char") /
         fmt::format("{}:{}", major(device), minor(device));
}

// The device's own folder under /sys/devices; empty if there is none.
fs::path device_folder(const std::string& root, DeviceKind kind, dev_t device) {
  std::error_code error;
  fs::path folder = fs::canonical(device_link(root, kind, device), error);
  return error ? fs::path() : folder;
}

// The nearest folder at or above `from` (below the root of the tree) that has `name`.
std::optional<fs::path> folder_with(const std::string& root, const fs::path& from,
                                    const char* name) {
  std::error_code error;
  const fs::path top = fs::canonical(root, error);
  for (fs::path at = from; !at.empty() && at != top && at != at.root_path();
       at = at.parent_path()) {
    if (fs::exists(at / name, error)) return at;
  }
  return std::nullopt;
}

Persistence persistence_of_folder(const std::string& root, const fs::path& folder, int depth) {
  std::error_code error;
  if (depth > 8) return Persistence::unvouched;
  std::optional<Persistence> weakest;
  for (const auto& part : fs::directory_iterator(folder / "slaves", error)) {
    const fs::path below = fs::canonical(part.path(), error);
    if (error) return Persistence::unvouched;
    const Persistence found = persistence_of_folder(root, below, depth + 1);
    weakest = weakest ? std::min(*weakest, found) : found;
  }
  if (weakest) return *weakest;
  const auto region = folder_with(root, folder, "persistence_domain");
  if (!region) return Persistence::unvouched;
  const std::string word = read_line(*region / "persistence_domain").value_or("");
  if (word == "cpu_cache") return Persistence::cpu_cache;
  if (word == "memory_controller") return Persistence::memory_controller;
  return Persistence::unvouched;
}

// Lines of "first-sector number-of-sectors", sectors of 512 bytes.
Ranges read_bad_blocks(const fs::path& path) {
  Ranges ranges;
  std::ifstream in(path);
  uint64_t sector = 0;
  uint64_t count = 0;
  while (in >> sector >> count) ranges.emplace_back(sector * 512, count * 512);
  return ranges;
}

// Moves ranges `by` bytes towards the start; what falls before it is cut off.
Ranges moved_down(const Ranges& ranges, uint64_t by) {
  Ranges moved;
  for (const auto& [offset, length] : ranges) {
    if (offset + length <= by) continue;
    const uint64_t cut = offset < by ? by - offset : 0;
    moved.emplace_back(offset + cut - by, length - cut);
  }
  return moved;
}

}  // namespace

std::string_view to_string(Persistence persistence) noexcept {
  switch (persistence) {
    case Persistence::unvouched:
      return "not vouched for";
    case Persistence::memory_controller:
      return "memory_controller";
    case Persistence::cpu_cache:
      return "cpu_cache";
  }
  return "unknown";
}

Persistence persistence_of(const std::string& root, DeviceKind kind, dev_t device) {
  const fs::path folder = device_folder(root, kind, device);
  if (folder.empty()) return Persistence::unvouched;
  return persistence_of_folder(root, folder, 0);
}

bool is_dax_device(const std::string& root, dev_t device) {
  const fs::path folder = device_folder(root, DeviceKind::character, device);
  if (folder.empty()) return false;
  std::error_code error;
  const fs::path subsystem = fs::read_symlink(folder / "subsystem", error);
  return !error && subsystem.filename() == "dax";
}

std::optional<uint64_t> dax_device_size(const std::string& root, dev_t device) {
  return read_number(device_link(root, DeviceKind::character, device) / "size");
}

uint64_t dax_device_alignment(const std::string& root, dev_t device) {
  const fs::path link = device_link(root, DeviceKind::character, device);
  // Newer kernels have it on the device, older ones on its parent.
  for (const char* place : {"align", "device/align", "../align"}) {
    if (const auto align = read_number(link / place); align && *align >= 4096) return *align;
  }
  return 4096;
}

Ranges bad_blocks_of(const std::string& root, DeviceKind kind, dev_t device) {
  const fs::path folder = device_folder(root, kind, device);
  if (folder.empty()) return {};
  const auto owner = folder_with(root, folder, "badblocks");
  if (!owner) return {};
  const Ranges bad = read_bad_blocks(*owner / "badblocks");
  if (kind == DeviceKind::block) {
    // A partition reports through its disk, whose blocks start earlier.
    const uint64_t start = *owner == folder ? 0 : read_number(folder / "start").value_or(0);
    return moved_down(bad, start * 512);
  }
  // A DAX device reports through its nd region; both say where in physical memory they begin.
  const auto base = read_number(*owner / "resource");
  const auto own = read_number(folder / "resource");
  if (!base || !own || *own < *base) return {};
  return moved_down(bad, *own - *base);
}

Ranges bad_file_ranges(const Ranges& bad_on_device, const std::vector<Extent>& extents) {
  Ranges found;
  for (const Extent& extent : extents) {
    for (const auto& [offset, length] : bad_on_device) {
      const uint64_t first = std::max(offset, extent.device_offset);
      const uint64_t end = std::min(offset + length, extent.device_offset + extent.length);
      if (first < end) {
        found.emplace_back(extent.file_offset + (first - extent.device_offset), end - first);
      }
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

bool needs_stable_writes(const std::string& root, dev_t device) {
  const fs::path folder = device_folder(root, DeviceKind::block, device);
  if (folder.empty()) return false;
  // A partition has no queue of its own.
  const auto owner = folder_with(root, folder, "queue");
  return owner && read_number(*owner / "queue/stable_writes").value_or(0) != 0;
}

bool any_cpu_cache_region(const std::string& root) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fs::path(root) / "bus/nd/devices", error)) {
    if (!entry.path().filename().string().starts_with("region")) continue;
    if (read_line(entry.path() / "persistence_domain") == "cpu_cache") return true;
  }
  return false;
}

}  // namespace paste::pmem
