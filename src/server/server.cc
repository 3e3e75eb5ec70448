#include "server/server.h"

#include <algorithm>

#include "base/time.h"
#include "server/context.h"
#include "server/housekeeping.h"
#include "server/http_front.h"
#include "server/udp_front.h"

namespace paste::server {

namespace {
constexpr uint64_t kTickCookie = 1;
constexpr uint32_t kReclaimPages = 64;  // log pages given back in one turn
constexpr Duration kSyncingWait{1'000'000};
constexpr Duration kDrainWait{10'000'000};
constexpr Duration kRunWait{1'000'000'000};
// How long stop() waits for clients to close when they have all their replies.
constexpr uint64_t kSettledNs = 200'000'000;
}  // namespace

struct Server::State {
  State(pool::Core& core, log::Logs& logs, port::Driver& driver, const ServerOptions& options,
        ServerInfo info)
      : context{core, logs, driver, options, std::move(info), {}},
        http(context),
        udp(context),
        housekeeping(context) {}

  struct Batch {
    Ticket ticket;
    uint64_t received_ns;
  };

  Result<void> listen();
  Result<void> turn(Duration timeout);
  void dispatch();
  Result<void> commit();
  void note_durable();
  Result<void> drain();
  Result<void> finish();

  Context context;
  HttpFront http;
  UdpFront udp;
  Housekeeping housekeeping;
  std::vector<std::pair<port::ListenerId, Protocol>> listeners;
  std::vector<Batch> batches;  // appends that are not durable yet; at most two tickets
  std::atomic<bool> stop{false};
};

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::create(pool::Core& core, log::Logs& logs,
                                               port::Driver& driver, const ServerOptions& options,
                                               ServerInfo info) {
  auto state = std::make_unique<State>(core, logs, driver, options, std::move(info));
  state->context.now_ns = state->context.started_ns = base::monotonic_ns();
  state->context.wall_ns = base::wall_ns();
  PASTE_TRY(state->listen());
  driver.add_timer(Housekeeping::kTick, kTickCookie);
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

Result<void> Server::State::listen() {
  for (const Listen& listen : context.options.listen) {
    PASTE_TRY_ASSIGN(const port::ListenerId id, context.driver.listen(listen.endpoint));
    listeners.emplace_back(id, listen.protocol);
    if (listen.protocol == Protocol::udp_log) udp.add_listener(id, listen.log_name);
  }
  return {};
}

std::vector<std::string> Server::addresses() const {
  std::vector<std::string> all;
  for (const auto& [id, protocol] : state_->listeners) {
    const std::string endpoint = to_string(state_->context.driver.local(id));
    all.push_back((protocol == Protocol::http ? "http://" : "udp://") + endpoint);
  }
  return all;
}

Result<void> Server::State::turn(Duration timeout) {
  if (context.more_work) timeout = Duration{0};
  // A ticket that waits for the one being synced must be closed as soon as that is done.
  if (context.core.changed() && (timeout < Duration{0} || timeout > kSyncingWait)) {
    timeout = kSyncingWait;
  }
  PASTE_TRY(context.driver.poll(timeout));
  context.now_ns = base::monotonic_ns();
  context.wall_ns = base::wall_ns();
  context.more_work = false;
  note_durable();
  dispatch();
  PASTE_TRY(commit());
  if (context.logs.reclaim(kReclaimPages)) context.more_work = true;
  return {};
}

void Server::State::dispatch() {
  bool datagrams = false;
  for (const port::Event& event : context.driver.events()) {
    switch (event.type) {
      case port::EventType::datagram:
        datagrams = true;
        break;
      case port::EventType::timer:
        if (event.cookie != kTickCookie) break;
        context.driver.add_timer(Housekeeping::kTick, kTickCookie);
        http.tick();
        housekeeping.tick();
        break;
      default:
        http.on_event(event);
    }
  }
  if (datagrams) udp.serve();
  http.run_ready();
}

Result<void> Server::State::commit() {
  const Ticket ticket = context.core.filling();
  if (context.batch_appends != 0) {
    if (batches.empty() || batches.back().ticket != ticket) {
      batches.push_back({ticket, context.now_ns});
    }
    context.metrics.batch_size.record(context.batch_appends);
    context.batch_appends = 0;
  }
  PASTE_TRY(context.core.poll_sync());
  if (context.core.changed()) PASTE_TRY(context.core.commit());
  note_durable();
  return {};
}

void Server::State::note_durable() {
  if (batches.empty() || batches.front().ticket > context.core.durable()) return;
  const uint64_t now = base::monotonic_ns();
  while (!batches.empty() && batches.front().ticket <= context.core.durable()) {
    context.metrics.append_ns.record(now - batches.front().received_ns);
    batches.erase(batches.begin());
  }
}

Result<void> Server::State::drain() {
  context.stopping = true;
  context.driver.stop_listening();
  const auto grace = static_cast<uint64_t>(std::max<int64_t>(0, context.options.grace.count()));
  const uint64_t deadline = base::monotonic_ns() + grace;
  PASTE_TRY(turn(Duration{0}));  // what had arrived before the end was asked for
  uint64_t settled_ns = 0;
  for (;;) {
    const bool settled = http.drain() && context.driver.idle();
    if (settled && http.connections() == 0) break;
    const uint64_t now = base::monotonic_ns();
    if (!settled) {
      settled_ns = 0;
    } else if (settled_ns == 0) {
      settled_ns = now;
    } else if (now - settled_ns > kSettledNs) {
      break;
    }
    if (now >= deadline) {
      http.abort_all();
      break;
    }
    PASTE_TRY(turn(kDrainWait));
  }
  return finish();
}

Result<void> Server::State::finish() {
  pool::Core& core = context.core;
  PASTE_TRY(core.wait_durable(core.changed() ? core.filling() : Ticket{core.filling().value - 1}));
  PASTE_TRY(context.driver.poll(Duration{0}));
  PASTE_TRY(housekeeping.seal_all());
  if (core.changed()) PASTE_TRY(core.wait_durable(core.filling()));
  return {};
}

Result<void> Server::run() {
  while (!state_->stop.load(std::memory_order_relaxed)) PASTE_TRY(state_->turn(kRunWait));
  return state_->drain();
}

Result<void> Server::turn(Duration timeout) { return state_->turn(timeout); }

void Server::stop() noexcept {
  state_->stop.store(true, std::memory_order_relaxed);
  state_->context.driver.wake();
}

}  // namespace paste::server
