#include "paste/result.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace paste {

std::string_view to_string(Code code) noexcept {
  switch (code) {
    case Code::invalid:
      return "invalid";
    case Code::not_found:
      return "not found";
    case Code::exists:
      return "exists";
    case Code::pool_full:
      return "pool full";
    case Code::busy:
      return "busy";
    case Code::in_use:
      return "in use";
    case Code::permission:
      return "permission";
    case Code::unsupported:
      return "unsupported";
    case Code::io:
      return "input/output";
    case Code::corrupt:
      return "corrupt";
    case Code::too_large:
      return "too large";
    case Code::closed:
      return "closed";
    case Code::failed:
      return "failed";
  }
  return "unknown";
}

std::string Error::message() const {
  std::string text = detail_ ? *detail_ : std::string(context_);
  if (text.empty()) text = to_string(code_);
  if (os_error_ != 0) {
    char words[128];
    text += ": ";
    text += strerror_r(os_error_, words, sizeof words);  // the GNU form returns the text
  }
  return text;
}

void internal::end_with(const Error& error) noexcept {
  std::fprintf(stderr, "%s\n", error.message().c_str());
  std::exit(1);
}

}  // namespace paste
