#include "tests/crash/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace paste::crash {
namespace {

constexpr const char* kNames[] = {"orders", "audit", "x"};

}  // namespace

Workload::Workload(Store& store, Model& model, uint64_t seed)
    : store_(store),
      model_(model),
      shadow_(static_cast<pmem::ShadowRegion&>(*store.region)),
      random_(seed) {
  static constexpr uint32_t kUsual[kKinds] = {8, 4, 3, 8, 2, 1, 4, 3, 1, 1, 1,
                                              3, 1, 2, 6, 6, 6, 8, 4, 3, 3};
  for (uint32_t kind = 0; kind < kKinds; ++kind) {
    static constexpr uint32_t kSkew[] = {0, 1, 1, 4};
    weights_[kind] = kUsual[kind] * kSkew[random_.below(4)];
  }
  weights_[kHold] += 2;
  weights_[kCommitWait] += 2;
  weights_[kReply] += 4;
  weights_[kPoll] += 2;
}

const char* Workload::to_string(Kind kind) noexcept {
  static constexpr const char* kText[kKinds] = {
      "hold",    "hold twice",   "pieces",         "bytes",          "long bytes",   "burst",
      "erase",   "truncate lsn", "truncate count", "truncate bytes", "truncate age", "create",
      "remove",  "seal",         "commit",         "commit, wait",   "poll",         "reply",
      "reclaim", "read",         "device"};
  return kText[kind];
}

bool Workload::wrong(std::string what) {
  if (problem_.empty()) problem_ = std::move(what);
  return false;
}

// Errors that a full or busy pool may give; anything else is a broken contract.
template <typename T>
bool Workload::harmless(const Result<T>& result, const char* what) {
  if (result) return true;
  const Code code = result.error().code();
  if (code == Code::failed && shadow_.failed()) {
    failed_ = true;
    return false;
  }
  if (code == Code::pool_full || code == Code::busy) return true;
  return wrong(fmt::format("{}: {}", what, result.error().message()));
}

bool Workload::run(uint32_t operations) {
  uint32_t total = 0;
  for (const uint32_t weight : weights_) total += weight;
  for (uint32_t i = 0; i < operations; ++i) {
    uint64_t at = random_.below(total);
    uint32_t kind = 0;
    while (at >= weights_[kind]) at -= weights_[kind++];
    if (!step(static_cast<Kind>(kind))) return false;
  }
  return true;
}

bool Workload::step(Kind kind) {
  const bool done = dispatch(kind);
  return done && problem_.empty() && !failed_;
}

bool Workload::dispatch(Kind kind) {
  switch (kind) {
    case kHold:
      return hold(1);
    case kHoldTwice:
      return hold(1 + static_cast<uint32_t>(random_.below(3)));
    case kPieces:
      return pieces();
    case kBytes:
      return bytes(pick_log(), static_cast<uint32_t>(random_.below(300)));
    case kLongBytes:
      return bytes(pick_log(), 2000 + static_cast<uint32_t>(random_.below(7000)));
    case kBurst:
      return burst();
    case kErase:
      return erase();
    case kTruncateLsn:
    case kTruncateCount:
    case kTruncateBytes:
    case kTruncateAge:
      return truncate(kind);
    case kCreate:
      return create(kNames[random_.below(std::size(kNames))]);
    case kRemove:
      return remove();
    case kSeal:
      return seal();
    case kCommit:
      return commit(false);
    case kCommitWait:
      return commit(true);
    case kPoll:
      return poll();
    case kReply:
      return reply();
    case kReclaim:
      store_.logs->reclaim(1 + static_cast<uint32_t>(random_.below(4)));
      return true;
    case kRead:
      return read();
    default:
      device_stores();
      return true;
  }
}

log::Log* Workload::pick_log() {
  const std::vector<log::Log*> logs = store_.logs->list();
  if (!logs.empty()) return logs[random_.below(logs.size())];
  if (!create(kNames[random_.below(std::size(kNames))])) return nullptr;
  return store_.logs->list().empty() ? nullptr : store_.logs->list()[0];
}

// A received buffer: one that was posted earlier, or a fresh one, filled by the "device".
BufferName Workload::receive(uint32_t offset, uint32_t length, std::string& text) {
  BufferName name = kNoBuffer;
  if (!posted_.empty() && random_.chance(50)) {
    name = posted_.back();
    posted_.pop_back();
  } else {
    auto taken = store_.core->take(pool::Purpose::receive);
    if (!harmless(taken, "take") || !taken) return kNoBuffer;
    name = *taken;
  }
  text.resize(length);
  for (char& c : text) c = static_cast<char>(random_.next());
  std::memcpy(store_.core->buffer(name) + offset, text.data(), length);
  return name;
}

void Workload::device_stores() {
  if (posted_.size() < 4) {
    auto taken = store_.core->take(pool::Purpose::receive);
    if (taken) posted_.push_back(*taken);
  }
  for (const BufferName name : posted_) {
    std::byte* at = store_.core->buffer(name) + random_.below(store_.core->buffer_size() - 8);
    const uint64_t noise = random_.next();
    std::memcpy(at, &noise, sizeof noise);
  }
}

bool Workload::note(log::Log& log, const Result<Appended>& appended) {
  if (!appended) model_.not_appended(log.id());
  if (!harmless(appended, "append") || !appended) return problem_.empty() && !failed_;
  if (appended->ticket != store_.core->filling()) return wrong("append: not the filling ticket");
  if (log.changed() < appended->ticket) return wrong("append: changed() is too old");
  model_.appended(log.id(), appended->lsn);
  return true;
}

bool Workload::hold(uint32_t records_in_buffer) {
  log::Log* log = pick_log();
  if (log == nullptr) return true;
  const uint32_t size = store_.core->buffer_size();
  const auto length = static_cast<uint32_t>(1 + random_.below(random_.chance(20) ? size : 200));
  const auto offset = static_cast<uint32_t>(random_.below(size - length + 1));
  std::string text;
  const BufferName name = receive(offset, length, text);
  if (name == kNoBuffer) return true;
  uint32_t at = 0;
  for (uint32_t i = 0; i < records_in_buffer && at < length; ++i) {
    const bool last = i + 1 == records_in_buffer;
    const uint32_t n = last ? length - at : static_cast<uint32_t>(1 + random_.below(length - at));
    if (!last) store_.core->hold(name);
    const Slice slice{name, static_cast<uint16_t>(offset + at), static_cast<uint16_t>(n)};
    ModelRecord record{text.substr(at, n), ++clock_, static_cast<uint32_t>(1 + random_.below(99))};
    model_.appending(log->id(), record);
    auto appended =
        log->append({&slice, 1}, {.time_ns = record.time_ns, .auxiliary = record.auxiliary});
    if (!appended) {
      // The caller keeps all its holds.
      store_.core->release(name);
      if (!last) store_.core->release(name);
      return note(*log, appended);
    }
    if (!note(*log, appended)) return false;
    at += n;
    if (at == length && !last) store_.core->release(name);
  }
  return true;
}

bool Workload::pieces() {
  log::Log* log = pick_log();
  if (log == nullptr) return true;
  const uint32_t size = store_.core->buffer_size();
  const auto count = static_cast<uint32_t>(2 + random_.below(4));
  std::vector<Slice> slices;
  ModelRecord record{{}, ++clock_, 0};
  for (uint32_t i = 0; i < count; ++i) {
    const auto length = static_cast<uint32_t>(random_.chance(80) ? size - random_.below(100)
                                                                 : 1 + random_.below(60));
    std::string text;
    const BufferName name = receive(0, length, text);
    if (name == kNoBuffer) break;
    slices.push_back({name, 0, static_cast<uint16_t>(length)});
    record.bytes += text;
  }
  if (slices.empty()) return true;
  model_.appending(log->id(), record);
  auto appended = log->append(slices, {.time_ns = record.time_ns});
  if (!appended) {
    for (const Slice& slice : slices) store_.core->release(slice.buffer);
  }
  return note(*log, appended);
}

bool Workload::bytes(log::Log* log, uint32_t length) {
  if (log == nullptr) return true;
  ModelRecord record{std::string(length, '\0'), ++clock_, 0};
  for (char& c : record.bytes) c = static_cast<char>(random_.next());
  model_.appending(log->id(), record);
  auto appended = log->append_bytes(as_bytes(record.bytes), {.time_ns = record.time_ns});
  return note(*log, appended);
}

bool Workload::burst() {
  for (uint32_t i = 0; i < 20; ++i) {
    if (!bytes(pick_log(), static_cast<uint32_t>(random_.below(24)))) return false;
  }
  return true;
}

bool Workload::changed(log::Log& log, const Result<Ticket>& ticket) {
  if (!ticket) return false;
  if (*ticket > store_.core->filling()) return wrong("a ticket of the future");
  return log.changed() >= *ticket || wrong("changed() is too old");
}

bool Workload::erase() {
  log::Log* log = pick_log();
  if (log == nullptr || log->first() == log->next()) return true;
  const Lsn lsn = log->first() + random_.below(log->next() - log->first());
  const bool there = !model_.now().at(log->id()).deleted.contains(lsn);
  auto ticket = log->erase(lsn);
  if (!there) {
    return (!ticket && ticket.error().code() == Code::not_found) ||
           wrong("a deleted record was deleted again");
  }
  if (!harmless(ticket, "erase")) return false;
  if (changed(*log, ticket)) model_.erased(log->id(), lsn);
  return problem_.empty();
}

bool Workload::truncate(Kind kind) {
  log::Log* log = pick_log();
  if (log == nullptr) return true;
  const uint64_t kept = log->next() - log->first();
  Lsn cut = log->first() + random_.below(kept + 1);
  if (kind == kTruncateCount) cut = log->cut_for_count(random_.below(kept + 1));
  if (kind == kTruncateBytes) cut = log->cut_for_bytes(random_.below(log->bytes() + 1));
  if (kind == kTruncateAge) cut = log->cut_for_age(clock_ - random_.below(10));
  auto ticket = log->truncate(cut);
  if (!harmless(ticket, "truncate")) return false;
  if (changed(*log, ticket)) model_.truncated(log->id(), cut);
  return problem_.empty();
}

bool Workload::create(std::string_view name) {
  const bool there = store_.logs->find(name) != nullptr;
  auto log = store_.logs->create(name);
  if (there) {
    return (!log && log.error().code() == Code::exists) || wrong("a log was created twice");
  }
  if (!harmless(log, "create")) return false;
  if (log) model_.created((*log)->id(), std::string(name));
  if (log && store_.logs->changed() != store_.core->filling()) return wrong("Logs::changed()");
  return true;
}

bool Workload::make(std::string_view name) {
  return store_.logs->find(name) != nullptr || create(name);
}

bool Workload::fill(std::string_view name, uint32_t records) {
  for (uint32_t i = 0; i < records; ++i) {
    log::Log* log = store_.logs->find(name);
    if (!bytes(log, static_cast<uint32_t>(1 + random_.below(16)))) return false;
  }
  return true;
}

bool Workload::seal() {
  log::Log* log = pick_log();
  if (log == nullptr) return true;
  const bool all_durable = log->first() < log->next() && log->durable() + 1 == log->next();
  auto sealed = log->seal();
  if (sealed && all_durable) model_.sealed(log->id());
  return harmless(sealed, "seal");
}

bool Workload::remove() {
  log::Log* log = pick_log();
  if (log == nullptr) return true;
  const uint64_t id = log->id();
  auto ticket = store_.logs->remove(log->name());
  if (!harmless(ticket, "remove")) return false;
  if (ticket) model_.removed(id);
  return true;
}

bool Workload::commit(bool wait) {
  const Ticket filling = store_.core->filling();
  model_.closing(filling);
  auto done = wait ? store_.core->wait_durable(filling) : store_.core->commit();
  if (!done && done.error().code() == Code::failed && shadow_.failed()) {
    failed_ = true;  // the ticket may have been closed: both states stay possible
    return false;
  }
  model_.closed(store_.core->filling());
  if (wait && done && store_.core->durable() < filling) return wrong("wait_durable did not wait");
  return harmless(done, "commit");
}

bool Workload::poll() {
  model_.closing(store_.core->filling());
  auto done = store_.core->poll_sync();
  if (!done && shadow_.failed()) {
    failed_ = true;
    return false;
  }
  model_.closed(store_.core->filling());
  return harmless(done, "poll");
}

bool Workload::reply() {
  model_.acknowledged(store_.core->durable());
  shadow_.mark();
  return true;
}

bool Workload::read() {
  log::Log* log = pick_log();
  if (log == nullptr || log->first() == log->next()) return true;
  const Lsn lsn = log->first() + random_.below(log->next() - log->first());
  auto record = log->read(lsn);
  if (model_.now().at(log->id()).deleted.contains(lsn)) {
    return (!record && record.error().code() == Code::not_found) ||
           wrong("a deleted record was read");
  }
  if (!record) return wrong(fmt::format("read: {}", record.error().message()));
  return text_of(*store_.core, *record) == model_.record(log->id(), lsn).bytes ||
         wrong("read: other bytes than were appended");
}

bool Workload::finish() {
  if (!commit(true)) return false;
  return reply();
}

}  // namespace paste::crash
