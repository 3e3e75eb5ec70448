#include "tcp/siphash.h"

#include <bit>

namespace paste::tcp {
namespace {

class State {
 public:
  explicit State(const SipKey& key) noexcept
      : a_(key.k0 ^ 0x736f6d6570736575),
        b_(key.k1 ^ 0x646f72616e646f6d),
        c_(key.k0 ^ 0x6c7967656e657261),
        d_(key.k1 ^ 0x7465646279746573) {}

  void absorb(uint64_t word) noexcept {
    d_ ^= word;
    round();
    round();
    a_ ^= word;
  }
  [[nodiscard]] uint64_t finish() noexcept {
    c_ ^= 0xff;
    for (int i = 0; i < 4; ++i) round();
    return a_ ^ b_ ^ c_ ^ d_;
  }

 private:
  void round() noexcept {
    a_ += b_;
    c_ += d_;
    b_ = std::rotl(b_, 13) ^ a_;
    d_ = std::rotl(d_, 16) ^ c_;
    a_ = std::rotl(a_, 32) + d_;
    c_ += b_;
    d_ = std::rotl(d_, 21) ^ a_;
    b_ = std::rotl(b_, 17) ^ c_;
    c_ = std::rotl(c_, 32);
  }
  uint64_t a_, b_, c_, d_;
};

uint64_t load(Bytes bytes) {
  uint64_t word = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    word |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
  }
  return word;
}

}  // namespace

uint64_t siphash24(const SipKey& key, Bytes bytes) noexcept {
  State state(key);
  const uint64_t last = uint64_t{bytes.size()} << 56;
  while (bytes.size() >= 8) {
    state.absorb(load(bytes.first(8)));
    bytes = bytes.subspan(8);
  }
  state.absorb(last | load(bytes));
  return state.finish();
}

uint64_t siphash24(const SipKey& key, std::span<const uint64_t> words) noexcept {
  State state(key);
  for (uint64_t word : words) state.absorb(word);
  state.absorb(uint64_t{words.size() * 8} << 56);
  return state.finish();
}

}  // namespace paste::tcp
