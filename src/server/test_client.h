// A small blocking HTTP client for the tests of the server. Every wait ends after five seconds.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace paste::server {

struct Response {
  int status = 0;  // 0: the connection ended, or nothing came in time
  std::map<std::string, std::string> fields;
  std::string body;
  bool complete = false;
};

class Client {
 public:
  explicit Client(uint16_t port, int receive_buffer = 0) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int failed = 0;
    do {  // a ring of an earlier test that the kernel still tears down may interrupt
      if (fd_ >= 0) ::close(fd_);
      open_socket(receive_buffer);
      failed = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    } while (failed != 0 && errno == EINTR);
    EXPECT_EQ(failed, 0);
  }
  ~Client() {
    if (fd_ >= 0) ::close(fd_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      text.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  void half_close() { ::shutdown(fd_, SHUT_WR); }
  void reset() {
    const linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    ::close(fd_);
    fd_ = -1;
  }

  // More bytes into buffer(); false at the end, on an error, or if none came in time.
  bool fill() {
    char bytes[65536];
    ssize_t n = -1;
    while ((n = ::recv(fd_, bytes, sizeof bytes, 0)) < 0 && errno == EINTR) continue;
    if (n <= 0) {
      end_ = n;
      return false;
    }
    buffer_.append(bytes, static_cast<size_t>(n));
    return true;
  }
  bool fill_to(size_t bytes) {
    while (buffer_.size() < bytes) {
      if (!fill()) return false;
    }
    return true;
  }
  // True if anything, or the end, comes within `time`.
  bool wait(std::chrono::milliseconds time) {
    pollfd poll{fd_, POLLIN, 0};
    return ::poll(&poll, 1, static_cast<int>(time.count())) > 0;
  }
  [[nodiscard]] std::string& buffer() { return buffer_; }
  // After fill() gave false: the peer closed in order, not by a reset or a time-out.
  [[nodiscard]] bool ended_in_order() const { return end_ == 0; }
  bool closed() {
    while (fill()) {
    }
    return ended_in_order();
  }

  Response head() {
    Response r;
    size_t end;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!fill()) return r;
    }
    r.status = std::atoi(buffer_.c_str() + 9);
    size_t at = buffer_.find("\r\n") + 2;
    while (at < end + 2) {
      const size_t eol = buffer_.find("\r\n", at);
      const size_t colon = buffer_.find(": ", at);
      r.fields[buffer_.substr(at, colon - at)] = buffer_.substr(colon + 2, eol - colon - 2);
      at = eol + 2;
    }
    buffer_.erase(0, end + 4);
    return r;
  }

  // The next part of a chunked body; empty at its end or if the connection ended first (`whole`).
  std::string chunk(bool& whole) {
    whole = false;
    size_t eol;
    while ((eol = buffer_.find("\r\n")) == std::string::npos) {
      if (!fill()) return {};
    }
    const size_t size = std::strtoull(buffer_.c_str(), nullptr, 16);
    if (!fill_to(eol + 2 + size + 2)) return {};
    std::string data = buffer_.substr(eol + 2, size);
    buffer_.erase(0, eol + 2 + size + 2);
    whole = true;
    return data;
  }

  Response receive(bool body_expected = true) {
    Response r = head();
    if (r.status == 0) return r;
    if (!body_expected || r.status == 100) {
      r.complete = true;
    } else if (r.fields.count("Content-Length") != 0) {
      const size_t n = std::strtoull(r.fields["Content-Length"].c_str(), nullptr, 10);
      r.complete = fill_to(n);
      r.body = buffer_.substr(0, n);
      buffer_.erase(0, n);
    } else if (r.fields.count("Transfer-Encoding") != 0) {
      for (;;) {
        const std::string part = chunk(r.complete);
        if (part.empty()) break;
        r.body += part;
      }
    } else {
      r.complete = closed();
      r.body = std::exchange(buffer_, {});
    }
    return r;
  }

  Response request(std::string_view method, std::string_view target, std::string_view body = {},
                   std::string_view fields = {}) {
    std::string text(method);
    text += ' ';
    text += target;
    text += " HTTP/1.1\r\nHost: test\r\n";
    text += fields;
    if (!body.empty() || method == "POST") {
      text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    }
    text += "\r\n";
    text += body;
    if (!send(text)) return {};
    return receive(method != "HEAD");
  }
  Response post(std::string_view target, std::string_view body) {
    return request("POST", target, body);
  }
  Response get(std::string_view target, std::string_view accept = {}) {
    return request("GET", target, {},
                   accept.empty() ? std::string() : "Accept: " + std::string(accept) + "\r\n");
  }

 private:
  void open_socket(int receive_buffer) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer != 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    const timeval wait{5, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    const int one = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }

  int fd_ = -1;
  ssize_t end_ = -1;
  std::string buffer_;
};

}  // namespace paste::server
