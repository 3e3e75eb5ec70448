// What a script runs against: our engine in virtual time, or the kernel's TCP in real time.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "paste/units.h"
#include "tcp/tuple.h"

namespace paste::scripts {

using Frame = std::vector<std::byte>;  // with a header of Ethernet

struct Sent {
  Duration at{0};
  Frame frame;
};

// Addresses and ports of both ends; `local` is the end under test.
[[nodiscard]] tcp::FourTuple script_tuple(bool v6);

// Times count from the script's start.
class Backend {
 public:
  virtual ~Backend() = default;
  [[nodiscard]] virtual Duration now() = 0;
  // The next packet that the end under test sends, if it does until `until`; time then is `until`.
  [[nodiscard]] virtual std::optional<Sent> next(Duration until) = 0;
  virtual void inject(const Frame& frame) = 0;
  // What the program does; returns what was not as expected, or "".
  [[nodiscard]] virtual std::string app(const std::string& word, const std::string& argument) = 0;
  // The state of the connection; "" if this backend cannot tell.
  [[nodiscard]] virtual std::string state() = 0;
  // Ends everything; returns what is wrong: something leaked.
  [[nodiscard]] virtual std::string finish() = 0;
  // How much later, and earlier, than a script says a packet may be.
  [[nodiscard]] virtual Duration late() const = 0;
  [[nodiscard]] virtual Duration early() const = 0;
};

// The byte at `offset` of the peer's stream.
[[nodiscard]] constexpr std::byte peer_byte(uint32_t offset) noexcept {
  return static_cast<std::byte>((offset * 0x9E3779B1U) >> 24);
}

}  // namespace paste::scripts
