// Goal: the doctor's facts agree with what opening a pool there does.
// Method: probe tmpfs and a disk, a file that exists and one that does not; nothing is left behind.
#include "pmem/probe.h"

#include "pmem/flush.h"
#include "pmem/test_directory.h"

namespace paste::pmem {
namespace {

TEST(ProbePath, AgreesWithOpening) {
  for (const std::string& parent : {std::string(kMemoryParent), disk_parent()}) {
    TestDirectory directory(parent);
    const auto before = probe_path(directory / "pool");
    ASSERT_TRUE(before) << before.error().message();
    EXPECT_FALSE(before->exists);
    EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
    RegionOptions options;
    options.path = directory / "pool";
    options.create = true;
    options.size = 1u << 20;
    auto region = open_region(options);
    ASSERT_TRUE(region);
    ASSERT_TRUE((*region)->publish_file());
    EXPECT_EQ(before->domain, (*region)->domain());
    const auto after = probe_path(directory / "pool");
    ASSERT_TRUE(after);
    EXPECT_TRUE(after->exists);
    EXPECT_EQ(after->backing, before->backing);
    EXPECT_EQ(after->direct_io, before->direct_io);
    EXPECT_EQ(after->file_system, before->file_system);
    EXPECT_GT(after->free_bytes, 0u);
    EXPECT_NE(after->domain_text.find(to_string(after->domain)), std::string::npos);
  }
}

TEST(ProbePath, Errors) {
  EXPECT_EQ(probe_path("/no/such/folder/pool").error().code(), Code::not_found);
  EXPECT_EQ(probe_path("/dev/null").error().code(), Code::unsupported);
}

TEST(ProbeMachine, NamesTheInstruction) {
  const MachineReport report = probe_machine();
  EXPECT_EQ(report.flush_instruction, cache_flush().name);
  EXPECT_GT(report.memory_available, 0u);
  EXPECT_TRUE(report.io_uring || !report.io_uring_refusal.empty());
}

}  // namespace
}  // namespace paste::pmem
