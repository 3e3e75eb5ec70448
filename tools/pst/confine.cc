#include "confine.h"

#include <cap-ng.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/bpf.h>
#include <pwd.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

namespace paste::tool {
namespace {

// What serving needs, by what it is for. Everything else fails with EPERM.
constexpr const char* kAllowed[] = {
    // Packets.
    "accept4", "recvfrom", "recvmsg", "recvmmsg", "sendmmsg", "sendto", "sendmsg", "shutdown",
    "getsockopt", "setsockopt", "getpeername", "getsockname", "connect",
    // Waiting.
    "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_create1", "eventfd2", "poll",
    "ppoll", "timerfd_settime", "io_uring_enter", "io_uring_register", "futex", "nanosleep",
    "clock_nanosleep", "sched_yield",
    // Files that are open.
    "read", "readv", "pread64", "preadv2", "write", "writev", "pwrite64", "pwritev", "pwritev2",
    "fsync", "fdatasync", "sync_file_range", "ftruncate", "lseek", "fstat", "newfstatat", "fcntl",
    "close", "flock",
    // Memory and time.
    "brk", "mmap", "mremap", "munmap", "madvise", "msync", "clock_gettime", "gettimeofday",
    "getrandom",
    // Signals, threads and the end.
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "sigaltstack", "getpid",
    "gettid", "tgkill", "rseq", "set_robust_list", "restart_syscall", "exit", "exit_group"};

// A sanitizer's own calls are many and change: under one, the rest is only noted.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint32_t kOtherwise = SCMP_ACT_LOG;
#else
constexpr uint32_t kOtherwise = SCMP_ACT_ERRNO(EPERM);
#endif

struct FreeFilter {
  void operator()(void* filter) const noexcept { seccomp_release(filter); }
};

int allow(scmp_filter_ctx filter, const char* name) {
  return seccomp_rule_add(filter, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(name), 0);
}

int add_rules(scmp_filter_ctx filter, const Confinement& how) {
  for (const char* name : kAllowed) {
    if (const int error = allow(filter, name); error != 0) return error;
  }
  // Memory may not become code.
  constexpr uint64_t kExecutable = 4;  // PROT_EXEC
  int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                               SCMP_A2_64(SCMP_CMP_MASKED_EQ, kExecutable, 0));
  // To tell the service manager; and what the XDP program has counted, and its ports.
  if (error == 0) {
    error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                             SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX));
  }
  for (const uint32_t command : {BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM}) {
    if (error != 0) break;
    error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(bpf), 1,
                             SCMP_A0_32(SCMP_CMP_EQ, command));
  }
  for (const char* name : {"openat", "dup2"}) {
    if (error == 0 && how.opens_log) error = allow(filter, name);
  }
  if (error == 0 && how.unlinks) error = allow(filter, "unlink");
  return error;
}

Result<void> filter_calls(const Confinement& how) {
  const std::unique_ptr<void, FreeFilter> filter(seccomp_init(kOtherwise));
  if (filter == nullptr) return fail(Code::unsupported, "no filter of system calls can be made");
  int error = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);  // for all threads
  if (error == 0) error = add_rules(filter.get(), how);
  if (error == 0) error = seccomp_load(filter.get());
  if (error == 0) return {};
  return fail(Code::unsupported,
              "the kernel takes no filter of system calls: --sandbox off goes on without", -error);
}

}  // namespace

Result<void> change_user(const std::string& user) {
  errno = 0;
  const passwd* found = ::getpwnam(user.c_str());
  if (found == nullptr) {
    return fail(Code::not_found, fmt::format("--user: there is no user '{}'", user), errno);
  }
  if (found->pw_uid == ::getuid() && found->pw_uid == ::geteuid()) return {};
  if (::initgroups(user.c_str(), found->pw_gid) != 0 ||
      ::setresgid(found->pw_gid, found->pw_gid, found->pw_gid) != 0 ||
      ::setresuid(found->pw_uid, found->pw_uid, found->pw_uid) != 0) {
    return fail(Code::permission, fmt::format("--user: cannot become '{}': start as root", user),
                errno);
  }
  return {};
}

void drop_privileges() noexcept {
  (void)::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  capng_clear(CAPNG_SELECT_ALL);
  // The bounding set may be changed only by who has CAP_SETPCAP; without, it gives nothing.
  if (capng_apply(CAPNG_SELECT_ALL) != 0) {
    capng_clear(CAPNG_SELECT_CAPS);
    (void)capng_apply(CAPNG_SELECT_CAPS);
  }
}

Result<void> confine(const Confinement& how) {
  if (capng_get_caps_process() != 0 || capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE) {
    return fail(Code::io, "the capabilities were not given up");
  }
  if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) {
    return fail(Code::io, "the way to new privileges is not closed");
  }
  if (how.sandbox) PASTE_TRY(filter_calls(how));
  return {};
}

}  // namespace paste::tool
