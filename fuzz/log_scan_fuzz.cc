// Recovery of logs from damaged images. The input is a list of patches to the buffers in use of a
// fixed, valid pool with every kind of entry; after each patch the checksum over it may be
// repaired, so that the code behind the checksums is reached too. Whatever the image: it opens or
// says why not, all that it offers can be read, deleted and truncated, and opening it again gives
// the same.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/crc32c.h"
#include "log/entry.h"
#include "log/log.h"
#include "pool/core.h"

namespace paste::log {
namespace {

constexpr uint64_t kPoolBytes = 384 << 10;
using Image = std::vector<std::byte>;

class FuzzRegion final : public pmem::Region {
 public:
  explicit FuzzRegion(const Image& image) : bytes_(image.size() + 4096) {
    const auto at = (reinterpret_cast<uintptr_t>(bytes_.data()) + 4095) & ~uintptr_t{4095};
    data_ = reinterpret_cast<std::byte*>(at);
    size_ = image.size();
    domain_ = pmem::Domain::process;
    std::memcpy(data_, image.data(), image.size());
  }
  void flush(const void*, size_t, pmem::Site) noexcept override {}
  Result<void> begin_barrier(pmem::Site) override { return {}; }
  Result<bool> poll_barrier() override { return true; }
  Result<void> wait_barrier() override { return {}; }
  [[nodiscard]] Image image() const { return Image(data_, data_ + size_); }

 private:
  Image bytes_;
};

struct Pool {
  FuzzRegion* region = nullptr;
  std::unique_ptr<pool::Core> core;
  std::unique_ptr<Logs> logs;
};

Result<Pool> open(const Image& image, std::vector<pool::Finding>* findings) {
  Pool pool;
  auto region = std::make_unique<FuzzRegion>(image);
  pool.region = region.get();
  PASTE_TRY_ASSIGN(pool.core, pool::Core::open(std::move(region), {.findings = findings}));
  PASTE_TRY_ASSIGN(pool.logs, Logs::recover(*pool.core));
  PASTE_TRY(pool.core->finish_recovery());
  return pool;
}

void commit(const Pool& pool) {
  PASTE_CHECK(pool.core->wait_durable(pool.core->filling()).has_value());
}

Image sample() {
  FuzzRegion empty((Image(kPoolBytes)));
  PASTE_CHECK(pool::Core::create(empty, {}).has_value());
  Pool pool = open(empty.image(), nullptr).value();
  for (const char* name : {"a", "b"}) {
    Log& log = *pool.logs->create(name).value();
    const std::vector<std::byte> bytes(9000, std::byte{'x'});
    for (uint32_t i = 0; i < 150; ++i) {
      const uint32_t length = i % 40 == 7 ? 9000 : i % 30;
      PASTE_CHECK(log.append_bytes({bytes.data(), length}, {.time_ns = 1}).has_value());
      if (i % 5 == 0) commit(pool);
    }
    PASTE_CHECK(log.erase(70).has_value());
    PASTE_CHECK(log.truncate(5).has_value());
    commit(pool);
    PASTE_CHECK(log.seal().has_value());
    commit(pool);
    PASTE_CHECK(log.append_bytes({bytes.data(), 20}, {.time_ns = 1}).has_value());
    commit(pool);
  }
  return pool.region->image();
}

struct Patch {
  uint16_t page;    // which of the buffers in use
  uint16_t offset;  // in it, in words of 4 bytes; the top bit asks for repair
  uint32_t value;
};

// Repairs what covers the patched place, as if it were a page of the log `id` with `first_lsn`.
void repair(Image& image, uint32_t seed, uint64_t at) {
  std::byte* page = image.data() + at / 2048 * 2048;
  auto* header = reinterpret_cast<PageHeader*>(page);
  header->crc = header_crc(seed, *header);
  header->deleted_check =
      deleted_check(header->log_id, header->first_lsn, Bits::from_words(header->deleted));
  const uint64_t within = at % 2048;
  if (within < sizeof(PageHeader)) return;
  const uint64_t index = (within - sizeof(PageHeader)) / sizeof(Entry);
  Entry& entry = entries_of(page)[index];
  const bool last = index == format::records_per_page(2048);
  const Lsn lsn = header->first_lsn + index - (last ? 1 : 0);
  uint32_t state = entry_state(log_seed(seed, header->log_id), lsn, entry);
  if (entry.type == static_cast<uint8_t>(EntryType::range) && entry.length <= 2048 &&
      uint64_t{entry.buffer} * 2048 + entry.offset + entry.length <= image.size()) {
    state = base::crc32c_extend(
        state, {image.data() + uint64_t{entry.buffer} * 2048 + entry.offset, entry.length});
  }
  entry.crc = base::crc32c_finish(state);
}

void use(const Pool& pool) {
  for (Log* log : pool.logs->list()) {
    for (Lsn lsn = log->first(); lsn < log->next(); ++lsn) (void)log->read(lsn);
    if (log->next() - log->first() > 3) {
      (void)log->erase(log->first() + 1);
      (void)log->truncate(log->first() + 3);
    }
    (void)log->append_bytes(as_bytes("more"), {.time_ns = 1});
  }
  commit(pool);
  while (pool.logs->reclaim(10)) commit(pool);
}

// Offsets of the buffers with anything in them; log pages come first.
std::vector<uint64_t> used_buffers(const Image& image) {
  std::vector<uint64_t> pages, others;
  for (uint64_t at = 131072; at < image.size(); at += 2048) {
    PageHeader header;
    std::memcpy(&header, &image[at], sizeof header);
    if (header.page == at / 2048) {
      pages.push_back(at);
    } else if (header.log_id != 0) {
      others.push_back(at);
    }
  }
  pages.insert(pages.end(), others.begin(), others.end());
  return pages;
}

void one(const uint8_t* data, size_t size) {
  static const Image valid = sample();
  static const std::vector<uint64_t> used = used_buffers(valid);
  static const uint32_t seed = open(valid, nullptr)->core->crc_seed();
  Image image = valid;
  for (; size >= sizeof(Patch) && size < 4096; data += sizeof(Patch), size -= sizeof(Patch)) {
    Patch patch;
    std::memcpy(&patch, data, sizeof patch);
    const uint64_t at = used[patch.page % used.size()] + (patch.offset & 511) * 4;
    std::memcpy(image.data() + at, &patch.value, sizeof patch.value);
    if ((patch.offset & 0x8000) != 0) repair(image, seed, at);
  }
  std::vector<pool::Finding> findings;
  (void)open(image, &findings);
  auto opened = open(image, nullptr);
  if (!opened) {
    PASTE_CHECK(!opened.error().message().empty());
    return;
  }
  // What open accepted and repaired is accepted again, as it is.
  const Image repaired = opened->region->image();
  auto again = open(repaired, nullptr);
  PASTE_CHECK(again.has_value());
  PASTE_CHECK(again->logs->recovery().records == opened->logs->recovery().records);
  use(*opened);
}

}  // namespace
}  // namespace paste::log

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  paste::log::one(data, size);
  return 0;
}
