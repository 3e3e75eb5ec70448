// Errors as values. Every fallible call of the library returns Result<T>; success costs nothing
// beyond the value, and nothing on a data path throws.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <type_traits>
#include <utility>

namespace paste {

// What kind of thing went wrong; the caller decides by this, people read Error::message().
enum class Code : uint8_t {
  invalid,      // the caller asked for something that cannot be: fix the argument
  not_found,    // the named thing does not exist
  exists,       // the named thing exists already
  pool_full,    // no room: nothing was changed; delete or truncate, then try again
  busy,         // a bounded resource of this batch is used up: commit, then try again
  in_use,       // another process holds it
  permission,   // the system refused access
  unsupported,  // this machine, kernel, file system or build cannot do it
  io,           // a device or file operation failed; os_error() says how
  corrupt,      // stored bytes are not what was written; never mistaken for "absent" or "end"
  too_large,    // above a stated limit
  closed,       // the connection, port or pool is gone
  failed,       // an earlier failure of the medium is final: nothing becomes durable any more
};

[[nodiscard]] std::string_view to_string(Code code) noexcept;

// A code, the errno if the system gave one, and a sentence for people. 24 bytes; copying is cheap.
// `context` is static text; detail() is the part that had to be composed (paths, numbers).
class [[nodiscard]] Error {
 public:
  // REQUIRES: `context` outlives the error (a string literal).
  explicit Error(Code code, const char* context = "", int os_error = 0) noexcept
      : context_(context), os_error_(os_error), code_(code) {}
  // For control paths: composes a sentence on the heap.
  Error(Code code, std::string detail, int os_error = 0)
      : detail_(std::make_shared<const std::string>(std::move(detail))),
        os_error_(os_error),
        code_(code) {}

  [[nodiscard]] Code code() const noexcept { return code_; }
  [[nodiscard]] int os_error() const noexcept { return os_error_; }
  // A full sentence: detail or context, then the system's own words if there is an errno.
  [[nodiscard]] std::string message() const;

 private:
  const char* context_ = "";
  std::shared_ptr<const std::string> detail_;
  int os_error_ = 0;
  Code code_;
};

template <typename T = void>
using Result = tl::expected<T, Error>;

using Unexpected = tl::unexpected<Error>;

// return fail(Code::invalid, "…");
[[nodiscard]] inline Unexpected fail(Code code, const char* context, int os_error = 0) {
  return Unexpected(Error(code, context, os_error));
}
[[nodiscard]] inline Unexpected fail(Code code, std::string detail, int os_error = 0) {
  return Unexpected(Error(code, std::move(detail), os_error));
}
[[nodiscard]] inline Unexpected fail(Error error) { return Unexpected(std::move(error)); }

namespace internal {
// Prints the error to standard error and ends the program with status 1.
[[noreturn]] void end_with(const Error& error) noexcept;
}  // namespace internal

// The value, or the end of the program with the error's message: for start-up code and examples
// that have nothing better to do.
template <typename T>
T must(Result<T> result) {
  if (!result) internal::end_with(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace paste

// PASTE_TRY(expr): returns the error of `expr` from the enclosing function, if it has one.
#define PASTE_TRY(expr)                                                       \
  do {                                                                        \
    if (auto paste_try_ = (expr); !paste_try_) [[unlikely]]                   \
      return ::paste::Unexpected(std::move(paste_try_).error());              \
  } while (false)

// PASTE_TRY_ASSIGN(auto x, expr): the same, and binds the value.
#define PASTE_TRY_CONCAT_(a, b) a##b
#define PASTE_TRY_CONCAT(a, b) PASTE_TRY_CONCAT_(a, b)
#define PASTE_TRY_ASSIGN_(tmp, lhs, expr)                                     \
  auto tmp = (expr);                                                          \
  if (!tmp) [[unlikely]] return ::paste::Unexpected(std::move(tmp).error());  \
  lhs = std::move(*tmp)
#define PASTE_TRY_ASSIGN(lhs, expr) \
  PASTE_TRY_ASSIGN_(PASTE_TRY_CONCAT(paste_try_, __LINE__), lhs, expr)
