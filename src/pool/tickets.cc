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

using Phase = Syncing::Phase;

Unexpected Core::stop(Error error) {
  if (!failure_) failure_ = error;
  return fail(std::move(error));
}

bool Core::changed() const noexcept {
  return changed_ || !list_.empty() || std::any_of(areas_.begin(), areas_.end(), [](const Area& a) {
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
  if (failure_) return fail(*failure_);
  PASTE_TRY(drive());
  if (syncing_.phase != Phase::idle) return {};
  if (changed()) {
    PASTE_TRY(close_ticket());
    return drive();
  }
  // Nothing to make durable: the ticket is over at no cost.
  deferrals_.close(filling_);
  durable_ = filling_;
  ++filling_.value;
  reap();
  return {};
}

Result<void> Core::poll_sync() {
  if (failure_) return fail(*failure_);
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
  while (syncing_.phase != Phase::idle) {
    if (auto waited = region_->wait_barrier(); !waited) return stop(std::move(waited).error());
    PASTE_TRY(drive());
  }
  return {};
}

Result<void> Core::close_ticket() {
  replenish();
  syncing_.ticket = filling_;
  syncing_.area = nullptr;
  if (!list_.empty()) {
    const auto area = std::find_if(areas_.begin(), areas_.end(),
                                   [](const Area& a) { return a.stage == Stage::free; });
    // Of two tickets in a row that publish, the second one's two barriers retire the first's list.
    PASTE_CHECK(area != areas_.end());
    list_.take(syncing_.items);
    const size_t bytes = write_list(area->at, syncing_.items, syncing_.ticket.value, crc_seed_);
    region_->flush(area->at, bytes, Site::publish_list);
    area->stage = Stage::committing;
    area->ticket = syncing_.ticket;
    syncing_.area = &*area;
    ++stats_.tickets_published;
  }
  deferrals_.close(filling_);
  changed_ = false;
  ++filling_.value;
  syncing_.phase = Phase::first;
  return begin_barrier(Site::barrier_ticket);
}

void Deferrals::close(Ticket ticket) {
  if (filling.buffers.empty() && filling.places.empty() && filling.zeroed.empty()) return;
  filling.ticket = ticket;
  waiting.push_back(std::move(filling));
  filling = {};
  if (spare.empty()) return;
  filling = std::move(spare.back());
  spare.pop_back();
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

Result<void> Core::whole_barrier(Site site) {
  PASTE_TRY(begin_barrier(site));
  if (auto waited = region_->wait_barrier(); !waited) return stop(std::move(waited).error());
  barrier_completed();
  return {};
}

// Takes the ticket being synced as far as it goes without waiting.
Result<void> Core::drive() {
  while (syncing_.phase != Phase::idle) {
    auto done = region_->poll_barrier();
    if (!done) return stop(std::move(done).error());
    if (!*done) return {};
    barrier_completed();
    if (syncing_.phase == Phase::first) {
      PASTE_TRY(finish_first());
    } else {
      finish_second();
    }
  }
  return {};
}

Result<void> Core::finish_first() {
  if (syncing_.area == nullptr) {
    finish_second();
    return {};
  }
  uint64_t* word = commit_word(syncing_.area->at);
  pmem::store64(word, syncing_.ticket.value ^ format::kCommitMagic);
  region_->flush(word, sizeof *word, Site::publish_commit);
  syncing_.phase = Phase::second;
  return begin_barrier(Site::barrier_commit);
}

// The ticket is durable.
void Core::finish_second() {
  syncing_.phase = Phase::idle;
  durable_ = syncing_.ticket;
  ++stats_.tickets;
  if (syncing_.area != nullptr) {
    for (const format::PublishItem& item : syncing_.items) {
      auto* word = reinterpret_cast<uint64_t*>(base_ + item.offset);
      pmem::store64(word, item.value);
      region_->flush(word, sizeof *word, Site::publish_words);
    }
    syncing_.area->stage = Stage::stored;
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
  auto& waiting = deferrals_.waiting;
  for (Deferred& each : waiting) {
    if (each.ticket > durable_) break;
    stock_.pages.insert(stock_.pages.end(), each.zeroed.begin(), each.zeroed.end());
    stock_.pending -= static_cast<uint32_t>(each.zeroed.size());
    each.zeroed.clear();
  }
  while (!waiting.empty() && waiting.front().ticket <= limit) {
    Deferred freed = std::move(waiting.front());
    waiting.erase(waiting.begin());
    for (const BufferName name : freed.buffers) release(name);
    stats_.buffers_deferred -= freed.buffers.size();
    roots_.free_places.insert(roots_.free_places.end(), freed.places.begin(), freed.places.end());
    freed.buffers.clear();
    freed.places.clear();
    if (deferrals_.spare.size() < 8) deferrals_.spare.push_back(std::move(freed));
  }
}

}  // namespace paste::pool
