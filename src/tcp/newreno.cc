#include "tcp/newreno.h"

#include <algorithm>

namespace paste::tcp {

NewReno::Action NewReno::on_duplicate(Seq una, Seq nxt) noexcept {
  if (in_recovery_) {
    window_ += mss_;  // RFC 5681 §3.2 step 4: a segment has left the network
    return Action::inflate;
  }
  ++duplicates_;
  if (duplicates_ < kDupThresh) return Action::limited;  // RFC 3042 §2, RFC 5681 §3.2 step 1
  if (duplicates_ > kDupThresh) return Action::none;
  // RFC 6582 §3.2 step 2: duplicates of what the last recovery sent again must not start another.
  if (recover_is_set_ && una <= recover_) return Action::none;
  recover_ = nxt;
  recover_is_set_ = true;
  in_recovery_ = true;
  partials_ = 0;
  return Action::retransmit;
}

NewReno::Action NewReno::on_new_ack(Seq una_before, Seq una) noexcept {
  duplicates_ = 0;
  // Sequence numbers wrap: a recovery point that is acknowledged says nothing a window later.
  if (!in_recovery_) {
    if (recover_is_set_ && una > recover_) recover_is_set_ = false;
    return Action::none;
  }
  if (una >= recover_) {
    // RFC 6582 §3.2 step 3: a full acknowledgement.
    in_recovery_ = false;
    return Action::recovered;
  }
  // RFC 6582 §3.2 step 3: deflate by what was acknowledged, add one segment back if it was one.
  const uint64_t acked = una.value - una_before.value;
  window_ -= std::min(window_, acked);
  if (acked >= mss_) window_ += mss_;
  ++partials_;
  return Action::partial;
}

void NewReno::on_timeout(Seq nxt) noexcept {
  recover_ = nxt;
  recover_is_set_ = true;
  in_recovery_ = false;
  duplicates_ = 0;
}

}  // namespace paste::tcp
