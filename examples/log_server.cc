// A durable log server on one page: every line that arrives is a record, kept in the very packet
// that brought it, and answered "ok" only when it is durable. Try: nc 127.0.0.1 9000
#include <paste/pool.h>
#include <paste/port.h>

#include <cstdlib>

using namespace paste::literals;
using namespace std::chrono_literals;

int main(int argc, char** argv) {
  const char* path = argc > 1 ? argv[1] : "/dev/shm/orders.paste";
  const auto number = static_cast<uint16_t>(argc > 2 ? std::atoi(argv[2]) : 9000);
  const char* packets = argc > 3 ? argv[3] : "kernel";  // or "xdp:eth0": past the kernel

  auto pool = must(paste::Pool::open(path, {.create = true, .size = 1_GiB}));
  auto port = must(paste::Port::open(packets, pool));
  auto log = must(pool.log("orders"));
  must(port.listen({"0.0.0.0", number}));

  for (;;) {
    must(port.poll(1ms));                          // packets, timers, transmit: in this thread
    for (auto& m : port.messages(paste::lines)) {  // framing is the program's affair
      if (auto done = log.append(port.hold(m))) {  // the packet is the record: no copy
        (void)port.send(m.connection, "ok\n", {.after = done->ticket});  // the default, spelled out
      } else {
        (void)port.send(m.connection, done.error().message() + "\n");
      }
    }
    must(pool.commit());  // one barrier for the whole batch
  }
}
