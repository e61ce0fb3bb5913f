#include "catalog/hub_names.h"

#include <gtest/gtest.h>

#include "catalog/byte_text.h"
#include "catalog/hub_client.h"
#include "catalog/local_models.h"

namespace mlxd {
namespace {

TEST(HubNames, RefusesWhatCouldLeaveItsFolder) {
  for (const char* id :
       {"", "a/b/c", "../x", "a/..", "a--b/c", "-a/b", "a/b.", "a b/c", "a/b.git", "a/", "/a"})
    EXPECT_FALSE(check_repository_id(id).ok()) << id;
  for (const char* id : {"gpt2", "org/name", "mlx-community/Qwen3-0.6B-4bit", "o_r.g/n"})
    EXPECT_TRUE(check_repository_id(id).ok()) << id;
  for (const char* path : {"", "/etc/passwd", "../x", "a/../b", "a//b", "a/./b", "a\\b", "a\nb", "a/"})
    EXPECT_FALSE(is_safe_file_path(path)) << path;
  EXPECT_TRUE(is_safe_file_path("sub/folder/model.safetensors"));
  EXPECT_TRUE(check_revision("refs/pr/1").ok());
  EXPECT_FALSE(check_revision("../main").ok());
  EXPECT_FALSE(check_revision("--flag").ok());
}

TEST(HubNames, FoldersAndRepositories) {
  EXPECT_EQ(repository_folder_name("org/name"), "models--org--name");
  EXPECT_EQ(repository_of_folder("models--org--name"), "org/name");
  EXPECT_EQ(repository_of_folder("models--gpt2"), "gpt2");
  EXPECT_EQ(repository_of_folder("datasets--org--name"), "");
  EXPECT_EQ(url_encoded("a b/ü", true), "a%20b/%C3%BC");
  EXPECT_EQ(url_encoded("refs/pr/1", false), "refs%2Fpr%2F1");
  EXPECT_EQ(url_decoded("a%20b%2"), "a b%2");
}

TEST(HubNames, MatchesPatternsAsFnmatch) {
  const struct {
    const char* text;
    const char* pattern;
    bool matches;
  } cases[] = {
      {"model-00001-of-2.safetensors", "model*.safetensors", true},
      {"sub/model.safetensors", "model*.safetensors", false},
      {"sub/config.json", "*.json", true},
      {"config.jsonx", "*.json", false},
      {"abcabcabd", "*abd", true},
      {"a", "?", true},
      {"", "*", true},
      {"q4.gguf", "q[2-5].gguf", true},
      {"q8.gguf", "q[!2-5].gguf", true},
      {"q4.gguf", "q[!2-5].gguf", false},
      {"a[b", "a[b", true},
  };
  for (const auto& each : cases)
    EXPECT_EQ(matches_pattern(each.text, each.pattern), each.matches) << each.text << " " << each.pattern;
}

TEST(LocalModels, FindsByTagAndByTheEndOfAName) {
  const std::vector<std::string> names = {"mlx-community/Qwen3-0.6B-4bit", "mlx-community/Qwen3-0.6B-8bit",
                                          "mlx-community/Llama-3.2-1B-Instruct-4bit", "own/llama"};
  const struct {
    const char* asked;
    std::vector<std::string> found;
  } cases[] = {
      {"own/llama", {"own/llama"}},
      {"llama", {"own/llama"}},
      {"qwen3-0.6b-8bit", {names[1]}},
      {"Instruct-4bit", {names[2]}},
      {"qwen3-0.6b:8bit", {names[1]}},
      {"qwen3:q4", {names[0]}},
      {"qwen3:0.6b", {names[0], names[1]}},
      {"llama-3.2:1b-instruct-q4", {names[2]}},
      {"llama:latest", {"own/llama"}},
      {"mistral", {}},
      {"", {}},
  };
  for (const auto& each : cases) EXPECT_EQ(matching_names(each.asked, names), each.found) << each.asked;
}

TEST(HubClient, WaitsLongerEachTimeAndNeverTooLong) {
  using std::chrono::milliseconds;
  for (int attempt = 1; attempt < 40; ++attempt) {
    const auto whole =
        std::min<milliseconds>(milliseconds(30000), milliseconds(100) * (1LL << std::min(attempt - 1, 16)));
    const auto delay = retry_delay(milliseconds(100), attempt);
    EXPECT_GE(delay, whole / 2);
    EXPECT_LE(delay, whole);
  }
}

TEST(HubClient, TellsWhatToDoWithARefusal) {
  HubPlaces places;
  places.token_file = "/home/me/token";
  const auto message = [&](int status, const char* code) {
    return describe_refusal({.status = status, .headers = {{"x-error-code", code}}}, places, "org/name",
                            "config.json")
        .message;
  };
  EXPECT_NE(message(401, "GatedRepo").find("accept its licence at https://huggingface.co/org/name"),
            std::string::npos);
  EXPECT_NE(message(401, "GatedRepo").find("/home/me/token"), std::string::npos);
  EXPECT_NE(message(401, "RepoNotFound").find("does not exist or is private"), std::string::npos);
  EXPECT_NE(message(404, "EntryNotFound").find("config.json is not in org/name"), std::string::npos);
  places.token = "t";
  places.token_source = "HF_TOKEN";
  EXPECT_NE(message(403, "GatedRepo").find("HF_TOKEN"), std::string::npos);
  EXPECT_NE(message(401, "").find("refuses the token from HF_TOKEN"), std::string::npos);
}

TEST(ByteText, ThreeDigits) {
  EXPECT_EQ(byte_text(999), "999 B");
  EXPECT_EQ(byte_text(1234), "1.23 kB");
  EXPECT_EQ(byte_text(97'200'000), "97.2 MB");
  EXPECT_EQ(byte_text(300'000), "300 kB");
}

}  // namespace
}  // namespace mlxd
