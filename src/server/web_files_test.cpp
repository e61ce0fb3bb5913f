#include "server/web_files.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace mlxd {
namespace {

constexpr std::string_view kPolicy = "default-src 'none'; script-src 'self'";

std::vector<WebFile> some_files() {
  return {{.path = "/index.html",
           .content_type = "text/html; charset=utf-8",
           .hash = "aa",
           .policy = kPolicy,
           .plain = "<html>",
           .gzip = "gz-index",
           .brotli = "br-index"},
          {.path = "/_app/immutable/x.js",
           .content_type = "text/javascript; charset=utf-8",
           .hash = "bb",
           .immutable = true,
           .plain = "plain x",
           .gzip = "gz-x",
           .brotli = ""},
          {.path = "/favicon.svg", .content_type = "image/svg+xml", .hash = "cc", .plain = "<svg>"}};
}

http::Request request_with(std::string_view name, std::string_view value) {
  http::Request request;
  request.method = "GET";
  if (!name.empty()) request.headers.add(std::string(name), std::string(value));
  return request;
}

std::string header(const http::Response& response, std::string_view name) {
  const std::string* value = response.headers.find(name);
  return value != nullptr ? *value : "(none)";
}

TEST(WebFiles, ReadsAcceptEncoding) {
  const auto check = [](std::string_view header, bool gzip, bool brotli) {
    EXPECT_EQ(accepts_encoding(header, "gzip"), gzip) << header;
    EXPECT_EQ(accepts_encoding(header, "br"), brotli) << header;
  };
  check("", false, false);
  check("gzip, deflate, br, zstd", true, true);
  check("GZIP", true, false);
  check("gzip;q=0, br;q=0.5", false, true);
  check("br ; q=0.000,*", true, false);
  check("*;q=0", false, false);
  check("gzip;q=0.001", true, false);
  check(",,;;q=,", false, false);
}

TEST(WebFiles, GivesTheSmallestFormThatTheClientTakes) {
  const std::vector<WebFile> files = some_files();
  const http::Response brotli = WebFiles::answer(files[0], request_with("Accept-Encoding", "gzip, br"));
  EXPECT_EQ(brotli.body, "br-index");
  EXPECT_EQ(header(brotli, "Content-Encoding"), "br");
  EXPECT_EQ(header(brotli, "Vary"), "Accept-Encoding");
  const http::Response gzip = WebFiles::answer(files[1], request_with("Accept-Encoding", "gzip, br"));
  EXPECT_EQ(gzip.body, "gz-x") << "there is no smaller form in brotli";
  const http::Response plain = WebFiles::answer(files[0], request_with("", ""));
  EXPECT_EQ(plain.body, "<html>");
  EXPECT_EQ(header(plain, "Content-Encoding"), "(none)");
  const http::Response image = WebFiles::answer(files[2], request_with("Accept-Encoding", "gzip, br"));
  EXPECT_EQ(image.body, "<svg>");
  EXPECT_EQ(header(image, "Vary"), "(none)");
}

TEST(WebFiles, KeepsNamesWithHashesForeverAndAsksAboutAllOthers) {
  const std::vector<WebFile> files = some_files();
  EXPECT_EQ(header(WebFiles::answer(files[1], request_with("", "")), "Cache-Control"),
            "public, max-age=31536000, immutable");
  EXPECT_EQ(header(WebFiles::answer(files[0], request_with("", "")), "Cache-Control"), "no-cache");
}

TEST(WebFiles, AnswersNotModifiedToATagOfTheSameForm) {
  const std::vector<WebFile> files = some_files();
  for (const std::string_view tag : {"\"aa\"", "W/\"aa\"", "\"zz\", \"aa\"", "*"}) {
    const http::Response same = WebFiles::answer(files[0], request_with("If-None-Match", tag));
    EXPECT_EQ(same.status, 304) << tag;
    EXPECT_TRUE(same.body.empty());
    EXPECT_EQ(header(same, "ETag"), "\"aa\"");
  }
  for (const std::string_view tag : {"\"aa-br\"", "\"a\"", "aa", ""})
    EXPECT_EQ(WebFiles::answer(files[0], request_with("If-None-Match", tag)).status, 200) << tag;
}

TEST(WebFiles, EveryFileHasItsPolicyAndIsTakenForNothingElse) {
  for (const WebFile& file : some_files()) {
    const http::Response response = WebFiles::answer(file, request_with("", ""));
    EXPECT_EQ(header(response, "X-Content-Type-Options"), "nosniff");
    EXPECT_EQ(header(response, "Referrer-Policy"), "no-referrer");
    const std::string policy = header(response, "Content-Security-Policy");
    EXPECT_TRUE(policy.starts_with("default-src 'none'")) << policy;
    EXPECT_EQ(policy.find("unsafe-eval"), std::string::npos);
  }
}

TEST(WebFiles, PagesHaveRoutesAndOtherPathsHaveNone) {
  http::Router router;
  router.add("GET", "/v1/models", [](const http::ExchangePtr&) {});
  WebFiles(some_files(), {"/", "/chat", "/chat/{id}"}).add_routes(router, "1.2.3");
  for (const std::string_view path :
       {"/", "/chat", "/chat/abc", "/_app/immutable/x.js", "/favicon.svg", "/web/server.json"})
    EXPECT_NE(router.match("GET", path).route, nullptr) << path;
  for (const std::string_view path : {"/index.html", "/chat/a/b", "/v1/unknown", "/api/v1/unknown", "/x"})
    EXPECT_EQ(router.match("GET", path).route, nullptr) << path;
  EXPECT_EQ(router.match("GET", "/v1/models").route->pattern, "/v1/models");
  EXPECT_EQ(router.match("POST", "/v1/unknown").allow, "");
}

TEST(WebFiles, WithoutFilesOnlyTheRootAnswers) {
  http::Router router;
  WebFiles({}, {}).add_routes(router, "1.2.3");
  EXPECT_NE(router.match("GET", "/").route, nullptr);
  EXPECT_EQ(router.match("GET", "/chat").route, nullptr);
  EXPECT_EQ(router.match("GET", "/web/server.json").route, nullptr);
}

TEST(WebFiles, WhatTheBuildEmbeddedIsWhole) {
  const std::vector<WebFile> files = embedded_web_files();
  if (files.empty()) {
    EXPECT_TRUE(embedded_web_pages().empty());
    return;
  }
  const auto index = std::find_if(files.begin(), files.end(),
                                  [](const WebFile& file) { return file.path == "/index.html"; });
  ASSERT_NE(index, files.end());
  EXPECT_TRUE(index->plain.starts_with("<!doctype html>"));
  EXPECT_TRUE(index->gzip.starts_with("\x1f\x8b"));
  EXPECT_NE(index->policy.find("script-src 'self' 'sha256-"), std::string_view::npos) << index->policy;
  EXPECT_EQ(index->policy.find("'unsafe-inline'"), std::string_view::npos);
  for (const WebFile& file : files) {
    EXPECT_FALSE(file.plain.empty()) << file.path;
    EXPECT_EQ(file.immutable, file.path.starts_with("/_app/immutable/")) << file.path;
  }
  const std::vector<std::string_view> pages = embedded_web_pages();
  EXPECT_NE(std::find(pages.begin(), pages.end(), "/chat/{id}"), pages.end());
}

}  // namespace
}  // namespace mlxd
