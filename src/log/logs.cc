// The directory of a pool's logs, and what log.h promises of one, handed to its state.
#include <algorithm>
#include <unordered_map>

#include "base/check.h"
#include "log/log.h"
#include "log/recover.h"
#include "log/state.h"

namespace paste::log {

struct Log::State : LogState {
  using LogState::LogState;
};

struct Logs::State {
  explicit State(pool::Core& pool) : shared(pool) {}
  Log* add(pool::Root& root);
  void forget(const LogState& log);
  Result<void> recover();
  template <typename Step>
  Result<void> recover_each(std::vector<LogRecovery>& recoveries, Step step);

  Shared shared;
  std::vector<std::unique_ptr<Log>> logs;  // in the order of creation; removed ones too
  std::unordered_map<std::string_view, Log*> by_name;
  size_t scrub_log = 0;
  Lsn scrub_lsn = 0;
  uint64_t scrub_passes = 0;
};

Log::Log(std::unique_ptr<State> state) : state_(std::move(state)) {}
Log::~Log() = default;

std::string_view Log::name() const noexcept { return state_->root().name; }
uint64_t Log::id() const noexcept { return state_->root().id; }
bool Log::removed() const noexcept { return state_->removed(); }
Lsn Log::first() const noexcept { return state_->first(); }
Lsn Log::next() const noexcept { return state_->next(); }
Lsn Log::durable() const noexcept { return state_->durable(); }
uint64_t Log::bytes() const noexcept { return state_->bytes(); }
Ticket Log::changed() const noexcept { return state_->changed(); }
Result<Appended> Log::append(std::span<const Slice> slices, const AppendOptions& options) {
  return state_->append(slices, options);
}
Result<Appended> Log::append_bytes(Bytes bytes, const AppendOptions& options) {
  return state_->append_bytes(bytes, options);
}
Result<Record> Log::read(Lsn lsn) { return state_->read(lsn); }
Result<Ticket> Log::erase(Lsn lsn) { return state_->erase(lsn); }
Result<Ticket> Log::truncate(Lsn keep_from) { return state_->truncate(keep_from); }
Lsn Log::cut_for_count(uint64_t count) const noexcept { return state_->cut_for_count(count); }
Lsn Log::cut_for_bytes(uint64_t bytes) noexcept { return state_->cut_for_bytes(bytes); }
Lsn Log::cut_for_age(uint64_t oldest_ns) noexcept { return state_->cut_for_age(oldest_ns); }
Result<void> Log::seal() { return state_->seal(); }

Logs::Logs(std::unique_ptr<State> state) : state_(std::move(state)) {}
Logs::~Logs() = default;

Log* Logs::State::add(pool::Root& root) {
  logs.push_back(std::unique_ptr<Log>(new Log(std::make_unique<Log::State>(shared, root))));
  Log* log = logs.back().get();
  by_name.emplace(log->name(), log);
  return log;
}

void Logs::State::forget(const LogState& log) {
  by_name.erase(log.root().name);
  logs.erase(std::find_if(logs.begin(), logs.end(),
                          [&](const auto& each) { return each->state_.get() == &log; }));
}

Result<std::unique_ptr<Logs>> Logs::recover(pool::Core& core) {
  auto state = std::make_unique<State>(core);
  PASTE_TRY(state->recover());
  return std::unique_ptr<Logs>(new Logs(std::move(state)));
}

Result<void> Logs::State::recover() {
  std::vector<pool::Root*> roots;
  for (const auto& root : shared.core.roots()) {
    if (root->live && root->type == pool::format::RootType::log) roots.push_back(root.get());
  }
  std::sort(roots.begin(), roots.end(),
            [](const pool::Root* a, const pool::Root* b) { return a->id < b->id; });
  std::vector<LogRecovery> recoveries;
  recoveries.reserve(roots.size());
  for (pool::Root* root : roots) recoveries.emplace_back(shared, *add(*root)->state_);

  PASTE_TRY(recover_each(recoveries, [](LogRecovery& log) { return log.scan(); }));
  PASTE_TRY(recover_each(recoveries, [](LogRecovery& log) { return log.claim_pages(); }));
  for (LogRecovery& log : recoveries) log.claim_records();
  shared.stats.logs = logs.size();
  if (shared.core.findings() != nullptr) return {};
  for (LogRecovery& log : recoveries) log.repair();
  for (LogRecovery& log : recoveries) log.wipe();
  return {};
}

// In check mode a log that nothing more can be said of is left out, and the others go on.
template <typename Step>
Result<void> Logs::State::recover_each(std::vector<LogRecovery>& recoveries, Step step) {
  std::vector<LogRecovery> kept;
  kept.reserve(recoveries.size());
  for (LogRecovery& recovery : recoveries) {
    auto done = step(recovery);
    if (done) {
      kept.push_back(std::move(recovery));
      continue;
    }
    if (shared.core.findings() == nullptr) return fail(std::move(done).error());
    forget(recovery.log());  // `recovery` is not used again
  }
  recoveries = std::move(kept);
  return {};
}

Log* Logs::find(std::string_view name) noexcept {
  const auto found = state_->by_name.find(name);
  return found == state_->by_name.end() ? nullptr : found->second;
}

bool Logs::valid_name(std::string_view name) noexcept {
  if (name.empty() || name.size() > kNameMax || name[0] == '.') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

Result<Log*> Logs::create(std::string_view name) {
  pool::Core& core = state_->shared.core;
  if (!valid_name(name)) {
    return fail(Code::invalid,
                "a log's name has 1 to 64 of A-Z a-z 0-9 . _ - and does not start with '.'");
  }
  if (find(name) != nullptr) return fail(Code::exists, "there is a log of this name already");
  if (core.failed()) return fail(Code::failed, "the pool's medium failed; nothing more is stored");
  PASTE_TRY_ASSIGN(const BufferName page, core.take_zeroed(pool::Purpose::structure));
  auto root = core.create_root(pool::format::RootType::log, name, {page, 1, 0});
  if (!root) {
    core.release(page);
    return fail(std::move(root).error());
  }
  Log* log = state_->add(**root);
  log->state_->begin(page);
  state_->shared.changed = core.filling();
  return log;
}

Result<Ticket> Logs::remove(std::string_view name) {
  Log* log = find(name);
  if (log == nullptr) return fail(Code::not_found, "there is no log of this name");
  PASTE_TRY_ASSIGN(const Ticket ticket, log->state_->remove());
  state_->by_name.erase(name);
  state_->shared.changed = ticket;
  return ticket;
}

std::vector<Log*> Logs::list() {
  std::vector<Log*> all;
  all.reserve(state_->by_name.size());
  for (const auto& log : state_->logs) {
    if (!log->removed()) all.push_back(log.get());
  }
  return all;
}

Ticket Logs::changed() const noexcept { return state_->shared.changed; }

bool Logs::reclaim(uint32_t pages) {
  Shared& shared = state_->shared;
  int64_t credit = int64_t{pages} * format::records_per_page(shared.core.buffer_size());
  while (credit > 0 && !shared.lists.empty()) {
    release_piece_list(shared.core, shared.lists.back(), credit);
    if (shared.lists.back().buffer == kNoBuffer) shared.lists.pop_back();
  }
  while (credit > 0 && !shared.reclaim.empty()) {
    LogState* log = shared.reclaim.back();
    if (!log->reclaim(credit)) shared.reclaim.pop_back();
  }
  return !shared.lists.empty() || !shared.reclaim.empty();
}

void Logs::scrub(uint32_t records, const std::function<void(Log&, Lsn)>& found) {
  State& state = *state_;
  for (uint32_t steps = 0; steps < records; ++steps) {
    while (state.scrub_log < state.logs.size()) {
      const Log& log = *state.logs[state.scrub_log];
      state.scrub_lsn = std::max(state.scrub_lsn, log.first());
      if (!log.removed() && state.scrub_lsn < log.next()) break;
      ++state.scrub_log;
      state.scrub_lsn = 0;
    }
    if (state.scrub_log == state.logs.size()) {
      state.scrub_log = 0;
      ++state.scrub_passes;
      return;
    }
    Log& log = *state.logs[state.scrub_log];
    const Lsn lsn = state.scrub_lsn++;
    if (!log.state_->present(lsn) || log.state_->check(lsn) == Verdict::good) continue;
    if (log.state_->mark_damaged(lsn)) ++state.shared.stats.corrupt;
    if (found) found(log, lsn);
  }
}

uint64_t Logs::scrub_passes() const noexcept { return state_->scrub_passes; }
const RecoveryStats& Logs::recovery() const noexcept { return state_->shared.stats; }

LogState::LogState(Shared& shared, pool::Root& root)
    : shared_(shared),
      core_(shared.core),
      root_(root),
      seed_(log_seed(shared.core.crc_seed(), root.id)),
      per_page_(format::records_per_page(shared.core.buffer_size())) {}

void LogState::begin(BufferName page) {
  write_header(page, 1);
  Page first;
  first.name = page;
  pages_.push_back(first);
  changed_ = core_.filling();
}

}  // namespace paste::log
