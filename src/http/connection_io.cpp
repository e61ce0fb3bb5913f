// The socket side of a connection: reading ahead, writing answers, waiting until a slow client takes more.
#include <boost/asio/buffer.hpp>
#include <utility>

#include "http/connection.h"
#include "http/date.h"

namespace mlxd::http {

namespace asio = boost::asio;

void Connection::ensure_reading() {
  if (reading_ || eof_ || closed_) return;
  reading_ = true;
  socket_.async_read_some(
      asio::buffer(read_buffer_),
      [self = shared_from_this()](const boost::system::error_code& code, std::size_t size) {
        self->reading_ = false;
        if (self->closed_) return;
        if (!code) {
          self->input_.append(self->read_buffer_.data(), size);
        } else {
          self->eof_ = true;
          // With an answer under way and no further request read, the end of input means the client has gone.
          const bool answering = self->answer_.active && self->answer_.phase != Phase::kDone;
          const bool more = self->input_.find_first_not_of("\r\n") != std::string::npos;
          if (code != asio::error::eof || (answering && self->answer_.request_read && !more)) {
            self->abort();
            return;
          }
        }
        self->notify();
      });
}

void Connection::flush() {
  if (writing_ || closed_) return;
  for (;;) {
    if (in_flight_offset_ == in_flight_.size()) {
      in_flight_.clear();
      in_flight_offset_ = 0;
      if (output_.empty()) break;
      std::swap(in_flight_, output_);
    }
    boost::system::error_code code;
    const std::size_t written = socket_.write_some(
        asio::buffer(in_flight_.data() + in_flight_offset_, in_flight_.size() - in_flight_offset_), code);
    in_flight_offset_ += written;
    if (code == asio::error::would_block || code == asio::error::try_again) {
      wait_writable();
      return;
    }
    if (code) {
      abort();
      return;
    }
    last_write_ = Clock::real().now();
  }
  write_deadline_ = TimePoint::max();
  if (answer_.phase == Phase::kDone) notify();
}

void Connection::wait_writable() {
  writing_ = true;
  write_deadline_ = Clock::real().now() + context_.options.write_timeout;
  socket_.async_wait(asio::ip::tcp::socket::wait_write,
                     [self = shared_from_this()](const boost::system::error_code& code) {
                       self->writing_ = false;
                       if (self->closed_) return;
                       if (code) {
                         self->abort();
                         return;
                       }
                       self->flush();
                       if (self->closed_ || self->pending_bytes() > 0 || !self->answer_.on_drained) return;
                       // A copy: the callback may end the answer, and with it itself.
                       const auto on_drained = self->answer_.on_drained;
                       on_drained();
                     });
}

void Connection::append_head(const Response& response, bool with_length) {
  answer_.status = response.status;
  output_ += "HTTP/1.1 ";
  output_ += std::to_string(response.status);
  output_ += ' ';
  output_ += reason_phrase(response.status);
  output_ += "\r\nDate: ";
  output_ += http_date(Clock::real().wall_seconds());
  output_ += "\r\nServer: mlxd\r\nX-Request-ID: ";
  output_ += answer_.request_id;
  output_ += "\r\n";
  output_ += answer_.cors_headers;
  if (!response.content_type.empty()) {
    output_ += "Content-Type: ";
    output_ += response.content_type;
    output_ += "\r\n";
  }
  for (const auto& [name, value] : response.headers.fields()) {
    output_ += name;
    output_ += ": ";
    // Whatever a value was made of, it ends no line (RFC 9110, section 5.5).
    for (const char c : value) output_ += static_cast<unsigned char>(c) < ' ' || c == '\x7f' ? '?' : c;
    output_ += "\r\n";
  }
  if (with_length) {
    if (response.status != 204 && response.status != 304) {
      output_ += "Content-Length: ";
      output_ += std::to_string(response.body.size());
      output_ += "\r\n";
    }
  } else if (answer_.chunked) {
    output_ += "Transfer-Encoding: chunked\r\n";
  } else {
    answer_.keep_alive = false;  // the end of the connection is the end of the answer
  }
  output_ += answer_.keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
}

void Connection::append_body_bytes(std::string_view bytes) {
  if (bytes.empty() || answer_.head_only) return;
  if (!answer_.chunked) {
    output_ += bytes;
    return;
  }
  static constexpr char kDigits[] = "0123456789abcdef";
  char digits[16];
  std::size_t num_digits = 0;
  for (std::size_t size = bytes.size(); size > 0; size >>= 4U) digits[num_digits++] = kDigits[size & 15U];
  while (num_digits > 0) output_ += digits[--num_digits];
  output_ += "\r\n";
  output_ += bytes;
  output_ += "\r\n";
}

void Connection::respond(std::uint64_t serial, Response response) {
  if (closed_ || answered(serial)) return;
  append_head(response, true);
  if (!answer_.head_only) output_ += response.body;
  finish_answer();
}

void Connection::answer_error(const Request& request, int status, const Error& error, int retry_after_s,
                              std::string_view allow) {
  // A request that was not read to its end leaves no place to find the next one.
  if (status == 400 || status == 408 || status == 413 || status == 431 || status == 501) {
    if (!answer_.request_read) answer_.keep_alive = false;
  }
  Response response = context_.options.render_error(request, status, error);
  if (retry_after_s > 0) response.headers.add("Retry-After", std::to_string(retry_after_s));
  if (!allow.empty()) response.headers.add("Allow", std::string(allow));
  respond(answer_.serial, std::move(response));
}

void Connection::respond_error(std::uint64_t serial, const Request& request, int status, const Error& error,
                               int retry_after_s) {
  if (closed_ || answered(serial)) return;
  answer_error(request, status, error, retry_after_s);
}

void Connection::begin_stream(std::uint64_t serial, Response response,
                              std::function<std::string()> keep_alive) {
  if (closed_ || answered(serial)) return;
  answer_.phase = Phase::kStreaming;
  answer_.keep_alive_bytes = std::move(keep_alive);
  append_head(response, false);
  append_body_bytes(response.body);
  last_write_ = Clock::real().now();
  flush();
}

void Connection::send(std::uint64_t serial, std::string_view bytes) {
  if (closed_ || serial != answer_.serial || answer_.phase != Phase::kStreaming) return;
  append_body_bytes(bytes);
  flush();
}

void Connection::end(std::uint64_t serial) {
  if (closed_ || serial != answer_.serial || answer_.phase != Phase::kStreaming) return;
  if (answer_.chunked && !answer_.head_only) output_ += "0\r\n\r\n";
  finish_answer();
}

void Connection::cut(std::uint64_t serial) {
  if (closed_ || serial != answer_.serial || answer_.phase != Phase::kStreaming) return;
  answer_.keep_alive = false;
  finish_answer();
}

void Connection::finish_answer() {
  answer_.phase = Phase::kDone;
  answer_.on_gone = nullptr;
  flush();
}

void Connection::release(std::uint64_t serial) {
  if (closed_ || serial != answer_.serial || !answer_.active) return;
  if (answer_.phase == Phase::kStreaming) cut(serial);
  if (answer_.phase == Phase::kNone)
    answer_error({}, 500, Error(ErrorKind::kInternal, "the request was dropped without an answer"));
}

void Connection::set_on_gone(std::uint64_t serial, std::function<void()> callback) {
  if (serial != answer_.serial || answer_.phase == Phase::kDone) return;
  if (closed_) {
    callback();
    return;
  }
  answer_.on_gone = std::move(callback);
}

void Connection::set_on_drained(std::uint64_t serial, std::function<void()> callback) {
  if (closed_ || serial != answer_.serial || answer_.phase == Phase::kDone) return;
  answer_.on_drained = std::move(callback);
}

}  // namespace mlxd::http
