// Tickets: how a batch becomes durable.
//
// A ticket closes with one barrier, or with two if it publishes words: the first makes records,
// entries and the list durable, the second the list's commit word. Then the words are stored in
// their places, and the list goes on through these stages, each step riding on whichever barrier
// comes next:
//   committing  written, its ticket is syncing
//   stored      words stored and flushed           → settling while a barrier that began after runs
//   cleared     commit word cleared and flushed    → retiring while a barrier that began after runs
//   free        retired: open cannot redo it, so what it freed may be used again
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "pool/core.h"

namespace paste::pool {

Unexpected Core::stop(Error error) {
  failed_ = true;
  if (!failure_) failure_ = error;
  return fail(std::move(error));
}

bool Core::changed() const noexcept {
  return changed_ || !list_.empty() ||
         std::any_of(areas_.begin(), areas_.end(), [](const Area& a) {
           return a.stage != Stage::free && a.stage != Stage::committing;
         });
}

Result<void> Core::publish(uint64_t* word, uint64_t value) {
  const auto offset = static_cast<uint64_t>(reinterpret_cast<std::byte*>(word) - base_);
  PASTE_CHECK(publishable(offset));
  return list_.set(offset, value);
}

uint32_t Core::publish_room() const noexcept { return list_.room(); }

Result<void> Core::commit() {
  if (failed_) return fail(*failure_);
  PASTE_TRY(drive());
  if (sync_ != Sync::idle) return {};
  if (changed()) {
    PASTE_TRY(close_ticket());
    return drive();
  }
  // Nothing to make durable: the ticket is over at no cost.
  queue_deferred();
  durable_ = filling_;
  ++filling_.value;
  reap();
  return {};
}

Result<void> Core::poll_sync() {
  if (failed_) return fail(*failure_);
  return drive();
}

Result<void> Core::wait_durable(Ticket ticket) {
  PASTE_CHECK(ticket <= filling_);
  while (durable_ < ticket) {
    PASTE_TRY(commit());
    PASTE_TRY(settle());
  }
  return {};
}

// Waits until no ticket is syncing.
Result<void> Core::settle() {
  while (sync_ != Sync::idle) {
    if (auto waited = region_->wait_barrier(); !waited) return stop(std::move(waited).error());
    PASTE_TRY(drive());
  }
  return {};
}

Result<void> Core::close_ticket() {
  replenish();
  syncing_ = filling_;
  syncing_area_ = nullptr;
  if (!list_.empty()) {
    const auto area = std::find_if(areas_.begin(), areas_.end(),
                                   [](const Area& a) { return a.stage == Stage::free; });
    // Of two tickets in a row that publish, the second one's two barriers retire the first's list.
    PASTE_CHECK(area != areas_.end());
    list_.take(syncing_items_);
    const size_t bytes = write_list(area->at, syncing_items_, syncing_.value, crc_seed_);
    region_->flush(area->at, bytes, Site::publish_list);
    area->stage = Stage::committing;
    area->ticket = syncing_;
    syncing_area_ = &*area;
    ++stats_.tickets_published;
  }
  queue_deferred();
  changed_ = false;
  ++filling_.value;
  sync_ = Sync::first;
  return begin_barrier(Site::barrier_ticket);
}

// What the filling ticket frees waits until it is safe to use again.
void Core::queue_deferred() {
  if (deferred_.buffers.empty() && deferred_.places.empty() && deferred_.zeroed.empty()) return;
  deferred_.ticket = filling_;
  waiting_.push_back(std::move(deferred_));
  deferred_ = {};
  if (spare_.empty()) return;
  deferred_ = std::move(spare_.back());
  spare_.pop_back();
}

Result<void> Core::begin_barrier(Site site) {
  for (Area& area : areas_) {
    if (area.stage == Stage::stored) area.stage = Stage::settling;
    if (area.stage == Stage::cleared) area.stage = Stage::retiring;
  }
  ++stats_.barriers;
  if (auto begun = region_->begin_barrier(site); !begun) return stop(std::move(begun).error());
  return {};
}

// Takes the ticket being synced as far as it goes without waiting.
Result<void> Core::drive() {
  while (sync_ != Sync::idle) {
    auto done = region_->poll_barrier();
    if (!done) return stop(std::move(done).error());
    if (!*done) return {};
    barrier_completed();
    if (sync_ == Sync::first) {
      PASTE_TRY(finish_first());
    } else {
      finish_second();
    }
  }
  return {};
}

Result<void> Core::finish_first() {
  if (syncing_area_ == nullptr) {
    finish_second();
    return {};
  }
  uint64_t* word = commit_word(syncing_area_->at);
  pmem::store64(word, syncing_.value ^ format::kCommitMagic);
  region_->flush(word, sizeof *word, Site::publish_commit);
  sync_ = Sync::second;
  return begin_barrier(Site::barrier_commit);
}

// The ticket is durable.
void Core::finish_second() {
  sync_ = Sync::idle;
  durable_ = syncing_;
  ++stats_.tickets;
  if (syncing_area_ != nullptr) {
    for (const format::PublishItem& item : syncing_items_) {
      auto* word = reinterpret_cast<uint64_t*>(base_ + item.offset);
      pmem::store64(word, item.value);
      region_->flush(word, sizeof *word, Site::publish_words);
    }
    syncing_area_->stage = Stage::stored;
  }
  reap();
}

// Every flush before the barrier began is durable now.
void Core::barrier_completed() {
  for (Area& area : areas_) {
    if (area.stage == Stage::settling) {
      uint64_t* word = commit_word(area.at);
      pmem::store64(word, 0);
      region_->flush(word, sizeof *word, Site::publish_retire);
      area.stage = Stage::cleared;
    } else if (area.stage == Stage::retiring) {
      area.stage = Stage::free;
    }
  }
}

// Frees what no durable structure and no list can reach any more.
void Core::reap() {
  Ticket limit = durable_;
  for (const Area& area : areas_) {
    if (area.stage != Stage::free) limit = std::min(limit, Ticket{area.ticket.value - 1});
  }
  for (Deferred& waiting : waiting_) {
    if (waiting.ticket > durable_) break;
    zeroed_.insert(zeroed_.end(), waiting.zeroed.begin(), waiting.zeroed.end());
    zeroed_pending_ -= static_cast<uint32_t>(waiting.zeroed.size());
    waiting.zeroed.clear();
  }
  while (!waiting_.empty() && waiting_.front().ticket <= limit) {
    Deferred freed = std::move(waiting_.front());
    waiting_.erase(waiting_.begin());
    for (const BufferName name : freed.buffers) release(name);
    stats_.buffers_deferred -= freed.buffers.size();
    free_places_.insert(free_places_.end(), freed.places.begin(), freed.places.end());
    freed.buffers.clear();
    freed.places.clear();
    if (spare_.size() < 4) spare_.push_back(std::move(freed));
  }
}

}  // namespace paste::pool
