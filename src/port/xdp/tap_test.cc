// Captures of a port. Method: the files are read back, by their sizes and by every record's length.
#include "port/xdp/tap.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "wire/pcap.h"

namespace paste::port {
namespace {

using Octets = std::vector<std::byte>;

struct Place {
  std::string path = testing::TempDir() + "tap-" + std::to_string(::getpid()) + ".pcap";
  ~Place() {
    std::filesystem::remove(path);
    std::filesystem::remove(path + ".2");
  }
};

// The frames of a file; every one must be whole.
std::vector<Octets> read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> all{std::istreambuf_iterator<char>(file), {}};
  std::vector<Octets> frames;
  if (all.empty()) return frames;
  size_t at = wire::pcap::kFileHeader;
  while (at < all.size()) {
    uint32_t kept = 0;
    std::memcpy(&kept, &all.at(at + 8), 4);
    at += wire::pcap::kRecordHeader;
    EXPECT_LE(at + kept, all.size());
    const auto* begin = reinterpret_cast<const std::byte*>(all.data()) + at;
    frames.emplace_back(begin, begin + kept);
    at += kept;
  }
  return frames;
}

TEST(Tap, WritesPiecesAsOneFrame) {
  const Place place;
  const Octets head(14, std::byte{1}), body(100, std::byte{2});
  {
    const auto tap = Tap::open(place.path, 1 << 20).value();
    const Bytes pieces[] = {head, body};
    tap->add(pieces);
    tap->add(Bytes(body));
  }
  Octets whole = head;
  whole.insert(whole.end(), body.begin(), body.end());
  EXPECT_EQ(read(place.path), (std::vector<Octets>{whole, body}));
  EXPECT_TRUE(read(place.path + ".2").empty());
}

TEST(Tap, KeepsTheNewestWithinItsLimit) {
  constexpr uint64_t kLimit = 64 << 10;
  const Place place;
  constexpr uint8_t kFrames = 250;
  {
    const auto tap = Tap::open(place.path, kLimit).value();
    for (uint8_t i = 0; i < kFrames; ++i) tap->add(Bytes(Octets(1500, std::byte{i})));
  }
  uint64_t bytes = 0;
  std::vector<uint8_t> kept;
  for (const std::string& path : {place.path, place.path + ".2"}) {
    bytes += std::filesystem::file_size(path);
    for (const Octets& frame : read(path)) kept.push_back(static_cast<uint8_t>(frame[0]));
  }
  EXPECT_LE(bytes, kLimit);
  std::sort(kept.begin(), kept.end());
  ASSERT_GE(kept.size(), 21u);  // a full half at least
  for (size_t i = 0; i < kept.size(); ++i) EXPECT_EQ(kept[i], kFrames - kept.size() + i);
}

TEST(Tap, SaysWhatIsWrong) {
  EXPECT_EQ(Tap::open("/nonexistent/x.pcap", 1 << 20).error().code(), Code::io);
  EXPECT_EQ(Tap::open("/tmp/x.pcap", 100).error().code(), Code::invalid);
}

}  // namespace
}  // namespace paste::port
