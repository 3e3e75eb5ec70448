// Bodies, held in place while they arrive, and their append.
#include <charconv>
#include <cstring>

#include "base/check.h"
#include "server/http_front.h"

namespace paste::server {

namespace {
// A client that sends a body in tiny packets would keep a whole buffer for each: once this many
// pieces are held, smaller ones are copied together. So a body keeps at most 8 times its size.
constexpr size_t kPiecesFree = 16;
constexpr size_t kPieceSmall = 256;
constexpr size_t kSlicesKept = 4096;  // capacity that a connection may retain
}  // namespace

void HttpFront::take_body(Connection& c, Slice piece) {
  if (c.call.route != Route::log_append || c.call.refusal) return;  // passes unseen
  Body& body = c.body;
  Metrics& metrics = context_.metrics;
  if (body.slices.size() >= kPiecesFree && piece.length <= kPieceSmall &&
      copy_into_tail(body, piece)) {
    body.bytes += piece.length;
    return;
  }
  const bool same = !body.slices.empty() && body.slices.back().buffer == piece.buffer;
  const uint64_t cost = same ? 0 : context_.core.buffer_size();
  if (metrics.bodies_held_bytes + cost > context_.options.http.bodies_bytes_max) {
    return refuse_body(c, {503, "too many bodies are arriving; try again", "Retry-After: 1\r\n"});
  }
  if (cost != 0 && !context_.core.has_room(1)) {
    return refuse_body(c,
                       {507, "the pool is full: delete or truncate records, then try again", ""});
  }
  context_.core.hold(piece.buffer);
  body.slices.push_back(piece);
  body.bytes += piece.length;
  body.held_bytes += cost;
  metrics.bodies_held_bytes += cost;
  body.tail_is_ours = false;
}

bool HttpFront::copy_into_tail(Body& body, Slice piece) {
  pool::Core& core = context_.core;
  const bool fits =
      body.tail_is_ours && uint32_t{body.slices.back().length} + piece.length <= core.buffer_size();
  if (!fits) {
    const uint64_t cost = core.buffer_size();
    if (context_.metrics.bodies_held_bytes + cost > context_.options.http.bodies_bytes_max)
      return false;
    const auto taken = core.take(pool::Purpose::data);
    if (!taken) return false;
    body.slices.push_back({*taken, 0, 0});
    body.tail_is_ours = true;
    body.held_bytes += cost;
    context_.metrics.bodies_held_bytes += cost;
  }
  Slice& tail = body.slices.back();
  std::memcpy(core.buffer(tail.buffer) + tail.length, core.bytes(piece).data(), piece.length);
  tail.length = static_cast<uint16_t>(tail.length + piece.length);
  return true;
}

void HttpFront::release_body(Body& body) {
  for (const Slice s : body.slices) context_.core.release(s.buffer);
  context_.metrics.bodies_held_bytes -= body.held_bytes;
  body.slices.clear();
  if (body.slices.capacity() > kSlicesKept) std::vector<Slice>().swap(body.slices);
  body.bytes = 0;
  body.held_bytes = 0;
  body.tail_is_ours = false;
}

void HttpFront::refuse_body(Connection& c, const Refusal& refusal) {
  // Told at once: the rest of the body could take long, and nothing of it can be kept.
  c.call.refusal = refusal;
  c.call.style.keep_alive = false;
  finish_call(c);
}

Result<log::Appended> HttpFront::append_once(Connection& c, log::Log*& log) {
  log = context_.logs.find(c.call.name());
  if (log == nullptr) {
    PASTE_TRY_ASSIGN(log, context_.logs.create(c.call.name()));
  }
  const log::AppendOptions options{.time_ns = context_.wall_ns};
  if (!context_.options.copy) return log->append(c.body.slices, options);
  if (c.body.slices.size() == 1) {
    return log->append_bytes(context_.core.bytes(c.body.slices[0]), options);
  }
  copy_.clear();
  for (const Slice s : c.body.slices) copy_ += as_text(context_.core.bytes(s));
  return log->append_bytes(as_bytes(copy_), options);
}

void HttpFront::call_append(Connection& c) {
  log::Log* log = nullptr;
  auto appended = append_once(c, log);
  if (!appended && appended.error().code() == Code::busy) {
    if (!context_.core.commit()) return abort(c);
    appended = append_once(c, log);
  }
  if (!appended) {
    release_body(c.body);
    gate(log != nullptr ? log->changed() : context_.logs.changed());
    return reply_error(c, appended.error());
  }
  ++context_.batch_appends;
  context_.metrics.append_bytes += c.body.bytes;
  if (!context_.options.copy) c.body.slices.clear();  // the log has the holds now
  release_body(c.body);
  gate(appended->ticket);
  char text[24];
  const auto end = std::to_chars(text, text + sizeof text - 1, appended->lsn).ptr;
  *end = '\n';
  reply(c, 200, {}, {text, static_cast<size_t>(end + 1 - text)});
}

}  // namespace paste::server
