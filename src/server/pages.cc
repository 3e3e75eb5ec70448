#include "server/pages.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "paste/units.h"

namespace paste::server {

namespace {

constexpr std::string_view kRouteNames[Metrics::kRoutes] = {
    "malformed", "unknown",    "home",     "health",     "metrics",
    "log_list",  "log_append", "log_read", "log_create", "log_delete"};

void metric_head(std::string& out, std::string_view name, std::string_view type,
                 std::string_view help) {
  fmt::format_to(std::back_inserter(out), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void metric(std::string& out, std::string_view name, std::string_view type, std::string_view help,
            uint64_t value) {
  metric_head(out, name, type, help);
  fmt::format_to(std::back_inserter(out), "{} {}\n", name, value);
}

void counter(std::string& out, std::string_view name, std::string_view help, uint64_t value) {
  metric(out, name, "counter", help, value);
}

void gauge(std::string& out, std::string_view name, std::string_view help, uint64_t value) {
  metric(out, name, "gauge", help, value);
}

void append_request_metrics(std::string& out, const Metrics& metrics) {
  metric_head(out, "paste_http_requests_total", "counter", "Requests answered.");
  for (size_t r = 0; r < Metrics::kRoutes; ++r) {
    for (size_t s = 0; s < Metrics::kStatuses.size(); ++s) {
      if (metrics.requests[r][s] == 0) continue;
      fmt::format_to(std::back_inserter(out),
                     "paste_http_requests_total{{route=\"{}\",status=\"{}\"}} {}\n", kRouteNames[r],
                     Metrics::kStatuses[s], metrics.requests[r][s]);
    }
  }
  counter(out, "paste_append_bytes_total", "Record bytes kept.", metrics.append_bytes);
  counter(out, "paste_read_records_total", "Records sent to readers.", metrics.read_records);
  counter(out, "paste_read_bytes_total", "Record bytes sent to readers.", metrics.read_bytes);
  counter(out, "paste_datagrams_appended_total", "Datagrams kept.", metrics.datagrams_appended);
  counter(out, "paste_datagrams_refused_total", "Datagrams answered with an error.",
          metrics.datagrams_refused);
  counter(out, "paste_http_timeouts_total", "Connections ended by a timeout.", metrics.timeouts);
  counter(out, "paste_http_streams_aborted_total", "Results cut because a record was damaged.",
          metrics.streams_aborted);
  gauge(out, "paste_http_bodies_held_bytes", "Pool memory held by bodies still arriving.",
        metrics.bodies_held_bytes);
}

void append_summary(std::string& out, std::string_view name, std::string_view help,
                    const base::Histogram& values, double scale) {
  metric_head(out, name, "summary", help);
  for (const double q : {0.5, 0.9, 0.99, 0.999}) {
    fmt::format_to(std::back_inserter(out), "{}{{quantile=\"{}\"}} {:.9g}\n", name, q,
                   static_cast<double>(values.quantile(q)) * scale);
  }
  fmt::format_to(std::back_inserter(out), "{}_sum {:.9g}\n{}_count {}\n", name,
                 static_cast<double>(values.sum()) * scale, name, values.count());
}

void append_pool_metrics(std::string& out, const pool::CoreStats& stats, bool failed) {
  counter(out, "paste_tickets_durable_total", "Batches made durable.", stats.tickets);
  counter(out, "paste_tickets_published_total", "Batches with a publish list.",
          stats.tickets_published);
  counter(out, "paste_barriers_total", "Persistence barriers.", stats.barriers);
  metric_head(out, "paste_pool_buffers", "gauge", "Buffers of the pool by state.");
  fmt::format_to(
      std::back_inserter(out),
      "paste_pool_buffers{{state=\"free\"}} {}\npaste_pool_buffers{{state=\"data\"}} {}\n"
      "paste_pool_buffers{{state=\"structure\"}} {}\n"
      "paste_pool_buffers{{state=\"deferred\"}} {}\n",
      stats.buffers_free, stats.buffers_data, stats.buffers_structure, stats.buffers_deferred);
  gauge(out, "paste_pool_failed", "1 once nothing becomes durable any more.", failed ? 1 : 0);
}

void append_port_metrics(std::string& out, const port::DriverStats& stats) {
  gauge(out, "paste_connections", "Open connections.", stats.connections);
  counter(out, "paste_connections_accepted_total", "Connections accepted.", stats.accepted);
  counter(out, "paste_connections_closed_total", "Connections closed.", stats.closed);
  counter(out, "paste_connections_refused_total", "Connections beyond the limit.",
          stats.refused_limit);
  counter(out, "paste_accept_errors_total", "Failed accepts.", stats.accept_errors);
  counter(out, "paste_received_bytes_total", "Bytes received.", stats.received_bytes);
  counter(out, "paste_sent_bytes_total", "Bytes sent.", stats.sent_bytes);
  counter(out, "paste_receives_total", "Receive completions.", stats.receives);
  counter(out, "paste_sends_total", "Send operations.", stats.sends);
  counter(out, "paste_datagrams_total", "Datagrams received.", stats.datagrams);
  counter(out, "paste_receive_buffers_exhausted_total", "No posted buffer was left.",
          stats.receive_buffers_exhausted);
  counter(out, "paste_completions_overflowed_total", "Completion queue overflows.",
          stats.completions_overflowed);
  gauge(out, "paste_send_queued_bytes", "Reply bytes queued.", stats.send_queued);
  gauge(out, "paste_connections_gated", "Connections waiting for durability.", stats.gated);
  counter(out, "paste_polls_total", "Turns of the port.", stats.polls);
  counter(out, "paste_sleeps_total", "Turns that slept.", stats.sleeps);
}

// Counters of one name stand together, as the exposition format wants them.
void append_port_counts(std::string& out, const std::vector<port::NamedCount>& counts) {
  std::string last;
  for (const port::NamedCount& one : counts) {
    const std::string name = "paste_port_" + one.name + "_total";
    if (name != last) metric_head(out, name, "counter", "Counted by the port.");
    last = name;
    fmt::format_to(std::back_inserter(out), "{}{}{}{} {}\n", name, one.labels.empty() ? "" : "{",
                   one.labels, one.labels.empty() ? "" : "}", one.value);
  }
}

void append_log_metrics(std::string& out, log::Logs& logs) {
  struct Column {
    const char* name;
    const char* type;
    const char* help;
    uint64_t (*value)(const log::Log&);
  };
  static constexpr Column kColumns[] = {
      {"paste_log_first_lsn", "gauge", "First record kept.",
       [](const log::Log& l) { return l.first(); }},
      {"paste_log_next_lsn", "counter", "What the next append gets.",
       [](const log::Log& l) { return l.next(); }},
      {"paste_log_durable_lsn", "counter", "Last durable record.",
       [](const log::Log& l) { return l.durable(); }},
      {"paste_log_bytes", "gauge", "Bytes of kept records.",
       [](const log::Log& l) { return l.bytes(); }}};
  const auto all = logs.list();
  gauge(out, "paste_logs", "Logs in the pool.", all.size());
  for (const Column& column : kColumns) {
    metric_head(out, column.name, column.type, column.help);
    for (const log::Log* log : all) {
      fmt::format_to(std::back_inserter(out), "{}{{log=\"{}\"}} {}\n", column.name, log->name(),
                     column.value(*log));
    }
  }
}

void append_escaped(std::string& out, std::string_view text, bool html) {
  for (const char c : text) {
    if (html && c == '<') {
      out += "&lt;";
    } else if (html && c == '&') {
      out += "&amp;";
    } else {
      out += c;
    }
  }
}

}  // namespace

void append_metrics(std::string& out, const Context& context) {
  const Metrics& metrics = context.metrics;
  append_request_metrics(out, metrics);
  append_summary(out, "paste_append_batch_seconds",
                 "From receipt of a batch of appends until it is durable.", metrics.append_ns,
                 1e-9);
  append_summary(out, "paste_append_batch_size", "Appends in a batch.", metrics.batch_size, 1);
  append_pool_metrics(out, context.core.stats(), context.core.failed());
  append_port_metrics(out, context.driver.stats());
  append_port_counts(out, context.driver.counts());
  append_log_metrics(out, context.logs);
  const log::RecoveryStats& recovery = context.logs.recovery();
  counter(out, "paste_scrub_passes_total", "Whole passes of the scrub.",
          context.logs.scrub_passes());
  counter(out, "paste_scrub_corrupt_total", "Damaged records the scrub found.",
          metrics.scrub_corrupt);
  counter(out, "paste_retention_truncations_total", "Truncations by retention.",
          metrics.retention_truncations);
  gauge(out, "paste_recovery_records", "Records found at open.", recovery.records);
  gauge(out, "paste_recovery_torn", "Unacknowledged entries dropped at open.", recovery.torn);
  gauge(out, "paste_recovery_corrupt", "Damaged records known.", recovery.corrupt);
  gauge(out, "paste_uptime_seconds", "Since the server started.",
        (context.now_ns - context.started_ns) / 1'000'000'000);
}

Ticket append_log_list(std::string& out, const Context& context) {
  Ticket gate = context.logs.changed();
  const char* separator = "[";
  for (const log::Log* log : context.logs.list()) {
    gate = std::max(gate, log->changed());
    fmt::format_to(std::back_inserter(out),
                   "{}\n  {{\"name\":\"{}\",\"first\":{},\"next\":{},\"durable\":{},\"bytes\":{}}}",
                   separator, log->name(), log->first(), log->next(), log->durable(), log->bytes());
    separator = ",";
  }
  out += *separator == '[' ? "[]\n" : "\n]\n";
  return gate;
}

Ticket append_home(std::string& out, const Context& context, bool html) {
  Ticket gate = context.logs.changed();
  const ServerInfo& info = context.info;
  if (html) out += "<!doctype html><meta charset=\"utf-8\"><title>PASTE</title><pre>\n";
  std::string text = fmt::format(
      "PASTE {}\n\npool      {}\ndomain    {}\nsurvives  {}\nport      {}\nrecovery  {}\nuptime    "
      "{} s\n",
      info.version, info.pool, info.domain, info.survives, info.port, info.recovery,
      (context.now_ns - context.started_ns) / 1'000'000'000);
  text +=
      "\nPOST /log/NAME           append the body; the answer is its LSN, once it is durable\n"
      "GET  /log/NAME?from=LSN  read (limit=N, follow=1; Accept: text/plain, "
      "application/x-ndjson)\n"
      "GET  /log                the logs      GET /metrics  counters      GET /healthz  health\n"
      "\n   first         next            bytes  log\n";
  constexpr size_t kShown = 100;
  const auto logs = context.logs.list();
  for (size_t i = 0; i < logs.size(); ++i) {
    gate = std::max(gate, logs[i]->changed());
    if (i >= kShown) continue;
    fmt::format_to(std::back_inserter(text), "{:>8} {:>12} {:>16}  {}\n", logs[i]->first(),
                   logs[i]->next(), format_size(logs[i]->bytes()), logs[i]->name());
  }
  if (logs.empty()) text += "(none yet)\n";
  if (logs.size() > kShown) text += fmt::format("({} more: GET /log)\n", logs.size() - kShown);
  append_escaped(out, text, html);
  if (html) out += "</pre>\n";
  return gate;
}

}  // namespace paste::server
