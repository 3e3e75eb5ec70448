// XdpDriver: what it counts, and what the kernel counts about it.
#include "port/xdp/xdp_driver.h"

namespace paste::port {

std::vector<NamedCount> XdpDriver::counts() const {
  const tcp::EngineCounters& engine = engine_->counters();
  std::vector<NamedCount> all{
      {"frames_in", "", counters_.frames_in},
      {"frames_out", "", counters_.frames_out},
      {"frames_refused", "why=\"malformed\"", counters_.malformed},
      {"frames_refused", "why=\"checksum\"", counters_.bad_checksum},
      {"frames_refused", "why=\"not ours\"", counters_.not_ours},
      {"frames_refused", "why=\"no connection\"", engine.refused},
      {"frames_delayed", "why=\"no buffer\"", counters_.no_buffer},
      {"frames_delayed", "why=\"transmit ring full\"", counters_.transmit_full},
  };
  xdp_statistics lost{};
  for (const auto& socket : sockets_) {
    const xdp_statistics one = socket->statistics();
    lost.rx_dropped += one.rx_dropped;
    lost.rx_ring_full += one.rx_ring_full;
    lost.rx_fill_ring_empty_descs += one.rx_fill_ring_empty_descs;
    lost.rx_invalid_descs += one.rx_invalid_descs;
    lost.tx_invalid_descs += one.tx_invalid_descs;
  }
  const Steering::Counts steered = steering_->counts();
  // What the kernel dropped on the way to us, by its own account (XDP_STATISTICS).
  const NamedCount dropped[] = {
      {"frames_dropped", "why=\"no room in the receive ring\"", lost.rx_ring_full},
      {"frames_dropped", "why=\"fill ring empty\"", lost.rx_fill_ring_empty_descs},
      {"frames_dropped", "why=\"other\"", lost.rx_dropped},
      {"frames_dropped", "why=\"fragment\"", steered.fragments},
      {"frames_dropped", "why=\"bad receive descriptor\"", lost.rx_invalid_descs},
      {"frames_dropped", "why=\"bad transmit descriptor\"", lost.tx_invalid_descs},
      {"frames_to_kernel", "why=\"queue without socket\"", steered.no_socket}};
  all.insert(all.end(), std::begin(dropped), std::end(dropped));
  for (size_t cpu = 0; cpu < steered.redirected_on.size(); ++cpu) {
    all.push_back(
        {"frames_steered", "cpu=\"" + std::to_string(cpu) + "\"", steered.redirected_on[cpu]});
  }
  return all;
}

}  // namespace paste::port
