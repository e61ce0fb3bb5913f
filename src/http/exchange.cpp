#include "http/exchange.h"

#include <utility>

#include "http/connection.h"

namespace mlxd::http {

// An exchange is made while its connection's current answer is its own.
Exchange::Exchange(std::shared_ptr<Connection> connection, Request r)
    : request(std::move(r)), connection_(std::move(connection)), serial_(connection_->serial()) {}

// The connection's last reference must go on its own thread.
Exchange::~Exchange() {
  Connection& connection = *connection_;
  connection.post([owned = std::move(connection_), serial = serial_] { owned->release(serial); });
}

void Exchange::post(std::function<void()> function) { connection_->post(std::move(function)); }
std::size_t Exchange::io_thread() const { return connection_->io_thread(); }

void Exchange::respond(Response response) { connection_->respond(serial_, std::move(response)); }

void Exchange::respond_error(int status, const Error& error, int retry_after_s) {
  connection_->respond_error(serial_, request, status, error, retry_after_s);
}

void Exchange::begin_stream(Response response, std::function<std::string()> keep_alive) {
  connection_->begin_stream(serial_, std::move(response), std::move(keep_alive));
}

void Exchange::send(std::string_view bytes) { connection_->send(serial_, bytes); }
void Exchange::end() { connection_->end(serial_); }
void Exchange::cut() { connection_->cut(serial_); }
bool Exchange::answered() const { return connection_->answered(serial_); }
bool Exchange::gone() const { return connection_->gone(serial_); }
std::size_t Exchange::pending_bytes() const { return connection_->pending_bytes(); }

void Exchange::on_gone(std::function<void()> callback) {
  connection_->set_on_gone(serial_, std::move(callback));
}

void Exchange::on_drained(std::function<void()> callback) {
  connection_->set_on_drained(serial_, std::move(callback));
}

}  // namespace mlxd::http
