#include "tcp/scoreboard.h"

#include <limits>

namespace paste::tcp {
namespace {
bool waits(const SentRecord& r) noexcept {
  return r.lost && !r.sacked && !r.retransmission_in_flight;
}
}  // namespace

std::optional<SeqRange> find_dsack(std::span<const SeqRange> blocks, Seq una) noexcept {
  if (blocks.empty()) return std::nullopt;
  const SeqRange first = blocks[0];
  if (first.end <= first.begin) return std::nullopt;
  if (first.end <= una) return first;  // RFC 2883 §4.1
  // RFC 2883 §4.2: a duplicate above the cumulative acknowledgement is followed by the block that
  // contains it.
  if (blocks.size() >= 2 && blocks[1].begin <= first.begin && first.end <= blocks[1].end) {
    return first;
  }
  return std::nullopt;
}

void Scoreboard::reset(bool free_storage) noexcept {
  if (free_storage) {
    ring_.release();
  } else {
    ring_.clear();
  }
  bytes_ = sacked_bytes_ = lost_bytes_ = retransmitted_bytes_ = 0;
  sacked_records_ = lost_waiting_ = 0;
  rescued_ = false;
}

void Scoreboard::count(const SentRecord& record, uint32_t length, bool add) noexcept {
  // Unsigned negation is subtraction modulo 2^32, which is what the counters need.
  const uint32_t n = add ? length : 0 - length;
  bytes_ += n;
  if (record.sacked) {
    sacked_bytes_ += n;
    return;
  }
  if (record.lost) lost_bytes_ += n;
  if (record.retransmission_in_flight) retransmitted_bytes_ += n;
}

Result<> Scoreboard::on_sent(Seq begin, uint32_t length, Instant now) {
  PASTE_CHECK(length > 0);
  PASTE_CHECK(empty() || ring_.back().end() == begin);
  if (full()) {
    return fail(Code::busy,
                "as many segments are in flight as the connection may track: wait for "
                "acknowledgements");
  }
  SentRecord record;
  record.begin = begin;
  record.length = length;
  record.first_sent = record.last_sent = now;
  ring_.push_back(record);
  count(record, length, true);
  return {};
}

void Scoreboard::on_retransmitted(uint32_t i, Instant now) noexcept {
  SentRecord& record = ring_[i];
  PASTE_CHECK(!record.sacked);
  if (waits(record)) --lost_waiting_;
  count(record, record.length, false);
  record.retransmission_in_flight = true;
  record.last_sent = now;
  if (record.retransmits < std::numeric_limits<uint16_t>::max()) ++record.retransmits;
  count(record, record.length, true);
}

bool Scoreboard::valid_block(const SeqRange& block, Seq una, Seq nxt) const noexcept {
  return block.begin < block.end && block.begin >= una && block.end <= nxt;
}

void Scoreboard::drop_front(Delivered& delivered) noexcept {
  const SentRecord& record = ring_.front();
  delivered.acked_bytes += record.length;
  if (!record.sacked) delivered.bytes += record.length;
  if (record.sacked) --sacked_records_;
  if (record.lost && !record.sacked) delivered.lost_acked = true;
  if (waits(record)) --lost_waiting_;
  count(record, record.length, false);
  ring_.pop_front();
}

void Scoreboard::cut_front(Seq una, Delivered& delivered) noexcept {
  if (empty() || una <= ring_.front().begin) return;
  SentRecord& record = ring_.front();
  const uint32_t n = una.value - record.begin.value;
  delivered.acked_bytes += n;
  if (!record.sacked) delivered.bytes += n;
  count(record, n, false);
  record.begin = una;
  record.length -= n;
}

void Scoreboard::mark_sacked(uint32_t i, Delivered& delivered) noexcept {
  SentRecord& record = ring_[i];
  delivered.sacked_bytes += record.length;
  delivered.bytes += record.length;
  if (record.lost) delivered.lost_acked = true;
  if (waits(record)) --lost_waiting_;
  count(record, record.length, false);
  record.sacked = true;
  record.lost = record.retransmission_in_flight = false;
  count(record, record.length, true);
  highest_sacked_ = sacked_records_ == 0 ? record.end() : max(highest_sacked_, record.end());
  ++sacked_records_;
}

void Scoreboard::mark_lost(uint32_t i) noexcept {
  SentRecord& record = ring_[i];
  PASTE_CHECK(!record.sacked);
  if (waits(record)) return;
  count(record, record.length, false);
  record.lost = true;
  record.retransmission_in_flight = false;
  count(record, record.length, true);
  lost_hint_ = lost_waiting_ == 0 ? record.begin : min(lost_hint_, record.begin);
  ++lost_waiting_;
}

bool Scoreboard::is_lost(uint32_t i, uint32_t mss) const noexcept {
  uint32_t runs = 0;
  uint64_t sacked = 0;
  bool in_run = false;
  for (uint32_t j = i + 1; j < size(); ++j) {
    if (ring_[j].sacked) {
      sacked += ring_[j].length;
      if (!in_run) ++runs;
    }
    in_run = ring_[j].sacked;
    if (runs >= kDupThresh || sacked > uint64_t{kDupThresh - 1} * mss) return true;
  }
  return false;
}

uint32_t Scoreboard::mark_lost_by_count(uint32_t mss) noexcept {
  if (sacked_records_ == 0) return 0;
  // From the highest down, so that the runs and bytes above a record are known when it is reached.
  uint32_t runs = 0, marked = 0;
  uint64_t sacked = 0;
  bool in_run = false;
  for (uint32_t i = size(); i-- > 0;) {
    const SentRecord& record = ring_[i];
    if (record.sacked) {
      sacked += record.length;
      if (!in_run) ++runs;
    } else if (!record.lost && !record.retransmission_in_flight &&
               (runs >= kDupThresh || sacked > uint64_t{kDupThresh - 1} * mss)) {
      mark_lost(i);  // RFC 6675 §4 IsLost
      ++marked;
    }
    in_run = record.sacked;
  }
  return marked;
}

void Scoreboard::mark_all_lost() noexcept {
  for (uint32_t i = 0; i < size(); ++i) {
    if (!ring_[i].sacked) mark_lost(i);
  }
  rescued_ = false;
}

void Scoreboard::forget_sacks() noexcept {
  for (uint32_t i = 0; i < size() && sacked_records_ > 0; ++i) {
    SentRecord& record = ring_[i];
    if (!record.sacked) continue;
    count(record, record.length, false);
    record.sacked = false;
    count(record, record.length, true);
    --sacked_records_;
  }
}

std::optional<uint32_t> Scoreboard::next_lost() noexcept {
  if (lost_waiting_ == 0) return std::nullopt;
  // The hint may lie before the first record or inside one that was cut.
  uint32_t i = lost_hint_ <= ring_.front().begin ? 0 : lower_bound(lost_hint_);
  while (i < size() && !waits(ring_[i])) ++i;
  PASTE_CHECK(i < size());
  lost_hint_ = ring_[i].begin;
  return i;
}

Scoreboard::Next Scoreboard::next_segment(bool new_data_available) noexcept {
  using Kind = Next::Kind;
  if (const auto i = next_lost()) return {Kind::lost, *i};  // RFC 6675 §4 rule 1
  if (new_data_available) return {Kind::new_data, 0};       // RFC 6675 §4 rule 2
  if (sacked_records_ > 0) {
    // RFC 6675 §4 rule 3: not known to be lost, but something above it has arrived.
    for (uint32_t i = 0; i < size() && ring_[i].end() <= highest_sacked_; ++i) {
      const SentRecord& record = ring_[i];
      if (!record.sacked && !record.retransmission_in_flight) return {Kind::unsure, i};
    }
  }
  // RFC 6675 §4 rule 4: once in a recovery the highest segment not sacked, lest its loss cost a
  // timeout; not if a retransmission of it is on its way, which serves the same end.
  if (rescued_) return {};
  for (uint32_t i = size(); i-- > 0;) {
    if (ring_[i].sacked) continue;
    return ring_[i].retransmission_in_flight ? Next{} : Next{Kind::rescue, i};
  }
  return {};
}

Result<> Scoreboard::split(uint32_t i, uint32_t length) {
  PASTE_CHECK(length > 0 && length < ring_[i].length);
  if (!can_split()) {
    return fail(Code::busy,
                "as many segments are in flight as the connection may track: wait for "
                "acknowledgements");
  }
  SentRecord second = ring_[i];
  second.begin += length;
  second.length -= length;
  ring_[i].length = length;
  ring_.insert(i + 1, second);
  if (second.sacked) ++sacked_records_;
  if (waits(second)) ++lost_waiting_;
  return {};
}

uint32_t Scoreboard::lower_bound(Seq s) const noexcept {
  uint32_t low = 0, high = size();
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    if (ring_[middle].begin < s) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

Scoreboard::Counts Scoreboard::recount() const noexcept {
  Counts c;
  for (uint32_t i = 0; i < size(); ++i) {
    const SentRecord& record = ring_[i];
    c.bytes += record.length;
    if (record.sacked) {
      c.sacked += record.length;
      ++c.sacked_records;
      continue;
    }
    if (record.lost) c.lost += record.length;
    if (record.retransmission_in_flight) c.retransmitted += record.length;
    if (waits(record)) ++c.lost_waiting;
  }
  return c;
}

}  // namespace paste::tcp
