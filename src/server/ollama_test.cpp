// Ollama's API over HTTP, with models whose answers are known and a hub of one repository.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <string>
#include <vector>

#include "catalog/testing/tiny_hub.h"
#include "http/testing/raw_client.h"
#include "server/api_server.h"
#include "server/testing/scripted_model.h"

namespace mlxd {
namespace {

namespace json = boost::json;
using http::testing::RawClient;
using http::testing::RawResponse;
using testing::kAnswer;
using testing::make_scripted_model;
using testing::TinyHub;

std::vector<json::value> lines_of(const std::string& body) {
  std::vector<json::value> lines;
  for (std::size_t at = 0; at < body.size();) {
    const std::size_t end = body.find('\n', at);
    EXPECT_NE(end, std::string::npos) << "a line without an end";
    lines.push_back(json::parse(body.substr(at, end - at)));
    if (end == std::string::npos) break;
    at = end + 1;
  }
  return lines;
}

class OllamaOverHttp : public ::testing::Test {
 protected:
  void TearDown() override {
    server_.reset();
    unsetenv("HF_ENDPOINT");
  }

  /// One model, "scripted", that says `answer`.
  void serve(const std::string& answer = std::string(kAnswer)) {
    ApiServer::Options options;
    options.pool = testing::scripted_pool();
    start(std::move(options));
    ASSERT_TRUE(server_->models().put(make_scripted_model({.answer = answer})).ok());
  }
  /// Folders "tiny-4bit" and "other" that are loaded when they are asked for.
  void serve_folders() {
    for (const char* name : {"tiny-4bit", "other"})
      ASSERT_TRUE(testing::write_synthetic_model(folder_.path() / "models" / name, {}).ok());
    ApiServer::Options options;
    options.models_folder = folder_.path() / "models";
    options.pool = testing::scripted_pool([](const std::filesystem::path& path) -> Result<ServedModelPtr> {
      return make_scripted_model({.name = path.filename().string()});
    });
    start(std::move(options));
  }
  /// A cache into which models of the hub are pulled.
  void serve_hub() {
    setenv("HF_ENDPOINT", hub_.endpoint().c_str(), 1);
    ApiServer::Options options;
    options.hub_cache = folder_.path() / "hub";
    options.pool = testing::scripted_pool();
    start(std::move(options));
  }
  void start(ApiServer::Options options) {
    options.management = Management::open({.owner_token = "owner"}).take_value();
    server_ = ApiServer::start(std::move(options)).take_value();
    server_->set_ready();
  }

  RawClient client() const { return RawClient(server_->http().port()); }
  RawResponse send(std::string_view method, std::string_view path, std::string_view body = {}) const {
    return client().request(method, path, body, "Authorization: Bearer owner\r\n");
  }
  json::value call(std::string_view method, std::string_view path, std::string_view body = {},
                   int status = 200) const {
    const RawResponse response = send(method, path, body);
    EXPECT_EQ(response.status, status) << path << " " << body << ": " << response.body;
    return response.body.empty() ? json::value(nullptr) : json::parse(response.body);
  }
  json::value chat(const std::string& more, int status = 200) const {
    return call("POST", "/api/chat",
                R"({"model":"scripted","stream":false,"messages":[{"role":"user","content":"Weather?"}])" +
                    more + "}",
                status);
  }
  std::string loaded() const { return json::serialize(call("GET", "/api/ps").at("models")); }
  std::string state_of_download() const {
    const json::value all = call("GET", "/api/v1/downloads");
    const json::array& list = all.at("downloads").as_array();
    return list.empty() ? "" : std::string(list[0].at("state").as_string());
  }
  void wait_for_download(const std::string& state) const {
    for (int i = 0; i < 20000 && state_of_download() != state; ++i) {
    }
    EXPECT_EQ(state_of_download(), state);
  }

  testing::TemporaryFolder folder_;
  TinyHub hub_{{{"config.json", R"({"model_type":"llama","hidden_size":64})"},
                {"model.safetensors", std::string(300'000, 'w')}}};
  std::unique_ptr<ApiServer> server_;
};

const std::string kTools =
    R"(,"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}])";
const std::string kCalls =
    "<think>\nHm, rain?\n</think>\n\nI look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": "
    "\"São\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": "
    "\"São\"}}\n</tool_call>";

TEST_F(OllamaOverHttp, answers_whole_and_in_lines_alike) {
  serve();
  const json::value whole = chat(R"(,"options":{"temperature":0})");
  EXPECT_EQ(whole.at("model"), "scripted");
  EXPECT_EQ(whole.at_pointer("/message/content"), json::value(std::string(kAnswer)));
  EXPECT_EQ(whole.at("done"), true);
  EXPECT_EQ(whole.at("done_reason"), "stop");
  const json::value openai =
      call("POST", "/v1/chat/completions",
           R"({"model":"scripted","messages":[{"role":"user","content":"Weather?"}]})");
  EXPECT_EQ(openai.at_pointer("/choices/0/message/content"), whole.at_pointer("/message/content"));
  EXPECT_EQ(openai.at_pointer("/usage/prompt_tokens"), whole.at("prompt_eval_count"));
  EXPECT_EQ(openai.at_pointer("/usage/completion_tokens"), whole.at("eval_count"));
  const RawResponse streamed =
      send("POST", "/api/chat", R"({"model":"scripted","messages":[{"role":"user","content":"Weather?"}]})");
  EXPECT_EQ(streamed.header("Content-Type"), "application/x-ndjson");
  std::string content;
  const std::vector<json::value> lines = lines_of(streamed.body);
  ASSERT_GE(lines.size(), 2U);
  for (const json::value& line : lines) {
    EXPECT_EQ(line.at("model"), "scripted");
    EXPECT_EQ(line.at_pointer("/message/role"), "assistant");
    EXPECT_EQ(line.at("done"), &line == &lines.back());
    content += std::string(line.at_pointer("/message/content").as_string());
  }
  EXPECT_EQ(content, kAnswer);
  const json::object& last = lines.back().as_object();
  EXPECT_EQ(last.at("done_reason"), "stop");
  for (const char* count : {"prompt_eval_count", "eval_count"}) EXPECT_EQ(last.at(count), whole.at(count));
  for (const char* time : {"total_duration", "load_duration", "prompt_eval_duration", "eval_duration"}) {
    EXPECT_GE(last.at(time).as_int64(), 0) << time;
    EXPECT_LE(last.at(time).as_int64(), last.at("total_duration").as_int64()) << time;
  }
  EXPECT_GT(last.at("total_duration").as_int64(), 0);
  EXPECT_GT(last.at("prompt_eval_duration").as_int64(), 0);
}

TEST_F(OllamaOverHttp, generates_from_a_prompt_and_from_a_raw_one) {
  serve();
  const auto generate = [&](const std::string& more) {
    return call("POST", "/api/generate", R"({"model":"scripted","stream":false,)" + more + "}");
  };
  const json::value turn = generate(R"("prompt":"Weather?","options":{"num_predict":5,"seed":1})");
  EXPECT_EQ(turn.at("response"), "Héll");
  EXPECT_EQ(turn.at("done_reason"), "length");
  EXPECT_EQ(turn.at("eval_count"), 5);
  EXPECT_EQ(turn.as_object().if_contains("message"), nullptr);
  const json::value raw = generate(R"("prompt":"x|","raw":true,"options":{"stop":["wörld"]})");
  EXPECT_EQ(raw.at("response"), "Héllo ");
  EXPECT_EQ(raw.at("done_reason"), "stop");
  const RawResponse streamed = send("POST", "/api/generate", R"({"model":"scripted","prompt":"Hi"})");
  std::string text;
  for (const json::value& line : lines_of(streamed.body))
    text += std::string(line.at("response").as_string());
  EXPECT_EQ(text, kAnswer);
}

TEST_F(OllamaOverHttp, calls_and_thoughts_come_as_objects_streamed_and_not) {
  serve(kCalls);
  const json::value whole = chat(kTools);
  const json::object& message = whole.at("message").as_object();
  EXPECT_EQ(message.at("content"), "I look.");
  EXPECT_EQ(message.at("thinking"), "Hm, rain?");
  const json::array& calls = message.at("tool_calls").as_array();
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].at_pointer("/function/name"), "weather");
  EXPECT_EQ(calls[0].at_pointer("/function/arguments/city"), "São");
  EXPECT_EQ(calls[1].at_pointer("/function/index"), 1);
  EXPECT_NE(calls[0].at("id"), calls[1].at("id"));
  EXPECT_EQ(whole.at("done_reason"), "stop");
  const RawResponse streamed =
      send("POST", "/api/chat",
           R"({"model":"scripted","messages":[{"role":"user","content":"Weather?"}])" + kTools + "}");
  std::string content;
  std::string thinking;
  json::array streamed_calls;
  for (const json::value& line : lines_of(streamed.body)) {
    const json::object& piece = line.at("message").as_object();
    content += std::string(piece.at("content").as_string());
    if (const json::value* text = piece.if_contains("thinking")) thinking += std::string(text->as_string());
    if (const json::value* some = piece.if_contains("tool_calls"))
      for (const json::value& each : some->as_array()) streamed_calls.push_back(each.at("function"));
  }
  EXPECT_EQ(content, "I look.");
  EXPECT_EQ(thinking, "Hm, rain?");
  ASSERT_EQ(streamed_calls.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(streamed_calls[i], calls[i].at("function"));
}

TEST_F(OllamaOverHttp, a_format_is_kept_whatever_the_model_would_say) {
  serve("Certainly!");
  for (int seed = 0; seed < 4; ++seed) {
    const json::value whole = chat(
        R"(,"options":{"temperature":1.5,"num_predict":400,"seed":)" + std::to_string(seed) +
        R"(},"format":{"type":"object","properties":{"sure":{"type":"boolean"}},"required":["sure"],"additionalProperties":false})");
    if (whole.at("done_reason") != "stop") continue;
    const json::value answer = json::parse(whole.at_pointer("/message/content").as_string());
    EXPECT_TRUE(answer.at("sure").is_bool());
    EXPECT_EQ(answer.as_object().size(), 1U);
  }
  const json::value refused = chat(R"(,"format":{"type":"strange"})", 400);
  EXPECT_TRUE(refused.at("error").as_string().starts_with("format")) << refused;
}

TEST_F(OllamaOverHttp, errors_are_a_text_and_say_what_is_ignored) {
  serve();
  const auto error_of = [](const json::value& answer) { return std::string(answer.at("error").as_string()); };
  EXPECT_NE(error_of(chat(R"(,"temperature":1)", 400)).find("temperature"), std::string::npos);
  EXPECT_EQ(error_of(chat(R"(,"think":true)", 400)), "think is not supported: this model does not reason");
  chat(R"(,"think":false)");
  EXPECT_NE(error_of(call("POST", "/api/chat", R"({"model":"none","messages":[]})", 404)).find("'none'"),
            std::string::npos);
  EXPECT_NE(error_of(call("POST", "/api/chat", "{", 400)).find("JSON"), std::string::npos);
  call("GET", "/api/chat", {}, 405);
  call("GET", "/api/unknown", {}, 404);
  const RawResponse ignored = send(
      "POST", "/api/chat",
      R"({"model":"scripted","stream":false,"messages":[{"role":"user","content":"x"}],"options":{"tfs_z":0.5,"odd":1}})");
  EXPECT_EQ(ignored.status, 200) << ignored.body;
  EXPECT_EQ(ignored.header("x-mlxd-ignored"), "options.tfs_z, options.odd");
  // As in Ollama's own examples, which let curl say what the body is.
  const RawResponse form = client().request("POST", "/api/generate", R"({"model":"scripted","prompt":"x"})",
                                            "Content-Type: application/x-www-form-urlencoded\r\n");
  EXPECT_EQ(form.status, 200) << form.body;
}

TEST_F(OllamaOverHttp, what_is_ignored_cannot_become_a_header) {
  serve();
  const RawResponse response =
      send("POST", "/api/chat",
           R"({"model":"scripted","stream":false,"messages":[{"role":"user","content":"Hi"}],)"
           R"("options":{"a\r\nX-Evil: 1\r\n\r\n":1,"stop":["",""]}})");
  EXPECT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.header("x-evil"), "(none)");
  EXPECT_NE(response.header("x-mlxd-ignored").find("a??X-Evil: 1"), std::string::npos) << response.head;
}

TEST_F(OllamaOverHttp, what_there_is_not_says_so) {
  serve();
  for (const char* path :
       {"/api/embed", "/api/embeddings", "/api/create", "/api/push", "/api/blobs/sha256:ab"})
    EXPECT_FALSE(call("POST", path, R"({"model":"scripted"})", 501).at("error").as_string().empty()) << path;
  EXPECT_EQ(send("HEAD", "/api/blobs/sha256:ab").status, 501);
}

TEST_F(OllamaOverHttp, tells_programs_that_it_runs_and_gives_browsers_the_page) {
  serve();
  for (const char* accept : {"", "Accept: application/json\r\n", "Accept: */*\r\n"}) {
    const RawResponse probe = client().request("GET", "/", {}, accept);
    EXPECT_EQ(probe.body, "Ollama is running") << accept;
    EXPECT_EQ(client().request("HEAD", "/", {}, accept).status, 200);
  }
  const RawResponse page =
      client().request("GET", "/", {}, "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.body.find("Ollama is running"), std::string::npos);
  const json::value version = call("GET", "/api/version");
  EXPECT_TRUE(version.at("version").is_string());
  EXPECT_TRUE(version.at("mlxd").is_string());
}

TEST_F(OllamaOverHttp, an_empty_request_loads_or_lets_go) {
  serve_folders();
  EXPECT_EQ(loaded(), "[]");
  const json::value load = call("POST", "/api/generate", R"({"model":"tiny:4bit","keep_alive":-1})");
  EXPECT_EQ(load.at("model"), "tiny:4bit");
  EXPECT_EQ(load.at("response"), "");
  EXPECT_EQ(load.at("done_reason"), "load");
  const json::value ps = call("GET", "/api/ps");
  ASSERT_EQ(ps.at("models").as_array().size(), 1U);
  const json::value& model = ps.at("models").at(0);
  EXPECT_EQ(model.at("name"), "tiny-4bit");
  EXPECT_EQ(model.at("context_length"), 4096);
  EXPECT_EQ(model.at("digest").as_string().size(), 64U);
  const json::value unload =
      call("POST", "/api/chat", R"({"model":"tiny-4bit:latest","messages":[],"keep_alive":0})");
  EXPECT_EQ(unload.at("done_reason"), "unload");
  for (int i = 0; i < 20000 && loaded() != "[]"; ++i) {
  }
  EXPECT_EQ(loaded(), "[]");
  // What is not there need not come for it.
  call("POST", "/api/generate", R"({"model":"other","keep_alive":0})");
  EXPECT_EQ(loaded(), "[]");
  EXPECT_LT(send("POST", "/api/v1/servers", R"({"model":"other","pin":true})").status, 300);
  const json::value refused = call("POST", "/api/generate", R"({"model":"other","keep_alive":"0s"})", 409);
  EXPECT_NE(refused.at("error").as_string().find("kept loaded"), std::string::npos);
}

TEST_F(OllamaOverHttp, lists_shows_copies_and_deletes) {
  serve_folders();
  const json::value tags = call("GET", "/api/tags");
  ASSERT_EQ(tags.at("models").as_array().size(), 2U);
  const json::value& other = tags.at("models").at(0);
  EXPECT_EQ(other.at("name"), "other");
  EXPECT_GT(other.at("size").as_int64(), 1000);
  EXPECT_EQ(other.at("digest").as_string().size(), 64U);
  EXPECT_NE(other.at("digest"), tags.at("models").at(1).at("digest"));
  EXPECT_EQ(call("GET", "/api/tags"), tags);
  const json::value shown = call("POST", "/api/show", R"({"model":"tiny:4bit"})");
  EXPECT_EQ(shown.at_pointer("/details/format"), "safetensors");
  EXPECT_EQ(shown.at_pointer("/model_info/general.architecture"), shown.at_pointer("/details/family"));
  EXPECT_NE(shown.at("template").as_string().find("message"), std::string::npos);
  EXPECT_EQ(shown.at("capabilities").at(0), "completion");
  call("POST", "/api/show", R"({"model":"none"})", 404);

  call("POST", "/api/copy", R"({"source":"tiny:4bit","destination":"mine"})");
  const json::value copied = call("POST", "/api/show", R"({"name":"mine:latest"})");
  EXPECT_EQ(copied.at_pointer("/details/parent_model"), "tiny-4bit");
  const json::value answer =
      call("POST", "/api/chat",
           R"({"model":"mine:latest","stream":false,"messages":[{"role":"user","content":"x"}]})");
  EXPECT_EQ(answer.at("model"), "mine:latest");
  EXPECT_EQ(call("GET", "/api/tags").at("models").as_array().size(), 3U);
  call("POST", "/api/copy", R"({"source":"none","destination":"x"})", 404);
  call("POST", "/api/copy", R"({"source":"mine","destination":"other"})", 409);
  call("DELETE", "/api/delete", R"({"model":"mine"})");
  call("POST", "/api/show", R"({"model":"mine"})", 404);

  // In use it stays.
  call("DELETE", "/api/delete", R"({"model":"tiny-4bit"})", 409);
  call("DELETE", "/api/delete", R"({"name":"other:latest"})");
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "models" / "other"));
  EXPECT_EQ(call("GET", "/api/tags").at("models").as_array().size(), 1U);
  call("DELETE", "/api/delete", R"({"model":"other"})", 404);
}

TEST_F(OllamaOverHttp, pulls_with_progress_and_ends_in_success) {
  serve_hub();
  const RawResponse pulled = send("POST", "/api/pull", R"({"model":"hf.co/org/tiny"})");
  EXPECT_EQ(pulled.header("Content-Type"), "application/x-ndjson");
  const std::vector<json::value> lines = lines_of(pulled.body);
  ASSERT_GE(lines.size(), 3U) << pulled.body;
  EXPECT_EQ(lines.front().at("status"), "pulling manifest");
  EXPECT_EQ(lines.back(), json::parse(R"({"status":"success"})"));
  json::value weights;
  for (const json::value& line : lines)
    if (line.at("status") == "pulling model.safetensors") weights = line;
  ASSERT_TRUE(weights.is_object()) << pulled.body;
  EXPECT_EQ(weights.at("total"), 300'000);
  EXPECT_EQ(weights.at("completed"), 300'000);
  EXPECT_EQ(weights.at("digest"), json::value("sha256:" + TinyHub::sha256(std::string(300'000, 'w'))));
  EXPECT_EQ(call("POST", "/api/pull", R"({"name":"org/tiny","stream":false})"), lines.back());
  EXPECT_EQ(call("GET", "/api/tags").at("models").at(0).at("name"), "org/tiny");
}

TEST_F(OllamaOverHttp, refuses_to_pull_what_the_hub_cannot_have) {
  serve_hub();
  EXPECT_NE(
      call("POST", "/api/pull", R"({"model":"llama3.2"})", 404).at("error").as_string().find("ORG/NAME"),
      std::string::npos);
  call("POST", "/api/pull", R"({"model":"org/tiny:q4"})", 400);
  call("POST", "/api/pull", "{}", 400);
}

TEST_F(OllamaOverHttp, a_pull_whose_client_leaves_is_paused_and_the_next_one_goes_on) {
  serve_hub();
  hub_.hold_after(100'000);
  {
    RawClient client(server_->http().port());
    client.send(RawClient::message("POST", "/api/pull", R"({"model":"org/tiny"})",
                                   "Authorization: Bearer owner\r\n"));
    EXPECT_NE(client.read_until("\"pulling model.safetensors\"").find("pulling manifest"), std::string::npos);
  }
  wait_for_download("paused");
  hub_.release();
  const RawResponse again = send("POST", "/api/pull", R"({"model":"org/tiny"})");
  EXPECT_EQ(lines_of(again.body).back().at("status"), "success") << again.body;
}

TEST_F(OllamaOverHttp, a_pull_that_others_want_goes_on_without_its_client) {
  serve_hub();
  hub_.hold_after(100'000);
  {
    RawClient client(server_->http().port());
    client.send(RawClient::message("POST", "/api/pull", R"({"model":"org/tiny"})",
                                   "Authorization: Bearer owner\r\n"));
    client.read_until("\"pulling model.safetensors\"");
    call("POST", "/api/v1/downloads", R"({"model":"org/tiny"})");
  }
  hub_.release();
  wait_for_download("done");
}

}  // namespace
}  // namespace mlxd
