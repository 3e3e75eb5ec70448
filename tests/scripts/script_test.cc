// Goal: the script runner fails when it should. Method: wrong scripts, and right ones with one
// planted fault each.
#include "script.h"

#include <gtest/gtest.h>

#include "engine_backend.h"
#include "runner.h"

namespace paste::scripts {
namespace {

std::string parse_error(const std::string& body) {
  const auto script = parse_script("x.tcpt", "# RFC 9293 §3.5\nlinux same\n" + body);
  return script ? "" : script.error().message();
}

std::string run(const std::string& body) {
  const auto script = parse_script("x.tcpt", "# RFC 9293 §3.5\nlinux same\n" + body);
  if (!script) return script.error().message();
  const auto backend = make_engine_backend(*script);
  return Runner(*script, *backend).run();
}

TEST(Scripts, WrongLinesAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"frobnicate", "frobnicate"},
      {"in SIN", "no flag `SIN`"},
      {"in SYN seq=x", "needs a number"},
      {"in SYN opts{mss=}", "needs a number"},
      {"in SYN opts{mss=1", "braces"},
      {"within 5 out ACK", "within"},
      {"set speed 3", "no setting"},
      {"set nagle maybe", "no value"},
      {"app sing", "cannot `sing`"},
      {"app write", "number of bytes"},
      {"in ACK opts{sack=5}", "BEGIN-END"},
      {"at soon in ACK", "needs a time"},
      {"in ACK *0", "how many"},
      {"none for", "none for"},
      {"in icmp echo", "icmp"},
      {"in SYN seq=1 extra", "no field"},
  };
  for (const auto& [line, said] : cases) {
    const std::string error = parse_error(line);
    EXPECT_NE(error.find("x.tcpt:3:"), std::string::npos) << line << ": " << error;
    EXPECT_NE(error.find(said), std::string::npos) << line << ": " << error;
  }
  EXPECT_FALSE(parse_script("x.tcpt", "linux same\n").has_value());
  EXPECT_FALSE(parse_script("x.tcpt", "# RFC 1\n").has_value());
  EXPECT_FALSE(parse_script("x.tcpt", "# RFC 1\nlinux differs \"no reason\"\n").has_value());
}

constexpr const char* kTalk =
    "connected\n"
    "in PSH,ACK len=10\n"
    "within 1ms out ACK seq=1 ack=11\n"
    "app read 10\n"
    "app write 100\n"
    "within 1ms out PSH,ACK seq=1 len=100\n"
    "in ACK\n";

TEST(Scripts, RightOnePasses) { EXPECT_EQ(run(kTalk), ""); }

TEST(Scripts, EachPlantedFaultIsFound) {
  const std::pair<const char*, const char*> faults[] = {
      {"ack=11", "ack=12"},
      {"seq=1 len=100", "seq=2 len=100"},
      {"len=100", "len=99"},
      {"out PSH,ACK", "out FIN,ACK"},
      {"app read 10", "app read 11"},
      {"out ACK seq=1 ack=11", "out ACK seq=1 opts{mss=5}"},
      {"app write 100", "app eof"},
      {"in ACK\n", "in ACK\nwithin 5ms out ACK\n"},
      {"app write 100\n", "app write 100\nnone for 1ms\n"},
      {"within 1ms out ACK", "within 5ms..6ms out ACK"},
  };
  for (const auto& [from, to] : faults) {
    std::string text = kTalk;
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, std::string(from).size(), to);
    EXPECT_NE(run(text), "") << from << " -> " << to;
  }
}

}  // namespace
}  // namespace paste::scripts
