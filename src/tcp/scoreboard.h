// What is in flight, segment by segment, and what selective acknowledgements say about it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "paste/result.h"
#include "tcp/growing_ring.h"
#include "tcp/instant.h"
#include "tcp/seq.h"

namespace paste::tcp {

// One segment as it was sent; lengths are in sequence space, so SYN and FIN count one each.
struct SentRecord {
  Instant first_sent;
  Instant last_sent;
  Seq begin;
  uint32_t length = 0;
  uint16_t retransmits = 0;  // saturating
  bool sacked = false;
  bool lost = false;
  bool retransmission_in_flight = false;

  [[nodiscard]] Seq end() const noexcept { return begin + length; }
  [[nodiscard]] bool retransmitted() const noexcept { return retransmits != 0; }
};

// RFC 2883 §4: what the first block of an acknowledgement reports as received twice, if it does:
// it lies below `una`, or inside the second block.
[[nodiscard]] std::optional<SeqRange> find_dsack(std::span<const SeqRange> blocks,
                                                 Seq una) noexcept;

// Invariants: records are in sequence order without gaps and cover [una, nxt); first_sent never
// decreases along them; a sacked record counts neither as lost nor as in flight. An empty
// scoreboard holds no state but its capacity. Not thread-safe.
class Scoreboard {
 public:
  static constexpr uint32_t kDupThresh = 3;  // RFC 6675 §2
  static constexpr uint32_t kSplits = 4;     // times records_max is room for smaller pieces

  explicit Scoreboard(uint32_t records_max) noexcept
      : ring_(records_max * kSplits), records_max_(records_max) {}
  // The same, with the allocation of an earlier one.
  Scoreboard(uint32_t records_max, GrowingRing<SentRecord>&& ring) noexcept
      : ring_(records_max * kSplits, std::move(ring)), records_max_(records_max) {}
  [[nodiscard]] GrowingRing<SentRecord> take_storage() noexcept { return std::move(ring_); }

  [[nodiscard]] bool empty() const noexcept { return ring_.empty(); }
  // Of what may be sent anew; what is in flight may still be cut smaller.
  [[nodiscard]] bool full() const noexcept { return ring_.size() >= records_max_; }
  [[nodiscard]] bool can_split() const noexcept { return !ring_.full(); }
  [[nodiscard]] uint32_t size() const noexcept { return ring_.size(); }
  [[nodiscard]] const SentRecord& operator[](uint32_t i) const noexcept { return ring_[i]; }
  // Forgets everything; with `free_storage` also the capacity.
  void reset(bool free_storage = false) noexcept;

  // A new segment was sent. Error: busy if there are as many records as allowed; the scoreboard is
  // unchanged (ask full() before sending). REQUIRES: length > 0, begin is behind the last record.
  [[nodiscard]] Result<> on_sent(Seq begin, uint32_t length, Instant now);
  // Record `i` was sent again. REQUIRES: it is not sacked.
  void on_retransmitted(uint32_t i, Instant now) noexcept;

  struct Delivered {
    uint32_t acked_bytes = 0;   // by the cumulative acknowledgement, sacked before or not
    uint32_t sacked_bytes = 0;  // by blocks, for the first time
    uint32_t bytes = 0;         // DeliveredData of RFC 9937 §6.2: all that was not known before
    bool lost_acked = false;    // a segment that had been declared lost is among them
  };
  // The cumulative acknowledgement `una` and the blocks of one segment. Blocks that are reversed,
  // empty, below `una` or beyond `nxt` are ignored (RFC 2018 §4 leaves the sender to trust nobody);
  // a record that is covered in part stays unmarked. Calls visit(const SentRecord&) for each record
  // that is delivered now, first those that `una` covers, then block by block, in sequence order
  // within each; a record acknowledged in part is cut and not visited. REQUIRES: una ≤ nxt. `visit`
  // must not call this scoreboard.
  template <typename Visit>
  Delivered on_ack(Seq una, Seq nxt, std::span<const SeqRange> blocks, Visit&& visit) {
    Delivered delivered;
    while (!ring_.empty() && ring_.front().end() <= una) {
      if (!ring_.front().sacked) visit(ring_.front());
      drop_front(delivered);
    }
    cut_front(una, delivered);
    for (const SeqRange& block : blocks) {
      if (!valid_block(block, una, nxt)) continue;
      for (uint32_t i = lower_bound(block.begin); i < size() && ring_[i].end() <= block.end; ++i) {
        if (ring_[i].sacked) continue;
        visit(ring_[i]);
        mark_sacked(i, delivered);
      }
    }
    return delivered;
  }

  // How many records from the front `una` covers, if it ends with one of them and each was sent
  // once and is neither sacked nor lost; 0 if not so.
  [[nodiscard]] uint32_t plain_prefix(Seq una) const noexcept {
    for (uint32_t i = 0; i < size(); ++i) {
      const SentRecord& record = ring_[i];
      if (record.retransmitted() || record.sacked || record.lost) return 0;
      if (record.end() >= una) return record.end() == una ? i + 1 : 0;
    }
    return 0;
  }
  // All before `una` was delivered. REQUIRES: plain_prefix(una) == n.
  void drop_plain(uint32_t n, Seq una) noexcept {
    bytes_ -= una.value - ring_.front().begin.value;
    for (; n > 0; --n) ring_.pop_front();
  }

  // RFC 6675 §4 pipe: bytes believed to be in the network.
  [[nodiscard]] uint32_t pipe() const noexcept {
    return bytes_ - sacked_bytes_ - lost_bytes_ + retransmitted_bytes_;
  }
  [[nodiscard]] uint32_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] uint32_t sacked_bytes() const noexcept { return sacked_bytes_; }
  [[nodiscard]] uint32_t lost_bytes() const noexcept { return lost_bytes_; }
  [[nodiscard]] uint32_t sacked_records() const noexcept { return sacked_records_; }
  // Behind the highest sacked byte. REQUIRES: sacked_records() > 0.
  [[nodiscard]] Seq highest_sacked() const noexcept { return highest_sacked_; }

  // Declares record `i` lost, as also a retransmission of it that is in flight.
  // REQUIRES: it is not sacked.
  void mark_lost(uint32_t i) noexcept;
  // RFC 6675 §4 IsLost: DupThresh discontiguous sacked sequences lie above record `i`, or more than
  // (DupThresh - 1) × mss sacked bytes.
  [[nodiscard]] bool is_lost(uint32_t i, uint32_t mss) const noexcept;
  // Marks every record lost that is_lost() and not retransmitted since. Returns how many. For a
  // connection without RACK; one pass over the records.
  uint32_t mark_lost_by_count(uint32_t mss) noexcept;
  // After a retransmission timeout without RACK: all that is not sacked is lost.
  void mark_all_lost() noexcept;
  // RFC 2018 §8: the receiver may have discarded what it had sacked: turns the marks off.
  void forget_sacks() noexcept;
  // RFC 2018 §8: the receiver reneged: it sacks what it does not acknowledge.
  [[nodiscard]] bool reneged() const noexcept { return !empty() && ring_.front().sacked; }

  // RFC 6675 §4 NextSeg.
  struct Next {
    enum class Kind : uint8_t { none, lost, new_data, unsure, rescue };
    Kind kind = Kind::none;
    uint32_t index = 0;  // of the record; meaningless for none and new_data
  };
  // What to send next in recovery. A rescue is offered once per recovery: call on_rescued() after
  // sending it and on_recovered() when the recovery is over.
  [[nodiscard]] Next next_segment(bool new_data_available) noexcept;
  void on_rescued() noexcept { rescued_ = true; }
  void on_recovered() noexcept { rescued_ = false; }

  // Cuts record `i` so that its first part has `length` bytes; both keep its history. For a
  // segment size that has shrunk. Error: busy unless can_split().
  // REQUIRES: 0 < length < (*this)[i].length.
  [[nodiscard]] Result<> split(uint32_t i, uint32_t length);
  // The index of the first record with begin ≥ s, size() if there is none. O(log n).
  [[nodiscard]] uint32_t lower_bound(Seq s) const noexcept;

  // The counters from scratch, for tests.
  struct Counts {
    uint32_t bytes = 0, sacked = 0, lost = 0, retransmitted = 0, sacked_records = 0;
    uint32_t lost_waiting = 0;
    friend bool operator==(const Counts&, const Counts&) = default;
  };
  [[nodiscard]] Counts counts() const noexcept {
    return {bytes_,          sacked_bytes_, lost_bytes_, retransmitted_bytes_,
            sacked_records_, lost_waiting_};
  }
  [[nodiscard]] Counts recount() const noexcept;

 private:
  [[nodiscard]] bool valid_block(const SeqRange& block, Seq una, Seq nxt) const noexcept;
  void count(const SentRecord& record, uint32_t length, bool add) noexcept;
  void drop_front(Delivered& delivered) noexcept;
  void cut_front(Seq una, Delivered& delivered) noexcept;
  void mark_sacked(uint32_t i, Delivered& delivered) noexcept;
  [[nodiscard]] std::optional<uint32_t> next_lost() noexcept;

  GrowingRing<SentRecord> ring_;
  uint32_t records_max_;
  uint32_t bytes_ = 0;
  uint32_t sacked_bytes_ = 0;
  uint32_t lost_bytes_ = 0;           // lost and not sacked
  uint32_t retransmitted_bytes_ = 0;  // retransmission in flight and not sacked
  uint32_t sacked_records_ = 0;
  uint32_t lost_waiting_ = 0;  // records that are lost and whose retransmission was not sent
  Seq highest_sacked_{};
  Seq lost_hint_{};       // no record before this one waits for retransmission
  bool rescued_ = false;  // stands for RescueRxt of RFC 6675
};

}  // namespace paste::tcp
