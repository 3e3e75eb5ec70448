#include "port/sim/link.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "port/sim/ecn.h"

namespace paste::sim {
namespace {

// The order of std::push_heap: the greatest first, so "later" is "less".
constexpr auto kLater = [](const auto& a, const auto& b) noexcept {
  return a.at != b.at ? b.at < a.at : b.sequence < a.sequence;
};

constexpr uint64_t kBitNanoseconds = uint64_t{8} * 1'000'000'000;  // of a byte at 1 bit/s

void check_options(const LinkOptions& o) {
  PASTE_CHECK(o.delay.count() >= 0);
  PASTE_CHECK(o.jitter.count() >= 0);
  PASTE_CHECK(o.reorder_extra.count() >= 0);
  for (const uint32_t ppm : {o.loss_ppm, o.duplicate_ppm, o.corrupt_ppm, o.reorder_ppm,
                             o.burst.to_bad_ppm, o.burst.to_good_ppm, o.burst.loss_bad_ppm}) {
    PASTE_CHECK(ppm <= kPpm);
  }
}

}  // namespace

uint64_t LinkCounters::dropped_total() const noexcept {
  return std::accumulate(dropped.begin(), dropped.end(), uint64_t{0});
}

Link::Link(World& world, std::string_view name, const LinkOptions& options)
    : world_(world),
      options_(options),
      draws_{world.prng().fork(name).fork("loss"),    world.prng().fork(name).fork("burst"),
             world.prng().fork(name).fork("corrupt"), world.prng().fork(name).fork("duplicate"),
             world.prng().fork(name).fork("reorder"), world.prng().fork(name).fork("jitter")},
      name_(hash_name(name) & 0xffff) {
  check_options(options);
}

void Link::send(Frame frame) {
  ++counters_.sent;
  world_.record("send", name_, frame.size());
  if (observer_ != nullptr) observer_->sent(world_.now(), frame);
  const LinkOptions& o = options_;
  if (cut_) return drop(Drop::partition, frame.size());
  if (o.mtu != 0 && frame.size() > o.mtu + kEthernetHeader) return drop(Drop::mtu, frame.size());
  const bool waits = line_busy_ || clogged_ || !queue_.empty();
  if (waits && ((o.queue_frames != 0 && queue_.size() >= o.queue_frames) ||
                (o.queue_bytes != 0 && queued_bytes_ + frame.size() > o.queue_bytes))) {
    return drop(Drop::queue, frame.size());
  }
  if (o.ce_queue_bytes != 0 && queued_bytes_ >= o.ce_queue_bytes && mark_ce(frame)) {
    ++counters_.ce_marked;
  }
  queued_bytes_ += frame.size();
  queue_.push_back(std::move(frame));
  start_line();
  schedule();
}

void Link::drop(Drop reason, size_t size) noexcept {
  static constexpr std::array<const char*, static_cast<size_t>(Drop::count_)> kNames = {
      "drop:queue", "drop:loss", "drop:burst", "drop:partition", "drop:mtu"};
  ++counters_.dropped[static_cast<size_t>(reason)];
  world_.record(kNames[static_cast<size_t>(reason)], name_, size);
}

// Exact over a run of back-to-back frames: n bits end floor(n * 1e9 / rate) after the first began.
Duration Link::time_on_line(size_t size) noexcept {
  if (options_.rate_bps == 0) return Duration(0);
  if (world_.now() != line_free_) line_carry_ = 0;
  PASTE_CHECK(size <= (UINT64_MAX - options_.rate_bps) / kBitNanoseconds);
  const uint64_t work = size * kBitNanoseconds + line_carry_;
  line_carry_ = work % options_.rate_bps;
  return Duration(static_cast<int64_t>(work / options_.rate_bps));
}

void Link::start_line() {
  while (!line_busy_ && !clogged_ && !queue_.empty()) {
    on_line_ = std::move(queue_.front());
    queue_.pop_front();
    queued_bytes_ -= on_line_.size();
    const Duration time = time_on_line(on_line_.size());
    line_busy_ = true;
    line_free_ = world_.now() + time;
    if (time.count() == 0) finish_line();
  }
}

void Link::finish_line() {
  line_busy_ = false;
  Frame frame = std::move(on_line_);
  if (lost(frame.size())) return;
  if (options_.corrupt_ppm != 0 && !frame.empty() &&
      draw(Draw::corrupt).chance(options_.corrupt_ppm)) {
    const uint64_t bit = draw(Draw::corrupt).below(frame.size() * 8);
    frame[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    ++counters_.corrupted;
    world_.record("corrupt", name_, bit);
  }
  if (options_.duplicate_ppm != 0 && draw(Draw::duplicate).chance(options_.duplicate_ppm)) {
    ++counters_.duplicated;
    world_.record("duplicate", name_, frame.size());
    fly(frame);
  }
  fly(std::move(frame));
}

bool Link::lost(size_t size) noexcept {
  const BurstLoss& burst = options_.burst;
  if (burst.to_bad_ppm != 0) {
    const bool moves = draw(Draw::burst).chance(burst_bad_ ? burst.to_good_ppm : burst.to_bad_ppm);
    if (moves) burst_bad_ = !burst_bad_;
    if (burst_bad_ && draw(Draw::burst).chance(burst.loss_bad_ppm)) {
      drop(Drop::burst, size);
      return true;
    }
  }
  if (options_.loss_ppm != 0 && draw(Draw::loss).chance(options_.loss_ppm)) {
    drop(Drop::loss, size);
    return true;
  }
  return false;
}

void Link::fly(Frame frame) {
  const LinkOptions& o = options_;
  tcp::Instant at = world_.now() + o.delay;
  if (o.jitter.count() != 0) {
    const auto most = static_cast<uint64_t>(o.jitter.count());
    at = at + Duration(static_cast<int64_t>(draw(Draw::jitter).between(0, most)));
  }
  if (o.reorder_ppm != 0 && draw(Draw::reorder).chance(o.reorder_ppm)) {
    at = at + o.reorder_extra;
    ++counters_.reordered;
  } else if (o.jitter.count() == 0 || !o.jitter_reorders) {
    last_ordered_ = at = std::max(at, last_ordered_);
  }
  flight_.push_back({at, ++flight_sequence_, std::move(frame)});
  std::push_heap(flight_.begin(), flight_.end(), kLater);
}

void Link::act(tcp::Instant now) {
  if (clogged_) return;
  if (line_busy_ && line_free_ <= now) finish_line();
  start_line();
  // What an arrival causes to be sent waits for the next event, even when it needs no time.
  const uint64_t last = flight_sequence_;
  while (!clogged_ && !flight_.empty() && flight_.front().at <= now &&
         flight_.front().sequence <= last) {
    std::pop_heap(flight_.begin(), flight_.end(), kLater);
    Frame frame = std::move(flight_.back().frame);
    flight_.pop_back();
    deliver(std::move(frame));
  }
  schedule();
}

void Link::deliver(Frame frame) {
  if (cut_) return drop(Drop::partition, frame.size());
  PASTE_CHECK(destination_ != nullptr);
  ++counters_.delivered;
  counters_.delivered_bytes += frame.size();
  world_.record("deliver", name_, frame.size());
  if (observer_ != nullptr) observer_->delivered(world_.now(), frame);
  destination_->receive(std::move(frame));
}

void Link::schedule() {
  if (clogged_) return;
  if (line_busy_) world_.wake(*this, line_free_);
  if (!flight_.empty()) world_.wake(*this, flight_.front().at);
}

void Link::partition(bool cut) {
  if (cut_ != cut) world_.record(cut ? "cut" : "uncut", name_);
  cut_ = cut;
}

void Link::clog(bool clogged) {
  if (clogged_ == clogged) return;
  clogged_ = clogged;
  world_.record(clogged ? "clog" : "unclog", name_);
  if (!clogged_ && !idle()) world_.wake(*this, world_.now());
}

void Link::set_options(const LinkOptions& options) {
  check_options(options);
  if (options.rate_bps != options_.rate_bps) line_carry_ = 0;
  options_ = options;
}

void Link::faults_off() {
  LinkOptions path;
  path.rate_bps = options_.rate_bps;
  path.delay = options_.delay;
  path.queue_bytes = options_.queue_bytes;
  path.queue_frames = options_.queue_frames;
  path.mtu = options_.mtu;
  set_options(path);
  burst_bad_ = false;
  partition(false);
  clog(false);
}

Result<void> Link::check() const {
  const LinkCounters& c = counters_;
  const uint64_t in = c.sent + c.duplicated;
  const uint64_t out = c.delivered + c.dropped_total() + queue_.size() + in_flight();
  uint64_t bytes = 0;
  for (const Frame& frame : queue_) bytes += frame.size();
  if (in == out && bytes == queued_bytes_) return {};
  return fail(Code::failed,
              fmt::format("link: {} sent + {} duplicated is not {} delivered + {} dropped + {} "
                          "queued + {} in flight, or {} queued bytes are not the {} counted",
                          c.sent, c.duplicated, c.delivered, c.dropped_total(), queue_.size(),
                          in_flight(), bytes, queued_bytes_));
}

}  // namespace paste::sim
