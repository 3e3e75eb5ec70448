#include "tests/crash/model.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"

namespace paste::crash {

Result<Store> Store::open(std::unique_ptr<pmem::Region> region,
                          std::vector<pool::Finding>* findings) {
  Store store;
  store.region = region.get();
  PASTE_TRY_ASSIGN(store.core, pool::Core::open(std::move(region), {.findings = findings}));
  PASTE_TRY_ASSIGN(store.logs, log::Logs::recover(*store.core));
  PASTE_TRY(store.core->finish_recovery());
  return store;
}

std::string text_of(const pool::Core& core, const Record& record) {
  std::string text;
  text.reserve(record.length);
  for (const Slice& slice : record.slices) text += as_text(core.bytes(slice));
  return text;
}

void Model::created(uint64_t id, std::string name) {
  PASTE_CHECK(!now_.contains(id));
  logs_[id] = {std::move(name), {}, 1};  // an id whose creation a crash undid may come again
  now_[id] = {};
}

void Model::removed(uint64_t id) { PASTE_CHECK(now_.erase(id) == 1); }

void Model::appending(uint64_t id, ModelRecord record) {
  LogModel& log = logs_.at(id);
  log.records[log.next++] = std::move(record);
}

void Model::appended(uint64_t id, Lsn lsn) {
  LogView& view = now_.at(id);
  PASTE_CHECK(lsn == view.next);
  view.next = lsn + 1;
  PASTE_CHECK(logs_.at(id).next == view.next);
}

void Model::not_appended(uint64_t id) { --logs_.at(id).next; }

void Model::erased(uint64_t id, Lsn lsn) { PASTE_CHECK(now_.at(id).deleted.insert(lsn).second); }

void Model::truncated(uint64_t id, Lsn first) {
  LogView& view = now_.at(id);
  PASTE_CHECK(first >= view.first && first <= view.next);
  view.first = first;
  view.deleted.erase(view.deleted.begin(), view.deleted.lower_bound(first));
}

void Model::closed(Ticket filling) {
  const Ticket before = closing_;
  closing_ = Ticket{0};
  if (filling > before) closed_.push_back({before, now_});
}

void Model::acknowledged(Ticket ticket) {
  if (ticket <= acknowledged_) return;
  acknowledged_ = ticket;
  ++epoch_;
  while (closed_.size() > 1 && closed_[1].ticket <= ticket) closed_.pop_front();
}

std::string Model::check(Store& store) const {
  std::string all;
  for (const Closed& closed : closed_) {
    const std::string wrong = check_against(closed.view, store);
    if (wrong.empty()) return {};
    all += fmt::format("{}ticket {}: {}", all.empty() ? "" : "; ", closed.ticket.value, wrong);
  }
  if (closing_ == Ticket{0}) return all;
  const std::string wrong = check_against(now_, store);
  if (wrong.empty()) return {};
  return fmt::format("{}; closing {}: {}", all, closing_.value, wrong);
}

std::string Model::check_against(const View& view, Store& store) const {
  std::vector<log::Log*> found = store.logs->list();
  if (found.size() != view.size()) {
    return fmt::format("{} logs instead of {}", found.size(), view.size());
  }
  for (log::Log* log : found) {
    const auto expected = view.find(log->id());
    if (expected == view.end()) return fmt::format("log {} should not be there", log->id());
    const LogView& want = expected->second;
    const LogModel& model = logs_.at(log->id());
    if (log->name() != model.name)
      return fmt::format("log {} is called {}", log->id(), log->name());
    if (store.logs->find(model.name) != log) return "a log cannot be found by its name";
    if (log->first() != want.first) {
      return fmt::format("log {} begins at {} instead of {}", log->id(), log->first(), want.first);
    }
    if (log->next() < want.next || log->next() > model.next) {
      return fmt::format("log {} ends before {}; {} is promised and {} was the most", log->id(),
                         log->next(), want.next, model.next);
    }
    for (Lsn lsn = log->first(); lsn < log->next(); ++lsn) {
      if (want.deleted.contains(lsn)) {
        const auto read = log->read(lsn);
        if (read || read.error().code() != Code::not_found) {
          return fmt::format("record {} of log {} is back", lsn, log->id());
        }
      } else if (std::string wrong = check_record(model, *log, lsn, *store.core); !wrong.empty()) {
        return wrong;
      }
    }
  }
  return {};
}

std::string Model::check_record(const LogModel& model, log::Log& log, Lsn lsn,
                                const pool::Core& core) const {
  const auto wanted = model.records.find(lsn);
  PASTE_CHECK(wanted != model.records.end());
  const auto record = log.read(lsn);
  if (!record) {
    return fmt::format("record {} of log {}: {}", lsn, log.id(), record.error().message());
  }
  const ModelRecord& want = wanted->second;
  std::string_view rest = want.bytes;
  bool equal = record->length == rest.size() && record->time_ns == want.time_ns &&
               (want.auxiliary == 0 || record->auxiliary == want.auxiliary);
  for (const Slice& slice : record->slices) {
    equal = equal && rest.size() >= slice.length &&
            as_text(core.bytes(slice)) == rest.substr(0, slice.length);
    if (equal) rest.remove_prefix(slice.length);
  }
  if (equal && rest.empty()) return {};
  return fmt::format("record {} of log {} is not what was appended", lsn, log.id());
}

Model Model::accept(Store& store) const {
  Model next;
  for (log::Log* log : store.logs->list()) {
    LogView view{log->first(), log->next(), {}};
    const LogModel& old = logs_.at(log->id());
    LogModel model{old.name, {}, log->next()};
    for (Lsn lsn = view.first; lsn < view.next; ++lsn) {
      model.records[lsn] = old.records.at(lsn);
      if (!log->read(lsn)) view.deleted.insert(lsn);
    }
    next.logs_[log->id()] = std::move(model);
    next.now_[log->id()] = std::move(view);
  }
  next.closed_ = {{Ticket{0}, next.now_}};
  return next;
}

std::vector<uint64_t> Model::sealed_logs() const {
  std::vector<uint64_t> ids;
  for (const auto& [id, view] : closed_.front().view) {
    const LogModel& log = logs_.at(id);
    if (view.sealed != 0 && view.sealed + 1 == log.next) ids.push_back(id);
  }
  return ids;
}

uint64_t content_hash(Store& store) {
  uint32_t state = base::kCrcInit;
  uint64_t sum = 0;
  for (log::Log* log : store.logs->list()) {
    state = base::crc32c_extend(state, as_bytes(log->name()));
    for (const uint64_t n : {log->id(), log->first(), log->next(), log->bytes()}) {
      state = base::crc32c_extend_value(state, n);
    }
    for (Lsn lsn = log->first(); lsn < log->next(); ++lsn) {
      const auto record = log->read(lsn);
      const uint64_t code = record ? 0 : 1 + static_cast<uint64_t>(record.error().code());
      state = base::crc32c_extend_value(state, code);
      if (!record) continue;
      state = base::crc32c_extend_value(state, record->time_ns);
      state = base::crc32c_extend_value(state, record->auxiliary);
      for (const Slice& slice : record->slices) {
        state = base::crc32c_extend(state, store.core->bytes(slice));
      }
    }
    sum = sum * 31 + state;
  }
  return sum;
}

}  // namespace paste::crash
