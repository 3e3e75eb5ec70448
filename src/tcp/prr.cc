#include "tcp/prr.h"

#include <algorithm>

#include "base/check.h"

namespace paste::tcp {

void Prr::enter(const Entry& entry) noexcept {
  PASTE_CHECK(entry.mss > 0);
  delivered_ = out_ = 0;
  ssthresh_ = entry.ssthresh;
  mss_ = entry.mss;
  // RFC 9937 §6.1: RecoverFS leaves out what was sacked before, as recovery cannot deliver it
  // again.
  const uint64_t sacked = std::min(entry.sacked, entry.flight);
  recover_fs_ = std::max<uint64_t>(entry.flight - sacked, 1);
}

uint64_t Prr::on_ack(const Ack& ack) noexcept {
  delivered_ += ack.delivered;
  uint64_t count = 0;
  if (ack.delivered > 0) {
    if (ack.pipe > ssthresh_) {
      // RFC 9937 §6.2: proportional: CEIL(prr_delivered × ssthresh / RecoverFS) - prr_out.
      const uint64_t due = (delivered_ * ssthresh_ + recover_fs_ - 1) / recover_fs_;
      count = due > out_ ? due - out_ : 0;
    } else {
      // RFC 9937 §6.2: PRR-CRB, which conserves packets …
      count = std::max(delivered_ > out_ ? delivered_ - out_ : 0, ack.delivered);
      // … and PRR-SSRB while recovery makes good progress.
      if (ack.safe) count += mss_;
      count = std::min(count, ssthresh_ - ack.pipe);
    }
  }
  // RFC 9937 §6.2: the fast retransmit itself is never held back.
  if (out_ == 0 && count == 0) count = mss_;
  return count;
}

}  // namespace paste::tcp
