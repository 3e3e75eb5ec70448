#include "pmem/system_error.h"

#include <cerrno>

namespace paste::pmem {

Code code_of(int os_error) noexcept {
  switch (os_error) {
    case ENOENT:
    case ENXIO:
    case ENODEV:
      return Code::not_found;
    case EEXIST:
      return Code::exists;
    case EACCES:
    case EPERM:
    case EROFS:
      return Code::permission;
    case ENOSYS:
    case EOPNOTSUPP:
      return Code::unsupported;
    default:
      return Code::io;
  }
}

Unexpected system_failure(std::string what, int os_error) {
  return fail(code_of(os_error), std::move(what), os_error);
}

}  // namespace paste::pmem
