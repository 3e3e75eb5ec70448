// What follows "xdp:" in the name of a port: IFACE[:QUEUE][:copy][:scatter].
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "paste/result.h"

namespace paste::port {

struct XdpSpec {
  std::string interface;
  std::optional<uint32_t> queue;  // nothing: all
  bool copy = false;              // the kernel copies frames, even where the NIC could write them
  bool scatter = false;           // packets leave in pieces, even where the kernel copies anyway
};

// Errors: invalid.
[[nodiscard]] Result<XdpSpec> parse_xdp_spec(std::string_view text);

}  // namespace paste::port
