// How records and bytes are printed.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "paste/slot.h"
#include "paste/units.h"

namespace paste::tool {

enum class DumpForm : uint8_t { text, hex, ndjson, raw, places };

// Where a record lies, as a line of JSON: the buffers that the pool names, in order.
void print_places(Lsn lsn, std::span<const Slice> slices);

// One record, to standard output. REQUIRES: form != places.
void print_record(DumpForm form, Lsn lsn, uint64_t time_ns, const std::string& bytes);

// Sixteen bytes a line with their offsets, counted from `offset`.
void print_hex(Bytes bytes, uint64_t offset);

// "2026-01-31T12:00:00.123456789Z".
std::string time_text(uint64_t time_ns);

}  // namespace paste::tool
