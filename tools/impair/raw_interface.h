// All frames of an interface, in both directions, as packet(7) gives them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "paste/result.h"
#include "port/sim/frame.h"

namespace paste::tool {

// Frames that arrive at it leave by the interface.
class RawInterface final : public sim::Endpoint {
 public:
  // Errors: not_found, permission, io.
  static Result<std::unique_ptr<RawInterface>> open(const std::string& name);
  ~RawInterface() override;
  RawInterface(const RawInterface&) = delete;
  RawInterface& operator=(const RawInterface&) = delete;

  void receive(sim::Frame frame) override;
  // The next frame that came in by the interface; empty if there is none now.
  [[nodiscard]] sim::Frame take();

  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] uint64_t refused() const noexcept { return refused_; }

 private:
  RawInterface() = default;
  int fd_ = -1;
  uint64_t refused_ = 0;  // frames that the kernel did not take
};

}  // namespace paste::tool
