#include "server/housekeeping.h"

#include <algorithm>

#include "base/logging.h"
#include "base/time.h"

namespace paste::server {

namespace {
constexpr uint64_t kScrubNsMax = 1'000'000;  // of one tick
constexpr uint32_t kScrubStep = 8;           // records between looks at the clock
}  // namespace

void Housekeeping::tick() {
  if (context_.core.failed()) return;
  scrub();
  const bool second = ++ticks_ % kTicksPerSecond == 0;
  // A small pool under load fills in less than a second.
  const uint32_t buffers = context_.core.buffer_end() - context_.core.first_buffer();
  if (second || context_.core.stats().buffers_free < buffers / 4) retain();
  if (!second) return;
  seal_idle();
}

void Housekeeping::retain() {
  const Retention& limits = context_.options.retention;
  const auto age_ns = static_cast<uint64_t>(std::max<int64_t>(0, limits.age.count()));
  if (limits.count == 0 && limits.bytes == 0 && age_ns == 0) return;
  for (log::Log* log : context_.logs.list()) {
    Lsn cut = log->first();
    if (limits.count != 0) cut = std::max(cut, log->cut_for_count(limits.count));
    if (limits.bytes != 0) cut = std::max(cut, log->cut_for_bytes(limits.bytes));
    if (age_ns != 0 && context_.wall_ns > age_ns) {
      cut = std::max(cut, log->cut_for_age(context_.wall_ns - age_ns));
    }
    // A full publish list is no loss: the next second tries again.
    if (cut > log->first() && log->truncate(cut)) ++context_.metrics.retention_truncations;
  }
}

void Housekeeping::seal_idle() {
  const auto after =
      static_cast<uint64_t>(std::max<int64_t>(0, context_.options.seal_after.count()));
  for (log::Log* log : context_.logs.list()) {
    Seen& seen = seen_[log->id()];
    if (seen.next != log->next()) {
      seen = {log->next(), context_.now_ns, false};
    } else if (!seen.sealed && context_.now_ns - seen.since_ns >= after &&
               log->durable() + 1 >= log->next()) {
      seen.sealed = log->seal().has_value();
    }
  }
}

Result<void> Housekeeping::seal_all() {
  for (log::Log* log : context_.logs.list()) {
    const auto sealed = log->seal();
    if (!sealed && sealed.error().code() == Code::failed) return sealed;
  }
  return {};
}

void Housekeeping::scrub() {
  uint32_t left = context_.options.scrub_per_second / kTicksPerSecond;
  if (context_.options.scrub_per_second != 0) left = std::max(left, 1u);
  const uint64_t started = base::monotonic_ns();
  while (left != 0) {
    const uint32_t step = std::min(left, kScrubStep);
    context_.logs.scrub(step, [this](log::Log& log, Lsn lsn) {
      ++context_.metrics.scrub_corrupt;
      base::log_error("record {} of log {} is damaged; reading it fails", lsn, log.name());
    });
    left -= step;
    if (base::monotonic_ns() - started > kScrubNsMax) break;
  }
}

}  // namespace paste::server
