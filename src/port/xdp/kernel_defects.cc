#include "port/xdp/kernel_defects.h"

#include <array>
#include <charconv>
#include <optional>

namespace paste::port {
namespace {

using Version = std::array<unsigned, 3>;

std::optional<Version> parse(std::string_view release) {
  Version version{};
  for (size_t i = 0; i < version.size(); ++i) {
    const auto [end, error] =
        std::from_chars(release.data(), release.data() + release.size(), version[i]);
    if (error != std::errc{}) return i == 2 ? std::optional(version) : std::nullopt;
    release.remove_prefix(static_cast<size_t>(end - release.data()));
    if (!release.starts_with('.')) return i == 0 ? std::nullopt : std::optional(version);
    release.remove_prefix(1);
  }
  return version;
}

// Repaired in these stable releases, and in all later series.
bool before(const Version& version, std::initializer_list<Version> repaired) {
  Version newest{};
  for (const Version& one : repaired) {
    if (one[0] == version[0] && one[1] == version[1]) return version[2] < one[2];
    newest = std::max(newest, one);
  }
  return version < newest;
}

}  // namespace

std::vector<KernelDefect> known_defects(std::string_view release) {
  std::vector<KernelDefect> defects;
  const auto version = parse(release);
  if (!version) return defects;
  if (*version < Version{5, 11, 0}) {
    defects.push_back({"AF_XDP of this kernel is older than what an xdp port needs",
                       "use Linux 6.1 or later", false});
  }
  // CVE-2025-21997. A distribution may have repaired it in a release of an older number.
  if (before(*version, {{6, 1, 132}, {6, 6, 85}, {6, 12, 21}, {6, 13, 9}})) {
    defects.push_back({"buffers above 4 GiB are taken for those below (CVE-2025-21997)",
                       "use a pool of at most 4 GiB, or Linux 6.1.132, 6.6.85, 6.12.21 or later",
                       true});
  }
  if ((*version)[0] == 6 && (*version)[1] == 16) {
    defects.push_back({"sending in copy mode can stop the kernel in some releases of Linux 6.16",
                       "use Linux 6.17 or later", false});
  }
  return defects;
}

}  // namespace paste::port
