// What `pst doctor` says of network interfaces: what an xdp port there can do, and what to change.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "doctor_advice.h"
#include "port/xdp/xdp_probe.h"

namespace paste::tool {

std::vector<Advice> advise(const port::XdpReport& report, const Machine& machine);
void print_interface(const port::XdpReport& report, const std::vector<Advice>& advice);
nlohmann::json interface_json(const port::XdpReport& report, const std::vector<Advice>& advice);
// The name to give to --port.
std::string xdp_mode(const port::XdpReport& report);

}  // namespace paste::tool
