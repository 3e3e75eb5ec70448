// A bounded store of equal objects that many owners use for a short time each.
//
// Objects lie in chunks that are allocated when they are first needed and kept. An object's own
// storage (its rings) is kept for the next owner, too, so that steady state allocates nothing. When
// all are taken, one that is idle is retired under its owner, who then finds his lease empty.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace paste::tcp {

// T has: T(Storage&&, arguments…), Storage take_storage() for when it ends, bool idle(), and
// void retire(), called before an idle one is taken away. Not thread-safe.
template <typename T>
class Slab {
  struct Slot {
    std::optional<T> object;
    typename T::Storage storage;
    Slab* slab = nullptr;
    Slot** place = nullptr;  // the owner's
  };

 public:
  // What an owner has: 8 bytes, empty at first. Gives the object back when it ends. The slab must
  // outlive it. It does not move: the slab knows its place.
  class Lease {
   public:
    Lease() = default;
    ~Lease() { release(); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    explicit operator bool() const noexcept { return slot_ != nullptr; }
    [[nodiscard]] T* get() const noexcept { return slot_ == nullptr ? nullptr : &*slot_->object; }
    // REQUIRES: not empty.
    [[nodiscard]] T* operator->() const noexcept { return &*slot_->object; }
    [[nodiscard]] T& operator*() const noexcept { return *slot_->object; }
    void release() noexcept {
      if (slot_ == nullptr) return;
      slot_->slab->give(*slot_);
      slot_ = nullptr;
    }

   private:
    friend class Slab;
    Slot* slot_ = nullptr;
  };

  // At most `limit` objects.
  explicit Slab(uint32_t limit) noexcept : limit_(limit) {}
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  // Makes an object for `lease`. False: all are taken and none that was looked at is idle.
  // REQUIRES: the lease is empty.
  template <typename... Args>
  [[nodiscard]] bool take(Lease& lease, Args&&... args) {
    Slot* slot = free_slot();
    if (slot == nullptr) return false;
    slot->object.emplace(std::move(slot->storage), std::forward<Args>(args)...);
    slot->place = &lease.slot_;
    lease.slot_ = slot;
    return true;
  }
  [[nodiscard]] uint32_t taken() const noexcept {
    return made_ - static_cast<uint32_t>(free_.size());
  }

 private:
  static constexpr uint32_t kChunk = 64;
  static constexpr uint32_t kLookAt = 256;  // slots, for an idle one

  Slot* free_slot() {
    if (free_.empty() && made_ < limit_) grow();
    if (free_.empty()) retire_one();
    if (free_.empty()) return nullptr;
    Slot* slot = free_.back();
    free_.pop_back();
    return slot;
  }
  void grow() {
    const uint32_t n = std::min(kChunk, limit_ - made_);
    chunks_.push_back(std::make_unique<Slot[]>(kChunk));
    free_.reserve(made_ + n);
    for (uint32_t i = n; i-- > 0;) {
      chunks_.back()[i].slab = this;
      free_.push_back(&chunks_.back()[i]);
    }
    made_ += n;
  }
  void give(Slot& slot) noexcept {
    slot.storage = slot.object->take_storage();
    slot.object.reset();
    slot.place = nullptr;
    free_.push_back(&slot);  // reserved in grow()
  }
  // Like a clock's hand, so that all are looked at in turn.
  void retire_one() noexcept {
    for (uint32_t looked = 0; looked < std::min(kLookAt, made_); ++looked) {
      hand_ = hand_ + 1 < made_ ? hand_ + 1 : 0;
      Slot& slot = chunks_[hand_ / kChunk][hand_ % kChunk];
      if (!slot.object || !slot.object->idle()) continue;
      slot.object->retire();
      *slot.place = nullptr;
      give(slot);
      return;
    }
  }

  std::vector<std::unique_ptr<Slot[]>> chunks_;
  std::vector<Slot*> free_;
  uint32_t made_ = 0;
  uint32_t limit_;
  uint32_t hand_ = 0;
};

}  // namespace paste::tcp
