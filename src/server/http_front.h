// The HTTP front end: connections, requests, replies. Private to src/server.
//
// Invariants
//  1. Replies of a connection are queued in the order of its requests; nothing overtakes `pending`.
//  2. Every hold in Body is ours until log append takes it over or release_body() gives it back.
//  3. A reply that shows or changes state carries the ticket of all that it looked at.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/connection.h"
#include "server/context.h"

namespace paste::server {

class HttpFront {
 public:
  explicit HttpFront(Context& context);
  ~HttpFront();

  void on_event(const port::Event& event);
  // Serves connections that had more to do than their share of the last turn, and followers.
  void run_ready();
  // Timeouts, and a new attempt for blocked connections. Looks at 1/kTickParts of the connections.
  void tick();
  static constexpr uint32_t kTickParts = 10;

  // Closes connections that have nothing under way. Call each turn while stopping. True if only
  // connections are left that wait for their clients to close.
  bool drain();
  [[nodiscard]] size_t connections() const noexcept { return open_; }
  void abort_all();

 private:
  // --- Connections (http_front.cc) ---
  Connection* find(ConnectionId id) noexcept;
  void open(ConnectionId id);
  void forget(Connection& c);
  void serve(Connection& c);  // whatever can go on: pending, stream, requests
  void serve_requests(Connection& c);
  // Handles one slice; returns bytes taken, and clears `go_on` when the connection must wait.
  size_t parse_slice(Connection& c, Slice slice, uint32_t& requests, bool& go_on);
  void update_clocks(Connection& c);
  void mark_ready(Connection& c);
  void close(Connection& c);        // after what is queued
  void abort(Connection& c);        // now
  void linger(Connection& c);       // after the last reply to a client that may go on sending
  void end_sending(Connection& c);  // our direction; both if the client has ended its own
  void check_timeouts(Connection& c);
  [[nodiscard]] size_t received_bytes(const Connection& c) const;

  // --- Replies (http_reply.cc): into out_, with gate_ ---
  void gate(Ticket ticket) noexcept { gate_ = std::max(gate_, ticket); }
  void reply(Connection& c, uint16_t status, std::string_view type, std::string_view body,
             std::string_view fields = {});
  void reply_error(Connection& c, uint16_t status, std::string_view reason,
                   std::string_view fields = {});
  void reply_error(Connection& c, const Error& error);
  // Queues out_ with the driver, or in c.pending if there is no room. False: the connection waits
  // or is gone.
  bool flush(Connection& c);
  bool send_out(Connection& c);
  bool flush_pending(Connection& c);  // true once `pending` is empty
  [[nodiscard]] proto::ResponseStyle style(const Connection& c) const noexcept;

  // --- Requests (http_call.cc) ---
  void begin_call(Connection& c);
  void begin_call_route(Call& call, const proto::HttpRequest& request);
  void begin_call_query(Call& call, const proto::HttpRequest& request);
  void finish_call(Connection& c);
  void finish_malformed(Connection& c);
  void call_create(Connection& c);
  void call_delete(Connection& c);
  void call_delete_in(Connection& c, log::Log& log);
  void call_page(Connection& c);
  log::Log* require_log(Connection& c);  // replies 404 if there is none

  // --- Appends (http_append.cc) ---
  void take_body(Connection& c, Slice piece);
  bool copy_into_tail(Body& body, Slice piece);
  void release_body(Body& body);
  void refuse_body(Connection& c, const Refusal& refusal);
  void call_append(Connection& c);
  Result<log::Appended> append_once(Connection& c, log::Log*& log);

  // --- Reads (http_read.cc) ---
  enum class Pump : uint8_t { more, blocked, waiting, done, broken };
  void call_read(Connection& c);
  void begin_stream(Connection& c, log::Log& log, Lsn from);
  void pump(Connection& c);
  Pump pump_records(Connection& c);
  Pump pump_slices(Connection& c, const log::Record& record, uint64_t& budget);
  Pump pump_json(Connection& c, const log::Record& record, uint64_t& budget);
  void begin_record(ReadStream& s, const log::Record& record);
  void end_record(Connection& c);
  void flush_json(Connection& c);
  void end_stream(Connection& c);

  Context& context_;
  std::vector<std::unique_ptr<Connection>> connections_;  // by ConnectionId::index
  std::vector<std::unique_ptr<Connection>> spare_;
  std::vector<ConnectionId> ready_;
  std::vector<ConnectionId> ready_now_;
  std::vector<ConnectionId> followers_;
  size_t open_ = 0;
  uint32_t tick_part_ = 0;

  std::string out_;   // replies of the connection being served
  Ticket gate_{0};    // of out_
  std::string text_;  // scratch: pages, JSON chunks
  std::string copy_;  // scratch: bodies to be copied
};

}  // namespace paste::server
