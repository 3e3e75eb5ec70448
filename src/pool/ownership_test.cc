// Goal: holds, reserves, the stock of zeroed pages, exhaustion, bad memory. Method: small pools
// filled to the brim in every order of purposes.
#include <gtest/gtest.h>

#include <set>

#include "pool/test_region.h"

namespace paste::pool {
namespace {

size_t take_all(Core& core, Purpose purpose) {
  size_t n = 0;
  while (core.take(purpose)) ++n;
  return n;
}

TEST(Ownership, HoldsAreCounted) {
  TestPool<> pool;
  const auto free = pool.core->stats().buffers_free;
  const BufferName name = must(pool.core->take(Purpose::receive));
  EXPECT_EQ(pool.core->holds(name), 1u);
  pool.core->hold(name);
  pool.core->hold(name);
  EXPECT_EQ(pool.core->holds(name), 3u);
  EXPECT_EQ(pool.core->stats().buffers_data, 1u);
  for (int i = 0; i < 3; ++i) pool.core->release(name);
  EXPECT_EQ(pool.core->holds(name), 0u);
  EXPECT_EQ(pool.core->stats().buffers_free, free);
  EXPECT_EQ(pool.core->stats().buffers_data, 0u);
}

TEST(Ownership, EachPurposeStopsAtItsReserve) {
  for (const uint64_t size : {kSmall, uint64_t{1} << 20, uint64_t{64} << 20}) {
    TestPool<PlainRegion> pool(size);
    Core& core = *pool.core;
    const uint64_t total = core.buffer_end() - core.first_buffer();
    EXPECT_EQ(core.stats().buffers_free, total);
    EXPECT_TRUE(core.has_room(static_cast<uint32_t>(total / 2)));
    const size_t data = take_all(core, Purpose::data);
    EXPECT_FALSE(core.has_room(1));
    EXPECT_EQ(core.take(Purpose::structure).error().code(), Code::pool_full);
    EXPECT_EQ(core.take_zeroed(Purpose::structure).error().code(), Code::pool_full);
    const size_t receive = take_all(core, Purpose::receive);
    const size_t room = take_all(core, Purpose::room);
    EXPECT_EQ(core.take(Purpose::room).error().code(), Code::pool_full);
    EXPECT_EQ(data + receive + room, total);
    EXPECT_GE(receive, total < 100 ? 2 : 16u);
    EXPECT_LE(receive, std::max<uint64_t>(16, total / 16));
    EXPECT_GE(room, total < 100 ? 2 : 8u);
    EXPECT_LE(room, std::max<uint64_t>(8, total / 64));
    EXPECT_GE(data, total * 3 / 4) << "reserves must not eat a small pool";
  }
}

TEST(Ownership, AFullPoolGivesRoomToDeletes) {
  TestPool<> pool;
  std::vector<BufferName> kept;
  while (auto name = pool.core->take(Purpose::data)) kept.push_back(*name);
  const BufferName page = must(pool.core->take_zeroed(Purpose::room));
  for (size_t i = 0; i < pool.core->buffer_size() / 8; ++i) EXPECT_EQ(*pool.word(page, i), 0u);
  for (const BufferName name : kept) pool.core->release_after_ticket(name);
  must(pool.core->publish(pool.word(page, 0), 1));
  pool.settle();
  EXPECT_EQ(pool.core->stats().buffers_data, 0u);
  EXPECT_TRUE(pool.core->take(Purpose::data).has_value());
}

TEST(Stock, PagesAreDurableZeroes) {
  TestPool<> pool(1 << 20);
  // Dirt everywhere, so that zeroes are somebody's work.
  for (BufferName name = pool.core->first_buffer(); name < pool.core->buffer_end(); ++name) {
    std::memset(pool.core->buffer(name), 0xAA, 2048);
    pool.core->flush(pool.core->buffer(name), 2048, Site::log_data);
  }
  pool.commit();
  std::set<BufferName> seen;
  for (int round = 0; round < 40; ++round) {
    for (int i = 0; i < 3; ++i) {
      const BufferName name = must(pool.core->take_zeroed(Purpose::structure));
      EXPECT_TRUE(seen.insert(name).second);
      EXPECT_EQ(pool.core->holds(name), 1u);
      const std::byte* durable = &pool.region->durable[uint64_t{name} * 2048];
      const auto zero = [](std::byte b) { return b == std::byte{0}; };
      EXPECT_TRUE(std::all_of(durable, durable + 2048, zero)) << "buffer " << name;
      const std::byte* now = pool.core->buffer(name);
      EXPECT_TRUE(std::all_of(now, now + 2048, zero)) << "buffer " << name;
    }
    pool.core->flush(pool.core->buffer(*seen.begin()), 8, Site::log_data);
    must(pool.core->commit());
  }
}

TEST(Stock, SteadyUseNeedsNoBarrierOutOfTurn) {
  TestPool<> pool(4 << 20);
  const auto turn = [&] {
    for (int i = 0; i < 20; ++i) {
      const BufferName name = must(pool.core->take_zeroed(Purpose::structure));
      *pool.word(name, 3) = 7;
      pool.core->flush(pool.word(name, 3), 8, Site::log_entry);
      pool.core->release_after_ticket(name);
    }
    must(pool.core->commit());
  };
  for (int i = 0; i < 20; ++i) turn();
  const size_t warm = pool.region->count(FakeRegion::What::begin, Site::barrier_page);
  for (int i = 0; i < 200; ++i) turn();
  EXPECT_EQ(pool.region->count(FakeRegion::What::begin, Site::barrier_page), warm);
}

TEST(Stock, EmptyStockWaitsForTheBarrierInFlight) {
  TestPool<> pool(1 << 20);
  pool.region->asynchronous = true;
  const BufferName data = must(pool.core->take(Purpose::data));
  pool.core->flush(pool.core->buffer(data), 8, Site::log_data);
  const Ticket ticket = pool.core->filling();
  must(pool.core->commit());
  EXPECT_TRUE(pool.region->barrier_in_flight());
  std::set<BufferName> seen;
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(seen.insert(must(pool.core->take_zeroed(Purpose::structure))).second);
  }
  EXPECT_GE(pool.core->durable(), ticket);
  EXPECT_FALSE(pool.region->barrier_in_flight());
}

TEST(Stock, GivesBackWhenThePoolIsFull) {
  TestPool<PlainRegion> pool;
  const BufferName page = must(pool.core->take_zeroed(Purpose::structure));  // the rest is stock
  const uint64_t total = pool.core->buffer_end() - pool.core->first_buffer();
  EXPECT_EQ(pool.core->stats().buffers_free, total - 1);
  EXPECT_EQ(pool.core->stats().buffers_structure, 1u);
  EXPECT_EQ(take_all(*pool.core, Purpose::room), total - 1);
  pool.core->release(page);
  EXPECT_EQ(must(pool.core->take(Purpose::room)), page);
}

TEST(BadMemory, IsNeverFree) {
  TestPool<> made;
  const Image image = made.region->durable;
  const BufferName first = made.core->first_buffer();
  auto region = std::make_unique<PlainRegion>(image);
  region->add_bad(uint64_t{first + 3} * 2048 + 100, 1);
  region->add_bad(uint64_t{first + 7} * 2048 - 1, 2049);  // the end of 6 and all of 7
  region->add_bad(image.size() - 1, 4096);                // beyond the end too
  auto core = must(Core::open(std::move(region)));
  must(core->claim(first + 3, Kind::data));  // somebody's, though bad
  must(core->finish_recovery());
  const std::set<BufferName> bad = {first + 3, first + 6, first + 7, core->buffer_end() - 1};
  core->release(first + 3);
  size_t taken = 0;
  while (auto name = core->take(Purpose::room)) {
    EXPECT_EQ(bad.count(*name), 0u) << *name;
    ++taken;
  }
  EXPECT_EQ(taken + bad.size(), core->buffer_end() - first);
}

}  // namespace
}  // namespace paste::pool
