// Turns an errno of a file call into an Error whose sentence a user can act on.
#pragma once

#include <string>
#include <string_view>

#include "paste/result.h"

namespace paste::pmem {

// `what` is the start of a sentence: "cannot open pool file /x/y".
[[nodiscard]] Unexpected system_failure(std::string what, int os_error);

// The code that an errno stands for: not_found, exists, permission, unsupported, otherwise io.
[[nodiscard]] Code code_of(int os_error) noexcept;

}  // namespace paste::pmem
