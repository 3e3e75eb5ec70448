// Opening: superblock, committed lists, roots; and the end of recovery.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "pmem/guarded.h"
#include "pool/core.h"
#include "pool/superblock.h"

namespace paste::pool {

using format::Superblock;

namespace {

std::string check_hint(std::string_view what) {
  return fmt::format("{}; run `pst pool check` on the pool for a list of what is damaged", what);
}

}  // namespace

Core::Core(std::unique_ptr<pmem::Region> region, const Superblock& super)
    : region_(std::move(region)),
      base_(region_->data()),
      buffer_size_(super.buffer_size),
      first_buffer_(super.shards[0].first_buffer),
      buffer_end_(super.shards[0].first_buffer + super.shards[0].buffer_count),
      crc_seed_(uuid_state(super.uuid)),
      uuid_(super.uuid),
      buffers_(first_buffer_, buffer_end_) {
  // The usual floors of 8 and 16 would be most of a pool of a few dozen buffers.
  const uint64_t count = super.shards[0].buffer_count;
  reserves_.structure =
      std::clamp<uint64_t>(count / 64, std::min<uint64_t>(8, 2 + count / 64), 1024);
  reserves_.receive =
      std::clamp<uint64_t>(count / 16, std::min<uint64_t>(16, 2 + count / 16), 2048);
  for (const auto& [offset, length] : region_->bad_ranges()) {
    buffers_.mark_bad(offset, length, buffer_size_);
  }
  for (size_t i = 0; i < areas_.size(); ++i) {
    areas_[i].at = base_ + super.shards[0].publish_offset[i];
  }
}

Result<void> Core::report(Code code, std::string what, std::string detail) {
  if (findings_ == nullptr) return fail(code, check_hint(what + ": " + detail));
  findings_->push_back({code, std::move(what), std::move(detail)});
  return {};
}

namespace {

// The superblock to believe, and which copies of it are good.
struct Chosen {
  Superblock super;
  bool good[2] = {true, true};
};

// Errors: corrupt (no copy is good, or both are and differ), unsupported.
Result<Chosen> choose_superblock(const pmem::Region& region, std::vector<Finding>* findings) {
  const Result<Superblock> copies[2] = {read_superblock(region, 0), read_superblock(region, 1)};
  for (const auto& copy : copies) {
    if (!copy && copy.error().code() == Code::unsupported) return fail(copy.error());
  }
  for (uint32_t i = 0; i < 2; ++i) {
    if (copies[i] || findings == nullptr) continue;
    findings->push_back(
        {Code::corrupt, fmt::format("superblock copy {}", i), copies[i].error().message()});
  }
  if (!copies[0] && !copies[1]) {
    return fail(Code::corrupt, fmt::format("no usable superblock in {}: {}", region.description(),
                                           copies[0].error().message()));
  }
  Chosen chosen{copies[0] ? *copies[0] : *copies[1],
                {copies[0].has_value(), copies[1].has_value()}};
  if (chosen.good[0] && chosen.good[1]) {
    Superblock other = *copies[1];
    other.copy = 0;
    if (superblock_crc(other) != superblock_crc(*copies[0])) {
      return fail(Code::corrupt, fmt::format("the two superblocks in {} are of different pools",
                                             region.description()));
    }
  }
  return chosen;
}

}  // namespace

Result<std::unique_ptr<Core>> Core::open(std::unique_ptr<pmem::Region> region,
                                         const OpenOptions& options) {
  PASTE_TRY_ASSIGN(const Chosen chosen, choose_superblock(*region, options.findings));
  const Superblock& super = chosen.super;
  // Page and memory both survive power loss; a pool may move between them, but not to less.
  const auto made_for = static_cast<pmem::Domain>(super.domain);
  const bool weaker =
      region->domain() == pmem::Domain::process && made_for != pmem::Domain::process;
  if (weaker && options.findings == nullptr) {
    return fail(
        Code::unsupported,
        fmt::format("the pool was made for domain {} but {} gives only {}; open it where "
                    "it was made, or copy its records to a new pool",
                    to_string(made_for), region->description(), to_string(region->domain())));
  }
  auto core = std::unique_ptr<Core>(new Core(std::move(region), super));
  core->findings_ = options.findings;
  for (uint32_t i = 0; i < 2; ++i) {
    if (!chosen.good[i]) write_superblock(*core->region_, super, i, Site::superblock);
  }
  PASTE_TRY(core->redo_lists());
  PASTE_TRY(core->read_roots());
  return core;
}

// An aligned word is in the region as soon as its first byte is: buffers end at multiples of 8.
bool Core::publishable(uint64_t offset) const noexcept {
  return offset % 8 == 0 && offset >= format::kFirstRootOffset &&
         offset < uint64_t{buffer_end_} * buffer_size_;
}

Result<void> Core::redo_lists() {
  Area* committed[2] = {};
  size_t count = 0;
  uint64_t newest = 0;
  for (Area& area : areas_) {
    ListState state = ListState::damaged;
    const auto offset = static_cast<uint64_t>(area.at - base_);
    const bool bad = touches_bad(*region_, offset, format::kPublishBytes);
    const bool read = !bad && pmem::guarded_read([&] { state = inspect_list(area.at, crc_seed_); });
    // Lost bytes may have been a committed batch: they are never taken for the absence of one.
    if (!read || state == ListState::damaged) {
      PASTE_TRY(report(Code::corrupt, fmt::format("publish list {}", &area - areas_.data()),
                       read ? "committed, but its checksum does not match" : "unreadable"));
      continue;
    }
    if (state == ListState::absent) continue;
    const uint64_t ticket = list_header(area.at).ticket;
    newest = std::max(newest, ticket);
    area.ticket = Ticket{ticket};
    committed[count++] = &area;
  }
  if (count == 2 && committed[0]->ticket > committed[1]->ticket) {
    std::swap(committed[0], committed[1]);
  }
  PASTE_TRY(keep_lists());
  for (size_t i = 0; i < count; ++i) PASTE_TRY(redo_list(committed[i]->at));
  // Ticket numbers need not go on across opens, but a fresh one must not equal a list still here.
  if (newest < UINT64_MAX / 2) {
    filling_ = Ticket{newest + 1};
    durable_ = Ticket{newest};
  }
  return {};
}

// What is read here may have survived a crash of the program in a cache only. A list must be
// durable before its words are stored: some of them could reach the medium without it. And a commit
// word that reads as cleared must be so on the medium before the area is written again.
Result<void> Core::keep_lists() {
  bool any = false;
  for (const Area& area : areas_) {
    size_t bytes = sizeof(format::PublishHeader);
    if (area.ticket != Ticket{0}) {
      bytes += list_items(area.at).size_bytes();
      any = true;
    }
    region_->flush(area.at, bytes, Site::recover_accepted);
  }
  if (!any) return {};  // the barrier at the end of recovery does
  return whole_barrier(Site::barrier_recover);
}

Result<void> Core::redo_list(const std::byte* area) {
  for (const format::PublishItem& item : list_items(area)) {
    if (!publishable(item.offset)) {
      PASTE_TRY(report(Code::corrupt, "publish list",
                       fmt::format("names offset {}, where no word may be", item.offset)));
      continue;
    }
    auto* word = reinterpret_cast<uint64_t*>(base_ + item.offset);
    pmem::store64(word, item.value);
    region_->flush(word, sizeof *word, Site::recover_words);
  }
  return {};
}

Result<void> Core::claim(BufferName name, Kind kind) {
  PASTE_CHECK(!recovered_);
  if (name < first_buffer_ || name >= buffer_end_) {
    return fail(Code::corrupt, "names a buffer that the pool does not have");
  }
  if (buffers_.holds(name) == 0) {
    buffers_.first_hold(name, kind);
    return {};
  }
  if (kind == Kind::structure || buffers_.kind(name) == Kind::structure) {
    return fail(Code::corrupt, "a buffer of two owners");
  }
  buffers_.hold(name);
  return {};
}

// No list needs to be redone again; none may be, once a freed buffer is somebody's record. The
// older one goes first: left alone, it would put old values over those of the newer one.
Result<void> Core::retire_lists() {
  Area* order[2] = {&areas_[0], &areas_[1]};
  if (order[0]->ticket > order[1]->ticket) std::swap(order[0], order[1]);
  for (Area* area : order) {
    uint64_t* word = commit_word(area->at);
    if (*word == 0) continue;
    pmem::store64(word, 0);
    region_->flush(word, sizeof *word, Site::publish_retire);
    PASTE_TRY(whole_barrier(Site::barrier_recover));
  }
  return {};
}

Result<void> Core::finish_recovery() {
  PASTE_CHECK(!recovered_);
  // What is read here may have survived a crash of the program in a cache only; the promise needs
  // it durable before anything is built upon it.
  for (const uint64_t offset : format::kSuperblockOffset) {
    region_->flush(base_ + offset, sizeof(Superblock), Site::recover_accepted);
  }
  for (const BufferName page : roots_.pages) {
    region_->flush(buffer(page), buffer_size_, Site::recover_accepted);
  }
  PASTE_TRY(whole_barrier(Site::barrier_recover));
  PASTE_TRY(retire_lists());
  buffers_.build_free();
  recovered_ = true;
  changed_ = false;
  return {};
}

}  // namespace paste::pool
