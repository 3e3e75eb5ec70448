// Goal: bytes leave only when their ticket is durable, in order, and never after the pool failed.
// Method: a region whose barriers complete when the test says so (shadow, page domain), or commits
// that the test withholds; a plain socket looks at what came out.
#include <netinet/in.h>
#include <sys/socket.h>

#include "port/test_driver.h"

namespace paste::port {
namespace {

class GateTest : public DriverTest {
 protected:
  // A client outside the driver, so that what left is what the kernel has delivered to it.
  void connect_client() {
    const ListenerId l = listen("127.0.0.1:0");
    client_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(driver_->local(l).port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(client_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_TRUE(run_until([&] { return accepted_count() == 1; }));
    server_ = last_accepted();
    commit_ = false;
  }
  void TearDown() override {
    if (client_ >= 0) ::close(client_);
    DriverTest::TearDown();
  }
  std::string arrived() {
    char text[4096];
    const ssize_t n = ::recv(client_, text, sizeof text, MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN ? "" : "<reset>";
    return n == 0 ? "<end>" : std::string(text, static_cast<size_t>(n));
  }
  // Gives the filling ticket something to make durable.
  void change() {
    const BufferName name = core_->take(pool::Purpose::data).value();
    *core_->buffer(name) = std::byte{1};
    core_->flush(core_->buffer(name), 64, pmem::Site::log_data);
    changed_.push_back(name);
  }
  void release_changed() {
    for (const BufferName name : changed_) core_->release(name);
    changed_.clear();
  }
  int client_ = -1;
  ConnectionId server_;
  std::vector<BufferName> changed_;
};
INSTANTIATE_TEST_SUITE_P(Kernel, GateTest, ::testing::Values(Io::uring, Io::epoll), io_name);

TEST_P(GateTest, NothingLeavesBeforeTheCommit) {
  open();
  connect_client();
  change();
  ASSERT_TRUE(driver_->send(server_, as_bytes("done")).has_value());
  run_for(milliseconds(20));
  EXPECT_EQ(arrived(), "");
  EXPECT_EQ(driver_->stats().gated, 1u);
  EXPECT_EQ(driver_->queued(server_), 4u);
  EXPECT_FALSE(driver_->idle());
  ASSERT_TRUE(core_->commit().has_value());
  EXPECT_EQ(arrived(), "");  // a commit transmits nothing: the next turn does
  turn();
  EXPECT_EQ(arrived(), "done");
  EXPECT_EQ(driver_->stats().gated, 0u);
  EXPECT_TRUE(run_until([&] { return driver_->idle(); }));
  release_changed();
}

TEST_P(GateTest, UngatedLeavesAtOnceButNeverOvertakes) {
  open();
  connect_client();
  ASSERT_TRUE(driver_->send(server_, as_bytes("a"), {.after = kUngated}).has_value());
  turn(milliseconds(0));
  turn(milliseconds(0));
  EXPECT_EQ(arrived(), "a");
  change();
  ASSERT_TRUE(driver_->send(server_, as_bytes("B")).has_value());
  ASSERT_TRUE(driver_->send(server_, as_bytes("c"), {.after = kUngated}).has_value());
  const Slice slice{changed_[0], 0, 1};
  ASSERT_TRUE(driver_->send(server_, std::span(&slice, 1), {.after = kUngated}).has_value());
  run_for(milliseconds(20));
  EXPECT_EQ(arrived(), "");
  ASSERT_TRUE(core_->commit().has_value());
  turn();
  EXPECT_EQ(arrived(), "Bc\1");
  ASSERT_TRUE(run_until([&] { return driver_->idle(); }));
  release_changed();
}

// Replies of several tickets in one queue leave piece by piece as each becomes durable.
TEST_P(GateTest, EachTicketOpensItsOwnPart) {
  auto region = pmem::ShadowRegion::create(pmem::Domain::page, 4u << 20);
  pmem::ShadowRegion* shadow = region.get();
  DriverOptions options;
  options.limits.receive_buffers = 64;
  open(options, make_core(std::move(region)));
  connect_client();
  shadow->set_barrier_polls(1'000'000);  // in flight until the test says otherwise

  change();
  ASSERT_TRUE(driver_->send(server_, as_bytes("1")).has_value());
  const Ticket first = core_->filling();
  ASSERT_TRUE(core_->commit().has_value());
  ASSERT_LT(core_->durable(), first);
  change();
  ASSERT_TRUE(driver_->send(server_, as_bytes("2")).has_value());
  ASSERT_TRUE(core_->commit().has_value());  // the first is still syncing
  run_for(milliseconds(20));
  EXPECT_EQ(arrived(), "");

  shadow->set_barrier_polls(0);
  ASSERT_TRUE(core_->wait_durable(first).has_value());
  turn();
  EXPECT_EQ(arrived(), "1");
  EXPECT_EQ(driver_->queued(server_), 1u);
  ASSERT_TRUE(core_->wait_durable(core_->filling()).has_value());
  turn();
  EXPECT_EQ(arrived(), "2");
  release_changed();
}

// The page domain: a turn that sleeps is woken by the sync's completion, and transmits.
TEST_P(GateTest, ACompletedSyncWakesTheTurn) {
  auto region = pmem::ShadowRegion::create(pmem::Domain::page, 4u << 20);
  pmem::ShadowRegion* shadow = region.get();
  DriverOptions options;
  options.limits.receive_buffers = 64;
  open(options, make_core(std::move(region)));
  connect_client();
  shadow->set_barrier_polls(3);
  change();
  ASSERT_TRUE(driver_->send(server_, as_bytes("synced")).has_value());
  ASSERT_TRUE(core_->commit().has_value());
  const uint64_t begin = base::monotonic_ns();
  for (int i = 0; i < 10 && !driver_->idle(); ++i) turn(std::chrono::seconds(1));
  EXPECT_EQ(arrived(), "synced");
  EXPECT_LT(base::monotonic_ns() - begin, 900'000'000u);
  release_changed();
}

TEST_P(GateTest, AFailedPoolResetsWhatItGates) {
  auto region = pmem::ShadowRegion::create(pmem::Domain::page, 4u << 20);
  pmem::ShadowRegion* shadow = region.get();
  DriverOptions options;
  options.limits.receive_buffers = 64;
  open(options, make_core(std::move(region)));
  connect_client();
  shadow->fail_barrier(1);
  change();
  ASSERT_TRUE(driver_->send(server_, as_bytes("a lie")).has_value());
  ASSERT_TRUE(driver_->send(server_, as_bytes("another"), {.after = kUngated}).has_value());
  Result<void> polled;
  for (int i = 0; i < 100 && polled; ++i) {
    (void)core_->commit();
    polled = driver_->poll(milliseconds(1));
  }
  ASSERT_FALSE(polled.has_value());
  EXPECT_EQ(polled.error().code(), Code::failed);
  ASSERT_EQ(driver_->events().size(), 1u);
  EXPECT_EQ(driver_->events()[0].type, EventType::closed);
  EXPECT_EQ(driver_->events()[0].reason, CloseReason::failed);
  EXPECT_EQ(arrived(), "<reset>");
  EXPECT_EQ(driver_->poll(milliseconds(1)).error().code(), Code::failed);
  EXPECT_EQ(driver_->send(server_, as_bytes("x")).error().code(), Code::closed);
}

}  // namespace
}  // namespace paste::port
