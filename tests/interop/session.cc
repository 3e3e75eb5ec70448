#include "session.h"

#include <algorithm>
#include <cstring>

#include "tcp/isn.h"

namespace paste::interop {
namespace {

// A linear congruential generator that the Python side repeats.
std::array<std::byte, kPeriod> make_stream() noexcept {
  std::array<std::byte, kPeriod> stream;
  uint32_t x = 1;
  for (std::byte& byte : stream) {
    x = x * 1103515245 + 12345;
    byte = static_cast<std::byte>(x >> 16);
  }
  return stream;
}

constexpr uint64_t kQueueMax = 4 << 20;  // bytes written and not acknowledged

}  // namespace

const std::array<std::byte, kPeriod>& stream_bytes() noexcept {
  static const std::array<std::byte, kPeriod> stream = make_stream();
  return stream;
}

Buffers::Buffers(uint32_t count, uint32_t size)
    : count_(count), size_(size), memory_(size_t{count + 1} * size), holds_(count + 1, 0) {
  for (BufferName name = count; name >= 1; --name) free_.push_back(name);
}

BufferName Buffers::take(bool for_sending) {
  if (free_.size() <= (for_sending ? count_ / 2 : 0U)) return kNoBuffer;
  const BufferName buffer = free_.back();
  free_.pop_back();
  holds_[buffer] = 1;
  return buffer;
}

void Buffers::release(BufferName buffer) {
  if (holds_[buffer] == 0) {
    ++wrong_;
  } else if (--holds_[buffer] == 0) {
    std::memset(bytes(buffer), 0xee, 64);  // who still reads it will notice
    free_.push_back(buffer);
  }
}

void Buffers::hold(BufferName buffer, uint32_t n) {
  if (holds_[buffer] == 0) ++wrong_;
  holds_[buffer] += n;
}

Session::Session(Buffers& buffers, sim::Prng& prng, tcp::ChallengeLimiter& limiter,
                 const Program& program, const tcp::FourTuple& tuple, bool we_are_server)
    : buffers_(buffers),
      prng_(prng),
      limiter_(limiter),
      program_(program),
      tuple_(tuple),
      start_in_(0),
      start_out_(0) {
  const uint64_t client_port = we_are_server ? tuple.remote_port : tuple.local_port;
  start_out_ = client_port * 31;
  start_in_ = client_port * 31 + 31337;
}

void Session::open(const tcp::ConnectionOptions& options, const tcp::SipKey& key, tcp::Instant now,
                   const tcp::Segment* syn) {
  const tcp::Connection::Identity identity{tcp::initial_sequence(key, tuple_, now),
                                           tcp::timestamp_offset(key, tuple_)};
  shared_.emplace(options, 1);
  connection_ = syn == nullptr ? std::make_unique<tcp::Connection>(*shared_, identity, now)
                               : std::make_unique<tcp::Connection>(*shared_, identity, *syn, now);
  read_at_ = now + program_.read_after;
  dispatching_ = true;
}

std::optional<tcp::Segment> Session::process(const tcp::Segment& segment, tcp::Instant now) {
  dispatching_ = true;
  return connection_->process(segment, now, *this);
}

// --- The program ------------------------------------------------------------------------------

void Session::deliver(Slice slice) {
  const auto& stream = stream_bytes();
  const std::byte* bytes = buffers_.bytes(slice.buffer) + slice.offset;
  uint64_t at = start_in_ + received_;
  for (uint32_t done = 0; done < slice.length;) {
    const auto place = static_cast<uint32_t>(at % kPeriod);
    const uint32_t n = std::min<uint32_t>(slice.length - done, kPeriod - place);
    if (std::memcmp(bytes + done, stream.data() + place, n) != 0 && problem_.empty()) {
      problem_ = "wrong bytes from " + std::to_string(received_ + done);
    }
    done += n;
    at += n;
  }
  received_ += slice.length;
  unread_.push_back(slice);
}

void Session::acknowledged(Slice slice, uint64_t) {
  acknowledged_ += slice.length;
  release(slice.buffer);
}

// Takes over the hold, or is asked again later.
bool Session::use(Slice slice) {
  if (program_.kind != Program::Kind::echo || connection_->state() == tcp::State::closed) {
    release(slice.buffer);
    return true;
  }
  if (produced_ - acknowledged_ >= kQueueMax) return false;
  if (!connection_->write(slice, produced_)) return false;
  produced_ += slice.length;
  return true;
}

void Session::read(tcp::Instant now) {
  while (!unread_.empty() && read_at_ <= now) {
    const Slice slice = unread_.front();
    if (!use(slice)) return;
    unread_.pop_front();
    connection_->consumed(now, slice.length, 1, *this);
    if (program_.read_every.count() != 0) read_at_ = now + program_.read_every;
  }
}

void Session::drop_unread() {
  for (const Slice slice : unread_) release(slice.buffer);
  unread_.clear();
}

void Session::write() {
  const auto& stream = stream_bytes();
  while (produced_ < program_.bytes && produced_ - acknowledged_ < kQueueMax) {
    const BufferName buffer = buffers_.take(true);
    if (buffer == kNoBuffer) return;
    const uint64_t place = (start_out_ + produced_) % kPeriod;
    const auto length = static_cast<uint16_t>(
        std::min<uint64_t>({program_.bytes - produced_, buffers_.size(), kPeriod - place}));
    std::memcpy(buffers_.bytes(buffer), stream.data() + place, length);
    if (!connection_->write({buffer, 0, length}, produced_)) return release(buffer);
    produced_ += length;
  }
  if (produced_ == program_.bytes) finish();
}

void Session::finish() {
  if (shut_) return;
  shut_ = true;
  if (!connection_->shutdown() && problem_.empty()) problem_ = "shutdown() failed";
}

void Session::run(tcp::Instant now) {
  read(now);
  if (connection_->state() == tcp::State::closed || !connection_->opened() || shut_) {
    return;
  }
  if (program_.abort_after != 0 && received_ >= program_.abort_after) {
    return connection_->abort(*this);
  }
  const bool all_read = connection_->peer_finished() && unread_.empty();
  switch (program_.kind) {
    case Program::Kind::source:
      return write();
    case Program::Kind::reply:
      if (all_read) write();
      return;
    case Program::Kind::sink:
    case Program::Kind::echo:
      if (all_read) finish();
      return;
  }
}

bool Session::dispatch(tcp::Instant now, tcp::Outgoing& out) {
  run(now);
  dispatching_ = connection_->dispatch(now, out, *this);
  return dispatching_;
}

tcp::Instant Session::next(tcp::Instant now) const {
  const tcp::Instant at = connection_->next_deadline(now);
  return unread_.empty() || read_at_ <= now ? at : std::min(at, read_at_);
}

}  // namespace paste::interop
