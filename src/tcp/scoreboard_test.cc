// The scoreboard. Method: RFC 6675's rules by example, then random histories against sets of bytes:
// what is outstanding, sacked, lost and sent again, from which pipe and IsLost follow by
// definition.
#include "tcp/scoreboard.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <vector>

#include "tcp/test_random.h"

namespace paste::tcp {
namespace {
constexpr uint32_t kMss = 100;
constexpr auto kIgnore = [](const SentRecord&) {};
using Kind = Scoreboard::Next::Kind;

// `n` segments of kMss bytes from `start`, one nanosecond apart.
Scoreboard flight(Seq start, uint32_t n) {
  Scoreboard board(64);
  for (uint32_t i = 0; i < n; ++i) {
    EXPECT_TRUE(board.on_sent(start + i * kMss, kMss, Instant{1000 + i}));
  }
  return board;
}
SeqRange segments(Seq start, uint32_t first, uint32_t last) {
  return {start + first * kMss, start + last * kMss};
}

TEST(Scoreboard, SacksAndPipe) {
  for (const Seq s : kStarts) {
    Scoreboard board = flight(s, 10);
    const Seq nxt = s + 10 * kMss;
    EXPECT_EQ(board.pipe(), 1000U);
    std::vector<Seq> seen;
    const std::array blocks{segments(s, 5, 6), segments(s, 2, 4)};
    const auto d =
        board.on_ack(s + kMss, nxt, blocks, [&](const SentRecord& r) { seen.push_back(r.begin); });
    EXPECT_EQ(d.acked_bytes, 100U);
    EXPECT_EQ(d.sacked_bytes, 300U);
    EXPECT_EQ(d.bytes, 400U);
    EXPECT_EQ(seen, (std::vector<Seq>{s, s + 500, s + 200, s + 300}));
    EXPECT_EQ(board.pipe(), 600U);
    EXPECT_EQ(board.highest_sacked(), s + 600);
    EXPECT_FALSE(board.reneged());
    const auto again = board.on_ack(s + kMss, nxt, blocks, kIgnore);
    EXPECT_EQ(again.bytes, 0U) << "the same blocks tell nothing new";
    const auto all = board.on_ack(nxt, nxt, {}, kIgnore);
    EXPECT_EQ(all.acked_bytes, 900U);
    EXPECT_EQ(all.bytes, 600U) << "RFC 9937 §6.2: what was sacked was delivered before";
    EXPECT_TRUE(board.empty());
    EXPECT_EQ(board.counts(), board.recount());
  }
}

TEST(Scoreboard, IgnoresBlocksThatCannotBe) {
  for (const Seq s : kStarts) {
    Scoreboard board = flight(s, 4);
    const Seq nxt = s + 4 * kMss;
    const std::array bad{
        SeqRange{s + 200, s + 100}, SeqRange{s + 100, s + 100},
        SeqRange{s - 100, s + 100}, SeqRange{s + 300, s + 500},
        SeqRange{s + 50, s + 99},   SeqRange{s + 2'000'000'000, s + 2'000'000'100}};
    EXPECT_EQ(board.on_ack(s, nxt, bad, kIgnore).bytes, 0U);
    const std::array partial{SeqRange{s + 150, s + 320}};
    EXPECT_EQ(board.on_ack(s, nxt, partial, kIgnore).sacked_bytes, 100U) << "whole segments only";
    EXPECT_TRUE(board[2].sacked);
  }
}

TEST(Scoreboard, DuplicateSack) {  // RFC 2883 §4
  for (const Seq s : kStarts) {
    const std::array below{SeqRange{s - 200, s - 100}, SeqRange{s + 100, s + 200}};
    EXPECT_EQ(find_dsack(below, s), below[0]);
    const std::array inside{SeqRange{s + 120, s + 140}, SeqRange{s + 100, s + 200}};
    EXPECT_EQ(find_dsack(inside, s), inside[0]);
    const std::array plain{SeqRange{s + 300, s + 400}, SeqRange{s + 100, s + 200}};
    EXPECT_FALSE(find_dsack(plain, s));
    EXPECT_FALSE(find_dsack({}, s));
    const std::array reversed{SeqRange{s - 100, s - 200}};
    EXPECT_FALSE(find_dsack(reversed, s));
  }
}

TEST(Scoreboard, LostByThreeRunsOrBytes) {  // RFC 6675 §4 IsLost
  for (const Seq s : kStarts) {
    Scoreboard board = flight(s, 10);
    const Seq nxt = s + 10 * kMss;
    const std::array two{segments(s, 2, 3), segments(s, 4, 5)};
    board.on_ack(s, nxt, two, kIgnore);
    EXPECT_FALSE(board.is_lost(0, kMss));
    EXPECT_EQ(board.mark_lost_by_count(kMss), 0U);
    const std::array third{segments(s, 6, 7)};
    board.on_ack(s, nxt, third, kIgnore);
    EXPECT_TRUE(board.is_lost(0, kMss));
    EXPECT_TRUE(board.is_lost(1, kMss));
    EXPECT_FALSE(board.is_lost(3, kMss));
    EXPECT_EQ(board.mark_lost_by_count(kMss), 2U);
    EXPECT_EQ(board.pipe(), 500U);
    const std::array run{segments(s, 4, 8)};  // 400 bytes in two runs above segment 1
    board.on_ack(s, nxt, run, kIgnore);
    EXPECT_TRUE(board.is_lost(3, kMss));
  }
}

TEST(Scoreboard, NextSegmentInTheOrderOfTheRules) {  // RFC 6675 §4 NextSeg
  for (const Seq s : kStarts) {
    Scoreboard board = flight(s, 6);
    const std::array blocks{segments(s, 2, 5)};
    board.on_ack(s, s + 600, blocks, kIgnore);
    EXPECT_EQ(board.mark_lost_by_count(kMss), 2U);
    for (const uint32_t i : {0U, 1U}) {
      const auto next = board.next_segment(true);
      ASSERT_EQ(next.kind, Kind::lost);
      ASSERT_EQ(next.index, i);
      board.on_retransmitted(i, Instant{5000});
    }
    EXPECT_EQ(board.pipe(), 300U);
    EXPECT_EQ(board.next_segment(true).kind, Kind::new_data);
    const auto rescue = board.next_segment(false);
    ASSERT_EQ(rescue.kind, Kind::rescue);
    EXPECT_EQ(rescue.index, 5U);
    board.on_retransmitted(5, Instant{5001});
    board.on_rescued();
    EXPECT_EQ(board.next_segment(false).kind, Kind::none) << "one rescue in a recovery";
    board.mark_lost(0);  // its retransmission was lost, too
    EXPECT_EQ(board.next_segment(true).index, 0U);
    EXPECT_EQ(board.counts(), board.recount());

    Scoreboard unsure = flight(s, 6);
    const std::array one{segments(s, 2, 3)};
    unsure.on_ack(s, s + 600, one, kIgnore);
    EXPECT_EQ(unsure.next_segment(false).kind, Kind::unsure);
    EXPECT_EQ(unsure.next_segment(false).index, 0U);
  }
}

TEST(Scoreboard, RenegingForgetsSacks) {  // RFC 2018 §8
  Scoreboard board = flight(kStarts[0], 5);
  const Seq s = kStarts[0];
  const std::array blocks{segments(s, 1, 3)};
  board.on_ack(s, s + 500, blocks, kIgnore);
  board.on_ack(s + 100, s + 500, {}, kIgnore);
  EXPECT_TRUE(board.reneged());
  board.forget_sacks();
  board.mark_all_lost();
  EXPECT_FALSE(board.reneged());
  EXPECT_EQ(board.pipe(), 0U);
  EXPECT_EQ(board.lost_bytes(), 400U);
  EXPECT_EQ(board.next_segment(true).index, 0U);
  EXPECT_EQ(board.counts(), board.recount());
}

TEST(Scoreboard, ASackEndsARetransmission) {
  const Seq s = kStarts[1];
  Scoreboard board = flight(s, 3);
  board.mark_lost(1);
  board.on_retransmitted(1, Instant{5000});
  const std::array blocks{segments(s, 1, 2)};
  EXPECT_TRUE(board.on_ack(s, s + 300, blocks, kIgnore).lost_acked);
  board.forget_sacks();
  EXPECT_FALSE(board[1].retransmission_in_flight);
  EXPECT_EQ(board.pipe(), 300U);
  EXPECT_EQ(board.counts(), board.recount());
}

TEST(Scoreboard, SplitsAndIsBounded) {
  Scoreboard board(3);
  const Seq s = kStarts[0];
  ASSERT_TRUE(board.on_sent(s, 100, Instant{1}));
  ASSERT_TRUE(board.on_sent(s + 100, 100, Instant{2}));
  board.mark_lost(0);
  ASSERT_TRUE(board.split(0, 60));
  EXPECT_EQ(board[1].begin, s + 60);
  EXPECT_EQ(board[1].length, 40U);
  EXPECT_TRUE(board[1].lost);
  EXPECT_EQ(board.on_sent(s + 200, 1, Instant{3}).error().code(), Code::busy);
  // What is in flight may be cut further, but not without end.
  for (uint32_t n = 3; n < 3 * Scoreboard::kSplits; ++n) {
    EXPECT_TRUE(board.can_split());
    ASSERT_TRUE(board.split(0, 50 - n));
  }
  EXPECT_FALSE(board.can_split());
  EXPECT_EQ(board.split(0, 10).error().code(), Code::busy);
  EXPECT_EQ(board.counts(), board.recount());
  board.reset(true);
  EXPECT_TRUE(board.empty());
}

// One byte of the twin.
struct State {
  bool sacked = false, lost = false, again = false;
};

class History {
 public:
  History(TestRandom& random, Seq start) : random_(random), board_(200), start_(start) {}

  void step() {
    switch (random_.below(8)) {
      case 0:
      case 1:
      case 2:
        return send();
      case 3:
        return retransmit();
      case 4:
        return acknowledge();
      case 5:
        return sack();
      case 6:
        return lose();
      default:
        return split();
    }
  }
  void check() const {
    ASSERT_EQ(board_.counts(), board_.recount());
    uint32_t pipe = 0, sacked = 0;
    for (const auto& [offset, b] : bytes_) {
      sacked += b.sacked ? 1 : 0;
      if (b.sacked) continue;
      pipe += (b.lost ? 0 : 1) + (b.again ? 1 : 0);  // RFC 6675 §4: SetPipe, byte by byte
    }
    ASSERT_EQ(board_.pipe(), pipe);
    ASSERT_EQ(board_.sacked_bytes(), sacked);
    ASSERT_EQ(board_.bytes(), bytes_.size());
    for (uint32_t i = 0; i < board_.size(); ++i) {
      ASSERT_EQ(board_.is_lost(i, kMss), twin_is_lost(board_[i].end().value - start_.value));
    }
  }

 private:
  bool twin_is_lost(uint32_t from) const {
    uint32_t runs = 0, count = 0;
    bool in_run = false;
    for (auto it = bytes_.lower_bound(from); it != bytes_.end(); ++it) {
      if (it->second.sacked) {
        ++count;
        if (!in_run) ++runs;
      }
      in_run = it->second.sacked;
    }
    return runs >= 3 || count > 2 * kMss;
  }
  void send() {
    const uint32_t n = 1 + random_.below(kMss);
    ASSERT_EQ(board_.on_sent(start_ + nxt_, n, Instant{++now_}).has_value(), true);
    for (uint32_t i = 0; i < n; ++i) bytes_[nxt_ + i] = {};
    nxt_ += n;
  }
  void each(uint32_t i, auto&& change) {
    const uint32_t begin = board_[i].begin.value - start_.value;
    for (uint32_t b = begin; b < begin + board_[i].length; ++b) change(bytes_[b]);
  }
  void retransmit() {
    if (board_.empty()) return;
    const auto next = board_.next_segment(false);
    uint32_t i = random_.below(board_.size());
    if (next.kind == Kind::lost) {
      i = next.index;
      for (uint32_t j = 0; j < i; ++j) {
        ASSERT_FALSE(board_[j].lost && !board_[j].retransmission_in_flight) << "not the first";
      }
    }
    if (board_[i].sacked) return;
    board_.on_retransmitted(i, Instant{++now_});
    each(i, [](State& b) { b.again = true; });
  }
  void acknowledge() {
    una_ += random_.below(std::min<uint32_t>(nxt_ - una_, 4 * kMss) + 1);
    uint32_t fresh = 0;
    for (auto it = bytes_.begin(); it != bytes_.end() && it->first < una_; it = bytes_.erase(it)) {
      fresh += it->second.sacked ? 0 : 1;
    }
    const auto d = board_.on_ack(start_ + una_, start_ + nxt_, {}, kIgnore);
    ASSERT_EQ(d.bytes, fresh);
  }
  void sack() {
    if (board_.empty()) return;
    const uint32_t first = random_.below(board_.size());
    const uint32_t last = first + random_.below(std::min(board_.size() - first, 5U));
    const SeqRange block{board_[first].begin, board_[last].end()};
    uint32_t fresh = 0;
    for (uint32_t i = first; i <= last; ++i) {
      each(i, [&](State& b) {
        fresh += b.sacked ? 0 : 1;
        b = {.sacked = true};
      });
    }
    const auto d = board_.on_ack(start_ + una_, start_ + nxt_, {&block, 1}, kIgnore);
    ASSERT_EQ(d.bytes, fresh);
  }
  void lose() {
    if (board_.empty()) return;
    const uint32_t i = random_.below(board_.size());
    if (board_[i].sacked) return;
    board_.mark_lost(i);
    each(i, [](State& b) { b.lost = true, b.again = false; });
  }
  void split() {
    if (board_.empty()) return;
    const uint32_t i = random_.below(board_.size());
    if (board_[i].length < 2) return;
    ASSERT_TRUE(board_.split(i, 1 + random_.below(board_[i].length - 1)));
  }

  TestRandom& random_;
  Scoreboard board_;
  Seq start_;
  std::map<uint32_t, State> bytes_;  // by offset from start_
  uint32_t una_ = 0, nxt_ = 0;
  uint64_t now_ = 0;
};

TEST(Scoreboard, AgreesWithSetsOfBytes) {
  TestRandom random(6675);
  for (int run = 0; run < 60; ++run) {
    History history(random, kStarts[run % 3]);
    for (int i = 0; i < 150; ++i) {
      ASSERT_NO_FATAL_FAILURE(history.step()) << random.text();
      ASSERT_NO_FATAL_FAILURE(history.check()) << random.text();
    }
  }
}

}  // namespace
}  // namespace paste::tcp
