// What changes about an interface while a port uses it: its addresses, its MAC address, its
// neighbours; told by the kernel (rtnetlink(7): RTMGRP_*).
// Thread-safety: none.
#pragma once

#include <functional>
#include <memory>

#include "paste/result.h"
#include "tcp/tuple.h"
#include "wire/address.h"

struct mnl_socket;
struct nlmsghdr;

namespace paste::port {

struct LinkNews {
  std::function<void(const tcp::Address&, bool there)> address;
  std::function<void(const tcp::Address& neighbour, const wire::MacAddress&)> neighbour;
  // `there` is false once the interface is no more.
  std::function<void(const wire::MacAddress&, bool up, bool there)> link;
};

class LinkWatch {
 public:
  // Errors: io.
  static Result<std::unique_ptr<LinkWatch>> open(int ifindex);
  ~LinkWatch();
  LinkWatch(const LinkWatch&) = delete;
  LinkWatch& operator=(const LinkWatch&) = delete;

  // Readable when there are news.
  [[nodiscard]] int fd() const noexcept;
  // Tells all there are; returns at once. What was lost on the way is asked for again.
  void take(const LinkNews& news);

 private:
  LinkWatch() = default;
  void tell(const nlmsghdr* message, const LinkNews& news);
  void ask(uint16_t what) noexcept;
  int ifindex_ = 0;
  mnl_socket* socket_ = nullptr;
  uint16_t asked_ = 0;  // the dump that goes on; one at a time
};

}  // namespace paste::port
