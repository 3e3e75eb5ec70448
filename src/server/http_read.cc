// Records to the client: streamed, a bounded share a turn, as fast as the client takes them.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "server/http_front.h"

namespace paste::server {

namespace {
constexpr uint64_t kTurnBytes = 512 * 1024;  // of one connection in one turn
constexpr uint64_t kRecordCost = 256;        // of its share that a record takes beside its bytes
constexpr uint32_t kSendSlices = 64;
constexpr uint32_t kSkipMax = 4096;  // deleted records that one request looks past at once
constexpr size_t kJsonChunk = 16 * 1024;
constexpr std::string_view kTypes[] = {"application/octet-stream", "application/x-ndjson",
                                       "text/plain; charset=utf-8"};

static_assert(std::endian::native == std::endian::little, "the binary form is copied as it is");

// docs/http-api.md, "The binary form".
struct BinaryHead {
  uint64_t lsn;
  uint64_t time_ns;
  uint32_t length;
  uint32_t auxiliary;
};
static_assert(sizeof(BinaryHead) == 24);

void append_log_fields(std::string& out, const log::Log& log) {
  out += "Log-First: ";
  proto::append_decimal(out, log.first());
  out += "\r\nLog-Next: ";
  proto::append_decimal(out, log.next());
  out += "\r\n";
}
}  // namespace

void HttpFront::call_read(Connection& c) {
  log::Log* log = require_log(c);
  if (log == nullptr) return;
  gate(log->changed());
  Lsn from = std::max<Lsn>({c.call.lsn, log->first(), 1});
  // The first record decides between a reply and an error; later ones can only cut the stream.
  for (uint32_t skipped = 0; from < log->next() && skipped < kSkipMax; ++skipped) {
    const auto record = log->read(from);
    if (record) break;
    if (record.error().code() != Code::not_found) return reply_error(c, record.error());
    ++from;
  }
  begin_stream(c, *log, from);
}

void HttpFront::begin_stream(Connection& c, log::Log& log, Lsn from) {
  text_.clear();
  append_log_fields(text_, log);
  const bool head = c.call.method == proto::Method::head;
  ReadStream& s = c.stream;
  s = ReadStream{};
  s.log = &log;
  s.next = from;
  s.left = c.call.limit;
  s.format = c.call.format;
  s.chunked = c.call.style.http11;
  s.follow = c.call.follow;
  if (!s.chunked) c.call.style.keep_alive = false;  // the close is the end of the body
  const auto type = kTypes[static_cast<size_t>(s.format)];
  proto::append_head(out_, {200, type, std::nullopt, text_}, style(c));
  context_.metrics.count_request(c.call.route, 200);
  if (head) {
    if (!style(c).keep_alive) linger(c);
    return;
  }
  c.phase = Phase::streaming;
}

void HttpFront::pump(Connection& c) {
  c.follower = false;
  const Pump result = pump_records(c);
  if (result != Pump::broken) flush_json(c);
  switch (result) {
    case Pump::broken:
      ++context_.metrics.streams_aborted;
      return abort(c);
    case Pump::done:
      end_stream(c);
      return;
    case Pump::more:
      if (flush(c)) mark_ready(c);
      return;
    case Pump::waiting:
      if (!flush(c)) return;
      c.follower = true;
      followers_.push_back(c.id);
      return;
    case Pump::blocked:
      return;
  }
}

HttpFront::Pump HttpFront::pump_records(Connection& c) {
  ReadStream& s = c.stream;
  uint64_t budget = kTurnBytes;
  text_.clear();
  for (;;) {
    if (!s.in_record) {
      if (s.left == 0) return Pump::done;
      if (s.log->removed()) return Pump::done;
      s.next = std::max(s.next, s.log->first());
      if (s.next >= s.log->next()) {
        return s.follow && !context_.stopping && !c.peer_closed ? Pump::waiting : Pump::done;
      }
      if (budget < kRecordCost) return Pump::more;
    }
    budget -= std::min(budget, kRecordCost);
    gate(s.log->changed());
    const auto record = s.log->read(s.next);
    if (!record) {
      // Half a record cannot be taken back, and a damaged one must not look like the end.
      if (s.in_record || record.error().code() != Code::not_found) return Pump::broken;
      ++s.next;
      continue;
    }
    if (!s.in_record) begin_record(s, *record);
    const Pump result = s.format == ReadFormat::ndjson ? pump_json(c, *record, budget)
                                                       : pump_slices(c, *record, budget);
    if (result != Pump::done) return result;
    context_.metrics.read_bytes += record->length;
    end_record(c);
  }
}

void HttpFront::begin_record(ReadStream& s, const log::Record& record) {
  s.in_record = true;
  s.slice_index = 0;
  if (s.format == ReadFormat::ndjson) {
    proto::Utf8Checker checker;
    for (const Slice slice : record.slices) {
      if (!checker.add(as_text(context_.core.bytes(slice)))) break;
    }
    s.utf8 = checker.complete();
    s.base64 = {};
    text_ += "{\"lsn\":";
    proto::append_decimal(text_, record.lsn);
    text_ += ",\"time\":";
    proto::append_decimal(text_, record.time_ns);
    text_ += s.utf8 ? ",\"data\":\"" : ",\"base64\":\"";
    return;
  }
  const bool binary = s.format == ReadFormat::binary;
  if (s.chunked) {
    proto::append_chunk_size(out_, uint64_t{record.length} + (binary ? sizeof(BinaryHead) : 1));
  }
  if (!binary) return;
  const BinaryHead head{record.lsn, record.time_ns, record.length, record.auxiliary};
  std::array<char, sizeof head> bytes;
  std::memcpy(bytes.data(), &head, sizeof head);
  out_.append(bytes.data(), bytes.size());
}

HttpFront::Pump HttpFront::pump_slices(Connection& c, const log::Record& record, uint64_t& budget) {
  ReadStream& s = c.stream;
  const Ticket after = gate_;
  if (s.slice_index < record.slices.size() && !flush(c)) return Pump::blocked;
  while (s.slice_index < record.slices.size()) {
    if (budget == 0) return Pump::more;
    const auto part =
        record.slices.subspan(s.slice_index)
            .first(std::min<size_t>(kSendSlices, record.slices.size() - s.slice_index));
    const auto sent = context_.driver.send(c.id, part, {.after = after});
    if (!sent) {
      c.blocked = sent.error().code() == Code::busy;
      return c.blocked ? Pump::blocked : Pump::broken;
    }
    s.slice_index += static_cast<uint32_t>(part.size());
    for (const Slice slice : part) budget -= std::min<uint64_t>(budget, slice.length);
  }
  gate(after);
  if (s.format == ReadFormat::text) out_ += '\n';
  if (s.chunked) out_ += "\r\n";
  return Pump::done;
}

HttpFront::Pump HttpFront::pump_json(Connection& c, const log::Record& record, uint64_t& budget) {
  ReadStream& s = c.stream;
  while (s.slice_index < record.slices.size()) {
    if (budget == 0) {
      flush_json(c);
      return Pump::more;
    }
    const Slice slice = record.slices[s.slice_index++];
    const std::string_view piece = as_text(context_.core.bytes(slice));
    if (s.utf8) {
      proto::append_json_escaped(text_, piece);
    } else {
      s.base64.add(text_, piece);
    }
    budget -= std::min<uint64_t>(budget, slice.length);
    if (text_.size() < kJsonChunk) continue;
    flush_json(c);
    gate(s.log->changed());
    if (!c.pending.empty()) return Pump::blocked;
  }
  s.base64.finish(text_);
  text_ += "\"}\n";
  return Pump::done;
}

void HttpFront::flush_json(Connection& c) {
  if (text_.empty()) return;
  if (c.stream.chunked) proto::append_chunk_size(out_, text_.size());
  out_ += text_;
  if (c.stream.chunked) out_ += "\r\n";
  text_.clear();
  flush(c);
}

void HttpFront::end_record(Connection& c) {
  ReadStream& s = c.stream;
  s.in_record = false;
  ++s.next;
  if (s.left != UINT64_MAX) --s.left;
  ++context_.metrics.read_records;
}

void HttpFront::end_stream(Connection& c) {
  if (c.stream.chunked) out_ += proto::kLastChunk;
  c.phase = Phase::open;
  if (!style(c).keep_alive) linger(c);
  if (!flush(c) || c.phase != Phase::open) return;
  if (!context_.driver.received(c.id).empty() || c.peer_closed) mark_ready(c);
}

}  // namespace paste::server
