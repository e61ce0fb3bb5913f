#include "server/web_files.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "api/json_text.h"
#include "base/error.h"

namespace mlxd {
namespace {

constexpr std::string_view kMissingPage =
    "mlxd is running, without its web interface: this program was built with -DMLXD_WEB=OFF, or without "
    "Node.\n"
    "Build it with script/build to have it here. The API works: see /v1/models.\n";

constexpr std::string_view kRunning = "Ollama is running";

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string_view take_part(std::string_view& list, char separator) {
  const std::size_t end = list.find(separator);
  const std::string_view part = list.substr(0, end);
  list = end == std::string_view::npos ? std::string_view() : list.substr(end + 1);
  return trimmed(part);
}

// "q=0", "q=0.000": the one weight that forbids.
bool is_zero_weight(std::string_view parameter) {
  if (!parameter.starts_with("q=") && !parameter.starts_with("Q=")) return false;
  parameter.remove_prefix(2);
  return parameter.starts_with('0') && parameter.find_first_not_of("0.") == std::string_view::npos;
}

std::string_view header_of(const http::Request& request, std::string_view name) {
  const std::string* value = request.headers.find(name);
  return value != nullptr ? std::string_view(*value) : std::string_view();
}

// Weak comparison (RFC 9110, section 13.1.2): a proxy may have weakened it.
bool has_tag(std::string_view header, std::string_view tag) {
  while (!header.empty()) {
    std::string_view each = take_part(header, ',');
    if (each == "*") return true;
    if (each.starts_with("W/")) each.remove_prefix(2);
    if (each == tag) return true;
  }
  return false;
}

bool wants_html(const http::Request& request) {
  const std::string_view accept = header_of(request, "accept");
  return accept.empty() || accept.find("text/html") != std::string_view::npos ||
         accept.find("text/*") != std::string_view::npos || accept.find("*/*") != std::string_view::npos;
}

// At "/" the clients of Ollama ask whether it is running; only a browser says that it wants a page.
bool names_html(const http::Request& request) {
  const std::string_view accept = header_of(request, "accept");
  return accept.find("text/html") != std::string_view::npos ||
         accept.find("text/*") != std::string_view::npos;
}

http::Response running_answer() {
  http::Response response;
  response.content_type = "text/plain; charset=utf-8";
  response.headers.add("Vary", "Accept");
  response.body = std::string(kRunning);
  return response;
}

std::string server_json(const http::Router& router, std::string_view version) {
  std::string out = R"({"version":)";
  api::append_json_string(out, version);
  out += R"(,"routes":[)";
  bool first = true;
  for (const http::Route& route : router.routes()) {
    if (!first) out += ',';
    first = false;
    api::append_json_string(out, route.method + " " + route.pattern);
  }
  out += "]}";
  return out;
}

}  // namespace

bool accepts_encoding(std::string_view header, std::string_view coding) {
  bool any = false;
  while (!header.empty()) {
    std::string_view part = take_part(header, ',');
    const std::string_view name = take_part(part, ';');
    const bool allowed = !is_zero_weight(trimmed(part));
    if (http::equals_ignoring_case(name, coding)) return allowed;
    if (name == "*") any = allowed;
  }
  return any;
}

WebFiles::WebFiles(std::vector<WebFile> files, std::vector<std::string_view> pages)
    : files_(std::make_shared<const std::vector<WebFile>>(std::move(files))), pages_(std::move(pages)) {}

http::Response WebFiles::answer(const WebFile& file, const http::Request& request) {
  const std::string_view accepted = header_of(request, "accept-encoding");
  std::string_view body = file.plain;
  std::string_view coding;
  if (!file.brotli.empty() && accepts_encoding(accepted, "br")) {
    body = file.brotli;
    coding = "br";
  } else if (!file.gzip.empty() && accepts_encoding(accepted, "gzip")) {
    body = file.gzip;
    coding = "gzip";
  }
  // Each form has a tag of its own, as tags stand for bytes.
  const std::string tag =
      "\"" + std::string(file.hash) + (coding.empty() ? "" : "-" + std::string(coding)) + "\"";
  http::Response response;
  response.content_type = std::string(file.content_type);
  response.headers.add("ETag", tag);
  response.headers.add("Cache-Control", file.immutable ? "public, max-age=31536000, immutable" : "no-cache");
  if (!file.gzip.empty() || !file.brotli.empty()) response.headers.add("Vary", "Accept-Encoding");
  response.headers.add("X-Content-Type-Options", "nosniff");
  response.headers.add("Referrer-Policy", "no-referrer");
  response.headers.add("Content-Security-Policy", file.policy.empty()
                                                      ? "default-src 'none'; frame-ancestors 'none'"
                                                      : std::string(file.policy));
  if (has_tag(header_of(request, "if-none-match"), tag)) {
    response.status = 304;
    response.content_type.clear();
    return response;
  }
  if (!coding.empty()) response.headers.add("Content-Encoding", std::string(coding));
  response.body = std::string(body);
  return response;
}

void WebFiles::add_routes(http::Router& router, std::string_view version) const {
  const auto& files = *files_;
  const auto index = std::find_if(files.begin(), files.end(),
                                  [](const WebFile& file) { return file.path == "/index.html"; });
  if (index == files.end()) {
    router.add("GET", "/", [](const http::ExchangePtr& exchange) {
      if (!names_html(exchange->request)) return exchange->respond(running_answer());
      http::Response response;
      response.content_type = "text/plain; charset=utf-8";
      response.body = std::string(kMissingPage);
      exchange->respond(std::move(response));
    });
    return;
  }
  router.add("GET", "/web/server.json",
             [body = server_json(router, version)](const http::ExchangePtr& exchange) {
               http::Response response;
               response.headers.add("Cache-Control", "no-store");
               response.body = body;
               exchange->respond(std::move(response));
             });
  // Names with hashes in them are many: one route for all, as metrics count by route.
  constexpr std::string_view kApp = "/_app/";
  for (const WebFile& file : files) {
    if (&file == &*index || file.path.starts_with(kApp)) continue;
    router.add("GET", std::string(file.path), [kept = files_, &file](const http::ExchangePtr& exchange) {
      exchange->respond(answer(file, exchange->request));
    });
  }
  std::unordered_map<std::string_view, const WebFile*> by_path;
  for (const WebFile& file : files) by_path.emplace(file.path, &file);
  router.add("GET", "/_app/{file...}", [kept = files_, by_path](const http::ExchangePtr& exchange) {
    const auto found = by_path.find(exchange->request.path);
    if (found != by_path.end()) return exchange->respond(answer(*found->second, exchange->request));
    exchange->respond_error(404, not_found("the web interface of this version has no file " +
                                           exchange->request.path.substr(0, 200) + ": reload the page"));
  });
  for (const std::string_view page : pages_) {
    if (page == "/") {
      router.add("GET", "/", [kept = files_, file = &*index](const http::ExchangePtr& exchange) {
        exchange->respond(names_html(exchange->request) ? answer(*file, exchange->request)
                                                        : running_answer());
      });
      continue;
    }
    router.add("GET", std::string(page), [kept = files_, file = &*index](const http::ExchangePtr& exchange) {
      if (wants_html(exchange->request)) return exchange->respond(answer(*file, exchange->request));
      exchange->respond_error(404, not_found(exchange->request.path.substr(0, 200) +
                                             " is a page, and the request accepts no text/html"));
    });
  }
}

}  // namespace mlxd
