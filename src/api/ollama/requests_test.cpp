#include "api/ollama/requests.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <set>
#include <string>

#include "api/ollama/model_requests.h"
#include "api/ollama/profile_defaults.h"

namespace mlxd::api::ollama {
namespace {

namespace json = boost::json;

std::string chat(std::string_view more) {
  return R"({"model":"m","messages":[{"role":"user","content":"Hi"}])" +
         std::string(more.empty() ? "" : ",") + std::string(more) + "}";
}

std::string generate(std::string_view more) {
  return R"({"model":"m","prompt":"Hi")" + std::string(more.empty() ? "" : ",") + std::string(more) + "}";
}

GenerationCall decoded(const Result<GenerationCall>& call) {
  EXPECT_TRUE(call.ok()) << call.error().message;
  return call.ok() ? *call : GenerationCall();
}

void check_refused(const Result<GenerationCall>& call, std::string_view field, std::string_view in_message) {
  ASSERT_FALSE(call.ok()) << field;
  EXPECT_EQ(call.error().field, field) << call.error().message;
  EXPECT_NE(call.error().message.find(in_message), std::string::npos) << call.error().message;
}

TEST(OllamaChatRequest, takes_every_option_that_samples) {
  const GenerationCall call = decoded(decode_chat_request(
      chat(R"("stream":false,"keep_alive":"5m","logprobs":true,"top_logprobs":3,"options":{"num_predict":7,
              "temperature":0.5,"top_k":40,"top_p":0.9,"min_p":0.05,"seed":42,"stop":["a","b"],"repeat_penalty":1.1,
              "repeat_last_n":-1,"presence_penalty":1,"frequency_penalty":-1.5,"num_ctx":2048,"num_gpu":1,
              "num_keep":5,"use_mmap":true,"typical_p":1.0,"mirostat":0})"),
      true));
  EXPECT_EQ(call.model, "m");
  EXPECT_FALSE(call.stream);
  EXPECT_FALSE(call.load_only);
  EXPECT_EQ(call.keep_alive, std::chrono::minutes(5));
  EXPECT_EQ(call.max_tokens, 7);
  EXPECT_FLOAT_EQ(call.sampling.temperature, 0.5F);
  EXPECT_EQ(call.sampling.top_k, 40);
  EXPECT_FLOAT_EQ(call.sampling.top_p, 0.9F);
  EXPECT_FLOAT_EQ(call.sampling.min_p, 0.05F);
  EXPECT_EQ(call.sampling.seed, 42U);
  EXPECT_EQ(call.stop_strings, (std::vector<std::string>{"a", "b"}));
  EXPECT_FLOAT_EQ(call.sampling.repetition_penalty, 1.1F);
  EXPECT_FLOAT_EQ(call.sampling.presence_penalty, 1.0F);
  EXPECT_FLOAT_EQ(call.sampling.frequency_penalty, -1.5F);
  EXPECT_TRUE(call.sampling.logprobs);
  EXPECT_EQ(call.sampling.top_logprobs, 3);
  EXPECT_TRUE(call.ignored.empty());
}

TEST(OllamaChatRequest, streams_without_limit_or_seed_unless_told_otherwise) {
  for (const char* options : {"", R"("options":null)", R"("options":{"num_predict":-1,"seed":-1})",
                              R"("options":{"num_predict":-2})", R"("options":{"num_predict":0})"}) {
    const GenerationCall call = decoded(decode_chat_request(chat(options), true));
    EXPECT_TRUE(call.stream);
    EXPECT_EQ(call.max_tokens, 0) << options;
    EXPECT_FALSE(call.sampling.seed.has_value()) << options;
    EXPECT_FLOAT_EQ(call.sampling.temperature, 1.0F);
    EXPECT_EQ(call.num_choices, 1);
  }
}

TEST(OllamaChatRequest, names_options_that_nothing_follows) {
  const std::string body =
      chat(R"("options":{"typical_p":0.7,"mirostat":2,"penalize_newline":true,"warp":9,"temperature":0})");
  const GenerationCall call = decoded(decode_chat_request(body, false));
  EXPECT_EQ(call.ignored, (std::vector<std::string>{"options.typical_p", "options.mirostat",
                                                    "options.penalize_newline", "options.warp"}));
  EXPECT_FLOAT_EQ(call.sampling.temperature, 0.0F);
  check_refused(decode_chat_request(body, true), "options.typical_p", "not supported");
}

TEST(OllamaChatRequest, tells_of_a_penalty_window_where_it_would_matter) {
  const auto with = [](std::string_view options) {
    return decoded(decode_chat_request(chat(R"("options":{)" + std::string(options) + "}"), false));
  };
  EXPECT_TRUE(with(R"("repeat_last_n":64)").ignored.empty());
  EXPECT_TRUE(with(R"("repeat_last_n":-1,"repeat_penalty":1.2)").ignored.empty());
  EXPECT_EQ(with(R"("repeat_last_n":64,"repeat_penalty":1.2)").ignored,
            std::vector<std::string>{"options.repeat_last_n"});
  const GenerationCall none = with(R"("repeat_penalty":1.2,"presence_penalty":1,"repeat_last_n":0)");
  EXPECT_FLOAT_EQ(none.sampling.repetition_penalty, 1.0F);
  EXPECT_FLOAT_EQ(none.sampling.presence_penalty, 0.0F);
  EXPECT_TRUE(none.ignored.empty());
}

TEST(OllamaChatRequest, reads_messages_with_thoughts_calls_and_results) {
  const GenerationCall call = decoded(decode_chat_request(
      R"({"model":"m","messages":[{"role":"System","content":"Be brief."},{"role":"user","content":"Weather?","images":[]},
          {"role":"assistant","content":"","thinking":"Hm.","tool_calls":[{"function":{"index":0,"name":"weather","arguments":{"city":"Rome"}}}]},
          {"role":"tool","tool_name":"weather","content":"sunny"},{"role":"assistant","tool_calls":[{"id":"c1","function":{"name":"f","arguments":{}}}]},
          {"role":"tool","tool_call_id":"c1","content":"1"}]})",
      true));
  ASSERT_TRUE(call.conversation);
  const std::vector<Message>& messages = call.conversation->messages;
  ASSERT_EQ(messages.size(), 6U);
  EXPECT_EQ(messages[0].role, Role::kSystem);
  EXPECT_EQ(messages[2].reasoning, "Hm.");
  ASSERT_EQ(messages[2].tool_calls.size(), 1U);
  EXPECT_EQ(messages[2].tool_calls[0].name, "weather");
  EXPECT_EQ(messages[2].tool_calls[0].arguments, R"({"city": "Rome"})");
  EXPECT_EQ(messages[3].role, Role::kTool);
  EXPECT_EQ(messages[3].name, "weather");
  EXPECT_EQ(messages[4].content, "");
  EXPECT_EQ(messages[5].tool_call_id, "c1");
  EXPECT_EQ(call.prompt_field, "messages");
}

TEST(OllamaChatRequest, takes_formats_thinking_and_tools) {
  EXPECT_FALSE(decoded(decode_chat_request(chat(R"("format":"")"), false)).answer_grammar);
  EXPECT_EQ(decoded(decode_chat_request(chat(R"("format":"json")"), false)).answer_grammar,
            (Grammar{GrammarKind::kJsonSchema, R"({"type": "object"})"}));
  EXPECT_EQ(decoded(decode_chat_request(chat(R"("format":{"type":"array"})"), false)).answer_grammar,
            (Grammar{GrammarKind::kJsonSchema, R"({"type": "array"})"}));
  const auto effort = [](const char* think) {
    return decoded(decode_chat_request(chat(R"("think":)" + std::string(think)), false))
        .conversation->reasoning_effort.value_or("(none)");
  };
  EXPECT_EQ(effort("true"), "on");
  EXPECT_EQ(effort("false"), "none");
  EXPECT_EQ(effort("null"), "(none)");
  EXPECT_EQ(effort(R"("low")"), "low");
  EXPECT_EQ(effort(R"("max")"), "xhigh");
  const GenerationCall call = decoded(decode_chat_request(
      chat(
          R"("tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}])"),
      false));
  ASSERT_EQ(call.conversation->tools.size(), 1U);
  EXPECT_EQ(call.conversation->tools[0].name, "f");
  EXPECT_EQ(call.conversation->messages.size(), 1U);
}

TEST(OllamaChatRequest, without_messages_only_loads) {
  for (const char* body : {R"({"model":"m"})", R"({"model":"m","messages":[]})",
                           R"({"model":"m","messages":null,"keep_alive":0})"}) {
    const GenerationCall call = decoded(decode_chat_request(body, true));
    EXPECT_TRUE(call.load_only) << body;
  }
  EXPECT_EQ(decoded(decode_chat_request(R"({"model":"m","keep_alive":0})", true)).keep_alive,
            Duration::zero());
  EXPECT_LT(decoded(decode_chat_request(R"({"model":"m","keep_alive":-1})", true)).keep_alive->count(), 0);
}

TEST(OllamaChatRequest, refuses_by_name_what_cannot_be_done) {
  const struct {
    std::string body;
    const char* field;
    const char* message;
  } refusals[] = {
      {R"({"messages":[{"role":"user","content":"x"}]})", "model", "missing"},
      {chat(R"("options":[1])"), "options", "object"},
      {chat(R"("options":{"temperature":3})"), "options.temperature", "between 0 and 2"},
      {chat(R"("options":{"top_p":"high"})"), "options.top_p", "number"},
      {chat(R"("options":{"num_predict":-3})"), "options.num_predict", "between -2"},
      {chat(R"("options":{"repeat_penalty":0})"), "options.repeat_penalty", "above 0"},
      {chat(R"("format":"yaml")"), "format", "JSON schema"},
      {chat(R"("format":{"x-guidance":{}})"), "format.x-guidance", "x-guidance"},
      {chat(R"("format":7)"), "format", "JSON schema"},
      {chat(R"("think":"very")"), "think", "low, medium"},
      {chat(R"("think":1)"), "think", "true, false"},
      {chat(R"("stream":"yes")"), "stream", "true or false"},
      {chat(R"("keep_alive":"soon")"), "keep_alive", "soon"},
      {chat(R"("top_logprobs":21)"), "top_logprobs", "between 0 and 20"},
      {chat(R"("top_logprobs":2)"), "top_logprobs", "logprobs: true"},
      {chat(R"("temperature":1)"), "temperature", "unknown parameter"},
      {chat(R"("tool_choice":"auto")"), "tool_choice", "unknown parameter"},
      {chat(R"("_debug_render_only":true)"), "_debug_render_only", "not supported"},
      {R"({"model":"m","messages":[{"role":"user","content":"x","images":["aGk="]}]})", "messages[0].images",
       "text only"},
      {R"({"model":"m","messages":[{"role":"robot","content":"x"}]})", "messages[0].role", "robot"},
      {R"({"model":"m","messages":[{"role":"user","content":["x"]}]})", "messages[0].content[0]", "object"},
      {R"({"model":"m","messages":"x"})", "messages", "list"},
      {"[]", "", "object"},
  };
  for (const auto& refusal : refusals) {
    SCOPED_TRACE(refusal.body);
    check_refused(decode_chat_request(refusal.body, false), refusal.field, refusal.message);
  }
}

TEST(OllamaGenerateRequest, is_a_chat_of_one_turn_or_raw) {
  const GenerationCall chat = decoded(decode_generate_request(
      generate(
          R"("system":"Be brief.","suffix":"","template":"","context":[],"images":[],"raw":false,"think":false)"),
      true));
  ASSERT_TRUE(chat.conversation);
  ASSERT_EQ(chat.conversation->messages.size(), 2U);
  EXPECT_EQ(chat.conversation->messages[0].role, Role::kSystem);
  EXPECT_EQ(chat.conversation->messages[1].content, "Hi");
  EXPECT_EQ(chat.conversation->reasoning_effort, "none");
  EXPECT_EQ(chat.prompt_field, "prompt");
  const GenerationCall raw = decoded(decode_generate_request(generate(R"("raw":true,"think":false)"), true));
  EXPECT_FALSE(raw.conversation);
  ASSERT_EQ(raw.prompts.size(), 1U);
  EXPECT_EQ(std::get<std::string>(raw.prompts[0]), "Hi");
  EXPECT_TRUE(decoded(decode_generate_request(R"({"model":"m"})", true)).load_only);
  EXPECT_TRUE(decoded(decode_generate_request(R"({"model":"m","prompt":""})", true)).load_only);
}

TEST(OllamaGenerateRequest, refuses_by_name_what_cannot_be_done) {
  const struct {
    const char* more;
    const char* field;
    const char* message;
  } refusals[] = {
      {R"("suffix":"}")", "suffix", "not supported"},
      {R"("template":"{{ .Prompt }}")", "template", "raw"},
      {R"("context":[1,2])", "context", "/api/chat"},
      {R"("images":["aGk="])", "images", "text only"},
      {R"("raw":true,"system":"x")", "system", "raw"},
      {R"("raw":true,"format":"json")", "format", "raw"},
      {R"("raw":true,"think":true)", "think", "raw"},
      {R"("raw":true,"chat_template_kwargs":{"a":1})", "chat_template_kwargs", "raw"},
      {R"("messages":[])", "messages", "unknown parameter"},
  };
  for (const auto& refusal : refusals) {
    SCOPED_TRACE(refusal.more);
    check_refused(decode_generate_request(generate(refusal.more), false), refusal.field, refusal.message);
  }
  check_refused(decode_generate_request(R"({"model":"m","prompt":["a"]})", false), "prompt", "string");
}

TEST(OllamaRequests, have_each_field_once_and_a_reader_for_each_that_is_honoured) {
  for (const auto fields : {chat_fields(), generate_fields()}) {
    std::set<std::string_view> names;
    for (const Field<RequestDraft>& field : fields) {
      EXPECT_TRUE(names.insert(field.name).second) << field.name;
      EXPECT_TRUE(field.use != FieldUse::kHonoured || field.read != nullptr) << field.name;
    }
  }
}

TEST(OllamaProfileDefaults, stand_where_the_request_says_nothing) {
  const std::string defaults =
      R"({"system":"Be brief.","temperature":0.2,"max_tokens":9,"repetition_penalty":1.1,"template":{"enable_thinking":false},"context_tokens":512})";
  const GenerationCall chat_call = decoded(decode_chat_request(
      with_profile_defaults(chat(R"("options":{"temperature":0.7})"), defaults, ProfileUse::kChat), true));
  EXPECT_FLOAT_EQ(chat_call.sampling.temperature, 0.7F);
  EXPECT_EQ(chat_call.max_tokens, 9);
  EXPECT_FLOAT_EQ(chat_call.sampling.repetition_penalty, 1.1F);
  ASSERT_EQ(chat_call.conversation->messages.size(), 2U);
  EXPECT_EQ(chat_call.conversation->messages[0].content, "Be brief.");
  EXPECT_EQ(chat_call.conversation->template_variables_json, R"({"enable_thinking": false})");
  EXPECT_TRUE(decoded(decode_chat_request(
                          with_profile_defaults(R"({"model":"m"})", defaults, ProfileUse::kChat), true))
                  .load_only);
  const GenerationCall generate_call = decoded(decode_generate_request(
      with_profile_defaults(generate(R"("system":"Mine.")"), defaults, ProfileUse::kGenerate), true));
  EXPECT_EQ(generate_call.conversation->messages[0].content, "Mine.");
  const GenerationCall raw = decoded(decode_generate_request(
      with_profile_defaults(generate(R"("raw":true)"), defaults, ProfileUse::kGenerate), true));
  EXPECT_FALSE(raw.conversation);
  EXPECT_FLOAT_EQ(raw.sampling.temperature, 0.2F);
  EXPECT_EQ(with_profile_defaults("no json", defaults, ProfileUse::kChat), "no json");
}

TEST(OllamaModelRequests, take_the_old_name_of_the_model_too) {
  EXPECT_EQ(*decode_delete(R"({"model":"a"})"), "a");
  EXPECT_EQ(*decode_delete(R"({"name":"a"})"), "a");
  EXPECT_EQ(decode_delete("{}").error().field, "model");
  EXPECT_EQ(decode_delete(R"({"model":"a","force":true})").error().field, "force");
  EXPECT_TRUE(decode_pull(R"({"model":"a"})")->stream);
  EXPECT_FALSE(decode_pull(R"({"name":"a","stream":false,"insecure":true})")->stream);
  EXPECT_EQ(decode_copy(R"({"source":"a"})").error().field, "destination");
  EXPECT_EQ(decode_show(R"({"model":"a","verbose":true,"options":{}})")->ignored,
            std::vector<std::string>{"options"});
}

TEST(OllamaModelRequests, pull_names_are_those_of_the_hub) {
  for (const char* name :
       {"org/name", "hf.co/org/name", "huggingface.co/org/name:latest", "https://hf.co/org/name"}) {
    const auto parsed = parse_pull_name(name);
    ASSERT_TRUE(parsed.ok()) << name;
    EXPECT_EQ(parsed->repository, "org/name");
    EXPECT_EQ(parsed->revision, "main");
  }
  EXPECT_EQ(parse_pull_name("org/name@v1")->revision, "v1");
  EXPECT_EQ(parse_pull_name("llama3.2:1b")->repository, "");
  for (const char* name : {"org/name:q4", "org/na me", "org/name@../x", "a/b/c"})
    EXPECT_EQ(parse_pull_name(name).error().kind, ErrorKind::kInvalidArgument) << name;
}

}  // namespace
}  // namespace mlxd::api::ollama
