#include "server/udp_front.h"

#include "proto/http_response.h"

namespace paste::server {

void UdpFront::add_listener(port::ListenerId listener, std::string log_name) {
  log_names_.emplace(listener, std::move(log_name));
}

Result<log::Appended> UdpFront::append_once(std::string_view log_name,
                                            std::span<const Slice> slices) {
  log::Log* log = context_.logs.find(log_name);
  if (log == nullptr) {
    PASTE_TRY_ASSIGN(log, context_.logs.create(log_name));
  }
  const log::AppendOptions options{.time_ns = context_.wall_ns};
  if (context_.options.copy) {
    if (slices.size() == 1) return log->append_bytes(context_.core.bytes(slices[0]), options);
    text_.clear();
    for (const Slice s : slices) text_ += as_text(context_.core.bytes(s));
    return log->append_bytes(as_bytes(text_), options);
  }
  // The driver's holds end with the next poll; the record needs its own.
  for (const Slice s : slices) context_.core.hold(s.buffer);
  auto appended = log->append(slices, options);
  if (!appended) {
    for (const Slice s : slices) context_.core.release(s.buffer);
  }
  return appended;
}

Result<log::Appended> UdpFront::append(std::string_view log_name, std::span<const Slice> slices) {
  auto appended = append_once(log_name, slices);
  if (appended || appended.error().code() != Code::busy) return appended;
  PASTE_TRY(context_.core.commit());
  return append_once(log_name, slices);
}

void UdpFront::serve() {
  for (const port::Datagram& datagram : context_.driver.datagrams()) {
    const auto name = log_names_.find(datagram.listener);
    if (name == log_names_.end()) continue;
    const auto appended = append(name->second, datagram.slices);
    Ticket after = context_.logs.changed();
    if (appended) {
      ++context_.metrics.datagrams_appended;
      ++context_.batch_appends;
      for (const Slice s : datagram.slices) context_.metrics.append_bytes += s.length;
      after = appended->ticket;
      text_.clear();
      proto::append_decimal(text_, appended->lsn);
    } else {
      ++context_.metrics.datagrams_refused;
      // Nothing may be claimed any more once the medium failed.
      if (appended.error().code() == Code::failed) continue;
      text_.assign("error: ");
      text_ += appended.error().message();
    }
    text_ += '\n';
    // A full queue loses the reply, as the network may: the record is kept all the same.
    (void)context_.driver.send_datagram(datagram.listener, datagram.peer, datagram.peer_length,
                                        as_bytes(text_), {.after = after});
  }
}

}  // namespace paste::server
