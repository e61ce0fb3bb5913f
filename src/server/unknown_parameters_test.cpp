// What becomes of fields that no table knows, through HTTP and on every API: the setting unknown-parameters.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>

#include "server/api_server.h"
#include "server/testing/manage_client.h"
#include "server/testing/scripted_model.h"

namespace mlxd {
namespace {

using testing::ManageCaller;
using testing::ManageReply;

constexpr const char* kHeader = "x-mlxd-ignored";

class UnknownParametersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ApiServer::Options options;
    options.management = Management::open({.owner_token = "owner"}).take_value();
    options.pool = testing::scripted_pool();
    server_ = ApiServer::start(std::move(options)).take_value();
    ASSERT_TRUE(server_->models().put(testing::make_scripted_model({})).ok());
    server_->set_ready();
  }
  ManageReply send(const std::string& path, const std::string& body) const {
    return owner().call("POST", path, R"({"model":"scripted",)" + body + "}");
  }
  void warn() const { set(R"("warn")"); }
  void set(const std::string& value) const {
    const ManageReply changed =
        owner().call("PATCH", "/api/v1/settings", R"({"unknown-parameters":)" + value + "}");
    ASSERT_EQ(changed.status, 200) << changed.raw;
  }
  ManageCaller owner() const { return ManageCaller::bearer(server_->http().port(), "owner"); }

  std::unique_ptr<ApiServer> server_;
};

const std::string kMessages = R"("messages":[{"role":"user","content":"Hi"}])";

// A request of every route that generates or counts, and where its unknown field shows.
const std::pair<std::string, std::string> kRequests[] = {
    {"/v1/chat/completions", kMessages},
    {"/v1/chat/completions", kMessages + R"(,"stream":true)"},
    {"/v1/batch/chat/completions", kMessages},
    {"/v1/completions", R"("prompt":"S|")"},
    {"/v1/responses", R"("input":"Hi")"},
    {"/v1/responses", R"("input":"Hi","stream":true)"},
    {"/v1/responses/input_tokens", R"("input":"Hi")"},
    {"/v1/messages", R"("max_tokens":9,)" + kMessages},
    {"/v1/messages", R"("max_tokens":9,"stream":true,)" + kMessages},
    {"/v1/messages/count_tokens", kMessages},
    {"/api/chat", R"("stream":false,)" + kMessages},
    {"/api/chat", R"("stream":false)"},
    {"/api/generate", R"("stream":false,"prompt":"Hi")"},
    {"/v1/tokenize", R"("text":"Hi")"},
    {"/v1/tokenize", kMessages},
    {"/v1/detokenize", R"("tokens":[65])"},
};

TEST_F(UnknownParametersTest, are_refused_by_name_unless_told_otherwise) {
  for (const auto& [path, body] : kRequests) {
    const ManageReply reply = send(path, body + R"(,"mirostat_mode":2)");
    EXPECT_EQ(reply.status, 400) << path;
    EXPECT_NE(reply.raw.find("mirostat_mode"), std::string::npos) << path << reply.raw;
    EXPECT_EQ(reply.header(kHeader), "(none)") << path;
  }
}

TEST_F(UnknownParametersTest, are_let_through_and_told_at_once_where_they_are_warned_of) {
  warn();
  for (const auto& [path, body] : kRequests) {
    const ManageReply plain = send(path, body);
    EXPECT_EQ(plain.status, 200) << path << plain.raw;
    EXPECT_EQ(plain.header(kHeader), "(none)") << path;
    const ManageReply reply = send(path, body + R"(,"mirostat_mode":[{}],"x":null)");
    EXPECT_EQ(reply.status, 200) << path << reply.raw;
    EXPECT_EQ(reply.header(kHeader), "mirostat_mode, x") << path;
  }
  set("null");
  EXPECT_EQ(send("/v1/completions", R"("prompt":"S|","x":1)").status, 400);
}

TEST_F(UnknownParametersTest, of_objects_inside_a_request_are_told_by_their_path) {
  warn();
  const std::string thinks = R"("max_tokens":9,"output_config":{"flavour":1},)";
  EXPECT_EQ(send("/v1/messages", thinks + kMessages).header(kHeader), "output_config.flavour");
  EXPECT_EQ(send("/v1/responses", R"("input":"Hi","text":{"odd":1},"reasoning":{"odd":1})").header(kHeader),
            "text.odd, reasoning.odd");
  EXPECT_EQ(send("/v1/chat/completions", kMessages + R"(,"stream":true,"stream_options":{"odd":1})")
                .header(kHeader),
            "stream_options.odd");
  const ManageReply options =
      send("/api/chat", R"("stream":false,"options":{"tfs_z":0.5,"odd":1},)" + kMessages);
  EXPECT_EQ(options.header(kHeader), "options.tfs_z, options.odd");
}

TEST_F(UnknownParametersTest, do_not_make_known_ones_any_looser) {
  warn();
  EXPECT_EQ(send("/v1/chat/completions", kMessages + R"(,"x":1,"temperature":"hot")").status, 400);
  EXPECT_EQ(send("/v1/chat/completions", kMessages + R"(,"x":1,"audio":{}})").status, 400);
  EXPECT_EQ(send("/v1/completions", R"("x":1)").status, 400);
  // Whoever manages the server means what is written.
  EXPECT_EQ(owner().call("POST", "/api/v1/servers", R"({"model":"scripted","x":1})").status, 400);
  EXPECT_EQ(owner().call("PATCH", "/api/v1/settings", R"({"unknown-parameters":"ignore"})").status, 400);
}

TEST_F(UnknownParametersTest, cannot_become_a_header_nor_one_without_end) {
  warn();
  const ManageReply evil = send("/v1/completions", R"("prompt":"S|","a\r\nX-Evil: 1\r\n\r\n":1,"":1)");
  EXPECT_EQ(evil.status, 200) << evil.raw;
  EXPECT_EQ(evil.header("X-Evil"), "(none)");
  EXPECT_NE(evil.header(kHeader).find("(without a name)"), std::string::npos) << evil.head;
  std::string many = R"("prompt":"S|")";
  for (int i = 0; i < 5000; ++i) many += ",\"" + std::string(100, 'k') + std::to_string(i) + "\":1";
  const ManageReply long_one = send("/v1/completions", many);
  EXPECT_EQ(long_one.status, 200);
  EXPECT_LT(long_one.header(kHeader).size(), 2200U);
  EXPECT_NE(long_one.header(kHeader).find(" more"), std::string::npos);
}

}  // namespace
}  // namespace mlxd
