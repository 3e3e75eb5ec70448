// Counts the replies in what a server sends: HTTP/1.1 (RFC 9112) responses with a Content-Length,
// one after another, cut into pieces anywhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "paste/units.h"

namespace paste::load {

class ReplyReader {
 public:
  enum class Outcome : uint8_t {
    need_more,
    reply,      // one whole reply; status() is its own
    malformed,  // not HTTP, or framed in a way that is not read here; the connection is of no use
  };

  // Takes bytes from the front of `bytes` up to the end of one reply.
  Outcome read(std::string_view& bytes);
  [[nodiscard]] int status() const noexcept { return status_; }
  void reset() { *this = ReplyReader(); }

 private:
  bool parse_head(std::string_view head);

  static constexpr size_t kHeadMax = 16 * 1024;
  std::string head_;  // of a head that came in pieces
  uint64_t body_left_ = 0;
  int status_ = 0;
  bool in_body_ = false;
};

}  // namespace paste::load
