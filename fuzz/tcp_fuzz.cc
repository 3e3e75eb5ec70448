// One connection against arbitrary segments, calls and times. The input is a list of operations;
// what they put into segments is relative to the connection's real numbers, so that it often hits.
//
// Invariants checked after each operation: every hold is passed on exactly once; what is delivered
// was sent, byte for byte, and no more; the scoreboard's counters equal a recount; the advertised
// edge and acknowledgement never move back; segments lie inside what was written; a deadline that
// has passed makes dispatch() do something. At the end, after abort(), every hold is back.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "fuzz/tcp_fuzz_input.h"
#include "tcp/connection.h"
#include "tcp/packet.h"

namespace paste::tcp {
namespace {

constexpr uint32_t kBuffers = 64;
constexpr uint32_t kBufferSize = 4096;
constexpr uint32_t kOutputsMax = 100'000;  // at one instant

void require(bool condition, int line = __builtin_LINE()) {
  if (condition) return;
  std::fprintf(stderr, "tcp_fuzz.cc:%d: not so\n", line);
  std::abort();
}

constexpr std::byte pattern(Seq at) noexcept {
  return static_cast<std::byte>((at.value * 0x9e3779b1U) >> 24);
}

class Fuzz final : private Owner {
 public:
  explicit Fuzz(Input& in) : in_(in), memory_(size_t{kBuffers + 1} * kBufferSize) {
    for (BufferName buffer = kBuffers; buffer >= 1; --buffer) free_.push_back(buffer);
    passive_ = (in_.byte() & 1) != 0;
    options_ = draw_options(in_);
    shared_.emplace(options_, 1);
    iss_ = Seq{in_.byte() < 128 ? 0xffffff00U : 1000U};
    peer_iss_ = Seq{in_.byte() < 128 ? 0xfffffe00U : 5000U};
    const Connection::Identity identity{iss_, 77};
    if (!passive_) {
      connection_ = std::make_unique<Connection>(*shared_, identity, now_);
      return;
    }
    Segment syn = draw_syn();
    note_agreed(syn);
    connection_ = std::make_unique<Connection>(*shared_, identity, syn, now_);
  }

  void run() {
    drain();
    for (int i = 0; i < 400 && !in_.empty(); ++i) {
      operate(in_.byte() & 15);
      drain();
    }
    while (!unread_.empty()) read_one();
    connection_->abort(*this);
    drain();
    require(connection_->state() == State::closed && connection_->next_deadline(now_) == kNever);
    require(free_.size() == kBuffers);
  }

 private:
  // --- Owner ---
  void deliver(Slice slice) override {
    require(holds_[slice.buffer] > 0 && slice.length > 0);
    const std::byte* at = memory_.data() + size_t{slice.buffer} * kBufferSize + slice.offset;
    for (uint32_t i = 0; i < slice.length; ++i) require(at[i] == pattern(next_in_ + i));
    next_in_ += slice.length;
    delivered_ += slice.length;
    require(delivered_ <= arrived_);
    unread_.push_back(slice);
  }
  void release(BufferName buffer) override {
    require(buffer >= 1 && buffer <= kBuffers && holds_[buffer] > 0);
    if (--holds_[buffer] != 0) return;
    std::memset(memory_.data() + size_t{buffer} * kBufferSize, 0xee, kBufferSize);
    free_.push_back(buffer);
  }
  void hold(BufferName buffer, uint32_t n) override {
    require(holds_[buffer] > 0);
    holds_[buffer] += n;
  }
  void acknowledged(Slice slice, uint64_t cookie) override {
    require(cookie == acknowledged_count_++);  // in order, each once
    release(slice.buffer);
  }
  [[nodiscard]] uint32_t free_buffers() const override {
    return std::min(cap_, static_cast<uint32_t>(free_.size()));
  }
  [[nodiscard]] bool may_challenge(Instant, ChallengeState&) override { return challenges_; }

  BufferName take() {
    if (free_.empty()) return kNoBuffer;
    const BufferName buffer = free_.back();
    free_.pop_back();
    holds_[buffer] = 1;
    return buffer;
  }

  // --- Segments to arrive ---
  [[nodiscard]] Seq una() const {
    return connection_->opened() ? connection_->send_state().una : iss_ + 1;
  }
  [[nodiscard]] Seq nxt() const {
    return connection_->opened() ? connection_->send_state().nxt : iss_ + 1;
  }
  [[nodiscard]] Seq rcv_nxt() const {
    return connection_->state() == State::syn_sent ? peer_iss_ : connection_->rcv_nxt();
  }
  [[nodiscard]] uint32_t ts_now() const { return static_cast<uint32_t>(now_.ns / 1'000'000) + 9; }

  Segment draw_syn() {
    Segment syn;
    syn.seq = peer_iss_;
    syn.flags = kSyn;
    const uint8_t a = in_.byte();
    syn.window = std::array<uint16_t, 4>{65535, 0, 1, 3000}[a & 3];
    syn.options.mss = std::array<uint16_t, 4>{1460, 0, 1, 536}[a >> 2 & 3];
    syn.options.sack_permitted = (a & 16) == 0;
    syn.options.timestamps = (a & 32) == 0;
    syn.options.ts_value = ts_now();
    if ((a & 64) == 0) syn.options.shift = in_.byte() & 15;
    if ((a & 128) != 0) syn.flags |= kEce | kCwr;
    return syn;
  }

  // As a correct peer would send it now.
  Segment proper() {
    Segment segment;
    segment.seq = rcv_nxt();
    segment.ack = nxt();
    segment.flags = kAck;
    segment.window = peer_window_;
    segment.options.timestamps = timestamps_;
    segment.options.ts_value = ts_now();
    segment.options.ts_echo = ts_sent_;
    return segment;
  }

  uint32_t draw_length() {
    const uint8_t a = in_.byte();
    if (a < 8) return a;
    if (a < 32) return options_.mss;
    return a * 8U;
  }

  // A number near something that matters.
  Seq near(Seq low, Seq high) {
    const uint8_t a = in_.byte();
    switch (a & 7) {
      case 0:
        return low;
      case 1:
        return high;
      case 2:
        return low + (a >> 3);
      case 3:
        return low - (a >> 3);
      case 4:
        return high - (a >> 3);
      case 5:
        return high + (a >> 3);
      case 6:
        return low + in_.half();
      default:
        return Seq{in_.word()};
    }
  }
  Seq record_edge() {
    const uint8_t a = in_.byte();
    if (connection_->sender() == nullptr) return una() + a;
    const Scoreboard& board = connection_->sender()->scoreboard();
    if (board.empty()) return una() + (a & 3);
    return board[a % board.size()].begin;
  }
  void draw_blocks(Segment& segment) {
    SegmentOptions& options = segment.options;
    options.sack_count = 1 + in_.byte() % 4;
    for (size_t i = 0; i < options.sack_count; ++i) {
      const bool exact = (in_.byte() & 3) != 0;
      const Seq begin = exact ? record_edge() : near(una(), nxt());
      const Seq end = exact ? max(record_edge(), begin) : near(una(), nxt());
      options.sack[i] = {begin, begin == end ? nxt() : end};
    }
  }

  Segment draw_segment(uint32_t& length) {
    Segment segment = proper();
    const uint8_t what = in_.byte();
    if ((what & 1) != 0) segment.seq = near(rcv_nxt(), edge_);
    if ((what & 2) != 0) segment.ack = near(una(), nxt());
    if ((what & 4) != 0) peer_window_ = segment.window = in_.half();
    if ((what & 8) != 0) segment.flags = in_.byte();
    if ((what & 16) != 0) length = draw_length();
    if ((what & 32) != 0) {
      const uint8_t a = in_.byte();
      segment.options.timestamps = (a & 1) != 0;
      segment.options.ts_value = ts_now() + (a & 2 ? in_.word() : a);
      segment.options.ts_echo = a & 4 ? in_.word() : ts_sent_ - (a >> 3);
    }
    if ((what & 64) != 0) draw_blocks(segment);
    if ((what & 128) != 0) {
      const uint8_t a = in_.byte();
      segment.ce = (a & 1) != 0;
      segment.options.mss = a & 2 ? in_.half() : 0;
      if ((a & 4) != 0) segment.options.shift = a >> 4;
      segment.options.sack_permitted = (a & 8) != 0;
    }
    return segment;
  }

  void arrive(Segment segment, uint32_t length, uint32_t offset) {
    length = std::min(length, kBufferSize - offset);
    segment.payload = {};
    if (length != 0) {
      const BufferName buffer = take();
      if (buffer == kNoBuffer) return;
      segment.payload = {buffer, static_cast<uint16_t>(offset), static_cast<uint16_t>(length)};
      std::byte* at = memory_.data() + size_t{buffer} * kBufferSize + offset;
      const Seq first = segment.seq + (segment.has(kSyn) ? 1 : 0);
      for (uint32_t i = 0; i < length; ++i) at[i] = pattern(first + i);
      arrived_ += length;
    }
    next_in_ = connection_->rcv_nxt();
    const State before = connection_->state();
    const auto reset = connection_->process(segment, now_, *this);
    if (reset) require(reset->has(kRst) && !segment.has(kRst));
    const State after = connection_->state();
    if (before == State::syn_sent && after != before && after != State::closed) {
      note_agreed(segment);
    } else if (before != State::syn_sent && before != State::closed) {
      // All that was delivered lies below what is acknowledged, a FIN aside.
      const int32_t more = connection_->rcv_nxt() - next_in_;
      require(more == 0 || (more == 1 && connection_->peer_finished()));
    }
  }

  void note_agreed(const Segment& syn) {
    peer_iss_ = syn.seq;
    timestamps_ = options_.timestamps && syn.options.timestamps;
    scaled_ = options_.window_scale && syn.options.shift != SegmentOptions::kNoShift;
  }

  void raw_frame() {
    const Bytes bytes = in_.bytes(in_.byte());
    const std::vector<std::byte> frame(bytes.begin(), bytes.end());
    const auto packet = parse_packet(frame);
    if (packet)
      arrive(packet->segment, packet->segment.payload.length, packet->segment.payload.offset);
  }

  // The segment goes through the wire format, perhaps damaged there.
  void framed() {
    uint32_t length = 0;
    const Segment segment = draw_segment(length);
    const FourTuple there{.local = ipv4_mapped(10, 0, 0, 2),
                          .remote = ipv4_mapped(10, 0, 0, 1),
                          .local_port = 9,
                          .remote_port = 8};
    Outgoing out;
    out.header = segment;
    SegmentOptions& options = out.header.options;
    // All that fits into 40 bytes and may be written.
    options.sack_count = std::min<uint8_t>(options.sack_count, 1);
    if (options.shift != SegmentOptions::kNoShift)
      options.shift = std::min(options.shift, uint8_t{14});
    if (options.mss != 0 || options.shift != SegmentOptions::kNoShift) options.sack_count = 0;
    std::vector<std::byte> frame(kHeadersMax);
    frame.resize(emit_packet(there, out, memory_, kBufferSize, frame));
    const uint8_t damage = in_.byte();
    if (damage != 0) frame[damage % frame.size()] ^= static_cast<std::byte>(in_.byte());
    const auto packet = parse_packet(frame);
    if (packet) arrive(packet->segment, length, 54);
  }

  // --- The program ---
  void read_one() {
    const Slice slice = unread_.front();
    unread_.erase(unread_.begin());
    release(slice.buffer);
    connection_->consumed(now_, slice.length, 1, *this);
  }
  void write() {
    const uint32_t length = std::min(draw_length(), kBufferSize);
    if (free_.size() < 8) return;
    const BufferName buffer = take();
    const Slice slice{buffer, 0, static_cast<uint16_t>(length)};
    if (connection_->write(slice, written_)) {
      ++written_;
    } else {
      release(buffer);
    }
  }
  void control() {
    switch (in_.byte() & 7) {
      case 0:
      case 1:
        (void)connection_->shutdown();
        break;
      case 2:
        (void)connection_->close();
        break;
      case 3:
        connection_->abort(*this);
        break;
      case 4:
        connection_->set_nagle(in_.byte() & 1);
        break;
      case 5:
        challenges_ = !challenges_;
        break;
      default:
        cap_ = in_.byte() & 15;
        if (cap_ == 15) cap_ = kBuffers;
        break;
    }
  }
  void pass_time() {
    const uint8_t a = in_.byte();
    const Duration n(1 + (a >> 3));
    const std::array<Duration, 8> units{
        std::chrono::microseconds(1),   std::chrono::milliseconds(1), std::chrono::milliseconds(10),
        std::chrono::milliseconds(100), std::chrono::seconds(1),      std::chrono::seconds(30),
        std::chrono::minutes(10),       std::chrono::hours(24)};
    advance(now_ + units[a & 7] * n.count());
  }
  void to_deadline() {
    const uint8_t a = in_.byte();
    for (uint32_t i = 0; i <= (a & 3U); ++i) {
      const Instant at = connection_->next_deadline(now_);
      if (at == kNever) return;
      if ((a & 4) != 0 && at.ns > now_.ns + 1) advance({at.ns - 1});
      if (at > now_) advance(at);
      drain();
    }
  }
  void advance(Instant to) {
    require(to >= now_);
    if (to != now_) outputs_ = 0;
    now_ = to;
  }

  void operate(uint8_t what) {
    uint32_t length = 0;
    Segment segment = proper();
    switch (what) {
      case 0:
        return arrive(segment, draw_length(), 54);
      case 1:
        segment.ack = record_edge();
        return arrive(segment, 0, 0);
      case 2:
        draw_blocks(segment);
        segment.ack = una();
        return arrive(segment, 0, 0);
      case 3:
        segment.seq = near(rcv_nxt(), edge_);
        return arrive(segment, draw_length(), 54);
      case 4:
        return pass_time();
      case 5:
      case 6:
        return write();
      case 7:
        for (uint32_t n = 1 + in_.byte() % 8; n > 0 && !unread_.empty(); --n) read_one();
        return;
      case 8:
        return control();
      case 9:
        return in_.byte() < 128 ? raw_frame() : framed();
      case 10:
        return to_deadline();
      case 11: {
        segment = draw_syn();
        if ((in_.byte() & 3) != 0) segment.flags |= kAck;
        segment.ack = iss_ + 1;
        segment.options.ts_echo = ts_sent_;
        return arrive(segment, 0, 0);
      }
      case 12:
        segment.flags |= kFin;
        return arrive(segment, draw_length(), 54);
      case 13:
        peer_window_ = segment.window = std::array<uint16_t, 4>{0, 1, 700, 65535}[in_.byte() & 3];
        return arrive(segment, 0, 0);
      case 14:
        return arrive(segment, 0, 0);
      default:
        segment = draw_segment(length);
        return arrive(segment, length, in_.byte());
    }
  }

  // --- What leaves ---
  void check_ack(const Segment& header) {
    if (!header.has(kAck) || header.has(kRst)) return;
    require(header.ack == connection_->rcv_nxt());
    const uint32_t shift = header.has(kSyn) || !scaled_ ? 0 : own_shift_;
    const uint32_t unit = scaled_ ? 1U << own_shift_ : 1;
    const Seq edge = header.ack + (uint32_t{header.window} << shift);
    if (!acked_) {
      acked_ = true;
      last_ack_ = header.ack;
      edge_ = edge;
    }
    require(header.ack >= last_ack_);
    require(edge + unit > edge_);
    last_ack_ = header.ack;
    edge_ = max(edge_, edge);
  }
  void check_output(const Outgoing& out) {
    const Segment& header = out.header;
    uint32_t bytes = 0;
    for (const Slice slice : out.payload()) {
      require(slice.length > 0 && holds_[slice.buffer] > 0);
      bytes += slice.length;
    }
    require(bytes == out.bytes);
    if (header.options.timestamps) ts_sent_ = header.options.ts_value;
    if (header.has(kSyn)) {
      require(header.seq == iss_ && bytes == 0);
      if (header.options.shift != SegmentOptions::kNoShift) own_shift_ = header.options.shift;
    } else if (!header.has(kRst)) {
      if (connection_->opened()) {
        const SendState& state = connection_->send_state();
        require(bytes <= state.mss && header.options.timestamps == timestamps_);
        if (bytes != 0) require(header.seq >= state.una);
        require(header.seq + bytes <= state.nxt);
      }
    }
    check_ack(header);
  }
  void drain() {
    Outgoing out;
    while (connection_->dispatch(now_, out, *this)) {
      require(++outputs_ <= kOutputsMax);
      check_output(out);
    }
    const Instant at = connection_->next_deadline(now_);
    if (at <= now_) {
      const bool more = connection_->dispatch(now_, out, *this);
      if (more) check_output(out);
      require(more || connection_->next_deadline(now_) > now_);
    }
    if (connection_->state() == State::closed) {
      require(connection_->ending() != Ending::none && connection_->out_of_order_buffers() == 0);
      require(acknowledged_count_ == written_);
    }
    if (const Sender* sender = connection_->sender()) {
      const Scoreboard& board = sender->scoreboard();
      require(board.counts() == board.recount());
      if (connection_->state() != State::closed) require(board.bytes() == sender->flight());
      require(sender->una() <= sender->nxt());
    }
  }

  Input& in_;
  std::vector<std::byte> memory_;
  std::array<uint32_t, kBuffers + 1> holds_{};
  std::vector<BufferName> free_;
  std::vector<Slice> unread_;
  ConnectionOptions options_;
  std::optional<Shared> shared_;
  std::unique_ptr<Connection> connection_;
  Instant now_{1'000'000'000};
  Seq iss_, peer_iss_, next_in_, last_ack_, edge_;
  uint64_t arrived_ = 0, delivered_ = 0, written_ = 0, acknowledged_count_ = 0;
  uint32_t cap_ = kBuffers;
  uint32_t outputs_ = 0;
  uint32_t ts_sent_ = 0;
  uint16_t peer_window_ = 30'000;
  uint8_t own_shift_ = 0;
  bool passive_ = false, timestamps_ = false, scaled_ = false, acked_ = false, challenges_ = true;
};

}  // namespace
}  // namespace paste::tcp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 8 || size > 4096) return 0;
  paste::tcp::Input input(data, size);
  paste::tcp::Fuzz fuzz(input);
  fuzz.run();
  return 0;
}
