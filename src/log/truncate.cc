// Dropping records: what is published, at once; the room they took comes back in reclaim.cc.
#include <algorithm>

#include "log/state.h"

namespace paste::log {
namespace {

// Words that erase() publishes: one of the deleted bitmap, and its check.
constexpr uint32_t kEraseWords = 2;

}  // namespace

Result<Ticket> LogState::erase(Lsn lsn) {
  PASTE_TRY(writable());
  if (!present(lsn)) return fail(Code::not_found, "the log has no such record");
  if (core_.publish_room() < kEraseWords) {
    return fail(Code::busy, "this batch publishes too much already; commit, then try again");
  }
  Page& page = page_of(lsn);
  const uint32_t index = index_of(lsn);
  Bits deleted = page.deleted;
  deleted.set(index);
  const Lsn page_first = base_ + page_index(lsn) * per_page_;
  PageHeader* header = header_of(core_.buffer(page.name));
  PASTE_TRY(core_.publish(&header->deleted[index / 64], deleted.words()[index / 64]));
  PASTE_TRY(core_.publish(&header->deleted_check, deleted_check(root_.id, page_first, deleted)));

  Entry entry;
  if (!page.unclaimed.test(index) && load(lsn, entry) && plausible(core_, entry)) {
    page.bytes -= std::min<uint64_t>(page.bytes, entry.length);
    bytes_ -= std::min<uint64_t>(bytes_, entry.length);
    // A long record's thousands of holds go in the background.
    if (has_pieces(entry)) {
      shared_.lists.push_back(slice_of(entry));
    } else if (entry.length > 0) {
      core_.release_after_ticket(entry.buffer);
    }
  }
  page.deleted = deleted;
  ++deleted_;
  changed_ = core_.filling();
  return changed_;
}

Result<Ticket> LogState::truncate(Lsn keep_from) {
  PASTE_TRY(writable());
  const Lsn first = std::min(keep_from, next_);
  if (first <= first_) return changed_;
  // With nothing left the log stays in its last page.
  const uint64_t index = std::min(page_index(first), pages_.size() - 1);
  PASTE_TRY(core_.update_root(root_, {pages_[index].name, first, 0}));
  drop_bytes(first_, first);
  first_ = first;
  head_ = base_ + index * per_page_;
  changed_ = core_.filling();
  queue_reclaim();
  return changed_;
}

// Takes the records from … to-1 out of the sums.
void LogState::drop_bytes(Lsn from, Lsn to) noexcept {
  while (from < to) {
    Page& page = page_of(from);
    const uint32_t begin = index_of(from);
    const Lsn page_end = from - begin + per_page_;
    const auto end = static_cast<uint32_t>(std::min<Lsn>(to, page_end) - (page_end - per_page_));
    deleted_ -= page.deleted.count(begin, end);
    if (to >= page_end) {
      bytes_ -= page.bytes;
      page.bytes = 0;
    } else {
      for (uint32_t i = begin; i < end; ++i) {
        Entry entry;
        if (page.deleted.test(i) || page.unclaimed.test(i) || !load(from + (i - begin), entry)) {
          continue;
        }
        const uint64_t bytes = std::min<uint64_t>(entry.length, page.bytes);
        page.bytes -= bytes;
        bytes_ -= bytes;
      }
    }
    from = page_end;
  }
}

Result<Ticket> LogState::remove() {
  PASTE_TRY(writable());
  PASTE_TRY(core_.delete_root(root_));
  removed_ = true;
  first_ = next_;
  head_ = base_ + pages_.size() * per_page_;
  bytes_ = 0;
  deleted_ = 0;
  changed_ = core_.filling();
  packer_.close(core_);
  drop_spare();
  queue_reclaim();
  return changed_;
}

Lsn LogState::cut_for_count(uint64_t count) const noexcept {
  const uint64_t present_records = next_ - first_ - deleted_;
  if (present_records <= count) return first_;
  if (deleted_ == 0) return next_ - count;
  uint64_t drop = present_records - count;
  Lsn cut = first_;
  while (drop > 0) {
    const Page& page = page_of(cut);
    const uint32_t begin = index_of(cut);
    const auto end = static_cast<uint32_t>(std::min<Lsn>(per_page_, begin + (next_ - cut)));
    const uint64_t here = end - begin - page.deleted.count(begin, end);
    if (here <= drop) {
      drop -= here;
      cut += end - begin;
      continue;
    }
    for (uint32_t i = begin; drop > 0; ++i, ++cut) drop -= page.deleted.test(i) ? 0 : 1;
  }
  return cut;
}

Lsn LogState::cut_for_bytes(uint64_t bytes) noexcept {
  uint64_t kept = bytes_;
  Lsn cut = first_;
  while (kept > bytes && cut < next_) {
    const Page& page = page_of(cut);
    const uint32_t index = index_of(cut);
    if ((index == 0 || cut == first_) && kept - page.bytes > bytes) {
      kept -= page.bytes;
      cut = std::min<Lsn>(next_, cut - index + per_page_);
      continue;
    }
    Entry entry;
    if (!page.deleted.test(index) && !page.unclaimed.test(index) && load(cut, entry)) {
      kept -= std::min<uint64_t>(kept, entry.length);
    }
    ++cut;
  }
  return cut;
}

Lsn LogState::cut_for_age(uint64_t oldest_ns) noexcept {
  Lsn cut = first_;
  for (Lsn lsn = first_; lsn < next_; ++lsn) {
    Entry entry;
    if (!load(lsn, entry)) continue;  // dropped with the next older one
    if (entry.time_ns >= oldest_ns) break;
    cut = lsn + 1;
  }
  return cut;
}

}  // namespace paste::log
