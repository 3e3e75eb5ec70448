#include "log/recover.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "base/crc32c.h"
#include "log/pieces.h"
#include "pmem/guarded.h"

namespace paste::log {
namespace {

// No log lives to see it; keeps the arithmetic of arbitrary images from wrapping.
constexpr Lsn kLsnMax = Lsn{1} << 62;

}  // namespace

LogRecovery::LogRecovery(Shared& shared, LogState& log)
    : shared_(shared), core_(shared.core), log_(log) {}

Result<void> LogRecovery::broken(const std::string& detail) {
  const std::string what = fmt::format("log {}", log_.root_.name);
  if (!checking()) return fail(Code::corrupt, fmt::format("{}: {}", what, detail));
  core_.findings()->push_back({Code::corrupt, what, detail});
  return {};
}

void LogRecovery::find_damaged(Lsn lsn, const char* detail) {
  if (!log_.mark_damaged(lsn)) return;
  ++shared_.stats.corrupt;
  if (!checking()) return;
  core_.findings()->push_back(
      {Code::corrupt, fmt::format("record {} of log {}", lsn, log_.root_.name), detail});
}

// Bad ranges read as zeroes in the page domain; elsewhere the guard tells.
bool LogRecovery::readable(const void* at, size_t bytes) const noexcept {
  const auto begin =
      static_cast<uint64_t>(static_cast<const std::byte*>(at) - core_.region().data());
  return std::none_of(
      core_.region().bad_ranges().begin(), core_.region().bad_ranges().end(),
      [&](const auto& bad) { return begin < bad.first + bad.second && bad.first < begin + bytes; });
}

bool LogRecovery::load_entry(const Entry* place, Entry& entry) const noexcept {
  return readable(place, sizeof entry) &&
         pmem::guarded_read([&] { std::memcpy(&entry, place, sizeof entry); });
}

Result<void> LogRecovery::scan() {
  PASTE_TRY(scan_root());
  PASTE_TRY(scan_chain());
  scan_seal();
  PASTE_TRY(scan_records());
  PASTE_TRY(scan_end());
  count_torn();
  return {};
}

Result<void> LogRecovery::scan_root() {
  const auto& words = log_.root_.words;
  const Slice head{static_cast<BufferName>(words[format::kWordHead]), 0, 1};
  log_.first_ = words[format::kWordFirst];
  if (words[format::kWordHead] != head.buffer || !core_.valid(head) || log_.first_ == 0 ||
      log_.first_ > kLsnMax) {
    PASTE_TRY(broken("its root is damaged"));
    return fail(Code::corrupt, "a log's root is damaged");
  }
  PageHeader header{};
  const PageHeader* place = header_of(core_.buffer(head.buffer));
  const bool read = readable(place, sizeof header) &&
                    pmem::guarded_read([&] { std::memcpy(&header, place, sizeof header); });
  // The page that a root names was durable before its name was.
  if (!read || header.crc != header_crc(core_.crc_seed(), header) ||
      header.log_id != log_.root_.id || header.page != head.buffer || header.first_lsn == 0 ||
      header.first_lsn > log_.first_ || log_.first_ - header.first_lsn > log_.per_page_) {
    PASTE_TRY(broken(fmt::format("its first page, buffer {}, is damaged", head.buffer)));
    return fail(Code::corrupt, "a log's first page is damaged");
  }
  log_.base_ = log_.head_ = header.first_lsn;
  vouch(log_.first_ - 1);
  Page page;
  page.name = head.buffer;
  log_.pages_.push_back(page);
  return {};
}

Result<void> LogRecovery::scan_chain() {
  for (;;) {
    const Lsn first_lsn = log_.tail_first();
    PASTE_TRY(scan_page(first_lsn));
    const Entry* place = entries_of(core_.buffer(log_.pages_.back().name)) + log_.per_page_;
    Entry link{};
    if (!load_entry(place, link)) {
      return broken(fmt::format("the end of its page {} cannot be read", log_.pages_.back().name));
    }
    const Lsn last = first_lsn + log_.per_page_ - 1;
    if (!mark_valid(log_.seed_, last, link, EntryType::link)) return {};
    if (!core_.valid({link.buffer, 0, 1}) || log_.pages_.size() >= core_.buffer_end()) {
      return broken(fmt::format("the link behind record {} leads nowhere", last));
    }
    vouch(vouched_by(last, link));
    Page page;
    page.name = link.buffer;
    log_.pages_.push_back(page);
  }
}

// Header and deleted bits of the last page walked.
Result<void> LogRecovery::scan_page(Lsn first_lsn) {
  Page& page = log_.pages_.back();
  PageHeader header{};
  const PageHeader* place = header_of(core_.buffer(page.name));
  const bool read = readable(place, sizeof header) &&
                    pmem::guarded_read([&] { std::memcpy(&header, place, sizeof header); });
  if (!read) {
    if (bad_header_ == 0) bad_header_ = first_lsn;
    return broken(fmt::format("its page {} cannot be read", page.name));
  }
  if (header.log_id != log_.root_.id || header.first_lsn != first_lsn || header.page != page.name ||
      header.crc != header_crc(core_.crc_seed(), header)) {
    if (bad_header_ == 0) bad_header_ = first_lsn;
  }
  const Bits deleted = Bits::from_words(header.deleted);
  const bool checks = header.deleted_check == deleted_check(log_.root_.id, first_lsn, deleted);
  if (!checks || (deleted.any() && deleted.highest() >= log_.per_page_)) {
    return broken(fmt::format("the deletions in its page {} are damaged", page.name));
  }
  page.deleted = deleted;
  // A deletion is published after what it deletes is durable.
  if (deleted.any()) vouch(first_lsn + deleted.highest());
  return {};
}

// A seal's LSN is not in it: it is one of those that can be the last of its page.
void LogRecovery::scan_seal() {
  const Lsn first_lsn = log_.tail_first();
  const Entry* place = entries_of(core_.buffer(log_.pages_.back().name)) + log_.per_page_;
  Entry seal{};
  if (!load_entry(place, seal) || seal.lag != 0) return;
  for (uint32_t i = 0; i <= log_.per_page_; ++i) {
    if (!mark_valid(log_.seed_, first_lsn + i - 1, seal, EntryType::seal)) continue;
    seal_ = first_lsn + i - 1;
    vouch(seal_);
    return;
  }
}

// Checks the records that nothing vouches for, the last first: each that validates vouches for most
// of those before it, which then need not be read. A check reads all.
Result<void> LogRecovery::scan_records() {
  Lsn unreadable = 0;
  for (Lsn lsn = places_end() - 1; lsn >= log_.first_ && (lsn > vouched_ || checking()); --lsn) {
    Page& page = log_.page_of(lsn);
    const uint32_t index = log_.index_of(lsn);
    if (page.deleted.test(index)) continue;
    Entry entry{};
    if (!load_entry(log_.entry_at(lsn), entry)) {
      unreadable = std::max(unreadable, lsn);
      continue;
    }
    if (entry.type == static_cast<uint8_t>(EntryType::none)) continue;
    const Verdict verdict = scan_record(lsn, entry);
    if (verdict == Verdict::good) {
      page.verified.set(index);
      vouch(vouched_by(lsn, entry));
    } else if (verdict == Verdict::unreadable) {
      vouch(lsn);  // a crash tears bytes, it does not make them unreadable
      find_damaged(lsn, "the medium cannot read it");
    }
  }
  if (unreadable > vouched_) {
    return broken(fmt::format("the entry of record {} cannot be read", unreadable));
  }
  checked_ = checking() ? log_.first_ : std::max(log_.first_, vouched_ + 1);
  return {};
}

Verdict LogRecovery::scan_record(Lsn lsn, const Entry& entry) {
  const Verdict verdict = log_.verify(lsn, entry);
  if (verdict != Verdict::damaged) return verdict;
  const bool all = std::all_of(log_.slices_.begin(), log_.slices_.end(), [&](const Slice& slice) {
    return readable(core_.buffer(slice.buffer) + slice.offset, slice.length);
  });
  return all ? verdict : Verdict::unreadable;
}

Result<void> LogRecovery::scan_end() {
  Lsn end = places_end() - 1;
  if (vouched_ > end) {
    PASTE_TRY(broken(fmt::format("its pages end at record {}, but {} was kept", end, vouched_)));
  }
  for (Lsn lsn = std::max(vouched_ + 1, log_.first_); lsn <= end; ++lsn) {
    const Page& page = log_.page_of(lsn);
    if (!page.verified.test(log_.index_of(lsn))) end = lsn - 1;
  }
  if (bad_header_ != 0 && bad_header_ <= end) {
    if (bad_header_ <= vouched_) {
      PASTE_TRY(broken(fmt::format("the header of the page of record {} is damaged", bad_header_)));
    } else {
      end = bad_header_ - 1;
    }
  }
  end_ = std::max(end, log_.first_ - 1);
  const uint64_t kept = end_ < log_.base_ ? 1 : log_.page_index(end_) + 1;
  const bool full = end_ + 1 == log_.base_ + kept * log_.per_page_;
  for (uint64_t i = kept; i < log_.pages_.size(); ++i) behind_.push_back(log_.pages_[i].name);
  if (full && seal_ != end_) return scan_lost_pages();
  return {};
}

// The last page is full, and no record is found behind it. That is how a log may end, and also how
// it looks when a link is damaged: then pages lie somewhere that vouch for more.
Result<void> LogRecovery::scan_lost_pages() {
  for (BufferName name = core_.first_buffer(); name < core_.buffer_end(); ++name) {
    if (!lost_page_vouches(name)) continue;
    return broken(fmt::format("the link behind record {} is damaged", end_));
  }
  return {};
}

bool LogRecovery::lost_page_vouches(BufferName name) const {
  PageHeader header{};
  std::byte* bytes = core_.buffer(name);
  if (!pmem::guarded_read([&] { std::memcpy(&header, bytes, sizeof header); })) return false;
  if (header.log_id != log_.root_.id || header.first_lsn <= end_ || header.first_lsn > kLsnMax ||
      header.page != name || header.crc != header_crc(core_.crc_seed(), header)) {
    return false;
  }
  for (uint32_t i = 0; i <= log_.per_page_; ++i) {
    Entry entry{};
    if (!load_entry(entries_of(bytes) + i, entry)) continue;
    const Lsn lsn = header.first_lsn + i;
    if (i == log_.per_page_) {
      if (mark_valid(log_.seed_, lsn - 1, entry, EntryType::link)) {
        return vouched_by(lsn - 1, entry) > end_;
      }
      for (uint32_t j = 1; j <= log_.per_page_; ++j) {
        if (mark_valid(log_.seed_, header.first_lsn + j - 1, entry, EntryType::seal)) return true;
      }
    } else if (vouched_by(lsn, entry) > end_ && log_.verify(lsn, entry) == Verdict::good) {
      return true;
    }
  }
  return false;
}

void LogRecovery::count_torn() {
  for (Lsn lsn = end_ + 1; lsn < places_end(); ++lsn) {
    Entry entry{};
    if (!load_entry(log_.entry_at(lsn), entry)) continue;
    if (entry.type != static_cast<uint8_t>(EntryType::none)) ++shared_.stats.torn;
  }
}

}  // namespace paste::log
