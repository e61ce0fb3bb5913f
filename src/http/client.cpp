#include "http/client.h"

#include <algorithm>
#include <array>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <charconv>
#include <utility>

#include "base/clock.h"
#include "http/blocking_socket.h"
#include "http/sse.h"

namespace mlxd::http {

namespace beast_http = boost::beast::http;

namespace {

using Parser = beast_http::response_parser<beast_http::string_body>;

// Feeds the parser until its message, or at first its header, is complete.
class ResponseReader {
 public:
  ResponseReader(BlockingSocket& socket, std::chrono::milliseconds timeout, TimePoint deadline)
      : socket_(socket), timeout_(timeout), deadline_(deadline) {}

  Result<void> read_header(Parser& parser) {
    parser.eager(false);
    while (!parser.is_header_done()) TRY(feed(parser));
    parser.eager(true);
    return {};
  }

  /// Parses what is there, or reads more first; false at the end of the message.
  Result<bool> read_body(Parser& parser) {
    if (parser.is_done()) return false;
    TRY(feed(parser));
    return true;
  }

 private:
  Result<void> feed(Parser& parser) {
    boost::beast::error_code code;
    if (!starved_ && !input_.empty()) {
      const std::size_t used = parser.put(boost::asio::const_buffer(input_.data(), input_.size()), code);
      input_.erase(0, used);
      if (code && code != beast_http::error::need_more)
        return corrupt_data("the answer is no HTTP: " + code.message());
      starved_ = code == beast_http::error::need_more || used == 0;
      return {};
    }
    const TimePoint now = Clock::real().now();
    if (now >= deadline_) return Error(ErrorKind::kTimeout, "the answer was not complete in time");
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - now);
    const std::size_t size = TRY(socket_.read_some(buffer_, std::min(timeout_, left)));
    if (size == 0) {
      // Beast takes an end without any beginning for a complete answer, and asserts that there is none.
      if (!parser.got_some())
        return Error(ErrorKind::kIo, "the server closed the connection without an answer");
      parser.put_eof(code);
      if (code || !parser.is_done())
        return Error(ErrorKind::kIo, "the server closed the connection in mid-answer");
      return {};
    }
    input_.append(buffer_.data(), size);
    starved_ = false;
    return {};
  }

  BlockingSocket& socket_;
  std::chrono::milliseconds timeout_;
  TimePoint deadline_;
  std::string input_;
  std::array<char, 16 * 1024> buffer_{};
  bool starved_ = false;
};

}  // namespace

Result<Client> Client::create(std::string_view base_url, Options options) {
  const std::string url(base_url);
  constexpr std::string_view kScheme = "http://";
  if (!base_url.starts_with(kScheme))
    return invalid_argument("server address '" + url + "' must begin with http://");
  base_url.remove_prefix(kScheme.size());
  Client client;
  client.options_ = std::move(options);
  const std::size_t slash = base_url.find('/');
  if (slash != std::string_view::npos) client.prefix_ = std::string(base_url.substr(slash));
  while (client.prefix_.ends_with('/')) client.prefix_.pop_back();
  std::string_view authority = base_url.substr(0, slash);
  const std::size_t bracket = authority.rfind(']');
  const std::size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon != std::string_view::npos) {
    const std::string_view digits = authority.substr(colon + 1);
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), client.port_);
    if (code != std::errc() || end != digits.data() + digits.size())
      return invalid_argument("server address '" + url + "' has no valid port");
    authority = authority.substr(0, colon);
  }
  if (authority.starts_with('[') && authority.ends_with(']'))
    authority = authority.substr(1, authority.size() - 2);
  if (authority.empty()) return invalid_argument("server address '" + url + "' has no host");
  client.host_ = std::string(authority);
  return client;
}

Result<ClientResponse> Client::get(std::string_view path) const { return exchange("GET", path, {}, nullptr); }

Result<ClientResponse> Client::post(std::string_view path, std::string_view json) const {
  return exchange("POST", path, json, nullptr);
}

Result<ClientResponse> Client::send(std::string_view method, std::string_view path,
                                    std::string_view body) const {
  return exchange(method, path, body, nullptr);
}

Result<ClientResponse> Client::post_stream(std::string_view path, std::string_view json,
                                           const std::function<bool(std::string_view)>& on_event) const {
  return exchange("POST", path, json, &on_event);
}

Result<ClientResponse> Client::exchange(std::string_view method, std::string_view path, std::string_view body,
                                        const std::function<bool(std::string_view)>* on_event) const {
  const TimePoint deadline =
      options_.total_timeout.count() == 0 ? TimePoint::max() : Clock::real().now() + options_.total_timeout;
  BlockingSocket socket = TRY(BlockingSocket::connect(host_, port_, options_.connect_timeout));
  const std::string host = host_.find(':') == std::string::npos ? host_ : "[" + host_ + "]";
  std::string message = std::string(method) + " " + prefix_ + std::string(path) +
                        " HTTP/1.1\r\nHost: " + host + ":" + std::to_string(port_) +
                        "\r\nUser-Agent: mlxd\r\nConnection: close\r\n";
  for (const auto& [name, value] : options_.headers.fields()) message += name + ": " + value + "\r\n";
  if (!body.empty() || method != "GET")
    message += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  message += "\r\n";
  message += body;
  // A server may refuse a long body before reading it all: its answer says more than the broken write.
  auto written = socket.write_all(message, options_.read_timeout);

  Parser parser;
  parser.body_limit(options_.max_body_bytes);
  if (method == "HEAD") parser.skip(true);
  ResponseReader reader(socket, options_.read_timeout, deadline);
  auto header_read = reader.read_header(parser);
  if (!header_read.ok()) return written.ok() ? header_read.take_error() : written.take_error();

  ClientResponse response;
  response.status = static_cast<int>(parser.get().result_int());
  for (const auto& field : parser.get())
    response.headers.add(std::string(field.name_string()), std::string(field.value()));
  const std::string* type = response.headers.find("content-type");
  const bool events =
      on_event != nullptr && response.status == 200 && type != nullptr && type->starts_with(kEventStreamType);
  SseParser sse;
  std::string data;
  for (;;) {
    const bool more = TRY(reader.read_body(parser));
    if (events) {
      sse.push(parser.get().body());
      parser.get().body().clear();
      while (sse.next(data)) {
        if (!(*on_event)(data)) return response;
      }
    }
    if (!more) break;
  }
  response.body = std::move(parser.get().body());
  return response;
}

}  // namespace mlxd::http
