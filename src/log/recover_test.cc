// Recovery: the torn tail is cut, damage is told apart from it, and nothing stale ever comes back.
// Method: real images, changed byte by byte, opened again.
#include <gtest/gtest.h>

#include <algorithm>

#include "log/entry.h"
#include "log/test_pool.h"

namespace paste::log {
namespace {

constexpr uint32_t kPerPage = format::records_per_page(2048);

// Records that nothing vouches for at the end of a log: two in the last ticket.
struct Tail {
  TestPool pool = TestPool::create(256 << 10);
  Log* log = pool.logs->create("a").value();
  Tail() {
    pool.commit();
    pool.add(*log, "one");
    pool.commit();
    pool.add(*log, "two");
    pool.commit();
    pool.add(*log, "three");
    pool.add(*log, "four");
    pool.commit();
  }
};

void expect_prefix(const TestPool& pool, Lsn records) {
  static const char* const texts[] = {"one", "two", "three", "four"};
  Log& log = *pool.logs->find("a");
  ASSERT_EQ(log.next(), records + 1);
  for (Lsn lsn = 1; lsn <= records; ++lsn) EXPECT_EQ(pool.read(log, lsn), texts[lsn - 1]);
}

TEST(Recover, WholeLogs) {
  TestPool pool = TestPool::create(1 << 20);
  Log& log = *pool.logs->create("a").value();
  pool.commit();
  for (Lsn lsn = 1; lsn <= 3 * kPerPage; ++lsn) {
    pool.add(log, pattern(lsn, 50));
    if (lsn % 10 == 0) pool.commit();
    if (lsn % kPerPage > 1 && lsn % kPerPage < kPerPage - 1) continue;
    TestPool again = pool.reopen();
    Log& same = *again.logs->find("a");
    ASSERT_EQ(same.next(), lsn + 1);
    ASSERT_EQ(same.durable(), lsn);
    for (Lsn i = 1; i <= lsn; ++i) ASSERT_EQ(again.read(same, i), pattern(i, 50));
    EXPECT_EQ(again.logs->recovery().records, lsn);
    EXPECT_EQ(again.logs->recovery().torn, 0u);
    EXPECT_EQ(again.add(same, "more"), lsn + 1);
  }
}

// A crash may leave any part of the last ticket: each byte of its entries and records, flipped and
// zeroed. Whatever is left must be a prefix, and records behind a torn one never count.
TEST(Recover, TornTailAtEveryByte) {
  Tail tail;
  const Image image = tail.pool.image();
  const std::byte* base = tail.pool.region->data();
  for (const Lsn torn : {3u, 4u}) {
    const format::Entry* entry = tail.pool.entry(*tail.log, torn);
    std::vector<size_t> bytes;
    for (size_t i = 0; i < sizeof *entry; ++i) {
      bytes.push_back(static_cast<size_t>(reinterpret_cast<const std::byte*>(entry) - base) + i);
    }
    for (size_t i = 0; i < entry->length; ++i) {
      bytes.push_back(static_cast<size_t>(tail.pool.core->buffer(entry->buffer) - base) +
                      entry->offset + i);
    }
    for (const size_t at : bytes) {
      for (const auto flip : {uint8_t{0x01}, uint8_t{0x80}, uint8_t{0xFF}, uint8_t{0}}) {
        Image bad = image;
        bad[at] = flip == 0 ? std::byte{0} : bad[at] ^ std::byte{flip};
        const bool changed = bad[at] != image[at];
        auto opened = TestPool::open(bad);
        ASSERT_TRUE(opened.has_value()) << opened.error().message();
        expect_prefix(*opened, changed ? torn - 1 : 4);
        if (!changed) continue;
        EXPECT_EQ(opened->logs->recovery().corrupt, 0u);
        // Appended again, the same LSNs; what was behind the torn record does not come back.
        Log& log = *opened->logs->find("a");
        EXPECT_EQ(opened->add(log, "again"), torn);
        opened->commit();
        TestPool again = opened->reopen();
        Log& same = *again.logs->find("a");
        EXPECT_EQ(same.next(), torn + 1);
        EXPECT_EQ(again.read(same, torn), "again");
      }
    }
  }
}

// The same bytes of a record that a later one vouches for: damage, which stays and is told.
TEST(Recover, DamageBeforeTheVouchedEnd) {
  Tail tail;
  const Image image = tail.pool.image();
  const std::byte* base = tail.pool.region->data();
  for (const Lsn damaged : {1u, 2u}) {
    const format::Entry* entry = tail.pool.entry(*tail.log, damaged);
    for (size_t i = 0; i < sizeof *entry + entry->length; ++i) {
      const std::byte* at = i < sizeof *entry ? reinterpret_cast<const std::byte*>(entry) + i
                                              : tail.pool.core->buffer(entry->buffer) +
                                                    entry->offset + (i - sizeof *entry);
      Image bad = image;
      bad[static_cast<size_t>(at - base)] ^= std::byte{0x10};
      auto opened = TestPool::open(bad);
      ASSERT_TRUE(opened.has_value()) << opened.error().message();
      Log& log = *opened->logs->find("a");
      ASSERT_EQ(log.next(), 5u);
      EXPECT_EQ(opened->read(log, damaged), "(corrupt)");
      EXPECT_EQ(opened->read(log, 3 - damaged), damaged == 1 ? "two" : "one");
      EXPECT_EQ(opened->logs->recovery().corrupt, 1u);
      const auto findings = TestPool::check(bad);
      ASSERT_EQ(findings.size(), 1u);
      EXPECT_EQ(findings[0].code, Code::corrupt);
      EXPECT_EQ(findings[0].what, fmt::format("record {} of log a", damaged));
      // It can be deleted, and truncated away.
      EXPECT_TRUE(log.erase(damaged).has_value());
      EXPECT_TRUE(log.truncate(4).has_value());
      opened->commit();
      opened->settle();
      EXPECT_EQ(opened->read(log, 4), "four");
    }
  }
}

TEST(Recover, SealVouchesForAll) {
  Tail tail;
  EXPECT_TRUE(tail.log->seal().has_value());
  tail.pool.commit();
  const Image sealed = tail.pool.image();
  const auto offset = [&](const void* at) {
    return static_cast<size_t>(static_cast<const std::byte*>(at) - tail.pool.region->data());
  };
  {
    Image bad = sealed;
    bad[offset(tail.pool.entry(*tail.log, 4)) + 20] ^= std::byte{1};
    auto opened = TestPool::open(bad);
    ASSERT_TRUE(opened.has_value());
    EXPECT_EQ(opened->logs->find("a")->next(), 5u);
    EXPECT_EQ(opened->read(*opened->logs->find("a"), 4), "(corrupt)");
  }
  // A seal that is torn, at any byte, costs nothing.
  const size_t seal = offset(tail.pool.entry(*tail.log, 1)) + kPerPage * sizeof(format::Entry);
  for (size_t i = 0; i < sizeof(format::Entry); ++i) {
    Image bad = sealed;
    bad[seal + i] ^= std::byte{0x40};
    auto opened = TestPool::open(bad);
    ASSERT_TRUE(opened.has_value());
    expect_prefix(*opened, 4);
    EXPECT_EQ(opened->logs->recovery().corrupt, 0u);
  }
  // Appending goes on behind a seal; it still vouches for what it did, and no more.
  TestPool again = TestPool::open(sealed).value();
  Log& log = *again.logs->find("a");
  again.add(log, "five");
  again.commit();
  Image bad = again.image();
  bad[static_cast<size_t>(reinterpret_cast<std::byte*>(again.entry(log, 5)) -
                          again.region->data())] ^= std::byte{1};
  expect_prefix(TestPool::open(bad).value(), 4);
  EXPECT_TRUE(log.seal().has_value());
  again.commit();
  // Sealed again and again, through full pages.
  for (Lsn lsn = 6; lsn < 3 * kPerPage; ++lsn) {
    again.add(log, pattern(lsn, 9));
    again.commit();
    EXPECT_TRUE(log.seal().has_value());
    again.commit();
  }
  TestPool last = again.reopen();
  EXPECT_EQ(last.logs->find("a")->next(), 3 * kPerPage);
  EXPECT_TRUE(TestPool::check(again.image()).empty());
}

TEST(Recover, SealOnlyWhatIsDurable) {
  TestPool pool = TestPool::create(256 << 10);
  Log& log = *pool.logs->create("a").value();
  pool.commit();
  pool.add(log, "x");
  ASSERT_TRUE(log.seal().has_value());
  const auto* place = pool.entry(log, 1) + kPerPage;
  EXPECT_EQ(place->type, 0);
  pool.commit();
  ASSERT_TRUE(log.seal().has_value());
  EXPECT_EQ(place->type, static_cast<uint8_t>(format::EntryType::seal));
  EXPECT_EQ(place->lag, 0u);
  pool.commit();
  const Ticket before = pool.core->filling();
  ASSERT_TRUE(log.seal().has_value());
  EXPECT_FALSE(pool.core->changed()) << "one is there already";
  EXPECT_EQ(pool.core->filling(), before);
}

// The first ticket that needs a second page loses any part of it: header, link, entry.
TEST(Recover, TornPageTurn) {
  TestPool pool = TestPool::create(256 << 10);
  Log& log = *pool.logs->create("a").value();
  for (Lsn lsn = 1; lsn <= kPerPage; ++lsn) pool.add(log, pattern(lsn, 10));
  pool.commit();
  const Image before = pool.image();
  for (Lsn lsn = kPerPage + 1; lsn <= kPerPage + 3; ++lsn) pool.add(log, pattern(lsn, 10));
  pool.commit();
  const Image after = pool.image();
  std::vector<size_t> lines;
  for (size_t at = 0; at < before.size(); at += 64) {
    if (!std::equal(before.begin() + at, before.begin() + at + 64, after.begin() + at)) {
      lines.push_back(at);
    }
  }
  // Each line alone lost, and each alone kept.
  for (const bool lost : {true, false}) {
    for (const size_t line : lines) {
      Image image = lost ? after : before;
      const Image& other = lost ? before : after;
      std::copy_n(other.begin() + line, 64, image.begin() + line);
      auto opened = TestPool::open(image);
      ASSERT_TRUE(opened.has_value()) << opened.error().message();
      Log& same = *opened->logs->find("a");
      ASSERT_GE(same.next(), kPerPage + 1);
      ASSERT_LE(same.next(), kPerPage + 4);
      for (Lsn lsn = 1; lsn < same.next(); ++lsn) {
        ASSERT_EQ(opened->read(same, lsn), pattern(lsn, 10));
      }
      EXPECT_EQ(opened->logs->recovery().corrupt, 0u);
      // The same LSNs again, others behind them, with the stale page still about.
      const Lsn next = same.next();
      for (Lsn lsn = next; lsn < next + 2 * kPerPage; ++lsn) opened->add(same, pattern(lsn, 11));
      opened->commit();
      TestPool again = opened->reopen();
      Log& twice = *again.logs->find("a");
      ASSERT_EQ(twice.next(), next + 2 * kPerPage);
      for (Lsn lsn = next; lsn < twice.next(); ++lsn) {
        ASSERT_EQ(again.read(twice, lsn), pattern(lsn, 11));
      }
      EXPECT_TRUE(TestPool::check(opened->image()).empty());
    }
  }
}

// Several pages behind a torn record, all linked: gone, and never back.
TEST(Recover, PagesBehindATornRecord) {
  TestPool pool = TestPool::create(512 << 10);
  Log& log = *pool.logs->create("a").value();
  pool.add(log, "kept");
  pool.commit();
  for (Lsn lsn = 2; lsn <= 4 * kPerPage; ++lsn) pool.add(log, pattern(lsn, 10));
  pool.commit();
  Image image = pool.image();
  image[static_cast<size_t>(reinterpret_cast<std::byte*>(pool.entry(log, 2)) -
                            pool.region->data())] ^= std::byte{1};
  TestPool again = TestPool::open(image).value();
  Log& same = *again.logs->find("a");
  EXPECT_EQ(same.next(), 2u);
  EXPECT_EQ(again.logs->recovery().torn, 4 * kPerPage - 1 + 0u);
  for (Lsn lsn = 2; lsn <= kPerPage; ++lsn) again.add(same, pattern(lsn, 12));
  again.commit();
  for (int round = 0; round < 2; ++round) {
    TestPool third = again.reopen();
    ASSERT_EQ(third.logs->find("a")->next(), kPerPage + 1);
    EXPECT_EQ(third.logs->recovery().torn, 0u);
  }
}

// Damage to the chain before the vouched end: the open is refused, the check says where.
TEST(Recover, BrokenChainIsCorruption) {
  TestPool pool = TestPool::create(512 << 10);
  Log& log = *pool.logs->create("a").value();
  for (Lsn lsn = 1; lsn <= 3 * kPerPage + 5; ++lsn) {
    pool.add(log, pattern(lsn, 10));
    pool.commit();
  }
  const Image image = pool.image();
  const auto offset = [&](const void* at) {
    return static_cast<size_t>(static_cast<const std::byte*>(at) - pool.region->data());
  };
  const size_t link = offset(pool.entry(log, kPerPage)) + sizeof(format::Entry);
  const size_t header = offset(pool.entry(log, kPerPage + 1)) - sizeof(format::PageHeader);
  const size_t last_link = offset(pool.entry(log, 3 * kPerPage)) + sizeof(format::Entry);
  for (const size_t at :
       {link, link + 12, header, header + 8, header + 20, header + 24, last_link}) {
    Image bad = image;
    bad[at] ^= std::byte{1};
    auto opened = TestPool::open(bad);
    ASSERT_FALSE(opened.has_value()) << "at " << at;
    EXPECT_EQ(opened.error().code(), Code::corrupt);
    EXPECT_NE(opened.error().message().find("log a"), std::string::npos);
    EXPECT_FALSE(TestPool::check(bad).empty());
  }
  // A whole link, zeroed, as a lost sector would.
  Image bad = image;
  std::fill_n(bad.begin() + static_cast<ptrdiff_t>(link), sizeof(format::Entry), std::byte{0});
  EXPECT_FALSE(TestPool::open(bad).has_value());
}

TEST(Recover, UnreadableRecordsAreDamagedNotLost) {
  TestPool pool = TestPool::create(512 << 10);
  Log& log = *pool.logs->create("a").value();
  for (Lsn lsn = 1; lsn <= 20; ++lsn) pool.add(log, pattern(lsn, 2000));
  pool.commit();
  for (const Lsn bad : {5u, 20u}) {  // vouched for or not: a crash makes nothing unreadable
    auto region = std::make_unique<TestRegion>(pool.image());
    const format::Entry entry = *pool.entry(log, bad);
    region->poison(region->data() + uint64_t{entry.buffer} * 2048);
    auto opened = TestPool::open(std::move(region));
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    Log& same = *opened->logs->find("a");
    EXPECT_EQ(same.next(), 21u);
    EXPECT_EQ(opened->read(same, bad), "(corrupt)");
    EXPECT_EQ(opened->read(same, 10), pattern(10, 2000));
  }
  // Poisoned while running, before its first read: an error of that read alone.
  TestPool again = pool.reopen();
  Log& same = *again.logs->find("a");
  again.add(same, "vouch");
  again.commit();
  again.add(same, "for all");
  again.commit();
  TestPool third = again.reopen();
  Log& last = *third.logs->find("a");
  third.region->poison(third.core->buffer(third.entry(last, 7)->buffer));
  EXPECT_EQ(third.read(last, 7), "(corrupt)");
  EXPECT_EQ(third.read(last, 12), pattern(12, 2000));
  std::vector<Lsn> found;
  while (third.logs->scrub_passes() == 0) {
    third.logs->scrub(5, [&](Log&, Lsn lsn) { found.push_back(lsn); });
  }
  EXPECT_NE(std::find(found.begin(), found.end(), 7u), found.end());
  EXPECT_EQ(last.next(), 23u);
}

// What the page domain could not read is zeroes: it must not look like the end of the log.
TEST(Recover, LostSectorsAreDamageNotTheEnd) {
  TestPool pool = TestPool::create(512 << 10);
  Log& log = *pool.logs->create("a").value();
  for (Lsn lsn = 1; lsn <= kPerPage + 20; ++lsn) pool.add(log, pattern(lsn, 600));
  pool.commit();
  for (const Lsn lost : {Lsn{5}, Lsn{kPerPage + 20}}) {
    auto region = std::make_unique<TestRegion>(pool.image());
    const format::Entry entry = *pool.entry(log, lost);
    region->lose(region->data() + uint64_t{entry.buffer} * 2048 + entry.offset / 512 * 512, 512);
    auto opened = TestPool::open(std::move(region));
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    Log& same = *opened->logs->find("a");
    EXPECT_EQ(same.next(), kPerPage + 21);
    EXPECT_EQ(opened->read(same, lost), "(corrupt)");
    EXPECT_EQ(opened->read(same, 30), pattern(30, 600));
  }
  // Entries, a header, a link: whether records were there nobody can say, so open refuses.
  const auto offset = [&](const void* at) {
    return static_cast<size_t>(static_cast<const std::byte*>(at) - pool.region->data());
  };
  for (const size_t at : {offset(pool.entry(log, kPerPage + 20)), offset(pool.entry(log, kPerPage)),
                          offset(pool.entry(log, kPerPage + 1))}) {
    auto region = std::make_unique<TestRegion>(pool.image());
    region->lose(region->data() + at / 512 * 512, 512);
    auto opened = TestPool::open(std::move(region));
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().code(), Code::corrupt);
  }
}

TEST(Recover, ScrubFindsWhatRots) {
  TestPool pool = TestPool::create(512 << 10);
  Log& log = *pool.logs->create("a").value();
  for (Lsn lsn = 1; lsn <= 100; ++lsn) pool.add(log, pattern(lsn, 30));
  ASSERT_TRUE(log.erase(50).has_value());
  pool.commit();
  uint64_t seen = 0;
  while (pool.logs->scrub_passes() == 0) pool.logs->scrub(7, [&](Log&, Lsn) { ++seen; });
  EXPECT_EQ(seen, 0u);
  const format::Entry entry = *pool.entry(log, 42);
  pool.core->buffer(entry.buffer)[entry.offset + 3] ^= std::byte{4};
  std::vector<Lsn> found;
  while (pool.logs->scrub_passes() < 3) {
    pool.logs->scrub(7, [&](Log& where, Lsn lsn) {
      EXPECT_EQ(&where, &log);
      found.push_back(lsn);
    });
  }
  EXPECT_EQ(found, (std::vector<Lsn>{42, 42}));
  EXPECT_EQ(pool.logs->recovery().corrupt, 1u);
  EXPECT_EQ(pool.read(log, 42), "(corrupt)");
  EXPECT_EQ(pool.read(log, 41), pattern(41, 30));
}

TEST(Recover, PieceListsThatAreDamaged) {
  TestPool pool = TestPool::create(1 << 20);
  Log& log = *pool.logs->create("a").value();
  pool.add(log, pattern(1, 100'000));
  pool.commit();
  pool.add(log, "x");
  pool.commit();
  pool.add(log, "y");
  pool.commit();
  const format::Entry entry = *pool.entry(log, 1);
  ASSERT_EQ(entry.type, static_cast<uint8_t>(format::EntryType::pieces));
  const auto list = uint64_t{entry.buffer} * 2048 + entry.offset;
  for (uint32_t i = 0; i < entry.auxiliary; ++i) {
    Image bad = pool.image();
    bad[list + i] ^= std::byte{0x21};
    auto opened = TestPool::open(bad);
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    EXPECT_EQ(opened->read(*opened->logs->find("a"), 1), "(corrupt)");
    EXPECT_EQ(opened->read(*opened->logs->find("a"), 2), "x");
  }
}

// Opening an opened pool changes nothing.
TEST(Recover, Twice) {
  Tail tail;
  Image image = tail.pool.image();
  image[static_cast<size_t>(reinterpret_cast<std::byte*>(tail.pool.entry(*tail.log, 3)) -
                            tail.pool.region->data())] ^= std::byte{1};
  TestPool once = TestPool::open(image).value();
  const Image first = once.image();
  EXPECT_EQ(once.logs->recovery().torn, 2u);
  TestPool twice = once.reopen();
  EXPECT_EQ(twice.logs->recovery().torn, 0u);
  EXPECT_TRUE(twice.image() == first);
}

}  // namespace
}  // namespace paste::log
