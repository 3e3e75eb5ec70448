// Goal: creating, opening, locking and publishing pools, and every refusal its own sentence.
// Method: real files on tmpfs (process domain) and on a disk (page domain).
#include "pmem/region.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "pmem/test_directory.h"

namespace paste::pmem {
namespace {

constexpr uint64_t kSize = 1u << 20;

Result<std::unique_ptr<Region>> create(const std::string& path, uint64_t size = kSize) {
  RegionOptions options;
  options.path = path;
  options.create = true;
  options.size = size;
  return open_region(options);
}

Result<std::unique_ptr<Region>> reopen(const std::string& path, bool read_only = false) {
  RegionOptions options;
  options.path = path;
  options.read_only = read_only;
  return open_region(options);
}

void expect_error(const Result<std::unique_ptr<Region>>& result, Code code, const char* words) {
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), code) << result.error().message();
  EXPECT_NE(result.error().message().find(words), std::string::npos) << result.error().message();
}

// Runs on tmpfs and, where the parameter says so, on a disk.
class RegionTest : public ::testing::TestWithParam<bool> {
 protected:
  [[nodiscard]] bool disk() const { return GetParam(); }
  void store(Region& region, uint64_t offset, std::string_view text) {
    std::memcpy(region.data() + offset, text.data(), text.size());
    region.flush(region.data() + offset, text.size(), Site::log_data);
  }
  TestDirectory directory_{GetParam() ? disk_parent() : kMemoryParent};
};

TEST_P(RegionTest, CreatePublishReopen) {
  const std::string path = directory_ / "pool";
  uint64_t steps = 0;
  {
    RegionOptions options;
    options.path = path;
    options.create = true;
    options.size = kSize - 100;  // rounded up
    options.progress = [&](std::string_view, uint64_t done, uint64_t total) {
      ++steps;
      EXPECT_LE(done, total);
    };
    auto made = open_region(options);
    ASSERT_TRUE(made) << made.error().message();
    Region& region = **made;
    EXPECT_GT(steps, 0u);
    EXPECT_EQ(region.size(), kSize);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(region.data()) % 4096, 0u);
    EXPECT_EQ(region.domain(), disk() ? Domain::page : Domain::process);
    EXPECT_NE(region.description().find(path), std::string::npos);
    for (uint64_t i = 0; i < kSize; ++i) ASSERT_EQ(region.data()[i], std::byte{0});
    store(region, 5000, "the record");
    ASSERT_TRUE(region.begin_barrier(Site::barrier_create));
    ASSERT_TRUE(region.wait_barrier());
    EXPECT_FALSE(region.barrier_in_flight());
    EXPECT_FALSE(std::filesystem::exists(path)) << "named before it was published";
    ASSERT_TRUE(region.publish_file());
    EXPECT_TRUE(std::filesystem::exists(path));
    ASSERT_TRUE(region.publish_file()) << "a second time is nothing to do";
  }
  auto again = reopen(path);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ((*again)->size(), kSize);
  EXPECT_EQ(std::memcmp((*again)->data() + 5000, "the record", 10), 0);
  EXPECT_TRUE((*again)->bad_ranges().empty());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_.path()), {}), 1);
}

TEST_P(RegionTest, UnpublishedFileGoesAway) {
  { ASSERT_TRUE(create(directory_ / "pool")); }
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
}

TEST_P(RegionTest, LeftoverOfADeadCreatorIsReplaced) {
  directory_.write("pool.creating", "half a pool");
  auto made = create(directory_ / "pool");
  ASSERT_TRUE(made) << made.error().message();
  for (uint64_t i = 0; i < 4096; ++i) ASSERT_EQ((*made)->data()[i], std::byte{0});
}

TEST_P(RegionTest, SecondOpenerIsToldWhoHoldsIt) {
  const std::string path = directory_ / "pool";
  auto first = create(path);
  ASSERT_TRUE(first);
  expect_error(create(path), Code::in_use, "in use by process");
  ASSERT_TRUE((*first)->publish_file());
  const std::string pid = std::to_string(::getpid());
  expect_error(reopen(path), Code::in_use, pid.c_str());
  expect_error(reopen(path, true), Code::in_use, pid.c_str());
  first->reset();
  auto reader = reopen(path, true);
  ASSERT_TRUE(reader);
  EXPECT_TRUE(reopen(path, true)) << "readers share";
  expect_error(reopen(path), Code::in_use, "in use");
  reader->reset();
  EXPECT_TRUE(reopen(path));
}

TEST_P(RegionTest, LockEndsWithTheProcess) {
  const std::string path = directory_ / "pool";
  {
    auto made = create(path);
    ASSERT_TRUE(made);
    ASSERT_TRUE((*made)->publish_file());
  }
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto held = reopen(path);
    const char ok = held ? 'y' : 'n';
    if (::write(ready[1], &ok, 1) != 1) ::_exit(1);
    ::pause();
    ::_exit(0);
  }
  char ok = 0;
  ASSERT_EQ(::read(ready[0], &ok, 1), 1);
  EXPECT_EQ(ok, 'y');
  expect_error(reopen(path), Code::in_use, std::to_string(child).c_str());
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(reopen(path));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_P(RegionTest, ReadOnlyIsAPrivateCopy) {
  const std::string path = directory_ / "pool";
  {
    auto made = create(path);
    ASSERT_TRUE(made);
    store(**made, 0, "original");
    ASSERT_TRUE((*made)->begin_barrier(Site::barrier_create));
    ASSERT_TRUE((*made)->wait_barrier());
    ASSERT_TRUE((*made)->publish_file());
  }
  {
    auto reader = reopen(path, true);
    ASSERT_TRUE(reader);
    EXPECT_EQ(std::memcmp((*reader)->data(), "original", 8), 0);
    store(**reader, 0, "scribble");
    ASSERT_TRUE((*reader)->begin_barrier(Site::barrier_recover));
    EXPECT_FALSE((*reader)->barrier_in_flight());
    ASSERT_TRUE((*reader)->wait_barrier());
    const auto done = (*reader)->poll_barrier();
    EXPECT_TRUE(done && *done);
    EXPECT_EQ(std::memcmp((*reader)->data(), "scribble", 8), 0);
  }
  auto again = reopen(path);
  ASSERT_TRUE(again);
  EXPECT_EQ(std::memcmp((*again)->data(), "original", 8), 0);
}

TEST_P(RegionTest, RefusalsOfPaths) {
  expect_error(reopen(directory_ / "none"), Code::not_found, "there is no pool");
  expect_error(reopen(directory_.path()), Code::unsupported, "is a directory");
  expect_error(reopen("/dev/null"), Code::unsupported, "neither a regular file nor a DAX device");
  expect_error(create(directory_ / "no/pool"), Code::not_found, "does not exist");
  directory_.write("taken", "x");
  expect_error(create(directory_ / "taken"), Code::exists, "exists already");
  expect_error(create(directory_ / "taken/pool"), Code::not_found, "is not a directory");
  expect_error(create(directory_ / "pool", 0), Code::invalid, "needs a size");
  expect_error(reopen(directory_ / "taken"), Code::corrupt, "not a pool");
  ASSERT_EQ(::mkfifo((directory_ / "fifo").c_str(), 0600), 0);
  expect_error(reopen(directory_ / "fifo"), Code::unsupported, "neither");
  expect_error(reopen(""), Code::invalid, "path");
}

TEST_P(RegionTest, NameTakenMeanwhile) {
  auto made = create(directory_ / "pool");
  ASSERT_TRUE(made);
  directory_.write("pool", "somebody else's");
  const auto published = (*made)->publish_file();
  ASSERT_FALSE(published);
  EXPECT_EQ(published.error().code(), Code::exists);
  EXPECT_EQ(std::filesystem::file_size(directory_ / "pool"), 15u) << "replaced";
}

TEST_P(RegionTest, NoRoom) {
  RegionOptions options;
  options.path = directory_ / "pool";
  options.create = true;
  options.size = uint64_t{4} << 40;
  const auto made = open_region(options);
  expect_error(made, Code::io, "no room for");
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
}

TEST_P(RegionTest, NoPermission) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  {
    auto made = create(directory_ / "pool");
    ASSERT_TRUE(made);
    ASSERT_TRUE((*made)->publish_file());
  }
  ASSERT_EQ(::chmod(directory_.path().c_str(), 0755), 0);
  ASSERT_EQ(::seteuid(65534), 0);
  const auto opened = reopen(directory_ / "pool");
  const auto made = create(directory_ / "new");
  ASSERT_EQ(::seteuid(0), 0);
  expect_error(opened, Code::permission, "no permission to read and write");
  expect_error(made, Code::permission, "no permission to create files");
}

TEST_P(RegionTest, DomainsThatTheBackingDoesNotGive) {
  RegionOptions options;
  options.path = directory_ / "pool";
  options.create = true;
  options.size = kSize;
  options.domain = Domain::memory;
  expect_error(open_region(options), Code::unsupported,
               disk() ? "gives domain page" : "gives domain process");
  options.domain = disk() ? Domain::process : Domain::page;
  expect_error(open_region(options), Code::unsupported, "gives domain");
  options.domain = disk() ? Domain::page : Domain::process;
  EXPECT_TRUE(open_region(options));
}

TEST_P(RegionTest, MediaDelayIsSpunAtTheBarrier) {
  RegionOptions options;
  options.path = directory_ / "pool";
  options.create = true;
  options.size = kSize;
  options.media_delay = std::chrono::milliseconds(5);
  auto made = open_region(options);
  ASSERT_TRUE(made);
  const auto before = std::chrono::steady_clock::now();
  ASSERT_TRUE((*made)->begin_barrier(Site::barrier_ticket));
  EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(5));
  options.media_delay = std::chrono::seconds(11);
  expect_error(open_region(options), Code::invalid, "media delay");
}

INSTANTIATE_TEST_SUITE_P(Backings, RegionTest, ::testing::Bool(),
                         [](const auto& p) { return p.param ? "disk" : "tmpfs"; });

TEST(AnonymousRegion, HoldsBytesAndBarriersComplete) {
  auto region = anonymous_region(100'000);
  ASSERT_TRUE(region);
  EXPECT_EQ((*region)->size(), 102'400u);
  EXPECT_EQ((*region)->domain(), Domain::process);
  EXPECT_EQ((*region)->event_fd(), -1);
  (*region)->data()[102'399] = std::byte{1};
  (*region)->flush((*region)->data() + 102'399, 1, Site::log_data);
  ASSERT_TRUE((*region)->begin_barrier(Site::barrier_ticket));
  const auto done = (*region)->poll_barrier();
  EXPECT_TRUE(done && *done);
  EXPECT_FALSE(anonymous_region(0));
}

TEST(AnonymousRegion, FlushOutsideIsABrokenInvariant) {
  auto region = anonymous_region(4096);
  ASSERT_TRUE(region);
  EXPECT_DEATH((*region)->flush((*region)->data() + 4000, 97, Site::log_data), "invariant broken");
}

TEST(Store64, StoresAligned) {
  uint64_t word = 1;
  store64(&word, 0x0123456789abcdef);
  EXPECT_EQ(word, 0x0123456789abcdefu);
}

TEST(Names, SitesAndDomains) {
  for (unsigned i = 0; i < static_cast<unsigned>(Site::count_); ++i) {
    EXPECT_NE(to_string(static_cast<Site>(i)), "unknown") << i;
  }
  EXPECT_EQ(to_string(Domain::memory), "memory");
}

}  // namespace
}  // namespace paste::pmem
