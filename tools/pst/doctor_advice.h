// The knowledge of `pst doctor`: what a fact means, and the exact remedy.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pmem/probe.h"

namespace paste::tool {

struct Advice {
  std::string finding;
  std::string remedy;
};

struct Machine {
  pmem::MachineReport memory;
  std::vector<Advice> kernel_defects;
  std::string uring_refusal;  // of the port; empty if it works
  uint64_t descriptors = 0;   // hard limit
};

std::vector<Advice> advise(const Machine& machine);
std::vector<Advice> advise(const pmem::PathReport& report);
// Why a pool there gets the domain that it gets.
std::string why_text(const pmem::PathReport& report);

}  // namespace paste::tool
