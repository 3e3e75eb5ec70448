#include "load/reply_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace paste::load {
namespace {

using Outcome = ReplyReader::Outcome;

// What is found in `text` when it arrives in pieces of `piece` bytes: statuses, then -1 if broken.
std::vector<int> statuses(std::string_view text, size_t piece) {
  ReplyReader reader;
  std::vector<int> found;
  while (!text.empty()) {
    std::string_view bytes = text.substr(0, piece);
    text.remove_prefix(bytes.size());
    while (!bytes.empty()) {
      const Outcome outcome = reader.read(bytes);
      if (outcome == Outcome::malformed) {
        found.push_back(-1);
        return found;
      }
      if (outcome == Outcome::reply) found.push_back(reader.status());
    }
  }
  return found;
}

TEST(ReplyReader, FindsRepliesHoweverTheyAreCut) {
  const std::string text =
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n12\n"
      "HTTP/1.1 507 Insufficient Storage\r\nServer: x\r\ncontent-length:  0 \r\n\r\n"
      "HTTP/1.1 204 No Content\r\n\r\n"
      "HTTP/1.1 201 Created\r\nA: b\r\nContent-Length: 5\r\nConnection: "
      "keep-alive\r\n\r\n\r\n\r\nx";
  const std::vector<int> all{200, 507, 204, 201};
  for (size_t piece = 1; piece <= text.size(); ++piece) {
    EXPECT_EQ(statuses(text, piece), all) << "pieces of " << piece;
  }
}

TEST(ReplyReader, AnUnfinishedReplyIsNone) {
  const std::string text = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n12";
  for (size_t n = 0; n <= text.size(); ++n) EXPECT_TRUE(statuses(text.substr(0, n), 7).empty());
}

TEST(ReplyReader, RefusesWhatItCannotFrame) {
  const std::vector<int> broken{-1};
  EXPECT_EQ(statuses("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 9), broken);
  EXPECT_EQ(statuses("HTTP/1.1 20x OK\r\nContent-Length: 1\r\n\r\nx", 9), broken);
  EXPECT_EQ(statuses("HTTP/1.1 200 OK\r\n\r\n", 9), broken);
  EXPECT_EQ(statuses("HTTP/1.1 200 OK\r\nContent-Length: one\r\n\r\n", 9), broken);
  EXPECT_EQ(statuses("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 9), broken);
  EXPECT_EQ(statuses("+OK\r\n\r\n", 9), broken);
  EXPECT_EQ(statuses(std::string(20'000, 'x'), 1000), broken);
}

}  // namespace
}  // namespace paste::load
