// The program's log: one line each, with time and level, to standard error or a file. For events a
// person should know, never for the data path.
// Thread-safe: each line is one write(2) to a descriptor opened for appending.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "paste/result.h"

namespace paste::base {

enum class Level : uint8_t { debug, info, warning, error };

// "debug", "info", "warning", "error". Errors: invalid.
[[nodiscard]] Result<Level> parse_level(std::string_view text);

// Lines below `level` are dropped. Default: info.
void log_set_level(Level level) noexcept;
// Appends to `path` from now on. Errors: io, permission; the old target stays then.
Result<void> log_open(const std::string& path);
// Opens the same path again, after it was rotated away. Does nothing for standard error.
Result<void> log_reopen();

void log_line(Level level, std::string_view text) noexcept;

template <typename... Args>
void log_info(fmt::format_string<Args...> text, Args&&... args) {
  log_line(Level::info, fmt::format(text, std::forward<Args>(args)...));
}
template <typename... Args>
void log_warning(fmt::format_string<Args...> text, Args&&... args) {
  log_line(Level::warning, fmt::format(text, std::forward<Args>(args)...));
}
template <typename... Args>
void log_error(fmt::format_string<Args...> text, Args&&... args) {
  log_line(Level::error, fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace paste::base
