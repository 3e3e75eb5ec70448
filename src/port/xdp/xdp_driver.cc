#include "port/xdp/xdp_driver.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/logging.h"
#include "base/time.h"
#include "port/xdp/binding.h"
#include "port/xdp/kernel_defects.h"

namespace paste::port {
namespace {

constexpr uint32_t kXdpHeadroom = 256;  // XDP_PACKET_HEADROOM
constexpr uint32_t kHeaderMax = 18;     // Ethernet and a VLAN's tag
constexpr uint32_t kFillRing = 4096;
constexpr uint32_t kQueuesMax = 64;
constexpr uint64_t kNewsEveryNs = 50'000'000;  // without sleeping

tcp::EngineOptions engine_options(const Interface& interface, const DriverOptions& options) {
  tcp::EngineOptions o;
  // The dynamic ports and those that Linux chooses from; each is kept from the kernel while in use.
  o.ports = {.first = 32'768, .last = 65'535};
  o.connections_max = options.limits.connections_max;
  // Leaves room for IPv6's header, too.
  o.connection.mss = static_cast<uint16_t>(interface.mtu - 60);
  o.connection.window_max = std::max(options.limits.connection_receive_max, 65536U);
  o.connection.sender.nagle = false;  // replies are whole when they are given to it
  o.connection.sender.rtt.rto_min = std::chrono::milliseconds(200);
  return o;
}

Result<void> refuse_broken_kernels(uint64_t pool_bytes) {
  utsname name{};
  if (::uname(&name) != 0) return {};
  for (const KernelDefect& defect : known_defects(name.release)) {
    if (defect.above_4_gib && pool_bytes <= (uint64_t{4} << 30)) continue;
    if (defect.above_4_gib) {
      return fail(Code::unsupported,
                  std::string("Linux ") + name.release + ": " + defect.what + ": " + defect.remedy);
    }
    base::log_warning("Linux {}: {}: {}", name.release, defect.what, defect.remedy);
  }
  return {};
}

// "*" is all zeros.
Result<tcp::Address> address_of(const Endpoint& endpoint, const Interface& interface) {
  if (endpoint.host == "*" || endpoint.host.empty()) return tcp::Address{};
  PASTE_TRY_ASSIGN(tcp::Address address, parse_address(endpoint.host));
  if (address == tcp::ipv4_mapped(0, 0, 0, 0)) address = {};
  if (address != tcp::Address{} && !interface.has(address)) {
    return fail(Code::invalid, endpoint.host + " is no address of " + interface.name +
                                   ": ip address show " + interface.name);
  }
  return address;
}

}  // namespace

// --- Opening -------------------------------------------------------------------------------------

Result<std::unique_ptr<XdpDriver>> XdpDriver::open(std::string_view spec, pool::Core& core,
                                                   const DriverOptions& options) {
  PASTE_TRY_ASSIGN(const XdpSpec wanted, parse_xdp_spec(spec));
  PASTE_TRY_ASSIGN(Interface interface, Interface::find(wanted.interface));
  std::unique_ptr<XdpDriver> made(new XdpDriver(std::move(interface), core, options));
  PASTE_TRY(made->start(wanted));
  return made;
}

XdpDriver::XdpDriver(Interface&& interface, pool::Core& core, const DriverOptions& options)
    : interface_(std::move(interface)),
      core_(core),
      options_(options),
      lent_(core.buffer_end(), 0),
      stock_(core),
      connections_(options.limits.connections_max),
      datagrams_(core) {}

Result<void> XdpDriver::start(const XdpSpec& spec) {
  const uint32_t payload_max = core_.buffer_size() - kXdpHeadroom - kHeaderMax;
  if (interface_.mtu > payload_max) {
    return fail(Code::too_large,
                "the MTU of " + interface_.name + " is " + std::to_string(interface_.mtu) +
                    ", and a buffer of " + std::to_string(core_.buffer_size()) +
                    " bytes takes packets of " + std::to_string(payload_max) + ": ip link set " +
                    interface_.name + " mtu 1500" +
                    (core_.buffer_size() < 4096 ? ", or make the pool with buffers of 4096" : ""));
  }
  PASTE_TRY(refuse_broken_kernels(uint64_t{core_.buffer_end()} * core_.buffer_size()));
  const uint32_t first = spec.queue.value_or(0);
  const uint32_t count = spec.queue ? 1 : interface_.receive_queues;
  if (first >= interface_.receive_queues || first + count > kQueuesMax) {
    return fail(Code::invalid, interface_.name + " has " +
                                   std::to_string(interface_.receive_queues) +
                                   " receive queues, numbered from 0, of which 64 can be used");
  }
  // What is not seen goes to the kernel, which would answer it with resets.
  if (count < interface_.receive_queues) {
    return fail(Code::invalid, interface_.name + " has " +
                                   std::to_string(interface_.receive_queues) +
                                   " receive queues, and all must be served: leave the queue out, "
                                   "or ethtool -L " +
                                   interface_.name + " combined 1");
  }
  if (!options_.pcap.empty()) {
    PASTE_TRY_ASSIGN(tap_, Tap::open(options_.pcap, options_.pcap_bytes));
  }
  PASTE_TRY_ASSIGN(steering_, Steering::attach(interface_));
  PASTE_TRY_ASSIGN(watch_, LinkWatch::open(interface_.index));
  PASTE_TRY(record_binding(core_, interface_));
  PASTE_TRY(open_sockets(first, count, spec));
  PASTE_TRY(begin());
  if (options_.polling == Polling::busy) drive_napi();
  return {};
}

Result<std::unique_ptr<XdpDriver>> XdpDriver::open_model(Interface interface, NicRings& nic,
                                                         pool::Core& core,
                                                         const DriverOptions& options) {
  std::unique_ptr<XdpDriver> made(new XdpDriver(std::move(interface), core, options));
  made->steering_ = Steering::none();
  PASTE_TRY_ASSIGN(auto socket, XdpSocket::open_model(made->socket_options(1), nic));
  made->sockets_.push_back(std::move(socket));
  PASTE_TRY(made->begin());
  return made;
}

Result<void> XdpDriver::begin() {
  PASTE_TRY(open_descriptors());
  tcp::EngineKeys keys;
  for (tcp::SipKey* key :
       {&keys.isn, &keys.timestamps, &keys.cookies, &keys.table, &keys.ports, &keys.port_groups}) {
    *key = {draw(), draw()};
  }
  engine_.reset(new tcp::Engine(engine_options(interface_, options_), keys, *this,
                                tcp::Instant{base::monotonic_ns()}));
  free_buffers_ = static_cast<uint32_t>(core_.stats().buffers_free);
  for (const auto& socket : sockets_) refill(socket->fill);
  return {};
}

XdpSocketOptions XdpDriver::socket_options(uint32_t queues) const {
  // At most a quarter of the pool is posted, so that a small one serves writes, too.
  const uint32_t quarter = (core_.buffer_end() - core_.first_buffer()) / 4;
  const uint32_t wanted =
      std::clamp(std::min(options_.limits.receive_buffers, quarter) / queues, 64U, kFillRing);
  uint32_t ring = 64;
  while (2 * ring <= wanted) ring *= 2;
  XdpSocketOptions o;
  o.interface = interface_.device;
  o.ifindex = interface_.device_index;
  o.area = core_.buffer(0);
  o.area_bytes = uint64_t{core_.buffer_end()} * core_.buffer_size();
  o.buffer_size = core_.buffer_size();
  o.fill_ring = ring;
  o.receive_ring = ring;
  o.transmit_ring = std::min(ring, 2048U);
  return o;
}

Result<void> XdpDriver::open_sockets(uint32_t first, uint32_t count, const XdpSpec& spec) {
  XdpSocketOptions o = socket_options(count);
  // Zero copy needs the program in the driver; in the generic hook nothing would ever arrive.
  o.copy = spec.copy || !steering_->native();
  o.before_bind = [this](XdpRing<uint64_t>& fill) { refill(fill); };
  for (uint32_t queue = first; queue < first + count; ++queue) {
    o.queue = queue;
    o.shared_with = sockets_.empty() ? -1 : sockets_[0]->fd();
    PASTE_TRY_ASSIGN(auto socket, XdpSocket::open(o));
    // Where the kernel copies anyway, gathering costs it a page for each piece: more than our copy
    // of a packet's worth into one buffer.
    scatter_ = socket->scatter() && (socket->zero_copy() || spec.scatter);
    sockets_.push_back(std::move(socket));
    PASTE_TRY(steering_->add_socket(queue, sockets_.back()->fd()));
  }
  return {};
}

void XdpDriver::drive_napi() {
  std::vector<int> fds;
  for (const auto& socket : sockets_) fds.push_back(socket->fd());
  const auto napis = find_napis(interface_.device_index);
  auto poller = napis ? NapiPoller::open(*napis, fds) : fail(napis.error());
  if (poller) {
    napi_ = std::move(*poller);
  } else {
    base::log_info("{}: its NAPI runs where the kernel wants it: {}", interface_.name,
                   poller.error().message());
  }
}

Result<void> XdpDriver::open_descriptors() {
  wake_fd_ = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  timer_fd_ = Descriptor(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  epoll_fd_ = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
  if (wake_fd_.get() < 0 || timer_fd_.get() < 0 || epoll_fd_.get() < 0) {
    return fail(Code::io, "cannot make a descriptor", errno);
  }
  std::vector<int> all{wake_fd_.get(), timer_fd_.get()};
  if (watch_ != nullptr) all.push_back(watch_->fd());
  for (const auto& socket : sockets_) {
    if (socket->fd() >= 0) all.push_back(socket->fd());
  }
  if (core_.event_fd() >= 0) all.push_back(core_.event_fd());
  for (const int fd : all) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    if (::epoll_ctl(epoll_fd_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      return fail(Code::io, "cannot wait for a descriptor", errno);
    }
  }
  return {};
}

XdpDriver::~XdpDriver() {
  engine_.reset();
  steering_.reset();  // nothing more arrives
  napi_.reset();      // it holds the sockets open
  sockets_.clear();   // closing waits until the kernel is done with the buffers
  for (BufferName buffer = 0; buffer < lent_.size(); ++buffer) {
    for (; lent_[buffer] > 0; --lent_[buffer]) core_.release(buffer);
  }
  for (const BufferName buffer : spare_) core_.release(buffer);
  if (staging_.buffer != kNoBuffer) core_.release(staging_.buffer);
  for (uint32_t i = 0; i < connections_.size(); ++i) {
    drop_received(connections_[i]);
    connections_[i].output.clear(stock_);
  }
}

// --- Listening -----------------------------------------------------------------------------------

Result<ListenerId> XdpDriver::listen(const Endpoint& endpoint) {
  const bool udp = endpoint.transport == Transport::udp;
  if (endpoint.transport != Transport::tcp && !udp) {
    return fail(Code::unsupported, to_string(endpoint) + " is not reached by " + interface_.name);
  }
  auto added = std::make_unique<XdpListener>();
  PASTE_TRY_ASSIGN(added->address, address_of(endpoint, interface_));
  added->bound = endpoint;
  const auto id = static_cast<ListenerId>(listeners_.size() + 1);
  if (udp) {
    PASTE_TRY(datagrams_.bind(added->bound.port, id, added->address));
    steering_->claim_udp_port(added->bound.port);
  } else {
    PASTE_TRY(engine_->listen(added->bound.port, id, added->address));
    steering_->claim_port(added->bound.port);
  }
  listeners_.push_back(std::move(added));
  return id;
}

bool XdpDriver::has(const Endpoint& endpoint) const {
  return address_of(endpoint, interface_).has_value();
}

Endpoint XdpDriver::local(ListenerId id) const {
  if (id == 0 || id > listeners_.size()) return {};
  return listeners_[id - 1]->bound;
}

void XdpDriver::stop_listening() {
  // The port stays ours: connections go on, and who asks for a new one is told that there is none.
  for (const auto& listener : listeners_) {
    if (listener->stopped) continue;
    listener->stopped = true;
    if (listener->bound.transport != Transport::tcp) continue;
    engine_->stop_listening(listener->bound.port, listener->address);
  }
}

// --- The turn ------------------------------------------------------------------------------------

void XdpDriver::begin_turn() {
  ++turn_;
  ++stats_.polls;
  woken_ = moved_ = false;
  events_.clear();
  events_.swap(pending_events_);
  datagrams_.begin_turn();
  free_buffers_ = static_cast<uint32_t>(core_.stats().buffers_free);
  for (const ConnectionId below : unwanted_) (void)engine_->abort(below);
  unwanted_.clear();
  if (dying_.empty()) return;
  dying_now_.swap(dying_);
  for (const uint32_t index : dying_now_) {
    Connection& c = connections_[index];
    const ConnectionId below = c.below;
    if (below) above_[below.index] = kNone;
    c.below = {};
    queued_ -= c.output.bytes() + c.in_flight;
    drop_received(c);
    c.output.clear(stock_);
    const CloseReason reason = c.reason;
    if (c.dialled_port != 0) dialled_.give_up(c.dialled_port, *steering_);
    connections_.remove(index);
    if (!below) continue;
    // What the peer still sends is answered with a reset.
    (void)(reason == CloseReason::done ? engine_->close(below) : engine_->abort(below));
  }
  dying_now_.clear();
}

Result<void> XdpDriver::advance_pool() {
  const Ticket before = core_.durable();
  if (auto synced = core_.poll_sync(); !synced || core_.failed()) [[unlikely]] {
    return fail_gated(synced ? Error(Code::failed, "the pool failed") : synced.error());
  }
  if (core_.durable() != before) moved_ = true;
  if (core_.durable() != gates_opened_) open_gates();
  return {};
}

Result<void> XdpDriver::poll(Duration timeout) {
  begin_turn();
  const bool endless = timeout.count() < 0;
  uint64_t now = base::monotonic_ns();
  const uint64_t end = endless ? UINT64_MAX : now + static_cast<uint64_t>(timeout.count());
  uint64_t spin_end = 0;
  if (options_.polling == Polling::busy) spin_end = UINT64_MAX;
  if (options_.polling == Polling::adaptive) {
    spin_end = now + static_cast<uint64_t>(options_.spin.count());
  }
  for (;;) {
    take_wake();
    if (now >= news_at_ns_) take_news(now);
    PASTE_TRY(advance_pool());
    run_timers(now);
    take_completions();
    feed_all();
    transmit(now);
    if (napi_ != nullptr) napi_->poll();
    const bool more = receive(now);
    feed_all();
    if (!blocked_.empty()) notify_writable();
    if (happened() || now >= end) break;
    now = base::monotonic_ns();
    if (more || transmit_left_ || now < spin_end) continue;
    if (tap_ != nullptr) tap_->flush();
    const uint64_t until = std::min(end, next_deadline_ns(now));
    if (until > now) sleep(until == UINT64_MAX ? -1 : static_cast<int64_t>(until - now));
    now = base::monotonic_ns();
  }
  if (watched_) {
    if (tap_ != nullptr) tap_->flush();
    // The program may sleep on fd() now.
    transmit(now);
    arm_timer_fd(now);
    if (!pending_events_.empty() || !dying_.empty() || transmit_left_) wake();
  }
  return {};
}

void XdpDriver::sleep(int64_t wait_ns) {
  constexpr size_t kFds = kQueuesMax + 3;
  pollfd fds[kFds];
  size_t n = 0;
  fds[n++] = {.fd = wake_fd_.get(), .events = POLLIN, .revents = 0};
  fds[n++] = {.fd = watch_ ? watch_->fd() : -1, .events = POLLIN, .revents = 0};
  if (core_.region().barrier_in_flight() && core_.event_fd() >= 0) {
    fds[n++] = {.fd = core_.event_fd(), .events = POLLIN, .revents = 0};
  }
  for (const auto& socket : sockets_) {
    fds[n++] = {.fd = socket->fd(), .events = POLLIN, .revents = 0};
  }
  const timespec limit{.tv_sec = wait_ns / 1'000'000'000, .tv_nsec = wait_ns % 1'000'000'000};
  ++stats_.sleeps;
  (void)::ppoll(fds, n, wait_ns < 0 ? nullptr : &limit, nullptr);
  if (fds[1].revents != 0) news_at_ns_ = 0;
}

void XdpDriver::take_news(uint64_t now_ns) {
  news_at_ns_ = now_ns + kNewsEveryNs;
  if (watch_ == nullptr) return;
  watch_->take(
      {.address =
           [this](const tcp::Address& address, bool there) {
             if (interface_.has(address) == there) return;
             base::log_info("{} {} {}", interface_.name, there ? "now has" : "has lost",
                            wire::to_string(wire::IpAddress{address}));
             if (!there) {
               std::erase(interface_.addresses, address);
               return steering_->remove_address(address);
             }
             if (!steering_->add_address(address)) {
               return base::log_warning("{} has too many addresses: one is left to the kernel",
                                        interface_.name);
             }
             interface_.addresses.push_back(address);
           },
       .neighbour = [this](const tcp::Address& neighbour,
                           const wire::MacAddress& mac) { neighbours_.moved(neighbour, mac); },
       .link =
           [this](const wire::MacAddress& mac, bool up, bool there) {
             if (!there || !up) {
               return base::log_warning("{} is {}: nothing arrives until it is back",
                                        interface_.name, there ? "down" : "gone");
             }
             if (mac == interface_.mac || mac == wire::MacAddress{}) return;
             interface_.mac = mac;
             steering_->set_mac(mac);
           }});
}

// What wake() has written stays readable until it is read.
void XdpDriver::take_wake() {
  if (!wake_sent_.load(std::memory_order_relaxed) || !wake_sent_.exchange(false)) return;
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(wake_fd_.get(), &count, sizeof count);
  woken_ = true;
}

void XdpDriver::wake() noexcept {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(wake_fd_.get(), &one, sizeof one);
  wake_sent_.store(true);
}

int XdpDriver::fd() const {
  auto* self = const_cast<XdpDriver*>(this);
  if (!watched_) {
    self->watched_ = true;
    self->wake();
  }
  return epoll_fd_.get();
}

const DriverStats& XdpDriver::stats() const {
  stats_.connections = connections_.used();
  stats_.send_queued = queued_;
  stats_.gated = gated_.size();
  stats_.receive_buffers_exhausted = counters_.no_buffer;
  stats_.sends = counters_.frames_out;
  return stats_;
}

std::string XdpDriver::description() const {
  return "xdp on " + interface_.name +
         (interface_.vlan == 0 ? "" : " (VLAN " + std::to_string(interface_.vlan) + ")") +
         (interface_.driver.empty() ? "" : " (") + interface_.driver +
         (interface_.driver.empty() ? "" : ")") + ", " + std::to_string(sockets_.size()) +
         (sockets_.size() == 1 ? " queue, " : " queues, ") +
         (sockets_[0]->zero_copy() ? "zero copy" : "copy mode") +
         (scatter_ ? ", scattered transmit" : "") +
         (steering_->native() ? "" : ", generic hook (slow: the driver has no XDP)");
}

// --- Timers --------------------------------------------------------------------------------------

TimerId XdpDriver::add_timer(Duration delay, uint64_t cookie) {
  const auto ns = static_cast<uint64_t>(std::max<int64_t>(delay.count(), 0));
  return timers_.add(base::monotonic_ns() + ns, cookie);
}

uint64_t XdpDriver::next_deadline_ns(uint64_t now_ns) const noexcept {
  uint64_t next = std::min(timers_.next_ns(), engine_->next_deadline(tcp::Instant{now_ns}).ns);
  if (!lingering_.empty()) next = std::min(next, lingering_.front().deadline_ns);
  return next;
}

void XdpDriver::arm_timer_fd(uint64_t now_ns) {
  const uint64_t next = next_deadline_ns(now_ns);
  if (next == timer_fd_ns_) return;
  timer_fd_ns_ = next;
  itimerspec spec{};
  if (next != UINT64_MAX) {
    spec.it_value.tv_sec = static_cast<time_t>(next / 1'000'000'000);
    spec.it_value.tv_nsec = static_cast<long>(next % 1'000'000'000);
  }
  ::timerfd_settime(timer_fd_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
}

void XdpDriver::run_timers(uint64_t now_ns) {
  if (timers_.next_ns() <= now_ns) {
    while (const auto cookie = timers_.take_due(now_ns)) {
      events_.push_back({.type = EventType::timer, .connection = {}, .cookie = *cookie});
    }
  }
  while (!lingering_.empty() && lingering_.front().deadline_ns <= now_ns) {
    const ConnectionId id = lingering_.front().connection;
    lingering_.pop(lingering_stock_);
    const Connection* c = connections_.find(id);
    if (c != nullptr && c->phase == Phase::open) finish(id.index, CloseReason::done, 0, events_);
  }
}

}  // namespace paste::port
