#include "http/connection.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <utility>

#include "base/log.h"
#include "http/request_id.h"

namespace mlxd::http {

namespace asio = boost::asio;

namespace {

// A client may send its next request early; beyond this its bytes wait in the system's buffers.
constexpr std::size_t kReadAheadBytes = 64 * 1024;
// How much of a refused body is read away so that the refusal reaches its sender, and for how long.
constexpr std::size_t kLingerBytes = std::size_t{256} << 20;
constexpr std::chrono::seconds kLingerTime{5};

TimePoint now() { return Clock::real().now(); }

double seconds_since(TimePoint start) { return std::chrono::duration<double>(now() - start).count(); }

}  // namespace

void ServerContext::tell_if_drained() {
  if (draining && open_connections == 0 && !drained_told.exchange(true) && options.on_drained)
    options.on_drained();
}

Connection::Connection(asio::ip::tcp::socket socket, IoThread& thread, ServerContext& context)
    : socket_(std::move(socket)), thread_(thread), context_(context), event_(thread.io) {
  event_.expires_at(asio::steady_timer::time_point::max());
  thread_.connections.insert(this);
}

Connection::~Connection() {
  thread_.connections.erase(this);
  --context_.open_connections;
  context_.tell_if_drained();
}

void Connection::start() {
  boost::system::error_code ignored;
  if (const auto remote = socket_.remote_endpoint(ignored); !ignored)
    remote_address_ = remote.address().to_string();
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  if (context_.options.send_buffer_bytes > 0)
    socket_.set_option(asio::socket_base::send_buffer_size(context_.options.send_buffer_bytes), ignored);
  socket_.non_blocking(true, ignored);
  asio::co_spawn(thread_.io, serve(), [self = shared_from_this()](std::exception_ptr failure) {
    // Only memory running out can throw here; this connection ends, the others go on.
    if (failure) log::error("a connection ended by an exception");
    self->abort();
  });
}

asio::awaitable<void> Connection::serve() {
  while (!closed_) {
    RequestParser parser(context_.options.header_limit_bytes);
    const bool header_read = co_await read_header(parser);
    if (!header_read) break;

    Request request = parser.take_head();
    request.remote_address = remote_address_;
    begin_answer(&parser, request);
    request.id = answer_.request_id;
    Router::Match match = context_.router.match(request.method, request.path);
    if (match.route != nullptr) answer_.route = match.route->pattern;
    const bool answered_early = answer_early(request, match, parser.has_body());
    if (!answered_early) {
      const std::size_t own_limit = match.route->options.max_body_bytes;
      const bool body_read =
          co_await read_body(parser, request, own_limit > 0 ? own_limit : context_.options.max_body_bytes);
      if (body_read) {
        request.body = parser.take_body();
        request.parameters = std::move(match.parameters);
        answer_.request_read = true;
        answer_.started = now();
        match.route->handler(std::make_shared<Exchange>(shared_from_this(), std::move(request)));
      } else if (closed_) {
        break;
      }
    }
    co_await wait_until_answered();
    if (closed_) break;
    if (!answer_.keep_alive || context_.draining) {
      co_await linger();
      break;
    }
  }
  close();
}

asio::awaitable<void> Connection::wait_for_event() {
  co_await event_.async_wait(asio::as_tuple(asio::use_awaitable));
  event_.expires_at(asio::steady_timer::time_point::max());
}

// False: close without an answer (or it has been given).
asio::awaitable<bool> Connection::read_header(RequestParser& parser) {
  bool started = false;
  set_read_deadline(now() + context_.idle_timeout.load());
  while (!closed_) {
    // Empty lines before a request are nothing (RFC 9112, section 2.2): some clients end a body with one.
    if (!started) {
      std::size_t empty_lines = 0;
      while (input_.compare(empty_lines, 2, "\r\n") == 0) empty_lines += 2;
      input_.erase(0, empty_lines);
    }
    if (!input_.empty() && (started || input_ != "\r")) {
      if (!started) set_read_deadline(now() + context_.options.header_timeout);
      started = true;
      std::size_t consumed = 0;
      const RequestParser::State state = parser.put(input_, consumed);
      input_.erase(0, consumed);
      if (state == RequestParser::State::kHeader) {
        set_read_deadline(TimePoint::max());
        co_return true;
      }
      if (state == RequestParser::State::kFailed) {
        const Request empty;
        begin_answer(nullptr, empty);
        answer_error(empty, parser.failure_status(), parser.failure());
        co_await wait_until_answered();
        co_await linger();
        co_return false;
      }
    }
    if (eof_ || (!started && context_.draining)) co_return false;
    if (timed_out_) {
      if (!started) co_return false;
      const Request empty;
      begin_answer(nullptr, empty);
      answer_error(empty, 408, Error(ErrorKind::kTimeout, "the request's header did not arrive in time"));
      co_await wait_until_answered();
      co_return false;
    }
    ensure_reading();
    co_await wait_for_event();
  }
  co_return false;
}

// False: an error has been answered, or the connection is closed.
asio::awaitable<bool> Connection::read_body(RequestParser& parser, const Request& request,
                                            std::size_t limit_bytes) {
  RequestParser::State state = parser.read_body(limit_bytes);
  if (state == RequestParser::State::kNeedMore && parser.expects_continue() && parser.version() >= 11 &&
      input_.empty()) {
    output_ += "HTTP/1.1 100 Continue\r\n\r\n";
    flush();
  }
  const TimePoint start = now();
  body_received_ = 0;
  while (state == RequestParser::State::kNeedMore && !closed_) {
    if (!input_.empty()) {
      std::size_t consumed = 0;
      state = parser.put(input_, consumed);
      input_.erase(0, consumed);
      body_received_ += consumed;
      if (state != RequestParser::State::kNeedMore) break;
      // A chunk's head that never ends is no body.
      if (input_.size() > kReadAheadBytes) break;
    }
    if (eof_) {
      abort();
      break;
    }
    if (timed_out_) {
      answer_error(request, 408, Error(ErrorKind::kTimeout, "the request's body did not arrive in time"));
      co_return false;
    }
    const std::size_t extra_seconds =
        body_received_ / std::max<std::size_t>(1, context_.options.min_body_bytes_per_s);
    set_read_deadline(start + context_.options.body_timeout + std::chrono::seconds(extra_seconds));
    ensure_reading();
    co_await wait_for_event();
  }
  set_read_deadline(TimePoint::max());
  if (closed_) co_return false;
  if (state == RequestParser::State::kDone) co_return true;
  if (state == RequestParser::State::kFailed)
    answer_error(request, parser.failure_status(), parser.failure());
  else
    answer_error(request, 400, invalid_argument("malformed chunked body"));
  co_return false;
}

asio::awaitable<void> Connection::wait_until_answered() {
  while (!closed_ && (answer_.phase != Phase::kDone || pending_bytes() > 0)) {
    // Reading on shows that the client has gone, and takes its next request early.
    if (input_.size() < kReadAheadBytes) ensure_reading();
    co_await wait_for_event();
  }
  if (answer_.active) record(closed_ ? 499 : answer_.status);
  answer_.active = false;
  answer_.on_gone = nullptr;
  answer_.on_drained = nullptr;
}

// Closing while the client still sends would reset the connection, and the answer with it.
asio::awaitable<void> Connection::linger() {
  if (answer_.request_read && input_.empty()) co_return;
  boost::system::error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  std::size_t discarded = 0;
  set_read_deadline(now() + kLingerTime);
  while (!closed_ && !eof_ && !timed_out_ && discarded < kLingerBytes) {
    discarded += input_.size();
    input_.clear();
    ensure_reading();
    co_await wait_for_event();
  }
}

void Connection::begin_answer(const RequestParser* parser, const Request& request) {
  answer_ = Answer();
  answer_.serial = ++last_serial_;
  answer_.phase = Phase::kNone;
  answer_.active = true;
  answer_.started = now();
  answer_.keep_alive = parser != nullptr && parser->keep_alive() && !context_.draining;
  answer_.chunked = parser != nullptr && parser->version() >= 11;
  answer_.method = request.method.empty() ? "-" : request.method;
  answer_.head_only = request.method == "HEAD";
  const std::string* given = request.headers.find("x-request-id");
  answer_.request_id = given != nullptr && is_sane_request_id(*given) ? *given : new_request_id();
}

bool Connection::answer_early(const Request& request, const Router::Match& match, bool has_body) {
  // A body that is not read must not be taken for the next request.
  const bool keep_alive = answer_.keep_alive;
  if (has_body) answer_.keep_alive = false;
  answer_.request_read = !has_body;
  const std::string* host = request.headers.find("host");
  const std::string_view host_name = host != nullptr ? std::string_view(*host) : std::string_view();
  if (host != nullptr && !context_.origins.allows_host(host_name)) {
    answer_error(request, 403,
                 Error(ErrorKind::kForbidden,
                       "Host '" + host->substr(0, 200) +
                           "' is not this server's: use localhost or the address it listens on"));
    return true;
  }
  if (const std::string* origin = request.headers.find("origin")) {
    if (!context_.origins.allows_origin(*origin, host_name)) {
      answer_error(request, 403,
                   Error(ErrorKind::kForbidden, "requests from the web origin '" + origin->substr(0, 200) +
                                                    "' are refused: add it to the allowed origins"));
      return true;
    }
    answer_.cors_headers = "Access-Control-Allow-Origin: " + *origin +
                           "\r\nVary: Origin\r\nAccess-Control-Expose-Headers: x-request-id, request-id, "
                           "x-mlxd-ignored, x-mlxd-backend, retry-after\r\n";
  }
  if (match.route == nullptr) {
    if (request.method == "OPTIONS" && !match.allow.empty()) {
      Response response{.status = 204, .content_type = ""};
      response.headers.add("Allow", match.allow);
      if (!answer_.cors_headers.empty()) {
        response.headers.add("Access-Control-Allow-Methods", match.allow);
        const std::string* asked = request.headers.find("access-control-request-headers");
        if (asked != nullptr && asked->size() < 4096)
          response.headers.add("Access-Control-Allow-Headers", *asked);
        response.headers.add("Access-Control-Max-Age", "600");
        if (request.headers.find("access-control-request-private-network") != nullptr)
          response.headers.add("Access-Control-Allow-Private-Network", "true");
      }
      respond(answer_.serial, std::move(response));
    } else if (!match.allow.empty()) {
      answer_error(request, 405,
                   invalid_argument("method " + request.method.substr(0, 40) + " is not allowed on " +
                                    request.path.substr(0, 200) + ": use " + match.allow),
                   0, match.allow);
    } else {
      answer_error(
          request, 404,
          not_found("there is no route " + request.method.substr(0, 40) + " " + request.path.substr(0, 200)));
    }
    return true;
  }
  const std::string& wanted = match.route->options.media_type;
  const std::string* given = request.headers.find("content-type");
  if (has_body && !wanted.empty() && given != nullptr) {
    std::string_view type = *given;
    type = type.substr(0, type.find(';'));
    while (type.ends_with(' ')) type.remove_suffix(1);
    const std::size_t slash = wanted.find('/');
    const std::string suffixed = "+" + wanted.substr(slash + 1);
    const bool fits = equals_ignoring_case(type, wanted) ||
                      (type.size() > suffixed.size() &&
                       equals_ignoring_case(type.substr(type.size() - suffixed.size()), suffixed));
    if (!fits) {
      answer_error(request, 415,
                   invalid_argument("Content-Type is '" + given->substr(0, 200) + "', this route takes " +
                                        wanted + ": set that header",
                                    "Content-Type"));
      return true;
    }
  }
  const std::string* encoding = request.headers.find("content-encoding");
  if (has_body && encoding != nullptr && !encoding->empty() && !equals_ignoring_case(*encoding, "identity")) {
    answer_error(request, 415,
                 invalid_argument("Content-Encoding is '" + encoding->substr(0, 200) +
                                      "', bodies are taken as they are: leave it out",
                                  "Content-Encoding"));
    return true;
  }
  const std::string* expect = request.headers.find("expect");
  if (expect != nullptr && !equals_ignoring_case(*expect, "100-continue")) {
    answer_error(request, 417, invalid_argument("the only expectation supported is 100-continue", "Expect"));
    return true;
  }
  answer_.keep_alive = keep_alive;
  answer_.request_read = false;
  return false;
}

void Connection::close_if_idle() {
  if (answer_.active || !input_.empty()) return;
  close();
  notify();
}

void Connection::abort() {
  if (closed_) return;
  close();
  if (auto on_gone = std::exchange(answer_.on_gone, nullptr)) on_gone();
  notify();
}

void Connection::close() {
  closed_ = true;
  boost::system::error_code ignored;
  socket_.close(ignored);
}

void Connection::notify() { event_.cancel(); }

void Connection::sweep(TimePoint time) {
  if (closed_) return;
  if (time >= write_deadline_) {
    abort();
    return;
  }
  if (time >= read_deadline_) {
    read_deadline_ = TimePoint::max();
    timed_out_ = true;
    if (answer_.active) answer_.keep_alive = false;
    notify();
  }
  if (answer_.active && answer_.phase == Phase::kStreaming && answer_.keep_alive_bytes &&
      pending_bytes() == 0 && time - last_write_ >= context_.options.keep_alive_interval)
    send(answer_.serial, answer_.keep_alive_bytes());
}

void Connection::post(std::function<void()> function) { asio::post(thread_.io, std::move(function)); }

void Connection::record(int status) {
  if (!context_.options.on_record) return;
  context_.options.on_record({.route = answer_.route,
                              .method = answer_.method,
                              .status = status,
                              .seconds = seconds_since(answer_.started)});
}

}  // namespace mlxd::http
