#include "port/sim/nic.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/crc32c.h"

namespace paste::sim {
namespace {

// The order of std::push_heap: the greatest first, so "later" is "less".
constexpr auto kLater = [](const auto& a, const auto& b) noexcept {
  return a.at != b.at ? b.at < a.at : b.sequence < a.sequence;
};

uint32_t digest_of(std::span<const Bytes> pieces) noexcept {
  uint32_t state = base::kCrcInit;
  for (const Bytes piece : pieces) state = base::crc32c_extend(state, piece);
  return state;
}

}  // namespace

Nic::Nic(World& world, std::string_view name, Link& out, const NicOptions& options)
    : world_(world),
      out_(out),
      options_(options),
      refusals_(world.prng().fork(name).fork("refusals")),
      completion_draws_(world.prng().fork(name).fork("completions")),
      name_(hash_name(name) & 0xffff),
      slots_(options.tx_ring),
      burst_left_(options.tx_burst) {
  PASTE_CHECK(options.tx_ring > 0 && options.rx_ring > 0);
  PASTE_CHECK(options.tx_burst > 0 && options.rx_burst > 0);
  PASTE_CHECK(options.tx_pause.count() > 0);
  PASTE_CHECK(options.completion_delay.count() >= 0 && options.completion_jitter.count() >= 0);
  PASTE_CHECK(options.wakeup_delay.count() >= 0);
  PASTE_CHECK(options.tx_refuse_ppm <= kPpm);
  for (uint32_t i = options.tx_ring; i > 0; --i) free_.push_back(i - 1);
}

bool Nic::transmit(uint64_t token, std::span<const Bytes> pieces) {
  if (!room()) {
    ++counters_.tx_refused;
    world_.record("nic:refuse", name_, token);
    return false;
  }
  accept(token, pieces);
  return true;
}

// A full ring needs no retry time: the completions that free it are events themselves.
bool Nic::room() {
  const tcp::Instant now = world_.now();
  if (retry_at_ <= now) retry_at_ = tcp::kNever;
  if (free_.empty() || retry_at_ != tcp::kNever) return false;
  if (burst_ends_ <= now) burst_left_ = options_.tx_burst;
  const bool unlucky = options_.tx_refuse_ppm != 0 && refusals_.chance(options_.tx_refuse_ppm);
  if (burst_left_ > 0 && !unlucky) return true;
  retry_at_ = unlucky ? now + options_.tx_pause : burst_ends_;
  schedule();
  return false;
}

void Nic::accept(uint64_t token, std::span<const Bytes> pieces) {
  const uint32_t index = free_.back();
  free_.pop_back();
  if (burst_left_ == options_.tx_burst) burst_ends_ = world_.now() + options_.tx_pause;
  --burst_left_;
  ++counters_.tx_accepted;
  Slot& slot = slots_[index];
  slot.token = token;
  slot.pieces.assign(pieces.begin(), pieces.end());
  slot.digest = digest_of(pieces);

  tcp::Instant at = world_.now() + options_.completion_delay;
  if (options_.completion_jitter.count() != 0) {
    const auto most = static_cast<uint64_t>(options_.completion_jitter.count());
    at = at + Duration(static_cast<int64_t>(completion_draws_.between(0, most)));
  }
  if (!options_.completions_shuffled) last_completion_ = at = std::max(at, last_completion_);
  pending_.push_back({at, ++sequence_, index});
  std::push_heap(pending_.begin(), pending_.end(), kLater);
  schedule();

  Frame frame;
  for (const Bytes piece : pieces) frame.insert(frame.end(), piece.begin(), piece.end());
  PASTE_CHECK(!frame.empty());
  if (!up_) {
    ++counters_.tx_link_down;
  } else if (frame.size() > options_.mtu + kEthernetHeader) {
    ++counters_.tx_too_large;
  } else {
    ++counters_.tx_sent;
    out_.send(std::move(frame));
  }
}

size_t Nic::completions(std::span<uint64_t> out) {
  ripen(world_.now());
  if (options_.completions_shuffled) {
    for (size_t i = ready_.size(); i > 1; --i) {
      std::swap(ready_[i - 1], ready_[completion_draws_.below(i)]);
    }
  }
  const size_t count = std::min(out.size(), ready_.size());
  for (size_t i = 0; i < count; ++i) {
    Slot& slot = slots_[ready_[i]];
    if (digest_of(slot.pieces) != slot.digest) {
      ++counters_.tx_changed;
      world_.record("nic:changed", name_, slot.token);
    }
    slot.pieces.clear();
    out[i] = slot.token;
    world_.record("nic:complete", name_, slot.token);
    free_.push_back(ready_[i]);
  }
  ready_.erase(ready_.begin(), ready_.begin() + static_cast<ptrdiff_t>(count));
  counters_.tx_completed += count;
  return count;
}

size_t Nic::receive(std::span<Frame> out) {
  const size_t count = std::min({out.size(), received_.size(), size_t{options_.rx_burst}});
  for (size_t i = 0; i < count; ++i) {
    out[i] = std::move(received_.front());
    received_.pop_front();
  }
  counters_.rx_taken += count;
  return count;
}

void Nic::receive(Frame frame) {
  ++counters_.rx_arrived;
  if (!up_) {
    ++counters_.rx_link_down;
  } else if (frame.size() > options_.mtu + kEthernetHeader) {
    ++counters_.rx_too_large;
  } else if (received_.size() >= options_.rx_ring) {
    ++counters_.rx_full;
    world_.record("nic:rx full", name_, frame.size());
  } else {
    received_.push_back(std::move(frame));
    signal();
  }
}

void Nic::arm(Actor& owner) {
  owner_ = &owner;
  ripen(world_.now());
  if (missed_ || !ready_.empty() || !received_.empty()) signal();
}

void Nic::signal() {
  missed_ = owner_ == nullptr;
  if (missed_) return;
  world_.wake(*std::exchange(owner_, nullptr), world_.now() + options_.wakeup_delay);
}

void Nic::act(tcp::Instant now) {
  ripen(now);
  const bool may_retry = retry_at_ <= now;
  if (may_retry) retry_at_ = tcp::kNever;
  // Completions that nobody waits for are found by arm().
  if (may_retry || (owner_ != nullptr && !ready_.empty())) signal();
  schedule();
}

void Nic::ripen(tcp::Instant now) {
  while (!pending_.empty() && pending_.front().at <= now) {
    ready_.push_back(pending_.front().slot);
    std::pop_heap(pending_.begin(), pending_.end(), kLater);
    pending_.pop_back();
  }
}

void Nic::schedule() {
  if (!pending_.empty()) world_.wake(*this, pending_.front().at);
  world_.wake(*this, retry_at_);
}

void Nic::set_up(bool up) {
  if (up_ == up) return;
  up_ = up;
  world_.record(up ? "nic:up" : "nic:down", name_);
  signal();
}

void Nic::set_mtu(uint32_t mtu) {
  if (options_.mtu == mtu) return;
  options_.mtu = mtu;
  world_.record("nic:mtu", name_, mtu);
  signal();
}

void Nic::faults_off() {
  options_.tx_refuse_ppm = 0;
  options_.completion_delay = options_.completion_jitter = options_.wakeup_delay = Duration(0);
  options_.completions_shuffled = false;
  set_up(true);
}

Result<void> Nic::check() const {
  const NicCounters& c = counters_;
  const bool sent = c.tx_accepted == c.tx_sent + c.tx_link_down + c.tx_too_large;
  const bool completed = c.tx_accepted == c.tx_completed + tx_in_ring();
  const bool received =
      c.rx_arrived == c.rx_taken + c.rx_full + c.rx_link_down + c.rx_too_large + received_.size();
  const bool ring = tx_in_ring() == pending_.size() + ready_.size();
  if (sent && completed && received && ring && c.tx_changed == 0) return {};
  return fail(
      Code::failed,
      fmt::format("card: tx {} accepted, {} sent, {} link down, {} too large, {} completed, {} in "
                  "ring, {} changed early; rx {} arrived, {} taken, {} full, {} link down, {} too "
                  "large, {} in ring",
                  c.tx_accepted, c.tx_sent, c.tx_link_down, c.tx_too_large, c.tx_completed,
                  tx_in_ring(), c.tx_changed, c.rx_arrived, c.rx_taken, c.rx_full, c.rx_link_down,
                  c.rx_too_large, received_.size()));
}

}  // namespace paste::sim
