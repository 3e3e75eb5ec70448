// Giving room back, a bounded piece of work at a time. Nothing here is reachable any more at the
// end of the filling ticket; after a crash, what was not given back yet is free anyway.
#include <algorithm>

#include "log/pieces.h"
#include "log/state.h"

namespace paste::log {

void release_piece_list(pool::Core& core, Slice& at, int64_t& credit) {
  PieceList list;
  const Slice here = at;
  at = {};
  --credit;
  if (!read_piece_list(core, here, list)) return;
  for (uint32_t i = 0; i < list.count; ++i) core.release_after_ticket(list.pieces[i].buffer);
  core.release_after_ticket(here.buffer);
  credit -= list.count;
  at = list.next;
}

void LogState::queue_reclaim() {
  if (reclaim_queued_) return;
  reclaim_queued_ = true;
  shared_.reclaim.push_back(this);
}

void LogState::reclaim_record(Lsn lsn, int64_t& credit) {
  --credit;
  const Page& page = page_of(lsn);
  const uint32_t index = index_of(lsn);
  Entry entry;
  if (page.deleted.test(index) || page.unclaimed.test(index)) return;
  if (!load(lsn, entry) || !plausible(core_, entry)) return;
  if (has_pieces(entry)) {
    reclaim_list_ = slice_of(entry);
  } else if (entry.length > 0) {
    core_.release_after_ticket(entry.buffer);
  }
}

bool LogState::reclaim(int64_t& credit) {
  while (credit > 0) {
    if (reclaim_list_.buffer != kNoBuffer) {
      release_piece_list(core_, reclaim_list_, credit);
    } else if (!pages_.empty() && base_ + per_page_ <= std::min(released_, head_)) {
      core_.release_after_ticket(pages_[0].name);
      pages_.pop_front();
      base_ += per_page_;
    } else if (released_ < first_) {
      reclaim_record(released_++, credit);
    } else if (removed_ && !pages_.empty()) {
      core_.release_after_ticket(pages_[0].name);  // the last page was not full
      pages_.clear();
    } else {
      reclaim_queued_ = false;
      return false;
    }
  }
  return true;
}

}  // namespace paste::log
