#include "port/xdp/xdp_spec.h"

#include <charconv>

namespace paste::port {

Result<XdpSpec> parse_xdp_spec(std::string_view text) {
  XdpSpec spec;
  spec.interface = text.substr(0, text.find(':'));
  if (spec.interface.empty()) return fail(Code::invalid, "xdp needs an interface: xdp:eth0");
  for (size_t at = text.find(':'); at != std::string_view::npos; at = text.find(':')) {
    text.remove_prefix(at + 1);
    const std::string_view word = text.substr(0, text.find(':'));
    if (word == "copy") {
      spec.copy = true;
      continue;
    }
    if (word == "scatter") {
      spec.scatter = true;
      continue;
    }
    uint32_t queue = 0;
    const auto parsed = std::from_chars(word.data(), word.data() + word.size(), queue);
    if (parsed.ec != std::errc{} || parsed.ptr != word.data() + word.size() || spec.queue) {
      return fail(Code::invalid, "'" + std::string(word) +
                                     "' is neither a queue nor an option of an xdp port: "
                                     "xdp:IFACE[:QUEUE][:copy][:scatter]");
    }
    spec.queue = queue;
  }
  return spec;
}

}  // namespace paste::port
