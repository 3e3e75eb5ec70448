// Half-open connections: a SYN came, our SYN-ACK went out, its ACK has not come yet.
#pragma once

#include <cstdint>
#include <optional>

#include "tcp/instant.h"
#include "tcp/seq.h"
#include "tcp/tuple_table.h"

namespace paste::tcp {

struct SynEntry {
  FourTuple tuple{};
  Seq irs{};               // the peer's initial number
  Seq iss{};               // ours
  uint32_t tsval = 0;      // the peer's latest timestamp
  uint32_t ts_offset = 0;  // ours
  uint32_t listener = 0;   // the caller's: where the SYN came in
  uint16_t mss = 536;      // RFC 9293 MUST-15: if the SYN had none
  uint16_t window = 0;     // of the SYN: never scaled
  uint8_t shift = 0;       // the peer's; meaningful if `scaling`
  uint8_t sent = 0;        // SYN-ACKs sent, kept by the table
  bool scaling = false;
  bool timestamps = false;
  bool sack = false;
  bool ecn = false;
  Instant deadline{};  // of the next SYN-ACK, kept by the table
  Instant first{};     // when the first SYN-ACK was sent: a round-trip sample if it is the only one
};
static_assert(sizeof(SynEntry) <= 88);

// A bounded table; when it is full the caller answers with SYN cookies (RFC 4987 §3.6). Half-open
// connections wait equally long after the same number of SYN-ACKs, so one list for each number
// keeps the deadlines in order without timers. Allocates only at the start. Pointers are valid
// until the next call that is not const.
class SynQueue {
 public:
  static constexpr uint8_t kRetriesMax = 5;
  // RFC 6298 §2.1 and §5.5: 1 s, doubled each time.
  static constexpr Duration kFirstTimeout = std::chrono::seconds(1);

  // REQUIRES: capacity > 0. `key` is secret.
  SynQueue(uint32_t capacity, SipKey key) : table_(capacity, key) {}

  // Adds an entry whose first SYN-ACK is sent now. False if the table is full: use a cookie.
  // REQUIRES: find(entry.tuple) == nullptr.
  [[nodiscard]] bool insert(SynEntry entry, Instant now) noexcept;
  [[nodiscard]] const SynEntry* find(const FourTuple& tuple) const noexcept;
  // Takes an entry out: its ACK came, or a RST.
  std::optional<SynEntry> take(const FourTuple& tuple) noexcept;

  // For each entry whose deadline has come: resend(const SynEntry&) if a SYN-ACK is to be sent
  // again, else (after kRetriesMax of them) the entry goes, with give_up(const SynEntry&).
  // The callbacks do not call this object.
  template <typename Resend, typename GiveUp>
  void advance(Instant now, Resend&& resend, GiveUp&& give_up);
  [[nodiscard]] Instant next_deadline() const noexcept;

  [[nodiscard]] uint32_t size() const noexcept { return table_.size(); }
  [[nodiscard]] uint64_t overflowed() const noexcept { return overflowed_; }

 private:
  static constexpr uint32_t kLists = kRetriesMax + 1;
  using Table = TupleTable<SynEntry, kLists>;
  static Duration timeout(uint32_t sent) noexcept { return kFirstTimeout * (1 << (sent - 1)); }

  Table table_;  // list n: n + 1 SYN-ACKs were sent
  uint64_t overflowed_ = 0;
};

template <typename Resend, typename GiveUp>
void SynQueue::advance(Instant now, Resend&& resend, GiveUp&& give_up) {
  // From the last list down, so that an entry is sent once in a call even after a long pause.
  for (uint32_t list = kLists; list-- > 0;) {
    for (uint32_t i = table_.oldest(list); i != Table::kNone && table_[i].deadline <= now;
         i = table_.oldest(list)) {
      SynEntry& entry = table_[i];
      if (list == kRetriesMax) {
        give_up(static_cast<const SynEntry&>(entry));
        table_.erase(i, list);
        continue;
      }
      ++entry.sent;
      entry.deadline = now + timeout(entry.sent);
      table_.move(i, list, list + 1);
      resend(static_cast<const SynEntry&>(entry));
    }
  }
}

}  // namespace paste::tcp
