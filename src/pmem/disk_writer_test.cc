// Goal: both writers put every run at its place, also far more runs than are in flight at once and
// runs that complete short, and a failed write or sync is final.
// Method: a file on a disk compared byte by byte; a file-size limit cuts a write short and then
// refuses it; a character device refuses to be synced or to take any byte.
#include "pmem/disk_writer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "pmem/pool_file.h"
#include "pmem/test_directory.h"

namespace paste::pmem {
namespace {

enum class Kind { uring, posix };

std::unique_ptr<DiskWriter> make(Kind kind, int fd, const std::byte* base) {
  if (kind == Kind::posix) return make_posix_writer(fd, base);
  auto writer = make_uring_writer(fd, base);
  return writer ? std::move(*writer) : nullptr;
}

// Lowers RLIMIT_FSIZE while it lives; a write beyond fails with EFBIG.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(uint64_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int) = SIG_DFL;
};

class DiskWriterTest : public ::testing::TestWithParam<Kind> {
 protected:
  static constexpr uint64_t kBlocks = 2048;

  void SetUp() override {
    auto memory = Mapping::anonymous(kBlocks * kPage);
    ASSERT_TRUE(memory);
    memory_ = std::move(*memory);
    fd_ = UniqueFd(::open((directory_ / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_TRUE(fd_);
    ASSERT_EQ(::fallocate(fd_.get(), 0, 0, kBlocks * kPage), 0);
    (void)set_direct(fd_.get(), true);
    for (uint64_t i = 0; i < kBlocks; ++i) {
      std::memset(memory_.data() + i * kPage, static_cast<int>(i % 251 + 1), kPage);
    }
    writer_ = make(GetParam(), fd_.get(), memory_.data());
    if (!writer_) GTEST_SKIP() << "no io_uring here";
  }

  // What the file holds, read around the cache.
  std::vector<std::byte> file_bytes() {
    auto copy = Mapping::anonymous(kBlocks * kPage);
    EXPECT_EQ(::pread(fd_.get(), copy->data(), kBlocks * kPage, 0),
              static_cast<ssize_t>(kBlocks * kPage));
    return {copy->data(), copy->data() + copy->size()};
  }

  TestDirectory directory_{disk_parent()};
  Mapping memory_;
  UniqueFd fd_;
  std::unique_ptr<DiskWriter> writer_;
};

TEST_P(DiskWriterTest, ManyMoreRunsThanInFlight) {
  std::vector<BlockRun> runs;
  for (uint32_t block = 0; block < kBlocks; block += 3) runs.push_back({block, 1});
  ASSERT_TRUE(writer_->submit(runs));
  ASSERT_TRUE(writer_->wait());
  const auto bytes = file_bytes();
  for (uint64_t i = 0; i < kBlocks; ++i) {
    const auto expected = i % 3 == 0 ? memory_.data()[i * kPage] : std::byte{0};
    ASSERT_EQ(bytes[i * kPage], expected) << i;
    ASSERT_EQ(bytes[i * kPage + kPage - 1], expected) << i;
  }
}

TEST_P(DiskWriterTest, FewRunsAndRepeatedBatches) {
  for (uint32_t round = 0; round < 20; ++round) {
    const std::vector<BlockRun> runs{{round, 1}, {100 + round * 2, 2}, {512, 256}};
    std::memset(memory_.data() + round * kPage, static_cast<int>(200 + round), kPage);
    ASSERT_TRUE(writer_->submit(runs));
    for (;;) {
      const auto done = writer_->poll();
      ASSERT_TRUE(done);
      if (*done) break;
      if (writer_->event_fd() >= 0) {
        pollfd waiting{writer_->event_fd(), POLLIN, 0};
        ASSERT_EQ(::poll(&waiting, 1, 5000), 1) << "the completion was not announced";
      }
    }
    if (writer_->event_fd() >= 0) {
      pollfd waiting{writer_->event_fd(), POLLIN, 0};
      EXPECT_EQ(::poll(&waiting, 1, 0), 0) << "readable with nothing to take";
    }
    ASSERT_EQ(file_bytes()[round * kPage], memory_.data()[round * kPage]);
  }
}

TEST_P(DiskWriterTest, ShortWriteGoesOnAndFailureIsFinal) {
  {
    // The limit lies inside the run: the first write is cut short there, the rest is refused.
    FileSizeLimit limit(3 * kPage);
    const std::vector<BlockRun> runs{{0, 8}};
    auto result = writer_->submit(runs);
    if (result) result = writer_->wait();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), Code::failed);
    EXPECT_EQ(result.error().os_error(), EFBIG);
  }
  // The cause is gone, the failure stays.
  const std::vector<BlockRun> runs{{0, 1}};
  EXPECT_EQ(writer_->submit(runs).error().code(), Code::failed);
  EXPECT_EQ(writer_->poll().error().code(), Code::failed);
  EXPECT_EQ(writer_->wait().error().os_error(), EFBIG);
}

TEST_P(DiskWriterTest, OneFailureAmongManyEndsWithoutWaitingForever) {
  FileSizeLimit limit(1000 * kPage);
  std::vector<BlockRun> runs;
  for (uint32_t block = 0; block < kBlocks; block += 2) runs.push_back({block, 1});
  auto result = writer_->submit(runs);
  if (result) result = writer_->wait();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::failed);
  writer_.reset();  // writes still in flight are waited for, those never submitted are not
}

TEST_P(DiskWriterTest, RefusingDeviceFails) {
  const UniqueFd full(::open("/dev/full", O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(full);
  auto writer = make(GetParam(), full.get(), memory_.data());
  const std::vector<BlockRun> runs{{0, 1}};
  auto result = writer->submit(runs);
  if (result) result = writer->wait();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::failed);
  EXPECT_EQ(result.error().os_error(), ENOSPC);
}

TEST_P(DiskWriterTest, FailedSyncFails) {
  // /dev/null takes every write and cannot be synced.
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(null);
  auto writer = make(GetParam(), null.get(), memory_.data());
  std::vector<BlockRun> runs;
  for (uint32_t i = 0; i < 10; ++i) runs.push_back({i * 2, 1});
  auto result = writer->submit(runs);
  if (result) result = writer->wait();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::failed);
  EXPECT_EQ(result.error().os_error(), EINVAL);
}

INSTANTIATE_TEST_SUITE_P(Both, DiskWriterTest, ::testing::Values(Kind::uring, Kind::posix),
                         [](const auto& p) { return p.param == Kind::uring ? "uring" : "posix"; });

}  // namespace
}  // namespace paste::pmem
