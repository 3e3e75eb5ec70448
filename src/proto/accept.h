// Choosing a representation by the Accept field (RFC 9110 §12.5.1).
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace paste::proto {

// The index in `offered` ("type/subtype", lower case) of what `accept` likes best; the first one of
// equals. An empty field, or one that nothing fits, gives 0: an answer is more use than a 406.
[[nodiscard]] size_t choose_type(std::string_view accept,
                                 std::span<const std::string_view> offered) noexcept;

}  // namespace paste::proto
