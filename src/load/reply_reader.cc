#include "load/reply_reader.h"

#include <strings.h>

#include <algorithm>
#include <charconv>

namespace paste::load {
namespace {

constexpr std::string_view kEnd = "\r\n\r\n";

bool same_word(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

template <typename Number>
bool read_number(std::string_view text, Number& number) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

// RFC 9112 §4: status line and header lines; §6: what frames the body.
bool ReplyReader::parse_head(std::string_view head) {
  if (!head.starts_with("HTTP/1.1 ") || head.size() < 12) return false;
  if (!read_number(head.substr(9, 3), status_) || status_ < 200) return false;
  bool framed = status_ == 204 || status_ == 304;
  body_left_ = 0;
  for (size_t at = head.find("\r\n"); at + 2 < head.size();) {
    const size_t begin = at + 2;
    at = std::min(head.find("\r\n", begin), head.size());
    const std::string_view line = head.substr(begin, at - begin);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = line.substr(0, colon);
    if (same_word(name, "Transfer-Encoding")) return false;
    if (same_word(name, "Content-Length")) {
      framed = read_number(line.substr(colon + 1), body_left_);
      if (!framed) return false;
    }
  }
  return framed;
}

ReplyReader::Outcome ReplyReader::read(std::string_view& bytes) {
  if (!in_body_) {
    if (bytes.empty()) return Outcome::need_more;
    if (head_.empty() && bytes.find(kEnd) != std::string_view::npos) {
      const size_t end = bytes.find(kEnd);
      if (!parse_head(bytes.substr(0, end + 2))) return Outcome::malformed;
      bytes.remove_prefix(end + kEnd.size());
    } else {
      const size_t before = head_.size();
      head_.append(bytes);
      const size_t end = head_.find(kEnd, before < 3 ? 0 : before - 3);
      if (end == std::string::npos) {
        bytes = {};
        return head_.size() > kHeadMax ? Outcome::malformed : Outcome::need_more;
      }
      bytes.remove_prefix(end + kEnd.size() - before);
      head_.resize(end + 2);
      if (!parse_head(head_)) return Outcome::malformed;
      head_.clear();
    }
    in_body_ = true;
  }
  const uint64_t taken = std::min<uint64_t>(body_left_, bytes.size());
  bytes.remove_prefix(taken);
  body_left_ -= taken;
  if (body_left_ != 0) return Outcome::need_more;
  in_body_ = false;
  return Outcome::reply;
}

}  // namespace paste::load
