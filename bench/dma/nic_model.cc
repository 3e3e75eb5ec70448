#include "nic_model.h"

#include <sched.h>

#include <cstring>

#include "wire/bytes.h"
#include "wire/checksum.h"
#include "wire/ethernet.h"

namespace paste::bench {
namespace {

constexpr size_t kEthernet = 14, kIp = 20, kTcp = 20;
constexpr size_t kHeaders = kEthernet + kIp + kTcp;
constexpr size_t kSynBytes = kHeaders + 4;  // with its MSS
constexpr uint16_t kFirstPort = 10'000;

uint16_t fold(uint64_t sum) {
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

uint32_t sum_words(Bytes bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) sum += wire::load16(bytes, i);
  if (bytes.size() % 2 != 0) sum += std::to_integer<uint32_t>(bytes.back()) << 8;
  return sum;
}

// Of the pseudo header, the addresses being in the frame.
uint32_t pseudo_sum(Bytes frame, size_t tcp_bytes) {
  return sum_words(frame.subspan(kEthernet + 12, 8)) + 6 + static_cast<uint32_t>(tcp_bytes);
}

}  // namespace

void run_on(int cpu) {
  if (cpu < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  (void)::sched_setaffinity(0, sizeof set, &set);
}

NicModel::NicModel(const NicModelOptions& options, port::NicRings& rings, std::byte* memory,
                   uint32_t buffer_size)
    : options_(options), rings_(rings), memory_(memory), buffer_size_(buffer_size) {
  make_clients();
}

void NicModel::make_clients() {
  const std::string head = "POST /log/dma HTTP/1.1\r\nHost: dma\r\nContent-Length: " +
                           std::to_string(options_.record_bytes) + "\r\n\r\n";
  const size_t tcp_bytes = kTcp + head.size() + options_.record_bytes;
  clients_.resize(options_.connections);
  for (uint32_t i = 0; i < options_.connections; ++i) {
    std::vector<std::byte>& frame = clients_[i].request;
    frame.resize(kEthernet + kIp + tcp_bytes);
    const std::span<std::byte> all(frame);
    const uint8_t start[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0};
    std::memcpy(frame.data(), start, sizeof start);
    wire::store16(all, kEthernet + 2, static_cast<uint16_t>(kIp + tcp_bytes));
    wire::store16(all, kEthernet + 6, 0x4000);  // DF
    const uint8_t rest[] = {64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1};
    std::memcpy(frame.data() + kEthernet + 8, rest, sizeof rest);
    const uint16_t ip_sum = fold(sum_words(Bytes(frame).subspan(kEthernet, kIp)));
    wire::store16(all, kEthernet + 10, static_cast<uint16_t>(~ip_sum));
    const std::span<std::byte> tcp = all.subspan(kEthernet + kIp);
    wire::store16(tcp, 0, static_cast<uint16_t>(kFirstPort + i));
    wire::store16(tcp, 2, options_.port);
    wire::store16(tcp, 12, 0x5018);  // 20 bytes of header, PSH, ACK
    wire::store16(tcp, 14, 65'535);
    std::memcpy(tcp.data() + kTcp, head.data(), head.size());
    for (size_t at = kTcp + head.size(), n = 0; at < tcp.size(); ++at, ++n) {
      tcp[at] = static_cast<std::byte>(33 + (n + i) % 94);
    }
    clients_[i].sum = pseudo_sum(frame, tcp_bytes) + sum_words(tcp);
    if (options_.endless) clients_[i].ack = 1;
    ready_.push_back(i);
  }
}

uint32_t NicModel::record_at() const noexcept {
  return static_cast<uint32_t>(clients_[0].request.size()) - options_.record_bytes;
}

void NicModel::write_frame(Client& client, bool syn, std::byte* to) {
  const size_t bytes = syn ? kSynBytes : client.request.size();
  std::memcpy(to, client.request.data(), bytes);
  const std::span<std::byte> frame(to, bytes);
  const std::span<std::byte> tcp = frame.subspan(kEthernet + kIp);
  wire::store32(tcp, 4, syn ? 0 : client.seq);
  wire::store32(tcp, 8, client.ack);
  uint64_t sum = client.sum;
  if (syn) {
    wire::store16(frame, kEthernet + 2, static_cast<uint16_t>(bytes - kEthernet));
    wire::store16(frame, kEthernet + 10, 0);
    const uint16_t ip_sum = fold(sum_words(Bytes(frame).subspan(kEthernet, kIp)));
    wire::store16(frame, kEthernet + 10, static_cast<uint16_t>(~ip_sum));
    wire::store16(tcp, 12, 0x6002);        // 24 bytes of header, SYN
    wire::store32(tcp, kTcp, 0x020405b4);  // MSS 1460
    sum = pseudo_sum(frame, tcp.size()) + sum_words(tcp);
  } else {
    sum += (client.seq >> 16) + (client.seq & 0xffff) + (client.ack >> 16) + (client.ack & 0xffff);
    client.seq += static_cast<uint32_t>(bytes - kHeaders);
  }
  wire::store16(tcp, 16, static_cast<uint16_t>(~fold(sum)));
}

void NicModel::read_reply(const std::byte* frame, uint32_t length) {
  const Bytes all(frame, length);
  const Bytes tcp = all.subspan(kEthernet + kIp);
  const uint32_t index = uint32_t{wire::load16(tcp, 2)} - kFirstPort;
  if (index >= clients_.size()) return;
  Client& client = clients_[index];
  const uint16_t word = wire::load16(tcp, 12);
  const size_t payload = tcp.size() - (word >> 12) * 4UL;
  if ((word & 2) != 0) {  // SYN, ACK
    client.ack = wire::load32(tcp, 4) + 1;
    return ready_.push_back(index);
  }
  if (payload == 0 || wire::load32(tcp, 4) != client.ack) return;
  client.ack += static_cast<uint32_t>(payload);
  const auto* text = reinterpret_cast<const char*>(tcp.data()) + (word >> 12) * 4UL;
  const bool taken = payload > 12 && std::memcmp(text + 9, "200", 3) == 0;
  (taken ? replies_ : refused_).fetch_add(1, std::memory_order_relaxed);
  ready_.push_back(index);
}

bool NicModel::take_replies() {
  const uint32_t n = rings_.transmit.available();
  if (n == 0) return false;
  for (uint32_t i = 0; i < n; ++i) {
    const xdp_desc sent = rings_.transmit.take();
    read_reply(memory_ + sent.addr, sent.len);
    while (rings_.completion.room() == 0) {
    }
    rings_.completion.put(sent.addr);
  }
  rings_.transmit.give_back();
  rings_.completion.publish();
  return true;
}

bool NicModel::send_requests() {
  size_t n = 0;
  const size_t there = std::min<size_t>(rings_.fill.available(), rings_.receive.room());
  while (n < there && n < ready_.size()) {
    const uint64_t at = rings_.fill.take() + kOffset;
    Client& client = clients_[ready_[n]];
    const bool syn = client.ack == 0;
    const size_t bytes = syn ? kSynBytes : client.request.size();
    write_frame(client, syn, memory_ + at);
    rings_.receive.put({.addr = at, .len = static_cast<uint32_t>(bytes), .options = 0});
    ++n;
    if (n % 8 == 0) rings_.receive.publish();
  }
  if (n == 0) return false;
  rings_.fill.give_back();
  rings_.receive.publish();
  if (!options_.endless) ready_.erase(ready_.begin(), ready_.begin() + static_cast<ptrdiff_t>(n));
  return true;
}

void NicModel::run() {
  run_on(options_.cpu);
  uint64_t idle = 0, turns = 0;
  while (!ended_.load(std::memory_order_relaxed)) {
    const bool took = take_replies();
    const bool sent = send_requests();
    idle += took || sent ? 0 : 1;
    if (++turns % 1024 == 0) {
      idle_.store(idle);
      turns_.store(turns);
    }
  }
}

void NicModel::start() {
  thread_ = std::thread([this] { run(); });
}

void NicModel::stop() {
  ended_ = true;
  if (thread_.joinable()) thread_.join();
}

}  // namespace paste::bench
