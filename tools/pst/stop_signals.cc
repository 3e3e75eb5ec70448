#include "stop_signals.h"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/logging.h"
#include "confine.h"

namespace paste::tool {
namespace {

sigset_t served_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&set, signal);
  return set;
}

}  // namespace

struct StopSignals::State {
  std::mutex mutex;
  std::function<void()> stop;
  bool stopping = false;
  bool drop_asked = false;
  std::condition_variable dropped;
};

StopSignals::StopSignals() : state_(std::make_unique<State>()) {
  const sigset_t set = served_signals();
  PASTE_CHECK(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  // A client that goes away must not end the server.
  ::signal(SIGPIPE, SIG_IGN);
  thread_ = std::thread([this] { serve(); });
}

StopSignals::~StopSignals() {
  disarm();
  // SIGUSR1 is this class's own way to end its thread; from outside it does nothing else either.
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  pthread_kill(thread_.native_handle(), SIGUSR1);
  thread_.join();
}

void StopSignals::arm(std::function<void()> stop) {
  const std::lock_guard lock(state_->mutex);
  state_->stop = std::move(stop);
}

void StopSignals::disarm() { arm({}); }

void StopSignals::drop_privileges() {
  std::unique_lock lock(state_->mutex);
  state_->drop_asked = true;
  pthread_kill(thread_.native_handle(), SIGUSR1);
  state_->dropped.wait(lock, [this] { return !state_->drop_asked; });
}

void StopSignals::serve() {
  const sigset_t set = served_signals();
  bool asked = false;
  for (;;) {
    int signal = 0;
    if (sigwait(&set, &signal) != 0) continue;
    if (signal == SIGUSR1) {
      const std::lock_guard lock(state_->mutex);
      if (state_->stopping) return;
      if (std::exchange(state_->drop_asked, false)) {
        tool::drop_privileges();
        state_->dropped.notify_all();
      }
      continue;
    }
    if (signal == SIGHUP) {
      if (auto reopened = base::log_reopen(); !reopened) {
        base::log_error("{}", reopened.error().message());
      } else {
        base::log_info("log file reopened");
      }
      continue;
    }
    const std::lock_guard lock(state_->mutex);
    if (asked || !state_->stop) {
      base::log_warning("ended at once by a signal; every acknowledged record is safe");
      ::_exit(1);
    }
    asked = true;
    state_->stop();
  }
}

}  // namespace paste::tool
