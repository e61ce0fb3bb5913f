// One request and the way to answer it. A handler gets a shared pointer, on the I/O thread of the connection,
// and may keep it to answer later; the last pointer let go without an answer makes a 500.
//
// Thread rule: `request` may be read anywhere while no one writes it; every other call belongs to the
// exchange's I/O thread. From other threads, `post` a function there. Every exchange must be gone before the
// Server is.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "http/message.h"

namespace mlxd::http {

class Connection;

class Exchange {
 public:
  Exchange(std::shared_ptr<Connection> connection, Request request);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  Request request;

  /// What a gate before the handler has found out about who asks; set before the handler is called, then
  /// constant.
  std::shared_ptr<const void> attachment = {};

  /// Runs `function` on the I/O thread, also after the client has gone. Any thread.
  void post(std::function<void()> function);
  /// Which I/O thread, 0 … io_threads - 1. Any thread.
  std::size_t io_thread() const;

  /// A whole answer. Ignored once answered or gone.
  void respond(Response response);
  /// The error's answer as the server's renderer makes it, with Retry-After where `retry_after_s` is
  /// positive.
  void respond_error(int status, const Error& error, int retry_after_s = 0);

  /// Head of a streamed answer; `response.body` is its first piece. Then `send` and, once, `end`. While
  /// nothing is sent for the server's keep-alive time, what `keep_alive` gives then (e.g. an SSE comment)
  /// goes out; empty: never.
  void begin_stream(Response response, std::function<std::string()> keep_alive = {});
  void send(std::string_view bytes);
  void end();
  /// Ends a stream so that the client can see it is cut: closes without the last chunk.
  void cut();

  bool answered() const;
  /// The client has gone, or the connection failed.
  bool gone() const;
  /// Bytes given but not yet taken by the system; above the high-water mark a producer should wait for
  /// `drained`.
  std::size_t pending_bytes() const;
  static constexpr std::size_t kHighWaterBytes = 64 * 1024;

  /// Called once when the client goes away before the answer is complete.
  void on_gone(std::function<void()> callback);
  /// Called each time that pending bytes fall to none after having waited for the client.
  void on_drained(std::function<void()> callback);

 private:
  std::shared_ptr<Connection> connection_;
  std::uint64_t serial_;  // which of the connection's exchanges this is
};

using ExchangePtr = std::shared_ptr<Exchange>;

}  // namespace mlxd::http
