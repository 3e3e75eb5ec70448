#include "proto/http_parser.h"

#include <algorithm>
#include <cstring>

namespace paste::proto {

namespace {
// RFC 9110 §5.6.2. What no method starts with (TLS, binary noise) is refused at its first byte.
bool starts_method(char c) noexcept {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
         (c != '\0' && std::strchr("!#$%&'*+-.^_`|~", c) != nullptr);
}
}  // namespace

HttpParser::Step HttpParser::parse(std::string_view input, size_t& used) {
  used = 0;
  switch (state_) {
    case State::idle:
      return parse_idle(input, used);
    case State::head:
      return parse_scratch(input, used);
    case State::body_length:
      return parse_body_length(input, used);
    case State::body_chunked:
      return parse_body_chunked(input, used);
    case State::finished:
      state_ = State::idle;
      return Step::end;
    case State::failed:
      break;
  }
  return Step::error;
}

HttpParser::Step HttpParser::fail(HttpError error) noexcept {
  error_ = error;
  state_ = State::failed;
  return Step::error;
}

void HttpParser::trim() noexcept {
  if (state_ == State::idle) std::string().swap(scratch_);
}

bool HttpParser::skip_empty_lines(std::string_view input, size_t& used) noexcept {
  while (used < input.size()) {
    const char c = input[used];
    if (empty_line_cr_) {
      if (c != '\n' || ++empty_lines_ > kEmptyLinesMax) {
        fail({400, "malformed request line"});
        return false;
      }
      empty_line_cr_ = false;
    } else if (c == '\r') {
      empty_line_cr_ = true;
    } else {
      break;
    }
    ++used;
  }
  return true;
}

HttpParser::Step HttpParser::parse_idle(std::string_view input, size_t& used) {
  if (!skip_empty_lines(input, used)) return Step::error;
  if (used == input.size()) return Step::need_more;
  empty_lines_ = 0;
  line_start_ = 0;
  scanned_ = 0;
  scratch_.clear();
  const std::string_view text = input.substr(used);
  if (!starts_method(text[0])) return fail({400, "this is not an HTTP request"});
  if (repeats_head(text)) {
    used += last_head_.size();
    return begin_body();
  }
  size_t end = 0;
  switch (scan(text, &end)) {
    case Scan::failed:
      return Step::error;
    case Scan::complete:
      used += end;
      return finish_head(text.substr(0, end));
    case Scan::more:
      break;
  }
  scratch_.append(text);
  state_ = State::head;
  used = input.size();
  return Step::need_more;
}

HttpParser::Step HttpParser::parse_scratch(std::string_view input, size_t& used) {
  const size_t before = scratch_.size();
  scratch_.append(input.substr(0, limits_.header_bytes_max - before));
  size_t end = 0;
  switch (scan(scratch_, &end)) {
    case Scan::failed:
      return Step::error;
    case Scan::more:
      used = input.size();
      return Step::need_more;
    case Scan::complete:
      break;
  }
  used = end - before;
  return finish_head(std::string_view(scratch_).substr(0, end));
}

HttpParser::Scan HttpParser::scan(std::string_view head, size_t* end) noexcept {
  const bool full = head.size() >= limits_.header_bytes_max;
  head = head.substr(0, limits_.header_bytes_max);
  for (;;) {
    if (line_start_ != 0 && line_start_ < head.size() &&
        (head[line_start_] == ' ' || head[line_start_] == '\t')) {
      fail({400, "folded field lines are obsolete and refused"});  // RFC 9112 §5.2
      return Scan::failed;
    }
    const size_t at = head.find('\n', scanned_);
    if (at == std::string_view::npos) break;
    if (at == 0 || head[at - 1] != '\r') {
      fail({400, "a line ends without a carriage return"});
      return Scan::failed;
    }
    scanned_ = static_cast<uint32_t>(at + 1);
    if (at - line_start_ == 1) {
      *end = at + 1;
      return Scan::complete;
    }
    line_start_ = scanned_;
  }
  scanned_ = static_cast<uint32_t>(head.size());
  if (!full) return Scan::more;
  fail({431, "the request head is longer than this server accepts"});
  return Scan::failed;
}

bool HttpParser::repeats_head(std::string_view text) const noexcept {
  return !last_head_.empty() && text.starts_with(last_head_);
}

HttpParser::Step HttpParser::finish_head(std::string_view head) {
  if (head.size() <= kRememberedMax) {
    last_head_.assign(head);
    head = last_head_;
  } else {
    last_head_.clear();
  }
  if (const HttpError error = parse_head(head, request_)) return fail(error);
  return begin_body();
}

HttpParser::Step HttpParser::begin_body() {
  if (request_.content_length.value_or(0) > limits_.body_bytes_max) {
    return fail({413, "the body is longer than this server accepts"});
  }
  if (request_.chunked) {
    chunks_.start(limits_.body_bytes_max, limits_.header_bytes_max);
    state_ = State::body_chunked;
  } else if (request_.has_body()) {
    body_left_ = *request_.content_length;
    state_ = State::body_length;
  } else {
    state_ = State::finished;
  }
  return Step::header;
}

HttpParser::Step HttpParser::parse_body_length(std::string_view input, size_t& used) noexcept {
  if (input.empty()) return Step::need_more;
  used = static_cast<size_t>(std::min<uint64_t>(body_left_, input.size()));
  body_ = input.substr(0, used);
  body_left_ -= used;
  if (body_left_ == 0) state_ = State::finished;
  return Step::body;
}

HttpParser::Step HttpParser::parse_body_chunked(std::string_view input, size_t& used) noexcept {
  switch (chunks_.decode(input, used)) {
    case ChunkedDecoder::Step::need_more:
      return Step::need_more;
    case ChunkedDecoder::Step::data:
      body_ = chunks_.data();
      return Step::body;
    case ChunkedDecoder::Step::end:
      state_ = State::idle;
      return Step::end;
    case ChunkedDecoder::Step::error:
      break;
  }
  return fail(chunks_.error());
}

}  // namespace paste::proto
