// The request line and the fields, by Boost.Beast's basic_parser. The only file that includes it:
// its templates are compiled once, here.
//
// A head reaches it whole and contiguous (HttpParser sees to that), so the result cannot depend on
// how the bytes were split, and the parser object lives on the stack for one call. Bodies are
// framed by chunked_decoder.h: Beast wants each chunk header contiguous, and joins folded lines.
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <charconv>

#include "proto/http_request.h"

namespace paste::proto {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using boost::beast::iequals;

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

Method method_of(http::verb verb) noexcept {
  switch (verb) {
    case http::verb::get:
      return Method::get;
    case http::verb::head:
      return Method::head;
    case http::verb::post:
      return Method::post;
    case http::verb::put:
      return Method::put;
    case http::verb::delete_:
      return Method::delete_;
    case http::verb::options:
      return Method::options;
    default:
      return Method::other;
  }
}

class HeadParser final : public http::basic_parser<true> {
 public:
  explicit HeadParser(HttpRequest& request) : request_(request) {
    // "Skip" ends the message behind the fields: the body is framed elsewhere.
    this->skip(true);
  }

  HttpError parse(std::string_view head) {
    header_limit(static_cast<uint32_t>(head.size() + 1));
    error_code ec;
    const size_t used = put(boost::asio::const_buffer(head.data(), head.size()), ec);
    if (error_) return error_;
    if (ec) return explain(ec);
    if (!is_done() || used != head.size()) return {400, "malformed request head"};
    return finish();
  }

 private:
  static HttpError explain(const error_code& ec) {
    // A static table would need Beast's own ordering; these are the ones a head can cause.
    if (ec == http::error::bad_method) return {400, "malformed method"};
    if (ec == http::error::bad_target) return {400, "malformed request target"};
    if (ec == http::error::bad_version) return {505, "the version must be HTTP/1.0 or HTTP/1.1"};
    if (ec == http::error::bad_field) return {400, "malformed field name"};
    if (ec == http::error::bad_value) return {400, "malformed field value"};
    if (ec == http::error::bad_content_length) return {400, "malformed Content-Length"};
    if (ec == http::error::bad_transfer_encoding) return {400, "conflicting Transfer-Encoding"};
    return {400, "malformed request head"};
  }

  void refuse(uint16_t status, const char* reason, error_code& ec) {
    error_ = {status, reason};
    ec = make_error_code(http::error::bad_value);
  }

  HttpError finish() {
    request_.keep_alive = keep_alive();
    // RFC 9112 §3.2: one Host field, not none, in HTTP/1.1.
    if (request_.http11 && !request_.has_host) return {400, "the Host field is missing"};
    // RFC 9112 §6.3: both together are how requests are smuggled.
    if (transfer_encoding_ && request_.content_length) {
      return {400, "both Content-Length and Transfer-Encoding"};
    }
    // RFC 9112 §6.1: HTTP/1.0 does not know it; whoever is in between may frame differently.
    if (transfer_encoding_ && !request_.http11) {
      return {400, "Transfer-Encoding in an HTTP/1.0 request"};
    }
    return {};
  }

  void on_request_impl(http::verb method, boost::beast::string_view,
                       boost::beast::string_view target, int version, error_code& ec) override {
    request_.method = method_of(method);
    request_.http11 = version == 11;
    std::string_view text = view(target);
    if (text.size() > 7 && iequals({text.data(), 7}, "http://")) {
      // RFC 9112 §3.2.2: the absolute form is accepted; the authority is not used.
      const size_t slash = text.find_first_of("/?", 7);
      text = slash == std::string_view::npos ? std::string_view("/") : text.substr(slash);
    }
    const size_t question = text.find('?');
    request_.path = text.substr(0, question);
    if (question != std::string_view::npos) request_.query = text.substr(question + 1);
    if (request_.path.empty()) request_.path = "/";
    if (request_.path[0] != '/' && request_.path != "*") {
      refuse(400, "the request target must start with '/'", ec);
    }
  }

  void on_field_impl(http::field field, boost::beast::string_view, boost::beast::string_view value,
                     error_code& ec) override {
    switch (field) {
      case http::field::host:
        if (request_.has_host) return refuse(400, "more than one Host field", ec);
        request_.has_host = true;
        return;
      case http::field::content_length:
        return on_content_length(view(value), ec);
      case http::field::transfer_encoding:
        if (transfer_encoding_) return refuse(400, "more than one Transfer-Encoding field", ec);
        transfer_encoding_ = true;
        if (!iequals(value, "chunked")) {
          return refuse(501, "the only transfer coding that is known is chunked", ec);
        }
        request_.chunked = true;
        return;
      case http::field::expect:
        if (!iequals(value, "100-continue")) {
          return refuse(417, "the only expectation that is known is 100-continue", ec);
        }
        // RFC 9110 §10.1.1: ignored in HTTP/1.0 requests.
        request_.expect_continue = request_.http11;
        return;
      case http::field::accept:
        if (request_.accept.empty()) request_.accept = view(value);
        return;
      default:
        return;
    }
  }

  void on_content_length(std::string_view value, error_code& ec) {
    // Stricter than RFC 9110 §8.6 allows: neither lists nor repetitions, even if all agree.
    uint64_t number = 0;
    const char* end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, number);
    if (error != std::errc{} || stop != end || request_.content_length) {
      return refuse(400, "malformed Content-Length", ec);
    }
    request_.content_length = number;
  }

  void on_response_impl(int, boost::beast::string_view, int, error_code&) override {}
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(boost::optional<uint64_t> const&, error_code&) override {}
  size_t on_body_impl(boost::beast::string_view, error_code&) override { return 0; }
  void on_chunk_header_impl(uint64_t, boost::beast::string_view, error_code&) override {}
  size_t on_chunk_body_impl(uint64_t, boost::beast::string_view, error_code&) override { return 0; }
  void on_finish_impl(error_code&) override {}

  HttpRequest& request_;
  HttpError error_;
  bool transfer_encoding_ = false;
};

}  // namespace

HttpError parse_head(std::string_view head, HttpRequest& request) {
  request = HttpRequest{};
  return HeadParser(request).parse(head);
}

}  // namespace paste::proto
