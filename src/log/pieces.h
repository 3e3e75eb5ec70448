// Piece lists: what a record is made of when it is more than one range. Everything that reads one
// from the region trusts nothing in it.
#pragma once

#include <span>
#include <vector>

#include "log/byte_buffer.h"
#include "pool/core.h"

namespace paste::log {

inline constexpr uint32_t kPiecesPerList = 200;

// A record of so many bytes has at most so many pieces: bounds every walk, and keeps the lists
// smaller than what they list.
[[nodiscard]] constexpr uint64_t pieces_max(uint64_t record_bytes) noexcept {
  return record_bytes / 64 + 256;
}

// Writes the lists for `pieces`, packed by `packer`; FLUSHED. Returns the first list's range; each
// list has a hold of its own. `lists` is scratch. Errors: pool_full — nothing is held then.
Result<Slice> write_piece_lists(pool::Core& core, ByteBuffer& packer, std::span<const Slice> pieces,
                                std::vector<Slice>& lists);

// One list, copied out of the region.
struct PieceList {
  Slice next;  // buffer 0: this is the last
  uint32_t count = 0;
  Slice pieces[(4096 - sizeof(pool::format::PieceListHeader)) / sizeof(Slice)];
};

// Reads and checks the list at `at`. False: damaged or unreadable.
[[nodiscard]] bool read_piece_list(const pool::Core& core, Slice at, PieceList& list) noexcept;

// Walks a whole chain. Appends the record's pieces to `pieces` and, unless null, the lists' own
// ranges to `lists`. False: damaged or unreadable, or not `record_bytes` long.
[[nodiscard]] bool read_pieces(const pool::Core& core, Slice first, uint32_t record_bytes,
                               std::vector<Slice>& pieces, std::vector<Slice>* lists);

}  // namespace paste::log
