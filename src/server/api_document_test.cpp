// The document of the API against the server that it describes.
#include "server/api_document.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <set>

#include "server/access_table.h"
#include "server/api_server.h"
#include "server/docs_page.h"
#include "server/testing/manage_client.h"
#include "server/testing/scripted_model.h"

namespace mlxd {
namespace {

namespace json = boost::json;
using testing::ManageCaller;
using testing::ManageReply;

using Routes = std::set<std::pair<std::string, std::string>>;

class ApiDocumentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ApiServer::Options options;
    options.pool = testing::scripted_pool();
    server_ = ApiServer::start(std::move(options)).take_value();
    server_->set_ready();
  }

  ManageCaller caller() const { return ManageCaller(server_->http().port()); }

  std::unique_ptr<ApiServer> server_;
};

// As the document writes it.
std::string path_of(std::string pattern) {
  if (const std::size_t dots = pattern.find("...}"); dots != std::string::npos) pattern.erase(dots, 3);
  return pattern;
}

TEST_F(ApiDocumentTest, has_every_route_of_the_server_and_no_other) {
  const ManageReply reply = caller().get("/openapi.json");
  ASSERT_EQ(reply.status, 200);
  EXPECT_EQ(reply.header("content-type"), "application/json");
  Routes described;
  for (const auto& [path, operations] : reply.body.at("paths").as_object()) {
    for (const auto& [method, operation] : operations.as_object()) {
      std::string name(method);
      std::transform(name.begin(), name.end(), name.begin(),
                     [](char c) { return static_cast<char>(c - 'a' + 'A'); });
      described.emplace(std::move(name), std::string(path));
    }
  }
  Routes served;
  for (const auto& [method, pattern] : server_->routes()) served.emplace(method, path_of(pattern));
  EXPECT_EQ(described, served);
  Routes allowed;
  for (const AccessRule& rule : access_table())
    allowed.emplace(std::string(rule.method), path_of(std::string(rule.pattern)));
  EXPECT_EQ(described, allowed);
}

TEST_F(ApiDocumentTest, says_what_each_route_is_for) {
  for (const AccessRule& rule : access_table()) {
    EXPECT_TRUE(rule.about.ends_with('.')) << rule.method << " " << rule.pattern;
    const bool takes_no_body = rule.method == "GET" || rule.method == "HEAD";
    EXPECT_FALSE(takes_no_body && rule.form.body.fields != nullptr) << rule.pattern;
    EXPECT_EQ(rule.form.body.fields != nullptr, !rule.form.body.name.empty()) << rule.pattern;
  }
}

TEST_F(ApiDocumentTest, is_not_sent_again_to_who_has_it) {
  const ManageReply first = caller().get("/openapi.json");
  const std::string tag = first.header("etag");
  ASSERT_FALSE(tag.empty());
  EXPECT_EQ(caller().call("GET", "/openapi.json", {}, "If-None-Match: " + tag + "\r\n").status, 304);
}

TEST_F(ApiDocumentTest, is_shown_by_a_page_that_fetches_nothing_from_elsewhere) {
  const ManageReply page = caller().get("/docs");
  ASSERT_EQ(page.status, 200);
  EXPECT_EQ(page.header("content-type"), "text/html; charset=utf-8");
  const std::string policy = page.header("content-security-policy");
  EXPECT_NE(policy.find("default-src 'none'"), std::string::npos);
  EXPECT_EQ(policy.find("unsafe"), std::string::npos);
  EXPECT_EQ(page.raw.find("://"), std::string::npos);
  EXPECT_EQ(page.raw.find("<style"), std::string::npos);
  EXPECT_EQ(page.raw.find(" style="), std::string::npos);
  EXPECT_NE(page.raw.find("</html>"), std::string::npos);
  // All that it names is there.
  for (const char* path : {"/docs/docs.css", "/docs/docs.js"}) {
    EXPECT_NE(page.raw.find(path), std::string::npos) << path;
    const ManageReply file = caller().get(path);
    EXPECT_EQ(file.status, 200) << path;
    EXPECT_EQ(file.header("x-content-type-options"), "nosniff") << path;
    EXPECT_FALSE(file.raw.empty()) << path;
  }
  const ManageReply script = caller().get("/docs/docs.js");
  EXPECT_EQ(script.raw.find("://"), std::string::npos);
  EXPECT_EQ(script.raw.find("innerHTML"), std::string::npos);
  EXPECT_EQ(docs_page_files().size(), 3U);
}

}  // namespace
}  // namespace mlxd
