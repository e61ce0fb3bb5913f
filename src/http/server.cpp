#include "http/server.h"

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <latch>
#include <optional>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "http/connection.h"

namespace mlxd::http {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr std::string_view kTooManyConnections =
    "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

std::chrono::milliseconds sweep_interval(const ServerOptions& options) {
  const auto shortest = std::min({options.idle_timeout, options.header_timeout, options.body_timeout,
                                  options.write_timeout, options.keep_alive_interval});
  return std::clamp(shortest / 8, std::chrono::milliseconds(5), std::chrono::milliseconds(500));
}

}  // namespace

struct Server::Impl {
  Impl(ServerOptions options, Router router) : context(std::move(options), std::move(router)) {}

  Result<void> listen();
  void run(IoThread& thread);
  void sweep(IoThread& thread);
  /// An address that is listened on; used on the first I/O thread.
  struct Listener {
    explicit Listener(asio::io_context& io) : acceptor(io), retry_timer(io) {}
    tcp::acceptor acceptor;
    asio::steady_timer retry_timer;  // one each: a shared one would forget all but the last that waits
  };
  void accept(Listener& listener);
  void accept_later(Listener& listener);
  void stop_accepting();
  void take(tcp::socket socket, IoThread& thread);

  ServerContext context;
  std::vector<std::unique_ptr<IoThread>> io_threads;
  std::vector<std::unique_ptr<Listener>> listeners;
  std::vector<std::optional<asio::executor_work_guard<asio::io_context::executor_type>>> guards;
  std::vector<std::thread> threads;
  std::size_t next_thread = 0;
  std::uint16_t port = 0;
};

Result<void> Server::Impl::listen() {
  const ServerOptions& options = context.options;
  boost::system::error_code code;
  tcp::resolver resolver(io_threads[0]->io);
  std::string host = options.host;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  const auto endpoints = resolver.resolve(host, std::to_string(options.port), tcp::resolver::passive, code);
  if (code || endpoints.empty())
    return invalid_argument("cannot listen on host '" + options.host + "': " + code.message() +
                                "; give an address of this machine, e.g. 127.0.0.1 or 0.0.0.0",
                            "host");
  port = options.port;
  for (const auto& entry : endpoints) {
    tcp::endpoint endpoint = entry.endpoint();
    endpoint.port(port);
    auto listener = std::make_unique<Listener>(io_threads[0]->io);
    tcp::acceptor& acceptor = listener->acceptor;
    acceptor.open(endpoint.protocol(), code);
    if (!code) acceptor.set_option(tcp::acceptor::reuse_address(true), code);
    if (!code && endpoint.protocol() == tcp::v6()) acceptor.set_option(asio::ip::v6_only(true), code);
    if (!code) acceptor.bind(endpoint, code);
    if (!code) acceptor.listen(1024, code);
    if (code) {
      // A name may stand for several addresses; the first decides.
      if (!listeners.empty()) continue;
      const std::string where = options.host + ":" + std::to_string(port);
      if (code == asio::error::address_in_use)
        return Error(ErrorKind::kConflict,
                     "cannot listen on " + where +
                         ": another program uses this port; stop it or choose another --port");
      return Error(ErrorKind::kIo, "cannot listen on " + where + ": " + code.message(), "host");
    }
    if (port == 0) port = acceptor.local_endpoint(code).port();
    listeners.push_back(std::move(listener));
  }
  return {};
}

void Server::Impl::run(IoThread& thread) {
  for (;;) {
    try {
      thread.io.run();
      return;
    } catch (const std::exception& failure) {
      log::error("an I/O handler failed: {}", failure.what());
    } catch (...) {
      log::error("an I/O handler failed");
    }
  }
}

void Server::Impl::sweep(IoThread& thread) {
  const TimePoint now = Clock::real().now();
  // A sweep can end connections, so it walks over a copy.
  std::vector<std::shared_ptr<Connection>> connections;
  connections.reserve(thread.connections.size());
  for (Connection* connection : thread.connections) {
    if (auto alive = connection->weak_from_this().lock()) connections.push_back(std::move(alive));
  }
  for (const auto& connection : connections) connection->sweep(now);
  thread.sweep_timer.expires_after(sweep_interval(context.options));
  thread.sweep_timer.async_wait([this, &thread](const boost::system::error_code& code) {
    if (!code) sweep(thread);
  });
}

void Server::Impl::accept(Listener& listener) {
  IoThread& thread = *io_threads[next_thread];
  next_thread = (next_thread + 1) % io_threads.size();
  listener.acceptor.async_accept(
      thread.io, [this, &listener, &thread](const boost::system::error_code& code, tcp::socket socket) {
        if (!listener.acceptor.is_open() || code == asio::error::operation_aborted) return;
        if (code) {
          // Out of descriptors, most likely: those waiting will be taken when some are free again.
          log::warn("cannot accept a connection: {}", code.message());
          accept_later(listener);
          return;
        }
        take(std::move(socket), thread);
        accept(listener);
      });
}

void Server::Impl::accept_later(Listener& listener) {
  listener.retry_timer.expires_after(std::chrono::milliseconds(100));
  listener.retry_timer.async_wait([this, &listener](const boost::system::error_code& code) {
    if (!code && listener.acceptor.is_open()) accept(listener);
  });
}

void Server::Impl::stop_accepting() {
  boost::system::error_code ignored;
  for (auto& listener : listeners) {
    listener->acceptor.close(ignored);
    listener->retry_timer.cancel();
  }
}

void Server::Impl::take(tcp::socket socket, IoThread& thread) {
  if (context.open_connections.fetch_add(1) >= context.options.max_connections) {
    --context.open_connections;
    boost::system::error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(kTooManyConnections), ignored);
    return;
  }
  asio::post(thread.io, [this, &thread, taken = std::move(socket)]() mutable {
    auto connection = std::make_shared<Connection>(std::move(taken), thread, context);
    connection->start();
  });
}

Result<std::unique_ptr<Server>> Server::start(ServerOptions options, Router router) {
  CHECK(options.render_error != nullptr && options.io_threads > 0);
  auto impl = std::make_unique<Impl>(std::move(options), std::move(router));
  for (std::size_t i = 0; i < impl->context.options.io_threads; ++i)
    impl->io_threads.push_back(std::make_unique<IoThread>(i));
  TRY(impl->listen());
  for (auto& listener : impl->listeners) impl->accept(*listener);
  for (auto& thread : impl->io_threads) {
    impl->guards.emplace_back(asio::make_work_guard(thread->io));
    impl->sweep(*thread);
    impl->threads.emplace_back([raw = impl.get(), &io_thread = *thread] { raw->run(io_thread); });
  }
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() {
  close_all();
  for (auto& thread : impl_->io_threads) {
    // After close_all's own post: its connections have seen their end before the loop stops.
    asio::post(thread->io, [raw = thread.get()] { asio::post(raw->io, [raw] { raw->io.stop(); }); });
  }
  for (std::thread& thread : impl_->threads) thread.join();
  impl_->listeners.clear();
  impl_->guards.clear();
  impl_->context.options.on_drained = nullptr;
  impl_->io_threads.clear();
}

std::uint16_t Server::port() const { return impl_->port; }
std::size_t Server::open_connections() const { return impl_->context.open_connections; }
std::size_t Server::io_threads() const { return impl_->io_threads.size(); }

void Server::set_idle_timeout(std::chrono::milliseconds timeout) { impl_->context.idle_timeout = timeout; }

void Server::begin_drain() {
  impl_->context.draining = true;
  asio::post(impl_->io_threads[0]->io, [impl = impl_.get()] {
    impl->stop_accepting();
    impl->context.tell_if_drained();
  });
  for (auto& thread : impl_->io_threads) {
    asio::post(thread->io, [raw = thread.get()] {
      for (Connection* connection : raw->connections) connection->close_if_idle();
    });
  }
}

void Server::close_all() {
  asio::post(impl_->io_threads[0]->io, [impl = impl_.get()] { impl->stop_accepting(); });
  std::latch closed(static_cast<std::ptrdiff_t>(impl_->io_threads.size()));
  for (auto& thread : impl_->io_threads) {
    asio::post(thread->io, [raw = thread.get(), &closed] {
      {
        std::vector<std::shared_ptr<Connection>> connections;
        for (Connection* connection : raw->connections) {
          if (auto alive = connection->weak_from_this().lock()) connections.push_back(std::move(alive));
        }
        for (const auto& connection : connections) connection->abort();
      }
      closed.count_down();
    });
  }
  closed.wait();
}

void Server::post(std::size_t io_thread, std::function<void()> function) {
  asio::post(impl_->io_threads[io_thread]->io, std::move(function));
}

}  // namespace mlxd::http
