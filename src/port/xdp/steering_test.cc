// Which frames the XDP program takes. Method: the kernel runs it on frames of ours (BPF_PROG_TEST_
// RUN) with no socket behind it, so that "ours" shows in its counter of frames without a socket.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <steer.skel.h>

#include <array>
#include <vector>

#include "tcp/tuple.h"

namespace paste::port {
namespace {

using Octets = std::vector<uint8_t>;
constexpr std::array<uint8_t, 6> kMac{2, 0, 0, 0, 0, 1};
constexpr uint16_t kPort = 8080;

enum class Verdict { ours, kernel, fragment };

Octets operator+(Octets left, const Octets& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

Octets word(uint32_t value) {
  return {static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
}

Octets ethernet(uint16_t type, const std::array<uint8_t, 6>& to = kMac) {
  return Octets(to.begin(), to.end()) + Octets{2, 0, 0, 0, 0, 9} + word(type);
}

Octets tag(uint16_t id, uint16_t type) { return word(0x6000U | id) + word(type); }

Octets segment(uint16_t destination, uint16_t source = 40'000) {
  return word(source) + word(destination) + Octets(16, 0);
}

struct V4 {
  Octets source{10, 9, 0, 2}, destination{10, 9, 0, 1};
  uint8_t protocol = 6;
  uint32_t fragment = 0x4000;  // DF
  uint8_t words = 5;
};

Octets ipv4(const Octets& payload, const V4& how = {}) {
  return Octets{static_cast<uint8_t>(0x40 | how.words), 0} +
         word(static_cast<uint32_t>(how.words * 4 + payload.size())) + word(1) +
         word(how.fragment) + Octets{64, how.protocol, 0, 0} + how.source + how.destination +
         Octets(static_cast<size_t>(how.words - 5) * 4, 1) + payload;
}

Octets address_v6(uint8_t last) {
  Octets address(16, 0);
  address[0] = 0xfd;
  address[15] = last;
  return address;
}

Octets ipv6(uint8_t next, const Octets& payload, uint8_t to = 1) {
  return Octets{0x60, 0, 0, 0} + word(static_cast<uint32_t>(payload.size())) + Octets{next, 64} +
         address_v6(2) + address_v6(to) + payload;
}

class SteeringTest : public testing::Test {
 protected:
  void SetUp() override {
    libbpf_set_print([](libbpf_print_level, const char*, va_list) { return 0; });
    program_ = steer__open();
    ASSERT_NE(program_, nullptr);
    if (const int error = steer__load(program_); error != 0) {
      GTEST_SKIP() << "no XDP program can be loaded here: error " << -error;
    }
    std::copy(kMac.begin(), kMac.end(), program_->bss->mac);
    program_->bss->ports[kPort / 64] |= uint64_t{1} << kPort % 64;
    tcp::Address v4 = tcp::ipv4_mapped(10, 9, 0, 1);
    const Octets v6 = address_v6(1);
    const uint8_t yes = 1;
    const int map = bpf_map__fd(program_->maps.addresses);
    ASSERT_EQ(bpf_map_update_elem(map, v4.data(), &yes, BPF_ANY), 0);
    ASSERT_EQ(bpf_map_update_elem(map, v6.data(), &yes, BPF_ANY), 0);
  }
  void TearDown() override { steer__destroy(program_); }

  uint64_t counted(uint32_t key) {
    std::vector<uint64_t> each(static_cast<size_t>(libbpf_num_possible_cpus()));
    EXPECT_EQ(bpf_map_lookup_elem(bpf_map__fd(program_->maps.counts), &key, each.data()), 0);
    uint64_t sum = 0;
    for (const uint64_t one : each) sum += one;
    return sum;
  }

  Verdict run(Octets frame) {
    const uint64_t before = counted(2);
    const uint64_t fragments = counted(1);
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                .data_size_in = static_cast<uint32_t>(frame.size()));
    EXPECT_EQ(bpf_prog_test_run_opts(bpf_program__fd(program_->progs.steer), &options), 0);
    if (options.retval == XDP_DROP) {
      EXPECT_EQ(counted(1), fragments + 1);
      return Verdict::fragment;
    }
    EXPECT_EQ(options.retval, XDP_PASS);
    return counted(2) == before ? Verdict::kernel : Verdict::ours;
  }
  Verdict run_v4(const Octets& packet) { return run(ethernet(0x0800) + packet); }
  Verdict run_v6(const Octets& packet) { return run(ethernet(0x86dd) + packet); }

  steer* program_ = nullptr;
};

TEST_F(SteeringTest, TakesItsPortsOnly) {
  EXPECT_EQ(run_v4(ipv4(segment(kPort))), Verdict::ours);
  EXPECT_EQ(run_v4(ipv4(segment(kPort), {.words = 15})), Verdict::ours);
  EXPECT_EQ(run_v6(ipv6(6, segment(kPort))), Verdict::ours);
  EXPECT_EQ(run_v4(ipv4(segment(kPort + 1))), Verdict::kernel);
  EXPECT_EQ(run_v4(ipv4(segment(22, kPort))), Verdict::kernel);
  EXPECT_EQ(run_v6(ipv6(6, segment(22))), Verdict::kernel);
  EXPECT_EQ(run_v4(ipv4(segment(kPort), {.protocol = 17})), Verdict::kernel);
  EXPECT_EQ(run_v6(ipv6(17, segment(kPort))), Verdict::kernel);
  program_->bss->ports[kPort / 64] = 0;
  EXPECT_EQ(run_v4(ipv4(segment(kPort))), Verdict::kernel);
}

TEST_F(SteeringTest, TakesItsDatagrams) {
  const V4 udp{.protocol = 17};
  program_->bss->udp_ports[99 / 64] |= uint64_t{1} << 99 % 64;
  EXPECT_EQ(run_v4(ipv4(segment(99), udp)), Verdict::ours);
  EXPECT_EQ(run_v6(ipv6(17, segment(99))), Verdict::ours);
  EXPECT_EQ(run_v4(ipv4(segment(kPort), udp)), Verdict::kernel);
  EXPECT_EQ(run_v4(ipv4(segment(99))), Verdict::kernel);
  // The kernel puts fragments together, the first one included.
  EXPECT_EQ(run_v4(ipv4(segment(99), {.protocol = 17, .fragment = 0x2000})), Verdict::kernel);
  EXPECT_EQ(run_v4(ipv4(segment(99), {.protocol = 17, .fragment = 1})), Verdict::kernel);
  const Octets first{17, 0, 0, 1, 0, 0, 0, 1};
  EXPECT_EQ(run_v6(ipv6(44, first + segment(99))), Verdict::kernel);
}

TEST_F(SteeringTest, TakesItsAddressesOnly) {
  EXPECT_EQ(run_v4(ipv4(segment(kPort), {.destination = {10, 9, 0, 3}})), Verdict::kernel);
  EXPECT_EQ(run_v6(ipv6(6, segment(kPort), 3)), Verdict::kernel);
  EXPECT_EQ(run(ethernet(0x0800, {2, 0, 0, 0, 0, 2}) + ipv4(segment(kPort))), Verdict::kernel);
  EXPECT_EQ(run(ethernet(0x0800, {255, 255, 255, 255, 255, 255}) + ipv4(segment(kPort))),
            Verdict::kernel);
}

TEST_F(SteeringTest, LeavesArpAndUnknownTypesAlone) {
  EXPECT_EQ(run(ethernet(0x0806) + Octets(28, 0)), Verdict::kernel);
  EXPECT_EQ(run(ethernet(0x86dd) + ipv4(segment(kPort))), Verdict::kernel);
  EXPECT_EQ(run(ethernet(0x0800) + ipv6(6, segment(kPort))), Verdict::kernel);
}

TEST_F(SteeringTest, TakesOneVlan) {
  const Octets packet = ipv4(segment(kPort));
  EXPECT_EQ(run(ethernet(0x8100) + tag(7, 0x0800) + packet), Verdict::kernel);
  program_->bss->vlan = 7;
  EXPECT_EQ(run(ethernet(0x8100) + tag(7, 0x0800) + packet), Verdict::ours);
  EXPECT_EQ(run(ethernet(0x8100) + tag(7, 0x86dd) + ipv6(6, segment(kPort))), Verdict::ours);
  EXPECT_EQ(run(ethernet(0x8100) + tag(8, 0x0800) + packet), Verdict::kernel);
  EXPECT_EQ(run(ethernet(0x88a8) + tag(7, 0x0800) + packet), Verdict::kernel);
  EXPECT_EQ(run(ethernet(0x8100) + tag(7, 0x8100) + tag(7, 0x0800) + packet), Verdict::kernel);
  EXPECT_EQ(run(ethernet(0x0800) + packet), Verdict::kernel);
}

TEST_F(SteeringTest, DropsFragmentsOfSegments) {
  EXPECT_EQ(run_v4(ipv4(segment(kPort), {.fragment = 0x2000})), Verdict::fragment);
  EXPECT_EQ(run_v4(ipv4(segment(kPort), {.fragment = 0x2001})), Verdict::kernel);
  EXPECT_EQ(run_v4(ipv4(segment(22), {.fragment = 0x2000})), Verdict::kernel);
  const Octets whole{6, 0, 0, 0, 0, 0, 0, 1}, first{6, 0, 0, 1, 0, 0, 0, 1},
      later{6, 0, 0, 8, 0, 0, 0, 1};
  EXPECT_EQ(run_v6(ipv6(44, whole + segment(kPort))), Verdict::ours);
  EXPECT_EQ(run_v6(ipv6(44, first + segment(kPort))), Verdict::fragment);
  EXPECT_EQ(run_v6(ipv6(44, later + segment(kPort))), Verdict::kernel);
}

TEST_F(SteeringTest, FollowsExtensionHeaders) {
  const Octets hop{60, 0, 1, 4, 0, 0, 0, 0},
      destination{6, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(run_v6(ipv6(0, hop + destination + segment(kPort))), Verdict::ours);
  const Octets again{60, 0, 1, 4, 0, 0, 0, 0};
  EXPECT_EQ(run_v6(ipv6(0, again + again + again + again + destination + segment(kPort))),
            Verdict::kernel);
}

TEST_F(SteeringTest, TakesErrorsAboutItsSegments) {
  const V4 icmp{.protocol = 1};
  const auto v4 = [&](uint8_t type, uint16_t source) {
    return run_v4(ipv4(Octets{type, 4, 0, 0, 0, 0, 0, 0} + ipv4(segment(40'000, source)), icmp));
  };
  EXPECT_EQ(v4(3, kPort), Verdict::ours);
  EXPECT_EQ(v4(11, kPort), Verdict::ours);
  EXPECT_EQ(v4(3, 22), Verdict::kernel);
  EXPECT_EQ(v4(8, kPort), Verdict::kernel);  // ping
  EXPECT_EQ(v4(0, kPort), Verdict::kernel);
  const auto v6 = [&](uint8_t type, uint16_t source) {
    return run_v6(ipv6(58, Octets{type, 0, 0, 0, 0, 0, 0, 0} + ipv6(6, segment(40'000, source))));
  };
  EXPECT_EQ(v6(2, kPort), Verdict::ours);
  EXPECT_EQ(v6(2, 22), Verdict::kernel);
  EXPECT_EQ(v6(128, kPort), Verdict::kernel);
  EXPECT_EQ(v6(135, kPort), Verdict::kernel);  // neighbour discovery
}

// Every truncation of every frame goes to the kernel, or is taken by what it still shows.
TEST_F(SteeringTest, SurvivesTruncation) {
  const Octets frames[] = {
      ethernet(0x0800) + ipv4(segment(kPort), {.words = 15}),
      ethernet(0x86dd) + ipv6(0, Octets{6, 0, 1, 4, 0, 0, 0, 0} + segment(kPort)),
      ethernet(0x0800) +
          ipv4(Octets{3, 4, 0, 0, 0, 0, 0, 0} + ipv4(segment(9, kPort)), {.protocol = 1})};
  for (const Octets& frame : frames) {
    for (size_t length = 14; length < frame.size(); ++length) {
      const Verdict verdict = run(Octets(frame.begin(), frame.begin() + static_cast<long>(length)));
      EXPECT_EQ(verdict, length >= frame.size() - 12 ? Verdict::ours : Verdict::kernel) << length;
    }
  }
}

}  // namespace
}  // namespace paste::port
