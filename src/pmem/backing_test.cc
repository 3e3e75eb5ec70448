// Goal: which domain a backing gives is exactly the table of docs/architecture.md, and a wish that
// it cannot grant is refused with a sentence that names what it does give.
// Method: all 5 backings × 3 platform promises × 2 CPUs × 4 wishes against a table written out.
#include "pmem/backing.h"

#include <gtest/gtest.h>

namespace paste::pmem {
namespace {

using Wish = std::optional<Domain>;
constexpr Backing kBackings[] = {Backing::device_dax, Backing::dax_file, Backing::tmpfs,
                                 Backing::hugetlbfs, Backing::regular_file};
constexpr Persistence kPromises[] = {Persistence::unvouched, Persistence::memory_controller,
                                     Persistence::cpu_cache};
const Wish kWishes[] = {std::nullopt, Domain::process, Domain::page, Domain::memory};

// The answer as one letter: p process, g page, m memory, a memory asserted, - refused.
char answer(const Result<DomainChoice>& choice) {
  if (!choice) return '-';
  if (choice->asserted) return choice->domain == Domain::memory ? 'a' : '?';
  switch (choice->domain) {
    case Domain::process:
      return 'p';
    case Domain::page:
      return 'g';
    case Domain::memory:
      return 'm';
  }
  return '?';
}

// Wishes in the order none, process, page, memory.
std::string expected(Backing backing, bool vouched, bool cpu) {
  switch (backing) {
    case Backing::device_dax:
      return !cpu ? "pp--" : vouched ? "mp-m" : "pp-a";
    case Backing::dax_file:
      return !cpu ? "ppg-" : vouched ? "mpgm" : "ppga";
    case Backing::tmpfs:
    case Backing::hugetlbfs:
      return "pp--";
    case Backing::regular_file:
      return "g-g-";
  }
  return "";
}

TEST(ChooseDomain, IsTheTable) {
  for (const Backing backing : kBackings) {
    for (const Persistence promise : kPromises) {
      for (const bool cpu : {true, false}) {
        std::string got;
        for (const Wish& wish : kWishes) {
          got += answer(choose_domain({backing, promise, cpu}, wish, "/x"));
        }
        EXPECT_EQ(got, expected(backing, promise != Persistence::unvouched, cpu))
            << to_string(backing) << ", " << to_string(promise) << ", cpu " << cpu;
      }
    }
  }
}

TEST(ChooseDomain, RefusalSaysWhatTheBackingGives) {
  for (const Backing backing : kBackings) {
    for (const Wish& wish : kWishes) {
      const auto choice = choose_domain({backing, Persistence::unvouched, false}, wish, "/x/pool");
      if (choice) continue;
      EXPECT_EQ(choice.error().code(), Code::unsupported);
      const std::string text = choice.error().message();
      EXPECT_NE(text.find("/x/pool"), std::string::npos) << text;
      EXPECT_NE(text.find("gives"), std::string::npos) << text;
    }
  }
}

TEST(DescribeDomain, ShowsAnAssertion) {
  EXPECT_EQ(describe_domain({Domain::memory, false}), "memory: survives power loss");
  EXPECT_NE(describe_domain({Domain::memory, true}).find("not vouch"), std::string::npos);
}

}  // namespace
}  // namespace paste::pmem
