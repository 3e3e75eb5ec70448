// Taking, holding and freeing buffers, the reserves, and the stock of zeroed pages.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "pool/core.h"

namespace paste::pool {

uint64_t Core::available() const noexcept { return buffers_.free_count() + zeroed_.size(); }

uint64_t Core::floor_of(Purpose purpose) const noexcept {
  switch (purpose) {
    case Purpose::receive: return structure_reserve_;
    case Purpose::data:
    case Purpose::structure: return structure_reserve_ + receive_reserve_;
    case Purpose::room: return 0;
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
  if (buffers_.free_count() == 0) give_back(zeroed_.back()), zeroed_.pop_back();
  const BufferName name = buffers_.pop_free();
  const bool structure = purpose == Purpose::structure || purpose == Purpose::room;
  buffers_.first_hold(name, structure ? Kind::structure : Kind::data);
  return name;
}

void Core::give_back(BufferName name) {
  if (buffers_.release(name)) buffers_.push_free(name);
}

void Core::hold(BufferName name) noexcept { buffers_.hold(name); }
void Core::release(BufferName name) noexcept { give_back(name); }
void Core::set_kind(BufferName name, Kind kind) noexcept { buffers_.set_kind(name, kind); }
uint32_t Core::holds(BufferName name) const noexcept { return buffers_.holds(name); }

void Core::release_after_ticket(BufferName name) {
  PASTE_CHECK(buffers_.holds(name) > 0);
  deferred_.buffers.push_back(name);
  ++stats_.buffers_deferred;
}

void Core::zero(BufferName name) {
  std::memset(buffer(name), 0, buffer_size_);
  region_->flush(buffer(name), buffer_size_, Site::log_page);
}

// Tops the stock up with pages that the closing ticket makes durable.
void Core::replenish() {
  const uint32_t size = buffers_.end() - buffers_.first();
  const uint32_t target = std::min(zeroed_target_, std::max(1u, size / 32));
  while (zeroed_.size() + zeroed_pending_ < target &&
         buffers_.free_count() > floor_of(Purpose::structure)) {
    const BufferName name = buffers_.pop_free();
    buffers_.first_hold(name, Kind::structure);
    zero(name);
    deferred_.zeroed.push_back(name);
    ++zeroed_pending_;
  }
}

Result<BufferName> Core::take_zeroed(Purpose purpose) {
  PASTE_CHECK(recovered_);
  if (available() <= floor_of(purpose)) {
    return fail(Code::pool_full, "the pool is full: delete or truncate records, then try again");
  }
  if (zeroed_.empty()) {
    if (failed_) return fail(*failure_);
    zeroed_target_ = std::min(zeroed_target_ * 2, 1024u);
    PASTE_TRY(settle());
    // Waiting may have filled the stock.
    std::vector<BufferName> fresh;
    while (zeroed_.empty() && fresh.size() < 16 && buffers_.free_count() > floor_of(purpose)) {
      fresh.push_back(buffers_.pop_free());
      buffers_.first_hold(fresh.back(), Kind::structure);
      zero(fresh.back());
    }
    if (!fresh.empty()) {
      PASTE_TRY(begin_barrier(Site::barrier_page));
      if (auto waited = region_->wait_barrier(); !waited) return stop(std::move(waited).error());
      barrier_completed();
      zeroed_.insert(zeroed_.end(), fresh.begin(), fresh.end());
    }
    PASTE_CHECK(!zeroed_.empty());
  }
  const BufferName name = zeroed_.back();
  zeroed_.pop_back();
  return name;
}

CoreStats Core::stats() const noexcept {
  CoreStats stats = stats_;
  stats.buffers_free = available();
  stats.buffers_data = buffers_.count_of(Kind::data);
  stats.buffers_structure = buffers_.count_of(Kind::structure) - zeroed_.size();
  return stats;
}

}  // namespace paste::pool
