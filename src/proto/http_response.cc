#include "proto/http_response.h"

#include <charconv>

namespace paste::proto {

std::string_view reason_phrase(uint16_t status) noexcept {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 417:
      return "Expectation Failed";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    case 507:
      return "Insufficient Storage";
    default:
      return "";
  }
}

namespace {
void append_number(std::string& out, uint64_t value, int base) {
  char text[24];
  const auto end = std::to_chars(text, text + sizeof text, value, base).ptr;
  out.append(text, static_cast<size_t>(end - text));
}

void append_connection(std::string& out, ResponseStyle style) {
  if (!style.keep_alive) {
    out += "Connection: close\r\n";
  } else if (!style.http11) {
    out += "Connection: keep-alive\r\n";
  }
}
}  // namespace

void append_decimal(std::string& out, uint64_t value) { append_number(out, value, 10); }

void append_chunk_size(std::string& out, uint64_t bytes) {
  append_number(out, bytes, 16);
  out += "\r\n";
}

void append_head(std::string& out, const ResponseHead& head, ResponseStyle style) {
  out += "HTTP/1.1 ";
  append_number(out, head.status, 10);
  out += ' ';
  out += reason_phrase(head.status);
  out += "\r\n";
  if (!head.content_type.empty()) {
    out += "Content-Type: ";
    out += head.content_type;
    out += "\r\n";
  }
  if (head.content_length) {
    out += "Content-Length: ";
    append_number(out, *head.content_length, 10);
    out += "\r\n";
  } else if (style.http11) {
    out += "Transfer-Encoding: chunked\r\n";
  }
  out += head.fields;
  append_connection(out, style);
  out += "\r\n";
}

void append_small(std::string& out, std::string_view body, ResponseStyle style) {
  out += "HTTP/1.1 200 OK\r\nContent-Length: ";
  append_number(out, body.size(), 10);
  out += "\r\n";
  append_connection(out, style);
  out += "\r\n";
  out += body;
}

}  // namespace paste::proto
