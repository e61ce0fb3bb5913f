// The HTTP/1.1 server: listener, I/O threads and connections. Knows routes, not what is behind them.
//
// Each connection belongs to one of a few I/O threads for life, so connections have no locks. Every limit has
// a stated number and every wait a time-out. Thread rule: start, drain and the destructor on the owner's
// thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "http/message.h"
#include "http/router.h"

namespace mlxd::http {

/// Makes an error's answer in the dialect of the path. `request` has at least target and id; it may be half
/// read.
using ErrorRenderer = std::function<Response(const Request& request, int status, const Error& error)>;

/// One answered request, for metrics and logs.
struct RequestRecord {
  std::string_view route;  // its pattern, or "unmatched"
  std::string_view method;
  int status = 0;        // 499: the client went away first
  double seconds = 0.0;  // from the whole request read to the last byte given to the system
};

struct ServerOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  std::size_t io_threads = 2;
  std::size_t max_connections = 4096;  // beyond: 503 and closed
  std::size_t header_limit_bytes = 64 * 1024;
  std::size_t max_body_bytes = std::size_t{64} << 20;
  /// A connection with no request under way; see Server::set_idle_timeout.
  std::chrono::milliseconds idle_timeout{75000};
  /// From a request's first byte to the end of its header.
  std::chrono::milliseconds header_timeout{15000};
  /// A body gets this time plus one second for each `min_body_bytes_per_s` received.
  std::chrono::milliseconds body_timeout{30000};
  std::size_t min_body_bytes_per_s = 16 * 1024;
  /// A client that takes no byte of its answer for so long is gone.
  std::chrono::milliseconds write_timeout{30000};
  /// Silence in a stream after which its keep-alive bytes are sent.
  std::chrono::milliseconds keep_alive_interval{15000};
  /// Kernel send buffer of a connection; 0: the system's own.
  int send_buffer_bytes = 0;
  std::vector<std::string> allowed_origins = {};
  ErrorRenderer render_error = {};                           // required
  std::function<void(const RequestRecord&)> on_record = {};  // on I/O threads; may be empty
  /// Once, when draining and the last connection has closed; on an I/O thread; may be empty.
  std::function<void()> on_drained = {};
};

class Server {
 public:
  /// Binds, listens and serves. Errors: kConflict (address in use), kInvalidArgument (host), kIo.
  static Result<std::unique_ptr<Server>> start(ServerOptions options, Router router);
  /// Closes what is left and joins. No exchange may outlive this.
  ~Server();

  std::uint16_t port() const;
  std::size_t open_connections() const;

  /// Of connections that have no request under way from now on. Any thread.
  void set_idle_timeout(std::chrono::milliseconds timeout);
  /// Stops accepting and closes idle connections; others close after their answer. `on_drained` tells when.
  void begin_drain();
  /// Closes every connection; when this returns their exchanges have seen the client gone, and all that was
  /// posted to the I/O threads before has run. Not from an I/O thread.
  void close_all();
  /// Runs `function` on an I/O thread. Any thread.
  void post(std::size_t io_thread, std::function<void()> function);
  std::size_t io_threads() const;

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlxd::http
