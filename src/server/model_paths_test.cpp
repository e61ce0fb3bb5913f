// Models that lie elsewhere, through HTTP: given by their paths with --model, named so by an administrator,
// or in a folder that the setting models-folder adds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <utility>

#include "server/api_server.h"
#include "server/testing/manage_client.h"
#include "server/testing/scripted_model.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::ManageCaller;
using testing::ManageReply;

class ModelPathsTest : public ::testing::Test {
 protected:
  // HOME/models has "here"; "far", "more" and another "here" lie elsewhere.
  void SetUp() override {
    for (const char* name : {"models/here", "elsewhere/far", "elsewhere/more", "elsewhere/here"})
      ASSERT_TRUE(testing::write_synthetic_model(folder_.path() / name, {}).ok());
    ApiServer::Options options;
    options.models_folder = folder_.path() / "models";
    options.management = Management::open({.owner_token = "owner"}).take_value();
    options.pool = testing::scripted_pool([](const fs::path& path) -> Result<ServedModelPtr> {
      return testing::make_scripted_model({.name = path.filename().string()});
    });
    server_ = ApiServer::start(std::move(options)).take_value();
    server_->set_ready();
  }
  std::string path(const std::string& name) const { return (folder_.path() / "elsewhere" / name).string(); }
  ManageCaller owner() const { return ManageCaller::bearer(server_->http().port(), "owner"); }
  ManageCaller nobody() const { return ManageCaller(server_->http().port()); }
  /// A member's session, and one of an administrator's.
  ManageCaller account(const std::string& role) const {
    const std::string login = R"({"email":")" + role + R"(@x.org","password":"correct horse")";
    EXPECT_EQ(owner().call("POST", "/api/v1/users", login + R"(,"role":")" + role + "\"}").status, 201);
    return ManageCaller::bearer(
        server_->http().port(),
        nobody().call("POST", "/api/v1/auth/login", login + R"(,"cookie":false})").at("/token"));
  }
  static ManageReply complete(const ManageCaller& who, const std::string& model) {
    return who.call("POST", "/v1/completions",
                    R"({"prompt":"S|","temperature":0,"max_tokens":5,"model":")" + model + "\"}");
  }
  /// Of all models after a look at the disk.
  ManageReply scan() const { return owner().call("POST", "/api/v1/models/scan"); }
  static std::string encoded(std::string text) {
    for (std::size_t at = 0; (at = text.find('/', at)) != std::string::npos;) text.replace(at, 1, "%2F");
    return text;
  }

  testing::TemporaryFolder folder_;
  std::unique_ptr<ApiServer> server_;
};

TEST_F(ModelPathsTest, a_model_given_at_the_start_is_listed_shown_and_stopped_like_others) {
  ASSERT_TRUE(server_->models().load_now(path("far")).ok());
  const ManageReply openai = owner().get("/v1/models/far");
  EXPECT_EQ(openai.at("/loaded"), "true");
  EXPECT_EQ(openai.at("/architecture"), "llama");
  EXPECT_GT(std::stol(openai.at("/size_bytes")), 1000);
  EXPECT_THAT(owner().get("/v1/models").raw, HasSubstr(R"("id":"far")"));
  EXPECT_THAT(scan().raw, HasSubstr(R"("id":"far","source":"path")"));
  const ManageReply shown = owner().get("/api/v1/models/far");
  EXPECT_EQ(shown.at("/path"), path("far"));
  EXPECT_EQ(shown.at("/facts/architecture"), "llama");
  EXPECT_EQ(shown.at("/loaded"), "true");
  EXPECT_EQ(shown.at("/problem"), "null");
  EXPECT_EQ(owner().call("POST", "/api/show", R"({"model":"far"})").at("/details/family"), "llama");
  EXPECT_THAT(owner().get("/api/tags").raw, HasSubstr("\"far"));
  EXPECT_EQ(owner().get("/api/v1/servers/far").at("/state"), "ready");
  EXPECT_EQ(owner().call("DELETE", "/api/v1/servers/" + encoded(path("far")) + "?mode=wait").at("/state"),
            "unloaded");
  EXPECT_EQ(owner().get("/api/v1/servers/" + encoded(path("far"))).at("/model"), "far");
}

TEST_F(ModelPathsTest, only_administrators_ask_for_models_by_path) {
  const ManageReply local = complete(nobody(), path("far"));
  EXPECT_EQ(local.status, 403);
  EXPECT_THAT(local.raw, HasSubstr("only an administrator names models by path"));
  EXPECT_THAT(local.raw, HasSubstr("--model PATH"));
  const ManageCaller admin = account("admin");
  const ManageCaller member = account("user");
  for (const char* route : {"/v1/completions", "/v1/tokenize", "/api/generate", "/v1/messages"}) {
    const bool chats = std::string_view(route) == "/v1/messages";
    const bool tokens = std::string_view(route) == "/v1/tokenize";
    const std::string more = chats    ? R"("max_tokens":3,"messages":[{"role":"user","content":"x"}])"
                             : tokens ? R"("text":"x")"
                                      : R"("prompt":"x")";
    EXPECT_EQ(member.call("POST", route, R"({"model":")" + path("far") + "\"," + more + "}").status, 403)
        << route;
  }
  EXPECT_EQ(member.call("POST", "/api/v1/servers", R"({"model":")" + path("far") + "\"}").status, 403);
  EXPECT_EQ(scan().raw.find("\"far\""), std::string::npos);

  const ManageReply answered = complete(admin, path("far"));
  EXPECT_EQ(answered.status, 200) << answered.raw;
  EXPECT_EQ(answered.at("/model"), "far");
  // From now on by its name, and for all.
  EXPECT_EQ(complete(member, "far").status, 200);
  EXPECT_EQ(complete(member, path("far")).status, 403);
  EXPECT_THAT(scan().raw, HasSubstr(R"("id":"far","source":"path")"));
  EXPECT_LT(admin.call("POST", "/api/v1/servers", R"({"model":")" + path("more") + "\"}").status, 300);
  EXPECT_THAT(scan().raw, HasSubstr(R"("id":"more","source":"path")"));
}

TEST_F(ModelPathsTest, another_name_for_a_path_opens_it_to_nobody_else) {
  account("admin");  // the first one is always an administrator's
  const ManageCaller member = account("user");
  EXPECT_LT(owner().call("PUT", "/api/v1/aliases/mine", R"({"model":")" + path("far") + "\"}").status, 300);
  EXPECT_EQ(complete(member, "mine").status, 403);
  EXPECT_EQ(complete(owner(), "mine").status, 200);
}

TEST_F(ModelPathsTest, a_path_without_a_model_is_told_and_no_name_gets_another_meaning) {
  EXPECT_EQ(complete(owner(), path("none")).status, 404);
  EXPECT_EQ(complete(owner(), folder_.path().string()).status, 404);
  EXPECT_EQ(complete(owner(), "/").status, 404);
  const ManageReply taken = complete(owner(), path("here"));
  EXPECT_EQ(taken.status, 409) << taken.raw;
  EXPECT_THAT(taken.raw, HasSubstr("models/here"));
  EXPECT_EQ(complete(owner(), (folder_.path() / "models" / "here").string() + "/").at("/model"), "here");
  EXPECT_EQ(scan().raw.find(R"("source":"path")"), std::string::npos);
}

TEST_F(ModelPathsTest, what_was_given_by_path_is_never_removed) {
  ASSERT_TRUE(server_->models().add_folder(path("far")).ok());
  // One that hides another of its name is told.
  ASSERT_TRUE(server_->models().add_folder(path("here")).ok());
  EXPECT_THAT(scan().raw, HasSubstr("its name means " + path("here")));
  EXPECT_EQ(owner().get("/api/v1/models/here").at("/path"), path("here"));
  for (const char* name : {"far", "here"}) {
    const ManageReply refused = owner().call("DELETE", std::string("/api/v1/models/") + name);
    EXPECT_EQ(refused.status, 409) << refused.raw;
    EXPECT_THAT(refused.raw, HasSubstr(path(name)));
  }
  EXPECT_EQ(owner().call("DELETE", "/api/delete", R"({"model":"far"})").status, 409);
  EXPECT_TRUE(fs::exists(path("far")));
  EXPECT_TRUE(fs::exists(path("here")));
}

class AddedFoldersTest : public ModelPathsTest {
 protected:
  ManageReply add(const std::string& folders) const {
    return owner().call("PATCH", "/api/v1/settings", R"({"models-folder":)" + folders + "}");
  }
  ManageReply models() const { return owner().get("/api/v1/models"); }
};

TEST_F(AddedFoldersTest, are_listed_and_served_at_once_and_told_apart) {
  const fs::path other = folder_.path() / "other";
  ASSERT_TRUE(testing::write_synthetic_model(other / "org" / "deep", {}).ok());
  ASSERT_TRUE(testing::write_synthetic_model(other / "models--acme--cached" / "snapshots" / "1234", {}).ok());
  EXPECT_EQ(complete(owner(), "far").status, 404);
  const ManageReply added = add("[\"" + path("") + "\",\"" + other.string() + "\"]");
  ASSERT_EQ(added.status, 200) << added.raw;
  const std::string list = models().raw;
  for (const char* id : {"far", "more", "org/deep", "acme/cached"})
    EXPECT_THAT(list, HasSubstr(R"("id":")" + std::string(id) + R"(","source":"added")"));
  EXPECT_THAT(list, HasSubstr(R"("id":"here","source":"folder")"));
  EXPECT_THAT(list, HasSubstr("its name means " + (folder_.path() / "models" / "here").string()));
  EXPECT_EQ(owner().get("/api/v1/models/org/deep").at("/facts/architecture"), "llama");
  EXPECT_THAT(owner().get("/v1/models").raw, HasSubstr(R"("id":"org/deep")"));
  for (const char* name : {"far", "org/deep", "deep", "acme/cached"})
    EXPECT_EQ(complete(nobody(), name).status, 200) << name;

  // What is no place any more is no model's; what is loaded can be stopped.
  ASSERT_EQ(add("null").status, 200);
  EXPECT_EQ(models().raw.find("\"added\""), std::string::npos);
  EXPECT_EQ(complete(owner(), "far").status, 404);
  EXPECT_EQ(owner().call("DELETE", "/api/v1/servers/far?mode=wait").status, 200);
}

TEST_F(AddedFoldersTest, are_not_removed_from_unless_it_is_said) {
  ASSERT_EQ(add("[\"" + path("") + "\"]").status, 200);
  const ManageReply refused = owner().call("DELETE", "/api/v1/models/far");
  EXPECT_EQ(refused.status, 409) << refused.raw;
  EXPECT_THAT(refused.raw, HasSubstr("?added=1"));
  EXPECT_EQ(owner().call("DELETE", "/api/delete", R"({"model":"more"})").status, 409);
  EXPECT_TRUE(fs::exists(path("far")));
  const ManageReply removed = owner().call("DELETE", "/api/v1/models/far?added=1");
  EXPECT_EQ(removed.status, 200) << removed.raw;
  EXPECT_FALSE(fs::exists(path("far")));
  EXPECT_TRUE(fs::exists(path("more")));
}

TEST_F(AddedFoldersTest, are_whole_paths_and_may_be_absent) {
  const ManageReply relative = add(R"(["models"])");
  EXPECT_EQ(relative.status, 400);
  EXPECT_THAT(relative.raw, HasSubstr("must begin with / or ~/"));
  EXPECT_EQ(add(R"(["/nowhere/at/all"])").status, 200);
  EXPECT_EQ(models().status, 200);
  EXPECT_EQ(add("[\"" + (folder_.path() / "models").string() + "\"]").status, 200);
  EXPECT_EQ(models().raw.find("\"added\""), std::string::npos);
}

}  // namespace
}  // namespace mlxd
