// Goal: what the platform vouches for, sizes and bad blocks are read right from /sys, also for
// partitions and for devices made of several.
// Method: a tree laid out like the kernel's in a temporary directory.
#include "pmem/sysfs.h"

#include <sys/sysmacros.h>

#include "pmem/test_directory.h"

namespace paste::pmem {
namespace {

constexpr const char* kRegion = "devices/platform/e820/ndbus0/region";

class SysfsTest : public ::testing::Test {
 protected:
  void region(int number, const std::string& domain) {
    sys_.write(kRegion + std::to_string(number) + "/persistence_domain", domain + "\n");
  }
  void block(const std::string& device, const std::string& folder) {
    std::filesystem::create_directories(sys_ / folder);
    sys_.link("dev/block/" + device, sys_ / folder);
  }
  void character(const std::string& device, const std::string& folder) {
    std::filesystem::create_directories(sys_ / folder);
    sys_.link("dev/char/" + device, sys_ / folder);
  }
  Persistence of_block(unsigned minor_number) {
    return persistence_of(sys_.path(), DeviceKind::block, makedev(259, minor_number));
  }

  TestDirectory sys_{disk_parent()};
};

TEST_F(SysfsTest, PersistenceComesFromTheRegionAbove) {
  region(0, "memory_controller");
  region(1, "cpu_cache");
  region(2, "");
  block("259:0", kRegion + std::string("0/namespace0.0/block/pmem0"));
  block("259:1", kRegion + std::string("0/namespace0.0/block/pmem0/pmem0p1"));
  block("259:2", kRegion + std::string("1/namespace1.0/block/pmem1"));
  block("259:3", kRegion + std::string("2/namespace2.0/block/pmem2"));
  block("259:4", "devices/pci0000:00/virtio0/block/vda");
  EXPECT_EQ(of_block(0), Persistence::memory_controller);
  EXPECT_EQ(of_block(1), Persistence::memory_controller);
  EXPECT_EQ(of_block(2), Persistence::cpu_cache);
  EXPECT_EQ(of_block(3), Persistence::unvouched);
  EXPECT_EQ(of_block(4), Persistence::unvouched);
  EXPECT_EQ(of_block(77), Persistence::unvouched);
  EXPECT_TRUE(persistence_of(sys_.path(), DeviceKind::character, makedev(1, 1)) ==
              Persistence::unvouched);
}

TEST_F(SysfsTest, DeviceOfSeveralIsAsGoodAsItsWorst) {
  region(0, "memory_controller");
  region(1, "cpu_cache");
  block("259:0", kRegion + std::string("0/block/pmem0"));
  block("259:1", kRegion + std::string("1/block/pmem1"));
  block("259:2", "devices/pci0000:00/virtio0/block/vda");
  block("259:10", "devices/virtual/block/dm-0");
  block("259:11", "devices/virtual/block/dm-1");
  sys_.link("devices/virtual/block/dm-0/slaves/pmem0",
            sys_ / (kRegion + std::string("0/block/pmem0")));
  sys_.link("devices/virtual/block/dm-0/slaves/pmem1",
            sys_ / (kRegion + std::string("1/block/pmem1")));
  sys_.link("devices/virtual/block/dm-1/slaves/pmem1",
            sys_ / (kRegion + std::string("1/block/pmem1")));
  sys_.link("devices/virtual/block/dm-1/slaves/vda", sys_ / "devices/pci0000:00/virtio0/block/vda");
  EXPECT_EQ(of_block(10), Persistence::memory_controller);
  EXPECT_EQ(of_block(11), Persistence::unvouched);
}

TEST_F(SysfsTest, DaxDevice) {
  region(0, "memory_controller");
  const std::string folder = kRegion + std::string("0/dax0.0/dax0.0");
  character("252:0", folder);
  sys_.link(folder + "/subsystem", "../../../../../../../bus/dax");
  sys_.write(folder + "/size", "1073741824\n");
  sys_.write(folder + "/align", "2097152\n");
  sys_.write(folder + "/resource", "0x100200000\n");
  sys_.write(kRegion + std::string("0/resource"), "0x100000000\n");
  sys_.write(kRegion + std::string("0/badblocks"), "0 8\n4096 2\n");
  const dev_t device = makedev(252, 0);
  EXPECT_TRUE(is_dax_device(sys_.path(), device));
  EXPECT_FALSE(is_dax_device(sys_.path(), makedev(1, 3)));
  EXPECT_EQ(dax_device_size(sys_.path(), device), 1073741824u);
  EXPECT_EQ(dax_device_alignment(sys_.path(), device), 2097152u);
  EXPECT_EQ(dax_device_size(sys_.path(), makedev(1, 3)), std::nullopt);
  EXPECT_EQ(dax_device_alignment(sys_.path(), makedev(1, 3)), 4096u);
  // Sector 4096 is 2 MiB into the region, where the device begins; sector 0 is before it.
  EXPECT_EQ(bad_blocks_of(sys_.path(), DeviceKind::character, device), (Ranges{{0, 1024}}));
}

TEST_F(SysfsTest, BadBlocksOfAPartitionCountFromItsStart) {
  const std::string disk = kRegion + std::string("0/block/pmem0");
  block("259:0", disk);
  block("259:1", disk + "/pmem0p1");
  sys_.write(disk + "/badblocks", "1 1\n98 4\n200 1\n");
  sys_.write(disk + "/pmem0p1/start", "100\n");
  EXPECT_EQ(bad_blocks_of(sys_.path(), DeviceKind::block, makedev(259, 0)),
            (Ranges{{512, 512}, {98 * 512, 4 * 512}, {200 * 512, 512}}));
  EXPECT_EQ(bad_blocks_of(sys_.path(), DeviceKind::block, makedev(259, 1)),
            (Ranges{{0, 2 * 512}, {100 * 512, 512}}));
}

TEST_F(SysfsTest, StableWritesOfTheDisk) {
  block("8:0", "devices/pci0000:00/block/sda");
  block("8:1", "devices/pci0000:00/block/sda/sda1");
  block("8:16", "devices/pci0000:00/block/sdb");
  sys_.write("devices/pci0000:00/block/sda/queue/stable_writes", "1\n");
  sys_.write("devices/pci0000:00/block/sdb/queue/stable_writes", "0\n");
  EXPECT_TRUE(needs_stable_writes(sys_.path(), makedev(8, 0)));
  EXPECT_TRUE(needs_stable_writes(sys_.path(), makedev(8, 1)));
  EXPECT_FALSE(needs_stable_writes(sys_.path(), makedev(8, 16)));
  EXPECT_FALSE(needs_stable_writes(sys_.path(), makedev(8, 32)));
}

TEST_F(SysfsTest, EadrOfTheMachine) {
  EXPECT_FALSE(any_cpu_cache_region(sys_.path()));
  sys_.write("bus/nd/devices/region0/persistence_domain", "memory_controller\n");
  EXPECT_FALSE(any_cpu_cache_region(sys_.path()));
  sys_.write("bus/nd/devices/region1/persistence_domain", "cpu_cache\n");
  EXPECT_TRUE(any_cpu_cache_region(sys_.path()));
}

TEST(BadFileRanges, AreWhereExtentsMeetBadBlocks) {
  const Ranges bad{{1000, 100}, {5000, 10}};
  const std::vector<Extent> extents{{8192, 900, 150}, {0, 1050, 4000}, {20000, 9000, 10}};
  EXPECT_EQ(bad_file_ranges(bad, extents), (Ranges{{0, 50}, {3950, 10}, {8292, 50}}));
  EXPECT_TRUE(bad_file_ranges({}, extents).empty());
  EXPECT_TRUE(bad_file_ranges(bad, {}).empty());
}

}  // namespace
}  // namespace paste::pmem
