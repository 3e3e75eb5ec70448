#include "paste/log.h"

#include "log/log.h"
#include "paste/port.h"

namespace paste {

Result<Appended> Log::append(Held&& held, const AppendOptions& options) {
  auto appended = log_->append(held.slices_, options);
  if (appended) held.core_ = nullptr;  // the log has taken the holds over
  return appended;
}
Result<Appended> Log::append(Bytes bytes, const AppendOptions& options) {
  return log_->append_bytes(bytes, options);
}
Result<Record> Log::read(Lsn lsn) { return log_->read(lsn); }
Result<Ticket> Log::erase(Lsn lsn) { return log_->erase(lsn); }
Result<Ticket> Log::truncate(Lsn keep_from) { return log_->truncate(keep_from); }
Lsn Log::first() const noexcept { return log_->first(); }
Lsn Log::next() const noexcept { return log_->next(); }
Lsn Log::durable() const noexcept { return log_->durable(); }
Ticket Log::changed() const noexcept { return log_->changed(); }

}  // namespace paste
