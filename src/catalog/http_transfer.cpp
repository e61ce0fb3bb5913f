#include "catalog/http_transfer.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <exception>

#include "base/ascii.h"

namespace mlxd {
namespace {

constexpr std::size_t kMaxErrorBodyBytes = 16 * 1024;
constexpr std::size_t kMaxHeaderBytes = 256 * 1024;
constexpr long kMaxRedirects = 10;

// One transfer under way, as libcurl's callbacks see it.
struct Exchange {
  const TransferRequest* request = nullptr;
  ResponseHead head = {};
  std::size_t header_bytes = 0;
  bool head_told = false;
  std::optional<Error> error = std::nullopt;  // of a callback
};

bool is_success(int status) { return status >= 200 && status < 300; }

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

// "HTTP/1.1 206 Partial Content" begins each answer, those that redirect too.
void take_header(Exchange& exchange, std::string_view line) {
  if (line.starts_with("HTTP/")) {
    exchange.head = {};
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos) return;
    const std::string_view rest = line.substr(space + 1);
    std::from_chars(rest.data(), rest.data() + rest.size(), exchange.head.status);
    return;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  exchange.head.headers.emplace_back(to_lower(line.substr(0, colon)), trimmed(line.substr(colon + 1)));
}

Result<void> tell_head(Exchange& exchange) {
  if (exchange.head_told) return {};
  exchange.head_told = true;
  if (!exchange.request->on_head) return {};
  return exchange.request->on_head(exchange.head);
}

Result<void> take_body(Exchange& exchange, std::string_view bytes) {
  if (!is_success(exchange.head.status)) {
    const std::size_t room = kMaxErrorBodyBytes - exchange.head.error_body.size();
    exchange.head.error_body += bytes.substr(0, room);
    return {};
  }
  TRY(tell_head(exchange));
  return exchange.request->on_body(bytes);
}

// Whatever a callback throws must not pass through libcurl.
template <typename Function>
std::size_t guarded(Exchange& exchange, std::size_t size, Function function) {
  try {
    Result<void> taken = function();
    if (taken.ok()) return size;
    exchange.error = taken.take_error();
  } catch (const std::exception& failure) {
    exchange.error = Error(ErrorKind::kOutOfMemory, std::string("cannot take an answer: ") + failure.what());
  }
  return 0;
}

std::size_t on_header(char* data, std::size_t, std::size_t size, void* context) {
  auto& exchange = *static_cast<Exchange*>(context);
  return guarded(exchange, size, [&]() -> Result<void> {
    exchange.header_bytes += size;
    if (exchange.header_bytes > kMaxHeaderBytes) return corrupt_data("the server sends too many headers");
    take_header(exchange, {data, size});
    return {};
  });
}

std::size_t on_body(char* data, std::size_t, std::size_t size, void* context) {
  auto& exchange = *static_cast<Exchange*>(context);
  return guarded(exchange, size, [&] { return take_body(exchange, {data, size}); });
}

int on_progress(void* context, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto& exchange = *static_cast<Exchange*>(context);
  return exchange.request->cancelled && exchange.request->cancelled() ? 1 : 0;
}

Error describe(CURLcode code, const char* detail, const std::string& url) {
  const std::string host = url.substr(0, url.find('/', url.find("://") + 3));
  const std::string text =
      host + ": " + (detail != nullptr && *detail != '\0' ? detail : curl_easy_strerror(code));
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return {ErrorKind::kTimeout, text};
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_TOO_MANY_REDIRECTS:
      return {ErrorKind::kInvalidArgument, text};
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
      return {ErrorKind::kUnauthorized, text};
    default:
      return {ErrorKind::kUnavailable, text};
  }
}

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

}  // namespace

std::string_view ResponseHead::header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_case_name) return value;
  }
  return {};
}

std::optional<std::chrono::seconds> ResponseHead::retry_after() const {
  const std::string value(header("retry-after"));
  if (value.empty()) return std::nullopt;
  long long seconds = 0;
  const auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (code == std::errc() && end == value.data() + value.size())
    return std::chrono::seconds(std::max<long long>(0, seconds));
  const time_t at = curl_getdate(value.c_str(), nullptr);
  if (at < 0) return std::nullopt;
  return std::chrono::seconds(std::max<time_t>(0, at - std::time(nullptr)));
}

void HttpTransfer::Free::operator()(void* handle) const { curl_easy_cleanup(handle); }

Result<HttpTransfer> HttpTransfer::create() {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  CURL* handle = ready == CURLE_OK ? curl_easy_init() : nullptr;
  if (handle == nullptr) return Error(ErrorKind::kOutOfMemory, "cannot begin a transfer: libcurl refuses");
  return HttpTransfer(handle);
}

Result<ResponseHead> HttpTransfer::get(const TransferRequest& request) {
  CURL* handle = handle_.get();
  curl_easy_reset(handle);
  Exchange exchange;
  exchange.request = &request;
  std::array<char, CURL_ERROR_SIZE> detail{};
  // Without this libcurl asks for compression as it likes, and ranges would be those of compressed bytes.
  std::unique_ptr<curl_slist, FreeList> headers(curl_slist_append(nullptr, "Accept-Encoding: identity"));
  // libcurl gives a bearer to no other host, port or scheme than the first one's.
  if (!request.token.empty()) {
    curl_easy_setopt(handle, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    curl_easy_setopt(handle, CURLOPT_XOAUTH2_BEARER, request.token.c_str());
  }
  const std::string range = request.offset ? std::to_string(*request.offset) + "-" : std::string();
  if (request.offset) curl_easy_setopt(handle, CURLOPT_RANGE, range.c_str());
  const bool secure = request.url.starts_with("https://");
  curl_easy_setopt(handle, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
  curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(handle, CURLOPT_MAXREDIRS, kMaxRedirects);
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(handle, CURLOPT_USERAGENT, "mlxd/0.1 (libcurl)");
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, detail.data());
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request.connect_timeout.count()));
  curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(request.total_timeout.count()));
  curl_easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.silence_timeout.count()));
  curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(handle, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &exchange);
  curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(handle, CURLOPT_XFERINFODATA, &exchange);

  const CURLcode code = curl_easy_perform(handle);
  if (exchange.error) return *exchange.error;
  if (code == CURLE_ABORTED_BY_CALLBACK) return Error(ErrorKind::kCancelled, "the transfer was stopped");
  if (code != CURLE_OK) return describe(code, detail.data(), request.url);
  // An empty body has called no one.
  if (is_success(exchange.head.status)) TRY(tell_head(exchange));
  return std::move(exchange.head);
}

}  // namespace mlxd
