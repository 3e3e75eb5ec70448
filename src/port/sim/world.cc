#include "port/sim/world.h"

#include "base/check.h"

namespace paste::sim {

Actor::~Actor() {
  if (waiting_in_ != nullptr) waiting_in_->cancel(*this);
}

World::~World() {
  for (const Wakeup& wakeup : heap_) wakeup.actor->waiting_in_ = nullptr;
}

void World::wake(Actor& actor, tcp::Instant at) {
  PASTE_CHECK(actor.waiting_in_ == nullptr || actor.waiting_in_ == this);
  if (at == tcp::kNever) return;
  if (at < now_) at = now_;
  if (actor.id_ == 0) actor.id_ = ++actors_seen_;
  if (actor.waiting_in_ == nullptr) {
    actor.waiting_in_ = this;
    heap_.push_back({at, ++sequence_, &actor});
    move_up(heap_.size() - 1);
    return;
  }
  Wakeup& wakeup = heap_[actor.heap_index_];
  if (at >= wakeup.at) return;
  wakeup.at = at;
  wakeup.sequence = ++sequence_;
  move_up(actor.heap_index_);
}

void World::cancel(Actor& actor) noexcept {
  if (actor.waiting_in_ == nullptr) return;
  PASTE_CHECK(actor.waiting_in_ == this);
  remove(actor.heap_index_);
}

bool World::step(tcp::Instant deadline) {
  if (heap_.empty() || heap_.front().at > deadline) {
    if (deadline != tcp::kNever && deadline > now_) {
      now_ = deadline;
      events_now_ = 0;
    }
    return false;
  }
  const Wakeup wakeup = heap_.front();
  remove(0);
  PASTE_CHECK(wakeup.at >= now_);
  if (wakeup.at > now_) events_now_ = 0;
  now_ = wakeup.at;
  ++events_run_;
  ++events_now_;
  PASTE_CHECK(events_now_ <= kEventsAtOneInstantMax);
  trace(now_.ns);
  trace(wakeup.actor->id_);
  wakeup.actor->act(now_);
  return true;
}

void World::run_for(Duration duration) {
  PASTE_CHECK(duration.count() >= 0);
  const tcp::Instant end = now_ + duration;
  while (step(end)) {
  }
}

void World::record(const char* what, uint64_t who, uint64_t value) noexcept {
  trace(now_.ns);
  trace(hash_name(what));
  trace(who);
  trace(value);
  ring_.push({now_, what, who, value});
}

void World::move_up(size_t index) noexcept {
  const Wakeup moving = heap_[index];
  while (index > 0) {
    const size_t parent = (index - 1) / 2;
    if (!moving.before(heap_[parent])) break;
    place(index, heap_[parent]);
    index = parent;
  }
  place(index, moving);
}

void World::move_down(size_t index) noexcept {
  const Wakeup moving = heap_[index];
  while (true) {
    size_t child = 2 * index + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1].before(heap_[child])) ++child;
    if (!heap_[child].before(moving)) break;
    place(index, heap_[child]);
    index = child;
  }
  place(index, moving);
}

void World::remove(size_t index) noexcept {
  heap_[index].actor->waiting_in_ = nullptr;
  const Wakeup last = heap_.back();
  heap_.pop_back();
  if (index == heap_.size()) return;
  place(index, last);
  // The last one comes from another branch, so it may have to go either way.
  move_up(index);
  move_down(last.actor->heap_index_);
}

}  // namespace paste::sim
