// A directory of its own for a test, removed with everything in it.
#pragma once

#include <gtest/gtest.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/vfs.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace paste::pmem {

inline constexpr const char* kMemoryParent = "/dev/shm";

// A place for files that is on a disk: /tmp is tmpfs on some machines.
inline std::string disk_parent() {
  for (const char* parent : {"/tmp", "/var/tmp", "."}) {
    struct statfs info {};
    if (::statfs(parent, &info) == 0 && info.f_type != TMPFS_MAGIC) return parent;
  }
  ADD_FAILURE() << "no directory on a disk: run this in one";
  return ".";
}

class TestDirectory {
 public:
  explicit TestDirectory(const std::string& parent) {
    std::string name = parent + "/paste-test-XXXXXX";
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
    EXPECT_FALSE(path_.empty()) << "cannot make a directory in " << parent;
  }
  ~TestDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TestDirectory(const TestDirectory&) = delete;
  TestDirectory& operator=(const TestDirectory&) = delete;

  [[nodiscard]] std::string operator/(std::string_view name) const {
    return path_ + "/" + std::string(name);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

  // Makes a file with its folders.
  void write(std::string_view name, std::string_view text) const {
    const std::filesystem::path file = *this / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void link(std::string_view name, std::string_view target) const {
    const std::filesystem::path file = *this / name;
    std::filesystem::create_directories(file.parent_path());
    std::filesystem::create_symlink(target, file);
  }

 private:
  std::string path_;
};

}  // namespace paste::pmem
