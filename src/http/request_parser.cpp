#include "http/request_parser.h"

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <utility>

#include "base/check.h"

namespace mlxd::http {

namespace beast_http = boost::beast::http;

namespace {

// Whether input within a chunked body may be the beginning of its end, "0\r\n\r\n", and stop short of it.
bool may_be_cut_last_chunk(std::string_view input) {
  constexpr std::size_t kShortestEnd = 5;
  return input.size() < kShortestEnd && input.find_first_not_of("0\r\n") == std::string_view::npos;
}

}  // namespace

struct RequestParser::Impl {
  beast_http::request_parser<beast_http::string_body> parser;
  std::size_t header_limit_bytes = 0;
  std::size_t body_limit_bytes = 0;
  bool header_seen = false;
  int failure_status = 0;
  Error failure{ErrorKind::kInvalidArgument, ""};

  State fail(int status, Error error) {
    failure_status = status;
    failure = std::move(error);
    return State::kFailed;
  }
  State fail(boost::beast::error_code code);
  State check_header();
};

RequestParser::State RequestParser::Impl::fail(boost::beast::error_code code) {
  if (code == beast_http::error::header_limit)
    return fail(431, Error(ErrorKind::kTooLarge, "the request's header is larger than " +
                                                     std::to_string(header_limit_bytes) + " bytes"));
  if (code == beast_http::error::body_limit)
    return fail(413, Error(ErrorKind::kTooLarge, "the request's body is larger than the limit of " +
                                                     std::to_string(body_limit_bytes) + " bytes"));
  return fail(400, invalid_argument("malformed HTTP request: " + code.message()));
}

RequestParser::State RequestParser::Impl::check_header() {
  const auto& message = parser.get();
  const auto encodings = message.count(beast_http::field::transfer_encoding);
  // Anything but exactly one "chunked" would let two programs disagree where the body ends.
  if (encodings > 1 ||
      (encodings == 1 && !boost::beast::iequals(message[beast_http::field::transfer_encoding], "chunked")))
    return fail(501, unsupported("the only transfer encoding supported is chunked"));
  if (message.version() == 11 && message.count(beast_http::field::host) != 1)
    return fail(400, invalid_argument("the request must have exactly one Host header", "Host"));
  return State::kHeader;
}

RequestParser::RequestParser(std::size_t header_limit_bytes) : impl_(std::make_unique<Impl>()) {
  impl_->header_limit_bytes = header_limit_bytes;
  impl_->parser.header_limit(static_cast<std::uint32_t>(header_limit_bytes));
  impl_->parser.body_limit(boost::none);
  impl_->parser.eager(false);
}

RequestParser::~RequestParser() = default;

RequestParser::State RequestParser::put(std::string_view input, std::size_t& consumed) {
  boost::beast::error_code code;
  consumed = 0;
  // Beast asserts that it sees the whole of a last chunk when it looks at it again.
  if (impl_->header_seen && impl_->parser.chunked() && !impl_->parser.is_done() &&
      may_be_cut_last_chunk(input))
    return State::kNeedMore;
  while (consumed < input.size() && !impl_->parser.is_done()) {
    const std::size_t step =
        impl_->parser.put(boost::asio::const_buffer(input.data() + consumed, input.size() - consumed), code);
    consumed += step;
    if (code == beast_http::error::need_more) break;
    if (code) return impl_->fail(code);
    if (!impl_->header_seen && impl_->parser.is_header_done()) {
      impl_->header_seen = true;
      return impl_->check_header();
    }
    if (step == 0) break;
  }
  return impl_->parser.is_done() ? State::kDone : State::kNeedMore;
}

RequestParser::State RequestParser::read_body(std::size_t limit_bytes) {
  CHECK(impl_->header_seen);
  impl_->body_limit_bytes = limit_bytes;
  if (const auto length = content_length(); length && *length > limit_bytes)
    return impl_->fail(make_error_code(beast_http::error::body_limit));
  impl_->parser.body_limit(limit_bytes);
  impl_->parser.eager(true);
  return impl_->parser.is_done() ? State::kDone : State::kNeedMore;
}

int RequestParser::failure_status() const { return impl_->failure_status; }
const Error& RequestParser::failure() const { return impl_->failure; }

bool RequestParser::has_body() const { return !impl_->parser.is_done(); }

std::optional<std::uint64_t> RequestParser::content_length() const {
  const auto length = impl_->parser.content_length();
  if (!length) return std::nullopt;
  return *length;
}

bool RequestParser::expects_continue() const {
  return boost::beast::iequals(impl_->parser.get()[beast_http::field::expect], "100-continue");
}

bool RequestParser::keep_alive() const { return impl_->parser.get().keep_alive(); }
int RequestParser::version() const { return static_cast<int>(impl_->parser.get().version()); }

Request RequestParser::take_head() {
  const auto& message = impl_->parser.get();
  Request request;
  request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  std::string_view target = request.target;
  // Absolute form, as a proxy's client sends it: the path begins after the authority.
  if (const std::size_t scheme = target.find("://");
      scheme != std::string_view::npos && !target.starts_with('/')) {
    const std::size_t slash = target.find('/', scheme + 3);
    target = slash == std::string_view::npos ? std::string_view("/") : target.substr(slash);
  }
  target = target.substr(0, target.find('#'));
  const std::size_t question = target.find('?');
  request.path = std::string(target.substr(0, question));
  if (question != std::string_view::npos) request.query = std::string(target.substr(question + 1));
  for (const auto& field : message)
    request.headers.add(std::string(field.name_string()), std::string(field.value()));
  return request;
}

std::string RequestParser::take_body() { return std::move(impl_->parser.get().body()); }

}  // namespace mlxd::http
