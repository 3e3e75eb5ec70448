// Any split of the input gives the same requests and bodies.
//
// Invariants checked: the outcome of the bytes in one piece equals that of the same bytes cut as
// the first bytes of the input say; body parts lie inside the piece they came in; need_more takes
// everything; no more than the limits is ever collected; nothing is read behind a piece (ASan).
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "proto/http_parser.h"

namespace {

using paste::proto::HttpParser;

void require(bool condition) {
  if (!condition) std::abort();
}

// Appends to `out` what the parser says about one piece; false once it refused.
bool feed(HttpParser& parser, std::string_view piece, std::string& out) {
  // A copy of its own, so that reading past it is caught.
  const std::unique_ptr<char[]> copy(new char[piece.size()]);
  piece.copy(copy.get(), piece.size());
  std::string_view rest(copy.get(), piece.size());
  for (;;) {
    size_t used = 0;
    const auto step = parser.parse(rest, used);
    require(used <= rest.size());
    switch (step) {
      case HttpParser::Step::need_more:
        require(used == rest.size());
        return true;
      case HttpParser::Step::header: {
        const auto& r = parser.request();
        require(!(r.chunked && r.content_length));
        out += "[";
        out += to_string(r.method);
        out += ' ';
        out += r.path;
        out += '?';
        out += r.query;
        out += ' ';
        out += r.accept;
        out += r.keep_alive ? 'k' : 'c';
        out += r.chunked ? 'C' : '-';
        out += std::to_string(r.content_length.value_or(0)) + "]";
        break;
      }
      case HttpParser::Step::body: {
        const auto body = parser.body();
        require(!body.empty() && body.data() >= rest.data() &&
                body.data() + body.size() <= rest.data() + used);
        out += body;
        break;
      }
      case HttpParser::Step::end:
        out += "[end]";
        break;
      case HttpParser::Step::error:
        out += "[error " + std::to_string(parser.error().status) + parser.error().reason + "]";
        return false;
    }
    rest.remove_prefix(used);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 4) return 0;
  // The first byte, then three more, say how long the pieces are; small ones find the most.
  const std::string_view text(reinterpret_cast<const char*>(data) + 4, size - 4);
  const paste::proto::HttpParserLimits limits{.header_bytes_max = 512, .body_bytes_max = 4096};
  std::string whole;
  HttpParser one(limits);
  if (feed(one, text, whole) && one.idle()) whole += "idle";
  std::string cut;
  HttpParser many(limits);
  bool good = true;
  for (size_t at = 0, i = 0; good && at < text.size(); ++i) {
    const std::string_view piece = text.substr(at, 1 + data[i % 4] % 61);
    at += piece.size();
    good = feed(many, piece, cut);
  }
  if (good && many.idle()) cut += "idle";
  require(whole == cut);
  return 0;
}
