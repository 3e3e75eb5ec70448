#include "tests/crash/audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "log/format.h"
#include "pool/format.h"

namespace paste::crash {
namespace {

namespace pf = pool::format;
namespace lf = log::format;

template <typename T>
T load(const pool::Core& core, uint64_t offset) {
  T value;
  std::memcpy(&value, core.region().data() + offset, sizeof value);
  return value;
}

class Walker {
 public:
  explicit Walker(Store& store) : store_(store), core_(*store.core), size_(core_.buffer_size()) {
    usage_.holds.assign(core_.buffer_end(), 0);
    usage_.structure.assign(core_.buffer_end(), false);
  }

  Usage walk() {
    const auto superblock = load<pf::Superblock>(core_, pf::kSuperblockOffset[0]);
    for (uint64_t page = superblock.shards[0].first_root; page != 0;) {
      walk_root_page(page);
      page = load<pf::RootPageHeader>(core_, page * size_).next_page;
    }
    std::sort(usage_.used.begin(), usage_.used.end());
    return std::move(usage_);
  }

 private:
  void walk_root_page(uint64_t page) {
    own_structure(page);
    for (uint32_t i = 0; i < pf::root_entries_per_page(core_.buffer_size()); ++i) {
      const auto entry = load<pf::RootEntry>(core_, page * size_ + (i + 1) * sizeof(pf::RootEntry));
      if (entry.live == 0) continue;
      log::Log* log = store_.logs->find({entry.name, entry.name_length});
      if (log != nullptr && log->id() == entry.id) walk_log(*log, entry.words);
    }
  }

  void walk_log(const log::Log& log, const uint64_t* words) {
    const uint32_t per_page = lf::records_per_page(core_.buffer_size());
    uint64_t page = words[lf::kWordHead];
    for (;;) {
      own_structure(page);
      const auto header = load<lf::PageHeader>(core_, page * size_);
      for (uint32_t i = 0; i < per_page; ++i) {
        const Lsn lsn = header.first_lsn + i;
        const bool deleted = (header.deleted[i / 64] >> (i % 64) & 1) != 0;
        if (lsn < log.first() || lsn >= log.next() || deleted) continue;
        own_record(load<lf::Entry>(core_, entry_offset(page, i)));
      }
      if (header.first_lsn + per_page >= log.next()) return;
      page = load<lf::Entry>(core_, entry_offset(page, per_page)).buffer;
    }
  }

  [[nodiscard]] uint64_t entry_offset(uint64_t page, uint32_t index) const {
    return page * size_ + sizeof(lf::PageHeader) + index * sizeof(lf::Entry);
  }

  void own_record(const lf::Entry& entry) {
    if (entry.length == 0) return;
    if (entry.type == static_cast<uint8_t>(lf::EntryType::range)) {
      own_data(entry.buffer, entry.offset, entry.length);
      return;
    }
    uint64_t buffer = entry.buffer;
    uint64_t offset = entry.offset;
    uint64_t length = entry.auxiliary;
    while (buffer != 0) {
      own_data(buffer, offset, length);
      const auto list = load<pf::PieceListHeader>(core_, buffer * size_ + offset);
      for (uint32_t i = 0; i < list.count; ++i) {
        const auto piece =
            load<pf::Piece>(core_, buffer * size_ + offset + sizeof list + i * sizeof(pf::Piece));
        own_data(piece.buffer, piece.offset, piece.length);
      }
      buffer = list.next_buffer;
      offset = list.next_offset;
      length = list.next_length;
    }
  }

  void own_structure(uint64_t page) {
    ++usage_.holds[page];
    usage_.structure[page] = true;
  }
  void own_data(uint64_t buffer, uint64_t offset, uint64_t length) {
    ++usage_.holds[buffer];
    usage_.used.emplace_back(buffer * size_ + offset, buffer * size_ + offset + length);
  }

  Store& store_;
  const pool::Core& core_;
  uint64_t size_;
  Usage usage_;
};

// A page that a link names is structure even while no record is in it: zeroes were made durable
// there before it was linked.
std::vector<bool> structure_of(const Usage& usage, std::span<std::byte> image,
                               uint32_t buffer_size) {
  std::vector<bool> structure = usage.structure;
  std::vector<uint64_t> todo;
  for (uint64_t name = 0; name < structure.size(); ++name) {
    if (structure[name]) todo.push_back(name);
  }
  while (!todo.empty()) {
    lf::Entry last;
    std::memcpy(&last, image.data() + (todo.back() + 1) * buffer_size - sizeof last, sizeof last);
    todo.pop_back();
    if (last.type != static_cast<uint8_t>(lf::EntryType::link)) continue;
    if (last.buffer >= structure.size() || structure[last.buffer]) continue;
    structure[last.buffer] = true;
    todo.push_back(last.buffer);
  }
  return structure;
}

void scramble(std::span<std::byte> bytes, pmem::ShadowRandom& random) {
  for (std::byte& b : bytes) b = static_cast<std::byte>(random.next());
}

}  // namespace

Usage walk(Store& store) { return Walker(store).walk(); }

std::string audit(Store& store) {
  const Usage usage = walk(store);
  const pool::Core& core = *store.core;
  uint64_t held = 0;
  for (BufferName name = core.first_buffer(); name < core.buffer_end(); ++name) {
    if (usage.holds[name] != core.holds(name)) {
      return fmt::format("buffer {} is held {} times, but {} reach it", name, core.holds(name),
                         usage.holds[name]);
    }
    if (usage.holds[name] == 0) continue;
    ++held;
    if (usage.structure[name] && usage.holds[name] > 1) {
      return fmt::format("buffer {} is structure and has {} owners", name, usage.holds[name]);
    }
  }
  const pool::CoreStats stats = core.stats();
  const uint64_t all = core.buffer_end() - core.first_buffer();
  if (stats.buffers_free + held != all || stats.buffers_deferred != 0) {
    return fmt::format("{} free and {} held buffers, {} deferred, of {}", stats.buffers_free, held,
                       stats.buffers_deferred, all);
  }
  return {};
}

void randomise_unused(const Usage& usage, std::span<std::byte> image, uint32_t buffer_size,
                      uint32_t first_buffer, pmem::ShadowRandom& random) {
  const std::vector<bool> structure = structure_of(usage, image, buffer_size);
  auto used = usage.used.begin();
  for (uint64_t name = first_buffer; name < usage.holds.size(); ++name) {
    const std::span<std::byte> bytes = image.subspan(name * buffer_size, buffer_size);
    if (structure[name]) continue;
    if (usage.holds[name] == 0) {
      // Random bytes, or a believable page: a copy of another buffer.
      if (random.chance(50)) {
        scramble(bytes, random);
      } else {
        const uint64_t other = first_buffer + random.below(usage.holds.size() - first_buffer);
        std::memmove(bytes.data(), image.data() + other * buffer_size, buffer_size);
      }
      continue;
    }
    uint64_t at = name * buffer_size;
    const uint64_t end = at + buffer_size;
    for (; used != usage.used.end() && used->first < end; ++used) {
      if (used->first > at) scramble(image.subspan(at, used->first - at), random);
      at = std::max(at, used->second);
    }
    if (at < end) scramble(image.subspan(at, end - at), random);
  }
  // Publish lists: open has retired them, so nothing but the commit word may matter.
  for (const uint64_t offset : pf::kPublishOffset) {
    const std::span<std::byte> area = image.subspan(offset, pf::kPublishBytes);
    uint64_t commit = 0;
    std::memcpy(&commit, area.data() + offsetof(pf::PublishHeader, commit), sizeof commit);
    if (commit == 0) scramble(area.subspan(sizeof(pf::PublishHeader), 1024), random);
  }
}

}  // namespace paste::crash
