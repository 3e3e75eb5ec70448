// Engine: a packet arrives.
#include <algorithm>

#include "tcp/engine.h"
#include "tcp/isn.h"
#include "tcp/syn_cookie.h"

namespace paste::tcp {

void Engine::drop_payload(const Packet& packet) {
  if (packet.segment.payload.length != 0) owner_.release(packet.segment.payload.buffer);
}

void Engine::refuse(const Packet& packet) {
  ++counters_.refused;
  if (const auto reset = reset_for(packet.segment)) queue_reply(packet.tuple, *reset);
}

void Engine::arrive(const Packet& packet, Instant now) {
  ++counters_.segments_in;
  const auto found = by_tuple_.find(packet.tuple);
  if (found == by_tuple_.end()) {
    arrive_without_connection(packet, now);
    return;
  }
  const uint32_t index = *found;
  running_ = index;
  touch(index);
  if (const auto reset = place(index).connection->process(packet.segment, now, *this)) {
    queue_reply(packet.tuple, *reset);
  }
}

void Engine::arrive_without_connection(const Packet& packet, Instant now) {
  const Segment& segment = packet.segment;
  if (arrive_in_time_wait(packet, now)) return drop_payload(packet);
  const auto listener = listener_of(packet.tuple);
  if (!listener) {
    refuse(packet);
    return drop_payload(packet);
  }
  if (const SynEntry* entry = half_open_.find(packet.tuple)) {
    return arrive_half_open(packet, SynEntry(*entry), now);
  }
  if (segment.has(kRst)) return drop_payload(packet);  // RFC 9293 §3.10.7.2, first
  if (segment.has(kSyn) && !segment.has(kAck)) {
    arrive_syn(packet, *listener, now);
    return drop_payload(packet);  // data with a SYN is not kept (RFC 7413 is not implemented)
  }
  if (segment.has(kAck) && !segment.has(kSyn)) return arrive_ack(packet, *listener, now);
  if (segment.has(kAck)) {
    refuse(packet);  // RFC 9293 §3.10.7.2, second
  } else {
    ++counters_.refused;  // RFC 9293 §3.10.7.2, fourth: dropped
  }
  drop_payload(packet);
}

// True: answered, or to be ignored.
bool Engine::arrive_in_time_wait(const Packet& packet, Instant now) {
  const TimeWaitEntry* entry = time_wait_.find(packet.tuple);
  if (entry == nullptr) return false;
  const Segment& segment = packet.segment;
  if (segment.has(kRst)) return true;  // RFC 1337 §3 fix F1
  if (segment.has(kSyn) && !segment.has(kAck)) {
    const auto tsval =
        segment.options.timestamps ? std::optional(segment.options.ts_value) : std::nullopt;
    if (may_reuse(*entry, segment.seq, tsval)) {
      time_wait_.erase(packet.tuple);
      return false;
    }
  }
  Segment ack;
  ack.seq = entry->snd_nxt;
  ack.ack = entry->rcv_nxt;
  ack.window = entry->window;
  ack.flags = kAck;
  if (entry->timestamps) {
    ack.options.timestamps = true;
    ack.options.ts_value = Timestamps(entry->ts_offset).value(now);
    ack.options.ts_echo = entry->ts_recent;
  }
  // RFC 9293 §3.10.7.4: only a retransmitted FIN starts the wait again.
  if (segment.has(kFin)) {
    queue_reply(packet.tuple, ack);
    time_wait_.restart(packet.tuple, now);
    return true;
  }
  // What is acceptable says nothing here. Two ends in TIME-WAIT would answer each other for ever.
  if (segment.seq == entry->rcv_nxt && !segment.has(kSyn)) return true;
  ChallengeState none;
  if (challenges_.allow(now, owner_.draw(), none)) queue_reply(packet.tuple, ack);
  return true;
}

void Engine::acknowledge_half_open(const SynEntry& entry, Instant now) {
  ChallengeState none;
  if (!challenges_.allow(now, owner_.draw(), none)) return;
  Segment ack = syn_ack(entry, now).header;
  ack.seq = entry.iss + 1;
  ack.flags = kAck;
  ack.options.mss = 0;
  ack.options.shift = SegmentOptions::kNoShift;
  ack.options.sack_permitted = false;
  queue_reply(entry.tuple, ack);
}

// SYN-RECEIVED after a passive open, in the order of RFC 9293 §3.10.7.4.
void Engine::arrive_half_open(const Packet& packet, const SynEntry& entry, Instant now) {
  const Segment& segment = packet.segment;
  const uint32_t window = Connection::handshake_window(options_.connection);
  const SegmentSpan span{.seq = segment.seq,
                         .payload = segment.payload.length,
                         .syn = segment.has(kSyn),
                         .fin = segment.has(kFin)};
  if (!acceptable(span, entry.irs + 1, window)) {
    if (segment.has(kSyn) && !segment.has(kAck) && segment.seq == entry.irs) {
      queue_reply(packet.tuple, syn_ack(entry, now).header);  // it has not seen our answer
    } else if (!segment.has(kRst)) {
      acknowledge_half_open(entry, now);
    }
    return drop_payload(packet);
  }
  if (segment.has(kRst)) {
    // RFC 5961 §3.2; an exact one leads back to LISTEN.
    if (segment.seq == entry.irs + 1) {
      (void)half_open_.take(packet.tuple);
    } else {
      acknowledge_half_open(entry, now);
    }
    return drop_payload(packet);
  }
  if (segment.has(kSyn)) {
    (void)half_open_.take(packet.tuple);  // RFC 9293 §3.10.7.4, fourth: back to LISTEN
    return drop_payload(packet);
  }
  if (!segment.has(kAck)) return drop_payload(packet);
  if (segment.ack != entry.iss + 1) {
    refuse(packet);
    return drop_payload(packet);
  }
  if (!place_free()) {
    ++counters_.connections_full;  // it stays half-open: the peer sends again, room may come
    return drop_payload(packet);
  }
  (void)half_open_.take(packet.tuple);
  accept(packet, entry, now);
}

SynEntry Engine::entry_of(const Packet& packet, uint32_t listener, Instant now) const {
  const Segment& syn = packet.segment;
  const ConnectionOptions& own = options_.connection;
  SynEntry entry;
  entry.tuple = packet.tuple;
  entry.irs = syn.seq;
  entry.iss = initial_sequence(keys_.isn, packet.tuple, now);
  entry.ts_offset = timestamp_offset(keys_.timestamps, packet.tuple);
  entry.listener = listener;
  entry.window = syn.window;
  entry.mss = syn.options.mss != 0 ? syn.options.mss : default_mss(packet.tuple);
  entry.timestamps = own.timestamps && syn.options.timestamps;
  entry.tsval = syn.options.ts_value;
  entry.scaling = own.window_scale && syn.options.shift != SegmentOptions::kNoShift;
  entry.shift = entry.scaling ? std::min(syn.options.shift, kShiftMax) : uint8_t{0};
  entry.sack = own.sack && syn.options.sack_permitted;
  entry.ecn = own.ecn && syn.has(kEce) && syn.has(kCwr);
  entry.first = now;
  return entry;
}

Outgoing Engine::syn_ack(const SynEntry& entry, Instant now) const noexcept {
  const ConnectionOptions& own = options_.connection;
  Outgoing out;
  Segment& header = out.header;
  header.seq = entry.iss;
  header.ack = entry.irs + 1;
  header.flags = kSyn | kAck;
  if (entry.ecn) header.flags |= kEce;  // RFC 3168 §6.1.1
  header.window = Connection::handshake_window(own);
  header.options.mss = own.mss;
  header.options.sack_permitted = entry.sack;
  if (entry.scaling) header.options.shift = shift_for(own.window_max);
  if (entry.timestamps) {
    header.options.timestamps = true;
    header.options.ts_value = Timestamps(entry.ts_offset).value(now);
    header.options.ts_echo = entry.tsval;
  }
  return out;
}

void Engine::arrive_syn(const Packet& packet, uint32_t listener, Instant now) {
  const SynEntry entry = entry_of(packet, listener, now);
  if (!half_open_.insert(entry, now)) return send_cookie(packet, entry, now);
  queue_reply(packet.tuple, syn_ack(entry, now).header);
}

// RFC 4987 §3.6: nothing is remembered; the ACK brings it back.
void Engine::send_cookie(const Packet& packet, const SynEntry& entry, Instant now) {
  ++counters_.cookies_sent;
  last_cookie_ = now;
  Outgoing out = syn_ack(entry, now);
  out.header.seq = make_cookie(keys_.cookies, packet.tuple, entry.irs, entry.mss, now);
  if (entry.timestamps) {
    const CookieOptions options{.shift = entry.scaling ? std::optional(entry.shift) : std::nullopt,
                                .sack = entry.sack,
                                .ecn = entry.ecn};
    out.header.options.ts_value = cookie_timestamp(out.header.options.ts_value, options);
  } else {
    out.header.options.sack_permitted = false;
    out.header.options.shift = SegmentOptions::kNoShift;
    out.header.flags = kSyn | kAck;
  }
  queue_reply(packet.tuple, out.header);
}

void Engine::arrive_ack(const Packet& packet, uint32_t listener, Instant now) {
  const Segment& segment = packet.segment;
  const auto mss =
      verify_cookie(keys_.cookies, packet.tuple, segment.seq - 1, segment.ack - 1, now);
  if (!mss) {
    ++counters_.cookies_bad;
    // A cookie is bound to the first number. If the ACK and the first data were lost, what comes
    // behind them must not end the connection: the first comes again.
    const bool may_follow =
        segment.length() != 0 && last_cookie_ != kNever && now - last_cookie_ < kCookieLife;
    if (!may_follow) refuse(packet);
    return drop_payload(packet);
  }
  ++counters_.cookies_taken;
  SynEntry entry;
  entry.tuple = packet.tuple;
  entry.irs = segment.seq - 1;
  entry.iss = segment.ack - 1;
  entry.ts_offset = timestamp_offset(keys_.timestamps, packet.tuple);
  entry.listener = listener;
  entry.mss = *mss;
  entry.first = now;
  entry.sent = 0;  // when, and how often, the SYN-ACK left is not known
  if (options_.connection.timestamps && segment.options.timestamps) {
    const CookieOptions options = options_of(segment.options.ts_echo);
    entry.timestamps = true;
    entry.tsval = segment.options.ts_value;
    entry.scaling = options_.connection.window_scale && options.shift.has_value();
    entry.shift = entry.scaling ? *options.shift : uint8_t{0};
    entry.sack = options_.connection.sack && options.sack;
    entry.ecn = options_.connection.ecn && options.ecn;
  }
  accept(packet, entry, now);
}

void Engine::accept(const Packet& packet, const SynEntry& entry, Instant now) {
  const auto index = take_place();
  if (!index) return drop_payload(packet);  // the peer sends again, room may come
  Segment syn;
  syn.seq = entry.irs;
  syn.flags = static_cast<uint8_t>(kSyn | (entry.ecn ? kEce | kCwr : 0));
  syn.window = entry.window;
  syn.options.mss = entry.mss;
  syn.options.sack_permitted = entry.sack;
  if (entry.scaling) syn.options.shift = entry.shift;
  syn.options.timestamps = entry.timestamps;
  syn.options.ts_value = entry.tsval;
  Place& here = place(*index);
  here.tuple = entry.tuple;
  here.listener = entry.listener;
  here.connection.emplace(shared_, Connection::Identity{entry.iss, entry.ts_offset}, syn, now);
  here.connection->resume_handshake(entry.sent, entry.first);
  by_tuple_.insert(*index);
  ++counters_.accepted;
  running_ = *index;
  touch(*index);
  if (const auto reset = here.connection->process(packet.segment, now, *this)) {
    queue_reply(packet.tuple, *reset);
  }
}

}  // namespace paste::tcp
