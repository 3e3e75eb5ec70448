// Goal: no reply leaves before what it tells is durable, and none at all once the medium failed.
// Method: a region that finishes its barriers when the test says so, or fails them.
#include "server/test_client.h"
#include "server/test_server.h"

namespace paste::server {
namespace {

// What the test tells the region, which belongs to the server's thread.
struct Medium {
  std::atomic<bool> held{false};
  std::atomic<bool> broken{false};
};

// Anonymous memory whose barriers take as long as the test wants, like those of a disk.
class SlowRegion final : public pmem::Region {
 public:
  SlowRegion(std::unique_ptr<pmem::Region> under, Medium& medium)
      : under_(std::move(under)), medium_(medium) {
    data_ = under_->data();
    size_ = under_->size();
    domain_ = under_->domain();
    description_ = under_->description();
  }
  void flush(const void* p, size_t n, pmem::Site site) noexcept override {
    under_->flush(p, n, site);
  }
  Result<void> begin_barrier(pmem::Site site) override {
    PASTE_TRY(check());
    PASTE_TRY(under_->begin_barrier(site));
    barrier_in_flight_ = true;
    (void)poll_barrier();
    return {};
  }
  Result<bool> poll_barrier() override {
    PASTE_TRY(check());
    if (!medium_.held) barrier_in_flight_ = false;
    return !barrier_in_flight_;
  }
  Result<void> wait_barrier() override {
    while (barrier_in_flight_) {
      PASTE_TRY_ASSIGN([[maybe_unused]] const bool done, poll_barrier());
    }
    return {};
  }

 private:
  Result<void> check() const {
    if (medium_.broken) return fail(Code::failed, "the medium is broken");
    return {};
  }
  std::unique_ptr<pmem::Region> under_;
  Medium& medium_;
};

TestServerOptions options_for(Medium& medium) {
  TestServerOptions options;
  options.make_region = [&medium](uint64_t bytes) -> Result<std::unique_ptr<pmem::Region>> {
    PASTE_TRY_ASSIGN(auto under, pmem::anonymous_region(bytes));
    return std::make_unique<SlowRegion>(std::move(under), medium);
  };
  return options;
}

constexpr std::string_view kPost = "POST /log/g HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";

TEST(Gate, RepliesWaitForTheBarrierAndReadsForWhatTheyShow) {
  Medium medium;
  TestServer server(options_for(medium));
  Client writer(server.port());
  EXPECT_EQ(writer.post("/log/old", "old").body, "1\n");
  medium.held = true;
  ASSERT_TRUE(writer.send(kPost));
  EXPECT_FALSE(writer.wait(std::chrono::milliseconds(100)));
  // What is being written waits, absence that is being changed too; what is durable does not.
  Client reader(server.port());
  ASSERT_TRUE(reader.send("GET /log/g HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n"));
  EXPECT_FALSE(reader.wait(std::chrono::milliseconds(100)));
  Client other(server.port());
  EXPECT_EQ(other.get("/log/old", "text/plain").body, "old\n");
  EXPECT_EQ(other.get("/healthz").body, "ok\n");
  Client absent(server.port());
  ASSERT_TRUE(absent.send("GET /log/none HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_FALSE(absent.wait(std::chrono::milliseconds(100)));
  medium.held = false;
  EXPECT_EQ(writer.receive().body, "1\n");
  EXPECT_EQ(reader.receive().body, "x\n");
  EXPECT_EQ(absent.receive().status, 404);
}

TEST(Gate, AfterAFailureNothingIsAnswered) {
  Medium medium;
  TestServerOptions options = options_for(medium);
  options.fails = true;
  TestServer server(options);
  Client client(server.port());
  EXPECT_EQ(client.post("/log/g", "x").body, "1\n");
  Client waiting(server.port());
  medium.held = true;
  ASSERT_TRUE(waiting.send(kPost));
  EXPECT_FALSE(waiting.wait(std::chrono::milliseconds(50)));
  medium.broken = true;
  ASSERT_TRUE(client.send(kPost));
  EXPECT_EQ(waiting.receive().status, 0);
  EXPECT_EQ(client.receive().status, 0);
  EXPECT_EQ(waiting.buffer(), "");
  EXPECT_EQ(client.buffer(), "");
}

}  // namespace
}  // namespace paste::server
