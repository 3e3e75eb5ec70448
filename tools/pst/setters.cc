#include <fmt/format.h>

#include <charconv>

#include "command.h"
#include "paste/units.h"

namespace paste::tool {

Setter set_text(std::string& target) {
  return [&target](std::string_view text) -> Result<void> {
    if (text.empty()) return fail(Code::invalid, "'' is empty: write a value");
    target = text;
    return {};
  };
}

Setter set_switch(bool& target) {
  return [&target](std::string_view text) -> Result<void> {
    for (std::string_view word : {"true", "yes", "on", "1"}) {
      if (text == word) {
        target = true;
        return {};
      }
    }
    for (std::string_view word : {"false", "no", "off", "0"}) {
      if (text == word) {
        target = false;
        return {};
      }
    }
    return fail(Code::invalid,
                fmt::format("'{}' is neither yes nor no: write true or false", text));
  };
}

Setter set_size(uint64_t& target) {
  return [&target](std::string_view text) -> Result<void> {
    PASTE_TRY_ASSIGN(target, parse_size(text));
    return {};
  };
}

Setter set_duration(std::chrono::nanoseconds& target) {
  return [&target](std::string_view text) -> Result<void> {
    PASTE_TRY_ASSIGN(target, parse_duration(text));
    return {};
  };
}

Setter set_number(uint64_t& target, uint64_t low, uint64_t high) {
  return [&target, low, high](std::string_view text) -> Result<void> {
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number < low || number > high) {
      return fail(Code::invalid,
                  high == UINT64_MAX
                      ? fmt::format("'{}' is not a whole number from {} up", text, low)
                      : fmt::format("'{}' is not a whole number from {} to {}", text, low, high));
    }
    target = number;
    return {};
  };
}

Unexpected refuse_choice(std::string_view text, std::string_view allowed) {
  return fail(Code::invalid, fmt::format("'{}' is not allowed: write one of {}", text, allowed));
}

}  // namespace paste::tool
