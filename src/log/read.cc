// Reading: the first time since open, a record's checksum is verified; unreadable memory is an
// error of that record alone.
#include <cstring>

#include "base/crc32c.h"
#include "log/pieces.h"
#include "log/state.h"
#include "pmem/guarded.h"

namespace paste::log {

bool plausible(const pool::Core& core, const Entry& entry) noexcept {
  if (entry.flags != 0) return false;
  if (entry.type == static_cast<uint8_t>(EntryType::range)) {
    if (entry.length == 0) return entry.buffer == kNoBuffer && entry.offset == 0;
    return entry.length <= core.buffer_size() && core.valid(slice_of(entry));
  }
  return has_pieces(entry) && entry.length > 0 && entry.length <= kRecordBytesMax &&
         entry.auxiliary <= core.buffer_size() && core.valid(slice_of(entry));
}

bool LogState::load(Lsn lsn, Entry& entry) const noexcept {
  const Entry* place = entry_at(lsn);
  return pmem::guarded_read([&] { std::memcpy(&entry, place, sizeof entry); });
}

bool LogState::collect(const Entry& entry) {
  slices_.clear();
  if (!plausible(core_, entry)) return false;
  if (has_pieces(entry)) {
    return read_pieces(core_, slice_of(entry), entry.length, slices_, nullptr);
  }
  if (entry.length > 0) slices_.push_back(slice_of(entry));
  return true;
}

Verdict LogState::verify(Lsn lsn, const Entry& entry) {
  if (!collect(entry)) return Verdict::damaged;
  uint32_t state = entry_state(seed_, lsn, entry);
  if (!pmem::guarded_read([&] {
        for (const Slice& slice : slices_) state = base::crc32c_extend(state, core_.bytes(slice));
      })) {
    return Verdict::unreadable;
  }
  return base::crc32c_finish(state) == entry.crc ? Verdict::good : Verdict::damaged;
}

Verdict LogState::check(Lsn lsn) {
  Entry entry;
  if (!load(lsn, entry)) return Verdict::unreadable;
  if (page_of(lsn).unclaimed.test(index_of(lsn))) return Verdict::damaged;
  return verify(lsn, entry);
}

bool LogState::mark_damaged(Lsn lsn) noexcept {
  Page& page = page_of(lsn);
  const uint32_t index = index_of(lsn);
  if (page.damaged.test(index)) return false;
  page.damaged.set(index);
  return true;
}

Result<Record> LogState::read(Lsn lsn) {
  if (removed_) return fail(Code::closed, "the log was removed");
  if (!present(lsn)) return fail(Code::not_found, "the log has no such record");
  Page& page = page_of(lsn);
  const uint32_t index = index_of(lsn);
  Entry entry;
  if (page.damaged.test(index) || !load(lsn, entry)) {
    return fail(Code::corrupt, "the record is damaged");
  }
  if (page.verified.test(index)) {
    if (!collect(entry)) return fail(Code::corrupt, "the record is damaged");
  } else {
    const Verdict verdict = verify(lsn, entry);
    if (verdict == Verdict::unreadable) {
      return fail(Code::corrupt, "the medium cannot read the record");
    }
    if (verdict == Verdict::damaged) {
      if (mark_damaged(lsn)) ++shared_.stats.corrupt;
      return fail(Code::corrupt, "the record's bytes are not what was written");
    }
    page.verified.set(index);
  }
  return Record{.lsn = lsn,
                .time_ns = entry.time_ns,
                .length = entry.length,
                .auxiliary = has_pieces(entry) ? 0 : entry.auxiliary,
                .slices = slices_};
}

}  // namespace paste::log
