// Appending: the bytes are read once for their checksum, flushed where they lie, and named by an
// entry. Everything that can fail comes before anything changes.
#include <algorithm>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/time.h"
#include "log/pieces.h"
#include "log/state.h"

namespace paste::log {
namespace {

using pmem::Site;

// Short records, records in crumbs, and records that would keep many nearly empty buffers are
// cheaper to copy than to keep in place. `buffers`: how many buffers keeping would hold.
bool copying_saves(uint64_t length, size_t pieces, uint64_t buffers, uint32_t buffer_size) {
  if (length <= buffer_size / 2) return true;
  if (length <= buffer_size && buffers > 2) return true;
  return pieces > pieces_max(length) || length < buffers * buffer_size / 4;
}

}  // namespace

void Source::copy(std::byte* to, size_t bytes) noexcept {
  while (bytes > 0) {
    if (current_.empty()) {
      PASTE_CHECK(!slices_.empty());
      current_ = core_->bytes(slices_.front());
      slices_ = slices_.subspan(1);
    }
    const size_t n = std::min(bytes, current_.size());
    std::memcpy(to, current_.data(), n);
    current_ = current_.subspan(n);
    to += n;
    bytes -= n;
  }
}

Lsn LogState::durable() const noexcept {
  const Ticket durable = core_.durable();
  if (tail_ticket_ <= durable) return next_ - 1;
  return (before_ticket_ <= durable ? tail_begin_ : before_begin_) - 1;
}

Result<void> LogState::writable() const {
  if (removed_) return fail(Code::closed, "the log was removed");
  if (core_.failed()) return fail(Code::failed, "the pool's medium failed; nothing more is stored");
  return {};
}

Result<Appended> LogState::append(std::span<const Slice> slices, const AppendOptions& options) {
  PASTE_TRY(writable());
  uint64_t length = 0;
  uint32_t buffers = 0;
  BufferName previous = kNoBuffer;
  for (const Slice& slice : slices) {
    PASTE_CHECK(core_.valid(slice));
    length += slice.length;
    if (slice.buffer != previous) ++buffers;
    previous = slice.buffer;
  }
  if (length > kRecordBytesMax || length > uint64_t{core_.buffer_end()} * core_.buffer_size())
      [[unlikely]] {
    return fail(Code::too_large, "a record may have 64 MiB, and no more than its pool");
  }
  if (length == 0) return append_empty(slices, options);
  const auto bytes = static_cast<uint32_t>(length);
  if (slices.size() == 1) [[likely]]
    return append_range(slices[0], options);
  if (!copying_saves(length, slices.size(), buffers, core_.buffer_size())) {
    if (!core_.has_room(buffers)) return fail(Code::pool_full, "no room to keep another record");
    return append_pieces(slices, bytes, options);
  }
  auto appended = append_copy(Source(core_, slices), bytes, options);
  // The copy is kept, so the originals are not.
  if (appended) {
    for (const Slice& slice : slices) core_.release(slice.buffer);
  }
  return appended;
}

Result<Appended> LogState::append_bytes(Bytes bytes, const AppendOptions& options) {
  PASTE_TRY(writable());
  if (bytes.size() > kRecordBytesMax) [[unlikely]] {
    return fail(Code::too_large, "a record may have 64 MiB");
  }
  if (bytes.empty()) return append_empty({}, options);
  return append_copy(Source(bytes), static_cast<uint32_t>(bytes.size()), options);
}

Result<Appended> LogState::append_empty(std::span<const Slice> slices,
                                        const AppendOptions& options) {
  PASTE_TRY(prepare_place());
  Entry entry = make_entry(EntryType::range, {}, 0, options);
  checksum_and_flush(entry, {});
  for (const Slice& slice : slices) core_.release(slice.buffer);
  return commit_entry(entry);
}

Result<Appended> LogState::append_range(Slice slice, const AppendOptions& options) {
  if (!core_.has_room(1)) [[unlikely]] {
    return fail(Code::pool_full, "no room to keep another record");
  }
  PASTE_TRY(prepare_place());
  Entry entry = make_entry(EntryType::range, slice, slice.length, options);
  checksum_and_flush(entry, {&slice, 1});
  return commit_entry(entry);
}

Result<Appended> LogState::append_pieces(std::span<const Slice> slices, uint32_t length,
                                         const AppendOptions& options) {
  PASTE_TRY(prepare_place());
  auto first = write_piece_lists(core_, packer_, slices, lists_);
  if (!first) {
    drop_spare();
    return fail(std::move(first).error());
  }
  AppendOptions all = options;
  all.auxiliary = first->length;
  Entry entry = make_entry(EntryType::pieces, *first, length, all);
  checksum_and_flush(entry, slices);
  return commit_entry(entry);
}

Result<Appended> LogState::append_copy(Source source, uint32_t length,
                                       const AppendOptions& options) {
  if (length > core_.buffer_size()) return append_copy_long(source, length, options);
  PASTE_TRY(prepare_place());
  auto place = packer_.allocate(core_, length);
  if (!place) {
    drop_spare();
    return fail(std::move(place).error());
  }
  source.copy(core_.buffer(place->buffer) + place->offset, length);
  Entry entry = make_entry(EntryType::range, *place, length, options);
  checksum_and_flush(entry, {&*place, 1});
  return commit_entry(entry);
}

Result<Appended> LogState::append_copy_long(Source source, uint32_t length,
                                            const AppendOptions& options) {
  const uint32_t size = core_.buffer_size();
  const uint32_t buffers = (length + size - 1) / size;
  // Asked first, so that a pool that is too full is not emptied and refilled for nothing.
  if (!core_.has_room(buffers + buffers / kPiecesPerList + 1)) {
    return fail(Code::pool_full, "no room to keep another record");
  }
  slices_.clear();
  for (uint32_t left = length; left > 0;) {
    const uint32_t bytes = std::min(left, size);
    auto place = packer_.allocate(core_, bytes);
    if (!place) {
      for (const Slice& taken : slices_) core_.release(taken.buffer);
      return fail(std::move(place).error());
    }
    slices_.push_back(*place);
    left -= bytes;
  }
  for (const Slice& slice : slices_) {
    source.copy(core_.buffer(slice.buffer) + slice.offset, slice.length);
  }
  auto appended = append_pieces(slices_, length, options);
  if (!appended) {
    for (const Slice& taken : slices_) core_.release(taken.buffer);
  }
  return appended;
}

Entry LogState::make_entry(EntryType type, Slice at, uint32_t length,
                           const AppendOptions& options) const {
  const uint64_t lag = next_ - durable();
  // Two tickets cannot hold so many entries in any pool that fits 32-bit buffer names.
  PASTE_CHECK(lag <= std::numeric_limits<uint32_t>::max());
  return {.buffer = at.buffer,
          .offset = at.offset,
          .type = static_cast<uint8_t>(type),
          .flags = 0,
          .length = length,
          .crc = 0,
          .time_ns = options.time_ns != 0 ? options.time_ns : base::wall_ns(),
          .lag = static_cast<uint32_t>(lag),
          .auxiliary = options.auxiliary};
}

void LogState::checksum_and_flush(Entry& entry, std::span<const Slice> slices) {
  uint32_t state = entry_state(seed_, next_, entry);
  for (const Slice& slice : slices) {
    const Bytes bytes = core_.bytes(slice);
    // Read before flushed: bytes that a device stored are in the cache's coherent view only then.
    state = base::crc32c_extend(state, bytes);
    core_.flush(bytes.data(), bytes.size(), Site::log_data);
  }
  entry.crc = base::crc32c_finish(state);
}

Appended LogState::commit_entry(const Entry& entry) {
  if (spare_ != kNoBuffer) [[unlikely]]
    link_spare();
  const auto index = static_cast<uint32_t>(next_ - tail_first());
  Page& page = pages_.back();
  Entry* place = entries_of(core_.buffer(page.name)) + index;
  *place = entry;
  core_.flush(place, sizeof *place, Site::log_entry);
  page.verified.set(index);
  page.bytes += entry.length;
  bytes_ += entry.length;

  const Ticket filling = core_.filling();
  if (tail_ticket_ != filling) {
    before_ticket_ = tail_ticket_;
    before_begin_ = tail_begin_;
    tail_ticket_ = filling;
    tail_begin_ = next_;
  }
  changed_ = filling;
  return {next_++, filling};
}

Result<void> LogState::prepare_place() {
  if (next_ - tail_first() < per_page_ || spare_ != kNoBuffer) [[likely]]
    return {};
  PASTE_TRY_ASSIGN(spare_, core_.take_zeroed(pool::Purpose::structure));
  return {};
}

void LogState::drop_spare() noexcept {
  if (spare_ != kNoBuffer) core_.release(spare_);
  spare_ = kNoBuffer;
}

void LogState::link_spare() {
  write_header(spare_, next_);
  // The link vouches like the entry that follows it, whose lag is one more.
  Entry link = make_entry(EntryType::link, {spare_, 0, 0}, 0, {});
  --link.lag;
  link.time_ns = 0;
  link.crc = base::crc32c_finish(entry_state(seed_, next_ - 1, link));
  Entry* place = entries_of(core_.buffer(pages_.back().name)) + per_page_;
  *place = link;
  core_.flush(place, sizeof *place, Site::log_link);
  pages_.push_back(
      {.name = spare_, .bytes = 0, .deleted = {}, .verified = {}, .damaged = {}, .unclaimed = {}});
  spare_ = kNoBuffer;
}

void LogState::write_header(BufferName page, Lsn first_lsn) {
  PageHeader* header = header_of(core_.buffer(page));
  header->log_id = root_.id;
  header->first_lsn = first_lsn;
  header->page = page;
  header->crc = header_crc(core_.crc_seed(), *header);
  core_.flush(header, sizeof *header, Site::log_page_header);
}

Result<void> LogState::seal() {
  PASTE_TRY(writable());
  const Lsn last = next_ - 1;
  // Nothing to vouch for, or the first kept LSN, which is published, vouches for all.
  if (sealed_ == last || first_ == next_ || durable() != last) return {};
  Entry seal{};
  seal.type = static_cast<uint8_t>(EntryType::seal);
  seal.crc = base::crc32c_finish(entry_state(seed_, last, seal));
  Entry* place = entries_of(core_.buffer(pages_.back().name)) + per_page_;
  *place = seal;
  core_.flush(place, sizeof *place, Site::log_seal);
  sealed_ = last;
  return {};
}

}  // namespace paste::log
