// Giving up what a server needs for its start and never again, so that whoever breaks into it finds
// little: capabilities(7), root, the way to new privileges, and most system calls.
#pragma once

#include <string>

#include "paste/result.h"

namespace paste::tool {

// 1. Goes on as this user, in all threads. Errors: not_found (no such user), permission.
[[nodiscard]] Result<void> change_user(const std::string& user);

// 2. All capabilities, and the way to new ones; in each thread, for they are each thread's own.
void drop_privileges() noexcept;

struct Confinement {
  bool sandbox = true;     // leave only the system calls that serving needs (seccomp(2))
  bool opens_log = false;  // the log file is opened again on SIGHUP, so files may be opened
  bool unlinks = false;    // Unix sockets are removed at the end
};
// 3. Closes the way back, for all threads. In vain afterwards: opening ports or pools.
// Errors: unsupported, io.
[[nodiscard]] Result<void> confine(const Confinement& how);

}  // namespace paste::tool
