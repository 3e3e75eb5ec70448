#include "paste/units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

namespace paste {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};

constexpr std::array<Unit, 17> kSizeUnits{{{"", 1},
                                           {"B", 1},
                                           {"K", 1e3},
                                           {"KB", 1e3},
                                           {"kB", 1e3},
                                           {"M", 1e6},
                                           {"MB", 1e6},
                                           {"G", 1e9},
                                           {"GB", 1e9},
                                           {"T", 1e12},
                                           {"TB", 1e12},
                                           {"KiB", 1024.0},
                                           {"k", 1e3},
                                           {"MiB", 1048576.0},
                                           {"GiB", 1073741824.0},
                                           {"TiB", 1099511627776.0},
                                           {"b", 1}}};
constexpr std::array<Unit, 6> kDurationUnits{
    {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}}};

// Splits "1.5GiB" into 1.5 and "GiB"; a failed split gives a negative number.
std::pair<double, std::string_view> split_number(std::string_view text) {
  double number = -1;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc() || !std::isfinite(number)) return {-1, {}};
  std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  return {number, unit};
}

template <size_t N>
double scale(double number, std::string_view unit, const std::array<Unit, N>& units) {
  for (const Unit& u : units) {
    if (u.name == unit) return number * u.factor;
  }
  return -1;
}

std::string shortest(double value, std::string_view unit) {
  if (value == std::floor(value)) return fmt::format("{:.0f} {}", value, unit);
  return fmt::format("{:.3g} {}", value, unit);
}

}  // namespace

Result<uint64_t> parse_size(std::string_view text) {
  const auto [number, unit] = split_number(text);
  const double bytes = number < 0 ? -1 : scale(number, unit, kSizeUnits);
  if (bytes < 0 || bytes >= 9.2e18) {
    return fail(Code::invalid,
                fmt::format("'{}' is not a size: write a number and B, KiB, MiB, GiB or TiB, "
                            "such as 2GiB",
                            text));
  }
  return static_cast<uint64_t>(std::llround(bytes));
}

Result<Duration> parse_duration(std::string_view text) {
  const auto [number, unit] = split_number(text);
  double ns = -1;
  if (number == 0 && unit.empty()) {
    ns = 0;
  } else if (number >= 0) {
    ns = scale(number, unit, kDurationUnits);
  }
  if (ns < 0 || ns >= 9.2e18) {
    return fail(Code::invalid,
                fmt::format("'{}' is not a duration: write a number and ns, us, ms, s, m or h, "
                            "such as 10us",
                            text));
  }
  return Duration(std::llround(ns));
}

std::string format_size(uint64_t bytes) {
  static constexpr std::array<std::string_view, 5> kNames{"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kNames.size()) {
    value /= 1024;
    ++unit;
  }
  return shortest(value, kNames[unit]);
}

std::string format_duration(Duration duration) {
  const double ns = static_cast<double>(duration.count());
  if (ns < 1e3) return shortest(ns, "ns");
  if (ns < 1e6) return shortest(ns / 1e3, "us");
  if (ns < 1e9) return shortest(ns / 1e6, "ms");
  return shortest(ns / 1e9, "s");
}

}  // namespace paste
