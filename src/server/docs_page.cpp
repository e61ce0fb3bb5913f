#include "server/docs_page.h"

#include <array>
#include <memory>
#include <string>

#include "base/fnv_hash.h"

extern "C" {
extern const char mlxd_docs_html[];
extern const char mlxd_docs_css[];
extern const char mlxd_docs_js[];
extern const char mlxd_docs_end[];
}

namespace mlxd {
namespace {

constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

std::string_view between(const char* begin, const char* end) {
  return {begin, static_cast<std::size_t>(end - begin)};
}

}  // namespace

std::vector<WebFile> docs_page_files() {
  static const std::array<std::string_view, 3> contents = {between(mlxd_docs_html, mlxd_docs_css),
                                                           between(mlxd_docs_css, mlxd_docs_js),
                                                           between(mlxd_docs_js, mlxd_docs_end)};
  static const std::array<std::string, 3> hashes = {std::to_string(fnv_hash(contents[0])),
                                                    std::to_string(fnv_hash(contents[1])),
                                                    std::to_string(fnv_hash(contents[2]))};
  return {{.path = "/docs",
           .content_type = "text/html; charset=utf-8",
           .hash = hashes[0],
           .policy = kPolicy,
           .plain = contents[0]},
          {.path = "/docs/docs.css",
           .content_type = "text/css; charset=utf-8",
           .hash = hashes[1],
           .plain = contents[1]},
          {.path = "/docs/docs.js",
           .content_type = "text/javascript; charset=utf-8",
           .hash = hashes[2],
           .plain = contents[2]}};
}

void add_docs_routes(http::Router& router) {
  for (const WebFile& file : docs_page_files())
    router.add("GET", std::string(file.path), [file](const http::ExchangePtr& exchange) {
      exchange->respond(WebFiles::answer(file, exchange->request));
    });
}

}  // namespace mlxd
