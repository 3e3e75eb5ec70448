#include "pmem/pool_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>

#include "paste/units.h"
#include "pmem/system_error.h"

namespace paste::pmem {
namespace {

constexpr uint64_t kZeroStep = 4u << 20;

struct SplitPath {
  std::string directory;
  std::string name;
};

SplitPath split(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

Result<void> lock(int fd, bool shared, const std::string& path) {
  int result = 0;
  do {
    result = ::flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return {};
  if (errno != EWOULDBLOCK) return system_failure(fmt::format("cannot lock {}", path), errno);
  const int holder = lock_holder(fd);
  if (holder == 0) return fail(Code::in_use, fmt::format("{} is in use by another process", path));
  return fail(Code::in_use, fmt::format("{} is in use by process {}", path, holder));
}

Unexpected cannot_open(const std::string& path, bool read_only, int os_error) {
  switch (os_error) {
    case ENOENT:
      return fail(Code::not_found, fmt::format("there is no pool {}", path));
    case EROFS:
      return fail(Code::permission,
                  fmt::format("{} is on a file system that is mounted read-only", path));
    case EACCES:
    case EPERM:
      return fail(Code::permission, fmt::format("no permission to {} {}",
                                                read_only ? "read" : "read and write", path));
    default:
      return system_failure(fmt::format("cannot open {}", path), os_error);
  }
}

Unexpected cannot_create(const std::string& path, const std::string& directory, int os_error) {
  switch (os_error) {
    case ENOENT:
      return fail(Code::not_found,
                  fmt::format("the directory {} for the pool does not exist", directory));
    case ENOTDIR:
      return fail(Code::not_found, fmt::format("{} is not a directory", directory));
    case EACCES:
    case EPERM:
      return fail(Code::permission, fmt::format("no permission to create files in {}", directory));
    case EROFS:
      return fail(Code::permission,
                  fmt::format("the file system of {} is mounted read-only", directory));
    default:
      return system_failure(fmt::format("cannot create {}", path), os_error);
  }
}

// On btrfs: blocks are overwritten in place and carry no checksum, so that memory may change while
// it is written and a full disk cannot refuse an overwrite. Elsewhere refused, and not needed.
void no_copy_on_write(int fd) {
  int flags = 0;
  if (::ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return;
  flags |= FS_NOCOW_FL;
  (void)::ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

}  // namespace

bool set_direct(int fd, bool on) noexcept {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return false;
  return ::fcntl(fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

bool enable_direct(int fd) {
  if (!set_direct(fd, true)) return false;
  auto block = Mapping::anonymous(kPage);
  // Some take the flag and refuse the transfer: no direct path, or blocks larger than ours.
  if (block && (::pread(fd, block->data(), kPage, 0) >= 0 || errno != EINVAL)) return true;
  set_direct(fd, false);
  return false;
}

int lock_holder(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return 0;
  const std::string wanted =
      fmt::format("{:02x}:{:02x}:{}", major(info.st_dev), minor(info.st_dev), info.st_ino);
  // "1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF"; lines with "->" only wait for the lock.
  std::ifstream in("/proc/locks");
  for (std::string line; std::getline(in, line);) {
    char kind[16];
    char file[64];
    long pid = 0;
    if (std::sscanf(line.c_str(), "%*s %15s %*s %*s %ld %63s", kind, &pid, file) != 3) continue;
    if (std::string_view(kind) == "FLOCK" && wanted == file && pid > 0)
      return static_cast<int>(pid);
  }
  return 0;
}

PoolFile::PoolFile(PoolFile&& other) noexcept
    : path_(std::move(other.path_)),
      name_(std::move(other.name_)),
      temporary_(std::exchange(other.temporary_, {})),
      directory_(std::move(other.directory_)),
      fd_(std::move(other.fd_)),
      is_device_(other.is_device_) {}

PoolFile::~PoolFile() {
  if (!temporary_.empty() && fd_) ::unlinkat(directory_.get(), temporary_.c_str(), 0);
}

Result<PoolFile> PoolFile::open(const std::string& path, bool read_only) {
  // Looked at before it is opened: opening a FIFO would block, opening a device may do something.
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return cannot_open(path, read_only, errno);
  if (S_ISDIR(info.st_mode)) {
    return fail(Code::unsupported, fmt::format("{} is a directory, not a pool", path));
  }
  if (S_ISBLK(info.st_mode)) {
    return fail(Code::unsupported,
                fmt::format("{} is a block device: put a file system on it and the pool in a file, "
                            "or make it a DAX device",
                            path));
  }
  if (!S_ISREG(info.st_mode) && !S_ISCHR(info.st_mode)) {
    return fail(Code::unsupported,
                fmt::format("{} is neither a regular file nor a DAX device", path));
  }
  PoolFile file;
  file.path_ = path;
  file.is_device_ = S_ISCHR(info.st_mode);
  file.fd_ = UniqueFd(::open(path.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC));
  if (!file.fd_) return cannot_open(path, read_only, errno);
  PASTE_TRY(lock(file.fd(), read_only, path));
  return file;
}

Result<PoolFile> PoolFile::create(const std::string& path) {
  PoolFile file;
  file.path_ = path;
  const SplitPath parts = split(path);
  file.name_ = parts.name;
  if (file.name_.empty()) return fail(Code::invalid, fmt::format("{} names no file", path));
  file.directory_ = UniqueFd(::open(parts.directory.c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC));
  if (!file.directory_) return cannot_create(path, parts.directory, errno);
  struct stat info {};
  if (::fstatat(file.directory_.get(), file.name_.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
    return fail(Code::exists, fmt::format("{} exists already", path));
  }
  // A few attempts: each that fails has seen another creator come or go.
  for (int attempt = 0; attempt < 8; ++attempt) {
    bool again = false;
    PASTE_TRY(file.create_attempt(&again));
    if (!again) return file;
  }
  return fail(Code::in_use, fmt::format("{} is being created by another process", path));
}

Result<void> PoolFile::create_attempt(bool* again) {
  const std::string name = name_ + ".creating";
  fd_ = UniqueFd();
  UniqueFd made(
      ::openat(directory_.get(), name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!made) return cannot_create(path_, split(path_).directory, errno);
  PASTE_TRY(lock(made.get(), false, path_));
  // Locked, but is it still the file of that name? Its former owner may just have finished.
  struct stat ours {};
  struct stat named {};
  if (::fstat(made.get(), &ours) != 0 ||
      ::fstatat(directory_.get(), name.c_str(), &named, AT_SYMLINK_NOFOLLOW) != 0 ||
      ours.st_ino != named.st_ino || ours.st_dev != named.st_dev) {
    *again = true;
    return {};
  }
  // What a dead creator left is emptied, so that its blocks do not count as ours.
  if (::ftruncate(made.get(), 0) != 0) {
    return system_failure(fmt::format("cannot create {}", path_), errno);
  }
  no_copy_on_write(made.get());
  fd_ = std::move(made);
  temporary_ = name;
  return {};
}

Unexpected PoolFile::no_room(uint64_t size, int os_error) const {
  if (os_error != ENOSPC && os_error != EDQUOT && os_error != EFBIG) {
    return system_failure(fmt::format("cannot write {}", path_), os_error);
  }
  (void)::ftruncate(fd(), 0);  // gives back what was taken, before it is counted
  struct statvfs info {};
  if (os_error == ENOSPC && ::fstatvfs(fd(), &info) == 0 && info.f_blocks != 0) {
    return fail(Code::io,
                fmt::format("no room for {} of {}: the file system has {} left", path_,
                            format_size(size), format_size(info.f_bavail * info.f_frsize)));
  }
  return fail(Code::io, fmt::format("no room for {} of {}", path_, format_size(size)), os_error);
}

Result<void> PoolFile::zero_step(const std::byte* zeroes, uint64_t offset, uint64_t n) {
  for (uint64_t done = 0; done < n;) {
    const ssize_t wrote = ::pwrite(fd(), zeroes, n - done, static_cast<off_t>(offset + done));
    if (wrote > 0) {
      done += static_cast<uint64_t>(wrote);
    } else if (errno != EINTR) {
      return no_room(offset + n, wrote == 0 ? ENOSPC : errno);
    }
  }
  return {};
}

Result<void> PoolFile::fill_with_zeroes(uint64_t size, bool disk, const Progress& progress) {
  const auto length = static_cast<off_t>(size);
  // Asked first: fallocate takes all the room there is, from everybody, before it says no.
  struct statvfs info {};
  if (::fstatvfs(fd(), &info) == 0 && info.f_blocks != 0 && size / info.f_frsize > info.f_bavail) {
    return no_room(size, ENOSPC);
  }
  if (::fallocate(fd(), 0, 0, length) != 0) {
    if (errno != EOPNOTSUPP && errno != ENOSYS) return no_room(size, errno);
    if (::ftruncate(fd(), length) != 0) return no_room(size, errno);
    disk = true;  // no promise of room, so every byte is written here and now
  }
  if (!disk) return {};  // memory: fallocate has made zeroes, nothing converts later
  PASTE_TRY_ASSIGN(Mapping zeroes, Mapping::anonymous(kZeroStep));
  (void)enable_direct(fd());  // refused: through the cache
  for (uint64_t done = 0; done < size;) {
    const uint64_t step = std::min(kZeroStep, size - done);
    PASTE_TRY(zero_step(zeroes.data(), done, step));
    done += step;
    if (progress) progress("writing zeroes", done, size);
  }
  if (::fsync(fd()) != 0) return system_failure(fmt::format("cannot write {}", path_), errno);
  return {};
}

Result<void> PoolFile::publish() {
  if (temporary_.empty()) return {};
  const int directory = directory_.get();
  int result =
      ::renameat2(directory, temporary_.c_str(), directory, name_.c_str(), RENAME_NOREPLACE);
  if (result != 0 && (errno == EINVAL || errno == ENOSYS)) {
    // A file system without it: a second name, which never replaces, then the first one away.
    result = ::linkat(directory, temporary_.c_str(), directory, name_.c_str(), 0);
    if (result == 0) ::unlinkat(directory, temporary_.c_str(), 0);
  }
  if (result != 0) {
    if (errno == EEXIST) {
      return fail(Code::exists, fmt::format("{} was made by somebody else meanwhile", path_));
    }
    return fail(Code::io, fmt::format("cannot give the new pool its name {}", path_), errno);
  }
  temporary_.clear();
  if (::fsync(directory) != 0) {
    return fail(Code::io, fmt::format("cannot make the name {} durable", path_), errno);
  }
  return {};
}

Result<uint64_t> PoolFile::size() const {
  struct stat info {};
  if (::fstat(fd(), &info) != 0) {
    return system_failure(fmt::format("cannot look at {}", path_), errno);
  }
  return static_cast<uint64_t>(info.st_size);
}

}  // namespace paste::pmem
