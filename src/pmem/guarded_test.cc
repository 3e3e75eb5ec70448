// Goal: a load from memory that is gone becomes a value, again and again and on any thread, and a
// SIGBUS elsewhere still ends the program.
// Method: a mapped tmpfs file is cut short, so that its last page has nothing behind it.
#include "pmem/guarded.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "pmem/test_directory.h"

namespace paste::pmem {
namespace {

class GuardedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fd_ = ::open((directory_ / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ASSERT_GE(fd_, 0);
    ASSERT_EQ(::ftruncate(fd_, 8192), 0);
    void* p = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    ASSERT_NE(p, MAP_FAILED);
    memory_ = static_cast<volatile unsigned char*>(p);
    memory_[0] = 11;
    memory_[4096] = 22;
  }
  void TearDown() override {
    ::munmap(const_cast<unsigned char*>(memory_), 8192);
    ::close(fd_);
  }
  void cut() { ASSERT_EQ(::ftruncate(fd_, 4096), 0); }

  TestDirectory directory_{kMemoryParent};
  int fd_ = -1;
  volatile unsigned char* memory_ = nullptr;
};

TEST_F(GuardedTest, ReadsGoodMemory) {
  unsigned value = 0;
  EXPECT_TRUE(guarded_read([&] { value = memory_[0] + memory_[4096]; }));
  EXPECT_EQ(value, 33u);
}

TEST_F(GuardedTest, LostMemoryIsFalseEveryTime) {
  cut();
  for (int i = 0; i < 3; ++i) {
    bool after = false;
    EXPECT_FALSE(guarded_read([&] {
      (void)memory_[4096];
      after = true;
    }));
    EXPECT_FALSE(after);
    unsigned value = 0;
    EXPECT_TRUE(guarded_read([&] { value = memory_[0]; }));
    EXPECT_EQ(value, 11u);
  }
}

TEST_F(GuardedTest, GuardIsPerThread) {
  cut();
  bool ok = true;
  std::thread other([&] { ok = guarded_read([&] { (void)memory_[4096]; }); });
  other.join();
  EXPECT_FALSE(ok);
}

TEST_F(GuardedTest, OutsideAGuardTheProgramEnds) {
  cut();
  EXPECT_EXIT(
      {
        std::signal(SIGBUS, SIG_DFL);  // sanitizers have a handler of their own
        install_bus_guard();
        (void)guarded_read([] {});
        (void)memory_[4096];
      },
      ::testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace paste::pmem
