// Recovery of one log: find its end, claim what it reaches, cut what is torn.
//
// A log ends before its first record that does not validate, unless something that validates
// vouches for that record: a later entry, link or seal (its LSN − lag), a deleted bit, or the
// published first LSN. Then the record is damaged, and stays.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "log/state.h"

namespace paste::log {

class LogRecovery {
 public:
  LogRecovery(Shared& shared, LogState& log);

  // The steps, in this order; each for all logs before the next, so that a damaged record of one
  // log cannot claim a page of another. Errors: corrupt. In check mode damage becomes findings
  // instead, and an error means that nothing further can be said of this log.
  Result<void> scan();
  Result<void> claim_pages();
  void claim_records();
  // Flushes what was accepted, zeroes and flushes what lies behind the end. Not in check mode.
  void repair();
  // Zeroes the pages behind the end, those that nothing else claimed. Not in check mode.
  void wipe();
  [[nodiscard]] const LogState& log() const noexcept { return log_; }

 private:
  Result<void> scan_root();
  Result<void> scan_chain();
  Result<void> scan_page(Lsn first_lsn);
  void scan_seal();
  Result<void> scan_records();
  Verdict scan_record(Lsn lsn, const Entry& entry);
  Result<void> scan_end();
  Result<void> scan_lost_pages();
  bool lost_page_vouches(BufferName name) const;
  void claim_record(Lsn lsn, const Entry* entry);
  void count_torn();
  void repair_tail();

  [[nodiscard]] bool checking() const noexcept { return core_.findings() != nullptr; }
  void vouch(Lsn lsn) noexcept { vouched_ = std::max(vouched_, lsn); }
  // Damage that ends the open; in check mode a finding.
  Result<void> broken(const std::string& detail);
  void find_damaged(Lsn lsn, const char* detail);
  [[nodiscard]] bool readable(const void* at, size_t bytes) const noexcept;
  [[nodiscard]] bool load_entry(const Entry* place, Entry& entry) const noexcept;
  // One past the last LSN that the pages walked have a place for.
  [[nodiscard]] Lsn places_end() const noexcept {
    return log_.base_ + log_.pages_.size() * log_.per_page_;
  }

  Shared& shared_;
  pool::Core& core_;
  LogState& log_;
  Lsn vouched_ = 0;     // everything up to here is known to be durable
  Lsn checked_ = 0;     // from here on every record was read
  Lsn bad_header_ = 0;  // first LSN of the first page whose header is not valid; 0 if none
  Lsn end_ = 0;         // the last record
  Lsn seal_ = 0;        // what the seal in the last page walked vouches for
  std::vector<BufferName> behind_;  // pages behind the end
};

}  // namespace paste::log
