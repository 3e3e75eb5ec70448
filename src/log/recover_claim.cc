// Second half of a log's recovery: claiming what was accepted, cutting the rest.
#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "log/pieces.h"
#include "log/recover.h"
#include "pmem/guarded.h"

namespace paste::log {

using pmem::Site;

Result<void> LogRecovery::claim_pages() {
  while (log_.pages_.size() > 1 && log_.tail_first() > std::max(end_, log_.base_)) {
    log_.pages_.pop_back();
  }
  for (uint64_t i = 0; i < log_.pages_.size(); ++i) {
    const BufferName name = log_.pages_[i].name;
    if (auto claimed = core_.claim(name, pool::Kind::structure); !claimed) {
      PASTE_TRY(broken(fmt::format("its page {} belongs to something else too", name)));
    }
  }
  log_.next_ = end_ + 1;
  log_.released_ = log_.first_;
  log_.sealed_ = seal_ == end_ ? seal_ : 0;
  return {};
}

void LogRecovery::claim_records() {
  Entry entries[128];
  for (Lsn lsn = log_.first_; lsn < log_.next_;) {
    const uint32_t begin = log_.index_of(lsn);
    const auto end =
        static_cast<uint32_t>(std::min<Lsn>(log_.per_page_, begin + (log_.next_ - lsn)));
    const Entry* from = log_.entry_at(lsn);
    const size_t bytes = (end - begin) * sizeof(Entry);
    const bool whole =
        readable(from, bytes) && pmem::guarded_read([&] { std::memcpy(entries, from, bytes); });
    for (uint32_t i = 0; i < end - begin; ++i, ++lsn) {
      const bool one = whole || load_entry(from + i, entries[i]);
      claim_record(lsn, one ? &entries[i] : nullptr);
    }
  }
}

void LogRecovery::claim_record(Lsn lsn, const Entry* entry) {
  Page& page = log_.page_of(lsn);
  const uint32_t index = log_.index_of(lsn);
  if (page.deleted.test(index)) {
    ++log_.deleted_;
    return;
  }
  ++shared_.stats.records;
  bool held = entry != nullptr && plausible(core_, *entry);
  if (held) {
    log_.slices_.clear();
    log_.lists_.clear();
    if (has_pieces(*entry)) {
      held = read_pieces(core_, slice_of(*entry), entry->length, log_.slices_, &log_.lists_);
      log_.slices_.insert(log_.slices_.end(), log_.lists_.begin(), log_.lists_.end());
    } else if (entry->length > 0) {
      log_.slices_.push_back(slice_of(*entry));
    }
    for (size_t i = 0; held && i < log_.slices_.size(); ++i) {
      held = core_.claim(log_.slices_[i].buffer, pool::Kind::data).has_value();
    }
  }
  if (!held) {
    // What it did claim stays held until the pool is opened again: nobody can say what is whose.
    page.unclaimed.set(index);
    find_damaged(lsn, "it names bytes that are not its own");
    return;
  }
  page.bytes += entry->length;
  log_.bytes_ += entry->length;
  if (lsn >= checked_ && !page.verified.test(index)) {
    find_damaged(lsn, "its bytes are not what was written");
  }
}

void LogRecovery::repair() {
  // What nothing vouches for may have survived in a cache only.
  for (Lsn lsn = std::max(vouched_ + 1, log_.first_); lsn <= end_; ++lsn) {
    const Entry* place = log_.entry_at(lsn);
    core_.flush(place, sizeof *place, Site::recover_accepted);
    log_.slices_.clear();
    log_.lists_.clear();
    if (has_pieces(*place)) {
      if (!read_pieces(core_, slice_of(*place), place->length, log_.slices_, &log_.lists_))
        continue;
      log_.slices_.insert(log_.slices_.end(), log_.lists_.begin(), log_.lists_.end());
    } else if (place->length > 0) {
      log_.slices_.push_back(slice_of(*place));
    }
    for (const Slice& slice : log_.slices_) {
      core_.flush(core_.bytes(slice).data(), slice.length, Site::recover_accepted);
    }
  }
  for (uint64_t i = log_.pages_.size() - 1; i > 0; --i) {
    if (log_.base_ + i * log_.per_page_ <= vouched_) break;
    core_.flush(core_.buffer(log_.pages_[i].name), sizeof(PageHeader), Site::recover_accepted);
    core_.flush(entries_of(core_.buffer(log_.pages_[i - 1].name)) + log_.per_page_, sizeof(Entry),
                Site::recover_accepted);
  }
  repair_tail();
}

// Zeroes, and flushes even what is zero already: it may be so in a cache only, from a recovery
// that was cut short, and what it hides must not come back behind new records.
void LogRecovery::repair_tail() {
  Entry* entries = entries_of(core_.buffer(log_.pages_.back().name));
  const auto begin = static_cast<uint32_t>(log_.next_ - log_.tail_first());
  const bool sealed = behind_.empty() && seal_ != 0;
  const uint32_t zeroes = log_.per_page_ + (sealed ? 0 : 1);
  for (uint32_t i = begin; i < zeroes; ++i) entries[i] = {};
  core_.flush(entries + begin, (log_.per_page_ + 1 - begin) * sizeof(Entry), Site::recover_tail);
}

void LogRecovery::wipe() {
  for (const BufferName name : behind_) {
    if (core_.holds(name) != 0) continue;
    std::memset(core_.buffer(name), 0, core_.buffer_size());
    core_.flush(core_.buffer(name), core_.buffer_size(), Site::recover_tail);
  }
}

}  // namespace paste::log
