// Captures. Method: a link under observation, the file read back by a small parser of the format.
#include "port/sim/pcap.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "port/sim/test_link.h"

namespace paste::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

class Reader {
 public:
  explicit Reader(std::vector<char> bytes) : bytes_(std::move(bytes)) {}
  uint64_t number(size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i) {
      value |= uint64_t{static_cast<unsigned char>(bytes_.at(at_++))} << 8 * i;
    }
    return value;
  }
  Frame frame(size_t size) {
    Frame out;
    for (size_t i = 0; i < size; ++i) out.push_back(static_cast<std::byte>(bytes_.at(at_++)));
    return out;
  }
  [[nodiscard]] bool at_end() const { return at_ == bytes_.size(); }

 private:
  std::vector<char> bytes_;
  size_t at_ = 0;
};

std::vector<Arrival> parse(Reader file) {
  EXPECT_EQ(file.number(4), 0xa1b23c4du);
  EXPECT_EQ(file.number(2), 2u);
  EXPECT_EQ(file.number(2), 4u);
  EXPECT_EQ(file.number(8), 0u);
  EXPECT_EQ(file.number(4), 262'144u);
  EXPECT_EQ(file.number(4), 1u);
  std::vector<Arrival> records;
  while (!file.at_end()) {
    const uint64_t seconds = file.number(4);
    const uint64_t nanoseconds = file.number(4);
    const uint64_t kept = file.number(4);
    EXPECT_EQ(file.number(4), kept);
    records.push_back({{seconds * 1'000'000'000 + nanoseconds}, file.frame(kept)});
  }
  return records;
}

Reader encoded(const Capture& capture) {
  std::vector<char> bytes;
  for (const std::byte b : capture.encode()) bytes.push_back(static_cast<char>(b));
  return Reader(std::move(bytes));
}

TEST(Capture, FileHoldsWhatTheLinkDelivered) {
  const std::string path =
      ::testing::TempDir() + "paste_capture_" + std::to_string(::getpid()) + ".pcap";
  LinkBed bed({.rate_bps = 1'000'000'000, .delay = milliseconds(3), .loss_ppm = 200'000}, 51);
  Capture in(CaptureAt::sender);
  Capture out(CaptureAt::receiver);
  bed.link.observe(&in);
  bed.send_many(50, 100, microseconds(7));
  bed.link.observe(&out);
  bed.sink.arrived.clear();
  bed.send_many(50, 333, microseconds(7));
  bed.link.observe(nullptr);

  ASSERT_EQ(parse(encoded(in)).size(), 50u) << "lost frames were sent, too";
  const Result<void> saved = out.save(path);
  ASSERT_TRUE(saved) << saved.error().message();
  std::ifstream file(path, std::ios::binary);
  Reader reader(std::vector<char>(std::istreambuf_iterator<char>(file), {}));
  std::remove(path.c_str());
  const std::vector<Arrival> records = parse(std::move(reader));
  ASSERT_EQ(records.size(), bed.sink.arrived.size());
  ASSERT_GT(records.size(), 20u);
  for (size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(records[i].at, bed.sink.arrived[i].at);
    EXPECT_EQ(records[i].frame, bed.sink.arrived[i].frame);
  }
}

TEST(Capture, ForgetsTheOldest) {
  Capture capture(CaptureAt::sender, 1'000);
  for (uint32_t i = 0; i < 25; ++i) capture.add(World::kStart, numbered(i, 100));
  EXPECT_EQ(capture.frames(), 10u);
  EXPECT_EQ(capture.forgotten(), 15u);
  EXPECT_EQ(number_of(parse(encoded(capture)).front().frame), 15u);
}

TEST(Capture, SaysWhyItCannotBeSaved) {
  const Result<void> saved = Capture(CaptureAt::sender).save("/nonexistent/folder/x.pcap");
  ASSERT_FALSE(saved);
  EXPECT_EQ(saved.error().code(), Code::io);
  EXPECT_NE(saved.error().message().find("/nonexistent/folder/x.pcap"), std::string::npos);
}

}  // namespace
}  // namespace paste::sim
