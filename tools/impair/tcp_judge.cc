#include "tcp_judge.h"

#include "tcp/packet.h"
#include "wire/address.h"

namespace paste::tool {
namespace {

std::string name_of(const tcp::Address& address, uint16_t port) {
  return wire::to_string(wire::IpAddress{address}) + " " + std::to_string(port);
}

}  // namespace

void TcpJudge::see(tcp::Instant now, int end, Bytes frame, bool sent) {
  const auto packet = tcp::parse_packet(frame);
  if (!packet) return;
  const std::string from = name_of(packet->tuple.remote, packet->tuple.remote_port);
  const std::string to = name_of(packet->tuple.local, packet->tuple.local_port);
  const std::string key = end == 0 ? from + " - " + to : to + " - " + from;
  const bool opens = packet->segment.has(tcp::kSyn) && !packet->segment.has(tcp::kAck);
  auto found = monitors_.find(key);
  if (found == monitors_.end()) {
    if (!opens || !sent) return;  // of what began before, nothing is known
    if (order_.size() >= kMax) {
      monitors_.erase(order_.front());
      order_.pop_front();
    }
    order_.push_back(key);
    found = monitors_.try_emplace(key).first;
  }
  auto& monitor = found->second;
  if (sent && opens && monitor != nullptr && monitor->frames() > 2) monitor.reset();
  if (monitor == nullptr) {
    simulation::WireMonitor::Options options;
    options.at_once = false;
    options.judged = {true, false};
    monitor = std::make_unique<simulation::WireMonitor>(std::move(options));
    ++connections_;
  }
  ++frames_;
  sim::LinkObserver& tap = monitor->sender_tap(end);
  sent ? tap.sent(now, frame) : tap.delivered(now, frame);
  if (problem_.empty() && !monitor->problem().empty()) {
    problem_ = key + ": " + monitor->problem();
  }
}

}  // namespace paste::tool
