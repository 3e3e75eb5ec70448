// Connections and their turns.
#include "server/http_front.h"

#include <algorithm>

#include "base/check.h"

namespace paste::server {

namespace {
// Replies are handed to the driver when so much has gathered.
constexpr size_t kFlushBytes = 64 * 1024;
// How long a client may take to close after the last reply before it is cut off.
constexpr uint64_t kLingerNs = 2'000'000'000;
constexpr size_t kSpareMax = 1024;

uint64_t ns(Duration duration) {
  return static_cast<uint64_t>(std::max<int64_t>(0, duration.count()));
}
}  // namespace

HttpFront::HttpFront(Context& context) : context_(context) {}

HttpFront::~HttpFront() {
  for (auto& c : connections_) {
    if (c) release_body(c->body);
  }
}

Connection* HttpFront::find(ConnectionId id) noexcept {
  if (id.index >= connections_.size()) return nullptr;
  Connection* c = connections_[id.index].get();
  return c != nullptr && c->id == id ? c : nullptr;
}

void HttpFront::open(ConnectionId id) {
  if (id.index >= connections_.size()) connections_.resize(id.index + 1);
  auto& place = connections_[id.index];
  if (place) forget(*place);
  const proto::HttpParserLimits limits{context_.options.http.header_bytes_max,
                                       context_.options.http.body_bytes_max};
  if (!spare_.empty()) {
    place = std::move(spare_.back());
    spare_.pop_back();
    // Keeps the capacity of the vectors: connections come and go.
    auto slices = std::move(place->body.slices);
    *place = Connection(id, limits);
    place->body.slices = std::move(slices);
  } else {
    place = std::make_unique<Connection>(id, limits);
  }
  place->active_ns = context_.now_ns;
  ++open_;
}

void HttpFront::forget(Connection& c) {
  release_body(c.body);
  auto& place = connections_[c.id.index];
  PASTE_CHECK(place.get() == &c);
  if (spare_.size() < kSpareMax) {
    spare_.push_back(std::move(place));
  } else {
    place.reset();
  }
  --open_;
}

void HttpFront::on_event(const port::Event& event) {
  if (event.type == port::EventType::opened) return open(event.connection);
  Connection* c = find(event.connection);
  if (c == nullptr) return;
  switch (event.type) {
    case port::EventType::closed:
      return forget(*c);
    case port::EventType::peer_closed:
      c->peer_closed = true;
      break;
    case port::EventType::writable:
      c->blocked = false;
      break;
    case port::EventType::readable:
      break;
    default:
      return;
  }
  c->active_ns = context_.now_ns;
  serve(*c);
}

void HttpFront::run_ready() {
  ready_now_.swap(ready_);
  for (const ConnectionId id : ready_now_) {
    Connection* c = find(id);
    if (c == nullptr) continue;
    c->ready = false;
    serve(*c);
  }
  ready_now_.clear();
  if (followers_.empty()) return;
  // What a follower is due came in this very batch: it leaves with the same barrier.
  std::erase_if(followers_, [this](ConnectionId id) {
    Connection* c = find(id);
    if (c == nullptr || c->phase != Phase::streaming || !c->follower) return true;
    const ReadStream& s = c->stream;
    const bool due =
        s.log->removed() || s.next < s.log->next() || context_.stopping || c->peer_closed;
    if (due) ready_now_.push_back(id);
    return due;
  });
  for (const ConnectionId id : ready_now_) {
    if (Connection* c = find(id)) serve(*c);
  }
  ready_now_.clear();
}

void HttpFront::mark_ready(Connection& c) {
  context_.more_work = true;
  if (c.ready) return;
  c.ready = true;
  ready_.push_back(c.id);
}

void HttpFront::serve(Connection& c) {
  if (c.phase == Phase::closing) return;
  if (c.phase == Phase::lingering) {
    if (const size_t total = received_bytes(c)) context_.driver.consume(c.id, total);
    if (flush_pending(c)) end_sending(c);
    return;
  }
  if (!flush_pending(c)) return;
  if (c.phase == Phase::open) serve_requests(c);
  if (c.phase == Phase::streaming && c.pending.empty() && !c.blocked) pump(c);
}

size_t HttpFront::received_bytes(const Connection& c) const {
  size_t total = 0;
  for (const Slice s : context_.driver.received(c.id)) total += s.length;
  return total;
}

void HttpFront::serve_requests(Connection& c) {
  uint32_t requests = 0;
  size_t total = 0;
  bool go_on = true;
  for (const Slice slice : context_.driver.received(c.id)) {
    const size_t used = parse_slice(c, slice, requests, go_on);
    total += used;
    if (!go_on) break;
  }
  if (c.phase == Phase::lingering) total = received_bytes(c);
  // A closed handle has given its bytes back already.
  if (total != 0 && c.phase != Phase::closing) context_.driver.consume(c.id, total);
  const bool flushed = flush(c);
  update_clocks(c);
  if (c.phase != Phase::open) return;
  if (!go_on && flushed) return mark_ready(c);
  if (c.peer_closed && go_on && flushed) close(c);
}

size_t HttpFront::parse_slice(Connection& c, Slice slice, uint32_t& requests, bool& go_on) {
  using Step = proto::HttpParser::Step;
  const std::string_view text = as_text(context_.core.bytes(slice));
  size_t at = 0;
  while (go_on) {
    size_t used = 0;
    const Step step = c.parser.parse(text.substr(at), used);
    at += used;
    switch (step) {
      case Step::need_more:
        return at;
      case Step::header:
        begin_call(c);
        break;
      case Step::body: {
        const auto offset =
            static_cast<uint16_t>(slice.offset + (c.parser.body().data() - text.data()));
        take_body(c, {slice.buffer, offset, static_cast<uint16_t>(c.parser.body().size())});
        break;
      }
      case Step::end:
        finish_call(c);
        go_on = ++requests < context_.options.http.pipeline_max;
        // Only here: a request whose input is all taken must not be left before its end.
        if (out_.size() >= kFlushBytes && c.phase == Phase::open && !flush(c)) go_on = false;
        break;
      case Step::error:
        finish_malformed(c);
        break;
    }
    if (c.phase != Phase::open) go_on = false;
  }
  return at;
}

void HttpFront::update_clocks(Connection& c) {
  if (!c.parser.in_header()) {
    c.header_since_ns = 0;
  } else if (c.header_since_ns == 0) {
    c.header_since_ns = context_.now_ns;
  }
}

void HttpFront::close(Connection& c) {
  release_body(c.body);
  c.phase = Phase::closing;
  (void)context_.driver.close(c.id);  // `closed` here means that the event is under way
}

void HttpFront::abort(Connection& c) {
  release_body(c.body);
  c.phase = Phase::closing;
  out_.clear();
  gate_ = Ticket{0};
  (void)context_.driver.abort(c.id);
}

void HttpFront::linger(Connection& c) {
  release_body(c.body);
  if (c.phase == Phase::closing) return;
  // Closing with unread input would reset the connection, and the reply could be lost with it.
  c.phase = Phase::lingering;
  c.active_ns = context_.now_ns;
}

void HttpFront::end_sending(Connection& c) {
  if (c.peer_closed) return close(c);
  if (c.shut) return;
  c.shut = true;
  (void)context_.driver.shutdown(c.id);
}

void HttpFront::tick() {
  for (size_t i = tick_part_; i < connections_.size(); i += kTickParts) {
    if (connections_[i]) check_timeouts(*connections_[i]);
  }
  tick_part_ = (tick_part_ + 1) % kTickParts;
}

void HttpFront::check_timeouts(Connection& c) {
  const HttpLimits& limits = context_.options.http;
  const uint64_t quiet = context_.now_ns - std::min(context_.now_ns, c.active_ns);
  const uint64_t queued = context_.driver.queued(c.id);
  if (queued != c.queued_seen) {
    c.queued_seen = queued;
    c.active_ns = context_.now_ns;
  }
  if (c.phase == Phase::lingering || c.phase == Phase::closing) {
    if (quiet > (queued != 0 ? ns(limits.idle) : kLingerNs)) abort(c);
    return;
  }
  if (c.header_since_ns != 0 && context_.now_ns - c.header_since_ns > ns(limits.request)) {
    ++context_.metrics.timeouts;
    c.call = Call{};
    c.call.style.keep_alive = false;
    c.call.route = Route::malformed;
    reply_error(c, 408, "the request head took too long");
    flush(c);
    return;
  }
  const bool waiting_follower = c.phase == Phase::streaming && c.follower && queued == 0;
  if (quiet > ns(limits.idle) && !waiting_follower) {
    ++context_.metrics.timeouts;
    return queued != 0 || !c.pending.empty() ? abort(c) : close(c);
  }
  if (c.parser.idle()) c.parser.trim();
  if (c.blocked) {
    c.blocked = false;
    mark_ready(c);
  }
}

bool HttpFront::drain() {
  bool settled = true;
  for (auto& place : connections_) {
    if (!place) continue;
    Connection& c = *place;
    if (c.phase == Phase::lingering && c.pending.empty() && context_.driver.queued(c.id) == 0) {
      close(c);
    }
    if (c.phase == Phase::open && c.parser.idle() && c.pending.empty() && !c.ready &&
        context_.driver.received(c.id).empty()) {
      close(c);
    }
    if (c.phase != Phase::closing) settled = false;
  }
  return settled;
}

void HttpFront::abort_all() {
  for (auto& place : connections_) {
    if (place) abort(*place);
  }
}

}  // namespace paste::server
