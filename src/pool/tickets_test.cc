// Goal: what commit() promises step by step. Method: a region whose barriers stay in flight until
// the test completes them, and its record of every flush and barrier.
#include <gtest/gtest.h>

#include <random>

#include "pool/test_region.h"

namespace paste::pool {
namespace {

using What = FakeRegion::What;

// Completes the barrier in flight and lets the core go on.
void complete(const TestPool<>& pool) {
  pool.region->complete();
  must(pool.core->poll_sync());
}

TEST(Tickets, NothingCostsNothing) {
  TestPool<> pool;
  const size_t barriers = pool.region->barriers();
  const Ticket first = pool.core->filling();
  EXPECT_FALSE(pool.core->changed());
  for (int i = 0; i < 10; ++i) must(pool.core->commit());
  EXPECT_EQ(pool.core->filling().value, first.value + 10);
  EXPECT_EQ(pool.core->durable().value, first.value + 9);
  EXPECT_EQ(pool.region->barriers(), barriers);
  EXPECT_EQ(pool.core->stats().tickets, 0u);
}

TEST(Tickets, BytesAloneNeedOneBarrier) {
  TestPool<> pool;
  const BufferName name = must(pool.core->take(Purpose::data));
  std::memset(pool.core->buffer(name), 'x', 100);
  pool.core->flush(pool.core->buffer(name), 100, Site::log_data);
  EXPECT_TRUE(pool.core->changed());
  const size_t before = pool.region->barriers();
  const Ticket ticket = pool.core->filling();
  must(pool.core->commit());
  EXPECT_EQ(pool.core->durable(), ticket);
  EXPECT_EQ(pool.region->barriers(), before + 1);
  EXPECT_FALSE(pool.core->changed());
  EXPECT_EQ(pool.region->durable[uint64_t{name} * 2048], std::byte{'x'});
}

TEST(Tickets, AListGoesThroughItsStagesByCommitAlone) {
  TestPool<> pool;
  const BufferName name = must(pool.core->take_zeroed(Purpose::structure));
  uint64_t* word = pool.word(name, 5);
  must(pool.core->publish(word, 41));
  must(pool.core->publish(word, 42));
  EXPECT_EQ(*word, 0u) << "the old value stays until the ticket is durable";
  const size_t before = pool.region->barriers();
  must(pool.core->commit());
  EXPECT_EQ(*word, 42u);
  EXPECT_EQ(pool.region->barriers(), before + 2) << "the list, then its commit word";
  EXPECT_TRUE(pool.core->changed()) << "the list has to be settled";
  must(pool.core->commit());
  EXPECT_TRUE(pool.core->changed()) << "and retired";
  must(pool.core->commit());
  EXPECT_FALSE(pool.core->changed());
  EXPECT_EQ(pool.region->barriers(), before + 4);
  uint64_t durable;
  std::memcpy(&durable, &pool.region->durable[uint64_t{name} * 2048 + 40], 8);
  EXPECT_EQ(durable, 42u);
  EXPECT_EQ(pool.core->stats().tickets_published, 1u);
}

TEST(Tickets, OneFillsWhileOneSyncs) {
  TestPool<> pool;
  const BufferName name = must(pool.core->take_zeroed(Purpose::structure));
  uint64_t* word = pool.word(name, 0);
  pool.region->asynchronous = true;
  const Ticket first = pool.core->filling();
  must(pool.core->publish(word, 1));
  must(pool.core->commit());
  EXPECT_EQ(pool.core->filling().value, first.value + 1);
  EXPECT_LT(pool.core->durable(), first);
  must(pool.core->publish(word, 2));  // of the next ticket
  must(pool.core->commit());          // one is syncing: the next goes on filling
  EXPECT_EQ(pool.core->filling().value, first.value + 1);
  complete(pool);
  EXPECT_LT(pool.core->durable(), first) << "the commit word is not durable yet";
  EXPECT_EQ(*word, 0u);
  complete(pool);
  EXPECT_EQ(pool.core->durable(), first);
  EXPECT_EQ(*word, 1u) << "the value at the end of its ticket, not a later one";
  must(pool.core->wait_durable(pool.core->filling()));
  EXPECT_EQ(*word, 2u);
  EXPECT_EQ(pool.core->durable().value, first.value + 1);
}

TEST(Tickets, WaitDurableWithNothingToDoReturns) {
  TestPool<> pool;
  pool.region->asynchronous = true;
  const Ticket ticket = pool.core->filling();
  must(pool.core->wait_durable(ticket));
  EXPECT_GE(pool.core->durable(), ticket);
  must(pool.core->wait_durable(Ticket{0}));
}

TEST(Tickets, FullListIsBusyAndTheNextTicketHasRoom) {
  TestPool<> pool(4 << 20);
  std::vector<BufferName> pages;
  for (int i = 0; i < 16; ++i) pages.push_back(must(pool.core->take_zeroed(Purpose::structure)));
  uint32_t published = 0;
  EXPECT_EQ(pool.core->publish_room(), format::kPublishItemsMax);
  while (pool.core->publish_room() != 0) {
    must(pool.core->publish(pool.word(pages[published / 256], published % 256), published + 1));
    ++published;
  }
  EXPECT_EQ(published, format::kPublishItemsMax);
  auto refused = pool.core->publish(pool.word(pages[15], 255), 1);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), Code::busy);
  pool.commit();
  for (uint32_t i = 0; i < published; ++i) ASSERT_EQ(*pool.word(pages[i / 256], i % 256), i + 1);
  must(pool.core->publish(pool.word(pages[15], 255), 1));
}

void fails_for_good(bool asynchronous, int barrier) {
  TestPool<> pool;
  const BufferName name = must(pool.core->take_zeroed(Purpose::structure));
  pool.region->asynchronous = asynchronous;
  must(pool.core->publish(pool.word(name, 0), 1));
  if (barrier == 1) pool.region->failing = !asynchronous;
  auto committed = pool.core->commit();
  if (asynchronous) {
    must(std::move(committed));
    if (barrier == 2) complete(pool);
    pool.region->failing = true;
    pool.region->complete();
    committed = pool.core->poll_sync();
  }
  ASSERT_FALSE(committed.has_value());
  EXPECT_EQ(committed.error().code(), Code::failed);
  EXPECT_TRUE(pool.core->failed());
  const Ticket durable = pool.core->durable();
  pool.region->failing = false;  // a medium that seems well again is not believed
  EXPECT_EQ(pool.core->commit().error().code(), Code::failed);
  EXPECT_EQ(pool.core->poll_sync().error().code(), Code::failed);
  EXPECT_EQ(pool.core->wait_durable(pool.core->filling()).error().code(), Code::failed);
  EXPECT_EQ(pool.core->create_root(format::RootType::log, "x", {}).error().code(), Code::failed);
  EXPECT_EQ(pool.core->durable(), durable);
  EXPECT_EQ(*pool.word(name, 0), 0u) << "an unacknowledged word was stored";
}

TEST(Tickets, FailureIsFinal) {
  fails_for_good(false, 1);
  fails_for_good(true, 1);
  fails_for_good(true, 2);
}

TEST(Tickets, FailureOutOfTurnIsFinal) {
  TestPool<> pool;
  pool.region->failing = true;
  auto taken = pool.core->take_zeroed(Purpose::structure);
  ASSERT_FALSE(taken.has_value());
  EXPECT_EQ(taken.error().code(), Code::failed);
  EXPECT_TRUE(pool.core->failed());
}

TEST(Tickets, ABufferFreedByATicketWaitsForItsListToRetire) {
  TestPool<> pool;
  const BufferName page = must(pool.core->take_zeroed(Purpose::structure));
  const BufferName data = must(pool.core->take(Purpose::data));
  must(pool.core->publish(pool.word(page, 0), 1));
  pool.core->release_after_ticket(data);
  EXPECT_EQ(pool.core->stats().buffers_deferred, 1u);
  must(pool.core->commit());  // durable
  EXPECT_EQ(pool.core->holds(data), 1u);
  must(pool.core->commit());  // settled
  EXPECT_EQ(pool.core->holds(data), 1u);
  must(pool.core->commit());  // retired
  EXPECT_EQ(pool.core->holds(data), 0u);
  EXPECT_EQ(pool.core->stats().buffers_deferred, 0u);
}

TEST(Tickets, ABufferFreedBehindAnOlderListWaitsForThatOne) {
  TestPool<> pool;
  const BufferName page = must(pool.core->take_zeroed(Purpose::structure));
  const BufferName data = must(pool.core->take(Purpose::data));
  must(pool.core->publish(pool.word(page, 0), 1));
  must(pool.core->commit());
  pool.core->release_after_ticket(data);  // this ticket publishes nothing
  must(pool.core->commit());
  EXPECT_EQ(pool.core->holds(data), 1u) << "the older list is cleared, not retired";
  must(pool.core->commit());
  EXPECT_EQ(pool.core->holds(data), 0u);
}

// Goal: an area is written only when its last list can no longer be redone. Method: the record of
// events: between the commit word of a list and the next write to its area lie a barrier that began
// after its words were flushed, the flush of the cleared commit word, and a barrier after that.
TEST(Tickets, AnAreaIsRetiredBeforeItIsUsedAgain) {
  enum class Step { free, written, committed, words, settled, cleared };
  for (const bool asynchronous : {false, true}) {
    TestPool<> pool;
    std::mt19937 random(7);
    std::vector<BufferName> pages;
    for (int i = 0; i < 4; ++i) pages.push_back(must(pool.core->take_zeroed(Purpose::structure)));
    pool.settle();
    pool.region->events.clear();
    pool.region->asynchronous = asynchronous;
    for (int i = 0; i < 500; ++i) {
      if (random() % 3 != 0) {
        must(pool.core->publish(pool.word(pages[random() % 4], random() % 200), random() + 1));
      }
      if (random() % 5 == 0) (void)pool.core->take_zeroed(Purpose::structure);
      must(pool.core->commit());
      if (pool.region->barrier_in_flight() && random() % 2 == 0) complete(pool);
    }
    Step step[2] = {Step::free, Step::free};
    bool covered[2] = {};  // the barrier in flight began after the step
    int newest = 0;
    int lists = 0;
    for (const FakeRegion::Event& event : pool.region->events) {
      const int area = event.offset < format::kPublishOffset[1] ? 0 : 1;
      if (event.what == What::begin) {
        covered[0] = covered[1] = true;
      } else if (event.what == What::complete) {
        for (int i = 0; i < 2; ++i) {
          if (!covered[i]) continue;
          if (step[i] == Step::words) step[i] = Step::settled;
          if (step[i] == Step::cleared) step[i] = Step::free;
        }
      } else if (event.site == Site::publish_list) {
        ASSERT_EQ(step[area], Step::free);
        step[newest = area] = Step::written;
        ++lists;
      } else if (event.site == Site::publish_commit) {
        ASSERT_EQ(step[area], Step::written);
        ASSERT_NE(event.word, 0u);
        step[area] = Step::committed;
      } else if (event.site == Site::publish_words) {
        ASSERT_TRUE(step[newest] == Step::committed || step[newest] == Step::words);
        step[newest] = Step::words;
        covered[newest] = false;
      } else if (event.site == Site::publish_retire) {
        ASSERT_EQ(step[area], Step::settled);
        ASSERT_EQ(event.word, 0u);
        step[area] = Step::cleared;
        covered[area] = false;
      }
    }
    EXPECT_GT(lists, 50);
  }
}

TEST(Tickets, ReopenContinuesAfterTheNumbersOfListsThatWereThere) {
  TestPool<> pool;
  for (int i = 0; i < 20; ++i) must(pool.core->commit());
  must(pool.core->create_root(format::RootType::log, "a", {1, 2, 3}));
  must(pool.core->commit());
  const Ticket published = pool.core->durable();
  auto again = must(open_image(pool.region->durable));
  EXPECT_GT(again->filling(), published);
  ASSERT_NE(again->find_root("a"), nullptr) << "the committed list was redone";
  EXPECT_EQ(again->find_root("a")->words[2], 3u);
}

}  // namespace
}  // namespace paste::pool
