// One HTTP connection. Private to src/server.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "log/log.h"
#include "paste/slot.h"
#include "proto/http_parser.h"
#include "proto/http_response.h"
#include "proto/json_text.h"
#include "server/metrics.h"

namespace paste::server {

enum class ReadFormat : uint8_t { binary, ndjson, text };
enum class DeleteKind : uint8_t { none, to, one, all };

// Why a request is refused; found when its head arrives, told when its body has passed.
struct Refusal {
  uint16_t status = 0;
  const char* reason = "";
  const char* fields = "";  // further whole response lines
  explicit operator bool() const noexcept { return status != 0; }
};

// The current request, free of references to received bytes: its body may take many turns.
struct Call {
  Route route = Route::unknown;
  proto::Method method = proto::Method::other;
  proto::ResponseStyle style;
  bool wants_html = false;
  ReadFormat format = ReadFormat::binary;
  DeleteKind delete_kind = DeleteKind::none;
  bool follow = false;
  uint8_t name_length = 0;
  std::array<char, log::kNameMax> name_bytes;
  uint64_t lsn = 0;  // from, to or lsn; 0: not given
  uint64_t limit = UINT64_MAX;
  Refusal refusal;
  [[nodiscard]] std::string_view name() const noexcept { return {name_bytes.data(), name_length}; }
};

// The body so far: ranges of buffers, each with one hold of ours.
struct Body {
  std::vector<Slice> slices;
  uint64_t bytes = 0;
  uint64_t held_bytes = 0;    // memory that the holds keep from others: whole buffers
  bool tail_is_ours = false;  // the last slice's buffer was taken, and small pieces are copied in
};

// A result being streamed.
struct ReadStream {
  log::Log* log = nullptr;
  Lsn next = 0;       // record being sent, or to be sent
  uint64_t left = 0;  // records
  ReadFormat format = ReadFormat::binary;
  bool chunked = false;
  bool follow = false;
  bool in_record = false;    // parts of record `next` are queued
  bool utf8 = false;         // ndjson: of record `next`
  uint32_t slice_index = 0;  // of record `next`: the first one not queued
  proto::Base64Encoder base64;
};

enum class Phase : uint8_t {
  open,
  streaming,  // a ReadStream is under way; further requests wait
  lingering,  // the last reply was queued; input is dropped until the client closes
  closing,    // handed to the driver to close
};

struct Connection {
  Connection(ConnectionId connection, const proto::HttpParserLimits& limits)
      : id(connection), parser(limits) {}

  ConnectionId id;
  Phase phase = Phase::open;
  bool peer_closed = false;
  bool ready = false;            // listed to be served in the next turn
  bool follower = false;         // listed to be woken by appends
  bool shut = false;             // our direction was ended
  bool blocked = false;          // the driver's queue was full: waits for `writable`
  uint64_t active_ns = 0;        // last byte received, last progress of sending
  uint64_t header_since_ns = 0;  // first byte of an incomplete head; 0: none
  uint64_t queued_seen = 0;      // at the last look of the timeouts
  proto::HttpParser parser;
  Call call;
  Body body;
  ReadStream stream;
  std::string pending;      // replies that the driver had no room for
  size_t pending_sent = 0;  // bytes of `pending` that are queued already
  Ticket pending_after{0};
};

}  // namespace paste::server
