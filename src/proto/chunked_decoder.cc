#include "proto/chunked_decoder.h"

#include <algorithm>

namespace paste::proto {

void ChunkedDecoder::start(uint64_t body_bytes_max, uint32_t trailer_bytes_max) noexcept {
  *this = ChunkedDecoder{};
  body_left_ = body_bytes_max;
  trailer_left_ = trailer_bytes_max;
}

ChunkedDecoder::Step ChunkedDecoder::fail(uint16_t status, const char* reason) noexcept {
  error_ = {status, reason};
  return Step::error;
}

bool ChunkedDecoder::take_size(char c) noexcept {
  const bool first = line_ == 0;
  if (++line_ > kLineBytesMax) {
    error_ = {400, "chunk size line too long"};
    return false;
  }
  int digit = -1;
  if (c >= '0' && c <= '9') digit = c - '0';
  if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
  if (c >= 'A' && c <= 'F') digit = c - 'A' + 10;
  if (digit >= 0) {
    if (remain_ >> 60 != 0) {
      error_ = {400, "chunk size too large"};
      return false;
    }
    remain_ = remain_ * 16 + static_cast<uint64_t>(digit);
    return true;
  }
  if (!first && c == '\r') {
    state_ = State::size_lf;
    return true;
  }
  if (!first && (c == ';' || c == ' ' || c == '\t')) {
    state_ = State::extension;
    return true;
  }
  error_ = {400, "malformed chunk size"};
  return false;
}

bool ChunkedDecoder::take_size_end() noexcept {
  line_ = 0;
  if (remain_ == 0) {
    last_ = true;
    state_ = State::trailer;
    return true;
  }
  if (remain_ > body_left_) {
    error_ = {413, "the body is longer than this server accepts"};
    return false;
  }
  body_left_ -= remain_;
  state_ = State::data;
  return true;
}

bool ChunkedDecoder::take_trailer(char c) noexcept {
  if (trailer_left_ == 0) {
    error_ = {431, "the trailers are longer than this server accepts"};
    return false;
  }
  --trailer_left_;
  if (state_ == State::trailer_lf) {
    state_ = State::trailer;
    if (c == '\n') return true;
  } else if (c == '\r') {
    state_ = state_ == State::trailer ? State::end_lf : State::trailer_lf;
    return true;
  } else if (c != '\n' && c != '\0' &&
             !(state_ == State::trailer && (c == ' ' || c == '\t' || c == ':'))) {
    state_ = State::trailer_line;
    return true;
  }
  error_ = {400, "malformed trailer"};
  return false;
}

ChunkedDecoder::Step ChunkedDecoder::decode(std::string_view input, size_t& used) noexcept {
  size_t at = 0;
  used = 0;
  while (at < input.size()) {
    if (state_ == State::data) {
      const size_t n = static_cast<size_t>(std::min<uint64_t>(remain_, input.size() - at));
      data_ = input.substr(at, n);
      remain_ -= n;
      if (remain_ == 0) state_ = State::data_cr;
      used = at + n;
      return Step::data;
    }
    const char c = input[at++];
    bool good = true;
    switch (state_) {
      case State::size:
        good = take_size(c);
        break;
      case State::extension:
        if (++line_ > kLineBytesMax) return fail(400, "chunk size line too long");
        if (c == '\r') state_ = State::size_lf;
        if (c == '\n' || c == '\0') return fail(400, "malformed chunk extension");
        break;
      case State::size_lf:
        if (c != '\n') return fail(400, "malformed end of a chunk size line");
        good = take_size_end();
        break;
      case State::data_cr:
        if (c != '\r') return fail(400, "a chunk does not end where its size says");
        state_ = State::data_lf;
        break;
      case State::data_lf:
        if (c != '\n') return fail(400, "a chunk does not end where its size says");
        state_ = State::size;
        break;
      case State::end_lf:
        if (c != '\n') return fail(400, "malformed end of the chunks");
        used = at;
        return Step::end;
      default:
        good = take_trailer(c);
        break;
    }
    if (!good) return Step::error;
  }
  used = at;
  return Step::need_more;
}

}  // namespace paste::proto
