// The web interface: files embedded in the program, each with its compressed forms, and their routes. Pages
// are one index.html, given for the paths of web/src/routes only, so that every other path keeps its own 404.
// Thread rule: immutable after creation; handlers run on I/O threads.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/router.h"

namespace mlxd {

/// All views are of the program's own data or literals: they last.
struct WebFile {
  std::string_view path;  // "/_app/immutable/x.js"
  std::string_view content_type;
  std::string_view hash;         // of the plain bytes
  bool immutable = false;        // its name has its hash, so browsers may keep it
  std::string_view policy = {};  // Content-Security-Policy of a document; empty: none may be made of it
  std::string_view plain = {};
  std::string_view gzip = {};    // empty: not smaller
  std::string_view brotli = {};  // the same
};

/// What the build embedded; empty in a build without the web interface.
std::vector<WebFile> embedded_web_files();
/// Patterns of the pages: "/", "/chat/{id}".
std::vector<std::string_view> embedded_web_pages();

class WebFiles {
 public:
  WebFiles(std::vector<WebFile> files, std::vector<std::string_view> pages);

  /// Adds the routes of all files and pages, and /web/server.json with the program's version and the router's
  /// routes so far: to be called after all others. Without files only "/", which says what is missing.
  void add_routes(http::Router& router, std::string_view version) const;

  /// The answer to a GET for `file`: 200, or 304 where the client has it.
  static http::Response answer(const WebFile& file, const http::Request& request);

 private:
  std::shared_ptr<const std::vector<WebFile>> files_;
  std::vector<std::string_view> pages_;
};

/// Whether an Accept-Encoding header allows `coding` (RFC 9110, section 12.5.3); without the header nothing
/// is.
bool accepts_encoding(std::string_view header, std::string_view coding);

}  // namespace mlxd
