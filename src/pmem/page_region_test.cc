// Goal: in the page domain a barrier makes durable exactly what was flushed before it: those blocks
// are in the file, others are not, and what is flushed meanwhile belongs to the next barrier.
// Method: a random history with both writers; after each barrier the file is read by a descriptor
// of its own with O_DIRECT and compared with a model that copies blocks at flush and at barrier.
#include "pmem/page_region.h"

#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <random>

#include "pmem/mapping.h"
#include "pmem/region.h"
#include "pmem/test_directory.h"
#include "pmem/unique_fd.h"

namespace paste::pmem {
namespace {

constexpr uint64_t kSize = 4u << 20;
constexpr uint64_t kBlocks = kSize / kPage;

class PageRegionTest : public ::testing::TestWithParam<DiskIo> {
 protected:
  void SetUp() override {
    RegionOptions options;
    options.path = directory_ / "pool";
    options.create = true;
    options.size = kSize;
    options.disk_io = GetParam();
    auto made = open_region(options);
    if (!made && made.error().code() == Code::unsupported) GTEST_SKIP() << made.error().message();
    ASSERT_TRUE(made) << made.error().message();
    region_ = std::move(*made);
    ASSERT_TRUE(region_->publish_file());
    reader_ = UniqueFd(::open(options.path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
    ASSERT_TRUE(reader_);
    auto copy = Mapping::anonymous(kSize);
    ASSERT_TRUE(copy);
    copy_ = std::move(*copy);
  }

  // Changes and flushes, or only changes.
  void store(uint64_t offset, uint8_t value, uint64_t n, bool flush = true) {
    std::memset(region_->data() + offset, value, n);
    if (flush) region_->flush(region_->data() + offset, n, Site::log_data);
  }
  void barrier() {
    ASSERT_TRUE(region_->begin_barrier(Site::barrier_ticket));
    ASSERT_TRUE(region_->wait_barrier());
    ASSERT_FALSE(region_->barrier_in_flight());
  }
  const std::byte* medium() {
    EXPECT_EQ(::pread(reader_.get(), copy_.data(), kSize, 0), static_cast<ssize_t>(kSize));
    return copy_.data();
  }

  TestDirectory directory_{disk_parent()};
  std::unique_ptr<Region> region_;
  UniqueFd reader_;
  Mapping copy_;
};

TEST_P(PageRegionTest, FlushedBlocksAndNoOthers) {
  store(10 * kPage + 4000, 7, 200);  // straddles two blocks
  store(20 * kPage, 8, 10, false);   // never flushed
  EXPECT_EQ(medium()[10 * kPage + 4000], std::byte{0}) << "durable before its barrier";
  barrier();
  const std::byte* now = medium();
  for (int i = 0; i < 200; ++i) ASSERT_EQ(now[10 * kPage + 4000 + i], std::byte{7});
  EXPECT_EQ(now[20 * kPage], std::byte{0}) << "written without a flush";
}

TEST_P(PageRegionTest, NextTicketIsSeparate) {
  store(0, 1, kPage);
  ASSERT_TRUE(region_->begin_barrier(Site::barrier_ticket));
  store(50 * kPage, 2, kPage);  // of the next ticket, whether or not the write is still in flight
  ASSERT_TRUE(region_->wait_barrier());
  EXPECT_EQ(medium()[0], std::byte{1});
  EXPECT_EQ(medium()[50 * kPage], std::byte{0});
  barrier();
  EXPECT_EQ(medium()[50 * kPage], std::byte{2});
}

TEST_P(PageRegionTest, PollAndEventFd) {
  for (int round = 1; round <= 5; ++round) {
    for (uint64_t block = 0; block < 64; ++block) {
      store(block * 3 * kPage, static_cast<uint8_t>(round), 64);
    }
    ASSERT_TRUE(region_->begin_barrier(Site::barrier_ticket));
    while (region_->barrier_in_flight()) {
      ASSERT_GE(region_->event_fd(), 0);
      pollfd waiting{region_->event_fd(), POLLIN, 0};
      ASSERT_EQ(::poll(&waiting, 1, 5000), 1);
      ASSERT_TRUE(region_->poll_barrier());
    }
    if (region_->event_fd() >= 0) {
      pollfd waiting{region_->event_fd(), POLLIN, 0};
      EXPECT_EQ(::poll(&waiting, 1, 0), 0);
    }
    EXPECT_EQ(medium()[63 * 3 * kPage], static_cast<std::byte>(round));
  }
}

// How the ports wait: their own ring, or epoll, watches the region's descriptor.
class PageRegionWakesTest : public PageRegionTest {};

TEST_P(PageRegionWakesTest, AnotherRing) {
  io_uring ring;
  ASSERT_EQ(io_uring_queue_init(8, &ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN),
            0);
  for (int round = 0; round < 50; ++round) {
    for (uint64_t block = 0; block < 20; ++block) store(block * 2 * kPage, 1, 64);
    ASSERT_TRUE(region_->begin_barrier(Site::barrier_ticket));
    while (region_->barrier_in_flight()) {
      io_uring_sqe* sqe = io_uring_get_sqe(&ring);
      io_uring_prep_poll_add(sqe, region_->event_fd(), POLLIN);
      io_uring_cqe* cqe = nullptr;
      __kernel_timespec limit{5, 0};
      int result = 0;
      do {
        result = io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &limit, nullptr);
      } while (result == -EINTR);
      ASSERT_GE(result, 0) << "never woken in round " << round;
      io_uring_cqe_seen(&ring, cqe);
      ASSERT_TRUE(region_->poll_barrier());
    }
  }
  io_uring_queue_exit(&ring);
}

TEST_P(PageRegionWakesTest, Epoll) {
  const UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event wanted{};
  wanted.events = EPOLLIN;
  ASSERT_EQ(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, region_->event_fd(), &wanted), 0);
  for (int round = 0; round < 50; ++round) {
    for (uint64_t block = 0; block < 20; ++block) store(block * 2 * kPage, 1, 64);
    ASSERT_TRUE(region_->begin_barrier(Site::barrier_ticket));
    while (region_->barrier_in_flight()) {
      epoll_event event{};
      const int woken = ::epoll_wait(epoll.get(), &event, 1, 5000);
      ASSERT_TRUE(woken == 1 || (woken < 0 && errno == EINTR)) << "round " << round;
      ASSERT_TRUE(region_->poll_barrier());
    }
    epoll_event event{};
    EXPECT_EQ(::epoll_wait(epoll.get(), &event, 1, 0), 0) << "readable with nothing to take";
  }
}

TEST_P(PageRegionTest, EmptyBarrierCompletesAtOnce) {
  ASSERT_TRUE(region_->begin_barrier(Site::barrier_ticket));
  EXPECT_FALSE(region_->barrier_in_flight());
}

TEST_P(PageRegionTest, RandomHistoryMatchesTheModel) {
  const unsigned seed = std::random_device{}();
  std::printf("SEED=%u\n", seed);
  std::mt19937 random(seed);
  auto pick = [&](uint64_t n) { return random() % n; };
  std::vector<std::byte> expected(kSize);
  for (int ticket = 0; ticket < 40; ++ticket) {
    std::vector<bool> dirty(kBlocks);
    const uint64_t stores = pick(3) == 0 ? pick(300) : pick(4);
    for (uint64_t i = 0; i < stores; ++i) {
      const uint64_t offset = pick(kSize);
      const uint64_t n = std::min(kSize - offset, 1 + pick(pick(8) == 0 ? 40'000 : 3000));
      store(offset, static_cast<uint8_t>(random()), n);
      for (uint64_t b = offset / kPage; b <= (offset + n - 1) / kPage; ++b) dirty[b] = true;
    }
    for (uint64_t b = 0; b < kBlocks; ++b) {
      if (dirty[b]) std::memcpy(&expected[b * kPage], region_->data() + b * kPage, kPage);
    }
    barrier();
    ASSERT_EQ(std::memcmp(medium(), expected.data(), kSize), 0) << "ticket " << ticket;
  }
  region_.reset();
  RegionOptions options;
  options.path = directory_ / "pool";
  auto again = open_region(options);
  ASSERT_TRUE(again);
  EXPECT_EQ(std::memcmp((*again)->data(), expected.data(), kSize), 0);
}

TEST_P(PageRegionTest, FailedWriteIsFinal) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto* handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit = before;
  limit.rlim_cur = kPage;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  store(100 * kPage, 9, 10);
  auto result = region_->begin_barrier(Site::barrier_ticket);
  if (result) result = region_->wait_barrier();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::failed);
  EXPECT_EQ(result.error().os_error(), EFBIG) << result.error().message();
  // The cause is gone, but nothing becomes durable any more.
  EXPECT_EQ(region_->poll_barrier().error().code(), Code::failed);
  EXPECT_EQ(region_->wait_barrier().error().code(), Code::failed);
  store(0, 9, 10);
  if (!region_->barrier_in_flight()) {
    EXPECT_EQ(region_->begin_barrier(Site::barrier_ticket).error().code(), Code::failed);
  }
  EXPECT_EQ(medium()[0], std::byte{0});
}

INSTANTIATE_TEST_SUITE_P(Both, PageRegionTest, ::testing::Values(DiskIo::uring, DiskIo::posix),
                         [](const auto& p) {
                           return p.param == DiskIo::uring ? "uring" : "posix";
                         });

// The writers of the other disk_io complete before begin_barrier() returns.
INSTANTIATE_TEST_SUITE_P(Uring, PageRegionWakesTest, ::testing::Values(DiskIo::uring));

TEST(PageRegionStableWrites, GoThroughThePageCache) {
  const TestDirectory directory(disk_parent());
  RegionOptions options;
  options.path = directory / "pool";
  options.create = true;
  for (const DiskIo disk_io : {DiskIo::uring, DiskIo::automatic}) {
    auto file = PoolFile::create(options.path);
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->fill_with_zeroes(kSize, true, {}));
    options.disk_io = disk_io;
    auto made = PageRegion::open(std::move(*file), kSize, true, "test", options);
    if (disk_io == DiskIo::uring) {
      ASSERT_FALSE(made);
      EXPECT_EQ(made.error().code(), Code::unsupported);
      continue;
    }
    ASSERT_TRUE(made);
    Region& region = **made;
    EXPECT_NE(region.description().find("through the page cache"), std::string::npos);
    EXPECT_EQ(region.event_fd(), -1);
    std::memset(region.data() + 5 * kPage + 100, 3, 10);
    region.flush(region.data() + 5 * kPage + 100, 10, Site::log_data);
    ASSERT_TRUE(region.begin_barrier(Site::barrier_ticket));
    EXPECT_FALSE(region.barrier_in_flight());
    ASSERT_TRUE(region.publish_file());
  }
  options.create = false;
  const auto again = open_region(options);
  ASSERT_TRUE(again);
  EXPECT_EQ((*again)->data()[5 * kPage + 109], std::byte{3});
}

}  // namespace
}  // namespace paste::pmem
