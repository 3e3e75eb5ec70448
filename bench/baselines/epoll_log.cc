// The well-tuned Linux server that the product is compared with: epoll, read, copy the body into a
// mapped log, write the lines back, fence, reply. One thread, one file, no use of the project's own
// code, so that nothing in it improves by accident when the product does.
//
// The log: records one after the other from the start of the file, each on a 64-byte boundary:
//   [0..3] length  [4..7] CRC32C of lsn, length, data  [8..15] lsn  [16..] data
// Header and data are written back together and fenced once, before the reply; the CRC makes a torn
// record recognisable. LSNs count from 1. At start the log is scanned from the front: records count
// while their CRC holds and their LSNs follow one another. When the file is full a request gets
// 507; with --wrap the log goes on at its front, over the oldest records, and only what lies before
// the write position is found again at the next start.

#include <arpa/inet.h>
#include <cpuid.h>
#include <fcntl.h>
#include <immintrin.h>
#include <isa-l/crc.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

constexpr size_t kLine = 64;
constexpr size_t kHeaderMax = 16 * 1024;   // request line and headers; beyond: 431
constexpr size_t kBodyMax = 1024 * 1024;   // beyond: 413
constexpr size_t kInputStart = 16 * 1024;  // per-connection buffer; grows with the body
constexpr int kEventsMax = 256;

struct Options {
  std::string listen = "127.0.0.1:60000";
  std::string file = "/dev/shm/epoll_log.data";
  uint64_t size = 1u << 30;
  uint64_t media_delay_ns = 0;
  int cpu = -1;
  bool busy = false, wrap = false, fdatasync = false;
};

[[noreturn]] void die(const std::string& what, int error = EINVAL) {
  std::fprintf(stderr, "epoll_log: %s: %s\n", what.c_str(), std::strerror(error));
  std::exit(1);
}

using WriteBack = void (*)(char*, const char*);

__attribute__((target("clwb"))) void write_back_clwb(char* p, const char* end) {
  for (; p < end; p += kLine) _mm_clwb(p);
}
__attribute__((target("clflushopt"))) void write_back_clflushopt(char* p, const char* end) {
  for (; p < end; p += kLine) _mm_clflushopt(p);
}
void write_back_clflush(char* p, const char* end) {
  for (; p < end; p += kLine) _mm_clflush(p);
}

WriteBack choose_write_back() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
    if (b & (1u << 24)) return write_back_clwb;
    if (b & (1u << 23)) return write_back_clflushopt;
  }
  return write_back_clflush;
}

void spin_for(uint64_t ns) {
  using Clock = std::chrono::steady_clock;
  for (const auto end = Clock::now() + std::chrono::nanoseconds(ns); Clock::now() < end;) {
  }
}

struct Record {
  uint32_t length, crc;
  uint64_t lsn;
};
static_assert(sizeof(Record) == 16);

uint32_t record_crc(const Record& r, const char* data) {
  auto extend = [](const void* p, size_t n, unsigned crc) {
    return crc32_iscsi(static_cast<unsigned char*>(const_cast<void*>(p)), static_cast<int>(n), crc);
  };
  unsigned crc = extend(&r.lsn, sizeof r.lsn, 0xFFFFFFFFu);
  crc = extend(&r.length, sizeof r.length, crc);
  return ~extend(data, r.length, crc);
}

class Log {
 public:
  explicit Log(const Options& o)
      : size_(o.size), media_delay_ns_(o.media_delay_ns), wrap_(o.wrap), sync_(o.fdatasync) {
    fd_ = open(o.file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd_ < 0) die("cannot open " + o.file, errno);
    if (const int e = posix_fallocate(fd_, 0, static_cast<off_t>(size_)))
      die("cannot allocate " + o.file, e);
    void* p = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (p == MAP_FAILED) die("cannot map " + o.file, errno);
    madvise(p, size_, MADV_HUGEPAGE);        // where tmpfs allows it
    madvise(p, size_, MADV_POPULATE_WRITE);  // no page fault later; failing is only slower
    base_ = static_cast<char*>(p);
    recover();
  }

  // DURABLE on return (with --fdatasync on a disk, else what the mapping survives). 0: no room.
  uint64_t append(std::string_view body) {
    const size_t whole = padded(body.size());
    if (whole > size_ - position_) {
      if (!wrap_ || whole > size_) return 0;
      position_ = 0;
    }
    char* at = base_ + position_;
    Record r{static_cast<uint32_t>(body.size()), 0, lsn_};
    r.crc = record_crc(r, body.data());
    std::memcpy(at, &r, sizeof r);
    std::memcpy(at + sizeof r, body.data(), body.size());
    write_back_(at, at + sizeof r + body.size());  // `at` is on a line boundary: no line is missed
    _mm_sfence();  // orders every write-back above before the reply that follows
    if (sync_ && ::fdatasync(fd_) != 0) die("fdatasync failed, nothing can be promised", errno);
    if (media_delay_ns_ > 0) spin_for(media_delay_ns_);
    position_ += whole;
    return lsn_++;
  }

 private:
  static size_t padded(size_t body) { return (sizeof(Record) + body + kLine - 1) & ~(kLine - 1); }

  void recover() {
    for (bool first = true; position_ + sizeof(Record) <= size_; first = false) {
      Record r;
      std::memcpy(&r, base_ + position_, sizeof r);
      if (r.lsn == 0 || r.length > size_ - position_ - sizeof r) break;
      if (!first && r.lsn != lsn_) break;
      if (record_crc(r, base_ + position_ + sizeof r) != r.crc) break;
      lsn_ = r.lsn + 1;
      position_ += padded(r.length);
    }
  }

  char* base_ = nullptr;
  uint64_t size_, position_ = 0, lsn_ = 1, media_delay_ns_;
  WriteBack write_back_ = choose_write_back();
  int fd_ = -1;
  bool wrap_, sync_;
};

struct Request {
  size_t header = 0, body = 0;  // bytes; header 0: not all there yet
  bool close = false;
  const char* refuse = nullptr;  // status line to refuse with; the connection then closes
};

bool same_text(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

std::string_view trimmed(std::string_view s) {
  const size_t first = std::min(s.find_first_not_of(" \t"), s.size());
  return s.substr(first, s.find_last_not_of(" \t") + 1 - first);
}

void parse_field(std::string_view name, std::string_view value, bool& has_length, Request& r) {
  if (same_text(name, "content-length")) {
    uint64_t n = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n);
    const bool good = error == std::errc{} && end == value.data() + value.size();
    if (!good || (has_length && n != r.body))
      r.refuse = "400 Bad Request";
    else if (n > kBodyMax)
      r.refuse = "413 Content Too Large";
    has_length = true;
    r.body = n;
  } else if (same_text(name, "transfer-encoding")) {
    r.refuse = "501 Not Implemented";
  } else if (same_text(name, "connection") && same_text(value, "close")) {
    r.close = true;
  }
}

Request parse(std::string_view in) {
  Request r;
  const size_t end = in.substr(0, kHeaderMax).find("\r\n\r\n");
  if (end == std::string_view::npos) {
    if (in.size() >= kHeaderMax) r.refuse = "431 Request Header Fields Too Large";
    return r;
  }
  r.header = end + 4;
  std::string_view head = in.substr(0, end + 2);
  const std::string_view line = head.substr(0, head.find("\r\n"));
  head.remove_prefix(line.size() + 2);
  if (line.size() < 14 || line.substr(line.size() - 9, 8) != " HTTP/1.")
    r.refuse = "400 Bad Request";
  else if (line.substr(0, 6) != "POST /")
    r.refuse = "405 Method Not Allowed\r\nAllow: POST";
  r.close = line.ends_with("1.0");
  bool has_length = false;
  while (!head.empty() && r.refuse == nullptr) {
    const std::string_view field = head.substr(0, head.find("\r\n"));
    head.remove_prefix(field.size() + 2);
    const size_t colon = field.find(':');
    if (colon == 0 || colon == std::string_view::npos)
      r.refuse = "400 Bad Request";
    else
      parse_field(field.substr(0, colon), trimmed(field.substr(colon + 1)), has_length, r);
  }
  if (r.refuse == nullptr && !has_length) r.refuse = "411 Length Required";
  return r;
}

struct Connection {
  int fd = -1;
  bool closing = false;  // close when the output is sent
  bool waiting = false;  // EPOLLOUT is armed
  size_t used = 0;       // bytes in `input`
  std::vector<char> input = std::vector<char>(kInputStart);
  std::string output;
};

class Server {
 public:
  Server(const Options& o, Log& log) : options_(o), log_(log) {
    const size_t colon = o.listen.rfind(':');
    sockaddr_in address{};
    address.sin_family = AF_INET;
    if (colon == std::string::npos ||
        inet_pton(AF_INET, o.listen.substr(0, colon).c_str(), &address.sin_addr) != 1)
      die("--listen wants IPV4:PORT, not " + o.listen);
    address.sin_port = htons(static_cast<uint16_t>(std::atoi(o.listen.c_str() + colon + 1)));
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener_, 4096) != 0)
      die("cannot listen at " + o.listen, errno);
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    epoll_event e{};
    e.events = EPOLLIN;  // data.ptr null: the listener
    epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &e);
  }

  [[noreturn]] void run() {
    epoll_event events[kEventsMax];
    for (;;) {
      const int n = epoll_wait(epoll_, events, kEventsMax, options_.busy ? 0 : -1);
      if (n < 0 && errno != EINTR) die("epoll_wait", errno);
      for (int i = 0; i < n; ++i) {
        if (events[i].data.ptr == nullptr)
          accept_all();
        else
          serve(*static_cast<Connection*>(events[i].data.ptr), events[i].events);
      }
    }
  }

 private:
  void accept_all() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;  // EAGAIN, or out of descriptors: tried again at the next event
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      auto c = std::make_unique<Connection>();
      c->fd = fd;
      arm(*c.release(), EPOLL_CTL_ADD, false);
    }
  }

  void arm(Connection& c, int operation, bool write) {
    epoll_event e{};
    e.events = EPOLLIN | (write ? EPOLLOUT : 0u);
    e.data.ptr = &c;
    epoll_ctl(epoll_, operation, c.fd, &e);
    c.waiting = write;
  }

  static void drop(Connection& c) {
    close(c.fd);
    delete &c;
  }

  // Level-triggered with one read an event measured as fast as edge-triggered, or faster.
  void serve(Connection& c, uint32_t events) {
    if (events & (EPOLLERR | EPOLLHUP)) return drop(c);
    if (c.waiting && (!flush_output(c) || c.waiting)) return;
    if (!c.closing) {
      if (c.used == c.input.size()) c.input.resize(c.input.size() * 2);
      const ssize_t n = read(c.fd, c.input.data() + c.used, c.input.size() - c.used);
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
      if (n < 0) return drop(c);
      c.closing = n == 0;
      c.used += static_cast<size_t>(n);
      handle(c);
      if (!flush_output(c)) return;
    }
    if (c.closing && !c.waiting) drop(c);
  }

  // Answers every whole request in the buffer and moves the rest to its front.
  void handle(Connection& c) {
    size_t taken = 0;
    while (taken < c.used) {
      const std::string_view in(c.input.data() + taken, c.used - taken);
      const Request r = parse(in);
      if (r.refuse != nullptr) {
        c.output.append("HTTP/1.1 ").append(r.refuse);
        c.output.append("\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        c.closing = true;
        break;
      }
      if (r.header == 0 || in.size() - r.header < r.body) break;
      const uint64_t lsn = log_.append(in.substr(r.header, r.body));
      taken += r.header + r.body;
      reply(c, lsn);
      if (r.close) {
        c.closing = true;
        break;
      }
    }
    c.used -= taken;
    if (c.used > 0 && taken > 0) std::memmove(c.input.data(), c.input.data() + taken, c.used);
  }

  static void reply(Connection& c, uint64_t lsn) {
    if (lsn == 0) {
      c.output.append("HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    char body[24], length[8];
    char* const end = std::to_chars(body, body + 23, lsn).ptr;
    *end = '\n';
    char* const length_end = std::to_chars(length, length + sizeof length, end + 1 - body).ptr;
    c.output.append("HTTP/1.1 200 OK\r\nContent-Length: ").append(length, length_end);
    c.output.append("\r\n\r\n").append(body, end + 1);
  }

  // False: the connection is gone. c.waiting: the socket took only a part.
  bool flush_output(Connection& c) {
    size_t sent = 0;
    while (sent < c.output.size()) {
      const ssize_t n = write(c.fd, c.output.data() + sent, c.output.size() - sent);
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;  // EPOLLOUT brings us back
      if (n < 0) {
        drop(c);
        return false;
      }
      sent += static_cast<size_t>(n);
    }
    c.output.erase(0, sent);
    const bool rest = !c.output.empty();
    if (rest != c.waiting) arm(c, EPOLL_CTL_MOD, rest);
    return true;
  }

  const Options& options_;
  Log& log_;
  int listener_ = -1, epoll_ = -1;
};

constexpr const char* kUsage =
    "epoll_log [--listen IPV4:PORT] [--file PATH] [--size 1GiB] [--busy | --block] [--wrap]\n"
    "          [--media-delay 10us] [--cpu N] [--fdatasync]\n"
    "POST any path; the reply is the record's LSN. --media-delay is spun and --fdatasync called\n"
    "once per request; --wrap overwrites the oldest records when the file is full.";

// A number with one of the units: "1GiB", "10us".
uint64_t number(const char* text, std::initializer_list<std::pair<const char*, uint64_t>> units) {
  char* end = nullptr;
  const uint64_t n = std::strtoull(text, &end, 10);
  for (const auto& [unit, factor] : units)
    if (end != text && std::strcmp(end, unit) == 0) return n * factor;
  die(std::string("not understood: ") + text);
}

Options parse_options(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    auto value = [&] { return i + 1 < argc ? argv[++i] : (die(kUsage), nullptr); };
    if (name == "--listen")
      o.listen = value();
    else if (name == "--file")
      o.file = value();
    else if (name == "--size")
      o.size = number(value(), {{"MiB", 1u << 20}, {"GiB", 1u << 30}});
    else if (name == "--media-delay")
      o.media_delay_ns = number(value(), {{"", 1}, {"ns", 1}, {"us", 1000}, {"ms", 1'000'000}});
    else if (name == "--cpu")
      o.cpu = static_cast<int>(number(value(), {{"", 1}}));
    else if (name == "--busy" || name == "--block")
      o.busy = name == "--busy";
    else if (name == "--wrap")
      o.wrap = true;
    else if (name == "--fdatasync")
      o.fdatasync = true;
    else
      die(kUsage);
  }
  return o;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  if (options.cpu >= 0) CPU_SET(static_cast<unsigned>(options.cpu), &cpus);
  if (options.cpu >= 0 && sched_setaffinity(0, sizeof cpus, &cpus) != 0) die("--cpu", errno);
  std::signal(SIGPIPE, SIG_IGN);
  Log log(options);
  Server server(options, log);
  std::fprintf(stderr, "listening at %s\n", options.listen.c_str());
  server.run();
}
