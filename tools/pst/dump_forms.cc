#include "dump_forms.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

namespace paste::tool {
namespace {

bool printable(unsigned char c) { return c >= 0x20 && c < 0x7F; }

// Text that cannot move a terminal's cursor.
std::string escaped(const std::string& bytes) {
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      text += "\\n";
    } else if (c == '\\') {
      text += "\\\\";
    } else if (printable(byte)) {
      text += c;
    } else {
      text += fmt::format("\\x{:02x}", byte);
    }
  }
  return text;
}

std::string base64(const std::string& bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    for (size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    }
    for (size_t k = 0; k < 4; ++k) {
      text += k <= count ? kDigits[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return text;
}

std::string ndjson(Lsn lsn, uint64_t time_ns, const std::string& bytes) {
  nlohmann::ordered_json line = {{"lsn", lsn}, {"time", time_ns}, {"data", bytes}};
  try {
    return line.dump();
  } catch (const nlohmann::json::type_error&) {  // not UTF-8
    line.erase("data");
    line["base64"] = base64(bytes);
    return line.dump();
  }
}

}  // namespace

std::string time_text(uint64_t time_ns) {
  const auto seconds = static_cast<time_t>(time_ns / 1'000'000'000u);
  tm utc{};
  gmtime_r(&seconds, &utc);
  char stamp[40];
  const size_t length = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
  return fmt::format("{}.{:09}Z", std::string_view(stamp, length), time_ns % 1'000'000'000u);
}

void print_hex(Bytes bytes, uint64_t offset) {
  for (size_t i = 0; i < bytes.size(); i += 16) {
    std::string hex;
    std::string text;
    for (size_t k = i; k < i + 16; ++k) {
      if (k % 8 == 0) hex += ' ';
      if (k >= bytes.size()) {
        hex += "   ";
        continue;
      }
      const auto byte = static_cast<unsigned char>(bytes[k]);
      hex += fmt::format(" {:02x}", byte);
      text += printable(byte) ? static_cast<char>(byte) : '.';
    }
    fmt::print("{:010x}{}  |{}|\n", offset + i, hex, text);
  }
}

void print_places(Lsn lsn, std::span<const Slice> slices) {
  nlohmann::ordered_json line = {{"lsn", lsn}, {"places", nlohmann::json::array()}};
  for (const Slice slice : slices) {
    line["places"].push_back(
        {{"buffer", slice.buffer}, {"offset", slice.offset}, {"length", slice.length}});
  }
  fmt::print("{}\n", line.dump());
}

void print_record(DumpForm form, Lsn lsn, uint64_t time_ns, const std::string& bytes) {
  switch (form) {
    case DumpForm::raw:
      std::fwrite(bytes.data(), 1, bytes.size(), stdout);
      return;
    case DumpForm::ndjson:
      fmt::print("{}\n", ndjson(lsn, time_ns, bytes));
      return;
    case DumpForm::text:
      fmt::print("{} {} {} {}\n", lsn, time_text(time_ns), bytes.size(), escaped(bytes));
      return;
    case DumpForm::hex:
      fmt::print("{} {} {}\n", lsn, time_text(time_ns), bytes.size());
      print_hex(as_bytes(bytes), 0);
      return;
    case DumpForm::places:
      return;
  }
}

}  // namespace paste::tool
