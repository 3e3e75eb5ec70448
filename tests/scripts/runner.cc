#include "runner.h"

#include <algorithm>
#include <cstring>

#include "wire/checksum.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/protocol.h"
#include "wire/tcp.h"

namespace paste::scripts {
namespace {

constexpr uint32_t kPeerClock = 100'000;  // the script's TSval at its start, in ms

std::string flags_text(uint8_t flags) {
  static constexpr const char* kNames[] = {"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"};
  std::string text;
  for (int i = 0; i < 8; ++i) {
    if ((flags >> i & 1) != 0) text += (text.empty() ? "" : ",") + std::string(kNames[i]);
  }
  return text.empty() ? "NONE" : text;
}

std::string ms(Duration d) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(d).count();
  const std::string rest = std::to_string(1000 + us % 1000).substr(1);
  return std::to_string(us / 1000) + "." + rest + "ms";
}

template <typename T>
void differ(std::string& problem, const char* what, T expected, T got) {
  if (expected == got) return;
  problem += std::string("\n    ") + what + ": expected " + std::to_string(expected) + ", got " +
             std::to_string(got);
}

}  // namespace

tcp::FourTuple script_tuple(bool v6) {
  tcp::FourTuple tuple;
  tuple.local = v6 ? tcp::Address{0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}
                   : tcp::ipv4_mapped(192, 168, 77, 1);
  tuple.remote = v6 ? tcp::Address{0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}
                    : tcp::ipv4_mapped(192, 168, 77, 2);
  tuple.local_port = 8080;
  tuple.remote_port = 40'000;
  return tuple;
}

Runner::Runner(const Script& script, Backend& backend)
    : script_(script),
      backend_(backend),
      tuple_(script_tuple(script.number("ip", 4) == 6)),
      isn_(script.number("isn", 0xFFFFFF00)) {}

std::string Runner::play(const std::vector<Line>& lines) {
  for (const Line& line : lines) {
    const std::string problem = step(line);
    if (!problem.empty()) {
      return script_.path + ":" + std::to_string(line.number) + ": " + problem +
             "\n  what happened:\n" + history_;
    }
  }
  return "";
}

std::string Runner::leaves(Duration within) {
  std::string text;
  const Duration until = backend_.now() + within;
  while (const auto seen = receive(until)) {
    const auto flags = static_cast<uint8_t>(seen->packet.segment.flags & ~tcp::kPsh);
    text += (text.empty() ? "" : " ") + flags_text(flags);
  }
  return text.empty() ? "-" : text;
}

std::string Runner::run() {
  const std::string problem = play(script_.lines);
  if (!problem.empty()) return problem;
  if (const auto extra = receive(backend_.now())) {
    return script_.path + ": at its end an unexpected packet: " +
           describe(extra->packet.segment, extra->packet.segment.payload.length, false) +
           "\n  what happened:\n" + history_;
  }
  const std::string leak = backend_.finish();
  return leak.empty() ? leak : script_.path + ": " + leak;
}

std::string Runner::step(const Line& line) {
  if (line.when != Line::When::now) {
    const Duration at = line.when == Line::When::at ? line.time : reference_ + line.time;
    const Duration until = std::max(at, backend_.now());
    if (const auto early = receive(until)) {
      return "before this, an unexpected packet at " + ms(early->at) + ": " +
             describe(early->packet.segment, early->packet.segment.payload.length, false);
    }
    reference_ = until;
  } else if (line.kind == Line::Kind::in || line.kind == Line::Kind::app) {
    reference_ = backend_.now();
  }
  switch (line.kind) {
    case Line::Kind::in:
      for (uint32_t i = 0; i < line.shape.times; ++i) {
        const std::string problem =
            line.shape.icmp.empty() ? send(line.shape) : send_icmp(line.shape);
        if (!problem.empty()) return problem;
      }
      return "";
    case Line::Kind::out:
      return expect(line);
    case Line::Kind::none:
      return expect_none(line);
    case Line::Kind::app:
      history_ += "    " + ms(backend_.now()) + " app " + line.word + " " + line.argument + "\n";
      return backend_.app(line.word, line.argument);
    case Line::Kind::connected:
      return connect(line);
    case Line::Kind::state: {
      const std::string state = backend_.state();
      if (state.empty() || state == line.word) return "";
      return "the state is " + state + ", not " + line.word;
    }
  }
  return "";
}

// --- Segments that arrive ---------------------------------------------------------------------

std::string Runner::describe(const tcp::Segment& s, uint32_t length, bool in) const {
  const uint32_t own = in ? isn_ : iss_, other = in ? iss_ : isn_;
  std::string text = flags_text(s.flags) + " seq=" + std::to_string(s.seq.value - own);
  if (s.has(tcp::kAck)) text += " ack=" + std::to_string(s.ack.value - other);
  text += " len=" + std::to_string(length) + " win=" + std::to_string(s.window);
  const tcp::SegmentOptions& o = s.options;
  if (o.mss != 0) text += " mss=" + std::to_string(o.mss);
  if (o.sack_permitted) text += " sack-ok";
  if (o.shift != tcp::SegmentOptions::kNoShift) text += " wscale=" + std::to_string(o.shift);
  if (o.timestamps) {
    text += " val=" + std::to_string(o.ts_value) + " ecr=" + std::to_string(o.ts_echo);
  }
  for (const tcp::SeqRange& block : o.blocks()) {
    text += " sack=" + std::to_string(block.begin.value - other) + "-" +
            std::to_string(block.end.value - other);
  }
  return text;
}

void Runner::note(Duration at, const char* direction, const tcp::Segment& segment,
                  uint32_t length) {
  history_ += "    " + ms(at) + " " + direction + " " +
              describe(segment, length, std::strcmp(direction, "in") == 0) + "\n";
}

Frame Runner::build(const tcp::Outgoing& out, uint32_t length, const Shape& shape) const {
  // The payload, from the place in the stream that its number says.
  Frame payload(std::max<uint32_t>(length, 1));
  for (uint32_t i = 0; i < length; ++i) {
    payload[i] = peer_byte(out.header.seq.value - isn_ + i);
  }
  tcp::FourTuple back = tuple_;
  std::swap(back.local, back.remote);
  std::swap(back.local_port, back.remote_port);
  Frame frame(tcp::kHeadersMax);
  const size_t head = tcp::emit_packet(back, out, payload, payload.size(), frame);
  frame.resize(head);
  frame.insert(frame.end(), payload.begin(), payload.begin() + length);
  const bool v4 = script_.number("ip", 4) == 4;
  const size_t ip = wire::kEthernetHeaderLength;
  const size_t tcp = ip + (v4 ? wire::kIpv4HeaderLength : wire::kIpv6HeaderLength);
  const wire::MutableBytes bytes(frame);
  if (shape.urgent) wire::store16(bytes, tcp + 18, static_cast<uint16_t>(*shape.urgent));
  if (shape.shift.value_or(0) > wire::kWindowScaleMax) {  // which the emitter refuses to write
    for (size_t at = tcp + 20; at + 2 < head; ++at) {
      if (frame[at] != std::byte{wire::kTcpOptionWindowScale} || frame[at + 1] != std::byte{3})
        continue;
      frame[at + 2] = static_cast<std::byte>(*shape.shift);
      break;
    }
  }
  if (shape.urgent || shape.shift) {
    const auto carried = static_cast<uint32_t>(frame.size() - tcp);
    const uint32_t pseudo = wire::pseudo_header_sum(
        wire::IpAddress{back.local}, wire::IpAddress{back.remote}, wire::kProtocolTcp, carried);
    wire::store16(bytes, tcp + 16, 0);
    wire::store16(bytes, tcp + 16, wire::checksum(Bytes(frame).subspan(tcp), pseudo));
  }
  if (shape.bad_checksum) frame[tcp + 16] ^= std::byte{0x55};
  if (v4 && (shape.ce || shape.fragment)) {
    if (shape.ce) frame[ip + 1] |= std::byte{wire::kEcnCongestion};
    if (shape.fragment) wire::store16(bytes, ip + 6, 0x2000);
    wire::store16(bytes, ip + 10, 0);
    wire::store16(bytes, ip + 10, wire::checksum(Bytes(frame).subspan(ip, 20)));
  } else if (shape.ce) {
    frame[ip + 1] |= std::byte{wire::kEcnCongestion << 4};
  }
  return frame;
}

std::string Runner::send(const Shape& shape) {
  tcp::Outgoing out;
  tcp::Segment& header = out.header;
  const uint32_t seq = shape.seq.value_or(in_next_);
  const uint32_t length = shape.length.value_or(0);
  header.flags = shape.flags;
  header.seq = tcp::Seq{isn_ + seq};
  if (header.has(tcp::kAck)) header.ack = tcp::Seq{iss_ + shape.ack.value_or(out_next_)};
  if (shape.window) window_ = static_cast<uint16_t>(*shape.window);
  header.window = window_;
  tcp::SegmentOptions& options = header.options;
  options.mss = static_cast<uint16_t>(shape.mss.value_or(0));
  if (shape.shift) {
    options.shift = static_cast<uint8_t>(std::min<uint32_t>(*shape.shift, wire::kWindowScaleMax));
  }
  options.sack_permitted = shape.sack_permitted.value_or(false);
  const bool usual = ts_agreed_ && !header.has(tcp::kRst) && !header.has(tcp::kSyn);
  options.timestamps = shape.timestamps.value_or(usual);
  if (options.timestamps) {
    const auto clock = std::chrono::duration_cast<std::chrono::milliseconds>(backend_.now());
    options.ts_value = shape.ts_value.value_or(kPeerClock + static_cast<uint32_t>(clock.count()));
    options.ts_echo = shape.ts_echo.value_or(header.has(tcp::kAck) ? ts_seen_ : 0);
    if (header.has(tcp::kSyn)) peer_ts_ = true;
  }
  if (header.has(tcp::kSyn) && header.has(tcp::kAck)) ts_agreed_ = options.timestamps;
  if (shape.blocks) {
    for (const auto& [begin, end] : *shape.blocks) {
      options.sack[options.sack_count++] = {tcp::Seq{iss_ + begin}, tcp::Seq{iss_ + end}};
    }
  }
  out.slice_count = length == 0 ? 0 : 1;
  out.slices[0] = {0, 0, static_cast<uint16_t>(length)};
  out.bytes = length;
  note(backend_.now(), "in", header, length);
  backend_.inject(build(out, length, shape));
  const uint32_t end =
      seq + length + (header.has(tcp::kSyn) ? 1U : 0U) + (header.has(tcp::kFin) ? 1U : 0U);
  // What lies ahead, or was given on purpose, does not move the place of the next segment.
  if (!header.has(tcp::kRst) && seq == in_next_ && !shape.bad_checksum && !shape.fragment) {
    in_next_ = end;
  }
  return "";
}

// RFC 792, RFC 1191 §4: the header and eight bytes of what we "sent" are quoted.
std::string Runner::send_icmp(const Shape& shape) {
  if (script_.number("ip", 4) != 4) return "icmp lines are written for IPv4";
  Frame frame(wire::kEthernetHeaderLength + 20 + 8 + 20 + 8);
  const wire::MutableBytes bytes(frame);
  wire::EthernetHeader ethernet;
  ethernet.type = wire::kEtherTypeIpv4;
  wire::emit(ethernet, bytes);
  const wire::IpAddress ours{tuple_.local}, peer{tuple_.remote};
  wire::Ipv4Header header{peer, ours};
  header.protocol = wire::kProtocolIcmpV4;
  const size_t ip = wire::kEthernetHeaderLength, icmp = ip + 20;
  wire::emit(header, frame.size() - icmp, bytes.subspan(ip));
  wire::store8(bytes, icmp, 3);
  const bool frag = shape.icmp == "frag-needed";
  wire::store8(bytes, icmp + 1, static_cast<uint8_t>(frag ? 4 : shape.code.value_or(1)));
  wire::store16(bytes, icmp + 6, static_cast<uint16_t>(shape.mtu.value_or(0)));
  wire::Ipv4Header quoted{ours, peer};
  quoted.protocol = wire::kProtocolTcp;
  wire::emit(quoted, 1480, bytes.subspan(icmp + 8));
  wire::store16(bytes, icmp + 28, tuple_.local_port);
  wire::store16(bytes, icmp + 30, tuple_.remote_port);
  wire::store32(bytes, icmp + 32, iss_ + shape.seq.value_or(out_next_ - 1));
  wire::store16(bytes, icmp + 2, wire::checksum(Bytes(frame).subspan(icmp)));
  history_ += "    " + ms(backend_.now()) + " in icmp " + shape.icmp + "\n";
  backend_.inject(frame);
  return "";
}

// --- Packets that leave -----------------------------------------------------------------------

std::optional<Runner::Seen> Runner::receive(Duration until) {
  while (true) {
    auto sent = backend_.next(until);
    if (!sent) return std::nullopt;
    const auto packet = tcp::parse_packet(sent->frame);
    if (!packet) continue;  // the kernel also sends what is no TCP: neighbour discovery
    if (packet->tuple.local != tuple_.remote || packet->tuple.remote != tuple_.local) continue;
    Seen seen{.at = sent->at, .packet = *packet};
    const bool v4 = script_.number("ip", 4) == 4;
    const size_t ip = wire::kEthernetHeaderLength;
    const uint8_t traffic_class =
        v4 ? wire::load8(sent->frame, ip + 1)
           : static_cast<uint8_t>(wire::load16(sent->frame, ip) >> 4 & 0xFF);
    seen.ect = (traffic_class & wire::kEcnMask) == wire::kEcnCapable0;
    seen.urgent = wire::load16(sent->frame, ip + (v4 ? 20U : 40U) + 18);
    const tcp::Segment& s = seen.packet.segment;
    tuple_.local_port = packet->tuple.remote_port;
    if (s.has(tcp::kSyn)) {
      iss_ = s.seq.value;
      iss_known_ = true;
      ts_agreed_ = s.options.timestamps && (!s.has(tcp::kAck) || peer_ts_);
    }
    if (s.options.timestamps) {
      ts_seen_ = s.options.ts_value;
      if (!ts_first_) ts_first_ = ts_seen_;
    }
    note(seen.at, "out", s, s.payload.length);
    const uint32_t end = s.seq.value - iss_ + s.payload.length + (s.has(tcp::kSyn) ? 1U : 0U) +
                         (s.has(tcp::kFin) ? 1U : 0U);
    if (!s.has(tcp::kRst) && tcp::Seq{end} > tcp::Seq{out_next_}) out_next_ = end;
    return seen;
  }
}

void Runner::compare_options(const Shape& shape, const tcp::SegmentOptions& got,
                             std::string& problem) const {
  if (shape.mss) differ<uint32_t>(problem, "mss", *shape.mss, got.mss);
  if (shape.shift) differ<uint32_t>(problem, "wscale", *shape.shift, got.shift);
  if (shape.sack_permitted) {
    differ<int>(problem, "sack-ok", *shape.sack_permitted, got.sack_permitted);
  }
  if (shape.timestamps) differ<int>(problem, "timestamps", *shape.timestamps, got.timestamps);
  if (shape.ts_value) {
    differ<uint32_t>(problem, "val", *shape.ts_value, got.ts_value - ts_first_.value_or(0));
  }
  if (shape.ts_echo) differ<uint32_t>(problem, "ecr", *shape.ts_echo, got.ts_echo);
  if (!shape.blocks) return;
  differ<size_t>(problem, "number of blocks", shape.blocks->size(), got.sack_count);
  if (shape.blocks->size() != got.sack_count) return;
  for (size_t i = 0; i < got.sack_count; ++i) {
    differ<uint32_t>(problem, "block begins", (*shape.blocks)[i].first,
                     got.sack[i].begin.value - isn_);
    differ<uint32_t>(problem, "block ends", (*shape.blocks)[i].second,
                     got.sack[i].end.value - isn_);
  }
}

std::string Runner::compare(const Shape& shape, const Seen& seen) const {
  const tcp::Segment& got = seen.packet.segment;
  std::string problem;
  const uint8_t ignored = shape.push_given ? uint8_t{0} : uint8_t{tcp::kPsh};
  if ((shape.flags | ignored) != (got.flags | ignored)) {
    problem +=
        "\n    flags: expected " + flags_text(shape.flags) + ", got " + flags_text(got.flags);
  }
  differ<uint32_t>(problem, "len", shape.length.value_or(0), got.payload.length);
  if (shape.seq) differ<uint32_t>(problem, "seq", *shape.seq, got.seq.value - iss_);
  if (shape.ack) differ<uint32_t>(problem, "ack", *shape.ack, got.ack.value - isn_);
  if (shape.window) differ<uint32_t>(problem, "win", *shape.window, got.window);
  if (shape.urgent) differ<uint32_t>(problem, "urg", *shape.urgent, seen.urgent);
  if (shape.ect) differ<int>(problem, "ect", *shape.ect, seen.ect);
  compare_options(shape, got.options, problem);
  return problem;
}

std::string Runner::expect(const Line& line) {
  Shape shape = line.shape;
  for (uint32_t i = 0; i < line.shape.times; ++i) {
    const auto seen = receive(reference_ + line.latest + backend_.late());
    if (!seen) {
      return "nothing left until " + ms(reference_ + line.latest) +
             (line.shape.times > 1 ? " (number " + std::to_string(i + 1) + ")" : "");
    }
    std::string problem = compare(shape, *seen);
    if (line.earliest != Duration(0) && seen->at + backend_.early() < reference_ + line.earliest) {
      problem += "\n    time: " + ms(seen->at - reference_) + " is too early";
    }
    if (!problem.empty()) return "the packet is not as expected:" + problem;
    if (shape.seq) shape.seq = *shape.seq + shape.length.value_or(0);
  }
  return "";
}

std::string Runner::expect_none(const Line& line) {
  const Duration until = backend_.now() + line.latest;
  const auto seen = receive(until);
  reference_ = backend_.now();
  if (!seen) return "";
  return "nothing should leave, but did: " +
         describe(seen->packet.segment, seen->packet.segment.payload.length, false);
}

// --- Shorthand --------------------------------------------------------------------------------

std::string Runner::connect(const Line& line) {
  const bool active = line.word == "active";
  Shape syn = line.shape;
  if (!syn.mss) syn.mss = 1000;
  Shape ack;
  ack.flags = tcp::kAck;
  ack.window = line.shape.window;
  Line expected = line;
  expected.shape = {};
  expected.latest = std::chrono::milliseconds(1);
  const Duration rtt = script_.duration("rtt", Duration(0));
  const auto wait = [&] {
    const auto early = receive(backend_.now() + rtt);
    return early ? std::string("a packet within the first round trip") : std::string();
  };
  std::string problem = backend_.app(active ? "connect" : "listen", "");
  reference_ = backend_.now();
  if (active) {
    expected.shape.flags = tcp::kSyn;
    if (problem.empty()) problem = expect(expected);
    syn.flags = tcp::kSyn | tcp::kAck;
    if (problem.empty()) problem = wait();
    if (problem.empty()) problem = send(syn);
    expected.shape.flags = tcp::kAck;
    if (problem.empty()) problem = expect(expected);
  } else {
    syn.flags = tcp::kSyn;
    if (problem.empty()) problem = send(syn);
    expected.shape.flags = tcp::kSyn | tcp::kAck;
    if (problem.empty()) problem = expect(expected);
    if (problem.empty()) problem = wait();
    if (problem.empty()) problem = send(ack);
    if (problem.empty()) problem = backend_.app("accept", "");
  }
  reference_ = backend_.now();
  return problem;
}

}  // namespace paste::scripts
