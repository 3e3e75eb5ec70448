#include "port/xdp/xdp_socket.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "base/time.h"

namespace paste::port {
namespace {

constexpr uint64_t kBusyNs = 10'000'000'000;

Result<void> set(int fd, int option, const void* value, socklen_t size, const char* what) {
  if (::setsockopt(fd, SOL_XDP, option, value, size) == 0) return {};
  return fail(Code::io, std::string("AF_XDP: ") + what, errno);
}

}  // namespace

Result<std::unique_ptr<XdpSocket>> XdpSocket::open(const XdpSocketOptions& options) {
  std::unique_ptr<XdpSocket> made(new XdpSocket(options));
  made->fd_ = Descriptor(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (made->fd_.get() < 0) {
    if (errno == EPERM || errno == EACCES) {
      return fail(Code::permission,
                  "an xdp port needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF: run it as root, it "
                  "drops them after the start",
                  errno);
    }
    return fail(Code::unsupported, "this kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS)", errno);
  }
  if (options.shared_with < 0) {
    const xdp_umem_reg umem{.addr = reinterpret_cast<uint64_t>(options.area),
                            .len = options.area_bytes,
                            .chunk_size = options.buffer_size,
                            .headroom = 0,
                            .flags = 0};
    if (::setsockopt(made->fd_.get(), SOL_XDP, XDP_UMEM_REG, &umem, sizeof umem) != 0) {
      if (errno == ENOBUFS || errno == ENOMEM) {
        return fail(Code::too_large,
                    "the pool cannot be pinned for the interface: raise the locked-memory limit "
                    "(ulimit -l unlimited, LimitMEMLOCK=infinity)",
                    errno);
      }
      if (errno == EOPNOTSUPP || errno == EFAULT) {
        return fail(Code::unsupported,
                    "the interface cannot receive into this pool: files on a DAX file system "
                    "cannot be pinned. Use device DAX (/dev/daxX.Y), a tmpfs file, or the same "
                    "file with --domain page",
                    errno);
      }
      return fail(Code::io, "AF_XDP: the pool cannot be registered", errno);
    }
  }
  PASTE_TRY(made->make_rings());
  if (options.before_bind) options.before_bind(made->fill);
  PASTE_TRY(made->bind());
  return made;
}

XdpSocket::~XdpSocket() {
  fd_.reset();
  for (uint32_t i = 0; i < mapped_; ++i) ::munmap(mappings_[i].at, mappings_[i].bytes);
}

Result<std::byte*> XdpSocket::map_ring(uint64_t page_offset, size_t bytes) {
  void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_.get(),
                    static_cast<off_t>(page_offset));
  if (at == MAP_FAILED) return fail(Code::io, "AF_XDP: a ring cannot be mapped", errno);
  mappings_[mapped_++] = {at, bytes};
  return static_cast<std::byte*>(at);
}

Result<void> XdpSocket::make_rings() {
  const XdpSocketOptions& o = options_;
  const uint32_t completions = 2 * o.transmit_ring;
  PASTE_TRY(set(fd_.get(), XDP_UMEM_FILL_RING, &o.fill_ring, 4, "the fill ring's size"));
  PASTE_TRY(
      set(fd_.get(), XDP_UMEM_COMPLETION_RING, &completions, 4, "the completion ring's size"));
  PASTE_TRY(set(fd_.get(), XDP_RX_RING, &o.receive_ring, 4, "the receive ring's size"));
  PASTE_TRY(set(fd_.get(), XDP_TX_RING, &o.transmit_ring, 4, "the transmit ring's size"));
  xdp_mmap_offsets at{};
  socklen_t size = sizeof at;
  if (::getsockopt(fd_.get(), SOL_XDP, XDP_MMAP_OFFSETS, &at, &size) != 0) {
    return fail(Code::io, "AF_XDP: where the rings lie", errno);
  }
  PASTE_TRY_ASSIGN(std::byte * fill_at,
                   map_ring(XDP_UMEM_PGOFF_FILL_RING, at.fr.desc + o.fill_ring * 8UL));
  PASTE_TRY_ASSIGN(std::byte * completion_at,
                   map_ring(XDP_UMEM_PGOFF_COMPLETION_RING, at.cr.desc + completions * 8UL));
  PASTE_TRY_ASSIGN(std::byte * receive_at,
                   map_ring(XDP_PGOFF_RX_RING, at.rx.desc + o.receive_ring * sizeof(xdp_desc)));
  PASTE_TRY_ASSIGN(std::byte * transmit_at,
                   map_ring(XDP_PGOFF_TX_RING, at.tx.desc + o.transmit_ring * sizeof(xdp_desc)));
  fill = XdpRing<uint64_t>(fill_at, at.fr, o.fill_ring);
  completion = XdpRing<uint64_t>(completion_at, at.cr, completions);
  receive = XdpRing<xdp_desc>(receive_at, at.rx, o.receive_ring);
  transmit = XdpRing<xdp_desc>(transmit_at, at.tx, o.transmit_ring);
  return {};
}

Result<std::unique_ptr<XdpSocket>> XdpSocket::open_model(const XdpSocketOptions& options,
                                                         NicRings& nic) {
  constexpr size_t kLine = 64;
  const xdp_ring_offset at{.producer = 0, .consumer = kLine, .desc = 3 * kLine, .flags = 2 * kLine};
  std::unique_ptr<XdpSocket> made(new XdpSocket(options));
  const auto ring = [&]<typename Entry>(XdpRing<Entry>& ours, XdpRing<Entry>& theirs,
                                        uint32_t size) -> Result<void> {
    const size_t bytes = at.desc + size * sizeof(Entry);
    void* memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return fail(Code::io, "no memory for a ring", errno);
    made->mappings_[made->mapped_++] = {memory, bytes};
    ours = theirs = XdpRing<Entry>(static_cast<std::byte*>(memory), at, size);
    return {};
  };
  PASTE_TRY(ring(made->fill, nic.fill, options.fill_ring));
  PASTE_TRY(ring(made->completion, nic.completion, 2 * options.transmit_ring));
  PASTE_TRY(ring(made->receive, nic.receive, options.receive_ring));
  PASTE_TRY(ring(made->transmit, nic.transmit, options.transmit_ring));
  return made;
}

Result<void> XdpSocket::bind() {
  sockaddr_xdp address{.sxdp_family = AF_XDP,
                       .sxdp_flags = 0,
                       .sxdp_ifindex = static_cast<uint32_t>(options_.ifindex),
                       .sxdp_queue_id = options_.queue,
                       .sxdp_shared_umem_fd = 0};
  const auto try_bind = [&](uint16_t flags) {
    address.sxdp_flags = flags;
    return ::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  };
  // The kernel frees a queue some time after its last owner has gone.
  const uint64_t give_up_ns = base::monotonic_ns() + kBusyNs;
  if (options_.shared_with >= 0) {
    // It has the mode of the one that it shares with.
    address.sxdp_shared_umem_fd = static_cast<uint32_t>(options_.shared_with);
    if (try_bind(XDP_SHARED_UMEM)) return {};
  } else {
    for (;;) {
      bool busy = false;
      for (const uint16_t mode : {uint16_t{XDP_ZEROCOPY}, uint16_t{XDP_COPY}}) {
        if (mode == XDP_ZEROCOPY && options_.copy) continue;
        for (const uint16_t scatter : {kXdpUseSg, uint16_t{0}}) {
          if (busy || (scatter != 0 && !options_.scatter)) continue;
          if (try_bind(static_cast<uint16_t>(XDP_USE_NEED_WAKEUP | mode | scatter))) {
            zero_copy_ = mode == XDP_ZEROCOPY;
            scatter_ = scatter != 0;
            return {};
          }
          busy = errno == EBUSY;
        }
      }
      if (!busy || base::monotonic_ns() >= give_up_ns) break;
      ::usleep(10'000);
    }
  }
  const std::string where = "queue " + std::to_string(options_.queue) + " of " + options_.interface;
  if (errno == EBUSY) {
    return fail(Code::in_use,
                where +
                    " has an AF_XDP socket already: end the program that uses it (ss -a -x, "
                    "bpftool net)",
                EBUSY);
  }
  if (errno == EINVAL) {
    return fail(Code::unsupported, where + " does not exist, or its driver has no XDP", errno);
  }
  return fail(Code::io, where + " cannot be used", errno);
}

bool XdpSocket::kick_transmit() noexcept {
  if (!transmit.needs_wakeup()) return true;
  (void)::sendto(fd_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, 0);
  return transmit.drained();
}

void XdpSocket::kick_receive() noexcept {
  (void)::recvfrom(fd_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
}

xdp_statistics XdpSocket::statistics() const noexcept {
  xdp_statistics statistics{};
  socklen_t size = sizeof statistics;
  (void)::getsockopt(fd_.get(), SOL_XDP, XDP_STATISTICS, &statistics, &size);
  return statistics;
}

}  // namespace paste::port
