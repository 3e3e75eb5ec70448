// Signals of a server, taken by a thread of their own, so that nothing runs inside a handler.
#pragma once

#include <functional>
#include <memory>
#include <thread>

namespace paste::tool {

// SIGTERM and SIGINT ask for a clean end, the second one of them ends the process at once with
// status 1; so does the first while no end can be asked for yet. SIGHUP reopens the log file.
// REQUIRES: made before any other thread, so that all threads keep these signals blocked.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // From now on the first signal calls stop() on the signal thread. What `stop` uses must stay
  // alive until disarm() has returned.
  void arm(std::function<void()> stop);
  void disarm();
  // In the signal thread; done on return.
  void drop_privileges();

 private:
  struct State;
  void serve();
  std::unique_ptr<State> state_;
  std::thread thread_;
};

}  // namespace paste::tool
