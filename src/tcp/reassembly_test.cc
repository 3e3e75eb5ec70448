// Goal: the queue holds exactly the bytes that arrived, first ones winning, and owns a hold once.
// Method: cases by hand, then random segments against an array that knows for each sequence number
// which buffer and offset it came from first; holds are counted as the contract says.
#include "tcp/reassembly.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "tcp/sack_list.h"
#include "tcp/test_random.h"

namespace paste::tcp {
namespace {

TEST(Reassembly, TrimsTheNewSliceAndKeepsTheOld) {
  for (uint32_t start : kStartNumbers) {
    const Seq base{start};
    Reassembly queue({});
    EXPECT_EQ(queue.insert(base, base + 10, {1, 0, 10}).holds, 1u);
    EXPECT_EQ(queue.insert(base, base + 30, {2, 0, 10}).holds, 1u);
    const InsertResult cut = queue.insert(base, base + 5, {3, 100, 40});
    EXPECT_EQ(cut.outcome, InsertOutcome::kept);
    EXPECT_EQ(cut.holds, 3u);
    EXPECT_EQ(cut.range, (SeqRange{base + 5, base + 45}));
    EXPECT_EQ(cut.duplicate, (SeqRange{base + 10, base + 20}));
    EXPECT_EQ(queue.bytes(), 40u);
    EXPECT_EQ(queue.pop(base), std::nullopt);
    EXPECT_EQ(queue.pop(base + 5), (Slice{3, 100, 5}));
    EXPECT_EQ(queue.pop(base + 12), (Slice{1, 2, 8}));
    EXPECT_EQ(queue.pop(base + 20), (Slice{3, 115, 10}));
    EXPECT_EQ(queue.pop(base + 50)->length, 0);
    EXPECT_EQ(queue.pop(base + 50)->length, 0);
    EXPECT_TRUE(queue.empty());
    EXPECT_EQ(queue.bytes(), 0u);
  }
}

TEST(Reassembly, BoundsRefuseAllButWhatFillsTheGap) {
  const Seq base{0xfffffff0u};
  Reassembly queue({.bytes_max = 100, .buffers_max = 3, .coalesce_above = 2});
  EXPECT_EQ(queue.insert(base, base + 50, {1, 0, 101}).outcome, InsertOutcome::too_many_bytes);
  EXPECT_FALSE(queue.insert(base, base + 10, {1, 0, 1}).should_coalesce);
  EXPECT_FALSE(queue.insert(base, base + 20, {2, 0, 1}).should_coalesce);
  EXPECT_TRUE(queue.insert(base, base + 30, {3, 0, 1}).should_coalesce);
  const InsertResult refused = queue.insert(base, base + 40, {4, 0, 1});
  EXPECT_EQ(refused.outcome, InsertOutcome::too_many_buffers);
  EXPECT_EQ(refused.holds, 0u);
  EXPECT_EQ(queue.insert(base, base, {5, 0, 200}).outcome, InsertOutcome::kept);
}

TEST(Reassembly, FinEndsTheStream) {
  const Seq base{0xfffffffau};
  Reassembly queue({});
  queue.insert(base, base + 5, {1, 0, 5});
  EXPECT_FALSE(queue.note_fin(base + 9));
  EXPECT_TRUE(queue.note_fin(base + 10));
  EXPECT_TRUE(queue.note_fin(base + 10));
  EXPECT_FALSE(queue.note_fin(base + 11));
  EXPECT_EQ(queue.insert(base, base + 10, {2, 0, 1}).outcome, InsertOutcome::beyond_fin);
  EXPECT_EQ(queue.insert(base, base, {2, 0, 20}).range, (SeqRange{base, base + 10}));
  EXPECT_FALSE(queue.fin_reached(base + 9));
  EXPECT_TRUE(queue.fin_reached(base + 10));
}

TEST(Reassembly, CoalesceCopiesRunsOnly) {
  const Seq base{0x7ffffff0u};
  Reassembly queue({});
  for (uint32_t i = 0; i < 10; ++i) queue.insert(base, base + 5 + i, {10 + i, 7, 1});
  queue.insert(base, base + 40, {30, 0, 1});
  std::vector<BufferName> dropped;
  const auto copy = [&](std::span<const Slice> from, uint32_t bytes) {
    for (const Slice& slice : from) dropped.push_back(slice.buffer);
    return Slice{99, 0, static_cast<uint16_t>(bytes)};
  };
  const auto fail = [](std::span<const Slice>, uint32_t) { return Slice{}; };
  EXPECT_EQ(queue.coalesce(2048, fail), 0u);
  EXPECT_EQ(queue.pieces(), 11u);
  EXPECT_EQ(queue.coalesce(2048, copy), 9u);
  EXPECT_EQ(dropped.size(), 10u);
  EXPECT_EQ(queue.pieces(), 2u);
  EXPECT_EQ(queue.bytes(), 11u);
  EXPECT_EQ(queue.pop(base + 5), (Slice{99, 0, 10}));
  EXPECT_EQ(queue.pop_any(), (Slice{30, 0, 1}));
  EXPECT_EQ(queue.pop_any(), std::nullopt);
}

// Which byte of which buffer; {0, 0}: nothing arrived.
using Origin = std::pair<BufferName, uint16_t>;

class Model {
 public:
  Model(Seq base, ReassemblyLimits limits) : base_(base), queue_(limits), bytes_(kBytes) {}

  void insert(TestRandom& random) {
    const BufferName name = ++last_;
    const uint32_t to = std::min(nxt_ + 200, kBytes - 64);
    const uint32_t from = nxt_ > 20 ? nxt_ - 20 : 0;
    const uint32_t at = from + random.below(to - from);
    const auto length = static_cast<uint16_t>(random.below(3) == 0 ? 1 : 1 + random.below(60));
    const InsertResult got = queue_.insert(base_ + nxt_, base_ + at, {name, 5, length});
    if (got.holds > 0) holds_[name] += got.holds;
    ASSERT_EQ(got.outcome == InsertOutcome::kept, got.holds > 0);
    if (got.outcome == InsertOutcome::kept) {
      for (uint32_t i = std::max(at, nxt_); i < at + length; ++i) {
        if (bytes_[i].first == 0) bytes_[i] = {name, static_cast<uint16_t>(5 + i - at)};
      }
    } else if (got.outcome == InsertOutcome::duplicate) {
      for (uint32_t i = std::max(at, nxt_); i < at + length; ++i) ASSERT_NE(bytes_[i].first, 0u);
    }
  }
  void pop() {
    while (const auto slice = queue_.pop(base_ + nxt_)) {
      drop(slice->buffer);
      for (uint32_t i = 0; i < slice->length; ++i) {
        ASSERT_EQ(bytes_[nxt_ + i], Origin(slice->buffer, slice->offset + i));
      }
      nxt_ += slice->length;
    }
    ASSERT_TRUE(nxt_ == kBytes || bytes_[nxt_].first == 0);
  }
  void check() {
    std::vector<SeqRange> want;
    uint32_t total = 0;
    for (uint32_t i = nxt_; i < kBytes; ++i) {
      if (bytes_[i].first == 0) continue;
      ++total;
      if (want.empty() || want.back().end != base_ + i) want.push_back({base_ + i, base_ + i});
      want.back().end += 1;
    }
    std::vector<SeqRange> got(64);
    got.resize(queue_.ranges(got));
    ASSERT_EQ(got, want);
    ASSERT_EQ(queue_.bytes(), total);
    uint32_t holds = 0;
    for (const auto& [name, n] : holds_) holds += n;
    ASSERT_EQ(queue_.pieces(), holds);
  }
  void coalesce() {
    queue_.coalesce(300, [&](std::span<const Slice> from, uint32_t bytes) {
      const BufferName name = ++last_;
      uint32_t n = 0;
      std::vector<Origin> moved;
      for (const Slice& slice : from) {
        drop(slice.buffer);
        for (uint32_t i = 0; i < slice.length; ++i) {
          moved.emplace_back(slice.buffer, slice.offset + i);
        }
      }
      // The bytes are where the first one is.
      const auto at = std::find(bytes_.begin() + nxt_, bytes_.end(), moved.front());
      EXPECT_TRUE(std::equal(moved.begin(), moved.end(), at));
      for (auto it = at; n < bytes; ++it) *it = {name, static_cast<uint16_t>(n++)};
      ++holds_[name];
      return Slice{name, 0, static_cast<uint16_t>(bytes)};
    });
  }
  void finish() {
    while (const auto slice = queue_.pop_any()) drop(slice->buffer);
    EXPECT_TRUE(holds_.empty());
  }
  bool done() const { return nxt_ >= kBytes - 300; }

 private:
  static constexpr uint32_t kBytes = 4000;
  void drop(BufferName name) {
    ASSERT_GT(holds_[name], 0u);
    if (--holds_[name] == 0) holds_.erase(name);
  }
  Seq base_;
  Reassembly queue_;
  std::vector<Origin> bytes_;
  std::map<BufferName, uint32_t> holds_;
  BufferName last_ = 0;
  uint32_t nxt_ = 0;
};

TEST(Reassembly, EqualsTheModel) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    TestRandom random(seed);
    const ReassemblyLimits tight{.bytes_max = 150, .buffers_max = 8};
    Model model(Seq{kStartNumbers[seed % 3]}, seed % 2 ? ReassemblyLimits{} : tight);
    for (int step = 0; step < 3000 && !model.done(); ++step) {
      model.insert(random);
      if (random.below(3) == 0) model.pop();
      if (random.below(10) == 0) model.coalesce();
      model.check();
      if (testing::Test::HasFatalFailure()) return;
    }
    EXPECT_TRUE(model.done());
    model.finish();
  }
}

TEST(SackList, MostRecentFirstDuplicateBeforeAll) {
  for (uint32_t start : kStartNumbers) {
    const Seq b{start};
    SackList list;
    for (uint32_t i = 1; i <= 5; ++i) list.add({b + 100 * i, b + 100 * i + 50});
    std::array<SeqRange, 4> out;
    ASSERT_EQ(list.build(false, {}, out), 4u);
    EXPECT_EQ(out[0].begin, b + 500);
    EXPECT_EQ(out[3].begin, b + 200);
    ASSERT_EQ(list.build(true, {}, out), 3u);
    // Growing an old block moves it to the front and swallows what it covers.
    list.add({b + 200, b + 350});
    list.set_duplicate({b, b + 10});
    ASSERT_EQ(list.build(true, {}, out), 3u);
    EXPECT_EQ(out[0], (SeqRange{b, b + 10}));
    EXPECT_EQ(out[1], (SeqRange{b + 200, b + 350}));
    EXPECT_EQ(out[2].begin, b + 500);
    // The duplicate is reported once; forgotten ranges fill the free place.
    const SeqRange queued[] = {{b + 100, b + 150}, {b + 200, b + 350}};
    ASSERT_EQ(list.build(false, queued, out), 4u);
    EXPECT_EQ(out[0].begin, b + 200);
    EXPECT_EQ(out[3], queued[0]);
    list.advance(b + 420);
    ASSERT_EQ(list.build(false, {}, out), 2u);
    EXPECT_EQ(out[1], (SeqRange{b + 420, b + 450}));
    list.advance(b + 1000);
    EXPECT_TRUE(list.empty());
  }
}

// Random ranges in a queue of whole blocks of ten: the list is what a naive list of the most
// recently touched ranges gives.
TEST(SackList, EqualsTheModel) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    TestRandom random(seed);
    const Seq base{kStartNumbers[seed % 3]};
    SackList list;
    std::vector<bool> have(60);
    std::vector<uint32_t> recent;  // cells, most recent first
    const auto around = [&](uint32_t cell) {
      uint32_t from = cell;
      uint32_t to = cell + 1;
      while (have[from - 1]) --from;
      while (to < have.size() && have[to]) ++to;
      return SeqRange{base + 10 * from, base + 10 * to};
    };
    for (int step = 0; step < 40; ++step) {
      const uint32_t cell = 1 + random.below(58);
      have[cell] = true;
      recent.insert(recent.begin(), cell);
      list.add(around(cell));
      std::vector<SeqRange> want;
      for (uint32_t c : recent) {
        const SeqRange range = around(c);
        if (want.size() < 4 && std::find(want.begin(), want.end(), range) == want.end()) {
          want.push_back(range);
        }
      }
      std::array<SeqRange, 4> out;
      std::vector<SeqRange> queued;
      for (uint32_t c : recent) queued.push_back(around(c));
      const size_t n = list.build(false, queued, out);
      ASSERT_LE(n, want.size());
      EXPECT_EQ(out[0], want[0]);
      std::set<uint32_t> begins;
      for (size_t i = 0; i < n; ++i) {
        EXPECT_NE(std::find(queued.begin(), queued.end(), out[i]), queued.end());
        EXPECT_TRUE(begins.insert(out[i].begin.value).second);
      }
    }
  }
}

}  // namespace
}  // namespace paste::tcp
