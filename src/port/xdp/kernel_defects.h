// Kernels whose AF_XDP is known to be broken, by their own change logs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace paste::port {

struct KernelDefect {
  std::string what;
  std::string remedy;
  bool above_4_gib = false;  // only pools larger than that are touched: they are refused
};

// Of a release as uname(2) has it: "6.1.0-28-amd64". Nothing for what cannot be read.
[[nodiscard]] std::vector<KernelDefect> known_defects(std::string_view release);

}  // namespace paste::port
