// One accepted connection: reads requests one after the other, hands each to its route and writes the answer.
// Private to http/. Owned by shared pointers of its pending operations and its exchange; used on its I/O
// thread only, except `post` and `io_thread`.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <unordered_set>

#include "base/clock.h"
#include "http/origin_policy.h"
#include "http/request_parser.h"
#include "http/server.h"

namespace mlxd::http {

/// What all connections share; constant while serving, but for the atomics.
struct ServerContext {
  ServerOptions options;
  Router router;
  OriginPolicy origins;
  std::atomic<std::size_t> open_connections{0};
  std::atomic<bool> draining{false};
  std::atomic<bool> drained_told{false};
  std::atomic<std::chrono::milliseconds> idle_timeout;

  ServerContext(ServerOptions o, Router r)
      : options(std::move(o)),
        router(std::move(r)),
        origins(options.host, options.allowed_origins),
        idle_timeout(options.idle_timeout) {}
  void tell_if_drained();
};

/// An I/O thread's event loop and the connections that live on it.
struct IoThread {
  explicit IoThread(std::size_t i) : index(i), io(1), sweep_timer(io) {}
  std::size_t index;
  std::unordered_set<Connection*> connections;  // before `io`, whose end destroys them
  boost::asio::io_context io;
  boost::asio::steady_timer sweep_timer;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::ip::tcp::socket socket, IoThread& thread, ServerContext& context);
  ~Connection();

  /// Starts serving; the connection then keeps itself alive.
  void start();
  /// Enforces time-outs and sends keep-alive bytes; called several times within each time-out.
  void sweep(TimePoint now);
  /// Closes if no request is under way.
  void close_if_idle();
  /// Closes at once; the exchange sees its client gone.
  void abort();

  void post(std::function<void()> function);
  std::size_t io_thread() const { return thread_.index; }

  // What Exchange offers; `serial` names the exchange, so that a late call can't touch its successor's
  // answer.
  void respond(std::uint64_t serial, Response response);
  void respond_error(std::uint64_t serial, const Request& request, int status, const Error& error,
                     int retry_after_s);
  void begin_stream(std::uint64_t serial, Response response, std::function<std::string()> keep_alive);
  void send(std::uint64_t serial, std::string_view bytes);
  void end(std::uint64_t serial);
  void cut(std::uint64_t serial);
  void release(std::uint64_t serial);
  bool answered(std::uint64_t serial) const {
    return serial != answer_.serial || answer_.phase != Phase::kNone;
  }
  bool gone(std::uint64_t serial) const { return closed_ || serial != answer_.serial; }
  std::size_t pending_bytes() const { return output_.size() + in_flight_.size() - in_flight_offset_; }
  std::uint64_t serial() const { return answer_.serial; }
  void set_on_gone(std::uint64_t serial, std::function<void()> callback);
  void set_on_drained(std::uint64_t serial, std::function<void()> callback);

 private:
  enum class Phase { kNone, kStreaming, kDone };

  /// The answer being made to the current request.
  struct Answer {
    std::uint64_t serial = 0;
    Phase phase = Phase::kDone;
    bool active = false;        // a request is under way
    bool request_read = false;  // to its end
    bool keep_alive = true;     // after this answer
    bool head_only = false;     // HEAD
    bool chunked = false;
    int status = 0;
    std::string request_id;
    std::string cors_headers;  // ready lines, or empty
    std::string_view route = "unmatched";
    std::string method;
    std::function<std::string()> keep_alive_bytes;
    TimePoint started;
    std::function<void()> on_gone;
    std::function<void()> on_drained;
  };

  boost::asio::awaitable<void> serve();
  boost::asio::awaitable<bool> read_header(RequestParser& parser);
  boost::asio::awaitable<bool> read_body(RequestParser& parser, const Request& request,
                                         std::size_t limit_bytes);
  boost::asio::awaitable<void> wait_until_answered();
  boost::asio::awaitable<void> linger();
  boost::asio::awaitable<void> wait_for_event();

  void begin_answer(const RequestParser* parser, const Request& request);
  /// Answers from the header alone where possible: refused, preflight, unknown route. True if it did.
  bool answer_early(const Request& request, const Router::Match& match, bool has_body);
  void answer_error(const Request& request, int status, const Error& error, int retry_after_s = 0,
                    std::string_view allow = {});
  void append_head(const Response& response, bool with_length);
  void append_body_bytes(std::string_view bytes);
  void finish_answer();
  void record(int status);

  void set_read_deadline(TimePoint deadline) {
    read_deadline_ = deadline;
    timed_out_ = false;
  }
  void ensure_reading();
  void notify();
  void flush();
  void wait_writable();
  void close();

  boost::asio::ip::tcp::socket socket_;
  IoThread& thread_;
  ServerContext& context_;
  boost::asio::steady_timer event_;

  std::string remote_address_;
  std::array<char, 16 * 1024> read_buffer_;
  std::string input_;  // received, not yet parsed
  bool reading_ = false;
  bool eof_ = false;
  bool closed_ = false;

  std::string output_;  // to be written after in_flight_
  std::string in_flight_;
  std::size_t in_flight_offset_ = 0;
  bool writing_ = false;  // waiting until the socket takes more

  Answer answer_;
  std::uint64_t last_serial_ = 0;
  std::size_t body_received_ = 0;
  TimePoint read_deadline_ = TimePoint::max();
  TimePoint write_deadline_ = TimePoint::max();
  TimePoint last_write_;
  bool timed_out_ = false;  // the read deadline passed
};

}  // namespace mlxd::http
