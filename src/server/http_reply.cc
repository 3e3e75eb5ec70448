// Replies of the connection being served: gathered in out_, sent together, behind one gate.
#include <algorithm>

#include "server/http_front.h"

namespace paste::server {

namespace {
// A larger reply is queued in parts, so that one beyond the driver's bound still gets through.
constexpr size_t kSendBytesMax = 128 * 1024;
}  // namespace

proto::ResponseStyle HttpFront::style(const Connection& c) const noexcept {
  proto::ResponseStyle style = c.call.style;
  if (context_.stopping) style.keep_alive = false;
  return style;
}

void HttpFront::reply(Connection& c, uint16_t status, std::string_view type, std::string_view body,
                      std::string_view fields) {
  const proto::ResponseStyle how = style(c);
  if (status == 200 && type.empty() && fields.empty() && c.call.method != proto::Method::head) {
    proto::append_small(out_, body, how);
  } else {
    proto::append_head(out_, {status, type, body.size(), fields}, how);
    if (c.call.method != proto::Method::head) out_ += body;
  }
  context_.metrics.count_request(c.call.route, status);
  if (how.keep_alive) return;
  // What is in out_ goes first: flush() then ends our direction.
  linger(c);
}

void HttpFront::reply_error(Connection& c, uint16_t status, std::string_view reason,
                            std::string_view fields) {
  text_.assign(reason);
  text_ += '\n';
  reply(c, status, "text/plain; charset=utf-8", text_, fields);
}

void HttpFront::reply_error(Connection& c, const Error& error) {
  constexpr std::string_view kRetry = "Retry-After: 1\r\n";
  switch (error.code()) {
    case Code::invalid:
      return reply_error(c, 400, error.message());
    case Code::not_found:
    case Code::closed:
      return reply_error(c, 404, error.message());
    case Code::too_large:
      return reply_error(c, 413, error.message());
    case Code::busy:
      return reply_error(c, 503, "too much at once; try again", kRetry);
    case Code::pool_full:
      return reply_error(c, 507, "the pool is full: delete or truncate records, then try again");
    // Nothing becomes durable any more: no reply may claim anything.
    case Code::failed:
      return abort(c);
    default:
      return reply_error(c, 500, error.message());
  }
}

bool HttpFront::flush(Connection& c) {
  if (!out_.empty() && c.phase != Phase::closing) {
    if (!c.pending.empty() || out_.size() > kSendBytesMax || !send_out(c)) {
      c.pending += out_;
      c.pending_after = std::max(c.pending_after, gate_);
    }
  }
  out_.clear();
  gate_ = Ticket{0};
  if (c.phase == Phase::closing || !flush_pending(c)) return false;
  if (c.phase == Phase::lingering) end_sending(c);
  return c.phase != Phase::closing;
}

bool HttpFront::send_out(Connection& c) {
  const auto sent = context_.driver.send(c.id, as_bytes(out_), {.after = gate_});
  c.blocked = !sent && sent.error().code() == Code::busy;
  return sent.has_value();
}

bool HttpFront::flush_pending(Connection& c) {
  while (!c.pending.empty()) {
    if (c.blocked) return false;
    const std::string_view rest = std::string_view(c.pending).substr(c.pending_sent);
    const std::string_view part = rest.substr(0, kSendBytesMax);
    const auto sent = context_.driver.send(c.id, as_bytes(part), {.after = c.pending_after});
    if (!sent) {
      c.blocked = sent.error().code() == Code::busy;
      return false;
    }
    c.pending_sent += part.size();
    c.active_ns = context_.now_ns;
    if (c.pending_sent < c.pending.size()) continue;
    std::string().swap(c.pending);
    c.pending_sent = 0;
  }
  return true;
}

}  // namespace paste::server
