#include "serve_settings.h"

#include <fmt/format.h>

#include "base/logging.h"
#include "port_settings.h"

namespace paste::tool {
namespace {

Setter add_listen(std::vector<server::Listen>& target) {
  return [&target](std::string_view text) -> Result<void> {
    PASTE_TRY_ASSIGN(server::Listen listen, server::parse_listen(text));
    target.push_back(std::move(listen));
    return {};
  };
}

Setter set_domain(std::optional<pmem::Domain>& target) {
  using Choice = std::optional<pmem::Domain>;
  return set_choice<Choice>(target, {{"auto", std::nullopt},
                                     {"memory", pmem::Domain::memory},
                                     {"process", pmem::Domain::process},
                                     {"page", pmem::Domain::page}});
}

Setter set_level(std::string& target) {
  return [&target](std::string_view text) -> Result<void> {
    PASTE_TRY(base::parse_level(text));
    target = text;
    return {};
  };
}

Setter set_size_from(uint64_t& target, uint64_t low, uint64_t high) {
  return [&target, low, high](std::string_view text) -> Result<void> {
    PASTE_TRY_ASSIGN(const uint64_t size, parse_size(text));
    if (size < low || size > high) {
      return fail(Code::invalid, fmt::format("'{}' is outside what is allowed: {} to {}", text,
                                             format_size(low), format_size(high)));
    }
    target = size;
    return {};
  };
}

Setter set_header_bytes(uint32_t& target) {
  return [&target](std::string_view text) -> Result<void> {
    uint64_t size = 0;
    PASTE_TRY(set_size_from(size, 1024, 1u << 20)(text));
    target = static_cast<uint32_t>(size);
    return {};
  };
}

Setter set_scrub(uint32_t& target) {
  return [&target](std::string_view text) -> Result<void> {
    uint64_t rate = 0;
    PASTE_TRY(set_number(rate, 0, 1'000'000)(text));
    target = static_cast<uint32_t>(rate);
    return {};
  };
}

void add_pool_options(ServeSettings& s, std::vector<Option>& options) {
  options.push_back(
      {"pool", "PATH", "the pool: a file, or a device such as /dev/dax0.0", "", set_text(s.pool)});
  options.push_back(
      {"create", "", "make the pool if it is not there yet", "", set_switch(s.create)});
  options.push_back({"size", "SIZE", "size of a pool that is made", "1GiB, a whole device",
                     set_size_from(s.size, 1u << 20, uint64_t{8} << 40)});
  options.push_back(
      {"buffer-size", "SIZE", "buffer size of a pool that is made: 2KiB or 4KiB", "2KiB",
       set_choice<uint64_t>(s.buffer_size,
                            {{"2KiB", 2048}, {"2048", 2048}, {"4KiB", 4096}, {"4096", 4096}})});
  options.push_back({"domain", "DOMAIN",
                     "what acknowledged records survive: auto, memory, process or page", "auto",
                     set_domain(s.domain)});
  options.push_back({"disk-io", "HOW", "how a page pool is written: auto, uring or posix", "auto",
                     set_choice<pmem::DiskIo>(s.disk_io, {{"auto", pmem::DiskIo::automatic},
                                                          {"uring", pmem::DiskIo::uring},
                                                          {"posix", pmem::DiskIo::posix}})});
  options.push_back({"media-delay", "TIME", "spin so long at each barrier, to emulate slow media",
                     "0", set_duration(s.media_delay)});
}

void add_port_options(ServeSettings& s, std::vector<Option>& options) {
  options.push_back({"listen", "URL",
                     "http://ADDR:PORT, http://unix:/PATH or udp://ADDR:PORT/LOG; repeats",
                     "http://127.0.0.1:8080", add_listen(s.server.listen), true});
  options.push_back({"port", "PORT",
                     "where packets come from: kernel, or xdp:IFACE, past the kernel into the pool",
                     "kernel", set_port(s.port)});
  options.push_back(
      {"io", "HOW", "how the kernel's sockets are used: auto, uring or epoll", "auto",
       set_choice<Io>(s.io,
                      {{"auto", Io::automatic}, {"uring", Io::uring}, {"epoll", Io::epoll}})});
  options.push_back({"poll", "HOW",
                     "how to wait: busy never sleeps, block does at once, adaptive spins first",
                     "adaptive", set_polling(s.polling)});
  options.push_back(
      {"spin", "TIME", "adaptive: how long to spin before sleeping", "50us", set_duration(s.spin)});
  options.push_back({"max-connections", "N", "more are closed at once", "20000",
                     set_number(s.connections_max, 1, 1'000'000)});
  options.push_back({"receive-buffers", "N", "buffers posted to receive into", "4096",
                     set_number(s.receive_buffers, 16, 32768)});
  options.push_back({"pcap", "FILE",
                     "xdp: write the frames that come and go to FILE and FILE.2, in "
                     "turn",
                     "", set_text(s.pcap)});
  options.push_back({"pcap-size", "SIZE", "what both captures hold at most", "64MiB",
                     set_size_from(s.pcap_bytes, 64 << 10, uint64_t{1} << 40)});
  options.push_back({"cpu", "N", "run on this processor only", "", set_cpu(s.cpu)});
}

void add_server_options(ServeSettings& s, std::vector<Option>& options) {
  options.push_back({"max-body", "SIZE", "larger records are refused (413)", "64MiB",
                     set_size_from(s.server.http.body_bytes_max, 1, log::kRecordBytesMax)});
  options.push_back({"max-header", "SIZE", "longer request headers are refused (431)", "16KiB",
                     set_header_bytes(s.server.http.header_bytes_max)});
  options.push_back({"idle-timeout", "TIME", "close a connection after so long without a request",
                     "75s", set_duration(s.server.http.idle)});
  options.push_back({"request-timeout", "TIME", "close a connection whose request takes longer",
                     "30s", set_duration(s.server.http.request)});
  options.push_back({"retain-count", "N", "keep at most the newest N records of a log; 0: all", "0",
                     set_number(s.server.retention.count, 0, UINT64_MAX)});
  options.push_back({"retain-bytes", "SIZE", "keep at most so many bytes of a log; 0: all", "0",
                     set_size(s.server.retention.bytes)});
  options.push_back({"retain-age", "TIME", "keep records no longer than this; 0: for ever", "0",
                     set_duration(s.server.retention.age)});
  options.push_back({"seal-after", "TIME", "seal a log that was idle for so long", "1s",
                     set_duration(s.server.seal_after)});
  options.push_back({"scrub", "N", "records checked per second in the background; 0: none", "1000",
                     set_scrub(s.server.scrub_per_second)});
  options.push_back({"copy", "", "keep records by copying instead of holding, to compare", "",
                     set_switch(s.server.copy)});
  options.push_back({"user", "NAME", "go on as this user once everything is open; needs root",
                     "as started", set_text(s.user)});
  options.push_back({"sandbox", "HOW",
                     "on: only the system calls that serving needs; off: for debuggers", "on",
                     set_choice<bool>(s.sandbox, {{"on", true}, {"off", false}})});
  options.push_back({"log-file", "FILE", "the program's messages; SIGHUP opens it again",
                     "standard error", set_text(s.log_file)});
  options.push_back(
      {"log-level", "LEVEL", "debug, info, warning or error", "info", set_level(s.log_level)});
  options.push_back({"json", "", "print the start as one line of JSON", "", set_switch(s.json)});
}

}  // namespace

std::vector<Option> serve_options(ServeSettings& settings) {
  std::vector<Option> options;
  add_pool_options(settings, options);
  add_port_options(settings, options);
  add_server_options(settings, options);
  return options;
}

}  // namespace paste::tool
