// A script: what arrives, what the program does, and what must leave, line by line.
// The grammar is in README.md.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "paste/result.h"
#include "paste/units.h"

namespace paste::scripts {

// A segment as a line describes it; what is absent is a default (`in`) or not compared (`out`).
struct Shape {
  uint8_t flags = 0;  // tcp::Flag
  bool push_given = false;
  std::optional<uint32_t> seq, ack, window, length;
  std::optional<uint32_t> mss, shift, ts_value, ts_echo, urgent, mtu, code;
  std::optional<bool> sack_permitted, timestamps;
  std::optional<bool> ect;
  bool echo_last = false;
  bool ce = false;
  bool bad_checksum = false;
  bool fragment = false;
  std::optional<std::vector<std::pair<uint32_t, uint32_t>>> blocks;
  std::string icmp;  // "frag-needed", "unreachable"; empty: a TCP segment
  uint32_t times = 1;
};

struct Line {
  enum class Kind : uint8_t { in, out, none, app, connected, state };
  enum class When : uint8_t { now, at, after };
  Kind kind = Kind::in;
  When when = When::now;
  Duration time{0};                 // of `at` and `after`
  Duration earliest{0}, latest{0};  // of `out` and `none`
  Shape shape;
  std::string word;      // what the program does; the state; "active" or "passive"
  std::string argument;  // of it
  uint32_t number = 0;   // in the file
};

struct Script {
  std::string path;
  std::string title;  // the first comment
  bool linux_same = false;
  std::string linux_differs;  // why
  std::map<std::string, std::string> settings;
  std::vector<Line> lines;

  [[nodiscard]] std::string setting(const std::string& key, const std::string& otherwise) const {
    const auto found = settings.find(key);
    return found == settings.end() ? otherwise : found->second;
  }
  // REQUIRES: the parser accepted the setting.
  [[nodiscard]] uint32_t number(const std::string& key, uint32_t otherwise) const;
  [[nodiscard]] Duration duration(const std::string& key, Duration otherwise) const;
  [[nodiscard]] bool on(const std::string& key, bool otherwise) const;
};

// Errors: invalid, with "PATH:LINE: what is wrong".
[[nodiscard]] Result<Script> parse_script(const std::string& path, const std::string& text);
[[nodiscard]] Result<Script> load_script(const std::string& path);
// "10ms", "200us", "3s", "2min", "0"; nullopt if it is none.
[[nodiscard]] std::optional<Duration> parse_duration(const std::string& text);

}  // namespace paste::scripts
