#include "pmem/guarded.h"

#include <ucontext.h>

#include <atomic>
#include <csetjmp>
#include <csignal>
#include <mutex>

#include "base/check.h"

namespace paste::pmem {
namespace {

constinit thread_local sigjmp_buf* armed = nullptr;
std::atomic<bool> installed{false};
struct sigaction previous {};

void on_bus_error(int number, siginfo_t* info, void* context) {
  if (armed != nullptr) {
    // The jump restores no signal mask, which saves a system call at each guard; so what was
    // blocked when the fault came is set again here.
    pthread_sigmask(SIG_SETMASK, &static_cast<ucontext_t*>(context)->uc_sigmask, nullptr);
    siglongjmp(*armed, 1);
  }
  // Not ours: put back what was there and let it happen again. A faulting load repeats by itself;
  // a signal that somebody sent has to be sent once more.
  sigaction(SIGBUS, &previous, nullptr);
  if (info->si_code <= 0) raise(number);
}

}  // namespace

void install_bus_guard() noexcept {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    PASTE_CHECK(sigaction(SIGBUS, &action, &previous) == 0);
    installed.store(true, std::memory_order_release);
  });
}

namespace internal {

bool run_guarded(void (*call)(void*), void* context) noexcept {
  if (!installed.load(std::memory_order_acquire)) install_bus_guard();
  PASTE_CHECK(armed == nullptr);
  sigjmp_buf here;
  if (sigsetjmp(here, 0) != 0) {
    armed = nullptr;
    return false;
  }
  armed = &here;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  call(context);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  armed = nullptr;
  return true;
}

}  // namespace internal
}  // namespace paste::pmem
