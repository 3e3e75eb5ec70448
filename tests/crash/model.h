// What a crash may leave of a run, in the words of the user: logs and records.
//
// The model is told each operation as the run does it, and which tickets are acknowledged. What is
// published (which logs exist, where they begin, what is deleted) changes from ticket to ticket as
// a whole; records follow one another without holes.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "log/log.h"
#include "pool/core.h"

namespace paste::crash {

// A pool and its logs, opened.
struct Store {
  pmem::Region* region = nullptr;  // owned by core
  std::unique_ptr<pool::Core> core;
  std::unique_ptr<log::Logs> logs;

  static Result<Store> open(std::unique_ptr<pmem::Region> region,
                            std::vector<pool::Finding>* findings = nullptr);
};

struct ModelRecord {
  std::string bytes;
  uint64_t time_ns = 0;
  uint32_t auxiliary = 0;  // 0: not compared (records of several ranges keep none)
};

// What can be seen of one log.
struct LogView {
  Lsn first = 1;
  Lsn next = 1;
  std::set<Lsn> deleted;  // of first … next-1
  Lsn sealed = 0;         // a seal vouches for everything up to here
};
using View = std::map<uint64_t, LogView>;  // by log id

class Model {
 public:
  // --- Told by the run --------------------------------------------------------------------------
  void created(uint64_t id, std::string name);
  void removed(uint64_t id);
  // Before the call that may append it: from now on the record may be found. Then one of the two.
  void appending(uint64_t id, ModelRecord record);
  void appended(uint64_t id, Lsn lsn);
  void not_appended(uint64_t id);
  void erased(uint64_t id, Lsn lsn);
  void truncated(uint64_t id, Lsn first);
  void sealed(uint64_t id) { now_.at(id).sealed = now_.at(id).next - 1; }
  // The filling ticket is about to be closed: from now on its state may be found.
  void closing(Ticket filling) { closing_ = filling; }
  // The call that could close it has returned.
  void closed(Ticket filling);
  // Everything up to the ticket was acknowledged to somebody.
  void acknowledged(Ticket ticket);

  // --- Asked by the oracle ----------------------------------------------------------------------
  // What is wrong with what was recovered; empty if nothing. Reads every record.
  [[nodiscard]] std::string check(Store& store) const;
  // The model of the life that begins with what was recovered; all of it counts as acknowledged.
  // REQUIRES: check(store) found nothing.
  [[nodiscard]] Model accept(Store& store) const;
  // Logs whose last record is vouched for by an acknowledged seal, with nothing appended since.
  [[nodiscard]] std::vector<uint64_t> sealed_logs() const;
  // Grows whenever more is promised.
  [[nodiscard]] uint64_t epoch() const noexcept { return epoch_; }

  [[nodiscard]] const View& now() const noexcept { return now_; }
  [[nodiscard]] const std::string& name(uint64_t id) const { return logs_.at(id).name; }
  [[nodiscard]] const ModelRecord& record(uint64_t id, Lsn lsn) const {
    return logs_.at(id).records.at(lsn);
  }

 private:
  struct LogModel {
    std::string name;
    std::map<Lsn, ModelRecord> records;  // all that were ever appended
    Lsn next = 1;
  };
  struct Closed {
    Ticket ticket;
    View view;
  };
  [[nodiscard]] std::string check_against(const View& view, Store& store) const;
  [[nodiscard]] std::string check_record(const LogModel& model, log::Log& log, Lsn lsn,
                                         const pool::Core& core) const;

  std::map<uint64_t, LogModel> logs_;  // removed ones too
  View now_;
  std::deque<Closed> closed_{{Ticket{0}, {}}};  // ascending; the first one is acknowledged
  Ticket closing_{0};
  Ticket acknowledged_{0};
  uint64_t epoch_ = 0;
};

// Everything that a user can see, as a hash: equal for equal content.
[[nodiscard]] uint64_t content_hash(Store& store);
// The bytes of a record.
[[nodiscard]] std::string text_of(const pool::Core& core, const Record& record);

}  // namespace paste::crash
