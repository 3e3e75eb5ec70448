// From a request head to a route, and the routes that need no body and no streaming.
#include <algorithm>

#include "proto/accept.h"
#include "server/http_front.h"
#include "server/pages.h"

namespace paste::server {

namespace {

using proto::Method;
using proto::QueryResult;

constexpr std::string_view kText = "text/plain; charset=utf-8";
constexpr const char* kAllowRead = "Allow: GET, HEAD\r\n";
constexpr const char* kAllowHome = "Allow: GET, HEAD, POST\r\n";
constexpr const char* kAllowLog = "Allow: GET, HEAD, POST, PUT, DELETE\r\n";
constexpr const char* kAllowAppend = "Allow: POST\r\n";
constexpr std::string_view kLogTypes[] = {"application/octet-stream", "application/x-ndjson",
                                          "text/plain"};
constexpr std::string_view kPageTypes[] = {"text/plain", "text/html"};

bool is_read(Method method) { return method == Method::get || method == Method::head; }

void refuse(Call& call, uint16_t status, const char* reason, const char* fields = "") {
  if (!call.refusal) call.refusal = {status, reason, fields};
}

void set_name(Call& call, std::string_view name) {
  call.name_length = static_cast<uint8_t>(name.size());
  std::copy(name.begin(), name.end(), call.name_bytes.begin());
}

void parse_name(Call& call, std::string_view encoded) {
  proto::DecodedText name;
  if (!proto::percent_decode(encoded, false, name) || !log::Logs::valid_name(name.view())) {
    return refuse(call, 400,
                  "bad log name: 1 to 64 of A-Z a-z 0-9 . _ - are allowed, not starting with '.'");
  }
  set_name(call, name.view());
}

void route_read_only(Call& call, Route route) {
  call.route = route;
  if (!is_read(call.method)) refuse(call, 405, "only GET and HEAD are allowed here", kAllowRead);
}

void route_log(Call& call, std::string_view encoded) {
  switch (call.method) {
    case Method::get:
    case Method::head:
      call.route = Route::log_read;
      break;
    case Method::post:
      call.route = Route::log_append;
      break;
    case Method::put:
      call.route = Route::log_create;
      break;
    case Method::delete_:
      call.route = Route::log_delete;
      break;
    default:
      call.route = Route::log_read;
      refuse(call, 405, "only GET, HEAD, POST, PUT and DELETE are allowed here", kAllowLog);
  }
  parse_name(call, encoded);
}

void number(Call& call, std::string_view query, std::string_view name, uint64_t& value,
            const char* reason) {
  if (proto::query_number(query, name, value) == QueryResult::malformed) refuse(call, 400, reason);
}

void parse_read_query(Call& call, const proto::HttpRequest& request) {
  number(call, request.query, "from", call.lsn, "from must be a decimal LSN");
  number(call, request.query, "limit", call.limit, "limit must be a decimal number of records");
  uint64_t follow = 0;
  number(call, request.query, "follow", follow, "follow must be 0 or 1");
  if (follow > 1) refuse(call, 400, "follow must be 0 or 1");
  call.follow = follow == 1;
  call.format = static_cast<ReadFormat>(proto::choose_type(request.accept, kLogTypes));
}

void parse_delete_query(Call& call, std::string_view query) {
  constexpr const char* kHow =
      "say what to delete: ?to=LSN every record before LSN, ?lsn=LSN that record, ?all=1 the log";
  uint64_t to = 0;
  uint64_t one = 0;
  uint64_t all = 0;
  const QueryResult has_to = proto::query_number(query, "to", to);
  const QueryResult has_one = proto::query_number(query, "lsn", one);
  const QueryResult has_all = proto::query_number(query, "all", all);
  const int given = (has_to == QueryResult::present) + (has_one == QueryResult::present) +
                    (has_all == QueryResult::present && all == 1);
  const bool malformed = has_to == QueryResult::malformed || has_one == QueryResult::malformed ||
                         has_all == QueryResult::malformed;
  if (given != 1 || malformed) return refuse(call, 400, kHow);
  call.delete_kind = has_to == QueryResult::present    ? DeleteKind::to
                     : has_one == QueryResult::present ? DeleteKind::one
                                                       : DeleteKind::all;
  call.lsn = call.delete_kind == DeleteKind::to ? to : one;
}

}  // namespace

void HttpFront::begin_call_route(Call& call, const proto::HttpRequest& request) {
  const std::string_view path = request.path;
  constexpr std::string_view kLog = "/log/";
  if (path == "/" && call.method == Method::post) {
    call.route = Route::log_append;
    return set_name(call, "default");
  }
  if (path.starts_with(kLog) && path.size() > kLog.size()) {
    return route_log(call, path.substr(kLog.size()));
  }
  if (path == "/") {
    call.route = Route::home;
    if (!is_read(call.method))
      refuse(call, 405, "only GET, HEAD and POST are allowed here", kAllowHome);
    return;
  }
  if (path == "/log" || path == kLog) return route_read_only(call, Route::log_list);
  if (path == "/metrics") return route_read_only(call, Route::metrics);
  if (path == "/healthz") return route_read_only(call, Route::health);
  call.route = Route::unknown;
  refuse(call, 404, "no such path; GET / tells what there is");
}

void HttpFront::begin_call_query(Call& call, const proto::HttpRequest& request) {
  switch (call.route) {
    case Route::log_read:
      return parse_read_query(call, request);
    case Route::log_delete:
      return parse_delete_query(call, request.query);
    case Route::home:
      call.wants_html = proto::choose_type(request.accept, kPageTypes) == 1;
      return;
    default:
      return;
  }
}

void HttpFront::begin_call(Connection& c) {
  const proto::HttpRequest& request = c.parser.request();
  Call& call = c.call;
  call.route = Route::unknown;
  call.method = request.method;
  call.style = {request.http11, request.keep_alive};
  call.delete_kind = DeleteKind::none;
  call.follow = false;
  call.name_length = 0;
  call.lsn = 0;
  call.limit = UINT64_MAX;
  call.refusal = Refusal{};
  begin_call_route(call, request);
  begin_call_query(call, request);
  if (!request.has_body()) return;
  if (call.route == Route::log_append && !call.refusal &&
      context_.metrics.bodies_held_bytes + request.content_length.value_or(0) >
          context_.options.http.bodies_bytes_max) {
    refuse(call, 503, "too many bodies are arriving; try again", "Retry-After: 1\r\n");
  }
  if (!request.expect_continue) return;
  if (call.refusal) {
    // The client waits for leave to send its body: it gets the final answer instead, and because
    // it may send the body all the same, the connection ends.
    call.style.keep_alive = false;
    return finish_call(c);
  }
  out_ += proto::kContinue;
}

void HttpFront::finish_malformed(Connection& c) {
  c.call.route = Route::malformed;
  c.call.method = Method::other;
  c.call.style = {true, false};
  const proto::HttpError& error = c.parser.error();
  reply_error(c, error.status, error.reason);
}

void HttpFront::finish_call(Connection& c) {
  const Call& call = c.call;
  if (call.route != Route::log_append) release_body(c.body);
  if (call.refusal) {
    release_body(c.body);
    return reply_error(c, call.refusal.status, call.refusal.reason, call.refusal.fields);
  }
  switch (call.route) {
    case Route::log_append:
      return call_append(c);
    case Route::log_read:
      return call_read(c);
    case Route::log_create:
      return call_create(c);
    case Route::log_delete:
      return call_delete(c);
    default:
      return call_page(c);
  }
}

log::Log* HttpFront::require_log(Connection& c) {
  log::Log* log = context_.logs.find(c.call.name());
  if (log != nullptr) return log;
  gate(context_.logs.changed());
  text_.assign("no such log: ");
  text_ += c.call.name();
  const std::string text = text_;
  reply_error(c, 404, text);
  return nullptr;
}

void HttpFront::call_create(Connection& c) {
  auto made = context_.logs.create(c.call.name());
  if (!made && made.error().code() == Code::busy) {
    if (!context_.core.commit()) return abort(c);
    made = context_.logs.create(c.call.name());
  }
  gate(context_.logs.changed());
  if (!made && made.error().code() != Code::exists) return reply_error(c, made.error());
  text_.assign(c.call.name());
  text_ += '\n';
  reply(c, made ? 201 : 200, kText, text_);
}

void HttpFront::call_delete(Connection& c) {
  log::Log* log = require_log(c);
  if (log == nullptr) return;
  if (c.call.delete_kind != DeleteKind::all) return call_delete_in(c, *log);
  auto removed = context_.logs.remove(c.call.name());
  if (!removed && removed.error().code() == Code::busy) {
    if (!context_.core.commit()) return abort(c);
    removed = context_.logs.remove(c.call.name());
  }
  gate(context_.logs.changed());
  if (!removed) return reply_error(c, removed.error());
  gate(*removed);
  reply(c, 200, kText, "removed\n");
}

void HttpFront::call_delete_in(Connection& c, log::Log& log) {
  const bool to = c.call.delete_kind == DeleteKind::to;
  auto done = to ? log.truncate(c.call.lsn) : log.erase(c.call.lsn);
  if (!done && done.error().code() == Code::busy) {
    if (!context_.core.commit()) return abort(c);
    done = to ? log.truncate(c.call.lsn) : log.erase(c.call.lsn);
  }
  gate(log.changed());
  if (!done) return reply_error(c, done.error());
  gate(*done);
  text_.clear();
  proto::append_decimal(text_, log.first());
  text_ += '\n';
  reply(c, 200, kText, text_);
}

void HttpFront::call_page(Connection& c) {
  text_.clear();
  const bool failed = context_.core.failed();
  switch (c.call.route) {
    case Route::health:
      return reply(c, failed ? 503 : 200, kText,
                   failed ? "failed: nothing becomes durable any more\n" : "ok\n");
    case Route::metrics:
      append_metrics(text_, context_);
      return reply(c, 200, "text/plain; version=0.0.4; charset=utf-8", text_);
    case Route::log_list:
      gate(append_log_list(text_, context_));
      return reply(c, 200, "application/json", text_);
    default:
      break;
  }
  gate(append_home(text_, context_, c.call.wants_html));
  reply(c, 200, c.call.wants_html ? "text/html; charset=utf-8" : kText, text_);
}

}  // namespace paste::server
