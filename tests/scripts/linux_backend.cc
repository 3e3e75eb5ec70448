#include "linux_backend.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "wire/ethernet.h"
#include "wire/protocol.h"

namespace paste::scripts {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kPatience = 50;  // ms, for what the kernel does at once but not in the same moment

std::string failed(const std::string& what) { return what + ": " + std::strerror(errno); }

bool set_knob(const char* name, const std::string& value) {
  std::ofstream out(std::string("/proc/sys/net/ipv4/") + name);
  out << value;
  return static_cast<bool>(out.flush());
}

bool shell(const std::string& command) { return std::system(command.c_str()) == 0; }

class LinuxBackend final : public Backend {
 public:
  explicit LinuxBackend(const Script& script)
      : script_(script), v6_(script.number("ip", 4) == 6), tuple_(script_tuple(v6_)) {}
  ~LinuxBackend() override {
    for (const int fd : {fd_, listener_, tun_}) {
      if (fd >= 0) ::close(fd);
    }
  }

  std::string prepare() {
    if (unshare(CLONE_NEWNET) != 0) return failed("unshare(CLONE_NEWNET)");
    tun_ = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tun_ < 0) return failed("/dev/net/tun");
    ifreq request{};
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    std::strcpy(request.ifr_name, "tcpt0");
    if (ioctl(tun_, TUNSETIFF, &request) != 0) return failed("TUNSETIFF");
    set_knobs();
    const auto rto = std::chrono::duration_cast<std::chrono::milliseconds>(
        script_.duration("rto-min", std::chrono::milliseconds(200)));
    const std::string attributes =
        " dev tcpt0 rto_min " + std::to_string(rto.count()) + "ms initcwnd 10";
    const std::string up =
        v6_ ? "ip link set tcpt0 up && ip -6 addr add fd00::1/64 dev tcpt0 nodad && "
              "ip -6 route replace fd00::/64" +
                  attributes
            : "ip link set tcpt0 up && ip addr add 192.168.77.1/24 dev tcpt0 && "
              "ip route replace 192.168.77.0/24" +
                  attributes + " src 192.168.77.1";
    if (!shell(up)) return "ip could not set the interface up";
    start_ = Clock::now();
    return "";
  }

  Duration now() override { return Clock::now() - start_; }

  std::optional<Sent> next(Duration until) override {
    while (true) {
      const Duration left = until - now();
      const timespec wait{.tv_sec = std::max<int64_t>(left.count(), 0) / 1'000'000'000,
                          .tv_nsec = std::max<int64_t>(left.count(), 0) % 1'000'000'000};
      pollfd ready{.fd = tun_, .events = POLLIN, .revents = 0};
      if (ppoll(&ready, 1, &wait, nullptr) <= 0) return std::nullopt;
      std::byte packet[4096];
      const ssize_t n = ::read(tun_, packet, sizeof packet);
      if (n <= 0) continue;
      Sent sent{now(), Frame(wire::kEthernetHeaderLength + static_cast<size_t>(n))};
      wire::EthernetHeader header;
      header.type =
          std::to_integer<int>(packet[0]) >> 4 == 6 ? wire::kEtherTypeIpv6 : wire::kEtherTypeIpv4;
      wire::emit(header, sent.frame);
      std::memcpy(sent.frame.data() + wire::kEthernetHeaderLength, packet, static_cast<size_t>(n));
      return sent;
    }
  }

  void inject(const Frame& frame) override {
    const size_t head = wire::kEthernetHeaderLength;
    (void)!::write(tun_, frame.data() + head, frame.size() - head);
  }

  std::string app(const std::string& word, const std::string& argument) override {
    const auto n = static_cast<size_t>(std::strtoul(argument.c_str(), nullptr, 10));
    if (word == "listen") return listen();
    if (word == "connect") return connect();
    if (word == "accept") return accept();
    if (word == "write") return write(n);
    if (word == "read") return read(n);
    if (word == "write-urgent") {
      const std::string bytes(n, 'x');
      const ssize_t done = ::send(fd_, bytes.data(), n, MSG_OOB | MSG_NOSIGNAL | MSG_DONTWAIT);
      return done == static_cast<ssize_t>(n) ? "" : failed("send");
    }
    if (word == "urgent") {
      pollfd ready{.fd = fd_, .events = POLLPRI, .revents = 0};
      (void)poll(&ready, 1, kPatience);
      return ((ready.revents & POLLPRI) != 0) == (n != 0) ? "" : "urgent data is not as expected";
    }
    if (word == "not-readable") return readable(0) ? "there is something to read" : "";
    if (word == "eof") return eof();
    if (word == "shutdown") {
      return ::shutdown(fd_, SHUT_WR) == 0 ? "" : failed("shutdown");
    }
    if (word == "close") return close(false);
    if (word == "abort") return close(true);
    if (word == "write-fails") {
      return ::send(fd_, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? "" : "the write succeeded";
    }
    if (word == "error") return expect_error(argument);
    return "Linux cannot " + word;
  }

  std::string state() override {
    static constexpr const char* kNames[] = {
        "",          "ESTABLISHED", "SYN-SENT",   "SYN-RECEIVED", "FIN-WAIT-1", "FIN-WAIT-2",
        "TIME-WAIT", "CLOSED",      "CLOSE-WAIT", "LAST-ACK",     "LISTEN",     "CLOSING"};
    tcp_info info{};
    socklen_t length = sizeof info;
    if (fd_ < 0 || getsockopt(fd_, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return "";
    return info.tcpi_state < std::size(kNames) ? kNames[info.tcpi_state] : "";
  }
  std::string finish() override { return ""; }
  Duration late() const override { return std::chrono::milliseconds(30); }
  Duration early() const override { return std::chrono::milliseconds(8); }

 private:
  void set_knobs() {
    const auto flag = [&](const char* key, bool otherwise) {
      return std::string(script_.on(key, otherwise) ? "1" : "0");
    };
    set_knob("tcp_sack", flag("sack", true));
    set_knob("tcp_timestamps", flag("timestamps", true));
    set_knob("tcp_window_scaling", flag("window-scale", true));
    set_knob("tcp_ecn", flag("ecn", false));
    set_knob("tcp_syn_retries", std::to_string(script_.number("syn-tries", 6) - 1));
    set_knob("tcp_synack_retries", std::to_string(script_.number("syn-tries", 6) - 1));
    set_knob("tcp_syn_linear_timeouts", "0");
    set_knob("tcp_no_metrics_save", "1");
    set_knob("tcp_invalid_ratelimit", "0");
    set_knob("tcp_autocorking", "0");
    set_knob("tcp_fastopen", "0");
    if (script_.number("half-open-max", 16) == 0) set_knob("tcp_syncookies", "2");
  }
  void set_option(int level, int name, int value) const {
    (void)setsockopt(fd_, level, name, &value, sizeof value);
  }
  [[nodiscard]] int seconds(const char* key, Duration otherwise) const {
    return static_cast<int>(
        std::chrono::duration_cast<std::chrono::seconds>(script_.duration(key, otherwise)).count());
  }

  std::string open_socket() {
    fd_ = socket(v6_ ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0) return failed("socket");
    set_option(SOL_SOCKET, SO_REUSEADDR, 1);
    // Not by sysctl: a namespace may not choose what its parent has not allowed.
    const std::string cc = script_.setting("cc", "cubic");
    if (setsockopt(fd_, IPPROTO_TCP, TCP_CONGESTION, cc.data(),
                   static_cast<socklen_t>(cc.size())) != 0) {
      return failed("TCP_CONGESTION " + cc);
    }
    if (!script_.on("nagle", true)) set_option(IPPROTO_TCP, TCP_NODELAY, 1);
    if (const uint32_t mss = script_.number("mss", 0)) {
      set_option(IPPROTO_TCP, TCP_MAXSEG, static_cast<int>(mss));
    }
    if (const uint32_t bytes = script_.number("rcvbuf", 0)) {
      set_option(SOL_SOCKET, SO_RCVBUF, static_cast<int>(bytes));
    }
    if (const Duration timeout = script_.duration("user-timeout", Duration(0)); timeout.count()) {
      set_option(IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(timeout.count() / 1'000'000));
    }
    if (script_.duration("keep-alive", Duration(0)).count() != 0) {
      set_option(SOL_SOCKET, SO_KEEPALIVE, 1);
      set_option(IPPROTO_TCP, TCP_KEEPIDLE, seconds("keep-alive", std::chrono::seconds(1)));
      set_option(IPPROTO_TCP, TCP_KEEPINTVL,
                 seconds("keep-alive-interval", std::chrono::seconds(75)));
      set_option(IPPROTO_TCP, TCP_KEEPCNT,
                 static_cast<int>(script_.number("keep-alive-probes", 9)));
    }
    return "";
  }
  struct Name {
    sockaddr_storage storage{};
    socklen_t length = 0;
    [[nodiscard]] const sockaddr* get() const {
      return reinterpret_cast<const sockaddr*>(&storage);
    }
  };
  [[nodiscard]] Name name_of(const tcp::Address& address, uint16_t port) const {
    Name name;
    if (v6_) {
      sockaddr_in6 in{};
      in.sin6_family = AF_INET6;
      in.sin6_port = htons(port);
      std::memcpy(&in.sin6_addr, address.data(), 16);
      std::memcpy(&name.storage, &in, name.length = sizeof in);
    } else {
      sockaddr_in in{};
      in.sin_family = AF_INET;
      in.sin_port = htons(port);
      std::memcpy(&in.sin_addr, address.data() + 12, 4);
      std::memcpy(&name.storage, &in, name.length = sizeof in);
    }
    return name;
  }

  std::string listen() {
    std::string problem = open_socket();
    if (!problem.empty()) return problem;
    const Name name = name_of(tuple_.local, tuple_.local_port);
    if (bind(fd_, name.get(), name.length) != 0) return failed("bind");
    if (::listen(fd_, 16) != 0) return failed("listen");
    listener_ = std::exchange(fd_, -1);
    return "";
  }
  std::string connect() {
    const std::string problem = open_socket();
    if (!problem.empty()) return problem;
    const Name name = name_of(tuple_.remote, tuple_.remote_port);
    const int result = ::connect(fd_, name.get(), name.length);
    return result == 0 || errno == EINPROGRESS ? "" : failed("connect");
  }
  std::string accept() {
    pollfd ready{.fd = listener_, .events = POLLIN, .revents = 0};
    (void)poll(&ready, 1, kPatience);
    fd_ = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return fd_ >= 0 ? "" : failed("accept");
  }
  std::string write(size_t n) {
    const std::string bytes(n, 'x');
    const ssize_t done = ::send(fd_, bytes.data(), n, MSG_NOSIGNAL | MSG_DONTWAIT);
    return done == static_cast<ssize_t>(n) ? "" : failed("send");
  }
  [[nodiscard]] bool readable(int patience) const {
    pollfd ready{.fd = fd_, .events = POLLIN, .revents = 0};
    return poll(&ready, 1, patience) > 0;
  }
  std::string read(size_t n) {
    std::string bytes(n, 0);
    size_t done = 0;
    while (done < n && readable(kPatience)) {
      const ssize_t got = ::recv(fd_, bytes.data() + done, n - done, MSG_DONTWAIT);
      if (got <= 0) break;
      done += static_cast<size_t>(got);
    }
    for (size_t i = 0; i < done; ++i) {
      if (static_cast<std::byte>(bytes[i]) != peer_byte(received_ + 1 + static_cast<uint32_t>(i))) {
        return "byte " + std::to_string(received_ + i) + " is wrong";
      }
    }
    received_ += static_cast<uint32_t>(done);
    return done == n ? "" : "only " + std::to_string(done) + " bytes were there to read";
  }
  std::string eof() {
    char byte;
    if (!readable(kPatience)) return "the peer has not finished";
    const ssize_t got = ::recv(fd_, &byte, 1, MSG_DONTWAIT);
    return got == 0 ? "" : got > 0 ? "there are bytes to read" : failed("recv");
  }
  std::string close(bool reset) {
    if (reset) {
      const linger now{.l_onoff = 1, .l_linger = 0};
      (void)setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    const int result = ::close(std::exchange(fd_, -1));
    return result == 0 ? "" : failed("close");
  }
  std::string expect_error(const std::string& which) {
    if (fd_ < 0) return "";  // the socket is closed: nobody is told
    pollfd ready{.fd = fd_, .events = POLLIN, .revents = 0};
    (void)poll(&ready, 1, kPatience);
    int error = 0;
    socklen_t length = sizeof error;
    (void)getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length);
    const char* name = error == ECONNRESET     ? "reset"
                       : error == ECONNREFUSED ? "refused"
                       : error == ETIMEDOUT    ? "timed_out"
                       : error == EPIPE        ? "reset"
                       : error == 0            ? "none"
                                               : "other";
    return which == name ? "" : "the socket's error is " + std::string(name);
  }

  const Script& script_;
  bool v6_;
  tcp::FourTuple tuple_;
  Clock::time_point start_;
  int tun_ = -1;
  int listener_ = -1;
  int fd_ = -1;
  uint32_t received_ = 0;
};

}  // namespace

Result<std::unique_ptr<Backend>> make_linux_backend(const Script& script) {
  auto backend = std::make_unique<LinuxBackend>(script);
  const std::string problem = backend->prepare();
  if (!problem.empty()) return fail(Code::unsupported, problem);
  return std::unique_ptr<Backend>(std::move(backend));
}

}  // namespace paste::scripts
