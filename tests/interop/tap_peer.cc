// PASTE's TCP on a tap device of the current network namespace, in real time, as the peer of the
// kernel's TCP. A test program: it prints "ready", waits for a line, runs its connections and
// prints one line of JSON. Status 0: all connections ended and nothing was wrong in itself.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <list>
#include <map>

#include "base/time.h"
#include "tap_options.h"
#include "wire/arp.h"
#include "wire/ethernet.h"

namespace paste::interop {
namespace {

constexpr wire::MacAddress kOurMac{{2, 0, 0, 0, 0, 2}};
constexpr tcp::SipKey kKey{0x0706050403020100, 0x0f0e0d0c0b0a0908};

struct Totals {
  uint64_t received = 0, acknowledged = 0, retransmits = 0, timeouts = 0, recoveries = 0;
  uint64_t window_probes = 0, spurious = 0, congestion_marks = 0;
  uint64_t malformed = 0, bad_checksum = 0, other_frames = 0, no_buffer = 0, unknown = 0;
  uint64_t ect_sent = 0, send_failed = 0;
  std::map<std::string, uint64_t> endings;
  std::map<std::string, uint64_t> drops;
  std::string problem;
};

const char* name_of(tcp::Ending ending) {
  switch (ending) {
    case tcp::Ending::none:
      return "none";
    case tcp::Ending::orderly:
      return "orderly";
    case tcp::Ending::reset:
      return "reset";
    case tcp::Ending::refused:
      return "refused";
    case tcp::Ending::timed_out:
      return "timed_out";
    case tcp::Ending::aborted:
      return "aborted";
  }
  return "?";
}

wire::EthernetHeader arp_header(const wire::MacAddress& to) {
  wire::EthernetHeader header;
  header.destination = to;
  header.source = kOurMac;
  header.type = wire::kEtherTypeArp;
  return header;
}

class TapPeer {
 public:
  explicit TapPeer(const Options& options)
      : options_(options),
        prng_(options.seed),
        buffers_(options.buffers, options.mtu > 1900 ? 10240 : 2048),
        in_(options.impairment, prng_.fork("in")),
        out_(options.impairment, prng_.fork("out")) {}
  ~TapPeer() { close(tap_); }
  TapPeer(const TapPeer&) = delete;
  TapPeer& operator=(const TapPeer&) = delete;

  [[nodiscard]] bool open_device();
  [[nodiscard]] bool run();
  void print(bool complete) const;

 private:
  void receive_all(tcp::Instant now);
  void arrive(tcp::Instant now, const Impairment::Frame& frame);
  void answer_arp(Bytes payload);
  void ask_arp(tcp::Instant now);
  void open(const tcp::FourTuple& tuple, const tcp::Segment* syn, tcp::Instant now);
  void open_clients(tcp::Instant now);
  void transmit(tcp::Instant now, const tcp::FourTuple& tuple, const tcp::Outgoing& out);
  void put_on_device(Bytes frame);
  void turn(Session& session, tcp::Instant now);
  void account(Session& session);
  void note_refusal(const tcp::Refusal& refusal);
  [[nodiscard]] static tcp::Instant now() { return {base::monotonic_ns()}; }

  Options options_;
  sim::Prng prng_;
  Buffers buffers_;
  Impairment in_;
  Impairment out_;
  tcp::ChallengeLimiter limiter_{1000};
  std::list<Session> sessions_;
  Totals totals_;
  wire::MacAddress kernel_mac_;
  tcp::Instant arp_at_{};
  tcp::Instant started_{};
  tcp::Instant finished_{};
  uint32_t opened_ = 0;
  int tap_ = -1;
};

// --- The device ---------------------------------------------------------------------------------

bool TapPeer::open_device() {
  tap_ = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tap_ < 0) return false;
  ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  std::strncpy(request.ifr_name, options_.device.c_str(), IFNAMSIZ - 1);
  return ioctl(tap_, TUNSETIFF, &request) == 0;
}

void TapPeer::put_on_device(Bytes frame) {
  while (write(tap_, frame.data(), frame.size()) < 0) {
    if (errno == EINTR) continue;
    ++totals_.send_failed;
    return;
  }
}

void TapPeer::answer_arp(Bytes payload) {
  const auto request = wire::ArpPacket::parse(payload);
  if (!request) return;
  if (request->sender_ip == options_.remote) kernel_mac_ = request->sender_mac;
  if (request->operation != wire::kArpRequest || request->target_ip != options_.address) return;
  std::array<std::byte, 60> frame{};
  const size_t head = wire::emit(arp_header(request->sender_mac), frame);
  wire::emit({.operation = wire::kArpReply,
              .sender_mac = kOurMac,
              .sender_ip = options_.address,
              .target_mac = request->sender_mac,
              .target_ip = request->sender_ip},
             std::span(frame).subspan(head));
  put_on_device(frame);
}

void TapPeer::ask_arp(tcp::Instant now) {
  std::array<std::byte, 60> frame{};
  const size_t head = wire::emit(arp_header(wire::MacAddress::broadcast()), frame);
  wire::emit({.operation = wire::kArpRequest,
              .sender_mac = kOurMac,
              .sender_ip = options_.address,
              .target_mac = {},
              .target_ip = options_.remote},
             std::span(frame).subspan(head));
  put_on_device(frame);
  arp_at_ = now + std::chrono::milliseconds(20);
}

void TapPeer::transmit(tcp::Instant now, const tcp::FourTuple& tuple, const tcp::Outgoing& out) {
  if (out.header.ect) ++totals_.ect_sent;
  Impairment::Frame frame(tcp::kHeadersMax + out.bytes);
  size_t at = tcp::emit_packet(tuple, out, buffers_.memory(), buffers_.size(), frame);
  kernel_mac_.store(frame, 0);
  kOurMac.store(frame, 6);
  for (const Slice slice : out.payload()) {
    std::memcpy(frame.data() + at, buffers_.bytes(slice.buffer) + slice.offset, slice.length);
    at += slice.length;
  }
  frame.resize(at);
  if (options_.impairment.any()) {
    out_.put(now, std::move(frame));
  } else {
    put_on_device(frame);
  }
}

// --- Arrival ------------------------------------------------------------------------------------

void TapPeer::receive_all(tcp::Instant now) {
  Impairment::Frame frame;
  for (int i = 0; i < 64; ++i) {
    frame.resize(16384);
    const ssize_t n = read(tap_, frame.data(), frame.size());
    if (n <= 0) return;
    frame.resize(static_cast<size_t>(n));
    const auto ethernet = wire::EthernetFrame::parse(frame);
    if (ethernet && ethernet->header.type == wire::kEtherTypeArp) {
      answer_arp(ethernet->payload);
    } else if (ethernet && ethernet->header.type == wire::kEtherTypeIpv4) {
      if (options_.impairment.any()) {
        in_.put(now, frame);
      } else {
        arrive(now, frame);
      }
    } else {
      ++totals_.other_frames;
    }
  }
}

void TapPeer::note_refusal(const tcp::Refusal& refusal) {
  switch (refusal.reason) {
    case tcp::Refused::malformed:
      ++totals_.malformed;
      break;
    case tcp::Refused::bad_checksum:
      ++totals_.bad_checksum;
      break;
    default:
      ++totals_.other_frames;
      break;
  }
}

void TapPeer::arrive(tcp::Instant now, const Impairment::Frame& frame) {
  const auto packet = tcp::parse_packet(frame);
  if (!packet) return note_refusal(packet.error());
  if (packet->tuple.local != options_.address.octets) {
    ++totals_.other_frames;
    return;
  }
  tcp::Segment segment = packet->segment;
  auto session = std::find_if(sessions_.begin(), sessions_.end(),
                              [&](const Session& one) { return one.tuple() == packet->tuple; });
  if (session == sessions_.end()) {
    const bool syn = segment.has(tcp::kSyn) && !segment.has(tcp::kAck) && !segment.has(tcp::kRst);
    if (syn && options_.serve && packet->tuple.local_port == options_.port) {
      return open(packet->tuple, &segment, now);
    }
    ++totals_.unknown;
    if (const auto reset = tcp::reset_for(segment)) {
      tcp::Outgoing out;
      out.header = *reset;
      transmit(now, packet->tuple, out);
    }
    return;
  }
  if (segment.payload.length != 0) {
    const BufferName buffer = buffers_.take(false);
    if (buffer == kNoBuffer || frame.size() > buffers_.size()) {
      ++totals_.no_buffer;
      if (buffer != kNoBuffer) buffers_.release(buffer);
      return;
    }
    std::memcpy(buffers_.bytes(buffer), frame.data(), frame.size());
    segment.payload.buffer = buffer;
  }
  if (const auto reset = session->process(segment, now)) {
    tcp::Outgoing out;
    out.header = *reset;
    transmit(now, session->tuple(), out);
  }
}

// --- Connections --------------------------------------------------------------------------------

void TapPeer::open(const tcp::FourTuple& tuple, const tcp::Segment* syn, tcp::Instant now) {
  if (opened_++ == 0) started_ = now;
  Session& session =
      sessions_.emplace_back(buffers_, prng_, limiter_, options_.program, tuple, options_.serve);
  session.open(options_.connection, kKey, now, syn);
}

void TapPeer::open_clients(tcp::Instant now) {
  if (options_.serve || opened_ == options_.count || kernel_mac_.is_zero()) return;
  for (const Session& session : sessions_) {
    if (!session.done()) return;
  }
  open({.local = options_.address.octets,
        .remote = options_.remote.octets,
        .local_port = static_cast<uint16_t>(20000 + (options_.seed * 131 + opened_) % 30000),
        .remote_port = options_.port},
       nullptr, now);
}

void TapPeer::turn(Session& session, tcp::Instant now) {
  tcp::Outgoing out;
  for (uint32_t i = 0; session.dispatch(now, out); ++i) {
    transmit(now, session.tuple(), out);
    if (i > 100'000 && totals_.problem.empty()) {
      totals_.problem = "dispatch() never ends";
      return;
    }
  }
}

void TapPeer::account(Session& session) {
  const tcp::Connection& connection = session.connection();
  session.drop_unread();
  totals_.received += session.received();
  totals_.acknowledged += session.acknowledged();
  if (totals_.problem.empty()) totals_.problem = session.problem();
  ++totals_.endings[name_of(connection.ending())];
  const tcp::ConnectionDrops& d = connection.drops();
  const std::pair<const char*, uint64_t> drops[] = {
      {"not_acceptable", d.not_acceptable},
      {"paws", d.paws},
      {"no_timestamp", d.no_timestamp},
      {"bad_ack", d.bad_ack},
      {"no_ack", d.no_ack},
      {"bad_reset", d.bad_reset},
      {"bad_syn", d.bad_syn},
      {"out_of_order_full", d.out_of_order_full},
      {"after_close", d.after_close},
      {"beyond_fin", d.beyond_fin},
      {"in_syn_sent", d.in_syn_sent},
  };
  for (const auto& [name, n] : drops) {
    if (n != 0) totals_.drops[name] += n;
  }
  const tcp::SenderCounters& c = connection.sent();
  totals_.retransmits += c.retransmits;
  totals_.timeouts += c.timeouts;
  totals_.recoveries += c.recoveries;
  totals_.window_probes += c.window_probes;
  totals_.spurious += c.spurious;
  totals_.congestion_marks += c.congestion_marks;
}

bool TapPeer::run() {
  const tcp::Instant end = now() + options_.timeout;
  while (true) {
    tcp::Instant at = now();
    if (at >= end) return false;
    receive_all(at);
    while (in_.next() <= at) arrive(at, in_.take());
    if (!options_.serve && kernel_mac_.is_zero() && arp_at_ <= at) ask_arp(at);
    open_clients(at);
    tcp::Instant wake = std::min({end, in_.next(), kernel_mac_.is_zero() ? arp_at_ : tcp::kNever});
    for (auto session = sessions_.begin(); session != sessions_.end();) {
      turn(*session, at);
      if (session->done()) finished_ = std::max(finished_, at);
      if (!session->ended()) {
        wake = std::min(wake, session->next(at));
        ++session;
        continue;
      }
      account(*session);
      session = sessions_.erase(session);
      wake = at;
    }
    while (out_.next() <= at) put_on_device(out_.take());
    wake = std::min(wake, out_.next());
    if (opened_ == options_.count && sessions_.empty() && out_.next() == tcp::kNever) return true;
    at = now();
    const Duration left = wake > at ? wake - at : Duration(0);
    // Something may be due that dispatch() does not give at once: never spin without a pause.
    const Duration pause = std::max<Duration>(left, std::chrono::microseconds(50));
    const timespec timeout{.tv_sec = pause.count() / 1'000'000'000,
                           .tv_nsec = pause.count() % 1'000'000'000};
    pollfd device{.fd = tap_, .events = POLLIN, .revents = 0};
    (void)ppoll(&device, 1, &timeout, nullptr);
  }
}

std::string to_json(const std::map<std::string, uint64_t>& counts) {
  std::string text = "{";
  for (const auto& [name, n] : counts) {
    text += (text.size() > 1 ? ", \"" : "\"") + name + "\": " + std::to_string(n);
  }
  return text + "}";
}

void TapPeer::print(bool complete) const {
  const auto count = [](const char* name, uint64_t n) {
    return std::string("\"") + name + "\": " + std::to_string(n) + ", ";
  };
  const Totals& t = totals_;
  const auto us = finished_ > started_ ? (finished_ - started_).count() / 1000 : 0;
  std::string text = "{" + count("received", t.received) + count("acknowledged", t.acknowledged) +
                     count("microseconds", static_cast<uint64_t>(us)) +
                     count("retransmits", t.retransmits) + count("recoveries", t.recoveries) +
                     count("timeouts", t.timeouts) + count("window_probes", t.window_probes) +
                     count("spurious", t.spurious) + count("congestion_marks", t.congestion_marks) +
                     count("ect_sent", t.ect_sent) + count("malformed", t.malformed) +
                     count("bad_checksum", t.bad_checksum) + count("no_buffer", t.no_buffer) +
                     count("unknown", t.unknown) + count("send_failed", t.send_failed) +
                     count("held", buffers_.held()) + count("wrong_holds", buffers_.wrong_holds()) +
                     count("lost", in_.lost() + out_.lost()) +
                     count("marked", in_.marked() + out_.marked()) + count("opened", opened_) +
                     "\"endings\": " + to_json(t.endings) + ", \"drops\": " + to_json(t.drops) +
                     ", \"problem\": \"" + t.problem + "\", \"open\": \"";
  for (const Session& session : sessions_) {
    text += std::string(tcp::to_string(session.connection().state())) + " " +
            std::to_string(session.received()) + "/" + std::to_string(session.acknowledged()) + " ";
  }
  std::printf("%s\", \"complete\": %s}\n", text.c_str(), complete ? "true" : "false");
}

}  // namespace
}  // namespace paste::interop

int main(int argc, char** argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // the test may die without a chance to end us
  paste::interop::TapPeer peer(paste::interop::read_options(argc, argv));
  if (!peer.open_device()) {
    std::perror("tap_peer: the tap device cannot be opened");
    return 3;
  }
  std::puts("ready");
  std::fflush(stdout);
  if (std::getchar() == EOF) return 2;
  const bool complete = peer.run();
  peer.print(complete);
  return complete ? 0 : 1;
}
