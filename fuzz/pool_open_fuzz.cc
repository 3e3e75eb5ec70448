// Opening arbitrary images. The input is a list of patches to the fixed structures and log pages of
// a small valid pool that crashed with a publish list to redo; after each patch the checksums over
// it may be repaired, so that the code behind them is reached too. A first byte of 255 means: the
// rest is the image from the start, whatever it is.
// Whatever the image: it opens or says why not; all that it offers can be read; it can be used; and
// what was opened opens again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/crc32c.h"
#include "log/log.h"
#include "pool/core.h"
#include "pool/superblock.h"

namespace paste::pool {
namespace {

using format::kFirstRootOffset;
using format::PublishHeader;
using format::PublishItem;
using format::RootEntry;
using format::RootPageHeader;
using format::Superblock;

constexpr uint64_t kPoolBytes = 256 << 10;
constexpr uint32_t kBuffer = 2048;
using Image = std::vector<std::byte>;

class FuzzRegion final : public pmem::Region {
 public:
  explicit FuzzRegion(std::span<const std::byte> image) {
    data_ = static_cast<std::byte*>(std::aligned_alloc(4096, image.size()));
    size_ = image.size();
    domain_ = pmem::Domain::process;
    std::memcpy(data_, image.data(), image.size());
  }
  ~FuzzRegion() override { std::free(data_); }
  void flush(const void* p, size_t n, pmem::Site) noexcept override {
    const auto* at = static_cast<const std::byte*>(p);
    PASTE_CHECK(at >= data_ && n <= size_ && at <= data_ + (size_ - n));
  }
  Result<void> begin_barrier(pmem::Site) override { return {}; }
  Result<bool> poll_barrier() override { return true; }
  Result<void> wait_barrier() override { return {}; }
  [[nodiscard]] Image image() const { return Image(data_, data_ + size_); }
};

struct Store {
  FuzzRegion* region = nullptr;
  std::unique_ptr<Core> core;
  std::unique_ptr<log::Logs> logs;
};

Result<Store> open(const Image& image, std::vector<Finding>* findings = nullptr) {
  Store store;
  auto region = std::make_unique<FuzzRegion>(image);
  store.region = region.get();
  PASTE_TRY_ASSIGN(store.core, Core::open(std::move(region), {.findings = findings}));
  PASTE_TRY_ASSIGN(store.logs, log::Logs::recover(*store.core));
  PASTE_TRY(store.core->finish_recovery());
  return store;
}

template <typename T>
T& at(Image& image, uint64_t offset) {
  return *reinterpret_cast<T*>(image.data() + offset);
}

// Inputs must mean the same in every run, so the pool gets a fixed UUID.
Image empty_pool() {
  FuzzRegion region(Image(kPoolBytes, std::byte{0}));
  PASTE_CHECK(Core::create(region, {}).has_value());
  Image image = region.image();
  for (const uint64_t offset : format::kSuperblockOffset) {
    auto& super = at<Superblock>(image, offset);
    for (uint8_t i = 0; i < 16; ++i) super.uuid[i] = i;
    super.created_ns = 1;
    super.crc = superblock_crc(super);
  }
  auto& root = at<RootPageHeader>(image, kFirstRootOffset);
  root.crc = root_page_crc(uuid_state(at<Superblock>(image, 0).uuid), root);
  return image;
}

uint32_t list_crc(const Image& image, uint64_t area) {
  PublishHeader header;
  std::memcpy(&header, &image[area], sizeof header);
  Superblock super;
  std::memcpy(&super, image.data(), sizeof super);
  const uint64_t count = std::min<uint64_t>(header.count, format::kPublishItemsMax);
  uint32_t state = base::crc32c_extend_value(uuid_state(super.uuid), header.ticket);
  state = base::crc32c_extend_value(state, header.count);
  state = base::crc32c_extend(state, {&image[area + sizeof header], count * sizeof(PublishItem)});
  return base::crc32c_finish(state);
}

void commit(const Store& store) {
  PASTE_CHECK(store.core->wait_durable(store.core->filling()).has_value());
}

Image sample() {
  Store store = must(open(empty_pool()));
  const std::vector<std::byte> bytes(5000, std::byte{'x'});
  for (const char* name : {"a", "b", "c"}) {
    log::Log* log = must(store.logs->create(name));
    for (const size_t length : {10u, 300u, 5000u, 0u}) {
      PASTE_CHECK(log->append_bytes({bytes.data(), length}, {.time_ns = 1}).has_value());
    }
    commit(store);
    PASTE_CHECK(log->erase(2).has_value());
    commit(store);
  }
  must(store.logs->remove("b"));
  PASTE_CHECK(store.logs->find("a")->truncate(2).has_value());
  commit(store);
  Image image = store.region->image();
  // The last list, as a crash before its end would leave it.
  for (const uint64_t area : format::kPublishOffset) {
    auto& header = at<PublishHeader>(image, area);
    if (header.magic == format::kPublishMagic && header.commit == 0) {
      header.commit = header.ticket ^ format::kCommitMagic;
    }
  }
  return image;
}

struct Patch {
  uint8_t where;   // which structure; the top bit asks for repair
  uint8_t place;   // in units of 64 bytes
  uint16_t word;   // in units of 4 bytes
  uint32_t value;
};
static_assert(sizeof(Patch) == 8);

struct Target {
  uint64_t offset, bytes;
};
constexpr Target kTargets[] = {
    {format::kSuperblockOffset[0], sizeof(Superblock)},
    {format::kSuperblockOffset[1], sizeof(Superblock)},
    {format::kPublishOffset[0], 512},
    {format::kPublishOffset[1], 512},
    {kFirstRootOffset, kBuffer},
    {kFirstRootOffset, kBuffer},  // twice: most depends on it
    {kFirstRootOffset + kBuffer, kPoolBytes - kFirstRootOffset - kBuffer},
};

void repair(Image& image, uint64_t patched) {
  for (const uint64_t offset : format::kSuperblockOffset) {
    if (patched / 4096 != offset / 4096) continue;
    auto& super = at<Superblock>(image, offset);
    super.crc = superblock_crc(super);
  }
  for (const uint64_t area : format::kPublishOffset) {
    if (patched < area || patched >= area + format::kPublishBytes) continue;
    auto& header = at<PublishHeader>(image, area);
    header.magic = format::kPublishMagic;
    header.crc = list_crc(image, area);
    header.commit = header.ticket ^ format::kCommitMagic;
  }
  if (patched < kFirstRootOffset) return;
  const uint64_t page = patched / kBuffer * kBuffer;
  auto& header = at<RootPageHeader>(image, page);
  if (header.magic != format::kRootMagic) return;
  if (patched < page + sizeof header) {
    header.crc = root_page_crc(uuid_state(at<Superblock>(image, 0).uuid), header);
    header.check = root_page_check(header);
    return;
  }
  auto& entry = at<RootEntry>(image, patched / sizeof(RootEntry) * sizeof(RootEntry));
  entry.crc = root_entry_crc(entry);
  entry.check = root_entry_check(entry.id, entry.live, entry.words);
}

Image patched(const uint8_t* data, size_t size) {
  static const Image valid = sample();
  if (size > 0 && data[0] == 255) {
    Image image(kPoolBytes, std::byte{0});
    std::memcpy(image.data(), data + 1, std::min(size - 1, image.size()));
    return image;
  }
  Image image = valid;
  for (size_t n = 0; size >= sizeof(Patch) && n < 256; ++n) {
    Patch patch;
    std::memcpy(&patch, data, sizeof patch);
    data += sizeof patch;
    size -= sizeof patch;
    const Target target = kTargets[(patch.where & 127) % std::size(kTargets)];
    const uint64_t within = (uint64_t{patch.place} * 64 + uint64_t{patch.word} * 4) % target.bytes;
    const uint64_t offset = target.offset + within / 4 * 4;
    std::memcpy(&image[offset], &patch.value, sizeof patch.value);
    if ((patch.where & 128) != 0) repair(image, offset);
  }
  return image;
}

void use(const Store& store) {
  for (log::Log* log : store.logs->list()) {
    for (Lsn lsn = log->first(); lsn < log->next(); ++lsn) {
      const auto record = log->read(lsn);
      if (!record) continue;
      uint64_t bytes = 0;
      for (const Slice& slice : record->slices) bytes += store.core->bytes(slice).size();
      PASTE_CHECK(bytes == record->length);
    }
    if (log->next() - log->first() > 1) (void)log->erase(log->first());
    (void)log->append_bytes(as_bytes("more"), {.time_ns = 1});
    (void)log->truncate(log->first() + 1);
  }
  (void)store.logs->create("new");
  commit(store);
  for (uint32_t i = 0; store.logs->reclaim(10) && i < 1000; ++i) commit(store);
}

void one(const uint8_t* data, size_t size) {
  const Image image = patched(data, size);
  std::vector<Finding> findings;
  (void)open(image, &findings);
  auto store = open(image);
  if (!store) {
    PASTE_CHECK(!store.error().message().empty());
    return;
  }
  const auto records = store->logs->recovery().records;
  auto again = open(store->region->image());
  PASTE_CHECK(again.has_value() && again->logs->recovery().records == records);
  use(*store);
  PASTE_CHECK(open(store->region->image()).has_value());
}

}  // namespace
}  // namespace paste::pool

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  paste::pool::one(data, size);
  return 0;
}
