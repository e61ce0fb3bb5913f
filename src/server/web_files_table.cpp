// The table of the embedded files; its rows are made by web/tools/pack.mjs. Without the web interface it is
// empty.
#include "server/web_files.h"

#ifdef MLXD_WEB
extern "C" const char mlxd_web_blob[];
#endif

namespace mlxd {
namespace {

#ifdef MLXD_WEB
struct Piece {
  std::size_t offset;
  std::size_t size;
};

struct Row {
  const char* path;
  const char* content_type;
  const char* hash;
  bool immutable;
  const char* policy;
  Piece plain;
  Piece gzip;
  Piece brotli;
};

constexpr Row kRows[] = {
#include "web_files.inc"
};

constexpr std::string_view kPages[] = {
#include "web_pages.inc"
};

std::string_view bytes_of(const Piece& piece) { return {mlxd_web_blob + piece.offset, piece.size}; }
#endif

}  // namespace

std::vector<WebFile> embedded_web_files() {
  std::vector<WebFile> files;
#ifdef MLXD_WEB
  for (const Row& row : kRows)
    files.push_back({.path = row.path,
                     .content_type = row.content_type,
                     .hash = row.hash,
                     .immutable = row.immutable,
                     .policy = row.policy,
                     .plain = bytes_of(row.plain),
                     .gzip = bytes_of(row.gzip),
                     .brotli = bytes_of(row.brotli)});
#endif
  return files;
}

std::vector<std::string_view> embedded_web_pages() {
#ifdef MLXD_WEB
  return {std::begin(kPages), std::end(kPages)};
#else
  return {};
#endif
}

}  // namespace mlxd
