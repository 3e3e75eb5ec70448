// Roots: the named things of a pool, and the pages they stand in.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "pmem/guarded.h"
#include "pool/core.h"
#include "pool/superblock.h"

namespace paste::pool {

using format::RootEntry;
using format::RootPageHeader;

namespace {

// Words that creating a root may publish: its own five, the id counter and its check, and the link
// to a new root page (next_page of the last page, and that page's check).
constexpr uint32_t kCreateWords = 9;

RootPageHeader* header_at(std::byte* page) { return reinterpret_cast<RootPageHeader*>(page); }

}  // namespace

Root* Core::find_root(std::string_view name) noexcept {
  for (const auto& root : roots_) {
    if (root->live && root->name == name) return root.get();
  }
  return nullptr;
}

Result<void> Core::read_roots() {
  BufferName page = static_cast<BufferName>(format::kFirstRootOffset / buffer_size_);
  bool first = true;
  while (page != kNoBuffer) {
    if (!first) {
      // Also ends a chain that bites its own tail: a structure is claimed once.
      if (auto claimed = claim(page, Kind::structure); !claimed) {
        return report(Code::corrupt, fmt::format("root page {}", page), claimed.error().message());
      }
    }
    BufferName next = kNoBuffer;
    PASTE_TRY(read_root_page(page, first, &next));
    page = next;
    first = false;
  }
  std::sort(roots_.begin(), roots_.end(), [](const auto& a, const auto& b) { return a->id < b->id; });
  for (const auto& root : roots_) next_root_id_ = std::max(next_root_id_, root->id + 1);
  return {};
}

Result<void> Core::read_root_page(BufferName page, bool first, BufferName* next) {
  std::vector<std::byte> copy(buffer_size_);
  std::byte* at = buffer(page);
  const std::string what = fmt::format("root page {}", page);
  if (!pmem::guarded_read([&] { std::memcpy(copy.data(), at, buffer_size_); })) {
    return report(Code::corrupt, what, "unreadable");
  }
  const RootPageHeader& header = *header_at(copy.data());
  if (header.magic != format::kRootMagic || header.page != page ||
      header.crc != root_page_crc(crc_seed_, header)) {
    return report(Code::corrupt, what, "the header is damaged");
  }
  root_pages_.push_back(page);
  // A page that was linked but whose own words were never published has check 0.
  const bool untouched = header.check == 0 && header.next_page == 0 && header.next_id == 0 && !first;
  if (!untouched && header.check != root_page_check(header)) {
    return report(Code::corrupt, what, "the published words are damaged");
  }
  *next = static_cast<BufferName>(header.next_page);
  if (header.next_page > UINT32_MAX) return report(Code::corrupt, what, "impossible next page");
  if (first) next_root_id_ = header.next_id;

  for (uint32_t i = 1; i <= format::root_entries_per_page(buffer_size_); ++i) {
    const RootEntry& entry = reinterpret_cast<const RootEntry*>(copy.data())[i];
    RootEntry* place = reinterpret_cast<RootEntry*>(at) + i;
    const bool unused = entry.live == 0 && entry.check == 0 &&
                        std::all_of(std::begin(entry.words), std::end(entry.words),
                                    [](uint64_t word) { return word == 0; });
    if (unused) {
      free_places_.push_back(place);
      continue;
    }
    if (entry.live != entry.id || entry.id == 0 || entry.name_length == 0 ||
        entry.name_length > format::kRootNameMax || entry.crc != root_entry_crc(entry) ||
        entry.check != root_entry_check(entry.id, entry.live, entry.words)) {
      PASTE_TRY(report(Code::corrupt, fmt::format("root entry {} of page {}", i - 1, page),
                       "its checksum does not match"));
      continue;
    }
    auto root = std::make_unique<Root>();
    root->id = entry.id;
    root->type = static_cast<format::RootType>(entry.type);
    root->name.assign(entry.name, entry.name_length);
    std::copy(std::begin(entry.words), std::end(entry.words), root->words.begin());
    root->live = true;
    root->entry = place;
    roots_.push_back(std::move(root));
  }
  return {};
}

void Core::flush_root_pages(Site site) {
  for (const BufferName page : root_pages_) region_->flush(buffer(page), buffer_size_, site);
}

Result<void> Core::add_root_page() {
  PASTE_TRY_ASSIGN(const BufferName page, take_zeroed(Purpose::structure));
  RootPageHeader* header = header_at(buffer(page));
  header->magic = format::kRootMagic;
  header->page = page;
  header->crc = root_page_crc(crc_seed_, *header);
  flush(header, sizeof *header, Site::root_entry);
  const BufferName last = root_pages_.back();
  RootPageHeader* tail = header_at(buffer(last));
  const bool is_first = root_pages_.size() == 1;
  const uint64_t next_id = is_first ? next_root_id_ : 0;
  // Room was asked for by create_root().
  PASTE_CHECK(publish(&tail->next_page, page));
  PASTE_CHECK(publish(&tail->check, root_page_check(last, page, next_id)));
  root_pages_.push_back(page);
  for (uint32_t i = format::root_entries_per_page(buffer_size_); i >= 1; --i) {
    free_places_.push_back(reinterpret_cast<RootEntry*>(buffer(page)) + i);
  }
  return {};
}

Result<Root*> Core::create_root(format::RootType type, std::string_view name,
                                const std::array<uint64_t, format::kRootWords>& words) {
  if (failed_) return fail(*failure_);
  if (name.empty() || name.size() > format::kRootNameMax) {
    return fail(Code::invalid, "a name has 1 to 64 bytes");
  }
  if (find_root(name) != nullptr) return fail(Code::exists, "the name is taken");
  if (publish_room() < kCreateWords) {
    return fail(Code::busy, "this batch changes too much; commit and try again");
  }
  if (free_places_.empty()) PASTE_TRY(add_root_page());
  RootEntry* place = free_places_.back();
  free_places_.pop_back();

  place->id = next_root_id_++;
  place->type = static_cast<uint8_t>(type);
  place->name_length = static_cast<uint8_t>(name.size());
  place->reserved0 = 0;
  std::memset(place->name, 0, sizeof place->name);
  std::memcpy(place->name, name.data(), name.size());
  place->crc = root_entry_crc(*place);
  flush(place, offsetof(RootEntry, live), Site::root_entry);

  RootPageHeader* first = header_at(buffer(root_pages_.front()));
  const uint64_t next_page = root_pages_.size() > 1 ? root_pages_[1] : 0;
  PASTE_CHECK(publish(&first->next_id, next_root_id_));
  PASTE_CHECK(publish(&first->check, root_page_check(first->page, next_page, next_root_id_)));

  auto root = std::make_unique<Root>();
  root->id = place->id;
  root->type = type;
  root->name = name;
  root->entry = place;
  PASTE_TRY(publish_root(*root, true, words));
  roots_.push_back(std::move(root));
  return roots_.back().get();
}

Result<void> Core::publish_root(Root& root, bool live,
                                const std::array<uint64_t, format::kRootWords>& words) {
  if (publish_room() < kRootUpdateWords) {
    return fail(Code::busy, "this batch changes too much; commit and try again");
  }
  const uint64_t live_word = live ? root.id : 0;
  uint64_t values[format::kRootWords];
  for (size_t i = 0; i < format::kRootWords; ++i) {
    values[i] = live ? words[i] : 0;
    PASTE_CHECK(publish(&root.entry->words[i], values[i]));
  }
  PASTE_CHECK(publish(&root.entry->live, live_word));
  const uint64_t check = live ? root_entry_check(root.id, live_word, values) : 0;
  PASTE_CHECK(publish(&root.entry->check, check));
  root.live = live;
  root.words = words;
  return {};
}

Result<void> Core::update_root(Root& root, const std::array<uint64_t, format::kRootWords>& words) {
  PASTE_CHECK(root.live);
  if (failed_) return fail(*failure_);
  return publish_root(root, true, words);
}

Result<void> Core::delete_root(Root& root) {
  PASTE_CHECK(root.live);
  if (failed_) return fail(*failure_);
  PASTE_TRY(publish_root(root, false, root.words));
  deferred_.places.push_back(root.entry);
  return {};
}

}  // namespace paste::pool
