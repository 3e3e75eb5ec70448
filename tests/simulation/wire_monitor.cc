#include "wire_monitor.h"

#include <algorithm>

namespace paste::simulation {
namespace {

using tcp::Seq;
using tcp::SeqRange;

constexpr uint32_t kSmallFull = 536;  // RFC 9293 MUST-15

uint8_t ecn_of(Bytes frame) noexcept {
  const auto first = static_cast<uint8_t>(frame[sim::kEthernetHeader]);
  const auto second = static_cast<uint8_t>(frame[sim::kEthernetHeader + 1]);
  return first >> 4 == 4 ? second & 3 : second >> 4 & 3;
}

// The data offset, from which the length of the options follows.
uint32_t option_bytes(Bytes frame, const tcp::Segment& segment) noexcept {
  const bool v4 = static_cast<uint8_t>(frame[sim::kEthernetHeader]) >> 4 == 4;
  return segment.payload.length == 0
             ? 0
             : segment.payload.offset - static_cast<uint32_t>(sim::kEthernetHeader) -
                   (v4 ? 20U : 40U) - 20U;
}

void insert(std::vector<SeqRange>& ranges, SeqRange added) {
  auto first = ranges.begin();
  while (first != ranges.end() && first->end < added.begin) ++first;
  auto last = first;
  for (; last != ranges.end() && last->begin <= added.end; ++last) {
    added = {min(added.begin, last->begin), max(added.end, last->end)};
  }
  ranges.insert(ranges.erase(first, last), added);
}

bool covers(const std::vector<SeqRange>& ranges, SeqRange inner) noexcept {
  return std::any_of(ranges.begin(), ranges.end(), [&](SeqRange range) {
    return range.begin <= inner.begin && inner.end <= range.end;
  });
}

}  // namespace

WireMonitor::WireMonitor(Options options)
    : options_(std::move(options)), taps_{Tap(*this, 0), Tap(*this, 1)} {}

void WireMonitor::complain(int end, const tcp::Segment& segment, const char* what) {
  if (!problem_.empty() || !options_.judged[index(end)]) return;
  const auto relative = [](Seq s, Seq base) { return std::to_string(s - base); };
  const End& e = at(end);
  problem_ = std::string("on the wire, at ") + std::to_string(now_.ns / 1000) + " us, end " +
             std::to_string(end) + ": " + what + " (seq " + relative(segment.seq, e.iss) +
             ", ack " + relative(segment.ack, e.irs) + ", " +
             std::to_string(segment.payload.length) + " bytes, flags " +
             std::to_string(segment.flags) + ", window " + std::to_string(segment.window) +
             ", sent up to " + relative(e.sent_end, e.iss) + ", offered up to " +
             relative(e.known_edge, e.iss) + ")";
}

bool WireMonitor::scaled() const noexcept {
  constexpr uint8_t kNone = tcp::SegmentOptions::kNoShift;
  return ends_[0].offered.shift != kNone && ends_[1].offered.shift != kNone;
}

bool WireMonitor::timestamps() const noexcept {
  return ends_[0].offered.timestamps && ends_[1].offered.timestamps;
}

Seq WireMonitor::edge_of(int end, const tcp::Segment& segment) const noexcept {
  const uint8_t shift = segment.has(tcp::kSyn) || !scaled() ? 0 : ends_[index(end)].offered.shift;
  return segment.ack + (uint32_t{segment.window} << shift);
}

// --- What an end sends ------------------------------------------------------------------------

void WireMonitor::check_syn(int end, const tcp::Segment& segment) {
  End& e = at(end);
  if (e.syn_sent && segment.seq != e.iss) complain(end, segment, "a SYN changed its number");
  if (e.syn_sent) return;
  e.syn_sent = true;
  e.iss = segment.seq;
  e.sent_end = segment.seq + 1;
  e.offered = segment.options;
}

void WireMonitor::check_options(int end, const tcp::Segment& segment, uint32_t options) {
  End& e = at(end);
  const tcp::SegmentOptions& o = segment.options;
  const bool syn = segment.has(tcp::kSyn);
  if (!syn && (o.mss != 0 || o.sack_permitted || o.shift != tcp::SegmentOptions::kNoShift)) {
    complain(end, segment, "an option of SYNs is in another segment");
  }
  if (!syn && o.timestamps != timestamps()) {
    complain(end, segment, "timestamps are not as agreed on");
  }
  if (o.timestamps) {
    if (e.timestamp_sent && static_cast<int32_t>(o.ts_value - e.last_timestamp) < 0) {
      complain(end, segment, "a timestamp went back");
    }
    e.timestamp_sent = true;
    e.last_timestamp = o.ts_value;
  }
  if (segment.payload.length + options > e.peer_mss) {
    complain(end, segment, "a segment is larger than the MSS");
  }
}

void WireMonitor::check_data(int end, const tcp::Segment& segment) {
  End& e = at(end);
  if (segment.has(tcp::kSyn)) return;
  const Seq begin = segment.seq;
  const Seq data_end = begin + segment.payload.length;
  const bool fin = segment.has(tcp::kFin);
  if (begin > e.sent_end) complain(end, segment, "a segment leaves a hole");
  if (e.fin_sent && (data_end > e.fin || (fin && data_end != e.fin))) {
    // What follows FIN has its number behind it and no content.
    if (segment.length() != 0) complain(end, segment, "something lies behind FIN");
  }
  if (segment.payload.length != 0 && data_end > e.known_edge) {
    const bool probe = segment.payload.length == 1 && begin <= e.known_edge;
    if (!probe) complain(end, segment, "data lies outside the window");
  }
  if (fin && !e.fin_sent) {
    if (data_end < e.sent_end) complain(end, segment, "FIN lies before data that was sent");
    e.fin_sent = true;
    e.fin = data_end;
  }
  e.sent_end = max(e.sent_end, begin + segment.length());
}

void WireMonitor::check_ack(int end, const tcp::Segment& segment) {
  End& e = at(end);
  if (!segment.has(tcp::kAck)) {
    if (!segment.has(tcp::kSyn)) complain(end, segment, "a segment has no ACK");
    return;
  }
  if (e.arrived.empty() || segment.ack > e.arrived.front().end) {
    return complain(end, segment, "an acknowledgement covers what has not arrived");
  }
  const Seq edge = edge_of(end, segment);
  const uint32_t unit = scaled() ? uint32_t{1} << std::min<uint8_t>(e.offered.shift, 14) : 1;
  if (e.ack_sent && segment.ack < e.last_ack)
    complain(end, segment, "an acknowledgement went back");
  if (e.ack_sent && edge + unit <= e.edge) complain(end, segment, "the window's edge went back");
  e.edge = e.ack_sent ? max(e.edge, edge) : edge;
  e.last_ack = segment.ack;
  e.ack_sent = true;
  e.owed_bytes = 0;
  e.owed_since = tcp::kNever;
  check_blocks(end, segment);
}

void WireMonitor::check_blocks(int end, const tcp::Segment& segment) {
  const End& e = at(end);
  const auto blocks = segment.options.blocks();
  if (blocks.empty()) return;
  if (!ends_[0].offered.sack_permitted || !ends_[1].offered.sack_permitted) {
    return complain(end, segment, "SACK was not agreed on");
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    const SeqRange block = blocks[i];
    if (block.end <= block.begin || !covers(e.arrived, block)) {
      return complain(end, segment, "a SACK block covers what has not arrived");
    }
    const bool duplicate = i == 0 && block.end <= segment.ack;
    if (block.begin <= segment.ack && !duplicate) {
      return complain(end, segment, "a SACK block lies below the acknowledgement");
    }
  }
  if (!options_.at_once || e.newest.empty() || e.newest.begin <= segment.ack) return;
  const bool duplicate =
      blocks[0].end <= segment.ack ||
      (blocks.size() > 1 && blocks[1].begin <= blocks[0].begin && blocks[0].end <= blocks[1].end);
  const SeqRange first = duplicate && blocks.size() > 1 ? blocks[1] : blocks[0];
  if (!covers({first}, {e.newest.begin, e.newest.begin + 1})) {
    complain(end, segment, "the first SACK block is not that of the newest segment");
  }
}

// What its TCP has dropped says nothing about what it answers.
void WireMonitor::forget_dropped(int end) {
  End& e = at(end);
  const uint64_t dropped = (options_.dropped ? options_.dropped(end) : 0) +
                           (options_.not_taken ? options_.not_taken(end) : 0);
  if (dropped == e.dropped) return;
  e.dropped = dropped;
  e.newest = {};
  e.fin_acked = false;
}

void WireMonitor::check_ecn(int end, const tcp::Segment& segment, uint8_t ecn) {
  End& e = at(end);
  constexpr uint8_t kBoth = tcp::kEce | tcp::kCwr;
  const uint8_t flags = segment.flags & kBoth;
  if (segment.has(tcp::kSyn)) {
    if (ecn != 0) complain(end, segment, "a SYN is marked ECN-capable");
    if (!segment.has(tcp::kAck)) return;
    if (flags != 0 && (flags != tcp::kEce || !e.ecn_asked)) {
      complain(end, segment, "ECN is accepted that was not asked for");
    }
    if (flags == tcp::kEce) e.ecn_agreed = at(1 - end).ecn_agreed = true;
    return;
  }
  if ((flags != 0 || ecn != 0) && !e.ecn_agreed) {
    complain(end, segment, "ECN is used that was not agreed on");
  }
  if (ecn != 0 && (segment.payload.length == 0 || segment.seq < e.sent_end)) {
    complain(end, segment, "what is not new data is marked ECN-capable");
  }
}

void WireMonitor::on_sent(tcp::Instant now, int end, Bytes frame) {
  now_ = now;
  ++frames_;
  check_owed(now, end);
  const auto packet = tcp::parse_packet(frame);
  if (!packet) return complain(end, {}, "a frame is malformed");
  const tcp::Segment& segment = packet->segment;
  End& e = at(end);
  if (!e.syn_sent) e.tuple = packet->tuple;
  if (packet->tuple != e.tuple) return complain(end, segment, "a frame has another address");
  if (segment.has(tcp::kRst)) {
    e.gone = at(1 - end).gone = true;
    return;
  }
  if (segment.has(tcp::kSyn)) {
    check_syn(end, segment);
  } else if (!e.syn_sent) {
    return complain(end, segment, "a segment precedes SYN");
  }
  check_options(end, segment, option_bytes(frame, segment));
  check_ecn(end, segment, ecn_of(frame));
  forget_dropped(end);
  if (options_.at_once && e.fin_acked && segment.length() != 0) {
    complain(end, segment, "something is sent again that was acknowledged with FIN");
  }
  check_data(end, segment);
  check_ack(end, segment);
  e.newest = {};
}

// --- What reaches an end ----------------------------------------------------------------------

void WireMonitor::check_owed(tcp::Instant now, int end) {
  End& e = at(end);
  const uint64_t not_taken = options_.not_taken ? options_.not_taken(end) : 0;
  if (not_taken != e.not_taken || e.gone) {
    e.not_taken = not_taken;
    e.owed_bytes = 0;
    e.owed_since = tcp::kNever;
  }
  if (e.owed_since != tcp::kNever && now > e.owed_since + std::chrono::milliseconds(500)) {
    complain(end, {}, "no acknowledgement came within 500 ms");
  }
}

void WireMonitor::note_arrival(tcp::Instant now, int end, const tcp::Segment& segment) {
  End& e = at(end);
  if (options_.at_once && e.owed_bytes != 0 && e.owed_bytes >= 2 * e.full_size) {
    complain(end, segment, "no acknowledgement came for two full-sized segments");
  }
  const uint16_t own = e.offered.mss != 0 ? e.offered.mss : uint16_t{kSmallFull};
  e.full_size = std::max(
      {e.full_size, std::min<uint32_t>(kSmallFull, own), uint32_t{segment.payload.length}});
  e.owed_bytes += segment.payload.length;
  if (e.owed_since == tcp::kNever) e.owed_since = now;
}

void WireMonitor::on_delivered(tcp::Instant now, int end, Bytes frame) {
  now_ = now;
  check_owed(now, end);
  const auto packet = tcp::parse_packet(frame);
  End& e = at(end);
  // A damaged frame is nobody's.
  if (!packet || packet->tuple != at(1 - end).tuple) return;
  const tcp::Segment& segment = packet->segment;
  if (segment.has(tcp::kRst)) return;
  if (segment.has(tcp::kSyn)) {
    if (segment.options.mss != 0) e.peer_mss = segment.options.mss;
    if (!segment.has(tcp::kAck) && segment.has(tcp::kEce) && segment.has(tcp::kCwr)) {
      e.ecn_asked = true;
    }
    if (!e.syn_arrived) {
      e.irs = segment.seq;
      e.peer_ack = e.iss;
    }
    e.syn_arrived = true;
  }
  if (!e.syn_arrived) return;
  forget_dropped(end);
  if (segment.payload.length != 0) e.newest = {segment.seq, segment.seq + segment.payload.length};
  if (e.fin_sent && segment.has(tcp::kAck) && segment.ack == e.fin + 1) e.fin_acked = true;
  if (segment.length() != 0) insert(e.arrived, {segment.seq, segment.seq + segment.length()});
  if (segment.has(tcp::kAck) || segment.has(tcp::kSyn)) {
    Seq edge = edge_of(1 - end, segment);
    if (!segment.has(tcp::kAck)) edge = e.iss + 1 + segment.window;  // of a SYN that comes first
    if (segment.has(tcp::kAck) || e.syn_sent) {
      e.known_edge = e.window_known ? max(e.known_edge, edge) : edge;
      e.window_known = true;
    }
  }
  // Only what TCP must take: a SYN's data it need not.
  // What was overtaken by newer acknowledgements may be too old to be taken (RFC 5961 §5).
  const bool overtaken = segment.ack < e.peer_ack;
  if (segment.has(tcp::kAck)) e.peer_ack = overtaken ? e.peer_ack : segment.ack;
  if (segment.payload.length != 0 && !segment.has(tcp::kSyn) && !e.gone && !overtaken) {
    note_arrival(now, end, segment);
  }
}

}  // namespace paste::simulation
