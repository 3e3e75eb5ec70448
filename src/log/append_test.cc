// Appending and reading: every way in which a record can lie in the pool, what it holds there, and
// what a full pool or a refused record leaves behind (nothing).
#include <gtest/gtest.h>

#include "log/pieces.h"
#include "log/test_pool.h"

namespace paste::log {
namespace {

TEST(Append, KeepsTheVeryBytesThatArrived) {
  TestPool pool = TestPool::create(1 << 20);
  Log& log = *pool.logs->create("orders").value();
  const Slice packet = pool.packet("hello", 100);
  const auto appended = log.append({&packet, 1}, {.time_ns = 7, .auxiliary = 9});
  ASSERT_TRUE(appended.has_value());
  EXPECT_EQ(appended->lsn, 1u);
  EXPECT_EQ(appended->ticket, pool.core->filling());
  EXPECT_EQ(log.durable(), 0u);
  const auto record = log.read(1);
  ASSERT_TRUE(record.has_value());
  ASSERT_EQ(record->slices.size(), 1u);
  EXPECT_EQ(record->slices[0], packet);
  EXPECT_EQ(record->time_ns, 7u);
  EXPECT_EQ(record->auxiliary, 9u);
  EXPECT_EQ(pool.core->holds(packet.buffer), 1u);
  EXPECT_EQ(log.changed(), pool.core->filling());
  pool.commit();
  EXPECT_EQ(log.durable(), 1u);
  EXPECT_LE(log.changed(), pool.core->durable());
}

TEST(Append, PipelinedRecordsShareABuffer) {
  TestPool pool = TestPool::create(1 << 20);
  Log& log = *pool.logs->create("orders").value();
  const Slice packet = pool.packet("onetwothree");
  pool.core->hold(packet.buffer);
  pool.core->hold(packet.buffer);
  const Slice parts[] = {{packet.buffer, 0, 3}, {packet.buffer, 3, 3}, {packet.buffer, 6, 5}};
  for (const Slice& part : parts) ASSERT_TRUE(log.append({&part, 1}).has_value());
  EXPECT_EQ(pool.core->holds(packet.buffer), 3u);
  EXPECT_EQ(pool.read(log, 2), "two");
  EXPECT_EQ(pool.read(log, 3), "three");
  EXPECT_EQ(log.bytes(), 11u);
}

TEST(Append, EmptyRecords) {
  TestPool pool = TestPool::create(1 << 20);
  Log& log = *pool.logs->create("orders").value();
  ASSERT_TRUE(log.append({}).has_value());
  ASSERT_TRUE(log.append_bytes({}).has_value());
  Slice empty = pool.packet("");
  ASSERT_TRUE(log.append({&empty, 1}).has_value());
  EXPECT_EQ(pool.core->holds(empty.buffer), 0u);
  pool.commit();
  TestPool again = pool.reopen();
  Log& same = *again.logs->find("orders");
  EXPECT_EQ(same.next(), 4u);
  for (Lsn lsn = 1; lsn < 4; ++lsn) EXPECT_EQ(again.read(same, lsn), "");
}

TEST(Append, ShortRecordsAcrossBuffersAreCopiedTogether) {
  TestPool pool = TestPool::create(1 << 20);
  Log& log = *pool.logs->create("orders").value();
  const Slice parts[] = {pool.packet("left "), pool.packet("and right")};
  ASSERT_TRUE(log.append(parts).has_value());
  EXPECT_EQ(pool.core->holds(parts[0].buffer), 0u);
  EXPECT_EQ(pool.core->holds(parts[1].buffer), 0u);
  EXPECT_EQ(pool.read(log, 1), "left and right");
  EXPECT_EQ(log.read(1)->slices.size(), 1u);
}

TEST(Append, LongRecordsAcrossBuffersStayInPlace) {
  TestPool pool = TestPool::create(4 << 20);
  Log& log = *pool.logs->create("orders").value();
  std::vector<Slice> parts;
  std::string all;
  for (uint64_t i = 0; i < 450; ++i) {
    const std::string text = pattern(i, 1448);
    all += text;
    parts.push_back(pool.packet(text, 66));
  }
  ASSERT_TRUE(log.append(parts, {.time_ns = 3}).has_value());
  const Record record = log.read(1).value();
  ASSERT_EQ(record.slices.size(), parts.size());
  EXPECT_TRUE(std::equal(parts.begin(), parts.end(), record.slices.begin()));
  EXPECT_EQ(record.auxiliary, 0u);
  for (const Slice& part : parts) EXPECT_EQ(pool.core->holds(part.buffer), 1u);
  pool.commit();
  TestPool again = pool.reopen();
  EXPECT_EQ(again.read(*again.logs->find("orders"), 1), all);
  for (const Slice& part : parts) EXPECT_EQ(again.core->holds(part.buffer), 1u);
}

TEST(Append, CrumbsAreCopied) {
  TestPool pool = TestPool::create(2 << 20);
  Log& log = *pool.logs->create("orders").value();
  std::vector<Slice> parts;
  std::string all;
  for (uint64_t i = 0; i < 200; ++i) {
    const std::string text = pattern(i, 30);
    all += text;
    parts.push_back(pool.packet(text));
  }
  ASSERT_TRUE(log.append(parts).has_value());
  EXPECT_EQ(pool.read(log, 1), all);
  EXPECT_LE(log.read(1)->slices.size(), 3u);
  for (const Slice& part : parts) EXPECT_EQ(pool.core->holds(part.buffer), 0u);
}

TEST(Append, BytesOfEveryLengthAroundTheBuffer) {
  for (const uint32_t size : {2048u, 4096u}) {
    TestPool pool = TestPool::create(4 << 20, size);
    Log& log = *pool.logs->create("orders").value();
    const size_t lengths[] = {1,        7,        size / 2,     size - 1,   size,
                              size + 1, 2 * size, 3 * size - 1, size * 201, size * 201 + 5};
    for (const size_t n : lengths) pool.add(log, pattern(n, n));
    pool.commit();
    TestPool again = pool.reopen();
    Lsn lsn = 1;
    for (const size_t n : lengths) {
      EXPECT_EQ(pool.read(log, lsn), pattern(n, n));
      EXPECT_EQ(again.read(*again.logs->find("orders"), lsn++), pattern(n, n));
    }
    EXPECT_EQ(again.logs->find("orders")->bytes(), log.bytes());
  }
}

TEST(Append, SixtyFourMiBAndNotAByteMore) {
  TestPool pool = TestPool::create(80 << 20);
  Log& log = *pool.logs->create("orders").value();
  const std::string big = pattern(1, kRecordBytesMax);
  pool.add(log, big);
  pool.commit();
  EXPECT_EQ(log.append_bytes(as_bytes(big + "x")).error().code(), Code::too_large);
  EXPECT_EQ(log.append_bytes(as_bytes(big)).error().code(), Code::pool_full);
  TestPool again = pool.reopen();
  Log& same = *again.logs->find("orders");
  EXPECT_TRUE(again.read(same, 1) == big);
  // And its room comes back, in bounded steps.
  ASSERT_TRUE(same.erase(1).has_value());
  again.settle();
  again.add(same, big);
  EXPECT_TRUE(again.read(same, 2) == big);
}

TEST(Append, FullPoolChangesNothingAndTruncationMakesRoom) {
  TestPool pool = TestPool::create(512 << 10);
  Log& log = *pool.logs->create("orders").value();
  const std::string text = pattern(1, 1500);
  Lsn last = 0;
  for (;;) {
    auto appended = log.append_bytes(as_bytes(text));
    if (!appended) {
      EXPECT_EQ(appended.error().code(), Code::pool_full);
      break;
    }
    last = appended->lsn;
    pool.commit();
    ASSERT_LT(last, 1000u);
  }
  ASSERT_GT(last, 20u);
  EXPECT_EQ(log.next(), last + 1);
  const uint64_t free = pool.core->stats().buffers_free;
  const std::string longer = pattern(2, 9000);
  EXPECT_EQ(log.append_bytes(as_bytes(longer)).error().code(), Code::pool_full);
  // A held packet is refused too, and stays the caller's.
  const auto name = pool.core->take(pool::Purpose::receive);
  if (name) {
    const Slice slice{*name, 0, 10};
    EXPECT_EQ(log.append({&slice, 1}).error().code(), Code::pool_full);
    EXPECT_EQ(pool.core->holds(*name), 1u);
    pool.core->release(*name);
  }
  EXPECT_EQ(pool.core->stats().buffers_free, free);
  EXPECT_EQ(pool.read(log, last), text);
  // Deleting and truncating need no buffer.
  ASSERT_TRUE(log.erase(last - 1).has_value());
  ASSERT_TRUE(log.truncate(last - 5).has_value());
  pool.commit();
  pool.settle();
  for (int i = 0; i < 10; ++i) {
    last = pool.add(log, text);
    pool.commit();
  }
  EXPECT_EQ(pool.read(log, last), text);
}

TEST(Append, WithoutAMediumNothingIsStored) {
  TestPool pool = TestPool::create(512 << 10);
  Log& log = *pool.logs->create("orders").value();
  pool.commit();
  pool.add(log, "before");
  pool.region->failing = true;
  EXPECT_FALSE(pool.core->commit().has_value());
  EXPECT_EQ(log.append_bytes(as_bytes("after")).error().code(), Code::failed);
  EXPECT_EQ(log.durable(), 0u);
  EXPECT_EQ(log.truncate(2).error().code(), Code::failed);
  EXPECT_EQ(log.erase(1).error().code(), Code::failed);
}

// At most one ticket syncs while one fills: what each entry's lag says must be exactly what was
// not durable then.
TEST(Append, LagAcrossAsynchronousTickets) {
  TestPool pool = TestPool::create(512 << 10);
  Log& log = *pool.logs->create("orders").value();
  pool.commit();
  const auto lag = [&](Lsn lsn) { return pool.entry(log, lsn)->lag; };
  pool.region->asynchronous = true;
  pool.region->released = false;
  pool.add(log, "1");
  pool.add(log, "2");
  EXPECT_EQ(lag(1), 1u);
  EXPECT_EQ(lag(2), 2u);
  ASSERT_TRUE(pool.core->commit().has_value());
  pool.add(log, "3");  // while 1 and 2 sync
  EXPECT_EQ(lag(3), 3u);
  EXPECT_EQ(log.durable(), 0u);
  pool.region->released = true;
  ASSERT_TRUE(pool.core->poll_sync().has_value());
  EXPECT_EQ(log.durable(), 2u);
  pool.add(log, "4");
  EXPECT_EQ(lag(4), 2u);
  pool.region->released = false;
  ASSERT_TRUE(pool.core->commit().has_value());
  pool.add(log, "5");
  EXPECT_EQ(lag(5), 3u);
  pool.region->released = true;
  ASSERT_TRUE(pool.core->wait_durable(pool.core->filling()).has_value());
  EXPECT_EQ(log.durable(), 5u);
}

}  // namespace
}  // namespace paste::log
