#include "proto/accept.h"

#include <algorithm>

namespace paste::proto {
namespace {

std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool same(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

// The weight in thousandths; malformed ones count as 1, as if they were not there.
int weight(std::string_view parameters) noexcept {
  while (!parameters.empty()) {
    const size_t end = parameters.find(';');
    const std::string_view item = trim(parameters.substr(0, end));
    parameters = end == std::string_view::npos ? std::string_view{} : parameters.substr(end + 1);
    if (item.size() < 3 || lower(item[0]) != 'q' || item[1] != '=') continue;
    if (item[2] != '0') return 1000;
    int value = 0;
    int unit = 100;
    for (size_t i = 4; i < item.size() && i < 7; ++i, unit /= 10) {
      if (item[i] < '0' || item[i] > '9') return 1000;
      value += (item[i] - '0') * unit;
    }
    return value;
  }
  return 1000;
}

// 3 exact, 2 "type/*", 1 "*/*", 0 no match: RFC 9110 lets the most specific range decide.
int specificity(std::string_view range, std::string_view type) noexcept {
  if (same(range, type)) return 3;
  if (range == "*/*" || range == "*") return 1;
  const size_t slash = type.find('/');
  const bool wild = range.size() == slash + 2 && range.back() == '*';
  return wild && same(range.substr(0, slash + 1), type.substr(0, slash + 1)) ? 2 : 0;
}

}  // namespace

size_t choose_type(std::string_view accept, std::span<const std::string_view> offered) noexcept {
  size_t best = 0;
  int best_score = 0;
  for (size_t i = 0; i < offered.size() && !accept.empty(); ++i) {
    int level = 0;
    int score = 0;
    for (std::string_view rest = accept; !rest.empty();) {
      const size_t end = rest.find(',');
      const std::string_view item = rest.substr(0, end);
      rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
      const size_t semicolon = item.find(';');
      const int fit = specificity(trim(item.substr(0, semicolon)), offered[i]);
      if (fit <= level) continue;
      level = fit;
      score = semicolon == std::string_view::npos ? 1000 : weight(item.substr(semicolon + 1));
    }
    if (score > best_score) {
      best_score = score;
      best = i;
    }
  }
  return best;
}

}  // namespace paste::proto
