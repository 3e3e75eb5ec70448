#include "proto/http_request.h"

#include <charconv>

namespace paste::proto {

std::string_view to_string(Method method) noexcept {
  switch (method) {
    case Method::get:
      return "GET";
    case Method::head:
      return "HEAD";
    case Method::post:
      return "POST";
    case Method::put:
      return "PUT";
    case Method::delete_:
      return "DELETE";
    case Method::options:
      return "OPTIONS";
    case Method::other:
      break;
  }
  return "other";
}

namespace {
int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}
}  // namespace

bool percent_decode(std::string_view text, bool plus_is_space, DecodedText& out) {
  out.length = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (out.length == DecodedText::kBytesMax) return false;
    char c = text[i];
    if (c == '%') {
      if (text.size() - i < 3) return false;
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return false;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    out.bytes[out.length++] = c;
  }
  return true;
}

QueryResult query_value(std::string_view query, std::string_view name, DecodedText& out) {
  while (!query.empty()) {
    const size_t end = query.find('&');
    std::string_view item = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view{} : query.substr(end + 1);
    const size_t equals = item.find('=');
    if (!percent_decode(item.substr(0, equals), true, out)) continue;  // not a name of ours
    if (out.view() != name) continue;
    const auto value =
        equals == std::string_view::npos ? std::string_view{} : item.substr(equals + 1);
    return percent_decode(value, true, out) ? QueryResult::present : QueryResult::malformed;
  }
  return QueryResult::absent;
}

QueryResult query_number(std::string_view query, std::string_view name, uint64_t& value) {
  DecodedText text;
  const QueryResult result = query_value(query, name, text);
  if (result != QueryResult::present) return result;
  uint64_t number = 0;
  const char* end = text.bytes.data() + text.length;
  const auto [stop, error] = std::from_chars(text.bytes.data(), end, number);
  if (error != std::errc{} || stop != end) return QueryResult::malformed;
  value = number;
  return QueryResult::present;
}

}  // namespace paste::proto
