// What a segment costs before and after the state machine: parsing, writing, checksums.
#include <benchmark/benchmark.h>

#include <vector>

#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/tcp.h"

namespace paste::wire {
namespace {

constexpr size_t kHeaders = kEthernetHeaderLength + kIpv4HeaderLength + kTcpHeaderLength + 12;

Ipv4Header ip_header() {
  Ipv4Header header{IpAddress::from_v4(0x0A000001), IpAddress::from_v4(0x0A000002)};
  header.protocol = kProtocolTcp;
  return header;
}

void emit_segment(MutableBytes frame, uint32_t sequence) {
  EthernetHeader ethernet;
  ethernet.type = kEtherTypeIpv4;
  TcpHeader tcp;
  tcp.sequence = sequence;
  tcp.flags = kTcpAck;
  TcpOptions options;
  options.has_timestamps = true;
  options.timestamp_value = sequence;
  const Ipv4Header ip = ip_header();
  const MutableBytes transport = frame.subspan(kEthernetHeaderLength + kIpv4HeaderLength);
  emit(ethernet, frame);
  emit(ip, transport.size(), frame.subspan(kEthernetHeaderLength));
  const size_t header = emit(tcp, options, transport);
  const auto length = static_cast<uint32_t>(transport.size());
  store_tcp_checksum(transport.first(header),
                     pseudo_header_sum(ip.source, ip.destination, kProtocolTcp, length),
                     sum(transport.subspan(header)));
}

// Argument: bytes of payload.
void emit_tcp(benchmark::State& state) {
  std::vector<std::byte> frame(kHeaders + static_cast<size_t>(state.range(0)), std::byte{7});
  uint32_t sequence = 0;
  for (auto _ : state) {
    emit_segment(frame, ++sequence);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(emit_tcp)->Arg(0)->Arg(1024);

void parse_tcp(benchmark::State& state) {
  std::vector<std::byte> frame(kHeaders + static_cast<size_t>(state.range(0)), std::byte{7});
  emit_segment(frame, 1);
  for (auto _ : state) {
    benchmark::ClobberMemory();
    const auto ethernet = EthernetFrame::parse(frame);
    const auto ip = Ipv4Packet::parse(ethernet->payload);
    const bool right = transport_checksum_ok(ip->header.source, ip->header.destination,
                                             ip->header.protocol, ip->payload);
    const auto tcp = TcpSegment::parse(ip->payload);
    if (!right || !tcp) state.SkipWithError("the segment is not right");
    benchmark::DoNotOptimize(tcp->header);
    benchmark::DoNotOptimize(tcp->options);
  }
}
BENCHMARK(parse_tcp)->Arg(0)->Arg(1024);

void checksum_fast(benchmark::State& state) {
  const std::vector<std::byte> bytes(static_cast<size_t>(state.range(0)), std::byte{7});
  for (auto _ : state) {
    benchmark::ClobberMemory();
    benchmark::DoNotOptimize(sum(bytes));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(checksum_fast)->Arg(64)->Arg(1500)->Arg(9000);

void checksum_scalar(benchmark::State& state) {
  const std::vector<std::byte> bytes(static_cast<size_t>(state.range(0)), std::byte{7});
  for (auto _ : state) {
    benchmark::ClobberMemory();
    benchmark::DoNotOptimize(sum_scalar(bytes));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(checksum_scalar)->Arg(64)->Arg(1500)->Arg(9000);

void checksum_copy(benchmark::State& state) {
  const std::vector<std::byte> bytes(static_cast<size_t>(state.range(0)), std::byte{7});
  std::vector<std::byte> to(bytes.size());
  for (auto _ : state) {
    benchmark::ClobberMemory();
    benchmark::DoNotOptimize(copy_and_sum(to, bytes));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(checksum_copy)->Arg(64)->Arg(1500)->Arg(9000);

}  // namespace
}  // namespace paste::wire
