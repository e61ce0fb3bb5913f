// Every decoder against requests that are almost right, or not at all: each is taken or refused with an error
// that people and programs can read. Seeds are fixed; a failure prints the body.
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <functional>
#include <string>
#include <vector>

#include "api/anthropic/error_body.h"
#include "api/anthropic/messages_request.h"
#include "api/anthropic/model_list.h"
#include "api/error_status.h"
#include "api/json_text.h"
#include "api/manage/account_codec.h"
#include "api/manage/catalog_json.h"
#include "api/manage/chat_codec.h"
#include "api/manage/pool_requests.h"
#include "api/manage/problem.h"
#include "api/manage/profile_codec.h"
#include "api/ollama/error_body.h"
#include "api/ollama/model_requests.h"
#include "api/ollama/profile_defaults.h"
#include "api/ollama/requests.h"
#include "api/openai/chat_request.h"
#include "api/openai/completion_request.h"
#include "api/openai/error_body.h"
#include "api/openai/profile_defaults.h"
#include "api/openai/response_items.h"
#include "api/openai/response_list.h"
#include "api/openai/response_request.h"
#include "api/testing/json_fuzz.h"
#include "api/tokens/token_requests.h"

namespace mlxd::api {
namespace {

namespace json = boost::json;
using testing::Dice;

#if defined(MLXD_SANITIZED)
constexpr int kRounds = 300;
#else
constexpr int kRounds = 1500;
#endif

constexpr const char* kDefaults =
    R"({"system":"S","temperature":1.5,"max_tokens":5,"stop":["a"],"template":{"x":1},"context_tokens":99})";

struct Target {
  const char* name;
  std::vector<const char*> right;
  std::function<Result<void>(std::string_view body)> decode;
};

template <typename T>
Result<void> done(const Result<T>& result) {
  return result.ok() ? Result<void>() : Result<void>(result.error());
}

constexpr const char* kChat =
    R"({"model":"m","temperature":0.5,"seed":3,"stop":["a","b"],"n":2,"max_tokens":9,
  "logprobs":true,"top_logprobs":3,"logit_bias":{"5":1.5},"stream":true,"stream_options":{"include_usage":true},
  "tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":{"type":"object"}}}],
  "tool_choice":{"type":"function","function":{"name":"f"}},"reasoning_effort":"low","keep_alive":"5m",
  "response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"type":"object"}}},
  "prediction":{"type":"content","content":[{"type":"text","text":"t"}]},"chat_template_kwargs":{"x":[1,null]},
  "messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"t"}]},
   {"role":"assistant","content":null,"reasoning":"r","tool_calls":[{"id":"c","type":"function",
     "function":{"name":"f","arguments":"{\"a\":1}"}}]},{"role":"tool","tool_call_id":"c","content":"ok"}]})";
constexpr const char* kCompletion =
    R"({"model":"m","prompt":["a",[1,2,3]],"max_tokens":0,"echo":true,"logprobs":2,"stop":"x","n":2,"best_of":2,"user":"u"})";
constexpr const char* kFilling = R"({"model":"m","prompt":"a","suffix":"s","logprobs":2,"max_tokens":5})";
constexpr const char* kResponse = R"({"model":"m","instructions":"i","previous_response_id":"r","store":false,
  "include":["message.output_text.logprobs","reasoning.encrypted_content"],"reasoning":{"effort":"low","summary":"auto"},
  "text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"}},"verbosity":"low"},
  "tools":[{"type":"function","name":"f","parameters":{"type":"object"}},{"type":"web_search"},
    {"type":"custom","name":"c","format":{"type":"grammar","syntax":"regex","definition":"[a-z]+"}}],
  "tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"}]},
  "truncation":"auto","metadata":{"k":"v"},"max_output_tokens":5,
  "input":[{"role":"user","content":[{"type":"input_text","text":"t"}]},
    {"type":"reasoning","summary":[{"type":"summary_text","text":"s"}],"encrypted_content":"x"},
    {"type":"function_call","call_id":"c","name":"f","arguments":"{}"},
    {"type":"function_call_output","call_id":"c","output":"o"},{"type":"custom_tool_call","call_id":"d","name":"c",
     "input":"i"},{"type":"item_reference","id":"msg_1"},{"type":"web_search_call","id":"w"}]})";
constexpr const char* kMessages = R"({"model":"m","max_tokens":5,"system":[{"type":"text","text":"s"}],
  "stop_sequences":["a"],"thinking":{"type":"enabled","budget_tokens":9,"display":"omitted"},
  "output_config":{"effort":"max","format":{"type":"json_schema","schema":{}}},"temperature":0.5,
  "tools":[{"name":"f","input_schema":{"type":"object"}},{"type":"web_search_20250305","name":"web_search"}],
  "tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},
  "messages":[{"role":"user","content":[{"type":"text","text":"t"},{"type":"document","title":"T",
     "source":{"type":"text","data":"d"}}]},
   {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},
     {"type":"tool_use","id":"c","name":"f","input":{"a":1}}]},
   {"role":"user","content":[{"type":"tool_result","tool_use_id":"c","is_error":true,
     "content":[{"type":"text","text":"r"}]}]}]})";
constexpr const char* kOllamaChat = R"({"model":"m","stream":false,"think":"high","format":{"type":"object"},
  "options":{"temperature":1,"top_k":5,"seed":-1,"stop":["",  "a"],"num_ctx":9,"mirostat":0,"repeat_last_n":-1},
  "keep_alive":-1,"logprobs":true,"top_logprobs":2,"tools":[{"type":"function","function":{"name":"f"}}],
  "messages":[{"role":"User","content":"u","images":[]},{"role":"assistant","thinking":"t","tool_calls":[
    {"function":{"name":"f","arguments":{"a":1}}}]},{"role":"tool","tool_name":"f","content":"r"}]})";
constexpr const char* kOllamaGenerate = R"({"model":"m","prompt":"p","system":"s","raw":false,"template":"",
  "context":[],"images":[],"suffix":"","options":{"num_predict":5,"repeat_penalty":1.1},"format":"json","think":false})";
constexpr const char* kAccount = R"({"email":"a@b.c","password":"p","old_password":"o","new_password":"n",
  "setup_token":"t","cookie":false,"name":"n","role":"admin","status":"active"})";

std::vector<Target> targets() {
  std::vector<Target> all;
  for (const bool strict : {false, true}) {
    all.push_back({"chat", {kChat}, [strict](std::string_view body) {
                     return done(openai::decode_chat_request(
                         openai::with_profile_defaults(body, kDefaults, openai::ProfileUse::kChat), strict));
                   }});
    all.push_back({"response", {kResponse}, [strict](std::string_view body) {
                     auto call = openai::decode_response_request(
                         openai::with_profile_defaults(body, kDefaults, openai::ProfileUse::kResponse),
                         strict);
                     if (!call.ok()) return done(call);
                     const auto& own = static_cast<const openai::ResponseDetails&>(*call->details);
                     json::array items = own.input;
                     openai::number_items(items, "R");
                     return openai::set_items(*call, items, own.input);
                   }});
    all.push_back({"messages", {kMessages}, [strict](std::string_view body) {
                     return done(anthropic::decode_messages_request(
                         anthropic::with_profile_defaults(body, kDefaults), strict));
                   }});
    all.push_back({"ollama chat", {kOllamaChat}, [strict](std::string_view body) {
                     return done(ollama::decode_chat_request(
                         ollama::with_profile_defaults(body, kDefaults, ollama::ProfileUse::kChat), strict));
                   }});
    all.push_back(
        {"ollama generate", {kOllamaGenerate}, [strict](std::string_view body) {
           return done(ollama::decode_generate_request(
               ollama::with_profile_defaults(body, kDefaults, ollama::ProfileUse::kGenerate), strict));
         }});
    all.push_back(
        {"tokenize",
         {kChat, R"({"model":"m","text":"t","pieces":true,"add_special_tokens":false})"},
         [strict](std::string_view body) { return done(tokens::decode_tokenize_request(body, strict)); }});
  }
  all.push_back({"completion", {kCompletion, kFilling}, [](std::string_view body) {
                   return done(openai::decode_completion_request(
                       openai::with_profile_defaults(body, kDefaults, openai::ProfileUse::kCompletion)));
                 }});
  all.push_back({"count", {kMessages}, [](std::string_view body) {
                   return done(anthropic::decode_messages_request(body, true, anthropic::Purpose::kCount));
                 }});
  all.push_back({"detokenize",
                 {R"({"model":"m","tokens":[1,2],"skip_special_tokens":true})"},
                 [](std::string_view body) { return done(tokens::decode_detokenize_request(body)); }});
  all.push_back({"ollama models",
                 {R"({"model":"m","name":"n","stream":false,"source":"s","destination":"d"})"},
                 [](std::string_view body) -> Result<void> {
                   const auto pull = ollama::decode_pull(body);
                   if (pull.ok()) TRY(ollama::parse_pull_name(pull->model));
                   TRY(ollama::decode_delete(body));
                   TRY(ollama::decode_show(body));
                   return done(ollama::decode_copy(body));
                 }});
  for (const auto request : {manage::AccountRequest::kRegister, manage::AccountRequest::kLogin,
                             manage::AccountRequest::kChangePassword, manage::AccountRequest::kNewUser,
                             manage::AccountRequest::kChangeUser, manage::AccountRequest::kResetPassword})
    all.push_back({"account", {kAccount}, [request](std::string_view body) {
                     return done(manage::decode_account(body, request));
                   }});
  all.push_back(
      {"key",
       {R"({"name":"k","user":"u","models":["m*"],"endpoints":["/v1/x"],"priority":"low","cloud":true,
                      "requests_per_minute":5,"expires_at":99,"cache_salt":"s"})"},
       [](std::string_view body) { return done(manage::decode_key(body)); }});
  all.push_back({"profile",
                 {R"({"name":"n","model":"m","defaults":{"temperature":1,"stop":["a"],"logit_bias":{"1":2},
                      "template":{"x":[1.5,{"y":null}]}},"auto_load":true,"id":"i"})"},
                 [](std::string_view body) -> Result<void> {
                   manage::ProfileFields fields = TRY(manage::decode_profile(body));
                   Profile profile;
                   manage::apply(fields, profile);
                   // As a file and back it says the same.
                   const std::string file = manage::profile_to_toml(profile);
                   Profile again;
                   auto read = manage::profile_from_toml(file);
                   EXPECT_TRUE(read.ok() || profile.model.empty()) << read.error().message << "\n" << file;
                   if (!read.ok()) return {};
                   manage::apply(*read, again);
                   EXPECT_EQ(again.name, profile.name) << file;
                   return {};
                 }});
  all.push_back({"profile file",
                 {R"({"toml":"name = 'n'\nmodel = 'm'\n[defaults]\ntemperature = 1\n"})"},
                 [](std::string_view body) -> Result<void> {
                   return done(manage::profile_from_toml(TRY(manage::decode_profile_file(body))));
                 }});
  all.push_back({"alias", {R"({"model":"m","name":"n"})"}, [](std::string_view body) {
                   return done(manage::decode_alias_model(body));
                 }});
  all.push_back({"chats",
                 {R"({"title":"t","model":"m","folder_id":"","pinned":true,"current_message":"c"})",
                  R"({"parent_id":"p","role":"user","text":"t","details":{"x":1}})", R"({"name":"n"})"},
                 [](std::string_view body) -> Result<void> {
                   Chat chat;
                   const auto as_chat = manage::decode_chat(body, chat);
                   const auto message = manage::decode_message(body);
                   if (message.ok()) manage::encode_message(*message);
                   return as_chat.ok() || message.ok() ? Result<void>()
                                                       : done(manage::decode_folder_name(body));
                 }});
  all.push_back({"pool",
                 {R"({"model":"m","keep_alive":"1h","pin":true})",
                  R"({"memory":"50%","eviction":"lru","keep_alive":5,"swap_wait":"3s"})"},
                 [](std::string_view body) -> Result<void> {
                   const auto load = manage::decode_pool_load(body);
                   return load.ok() ? Result<void>() : done(manage::decode_pool_change(body));
                 }});
  all.push_back({"download",
                 {R"({"model":"o/n@r","revision":"main","files":["*.gguf"]})", R"({"token":"t"})"},
                 [](std::string_view body) -> Result<void> {
                   const auto token = manage::decode_token_test(body);
                   return token.ok() ? Result<void>() : done(manage::decode_download_request(body));
                 }});
  all.push_back({"queries", {R"({"limit":5,"after_id":"a"})"}, [](std::string_view body) -> Result<void> {
                   TRY(manage::decode_query(body));
                   TRY(manage::decode_unload_mode(body));
                   return done(anthropic::read_model_page(body));
                 }});
  all.push_back({"kept items", {kResponse}, [](std::string_view body) {
                   return done(openai::encode_item_list(body, {.limit = 2, .after = "a"}));
                 }});
  return all;
}

void expect_readable(const Error& error) {
  EXPECT_FALSE(error.message.empty());
  EXPECT_LT(error.message.size(), 2000U) << error.message;
  // A name that was cut in the middle of a character is mended where it is written as JSON.
  EXPECT_LT(status_of(error.kind), 500) << error.message;
  const int status = status_of(error.kind);
  for (const std::string& body :
       {openai::encode_error(status, error), anthropic::encode_error(status, error, "r"),
        ollama::encode_error(error), manage::encode_problem(status, "title", error, "/path", "r")}) {
    json::error_code code;
    json::parse(body, code);
    EXPECT_FALSE(code) << body;
  }
}

TEST(Decoders, take_or_refuse_whatever_comes_in_words) {
  for (const Target& target : targets()) {
    int taken = 0;
    int refused = 0;
    for (std::uint32_t seed = 0; seed < kRounds; ++seed) {
      Dice dice(seed);
      const std::string body = dice.body_like(json::parse(dice.pick(target.right)));
      SCOPED_TRACE(std::string(target.name) + ", seed " + std::to_string(seed) + ": " + body);
      const Result<void> result = target.decode(body);
      ++(result.ok() ? taken : refused);
      // Whatever is kept of responses is our own: what is damaged there is our fault.
      if (!result.ok() && result.error().kind != ErrorKind::kCorruptData) expect_readable(result.error());
      if (::testing::Test::HasFailure()) return;
    }
    EXPECT_GT(refused, kRounds / 20) << target.name;
    EXPECT_TRUE(taken > kRounds / 50 || std::string_view(target.name) == "account" ||
                std::string_view(target.name) == "ollama models" ||
                std::string_view(target.name) == "queries" || std::string_view(target.name) == "kept items")
        << target.name << ": " << taken;
  }
}

TEST(Decoders, take_what_the_rounds_begin_with) {
  for (const Target& target : targets()) {
    for (const char* right : target.right) {
      const std::string_view name = target.name;
      if (name == "account" || name == "ollama models" || name == "queries" || name == "kept items") continue;
      const Result<void> result = target.decode(right);
      // Two of one body exclude each other.
      if (!result.ok() && (name == "response" || name == "completion")) continue;
      EXPECT_TRUE(result.ok()) << name << ": " << result.error().message;
    }
  }
}

}  // namespace
}  // namespace mlxd::api
