// The state matrix of RFC 9293 §3.10: every state × every kind of event. Method: real segments lead
// to the state, one event follows, and what leaves within 60 ms and the state afterwards are
// compared with the table. A cell is never blank: the table's type has no room for that.
#include <gtest/gtest.h>

#include "engine_backend.h"
#include "runner.h"

namespace paste::scripts {
namespace {

constexpr size_t kStates = 11;
struct Start {
  const char* name;
  const char* lead;
  int next;  // the peer's next number, relative
};
// The columns.
constexpr Start kStarts[kStates] = {
    {"CLOSED", "", 1},
    {"LISTEN", "app listen\n", 1},
    {"SYN-SENT", "app connect\nout SYN\n", 0},
    {"SYN-RECEIVED", "app listen\nin SYN seq=0 opts{mss=1000}\nout SYN,ACK\n", 1},
    {"ESTABLISHED", "connected\n", 1},
    {"FIN-WAIT-1", "connected\napp shutdown\nout FIN,ACK\n", 1},
    {"FIN-WAIT-2", "connected\napp shutdown\nout FIN,ACK\nin ACK\n", 1},
    {"CLOSE-WAIT", "connected\nin FIN,ACK\nwithin 45ms out ACK\n", 2},
    {"CLOSING", "connected\napp shutdown\nout FIN,ACK\nin FIN,ACK ack=1\nout ACK\n", 2},
    {"LAST-ACK", "connected\nin FIN,ACK\nwithin 45ms out ACK\napp shutdown\nout FIN,ACK\n", 2},
    {"TIME-WAIT", "connected\napp shutdown\nout FIN,ACK\nin FIN,ACK\nout ACK\n", 2},
};

struct Row {
  const char* event;  // a line; N is the peer's next number, N-5 and N+5 are relative to it
  const char* cells[kStates];  // "what leaves > state afterwards"; the call's failure is "error"
};

// C, L, SS, SR, E, F1, F2, CW, CG, LA, TW; "=" is the state as it was.
constexpr Row kRows[] = {
#include "state_matrix.inc"
};

std::string with_number(std::string line, int next) {
  for (size_t at = line.find('N'); at != std::string::npos; at = line.find('N', at + 1)) {
    const bool alone = at > 0 && line[at - 1] == '=';
    if (!alone) continue;
    size_t end = at + 1;
    int offset = 0;
    if (end < line.size() && (line[end] == '+' || line[end] == '-')) {
      size_t used = 0;
      offset = std::stoi(line.substr(end), &used);
      end += used;
    }
    line.replace(at, end - at, std::to_string(next + offset));
  }
  return line;
}

std::string outcome(const Start& start, const std::string& event) {
  const auto lead = parse_script("lead", std::string("# RFC 9293 §3.10\nlinux same\n"
                                                     "set time-wait 3s\n"
                                                     "set quick-acks 0\n") +
                                             start.lead);
  const bool waits = event.compare(0, 5, "wait ") == 0;
  const auto line = parse_script("event", "# RFC 9293 §3.10\nlinux same\n" +
                                              (waits ? "" : with_number(event, start.next)) + "\n");
  if (!lead || !line) return lead ? line.error().message() : lead.error().message();
  const auto backend = make_engine_backend(*lead);
  Runner runner(*lead, *backend);
  std::string problem = runner.play(lead->lines);
  if (!problem.empty()) return "the lead failed: " + problem;
  if (backend->state() != start.name) {
    return "the lead ends in " + backend->state();
  }
  problem = runner.play(line->lines);
  const Duration within =
      waits ? parse_duration(event.substr(5)).value() : std::chrono::milliseconds(60);
  const std::string out = problem.empty() ? runner.leaves(within) : "error";
  const std::string state = backend->state();
  const std::string leak = backend->finish();
  if (!leak.empty()) return leak;
  return out + " > " + (state == start.name ? "=" : state);
}

TEST(StateMatrix, EveryCellIsAsTheTableSays) {
  const bool print = std::getenv("PASTE_PRINT_MATRIX") != nullptr;
  for (const Row& row : kRows) {
    if (print) std::printf("    {\"%s\",\n     {", row.event);
    for (size_t i = 0; i < kStates; ++i) {
      const std::string got = outcome(kStarts[i], row.event);
      if (print) std::printf("%s\"%s\"", i == 0 ? "" : ", ", got.c_str());
      ASSERT_NE(row.cells[i], nullptr) << row.event << " in " << kStarts[i].name << " is blank";
      if (!print) {
        EXPECT_EQ(got, row.cells[i]) << row.event << " in " << kStarts[i].name;
      }
    }
    if (print) std::printf("}},\n");
  }
}

}  // namespace
}  // namespace paste::scripts
