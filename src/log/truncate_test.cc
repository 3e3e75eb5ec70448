// Deleting, truncating, retention, removal: what readers see at once, what is durable when the
// ticket is, and that every buffer comes back, none too early.
#include <gtest/gtest.h>

#include "log/test_pool.h"

namespace paste::log {
namespace {

constexpr uint64_t kFirstTime = 1000;

// A log of `records` records of 100 bytes, times 1000, 1001, …
Log& fill(const TestPool& pool, std::string_view name, Lsn records) {
  Log& log = *pool.logs->create(name).value();
  for (Lsn lsn = 1; lsn <= records; ++lsn) pool.add(log, pattern(lsn, 100), kFirstTime + lsn - 1);
  pool.commit();
  return log;
}

TEST(Truncate, ReadersSeeItAtOnceAndReopenAfterTheTicket) {
  TestPool pool = TestPool::create(1 << 20);
  Log& log = fill(pool, "a", 200);
  const Ticket ticket = log.truncate(150).value();
  EXPECT_EQ(ticket, pool.core->filling());
  EXPECT_EQ(log.changed(), ticket);
  EXPECT_EQ(log.first(), 150u);
  EXPECT_EQ(log.bytes(), 51 * 100u);
  EXPECT_EQ(pool.read(log, 149), "(not found)");
  EXPECT_EQ(pool.read(log, 150), pattern(150, 100));
  {
    TestPool before = pool.reopen();
    EXPECT_EQ(before.logs->find("a")->first(), 1u);
    EXPECT_EQ(before.read(*before.logs->find("a"), 1), pattern(1, 100));
  }
  pool.commit();
  TestPool again = pool.reopen();
  Log& same = *again.logs->find("a");
  EXPECT_EQ(same.first(), 150u);
  EXPECT_EQ(same.next(), 201u);
  EXPECT_EQ(same.bytes(), 51 * 100u);
  EXPECT_EQ(again.read(same, 200), pattern(200, 100));
}

TEST(Truncate, AtEveryPlaceThenAppendAndReopen) {
  const uint32_t per_page = format::records_per_page(2048);
  for (Lsn keep = 1; keep <= 2 * per_page + 2; keep += keep % per_page > 2 ? 13 : 1) {
    TestPool pool = TestPool::create(512 << 10);
    Log& log = fill(pool, "a", 2 * per_page);
    ASSERT_TRUE(log.truncate(keep).has_value());
    pool.commit();
    pool.settle();
    pool.add(log, "next");
    pool.commit();
    TestPool again = pool.reopen();
    Log& same = *again.logs->find("a");
    EXPECT_EQ(same.first(), std::min<Lsn>(keep, 2 * per_page + 1));
    EXPECT_EQ(same.next(), 2 * per_page + 2);
    EXPECT_EQ(again.read(same, 2 * per_page + 1), "next");
    for (Lsn lsn = same.first(); lsn <= 2 * per_page; ++lsn) {
      ASSERT_EQ(again.read(same, lsn), pattern(lsn, 100));
    }
    EXPECT_TRUE(TestPool::check(pool.image()).empty());
  }
}

TEST(Truncate, NothingToDo) {
  TestPool pool = TestPool::create(512 << 10);
  Log& log = fill(pool, "a", 10);
  ASSERT_TRUE(log.truncate(5).has_value());
  pool.commit();
  const Ticket before = log.changed();
  EXPECT_EQ(log.truncate(5).value(), before);
  EXPECT_EQ(log.truncate(0).value(), before);
  EXPECT_EQ(log.first(), 5u);
  ASSERT_TRUE(log.truncate(1000).has_value());
  EXPECT_EQ(log.first(), 11u);
  EXPECT_EQ(log.next(), 11u);
  EXPECT_EQ(log.bytes(), 0u);
}

TEST(Truncate, BuffersComeBackOnlyAfterTheTicket) {
  TestPool pool = TestPool::create(1 << 20);
  Log& log = *pool.logs->create("a").value();
  const Slice packet = pool.packet("kept");
  ASSERT_TRUE(log.append({&packet, 1}).has_value());
  pool.commit();
  ASSERT_TRUE(log.truncate(2).has_value());
  while (pool.logs->reclaim(4)) {
  }
  EXPECT_EQ(pool.core->holds(packet.buffer), 1u) << "a crash now still finds the record";
  pool.commit();
  pool.settle();
  EXPECT_EQ(pool.core->holds(packet.buffer), 0u);
}

TEST(Truncate, EverythingComesBack) {
  TestPool pool = TestPool::create(2 << 20);
  Log& keep = *pool.logs->create("keep").value();
  pool.add(keep, "x");
  pool.settle();
  const uint64_t used = pool.core->stats().buffers_data + pool.core->stats().buffers_structure;
  Log& log = fill(pool, "a", 300);
  pool.add(log, pattern(9, 300'000));
  for (Lsn lsn = 10; lsn < 300; lsn += 3) {
    ASSERT_TRUE(log.erase(lsn).has_value());
    pool.commit();
  }
  ASSERT_TRUE(log.truncate(100).has_value());
  pool.commit();
  ASSERT_TRUE(pool.logs->remove("a").has_value());
  pool.commit();
  pool.settle();
  const auto stats = pool.core->stats();
  EXPECT_EQ(stats.buffers_data + stats.buffers_structure, used);
  EXPECT_EQ(stats.buffers_deferred, 0u);
}

TEST(Truncate, ReclaimIsBounded) {
  TestPool pool = TestPool::create(4 << 20);
  Log& log = fill(pool, "a", 1000);
  pool.add(log, pattern(1, 1'000'000));
  pool.commit();
  ASSERT_TRUE(log.truncate(log.next()).has_value());
  pool.commit();
  int steps = 1;
  while (pool.logs->reclaim(1)) {
    ++steps;
    pool.commit();
  }
  EXPECT_GE(steps, 1000 / 61);
  EXPECT_LE(steps, 3 * (1000 + 490) / 61);
}

TEST(Erase, SkipsTheRecordForGood) {
  TestPool pool = TestPool::create(1 << 20);
  Log& log = fill(pool, "a", 130);
  for (const Lsn lsn : {1u, 61u, 62u, 130u}) {
    EXPECT_TRUE(log.erase(lsn).has_value());
    EXPECT_EQ(pool.read(log, lsn), "(not found)");
    EXPECT_EQ(log.erase(lsn).error().code(), Code::not_found);
  }
  EXPECT_EQ(log.erase(0).error().code(), Code::not_found);
  EXPECT_EQ(log.erase(131).error().code(), Code::not_found);
  EXPECT_EQ(log.bytes(), 126 * 100u);
  EXPECT_EQ(log.first(), 1u);
  pool.commit();
  pool.settle();
  // What is deleted may be overwritten: fill the pool with something else.
  Log& other = *pool.logs->create("b").value();
  while (other.append_bytes(as_bytes(pattern(3, 2000)))) pool.commit();
  pool.commit();
  TestPool again = pool.reopen();
  Log& same = *again.logs->find("a");
  EXPECT_EQ(same.next(), 131u);
  EXPECT_EQ(same.bytes(), 126 * 100u);
  for (const Lsn lsn : {1u, 61u, 62u, 130u}) EXPECT_EQ(again.read(same, lsn), "(not found)");
  EXPECT_EQ(again.read(same, 129), pattern(129, 100));
  EXPECT_TRUE(TestPool::check(pool.image()).empty());
}

// The deletion of a record that is not durable yet: both are when the ticket is.
TEST(Erase, InTheTicketThatAppended) {
  TestPool pool = TestPool::create(1 << 20);
  Log& log = *pool.logs->create("a").value();
  pool.add(log, "one");
  pool.add(log, "two");
  pool.add(log, "three");
  ASSERT_TRUE(log.erase(2).has_value());
  pool.commit();
  pool.settle();
  TestPool again = pool.reopen();
  Log& same = *again.logs->find("a");
  EXPECT_EQ(same.next(), 4u);
  EXPECT_EQ(again.read(same, 1), "one");
  EXPECT_EQ(again.read(same, 2), "(not found)");
  EXPECT_EQ(again.read(same, 3), "three");
}

TEST(Retention, CutsKeepExactlyWhatIsAsked) {
  TestPool pool = TestPool::create(1 << 20);
  Log& log = fill(pool, "a", 200);
  EXPECT_EQ(log.cut_for_count(200), 1u);
  EXPECT_EQ(log.cut_for_count(1000), 1u);
  EXPECT_EQ(log.cut_for_count(1), 200u);
  EXPECT_EQ(log.cut_for_count(0), 201u);
  EXPECT_EQ(log.cut_for_bytes(20'000), 1u);
  EXPECT_EQ(log.cut_for_bytes(19'999), 2u);
  EXPECT_EQ(log.cut_for_bytes(100), 200u);
  EXPECT_EQ(log.cut_for_bytes(99), 201u);
  EXPECT_EQ(log.cut_for_age(0), 1u);
  EXPECT_EQ(log.cut_for_age(kFirstTime), 1u);
  EXPECT_EQ(log.cut_for_age(kFirstTime + 50), 51u);
  EXPECT_EQ(log.cut_for_age(kFirstTime + 500), 201u);
  for (const Lsn lsn : {1u, 2u, 70u, 150u, 200u}) {
    ASSERT_TRUE(log.erase(lsn).has_value());
    pool.commit();
  }
  for (const bool reopened : {false, true}) {
    TestPool copy = pool.reopen();
    Log& tested = reopened ? *copy.logs->find("a") : log;
    EXPECT_EQ(tested.cut_for_count(195), 1u);
    EXPECT_EQ(tested.cut_for_count(194), 4u);
    EXPECT_EQ(tested.cut_for_count(1), 199u);
    EXPECT_EQ(tested.cut_for_bytes(19'500), 1u);
    EXPECT_EQ(tested.cut_for_bytes(19'499), 4u);
    EXPECT_EQ(tested.cut_for_bytes(150), 199u);
    EXPECT_GE(tested.cut_for_bytes(0), 200u);
  }
  ASSERT_TRUE(log.truncate(100).has_value());
  EXPECT_EQ(log.cut_for_bytes(99 * 100), 100u);
  EXPECT_EQ(log.cut_for_bytes(99 * 100 - 1), 101u);
  EXPECT_EQ(log.cut_for_count(98), 101u);
}

TEST(Directory, CreateFindRemoveAndReuseTheName) {
  TestPool pool = TestPool::create(1 << 20);
  EXPECT_EQ(pool.logs->find("a"), nullptr);
  Log& log = fill(pool, "a", 5);
  EXPECT_EQ(pool.logs->create("a").error().code(), Code::exists);
  for (const char* bad : {"", ".a", "a/b", "a b", "\xc3\xa9"}) {
    EXPECT_EQ(pool.logs->create(bad).error().code(), Code::invalid) << bad;
  }
  EXPECT_FALSE(Logs::valid_name(std::string(65, 'a')));
  EXPECT_TRUE(Logs::valid_name(std::string(64, 'a')));
  const Ticket removed = pool.logs->remove("a").value();
  EXPECT_EQ(pool.logs->changed(), removed);
  EXPECT_TRUE(log.removed());
  EXPECT_EQ(log.append_bytes(as_bytes("x")).error().code(), Code::closed);
  EXPECT_EQ(pool.read(log, 1), "(closed)");
  EXPECT_EQ(log.erase(1).error().code(), Code::closed);
  EXPECT_EQ(log.truncate(2).error().code(), Code::closed);
  EXPECT_EQ(log.seal().error().code(), Code::closed);
  EXPECT_EQ(pool.logs->remove("a").error().code(), Code::not_found);
  // At once, in the same ticket, by a new log with a new identity.
  Log& fresh = *pool.logs->create("a").value();
  EXPECT_NE(fresh.id(), log.id());
  EXPECT_EQ(fresh.next(), 1u);
  pool.add(fresh, "new");
  pool.commit();
  pool.settle();
  TestPool again = pool.reopen();
  ASSERT_EQ(again.logs->list().size(), 1u);
  EXPECT_EQ(again.logs->list()[0]->id(), fresh.id());
  EXPECT_EQ(again.read(*again.logs->find("a"), 1), "new");
}

TEST(Directory, ManyLogs) {
  TestPool pool = TestPool::create(4 << 20);
  for (int i = 0; i < 200; ++i) {
    Log& log = *pool.logs->create(fmt::format("log-{}", i)).value();
    pool.add(log, fmt::format("first of {}", i));
    if (i % 7 == 0) pool.commit();
  }
  pool.commit();
  TestPool again = pool.reopen();
  const auto logs = again.logs->list();
  ASSERT_EQ(logs.size(), 200u);
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(logs[i]->name(), fmt::format("log-{}", i));
    EXPECT_EQ(again.read(*logs[i], 1), fmt::format("first of {}", i));
  }
}

}  // namespace
}  // namespace paste::log
