#include "raw_interface.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace paste::tool {
namespace {

constexpr size_t kFrameMax = 65536;
constexpr int kIgnoreOutgoing = 23;  // PACKET_IGNORE_OUTGOING, Linux 4.20
constexpr int kReceiveBytes = 16 << 20;

uint16_t big_endian(uint16_t value) { return static_cast<uint16_t>(value << 8 | value >> 8); }

}  // namespace

Result<std::unique_ptr<RawInterface>> RawInterface::open(const std::string& name) {
  const unsigned index = ::if_nametoindex(name.c_str());
  if (index == 0) return fail(Code::not_found, "there is no interface '" + name + "'");
  std::unique_ptr<RawInterface> made(new RawInterface);
  made->fd_ = ::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (made->fd_ < 0) {
    return fail(errno == EPERM ? Code::permission : Code::io,
                "frames can be taken and sent by root only", errno);
  }
  const int yes = 1;
  packet_mreq all{};
  all.mr_ifindex = static_cast<int>(index);
  all.mr_type = PACKET_MR_PROMISC;
  sockaddr_ll where{};
  where.sll_family = AF_PACKET;
  where.sll_protocol = big_endian(ETH_P_ALL);
  where.sll_ifindex = static_cast<int>(index);
  if (::setsockopt(made->fd_, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBytes, sizeof(int)) != 0 ||
      ::setsockopt(made->fd_, SOL_PACKET, kIgnoreOutgoing, &yes, sizeof yes) != 0 ||
      ::setsockopt(made->fd_, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all) != 0 ||
      ::bind(made->fd_, reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0) {
    return fail(Code::io, "the frames of " + name + " cannot be taken", errno);
  }
  return made;
}

RawInterface::~RawInterface() { ::close(fd_); }

void RawInterface::receive(sim::Frame frame) {
  if (::send(fd_, frame.data(), frame.size(), 0) < 0) ++refused_;
}

sim::Frame RawInterface::take() {
  sim::Frame frame(kFrameMax);
  const ssize_t n = ::recv(fd_, frame.data(), frame.size(), MSG_DONTWAIT);
  frame.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return frame;
}

}  // namespace paste::tool
