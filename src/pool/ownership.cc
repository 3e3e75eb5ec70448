// Taking, holding and freeing buffers, the reserves, and the stock of zeroed pages.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "pool/core.h"

namespace paste::pool {

namespace {

constexpr uint32_t kStockMax = 1024;  // pages: a busy second's worth
constexpr uint32_t kStockShare = 32;  // the stock is at most this part of the pool
constexpr size_t kFreshPages = 16;    // that one barrier out of turn makes

}  // namespace

uint64_t Core::available() const noexcept { return buffers_.free_count() + stock_.pages.size(); }

uint64_t Core::floor_of(Purpose purpose) const noexcept {
  switch (purpose) {
    case Purpose::receive:
      return reserves_.structure;
    case Purpose::data:
    case Purpose::structure:
      return reserves_.structure + reserves_.receive;
    case Purpose::room:
      return 0;
  }
  return 0;
}

bool Core::has_room(uint32_t n) const noexcept {
  return available() >= floor_of(Purpose::data) + n;
}

Result<BufferName> Core::take(Purpose purpose) {
  PASTE_CHECK(recovered_);
  if (available() <= floor_of(purpose)) {
    return fail(Code::pool_full, "the pool is full: delete or truncate records, then try again");
  }
  if (buffers_.free_count() == 0) {
    release(stock_.pages.back());
    stock_.pages.pop_back();
  }
  const BufferName name = buffers_.pop_free();
  const bool structure = purpose == Purpose::structure || purpose == Purpose::room;
  buffers_.first_hold(name, structure ? Kind::structure : Kind::data);
  return name;
}

void Core::release(BufferName name) noexcept {
  if (buffers_.release(name)) buffers_.push_free(name);
}

void Core::hold(BufferName name) noexcept { buffers_.hold(name); }
void Core::set_kind(BufferName name, Kind kind) noexcept { buffers_.set_kind(name, kind); }
uint32_t Core::holds(BufferName name) const noexcept { return buffers_.holds(name); }

void Core::release_after_ticket(BufferName name) {
  PASTE_CHECK(buffers_.holds(name) > 0);
  deferrals_.filling.buffers.push_back(name);
  ++stats_.buffers_deferred;
}

void Core::zero(BufferName name) {
  std::memset(buffer(name), 0, buffer_size_);
  region_->flush(buffer(name), buffer_size_, Site::log_page);
}

// Tops the stock up with pages that the closing ticket makes durable.
void Core::replenish() {
  const uint32_t size = buffers_.end() - buffers_.first();
  const uint32_t target = std::min(stock_.target, std::max(1u, size / kStockShare));
  while (stock_.pages.size() + stock_.pending < target &&
         buffers_.free_count() > floor_of(Purpose::structure)) {
    const BufferName name = buffers_.pop_free();
    buffers_.first_hold(name, Kind::structure);
    zero(name);
    deferrals_.filling.zeroed.push_back(name);
    ++stock_.pending;
  }
}

Result<BufferName> Core::take_zeroed(Purpose purpose) {
  PASTE_CHECK(recovered_);
  if (available() <= floor_of(purpose)) {
    return fail(Code::pool_full, "the pool is full: delete or truncate records, then try again");
  }
  if (stock_.pages.empty()) {
    if (failure_) return fail(*failure_);
    stock_.target = std::min(stock_.target * 2, kStockMax);
    PASTE_TRY(settle());
    // Waiting may have filled the stock.
    auto& fresh = stock_.fresh;
    fresh.clear();
    while (stock_.pages.empty() && fresh.size() < kFreshPages &&
           buffers_.free_count() > floor_of(purpose)) {
      fresh.push_back(buffers_.pop_free());
      buffers_.first_hold(fresh.back(), Kind::structure);
      zero(fresh.back());
    }
    if (!fresh.empty()) {
      // Makes early what else was flushed for the filling ticket: nothing vouches for it yet.
      PASTE_TRY(whole_barrier(Site::barrier_page));
      stock_.pages.insert(stock_.pages.end(), fresh.begin(), fresh.end());
    }
    PASTE_CHECK(!stock_.pages.empty());
  }
  const BufferName name = stock_.pages.back();
  stock_.pages.pop_back();
  return name;
}

CoreStats Core::stats() const noexcept {
  CoreStats stats = stats_;
  stats.buffers_free = available();
  stats.buffers_data = buffers_.count_of(Kind::data);
  stats.buffers_structure = buffers_.count_of(Kind::structure) - stock_.pages.size();
  return stats;
}

}  // namespace paste::pool
