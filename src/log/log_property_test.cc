// Random histories of several logs against a naive twin. Method: after each step a log must look
// like its twin; after a crash of the process, like the twin with what was published but not
// committed taken back. RapidCheck prints the seed of a failure; RC_PARAMS="seed=…" repeats it.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <array>
#include <cstdlib>
#include <map>

#include "log/test_pool.h"

namespace paste::log {
namespace {

enum class Op : uint8_t {
  append_short,
  append_long,
  append_packets,
  append_empty,
  erase,
  truncate,
  remove,
  create,
  commit,
  begin_commit,  // and it stays in flight
  end_commit,
  reclaim,
  seal,
  reopen,  // a crash of the process
  scrub,
  count_,
};

struct Step {
  Op op;
  uint32_t log, a, b;
};

// So that RapidCheck can print one.
std::ostream& operator<<(std::ostream& out, const Step& step) {
  return out << fmt::format("{{op {}, log {}, {}, {}}}", static_cast<int>(step.op), step.log,
                            step.a, step.b);
}

struct Twin {
  bool live = false;
  uint64_t id = 0;
  Lsn first = 1;
  Lsn next = 1;
  std::map<Lsn, std::string> records;  // every one ever appended
  std::map<Lsn, bool> deleted;
};
constexpr uint32_t kLogs = 3;
using Twins = std::array<Twin, kLogs>;

class History {
 public:
  explicit History(uint32_t buffer_size) : pool_(TestPool::create(512 << 10, buffer_size)) {}

  void run(const std::vector<Step>& steps) {
    for (const Step& step : steps) {
      apply(step);
      note_durable();
      compare(step.log % kLogs);
    }
    crash();
    for (uint32_t i = 0; i < kLogs; ++i) compare(i);
    RC_ASSERT(TestPool::check(pool_.image()).empty());
    give_all_back();
  }

 private:
  static std::string name(uint32_t i) { return fmt::format("log-{}", i); }
  Log* log(uint32_t i) { return pool_.logs->find(name(i)); }

  void apply(const Step& step) {
    const uint32_t i = step.log % kLogs;
    Twin& twin = now_[i];
    Log* const log = this->log(i);
    RC_ASSERT((log != nullptr) == twin.live);
    if (log == nullptr && step.op < Op::create) return;
    switch (step.op) {
      case Op::append_short:
        return append(i, pattern(++seed_, 1 + step.a % 600));
      case Op::append_long:
        return append(i, pattern(++seed_, 1 + step.a % 20'000));
      case Op::append_packets:
        return append_packets(i, step);
      case Op::append_empty:
        return append(i, "");
      case Op::erase:
        return erase(i, step.a);
      case Op::truncate:
        return truncate(i, step.a);
      case Op::remove:
        RC_ASSERT(pool_.logs->remove(name(i)).has_value());
        twin = {};
        return;
      case Op::create:
        return create(i);
      case Op::commit:
        end_commit();
        pool_.commit();
        durable_ = now_;
        return;
      case Op::begin_commit:
        return begin_commit();
      case Op::end_commit:
        return end_commit();
      case Op::reclaim:
        pool_.logs->reclaim(1 + step.a % 5);
        return;
      case Op::seal:
        if (log != nullptr) RC_ASSERT(log->seal().has_value());
        return;
      case Op::reopen:
        return crash();
      case Op::scrub:
        pool_.logs->scrub(20, [](Log&, Lsn lsn) { RC_FAIL(fmt::format("record {} rotted", lsn)); });
        return;
      case Op::count_:
        return;
    }
  }

  void appended(uint32_t i, const Result<Appended>& result, const std::string& text) {
    if (!result) {
      RC_ASSERT(result.error().code() == Code::pool_full);
      return;
    }
    Twin& twin = now_[i];
    RC_ASSERT(result->lsn == twin.next);
    RC_ASSERT(result->ticket == pool_.core->filling());
    twin.records[twin.next++] = text;
    // What a log that is durable gained survives a crash of the process, committed or not.
    survive(durable_[i], twin);
    survive(syncing_[i], twin);
  }
  static void survive(Twin& earlier, const Twin& twin) {
    if (!earlier.live || earlier.id != twin.id) return;
    earlier.next = twin.next;
    earlier.records = twin.records;
  }

  void append(uint32_t i, const std::string& text) {
    appended(i, log(i)->append_bytes(as_bytes(text)), text);
  }

  void append_packets(uint32_t i, const Step& step) {
    std::vector<Slice> packets;
    std::string all;
    for (uint32_t n = 0; n < 1 + step.a % 5; ++n) {
      const auto name = pool_.core->take(pool::Purpose::receive);
      if (!name) break;
      const std::string text = pattern(++seed_, 1 + step.b % 1400);
      std::memcpy(pool_.core->buffer(*name) + 50, text.data(), text.size());
      packets.push_back({*name, 50, static_cast<uint16_t>(text.size())});
      all += text;
    }
    if (packets.empty()) return;
    const auto result = log(i)->append(packets, {.time_ns = 1});
    appended(i, result, all);
    if (result) return;
    for (const Slice& packet : packets) pool_.core->release(packet.buffer);
  }

  void erase(uint32_t i, uint32_t a) {
    Twin& twin = now_[i];
    if (twin.next == twin.first) return;
    const Lsn lsn = twin.first + a % (twin.next - twin.first);
    const auto result = log(i)->erase(lsn);
    RC_ASSERT(result.has_value() != twin.deleted[lsn]);
    twin.deleted[lsn] = true;
  }

  void truncate(uint32_t i, uint32_t a) {
    Twin& twin = now_[i];
    const Lsn keep = twin.first + a % (twin.next - twin.first + 2);
    RC_ASSERT(log(i)->truncate(keep).has_value());
    twin.first = std::min(keep, twin.next);
  }

  void create(uint32_t i) {
    Twin& twin = now_[i];
    const auto result = pool_.logs->create(name(i));
    if (twin.live) {
      RC_ASSERT(result.error().code() == Code::exists);
    } else if (result) {
      twin = {};
      twin.live = true;
      twin.id = (*result)->id();
    } else {
      RC_ASSERT(result.error().code() == Code::pool_full);
    }
  }

  void begin_commit() {
    if (in_flight_ || !pool_.core->changed()) return;
    pool_.region->asynchronous = true;
    pool_.region->released = false;
    syncing_ticket_ = pool_.core->filling();
    syncing_ = now_;
    in_flight_ = true;
    RC_ASSERT(pool_.core->commit().has_value());
    RC_ASSERT(pool_.core->durable() < syncing_ticket_);
  }

  void end_commit() {
    if (!in_flight_) return;
    pool_.region->released = true;
    for (int n = 0; n < 10 && pool_.core->durable() < syncing_ticket_; ++n) {
      RC_ASSERT(pool_.core->poll_sync().has_value());
    }
    RC_ASSERT(pool_.core->durable() >= syncing_ticket_);
    pool_.region->asynchronous = false;
    note_durable();
  }

  // A page may have been made durable out of turn, and the ticket in flight with it.
  void note_durable() {
    if (!in_flight_ || pool_.core->durable() < syncing_ticket_) return;
    durable_ = syncing_;
    in_flight_ = false;
    pool_.region->released = true;
    pool_.region->asynchronous = false;
  }

  void crash() {
    pool_ = pool_.reopen();
    in_flight_ = false;
    now_ = durable_;
  }

  void compare(uint32_t i) {
    const Twin& twin = now_[i];
    Log* log = this->log(i);
    RC_ASSERT((log != nullptr) == twin.live);
    if (log == nullptr) return;
    RC_ASSERT(log->first() == twin.first);
    RC_ASSERT(log->next() == twin.next);
    uint64_t bytes = 0;
    for (Lsn lsn = twin.first; lsn < twin.next; ++lsn) {
      const auto deleted = twin.deleted.find(lsn);
      const bool gone = deleted != twin.deleted.end() && deleted->second;
      const std::string& text = twin.records.at(lsn);
      RC_ASSERT(pool_.read(*log, lsn) == (gone ? "(not found)" : text));
      bytes += gone ? 0 : text.size();
    }
    RC_ASSERT(log->bytes() == bytes);
    RC_ASSERT(pool_.read(*log, twin.next) == "(not found)");
  }

  // Nothing leaked: with all logs removed, what is left in use is what a new pool has.
  void give_all_back() {
    for (uint32_t i = 0; i < kLogs; ++i) {
      if (now_[i].live) RC_ASSERT(pool_.logs->remove(name(i)).has_value());
    }
    pool_.commit();
    pool_.settle();
    RC_ASSERT(pool_.core->stats().buffers_data == 0u);
    RC_ASSERT(pool_.core->stats().buffers_deferred == 0u);
  }

  TestPool pool_;
  Twins now_, durable_, syncing_;
  Ticket syncing_ticket_;
  bool in_flight_ = false;
  uint64_t seed_ = 0;
};

rc::Gen<Step> any_step() {
  return rc::gen::build<Step>(
      rc::gen::set(&Step::op, rc::gen::weightedElement<Op>({{8, Op::append_short},
                                                            {2, Op::append_long},
                                                            {4, Op::append_packets},
                                                            {1, Op::append_empty},
                                                            {4, Op::erase},
                                                            {2, Op::truncate},
                                                            {1, Op::remove},
                                                            {3, Op::create},
                                                            {4, Op::commit},
                                                            {2, Op::begin_commit},
                                                            {2, Op::end_commit},
                                                            {3, Op::reclaim},
                                                            {1, Op::seal},
                                                            {1, Op::reopen},
                                                            {1, Op::scrub}})),
      rc::gen::set(&Step::log, rc::gen::inRange<uint32_t>(0, kLogs)),
      rc::gen::set(&Step::a, rc::gen::arbitrary<uint32_t>()),
      rc::gen::set(&Step::b, rc::gen::arbitrary<uint32_t>()));
}

void check_histories(const char* what, uint32_t buffer_size) {
  setenv("RC_PARAMS", "max_success=300", 0);
  const bool held = rc::check(what, [&] {
    const auto length = *rc::gen::inRange<size_t>(1, 250);
    const auto steps = *rc::gen::container<std::vector<Step>>(length, any_step());
    History history(buffer_size);
    history.run(steps);
  });
  EXPECT_TRUE(held);
}

TEST(LogProperty, HistoriesWith2048) { check_histories("histories, 2048-byte buffers", 2048); }
TEST(LogProperty, HistoriesWith4096) { check_histories("histories, 4096-byte buffers", 4096); }

}  // namespace
}  // namespace paste::log
