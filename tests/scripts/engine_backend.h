// Our engine under virtual time.
#pragma once

#include <memory>

#include "backend.h"
#include "script.h"

namespace paste::scripts {

[[nodiscard]] std::unique_ptr<Backend> make_engine_backend(const Script& script);

}  // namespace paste::scripts
