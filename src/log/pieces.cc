#include "log/pieces.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"
#include "pmem/guarded.h"

namespace paste::log {
namespace {

using pool::format::Piece;
using pool::format::PieceListHeader;

uint32_t list_bytes(size_t pieces) noexcept {
  return static_cast<uint32_t>(sizeof(PieceListHeader) + pieces * sizeof(Piece));
}

uint32_t list_crc(uint32_t seed, PieceListHeader header, const Slice* pieces) noexcept {
  header.crc = 0;
  // "The rest of the header" is what follows the crc.
  const auto* rest = reinterpret_cast<const std::byte*>(&header) + sizeof header.crc;
  uint32_t state = base::crc32c_extend(seed, {rest, sizeof header - sizeof header.crc});
  state = base::crc32c_extend(
      state, {reinterpret_cast<const std::byte*>(pieces), header.count * sizeof(Piece)});
  return base::crc32c_finish(state);
}

}  // namespace

Result<Slice> write_piece_lists(pool::Core& core, ByteBuffer& packer, std::span<const Slice> pieces,
                                std::vector<Slice>& lists) {
  PASTE_CHECK(!pieces.empty());
  lists.clear();
  for (size_t at = 0; at < pieces.size(); at += kPiecesPerList) {
    const size_t count = std::min<size_t>(kPiecesPerList, pieces.size() - at);
    auto place = packer.allocate(core, list_bytes(count));
    if (!place) {
      for (const Slice& taken : lists) core.release(taken.buffer);
      return fail(std::move(place).error());
    }
    lists.push_back(*place);
  }
  for (size_t i = 0; i < lists.size(); ++i) {
    const size_t at = i * kPiecesPerList;
    const size_t count = std::min<size_t>(kPiecesPerList, pieces.size() - at);
    const Slice next = i + 1 < lists.size() ? lists[i + 1] : Slice{};
    PieceListHeader header{.crc = 0,
                           .count = static_cast<uint16_t>(count),
                           .next_offset = next.offset,
                           .next_buffer = next.buffer,
                           .next_length = next.length};
    header.crc = list_crc(core.crc_seed(), header, &pieces[at]);
    std::byte* to = core.buffer(lists[i].buffer) + lists[i].offset;
    std::memcpy(to, &header, sizeof header);
    std::memcpy(to + sizeof header, &pieces[at], count * sizeof(Piece));
    core.flush(to, lists[i].length, pmem::Site::log_piece_list);
  }
  return lists[0];
}

bool read_piece_list(const pool::Core& core, Slice at, PieceList& list) noexcept {
  if (!core.valid(at) || at.length < list_bytes(1)) return false;
  PieceListHeader header;
  const std::byte* from = core.buffer(at.buffer) + at.offset;
  if (!pmem::guarded_read([&] {
        std::memcpy(&header, from, sizeof header);
        std::memcpy(list.pieces, from + sizeof header, at.length - sizeof header);
      })) {
    return false;
  }
  if (list_bytes(header.count) != at.length) return false;
  if (list_crc(core.crc_seed(), header, list.pieces) != header.crc) return false;
  if (header.next_length > core.buffer_size()) return false;
  list.next = {header.next_buffer, header.next_offset, static_cast<uint16_t>(header.next_length)};
  list.count = header.count;
  return std::all_of(list.pieces, list.pieces + list.count,
                     [&](Slice s) { return s.length > 0 && core.valid(s); });
}

bool read_pieces(const pool::Core& core, Slice first, uint32_t record_bytes,
                 std::vector<Slice>& pieces, std::vector<Slice>* lists) {
  PieceList list;
  uint64_t bytes = 0;
  uint64_t count = 0;
  for (Slice at = first; at.buffer != kNoBuffer; at = list.next) {
    if (!read_piece_list(core, at, list)) return false;
    count += list.count;
    for (uint32_t i = 0; i < list.count; ++i) bytes += list.pieces[i].length;
    // Each list brings at least one byte, so a chain that bites its tail ends here.
    if (bytes > record_bytes || count > pieces_max(record_bytes)) return false;
    pieces.insert(pieces.end(), list.pieces, list.pieces + list.count);
    if (lists != nullptr) lists->push_back(at);
  }
  return bytes == record_bytes && record_bytes > 0;
}

}  // namespace paste::log
