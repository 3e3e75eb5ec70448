// Roots: the named things of a pool, and the pages they stand in.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <unordered_set>

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

// No pool lives to see it; keeps the counter of an arbitrary image from wrapping.
constexpr uint64_t kIdMax = uint64_t{1} << 62;

// Trees will have an incompatible feature bit of their own.
bool known(format::RootType type) {
  return type == format::RootType::log || type == format::RootType::binding;
}

RootPageHeader* header_at(std::byte* page) { return reinterpret_cast<RootPageHeader*>(page); }

}  // namespace

Root* Core::find_root(std::string_view name) noexcept {
  for (const auto& root : roots_.all) {
    if (root->live && root->name == name) return root.get();
  }
  return nullptr;
}

Result<void> Core::read_roots() {
  BufferName page = static_cast<BufferName>(format::kFirstRootOffset / buffer_size_);
  while (page != kNoBuffer) {
    if (!roots_.pages.empty()) {
      // Also ends a chain that bites its own tail: a structure is claimed once.
      if (auto claimed = claim(page, Kind::structure); !claimed) {
        PASTE_TRY(
            report(Code::corrupt, fmt::format("root page {}", page), claimed.error().message()));
        break;
      }
    }
    BufferName next = kNoBuffer;
    PASTE_TRY(read_root_page(page, &next));
    page = next;
  }
  // The lowest place goes first.
  std::reverse(roots_.free_places.begin(), roots_.free_places.end());
  // What one page alone cannot show: ids and names are given once.
  auto& all = roots_.all;
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a->id < b->id; });
  std::unordered_set<std::string_view> names;
  for (size_t i = 0; i < all.size(); ++i) {
    const Root& root = *all[i];
    const bool id_given = root.id < roots_.next_id && (i == 0 || all[i - 1]->id != root.id);
    if (!names.insert(root.name).second || !id_given) {
      PASTE_TRY(report(Code::corrupt, fmt::format("root {}", root.id),
                       id_given ? "another root has its name" : "its id was never given to it"));
    }
  }
  return {};
}

// REQUIRES: `page` is the first root page, or claimed.
Result<void> Core::read_root_page(BufferName page, BufferName* next) {
  std::vector<std::byte> copy(buffer_size_);
  const std::string what = fmt::format("root page {}", page);
  if (!pmem::guarded_read([&] { std::memcpy(copy.data(), buffer(page), buffer_size_); })) {
    return report(Code::corrupt, what, "unreadable");
  }
  const RootPageHeader& header = *header_at(copy.data());
  if (header.magic != format::kRootMagic || header.page != page ||
      header.crc != root_page_crc(crc_seed_, header)) {
    return report(Code::corrupt, what, "the header is damaged");
  }
  const bool first = roots_.pages.empty();
  roots_.pages.push_back(page);
  // The check word of the last page is first published when a page is linked behind it.
  const bool unpublished =
      !first && header.check == 0 && header.next_page == 0 && header.next_id == 0;
  const bool sound =
      unpublished || (header.check == root_page_check(header) && header.next_page < buffer_end_ &&
                      first == (header.next_id != 0) && header.next_id <= kIdMax);
  if (sound) {
    *next = static_cast<BufferName>(header.next_page);
    if (first) roots_.next_id = header.next_id;
  } else {
    PASTE_TRY(report(Code::corrupt, what, "the published words are damaged"));
    if (first) roots_.next_id = UINT64_MAX;  // checking: unknown
  }
  for (uint32_t i = 0; i < format::root_entries_per_page(buffer_size_); ++i) {
    PASTE_TRY(read_root_entry(page, i, reinterpret_cast<const RootEntry*>(copy.data())[i + 1]));
  }
  return {};
}

Result<void> Core::read_root_entry(BufferName page, uint32_t index, const RootEntry& entry) {
  RootEntry* place = reinterpret_cast<RootEntry*>(buffer(page)) + 1 + index;
  const bool unused = entry.live == 0 && entry.check == 0 &&
                      std::all_of(std::begin(entry.words), std::end(entry.words),
                                  [](uint64_t word) { return word == 0; });
  if (unused) {
    roots_.free_places.push_back(place);
    return {};
  }
  const std::string what = fmt::format("root entry {} of page {}", index, page);
  if (entry.live != entry.id || entry.id == 0 || entry.name_length == 0 ||
      entry.name_length > format::kRootNameMax || entry.crc != root_entry_crc(entry) ||
      entry.check != root_entry_check(entry.id, entry.live, entry.words)) {
    return report(Code::corrupt, what, "its checksum does not match");
  }
  if (!known(static_cast<format::RootType>(entry.type))) {
    // What it reaches would count as free, and be overwritten.
    return report(Code::unsupported, what,
                  fmt::format("type {}, which this program does not know", entry.type));
  }
  auto root = std::make_unique<Root>();
  root->id = entry.id;
  root->type = static_cast<format::RootType>(entry.type);
  root->name.assign(entry.name, entry.name_length);
  std::copy(std::begin(entry.words), std::end(entry.words), root->words.begin());
  root->live = true;
  root->entry = place;
  roots_.all.push_back(std::move(root));
  return {};
}

Result<void> Core::add_root_page() {
  PASTE_TRY_ASSIGN(const BufferName page, take_zeroed(Purpose::structure));
  RootPageHeader* header = header_at(buffer(page));
  header->magic = format::kRootMagic;
  header->page = page;
  header->crc = root_page_crc(crc_seed_, *header);
  flush(header, sizeof *header, Site::root_entry);
  const BufferName last = roots_.pages.back();
  RootPageHeader* tail = header_at(buffer(last));
  const bool is_first = roots_.pages.size() == 1;
  const uint64_t next_id = is_first ? roots_.next_id : 0;
  // Room was asked for by create_root().
  PASTE_CHECK(publish(&tail->next_page, page));
  PASTE_CHECK(publish(&tail->check, root_page_check(last, page, next_id)));
  roots_.pages.push_back(page);
  for (uint32_t i = format::root_entries_per_page(buffer_size_); i >= 1; --i) {
    roots_.free_places.push_back(reinterpret_cast<RootEntry*>(buffer(page)) + i);
  }
  return {};
}

Result<Root*> Core::create_root(format::RootType type, std::string_view name,
                                const RootWords& words) {
  if (failure_) return fail(*failure_);
  if (name.empty() || name.size() > format::kRootNameMax) {
    return fail(Code::invalid, "a name has 1 to 64 bytes");
  }
  if (!known(type)) return fail(Code::unsupported, "this version keeps logs only");
  if (find_root(name) != nullptr) return fail(Code::exists, "the name is taken");
  if (publish_room() < kCreateWords) {
    return fail(Code::busy, "this batch changes too much; commit and try again");
  }
  if (roots_.free_places.empty()) PASTE_TRY(add_root_page());
  RootEntry* place = roots_.free_places.back();
  roots_.free_places.pop_back();

  place->id = roots_.next_id++;
  place->type = static_cast<uint8_t>(type);
  place->name_length = static_cast<uint8_t>(name.size());
  place->reserved0 = 0;
  std::memset(place->name, 0, sizeof place->name);
  std::memcpy(place->name, name.data(), name.size());
  place->crc = root_entry_crc(*place);
  flush(place, offsetof(RootEntry, live), Site::root_entry);

  RootPageHeader* first = header_at(buffer(roots_.pages.front()));
  const uint64_t next_page = roots_.pages.size() > 1 ? roots_.pages[1] : 0;
  PASTE_CHECK(publish(&first->next_id, roots_.next_id));
  PASTE_CHECK(publish(&first->check, root_page_check(first->page, next_page, roots_.next_id)));

  auto root = std::make_unique<Root>();
  root->id = place->id;
  root->type = type;
  root->name = name;
  root->entry = place;
  PASTE_TRY(publish_root(*root, true, words));
  roots_.all.push_back(std::move(root));
  return roots_.all.back().get();
}

Result<void> Core::publish_root(Root& root, bool live, const RootWords& words) {
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

Result<void> Core::update_root(Root& root, const RootWords& words) {
  PASTE_CHECK(root.live);
  if (failure_) return fail(*failure_);
  return publish_root(root, true, words);
}

Result<void> Core::delete_root(Root& root) {
  PASTE_CHECK(root.live);
  if (failure_) return fail(*failure_);
  PASTE_TRY(publish_root(root, false, root.words));
  deferrals_.filling.places.push_back(root.entry);
  return {};
}

}  // namespace paste::pool
