#include "base/logging.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <ctime>

#include "base/time.h"

namespace paste::base {
namespace {

std::atomic<int> target{STDERR_FILENO};
std::atomic<Level> threshold{Level::info};
std::string target_path;  // changed only by log_open, which start-up calls once

std::string_view name_of(Level level) {
  switch (level) {
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warning:
      return "warning";
    case Level::error:
      return "error";
  }
  return "?";
}

Result<int> open_target(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
  if (fd >= 0) return fd;
  const Code code = errno == EACCES || errno == EPERM ? Code::permission : Code::io;
  return fail(code, fmt::format("cannot open the log file {}", path), errno);
}

}  // namespace

Result<Level> parse_level(std::string_view text) {
  for (Level level : {Level::debug, Level::info, Level::warning, Level::error}) {
    if (text == name_of(level)) return level;
  }
  return fail(Code::invalid,
              fmt::format("'{}' is not a log level: write debug, info, warning or error", text));
}

void log_set_level(Level level) noexcept { threshold = level; }

Result<void> log_open(const std::string& path) {
  PASTE_TRY_ASSIGN(const int fd, open_target(path));
  const int old = target.exchange(fd);
  if (old != STDERR_FILENO) ::close(old);
  target_path = path;
  return {};
}

Result<void> log_reopen() {
  if (target_path.empty()) return {};
  PASTE_TRY_ASSIGN(const int fd, open_target(target_path));
  // dup2 replaces the descriptor in one step, so a line being written elsewhere is never lost.
  const int replaced = ::dup2(fd, target.load());
  const int error = errno;
  ::close(fd);
  if (replaced < 0) return fail(Code::io, "the log file cannot be replaced", error);
  return {};
}

void log_line(Level level, std::string_view text) noexcept {
  if (level < threshold.load(std::memory_order_relaxed)) return;
  const uint64_t now = wall_ns();
  const time_t seconds = static_cast<time_t>(now / 1'000'000'000u);
  tm utc{};
  gmtime_r(&seconds, &utc);
  char stamp[40];
  const size_t length = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
  fmt::memory_buffer line;
  fmt::format_to(fmt::appender(line), "{}.{:03}Z {} {}\n", std::string_view(stamp, length),
                 now / 1'000'000u % 1000u, name_of(level), text);
  // A log that cannot be written must not stop the program; there is nowhere left to say so.
  [[maybe_unused]] const ssize_t written = ::write(target.load(), line.data(), line.size());
}

}  // namespace paste::base
