#include "server/api_server.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <future>
#include <map>
#include <stdexcept>
#include <thread>

#include "http/client.h"
#include "http/testing/raw_client.h"
#include "server/testing/scripted_model.h"

namespace mlxd {
namespace {

namespace json = boost::json;
using http::testing::RawClient;
using http::testing::RawResponse;
using testing::Gate;
using testing::kAnswer;
using testing::make_scripted_model;
using testing::ScriptedModelOptions;

json::value parse(std::string_view text) {
  json::error_code code;
  json::value value = json::parse(json::string_view(text.data(), text.size()), code);
  EXPECT_FALSE(code) << text;
  return value;
}

std::string text_at(const json::value& value, std::string_view pointer) {
  json::error_code code;
  const json::value* found = value.find_pointer(json::string_view(pointer.data(), pointer.size()), code);
  if (found == nullptr) return "(absent)";
  if (found->is_string()) return std::string(found->get_string());
  if (found->is_null()) return "(null)";
  if (found->is_int64()) return std::to_string(found->get_int64());
  return "(other)";
}

std::string completion(std::string_view more) {
  return R"({"model":"scripted","temperature":0,"max_tokens":1000,)" + std::string(more) + "}";
}
std::string chat(std::string_view more = R"("user":"u")") {
  return R"({"model":"scripted","temperature":0,"messages":[{"role":"user","content":"Hi"}],)" +
         std::string(more) + "}";
}

// What a stream says, choice by choice.
struct Streamed {
  std::map<std::int64_t, std::string> texts;
  std::map<std::int64_t, std::string> finishes;
  std::string usage = "(none)";
  std::string error = "(none)";
  bool done = false;
  std::size_t events = 0;
};

class ApiServerTest : public ::testing::Test {
 protected:
  void start(ApiServer::Options options = {}) {
    if (!options.pool.load) options.pool = testing::scripted_pool();
    server_ = ApiServer::start(std::move(options)).take_value();
  }
  void serve(ScriptedModelOptions model = {}) {
    start();
    add(std::move(model));
  }
  void add(ScriptedModelOptions model) {
    models_.push_back(make_scripted_model(std::move(model)));
    ASSERT_TRUE(server_->models().put(models_.back()).ok());
    server_->set_ready();
  }
  void TearDown() override {
    server_.reset();
    models_.clear();
  }

  http::Client client() const {
    return http::Client::create("http://127.0.0.1:" + std::to_string(server_->http().port())).take_value();
  }
  RawClient raw() const { return RawClient(server_->http().port()); }

  json::value post(std::string_view path, std::string_view body, int status = 200) const {
    const auto response = client().post(path, body);
    EXPECT_TRUE(response.ok()) << response.error().message;
    if (!response.ok()) return nullptr;
    EXPECT_EQ(response->status, status) << response->body.substr(0, 500);
    return parse(response->body);
  }

  Streamed stream(std::string_view path, std::string_view body) const {
    Streamed streamed;
    const auto response = client().post_stream(path, body, [&](std::string_view data) {
      ++streamed.events;
      EXPECT_FALSE(streamed.done);
      if (data == "[DONE]") {
        streamed.done = true;
        return true;
      }
      const json::value event = parse(data);
      if (event.as_object().contains("error")) {
        streamed.error = text_at(event, "/error/message");
        return true;
      }
      if (text_at(event, "/usage/total_tokens") != "(absent)")
        streamed.usage =
            text_at(event, "/usage/prompt_tokens") + "+" + text_at(event, "/usage/completion_tokens");
      for (const json::value& choice : event.at("choices").as_array()) {
        const std::int64_t index = choice.at("index").as_int64();
        const char* pointer = choice.as_object().contains("delta") ? "/delta/content" : "/text";
        const std::string text = text_at(choice, pointer);
        if (text != "(absent)") streamed.texts[index] += text;
        if (!choice.at("finish_reason").is_null())
          streamed.finishes[index] = text_at(choice, "/finish_reason");
      }
      return true;
    });
    EXPECT_TRUE(response.ok()) << response.error().message;
    if (response.ok()) {
      EXPECT_EQ(response->status, 200) << response->body;
    }
    return streamed;
  }

  // Asks again until the engine says so; each question is a round trip, so this neither spins nor sleeps.
  bool eventually(const std::function<bool(const EngineStats&)>& condition) {
    for (int i = 0; i < 20000; ++i) {
      if (condition(models_[0]->engine->stats())) return true;
      EXPECT_TRUE(client().get("/healthz").ok());
    }
    return false;
  }

  Gate gate_;  // outlives the engines that it holds back
  std::unique_ptr<ApiServer> server_;
  std::vector<ServedModelPtr> models_;
};

TEST_F(ApiServerTest, completes_text_and_counts_its_tokens) {
  serve();
  const json::value answer = post("/v1/completions", completion(R"("prompt":"Hi|")"));
  EXPECT_EQ(text_at(answer, "/choices/0/text"), kAnswer);
  EXPECT_EQ(text_at(answer, "/choices/0/finish_reason"), "stop");
  EXPECT_EQ(text_at(answer, "/object"), "text_completion");
  EXPECT_EQ(text_at(answer, "/usage/prompt_tokens"), "3");
  EXPECT_EQ(text_at(answer, "/usage/completion_tokens"), std::to_string(kAnswer.size() + 1));
  EXPECT_TRUE(text_at(answer, "/id").starts_with("cmpl-"));
}

TEST_F(ApiServerTest, answers_chats) {
  serve();
  const json::value answer = post("/v1/chat/completions", chat());
  EXPECT_EQ(text_at(answer, "/choices/0/message/content"), kAnswer);
  EXPECT_EQ(text_at(answer, "/choices/0/message/role"), "assistant");
  EXPECT_EQ(text_at(answer, "/object"), "chat.completion");
  EXPECT_EQ(text_at(answer, "/model"), "scripted");
}

TEST_F(ApiServerTest, a_predicted_answer_comes_in_few_steps_and_is_accounted_for) {
  serve({.speculation = {.method = SpeculationOptions::Method::kPromptLookup, .fixed_drafts = 8}});
  const json::value answer =
      post("/v1/chat/completions",
           chat(R"("prediction":{"type":"content","content":")" + std::string(kAnswer) + "\"}"));
  EXPECT_EQ(text_at(answer, "/choices/0/message/content"), kAnswer);
  EXPECT_EQ(text_at(answer, "/usage/completion_tokens"), std::to_string(kAnswer.size() + 1));
  const std::string details = "/usage/completion_tokens_details/";
  const int accepted = std::stoi(text_at(answer, details + "accepted_prediction_tokens"));
  EXPECT_GT(accepted, 40);
  EXPECT_LT(accepted, static_cast<int>(kAnswer.size()));
  EXPECT_GE(std::stoi(text_at(answer, details + "rejected_prediction_tokens")), 0);
  EXPECT_LT(models_[0]->engine->stats().steps, 20U);
  const json::value plain = post("/v1/chat/completions", chat());
  EXPECT_EQ(text_at(plain, "/choices/0/message/content"), kAnswer);
  EXPECT_EQ(text_at(plain, "/usage/completion_tokens_details"), "(absent)");
}

TEST_F(ApiServerTest, streams_what_it_answers_whole) {
  serve();
  for (const std::string_view more :
       {R"("user":"u")", R"("max_tokens":7)", R"("stop":"STOP")", R"("stop":["zzz","ld, a"])",
        R"("stop":"𝄞 an")", R"("stop":"the end.")", R"("stop":"no such")", R"("n":3)",
        R"("logprobs":true,"top_logprobs":2)"}) {
    const json::value whole = post("/v1/chat/completions", chat(more));
    const Streamed streamed =
        stream("/v1/chat/completions",
               chat(std::string(more) + R"(,"stream":true,"stream_options":{"include_usage":true})"));
    EXPECT_TRUE(streamed.done);
    for (const json::value& choice : whole.at("choices").as_array()) {
      const std::int64_t index = choice.at("index").as_int64();
      EXPECT_EQ(streamed.texts.at(index), text_at(choice, "/message/content")) << more;
      EXPECT_EQ(streamed.finishes.at(index), text_at(choice, "/finish_reason")) << more;
    }
    EXPECT_EQ(streamed.usage,
              text_at(whole, "/usage/prompt_tokens") + "+" + text_at(whole, "/usage/completion_tokens"));
  }
}

TEST_F(ApiServerTest, ends_at_stop_strings_and_never_shows_them) {
  serve();
  struct Case {
    std::string stop, text, finish;
  };
  const std::string answer(kAnswer);
  const Case cases[] = {
      {R"("STOP")", answer.substr(0, answer.find("STOP")), "stop"},
      {R"(["end", "wörld"])", "Héllo ", "stop"},
      {R"(["o wörld!", "o wörld,"])", "Héll", "stop"},
      {R"("absent")", answer, "stop"},
  };
  for (const Case& c : cases) {
    const json::value whole = post("/v1/completions", completion(R"("prompt":"|","stop":)" + c.stop));
    EXPECT_EQ(text_at(whole, "/choices/0/text"), c.text) << c.stop;
    EXPECT_EQ(text_at(whole, "/choices/0/finish_reason"), c.finish);
  }
  EXPECT_TRUE(
      eventually([](const EngineStats& stats) { return stats.running == 0 && stats.pages_used == 0; }));
}

TEST_F(ApiServerTest, stops_at_max_tokens_without_splitting_characters) {
  serve();
  const json::value answer =
      post("/v1/completions", R"({"model":"scripted","temperature":0,"max_tokens":4,"prompt":"|"})");
  EXPECT_EQ(text_at(answer, "/choices/0/text"), "Hél");
  EXPECT_EQ(text_at(answer, "/choices/0/finish_reason"), "length");
  EXPECT_EQ(text_at(answer, "/usage/completion_tokens"), "4");
  const json::value sixteen =
      post("/v1/completions", R"({"model":"scripted","temperature":0,"prompt":"L|"})");
  EXPECT_EQ(text_at(sixteen, "/choices/0/text"), std::string(16, 'x'));
}

TEST_F(ApiServerTest, takes_every_form_of_prompt_and_echoes) {
  serve();
  const std::string start(kAnswer.substr(0, 1));
  struct Case {
    std::string prompt, texts;
  };
  const Case cases[] = {
      {R"("a|")", "a|H"},
      {R"(["a|","b|"])", "a|H,b|H"},
      {"[97,124]", "a|H"},
      {"[[97,124],[98,124]]", "a|H,b|H"},
      // Text as it was sent; of tokens, the text.
      {R"("<|im_start|>a|")", "<|im_start|>a|H"},
      {"[257,97,124]", "a|H"},
  };
  for (const Case& c : cases) {
    const std::string body =
        R"({"model":"scripted","temperature":0,"max_tokens":1,"echo":true,"prompt":)" + c.prompt;
    const json::value whole = post("/v1/completions", body + "}");
    std::string texts;
    for (const json::value& choice : whole.at("choices").as_array())
      texts += (texts.empty() ? "" : ",") + text_at(choice, "/text");
    EXPECT_EQ(texts, c.texts);
    std::string streamed;
    for (const auto& [index, text] : stream("/v1/completions", body + R"(,"stream":true})").texts)
      streamed += (streamed.empty() ? "" : ",") + text;
    EXPECT_EQ(streamed, c.texts);
  }
}

TEST_F(ApiServerTest, gives_log_probabilities_in_both_forms) {
  serve();
  const json::value completed =
      post("/v1/completions", completion(R"("prompt":"|","logprobs":2,"stop":"lo")"));
  const json::value& older = completed.at_pointer("/choices/0/logprobs");
  EXPECT_EQ(older.at("tokens").as_array().size(), 4U);
  EXPECT_EQ(text_at(older, "/tokens/1"), "\\xc3");
  EXPECT_GE(older.at_pointer("/top_logprobs/0").as_object().size(), 2U);
  const json::value chatted =
      post("/v1/chat/completions", chat(R"("logprobs":true,"top_logprobs":3,"max_tokens":2)"));
  const json::value& newer = chatted.at_pointer("/choices/0/logprobs/content");
  EXPECT_EQ(text_at(newer, "/0/token"), "H");
  EXPECT_EQ(text_at(newer, "/0/bytes/0"), "72");
  EXPECT_EQ(newer.at_pointer("/0/top_logprobs").as_array().size(), 3U);
}

// The lists of a choice, a stream's pieces joined.
struct Lists {
  std::vector<std::string> texts;  // JSON
  explicit Lists(const json::value& logprobs) { add(logprobs); }
  Lists() = default;
  void add(const json::value& logprobs) {
    texts.resize(4);
    std::size_t list = 0;
    for (const char* name : {"tokens", "token_logprobs", "top_logprobs", "text_offset"}) {
      for (const json::value& item : logprobs.at(name).as_array())
        texts[list] += (texts[list].empty() ? "" : ",") + json::serialize(item);
      ++list;
    }
  }
  bool operator==(const Lists&) const = default;
};

TEST_F(ApiServerTest, scores_the_prompts_that_it_echoes) {
  serve();
  struct Case {
    std::string prompt;
    std::vector<std::string> texts;  // of the prompts
    std::vector<std::string> tokens, offsets;
  };
  const std::string tokens = R"("a","|","H","x")";
  const Case cases[] = {
      {R"("a|Hx")", {"a|Hx"}, {tokens}, {"0,1,2,3"}},
      {"[97,124,72,120]", {"a|Hx"}, {tokens}, {"0,1,2,3"}},
      {R"(["a|Hx","a","a|Hx"])",
       {"a|Hx", "a", "a|Hx"},
       {tokens, R"("a")", tokens},
       {"0,1,2,3", "0", "0,1,2,3"}},
      {"[[97,124,72,120],[98]]", {"a|Hx", "b"}, {tokens, R"("b")"}, {"0,1,2,3", "0"}},
      {R"("é<|im_start|>|")", {"é<|im_start|>|"}, {R"("\\xc3","\\xa9","<|im_start|>","|")"}, {"0,1,1,13"}},
      {"[257,97,258]", {"a"}, {R"("<|im_start|>","a","<|im_end|>")"}, {"0,0,1"}},
  };
  for (const Case& c : cases) {
    for (const int max_tokens : {0, 1}) {
      SCOPED_TRACE(c.prompt + " " + std::to_string(max_tokens));
      const std::string body =
          R"({"model":"scripted","temperature":0,"logit_bias":{"72":100,"169":-100,"256":-100},"logprobs":1,"echo":true,)"
          R"("max_tokens":)" +
          std::to_string(max_tokens) + R"(,"prompt":)" + c.prompt;
      const json::value whole = post("/v1/completions", body + "}");
      ASSERT_EQ(whole.at("choices").as_array().size(), c.texts.size());
      std::vector<Lists> lists;
      for (std::size_t i = 0; i < c.texts.size(); ++i) {
        const json::value& choice = whole.at("choices").as_array()[i];
        const json::value& logprobs = choice.at("logprobs");
        EXPECT_EQ(text_at(choice, "/text"), c.texts[i] + std::string(max_tokens == 1 ? "H" : ""));
        EXPECT_EQ(text_at(choice, "/finish_reason"), "length");
        lists.emplace_back(logprobs);
        const std::string end = max_tokens == 1 ? "," : "";
        EXPECT_EQ(lists[i].texts[0], c.tokens[i] + (max_tokens == 1 ? R"(,"H")" : ""));
        EXPECT_TRUE(lists[i].texts[3].starts_with(c.offsets[i] + end)) << lists[i].texts[3];
        EXPECT_TRUE(lists[i].texts[1].starts_with("null")) << lists[i].texts[1];
        EXPECT_TRUE(lists[i].texts[2].starts_with("null")) << lists[i].texts[2];
        EXPECT_EQ(lists[i].texts[1].find("null", 4), std::string::npos);
        if (c.texts[i] != "a|Hx") continue;
        // What harnesses of tests ask: was it the likeliest?
        const double likely = logprobs.at_pointer("/token_logprobs/2").to_number<double>();
        const double unlikely = logprobs.at_pointer("/token_logprobs/3").to_number<double>();
        EXPECT_GT(likely, -0.01);
        EXPECT_LT(unlikely, -50.0);
        EXPECT_EQ(logprobs.at_pointer("/top_logprobs/2").as_object().size(), 1U);
        EXPECT_EQ(logprobs.at_pointer("/top_logprobs/2/H").to_number<double>(), likely);
        EXPECT_EQ(logprobs.at_pointer("/top_logprobs/3").as_object().size(), 2U);
        EXPECT_EQ(logprobs.at_pointer("/top_logprobs/3/x").to_number<double>(), unlikely);
      }
      const auto num_choices = static_cast<int>(c.texts.size());
      EXPECT_EQ(text_at(whole, "/usage/completion_tokens"), std::to_string(num_choices * max_tokens));
      EXPECT_EQ(text_at(whole, "/usage/prompt_tokens_details/cached_tokens"), "0");
      // A stream says the same.
      std::vector<Lists> streamed(c.texts.size());
      std::vector<std::string> texts(c.texts.size());
      const auto response =
          client().post_stream("/v1/completions", body + R"(,"stream":true})", [&](std::string_view data) {
            if (data == "[DONE]") return true;
            const json::value event = parse(data);
            for (const json::value& choice : event.at("choices").as_array()) {
              const auto index = static_cast<std::size_t>(choice.at("index").as_int64());
              texts[index] += text_at(choice, "/text");
              if (!choice.at("logprobs").is_null()) streamed[index].add(choice.at("logprobs"));
            }
            return true;
          });
      ASSERT_TRUE(response.ok());
      EXPECT_EQ(streamed, lists);
      for (std::size_t i = 0; i < texts.size(); ++i)
        EXPECT_EQ(texts[i], text_at(whole.at("choices").as_array()[i], "/text"));
    }
  }
}

TEST_F(ApiServerTest, scores_an_answer_as_it_was_generated) {
  serve();
  const json::value answer =
      post("/v1/completions", completion(R"("prompt":"a|","logprobs":3,"stop":"STOP")"));
  const std::string text = text_at(answer, "/choices/0/text");
  const json::array& said = answer.at_pointer("/choices/0/logprobs/token_logprobs").as_array();
  const json::value scored =
      post("/v1/completions",
           R"({"model":"scripted","echo":true,"logprobs":3,"max_tokens":0,"prompt":"a|)" + text + "\"}");
  EXPECT_EQ(text_at(scored, "/choices/0/text"), "a|" + text);
  const json::value& logprobs = scored.at_pointer("/choices/0/logprobs");
  const json::array& scores = logprobs.at("token_logprobs").as_array();
  ASSERT_EQ(scores.size(), 2 + said.size());
  for (std::size_t i = 0; i < said.size(); ++i) EXPECT_EQ(scores[i + 2], said[i]) << i;
  const json::array& tops = answer.at_pointer("/choices/0/logprobs/top_logprobs").as_array();
  for (std::size_t i = 0; i < tops.size(); ++i)
    EXPECT_EQ(logprobs.at("top_logprobs").as_array()[i + 2], tops[i]) << i;
}

TEST_F(ApiServerTest, scores_a_prompt_once_for_all_its_choices) {
  std::atomic<std::size_t> num_rows = 0;
  serve({.on_submit = [&num_rows](const StepBatch& batch) -> Result<void> {
    for (const SampleRow& row : batch.samples) num_rows += row.spec.scored != kNoToken ? 1 : 0;
    return {};
  }});
  for (const int max_tokens : {0, 3}) {
    for (const bool streams : {false, true}) {
      num_rows = 0;
      const std::string body =
          R"({"model":"scripted","n":3,"seed":5,"logprobs":2,"echo":true,"max_tokens":)" +
          std::to_string(max_tokens) + R"(,"prompt":["no script","other"])";
      std::vector<Lists> lists(6);
      if (streams) {
        const auto response =
            client().post_stream("/v1/completions", body + R"(,"stream":true})", [&](std::string_view data) {
              if (data == "[DONE]") return true;
              const json::value event = parse(data);
              for (const json::value& choice : event.at("choices").as_array()) {
                if (!choice.at("logprobs").is_null())
                  lists[static_cast<std::size_t>(choice.at("index").as_int64())].add(choice.at("logprobs"));
              }
              return true;
            });
        ASSERT_TRUE(response.ok());
      } else {
        const json::value whole = post("/v1/completions", body + "}");
        for (std::size_t i = 0; i < 6; ++i) lists[i].add(whole.at("choices").as_array()[i].at("logprobs"));
      }
      EXPECT_EQ(num_rows, 8U + 4U);
      for (const std::size_t i : {0U, 3U}) {
        // Up to where the answers begin.
        const std::string offset = i == 0 ? "0,1,2,3,4,5,6,7,8" : "0,1,2,3,4";
        const auto common = [&](const Lists& choice) {
          std::string text;
          std::size_t commas = 0;
          for (const char c : choice.texts[1]) {
            commas += c == ',' ? 1 : 0;
            if (commas == (i == 0 ? 9U : 5U)) break;
            text += c;
          }
          return text;
        };
        EXPECT_EQ(common(lists[i]), common(lists[i + 1]));
        EXPECT_EQ(common(lists[i]), common(lists[i + 2]));
        for (std::size_t k = 0; k < 3; ++k) EXPECT_TRUE(lists[i + k].texts[3].starts_with(offset));
        if (max_tokens == 0) {
          EXPECT_EQ(lists[i], lists[i + 1]);
        }
      }
    }
  }
}

TEST_F(ApiServerTest, scores_prompts_as_long_as_the_context_where_nothing_is_to_come) {
  serve({.context_tokens = 10});
  const std::string body = R"({"model":"scripted","echo":true,"logprobs":1,"prompt":"0123456789")";
  const json::value answer = post("/v1/completions", body + R"(,"max_tokens":0})");
  EXPECT_EQ(answer.at_pointer("/choices/0/logprobs/tokens").as_array().size(), 10U);
  EXPECT_EQ(text_at(post("/v1/completions", body + R"(,"max_tokens":1})", 400), "/error/code"),
            "context_length_exceeded");
  EXPECT_EQ(
      text_at(
          post("/v1/completions",
               R"({"model":"scripted","echo":true,"logprobs":1,"max_tokens":0,"prompt":"01234567890"})", 400),
          "/error/code"),
      "context_length_exceeded");
  EXPECT_EQ(text_at(post("/v1/completions",
                         R"({"model":"scripted","echo":true,"logprobs":1,"max_tokens":0,"prompt":""})", 400),
                    "/error/param"),
            "prompt");
  EXPECT_EQ(
      text_at(post("/v1/completions",
                   R"({"model":"scripted","echo":true,"logprobs":1,"max_tokens":0,"prompt":[97,5000]})", 400),
              "/error/param"),
      "prompt");
}

TEST_F(ApiServerTest, same_seed_same_text_and_choices_differ) {
  serve();
  const std::string body =
      R"({"model":"scripted","prompt":"no script","max_tokens":12,"logit_bias":{"256":-100},"n":3,"seed":7})";
  const json::value first = post("/v1/completions", body);
  const json::value again = post("/v1/completions", body);
  EXPECT_EQ(text_at(first, "/choices/1/text"), text_at(again, "/choices/1/text"));
  EXPECT_NE(text_at(first, "/choices/0/text"), text_at(first, "/choices/1/text"));
  EXPECT_NE(text_at(first, "/choices/1/text"), text_at(first, "/choices/2/text"));
}

TEST_F(ApiServerTest, answers_every_error_in_openais_envelope) {
  serve({.context_tokens = 100});
  struct Case {
    std::string path, body;
    int status;
    std::string param, code, in_message;
  };
  const std::string long_prompt(200, 'a');
  const std::string deep = std::string(10000, '[') + std::string(10000, ']');
  const std::string megabyte(1 << 20, 's');
  const Case cases[] = {
      {"/v1/completions", "{", 400, "(null)", "(null)", "not valid JSON"},
      {"/v1/completions", "", 400, "(null)", "(null)", "no body"},
      {"/v1/completions", R"({"model":"scripted","prompt":)" + deep + "}", 400, "(null)", "(null)",
       "nested deeper"},
      {"/v1/completions", "{\"model\":\"\xff\xfe\"}", 400, "(null)", "(null)", "UTF-8"},
      {"/v1/completions", completion(R"("prompt":"|","stop":")" + megabyte + '"'), 400, "stop", "(null)",
       "1048576"},
      {"/v1/completions", completion(R"("prompt":"|","nonsense":1)"), 400, "nonsense", "(null)",
       "unknown parameter"},
      {"/v1/completions", completion(R"("prompt":"|","top_p":5)"), 400, "top_p", "(null)", "between 0 and 1"},
      {"/v1/completions", completion(R"("prompt":"")"), 400, "prompt", "(null)", "empty"},
      {"/v1/completions", completion(R"("prompt":[1,99999])"), 400, "prompt", "(null)", "token 99999"},
      {"/v1/completions", completion(R"("prompt":"|","logit_bias":{"999":1})"), 400, "logit_bias", "(null)",
       "999"},
      {"/v1/completions", completion(R"("prompt":")" + long_prompt + '"'), 400, "prompt",
       "context_length_exceeded", "200"},
      {"/v1/completions", completion(R"("prompt":")" + long_prompt + '"'), 400, "prompt",
       "context_length_exceeded", "100"},
      {"/v1/completions", completion(R"("prompt":")" + megabyte + '"'), 400, "prompt",
       "context_length_exceeded", "1048576"},
      {"/v1/completions", completion(R"("prompt":")" + std::string(20000, 'a') + '"'), 400, "prompt",
       "context_length_exceeded", "20000 bytes, of which the first 1600 are 1600 tokens"},
      {"/v1/completions", completion(R"("prompt":["|",")" + long_prompt + R"(","|"])"), 400, "prompt",
       "context_length_exceeded", "200 tokens"},
      {"/v1/completions", R"({"model":"scriptet","prompt":"|"})", 404, "model", "model_not_found",
       "scripted"},
      {"/v1/chat/completions", R"({"model":"x","messages":[{"role":"user","content":"a"}]})", 404, "model",
       "model_not_found", "nearest"},
      {"/v1/chat/completions",
       R"({"model":"scripted","messages":[{"role":"user","content":")" + long_prompt + "\"}]}", 400,
       "messages", "context_length_exceeded", "100"},
      {"/v1/chat/completions",
       R"({"model":"scripted","messages":[{"role":"user","content":")" + megabyte + "\"}]}", 400, "messages",
       "context_length_exceeded", " bytes"},
      {"/v1/chat/completions",
       R"({"model":"scripted","messages":[{"role":"user","content":")" + std::string(20000, 'a') + "\"}]}",
       400, "messages", "context_length_exceeded", "first 1600"},
      {"/v1/chat/completions", chat(R"("functions":[{}])"), 400, "functions", "unsupported_parameter",
       "not supported"},
      {"/v1/nothing", "{}", 404, "(null)", "not_found", "no route"},
      {"/v1/models", "{}", 405, "(null)", "method_not_allowed", "GET"},
  };
  for (const Case& c : cases) {
    const auto response = client().post(c.path, c.body);
    ASSERT_TRUE(response.ok()) << response.error().message;
    const json::value body = parse(response->body);
    EXPECT_EQ(response->status, c.status) << response->body;
    EXPECT_EQ(text_at(body, "/error/param"), c.param) << response->body;
    EXPECT_EQ(text_at(body, "/error/code"), c.code) << response->body;
    EXPECT_EQ(text_at(body, "/error/type"), "invalid_request_error");
    EXPECT_NE(text_at(body, "/error/message").find(c.in_message), std::string::npos) << response->body;
    EXPECT_NE(response->headers.find("x-request-id"), nullptr);
  }
  EXPECT_EQ(raw().request("POST", "/v1/completions", "{}", "Content-Type: text/plain\r\n").status, 415);
  EXPECT_EQ(models_[0]->engine->stats().running, 0);
}

TEST_F(ApiServerTest, lists_models_and_shows_one_with_a_slash) {
  serve();
  add({.name = "org/other", .chat = false});
  const json::value list = parse(client().get("/v1/models")->body);
  EXPECT_EQ(text_at(list, "/data/0/id"), "org/other");
  EXPECT_EQ(text_at(list, "/data/1/id"), "scripted");
  EXPECT_EQ(text_at(list, "/data/1/context_length"), "4096");
  EXPECT_EQ(text_at(parse(client().get("/v1/models/org/other")->body), "/id"), "org/other");
  EXPECT_EQ(text_at(parse(client().get("/v1/models/org%2Fother")->body), "/created"), "1700000000");
  EXPECT_EQ(client().get("/v1/models/none")->status, 404);
  const json::value refused = post(
      "/v1/chat/completions", R"({"model":"org/other","messages":[{"role":"user","content":"a"}]})", 400);
  EXPECT_NE(text_at(refused, "/error/message").find("no chat template"), std::string::npos);
}

TEST_F(ApiServerTest, tells_before_loading_which_models_can_chat) {
  testing::TemporaryFolder folder;
  for (const char* name : {"chats", "completes"})
    ASSERT_TRUE(testing::write_synthetic_model(folder.path() / name, {}).ok());
  // Where the template stands in these folders.
  std::filesystem::remove(folder.path() / "completes" / "tokenizer_config.json");
  ApiServer::Options options;
  options.models_folder = folder.path();
  start(std::move(options));
  const json::value list = parse(client().get("/v1/models")->body);
  EXPECT_EQ(text_at(list, "/data/0/id"), "chats");
  EXPECT_EQ(text_at(list, "/data/0/capabilities/1"), "chat");
  EXPECT_EQ(text_at(list, "/data/1/id"), "completes");
  EXPECT_EQ(text_at(list, "/data/1/capabilities/1"), "(absent)");
}

TEST_F(ApiServerTest, offers_no_folder_that_is_still_being_made) {
  testing::TemporaryFolder folder;
  for (const char* name : {".converting-a", "b"})
    ASSERT_TRUE(testing::write_synthetic_model(folder.path() / name, {}).ok());
  ApiServer::Options options;
  options.models_folder = folder.path();
  start(std::move(options));
  const json::value list = parse(client().get("/v1/models")->body);
  EXPECT_EQ(text_at(list, "/data/0/id"), "b");
  EXPECT_EQ(text_at(list, "/data/1/id"), "(absent)");
}

TEST_F(ApiServerTest, is_ready_only_when_told_and_not_while_draining) {
  start();
  EXPECT_EQ(client().get("/healthz")->status, 200);
  EXPECT_EQ(client().get("/readyz")->status, 503);
  EXPECT_EQ(client().post("/v1/completions", completion(R"("prompt":"|")"))->status, 503);
  add({});
  EXPECT_EQ(client().get("/readyz")->status, 200);
}

TEST_F(ApiServerTest, cancels_when_the_client_goes_away) {
  serve({.context_tokens = 100000, .num_pages = 8192});
  for (const std::string_view more : {"", R"(,"stream":true)", R"(,"n":3)", R"(,"stream":true,"n":3)"}) {
    {
      RawClient leaving = raw();
      leaving.send(
          RawClient::message("POST", "/v1/completions",
                             R"({"model":"scripted","prompt":"L|","temperature":0,"max_tokens":90000)" +
                                 std::string(more) + "}"));
      ASSERT_TRUE(eventually([](const EngineStats& stats) { return stats.running > 0; })) << more;
    }
    EXPECT_TRUE(eventually([](const EngineStats& stats) {
      return stats.running == 0 && stats.pages_used == 0;
    })) << more;
  }
  EXPECT_EQ(models_[0]->engine->stats().requests_finished, 0U);
}

TEST_F(ApiServerTest, serves_eight_streams_in_one_batch_each_as_alone) {
  serve({.on_submit = [this](const StepBatch&) -> Result<void> {
    gate_.pass();
    return {};
  }});
  std::vector<std::future<Streamed>> streams;
  for (int i = 0; i < 8; ++i) {
    streams.push_back(std::async(std::launch::async, [this, i] {
      return stream("/v1/completions", completion(R"("stream":true,"prompt":")" +
                                                  std::string(1U + static_cast<unsigned>(i), 'a') + "|\""));
    }));
  }
  EXPECT_TRUE(eventually([](const EngineStats& stats) { return stats.running + stats.waiting >= 1; }));
  // One may be in the held step; the others wait in the inbox, which is read once it has gone through.
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(client().get("/healthz").ok());
  gate_.open();
  for (auto& one : streams) EXPECT_EQ(one.get().texts.at(0), kAnswer);
  EXPECT_GT(models_[0]->engine->stats().max_batch_sequences, 1);
}

TEST_F(ApiServerTest, a_reader_that_stalls_delays_nobody) {
  serve({.context_tokens = 100000, .num_pages = 8192});
  RawClient stalled = raw();
  stalled.send(RawClient::message(
      "POST", "/v1/completions",
      R"({"model":"scripted","prompt":"L|","temperature":0,"max_tokens":50000,"stream":true})"));
  stalled.read_until("\r\n\r\n");
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(stream("/v1/completions", completion(R"("prompt":"|","stream":true)")).texts.at(0), kAnswer);
}

TEST_F(ApiServerTest, tells_of_a_fault_in_mid_stream_and_before) {
  std::atomic<int> steps{0};
  serve({.on_submit = [&steps](const StepBatch&) -> Result<void> {
    if (++steps % 5 == 0) return Error(ErrorKind::kInternal, "the device caught fire");
    return {};
  }});
  const Streamed streamed = stream("/v1/completions", completion(R"("prompt":"|","stream":true)"));
  EXPECT_NE(streamed.error.find("caught fire"), std::string::npos);
  EXPECT_FALSE(streamed.done);
  const json::value whole = post("/v1/completions", completion(R"("prompt":"|")"), 500);
  EXPECT_EQ(text_at(whole, "/error/type"), "server_error");
}

TEST_F(ApiServerTest, refuses_with_retry_after_when_too_many_wait) {
  serve({.max_running = 1, .max_waiting = 1, .on_submit = [this](const StepBatch&) -> Result<void> {
           gate_.pass();
           return {};
         }});
  std::vector<RawClient> waiting;
  RawResponse refused;
  for (int i = 0; i < 20 && refused.status != 503; ++i) {
    waiting.push_back(raw());
    waiting.back().send(RawClient::message("POST", "/v1/completions", completion(R"("prompt":"|","n":4)")));
    if (i >= 2) refused = waiting.back().read_response();
  }
  gate_.open();
  EXPECT_EQ(refused.status, 503) << refused.body;
  EXPECT_NE(refused.header("retry-after"), "(none)");
}

TEST_F(ApiServerTest, loads_a_folder_once_for_all_who_ask_and_tells_all_of_a_failure) {
  testing::TemporaryFolder folder;
  for (const char* name : {"good", "bad", "throws"})
    ASSERT_TRUE(testing::write_synthetic_model(folder.path() / name, {}).ok());
  std::atomic<int> loads{0};  // of the good one
  ApiServer::Options options;
  options.models_folder = folder.path();
  options.pool = testing::scripted_pool([&](const std::filesystem::path& path) -> Result<ServedModelPtr> {
    gate_.pass();
    if (path.filename() == "bad") return corrupt_data("weights of bad are torn");
    if (path.filename() == "throws") throw std::runtime_error("a library gave up");
    ++loads;
    return make_scripted_model({.name = path.filename().string()});
  });
  start(std::move(options));
  server_->set_ready();
  std::vector<std::future<json::value>> answers;
  for (int i = 0; i < 6; ++i) {
    const bool bad = i % 2 == 1;
    answers.push_back(std::async(std::launch::async, [this, bad] {
      return post(
          "/v1/completions",
          std::string(R"({"model":")") + (bad ? "bad" : "good") + R"(","prompt":"|","temperature":0})",
          bad ? 500 : 200);
    }));
  }
  gate_.open();
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const json::value answer = answers[i].get();
    if (i % 2 == 1)
      EXPECT_EQ(text_at(answer, "/error/message"), "weights of bad are torn");
    else
      EXPECT_EQ(text_at(answer, "/choices/0/text"), kAnswer.substr(0, 16));
  }
  const json::value thrown = post("/v1/completions", R"({"model":"throws","prompt":"|"})", 500);
  EXPECT_NE(text_at(thrown, "/error/message").find("a library gave up"), std::string::npos);
  EXPECT_EQ(loads, 1);
  EXPECT_EQ(server_->models().loaded().size(), 1U);
}

TEST_F(ApiServerTest, shows_live_metrics) {
  serve();
  post("/v1/completions", completion(R"("prompt":"ab|")"));
  post("/v1/completions", "{", 400);
  EXPECT_TRUE(eventually([](const EngineStats& stats) { return stats.running == 0; }));
  // A request counts once its answer has been written, which its reader may have seen before.
  std::string page;
  for (int attempt = 0; attempt < 500; ++attempt) {
    page = client().get("/metrics")->body;
    if (page.find(R"(status="400"} 1)") != std::string::npos) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const std::string generated = std::to_string(kAnswer.size() + 1);
  const std::string lines[] = {
      R"(mlxd_http_requests_total{method="POST",route="/v1/completions",status="200"} 1)",
      R"(mlxd_http_requests_total{method="POST",route="/v1/completions",status="400"} 1)",
      R"(mlxd_prompt_tokens_total{model="scripted"} 3)",
      R"(mlxd_generated_tokens_total{model="scripted"} )" + generated,
      R"(mlxd_time_to_first_token_seconds_count{model="scripted"} 1)",
      R"(mlxd_inter_token_seconds_count{model="scripted"} )",
      R"(mlxd_batch_sequences_max{model="scripted"} 1)",
      R"(mlxd_kv_pages_total{model="scripted"} 4096)",
      R"(mlxd_engine_step_seconds_bucket{model="scripted",le="+Inf"} )",
      R"(mlxd_engine_batch_tokens_bucket{model="scripted",le="+Inf"} )",
      R"(mlxd_engine_queue_seconds_bucket{model="scripted",le="+Inf"} 1)",
      "mlxd_resident_memory_bytes ",
      "mlxd_uptime_seconds "};
  for (const std::string& line : lines) EXPECT_NE(page.find(line), std::string::npos) << line << "\n" << page;
}

TEST_F(ApiServerTest, lets_running_requests_finish_while_draining) {
  std::promise<void> drained;
  ApiServer::Options options;
  options.http.on_drained = [&drained] { drained.set_value(); };
  start(std::move(options));
  add({.on_submit = [this](const StepBatch&) -> Result<void> {
    gate_.pass();
    return {};
  }});
  auto running = std::async(std::launch::async, [this] {
    return stream("/v1/completions", completion(R"("prompt":"|","stream":true)"));
  });
  RawClient kept = raw();
  EXPECT_EQ(kept.request("GET", "/readyz").status, 200);
  EXPECT_TRUE(eventually([](const EngineStats& stats) { return stats.running + stats.waiting > 0; }));
  server_->begin_drain();
  gate_.open();
  const Streamed streamed = running.get();
  EXPECT_EQ(streamed.texts.at(0), kAnswer);
  EXPECT_TRUE(streamed.done);
  EXPECT_EQ(drained.get_future().wait_for(http::testing::kPatience), std::future_status::ready);
}

TEST_F(ApiServerTest, ends_at_once_with_requests_in_flight) {
  serve({.context_tokens = 100000, .num_pages = 8192});
  std::vector<RawClient> open;
  for (int i = 0; i < 6; ++i) {
    open.push_back(raw());
    open.back().send(RawClient::message(
        "POST", "/v1/completions",
        completion(std::string(R"("prompt":"L|","stream":)") + (i % 2 == 0 ? "true" : "false"))));
  }
  EXPECT_TRUE(eventually([](const EngineStats& stats) { return stats.running > 0; }));
  server_.reset();
  for (RawClient& one : open) one.read_all();
}

}  // namespace
}  // namespace mlxd
