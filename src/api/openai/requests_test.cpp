#include <gtest/gtest.h>

#include <set>
#include <string>

#include "api/openai/chat_request.h"
#include "api/openai/completion_request.h"

namespace mlxd::api::openai {
namespace {

constexpr std::string_view kMessages = R"("messages":[{"role":"user","content":"Hi"}])";

std::string chat(std::string_view more) {
  return R"({"model":"m",)" + std::string(kMessages) + (more.empty() ? "" : ",") + std::string(more) + "}";
}

std::string completion(std::string_view more) {
  return R"({"model":"m","prompt":"Hi")" + std::string(more.empty() ? "" : ",") + std::string(more) + "}";
}

struct Refusal {
  std::string body;
  std::string field;
  std::string in_message;
};

void check_refused(const Result<GenerationCall>& call, const Refusal& expected) {
  ASSERT_FALSE(call.ok()) << expected.body.substr(0, 200);
  EXPECT_EQ(call.error().field, expected.field) << call.error().message;
  EXPECT_NE(call.error().message.find(expected.in_message), std::string::npos) << call.error().message;
  EXPECT_LT(call.error().message.size(), 500U);
}

TEST(ChatRequest, takes_every_sampling_parameter) {
  const auto call = decode_chat_request(
      chat(
          R"("temperature":0.5,"top_p":0.9,"top_k":40,"min_p":0.05,"seed":-1,"n":3,"stop":["a","b"],"max_tokens":10,
              "max_completion_tokens":7,"presence_penalty":1,"frequency_penalty":-1.5,"repetition_penalty":1.1,
              "logit_bias":{"5":-100,"7":2.5},"logprobs":true,"top_logprobs":4,"stream":true,
              "stream_options":{"include_usage":true},"user":"u","metadata":{"a":"b"},"store":true,
              "service_tier":"auto","tools":[],"tool_choice":"none","response_format":{"type":"text"},
              "modalities":["text"],"chat_template_kwargs":{"enable_thinking":false})"),
      false);
  ASSERT_TRUE(call.ok()) << call.error().message;
  const SamplingParams& sampling = call->sampling;
  EXPECT_EQ(call->model, "m");
  EXPECT_FLOAT_EQ(sampling.temperature, 0.5F);
  EXPECT_FLOAT_EQ(sampling.top_p, 0.9F);
  EXPECT_EQ(sampling.top_k, 40);
  EXPECT_FLOAT_EQ(sampling.min_p, 0.05F);
  EXPECT_EQ(sampling.seed, ~std::uint64_t{0});
  EXPECT_EQ(call->num_choices, 3);
  EXPECT_EQ(call->stop_strings, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(call->max_tokens, 7);
  EXPECT_FLOAT_EQ(sampling.presence_penalty, 1.0F);
  EXPECT_FLOAT_EQ(sampling.frequency_penalty, -1.5F);
  EXPECT_FLOAT_EQ(sampling.repetition_penalty, 1.1F);
  ASSERT_EQ(sampling.logit_bias.size(), 2U);
  EXPECT_EQ(sampling.logit_bias[1].token, 7);
  EXPECT_TRUE(sampling.logprobs);
  EXPECT_EQ(sampling.top_logprobs, 4);
  EXPECT_TRUE(call->stream);
  EXPECT_TRUE(call->include_usage);
  EXPECT_EQ(call->conversation->template_variables_json, R"({"enable_thinking": false})");
}

TEST(ChatRequest, takes_an_adapter) {
  for (const auto& call : {decode_chat_request(chat(R"("adapter":"sql")"), false),
                           decode_completion_request(completion(R"("adapter":"sql")"))}) {
    ASSERT_TRUE(call.ok()) << call.error().message;
    EXPECT_EQ(call->model, "m");
    EXPECT_EQ(call->adapter, "sql");
  }
  EXPECT_EQ(decode_chat_request(chat(R"("adapter":null)"), false)->adapter, "");
  check_refused(decode_chat_request(chat(R"("adapter":"")"), false), {"", "adapter", "empty"});
  check_refused(decode_completion_request(completion(R"("adapter":["sql"])")), {"", "adapter", "string"});
}

TEST(ChatRequest, has_openai_defaults_and_takes_null_for_absent) {
  for (const auto& body :
       {chat(""), chat(R"("temperature":null,"max_tokens":null,"stop":null,"seed":null,"tools":null,
                                             "response_format":null,"n":null,"logprobs":null,"audio":null)")}) {
    const auto call = decode_chat_request(body, false);
    ASSERT_TRUE(call.ok()) << call.error().message;
    EXPECT_FLOAT_EQ(call->sampling.temperature, 1.0F);
    EXPECT_EQ(call->max_tokens, 0);
    EXPECT_EQ(call->num_choices, 1);
    EXPECT_FALSE(call->sampling.seed.has_value());
    EXPECT_FALSE(call->stream);
  }
}

TEST(ChatRequest, takes_integers_written_as_floats) {
  const auto call =
      decode_chat_request(chat(R"("max_tokens":10.0,"seed":18446744073709551615,"n":2e0)"), false);
  ASSERT_TRUE(call.ok()) << call.error().message;
  EXPECT_EQ(call->max_tokens, 10);
  EXPECT_EQ(call->num_choices, 2);
}

TEST(ChatRequest, takes_a_prediction_as_text_or_parts) {
  for (
      const char* body :
      {R"("prediction":{"type":"content","content":"a b"})",
       R"("prediction":{"type":"content","content":[{"type":"text","text":"a "},{"type":"text","text":"b"}]})"}) {
    const auto call = decode_chat_request(chat(body), false);
    ASSERT_TRUE(call.ok()) << call.error().message;
    EXPECT_EQ(call->prediction, "a b");
  }
  for (const char* body : {"", R"("prediction":null)"}) {
    const auto call = decode_chat_request(chat(body), false);
    ASSERT_TRUE(call.ok()) << call.error().message;
    EXPECT_FALSE(call->prediction);
  }
}

TEST(ChatRequest, reads_messages_and_keeps_their_further_keys) {
  const auto call = decode_chat_request(
      R"({"model":"m","messages":[{"role":"developer","content":"a"},
          {"content":[{"type":"text","text":"a "},{"type":"text","text":"b","cache_control":{}}],"role":"user"},
          {"role":"user","content":"  x\n","name":"n","extra":{"k":[1,0.5,2.0]}},
          {"role":"assistant","content":null,"reasoning_content":"hm",
           "tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},
                         {"function":{"name":"g","arguments":{"b":[true]}}},{"function":{"name":"h"}}]},
          {"role":"tool","tool_call_id":"1","content":"42"},
          {"role":"assistant","content":[{"type":"refusal","refusal":"no"}]}]})",
      false);
  ASSERT_TRUE(call.ok()) << call.error().message;
  const std::vector<Message>& messages = call->conversation->messages;
  ASSERT_EQ(messages.size(), 6U);
  EXPECT_EQ(messages[0].role, Role::kSystem);
  EXPECT_EQ(messages[1].content, "a b");
  EXPECT_EQ(messages[2].content, "  x\n");
  EXPECT_EQ(messages[2].name, "n");
  EXPECT_EQ(messages[2].further_json, R"({"extra": {"k": [1, 0.5, 2.0]}})");
  EXPECT_EQ(messages[3].content, "");
  EXPECT_EQ(messages[3].reasoning, "hm");
  ASSERT_EQ(messages[3].tool_calls.size(), 3U);
  EXPECT_EQ(messages[3].tool_calls[0].id, "1");
  EXPECT_EQ(messages[3].tool_calls[0].name, "f");
  EXPECT_EQ(messages[3].tool_calls[0].arguments, R"({"a":1})");
  EXPECT_EQ(messages[3].tool_calls[1].arguments, R"({"b": [true]})");
  EXPECT_EQ(messages[3].tool_calls[2].arguments, "{}");
  EXPECT_EQ(messages[4].role, Role::kTool);
  EXPECT_EQ(messages[4].tool_call_id, "1");
  EXPECT_EQ(messages[5].content, "no");
}

constexpr std::string_view kTool =
    R"({"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"a":{"type":"number","minimum":0.5}}}}})";

TEST(ChatRequest, takes_tools_in_the_order_of_their_keys) {
  const auto call = decode_chat_request(
      chat(R"("tools":[)" + std::string(kTool) +
           R"(],"tool_choice":"auto","parallel_tool_calls":false,"reasoning_effort":"high")"),
      false);
  ASSERT_TRUE(call.ok()) << call.error().message;
  ASSERT_EQ(call->conversation->tools.size(), 1U);
  const Tool& tool = call->conversation->tools[0];
  EXPECT_EQ(tool.name, "f");
  EXPECT_EQ(tool.parameters_json,
            R"({"type": "object", "properties": {"a": {"type": "number", "minimum": 0.5}}})");
  EXPECT_EQ(tool.declaration_json,
            R"({"type": "function", "function": {"name": "f", "description": "d", "parameters": )" +
                tool.parameters_json + "}}");
  EXPECT_EQ(call->max_tool_calls, 1);
  EXPECT_EQ(call->conversation->reasoning_effort, "high");
  const auto none =
      decode_chat_request(chat(R"("tools":[)" + std::string(kTool) + R"(],"tool_choice":"none")"), false);
  ASSERT_TRUE(none.ok()) << none.error().message;
  EXPECT_TRUE(none->conversation->tools.empty());
  for (const char* choice : {R"("required")", R"({"type":"function","function":{"name":"f"}})"}) {
    const auto forced = decode_chat_request(
        chat(R"("tool_choice":)" + std::string(choice) + R"(,"tools":[)" + std::string(kTool) + "]"), false);
    ASSERT_TRUE(forced.ok()) << forced.error().message;
    EXPECT_TRUE(forced->conversation->must_call);
    EXPECT_EQ(forced->conversation->tool_to_call, choice[0] == '{' ? "f" : "");
  }
}

TEST(ChatRequest, takes_the_form_of_the_answer) {
  const auto form = [](const std::string& fields) {
    return *decode_chat_request(chat(fields), false)->answer_grammar;
  };
  EXPECT_FALSE(decode_chat_request(chat(R"("response_format":{"type":"text"})"), false)->answer_grammar);
  EXPECT_EQ(form(R"("response_format":{"type":"json_object"})"),
            (Grammar{GrammarKind::kJsonSchema, R"({"type": "object"})"}));
  EXPECT_EQ(form(R"("response_format":{"type":"regex","regex":"[ab]+"})"),
            (Grammar{GrammarKind::kRegex, "[ab]+"}));
  EXPECT_EQ(form(R"("response_format":{"type":"lark","lark":"start: \"a\""})"),
            (Grammar{GrammarKind::kLark, "start: \"a\""}));
  EXPECT_EQ(
      form(
          R"("response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"minimum":0.5,"type":"number"}}})"),
      (Grammar{GrammarKind::kJsonSchema, R"({"minimum": 0.5, "type": "number"})"}));
  EXPECT_EQ(decode_chat_request(chat(R"("thinking_budget":0)"), false)->thinking_budget, 0);
}

TEST(ChatRequest, names_what_it_refuses) {
  const std::string deep = std::string(10000, '[') + std::string(10000, ']');
  const Refusal cases[] = {
      {"", "", "no body"},
      {"{", "", "not valid JSON"},
      {R"({"a":1} x)", "", "not valid JSON"},
      {"[]", "", "must be a JSON object"},
      {"\"\xff\"", "", "UTF-8"},
      {R"({"model":")"
       "\xc3\x28"
       R"("})",
       "", "UTF-8"},
      {R"({"model":"m","messages":)" + deep + "}", "", "nested deeper than 100"},
      {R"({"model":"m","messages":)" + std::string(10000, '['), "", "nested deeper"},
      {R"({"model":"m"})", "messages", "missing"},
      {"{" + std::string(kMessages) + "}", "model", "missing"},
      {R"({"model":5,)" + std::string(kMessages) + "}", "model", "must be a string, but is 5"},
      {chat(R"("temprature":1)"), "temprature", "did you mean 'temperature'"},
      {chat(R"("zzzzzzzzzzzzzz":1)"), "zzzzzzzzzzzzzz", "unknown parameter"},
      {chat(R"("prediction":"x")"), "prediction", "must be an object"},
      {chat(R"("prediction":{"content":"x"})"), "prediction.type", "missing"},
      {chat(R"("prediction":{"type":"text","content":"x"})"), "prediction.type", "must be \"content\""},
      {chat(R"("prediction":{"type":"content"})"), "prediction.content", "missing"},
      {chat(R"("prediction":{"type":"content","content":5})"), "prediction.content", "must be a string"},
      {chat(R"("prediction":{"type":"content","content":[{"type":"image_url"}]})"),
       "prediction.content[0].type", "text only"},
      {chat(R"("temperature":2.5)"), "temperature", "temperature is 2.5, must be between 0 and 2"},
      {chat(R"("temperature":"1")"), "temperature", "must be a number, but is \"1\""},
      {chat(R"("temperature":1e400)"), "temperature", ""},
      {chat(R"("temperature":1e40)"), "temperature", "must be between 0 and 2"},
      {chat(R"("top_p":-0.1)"), "top_p", "must be between 0 and 1"},
      {chat(R"("top_p":1.01)"), "top_p", "1.01"},
      {chat(R"("top_k":-2)"), "top_k", "-2"},
      {chat(R"("top_k":1.5)"), "top_k", "must be an integer, but is 1.5"},
      {chat(R"("min_p":-0.1)"), "min_p", "-0.1"},
      {chat(R"("seed":1e30)"), "seed", "must be between"},
      {chat(R"("seed":"x")"), "seed", "integer"},
      {chat(R"("n":0)"), "n", "between 1 and 16"},
      {chat(R"("n":17)"), "n", "17"},
      {chat(R"("n":true)"), "n", "integer"},
      {chat(R"("max_tokens":0)"), "max_tokens", "between 1"},
      {chat(R"("max_tokens":-1)"), "max_tokens", "-1"},
      {chat(R"("max_tokens":99999999999999999999)"), "max_tokens", "must be between"},
      {chat(R"("max_completion_tokens":0)"), "max_completion_tokens", "between 1"},
      {chat(R"("stop":5)"), "stop", "a string or a list"},
      {chat(R"("stop":[1])"), "stop[0]", "must be a string"},
      {chat(R"("stop":"")"), "stop", "empty"},
      {chat(R"("stop":")" + std::string(1 << 20, 'x') + '"'), "stop", "1048576 bytes"},
      {chat(R"("presence_penalty":3)"), "presence_penalty", "between -2 and 2"},
      {chat(R"("frequency_penalty":-3)"), "frequency_penalty", "-3"},
      {chat(R"("repetition_penalty":0)"), "repetition_penalty", "above 0"},
      {chat(R"("logit_bias":[])"), "logit_bias", "an object"},
      {chat(R"("logit_bias":{"x":1})"), "logit_bias", "'x'"},
      {chat(R"("logit_bias":{"-5":1})"), "logit_bias", "token id"},
      {chat(R"("logit_bias":{"5":100,"05":100})"), "logit_bias", "'05'"},
      {chat(R"("logit_bias":{"-0":1})"), "logit_bias", "token id"},
      {chat(R"("logit_bias":{"":1})"), "logit_bias", "token id"},
      {chat(R"("logit_bias":{"5":101})"), "logit_bias.5", "101"},
      {chat(R"("logprobs":1)"), "logprobs", "true or false"},
      {chat(R"("logprobs":true,"top_logprobs":21)"), "top_logprobs", "21"},
      {chat(R"("top_logprobs":2)"), "top_logprobs", "logprobs: true"},
      {chat(R"("stream":"yes")"), "stream", "true or false"},
      {chat(R"("stream_options":{})"), "stream_options", "stream: true"},
      {chat(R"("stream":true,"stream_options":{"usage":true})"), "stream_options.usage", "unknown"},
      {chat(R"("tools":{})"), "tools", "a list"},
      {chat(R"("tools":[{}])"), "tools[0].type", "missing"},
      {chat(R"("tools":[{"type":"function"}])"), "tools[0].function", "missing"},
      {chat(R"("tools":[{"type":"web_search"}])"), "tools[0].type", "only functions"},
      {chat(R"("tools":[{"type":"function","function":{"name":"a b"}}])"), "tools[0].function.name",
       "letters"},
      {chat(R"("tools":[{"type":"function","function":{"name":"f","strict":"yes"}}])"),
       "tools[0].function.strict", "true or false"},
      {chat(R"("tools":[{"type":"function","function":{"name":"f","parameters":[]}}])"),
       "tools[0].function.parameters", "an object"},
      {chat(
           R"("tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"f"}}])"),
       "tools[1].function.name", "earlier"},
      {chat(R"("parallel_tool_calls":1)"), "parallel_tool_calls", "true or false"},
      {chat(R"("tool_choice":"required")"), "tool_choice", "no tools"},
      {chat(R"("tool_choice":"maybe")"), "tool_choice", "must be none"},
      {chat(
           R"("tool_choice":{"type":"function","function":{"name":"g"}},"tools":[{"type":"function","function":{"name":"f"}}])"),
       "tool_choice.function.name", "none of the tools"},
      {chat(R"("tool_choice":{"type":"custom"})"), "tool_choice", "not supported"},
      {chat(R"("tool_choice":{"type":"function"})"), "tool_choice.function", "missing"},
      {chat(R"("functions":[{}])"), "functions", "not supported"},
      {chat(R"("response_format":{"type":"xml"})"), "response_format.type", "json_schema, regex or lark"},
      {chat(R"("response_format":{"type":"regex"})"), "response_format.regex", "missing"},
      {chat(R"("thinking_budget":-1)"), "thinking_budget", "-1"},
      {chat(R"("response_format":{"type":"json_schema","json_schema":{}})"),
       "response_format.json_schema.schema", "missing"},
      {chat(
           R"("response_format":{"type":"json_schema","json_schema":{"schema":{"x-guidance":{"lenient":true}}}})"),
       "response_format.json_schema.schema.x-guidance", "not supported"},
      {chat(R"("tools":[{"type":"function","function":{"name":"f","parameters":{"x-guidance":{}}}}])"),
       "tools[0].function.parameters.x-guidance", "not supported"},
      {chat(R"("response_format":{})"), "response_format.type", "missing"},
      {chat(R"("audio":{})"), "audio", "not supported"},
      {chat(R"("modalities":["audio"])"), "modalities", "not supported"},
      {chat(R"("reasoning_effort":"huge")"), "reasoning_effort", "must be none"},
      {R"({"model":"m","messages":[{"role":"assistant","tool_calls":[{}]}]})",
       "messages[0].tool_calls[0].function", "missing"},
      {R"({"model":"m","messages":[{"role":"assistant","tool_calls":[{"function":{}}]}]})",
       "messages[0].tool_calls[0].function.name", "missing"},
      {chat(R"("web_search_options":{})"), "web_search_options", "not supported"},
      {chat(R"("chat_template_kwargs":{"messages":[]})"), "chat_template_kwargs.messages", "may not"},
      {chat(R"("prompt":"x")"), "prompt", "unknown parameter"},
      {R"({"model":"m","messages":[]})", "messages", "empty"},
      {R"({"model":"m","messages":"hi"})", "messages", "a list"},
      {R"({"model":"m","messages":[5]})", "messages[0]", "an object"},
      {R"({"model":"m","messages":[{"content":"x"}]})", "messages[0].role", "missing"},
      {R"({"model":"m","messages":[{"role":"robot","content":"x"}]})", "messages[0].role", "robot"},
      {R"({"model":"m","messages":[{"role":"user"}]})", "messages[0].content", "missing"},
      {R"({"model":"m","messages":[{"role":"user","content":5}]})", "messages[0].content",
       "a string or a list"},
      {R"({"model":"m","messages":[{"role":"user","content":[{"type":"image_url"}]}]})",
       "messages[0].content[0].type", "image_url"},
      {R"({"model":"m","messages":[{"role":"user","content":[{"type":"text"}]}]})",
       "messages[0].content[0].text", "missing"},
  };
  for (const Refusal& c : cases) check_refused(decode_chat_request(c.body, false), c);
}

TEST(ChatRequest, refuses_unread_keys_in_messages_only_when_strict) {
  const std::string body = R"({"model":"m","messages":[{"role":"user","content":"x","extra":1}]})";
  EXPECT_TRUE(decode_chat_request(body, false).ok());
  check_refused(decode_chat_request(body, true), {body, "messages[0].extra", "unknown key"});
}

TEST(CompletionRequest, takes_prompts_in_all_four_forms) {
  struct Case {
    std::string prompt;
    std::vector<RawPrompt> expected;
  };
  using Tokens = std::vector<TokenId>;
  const Case cases[] = {
      {R"("Hi")", {std::string("Hi")}},
      {R"(["a","b"])", {std::string("a"), std::string("b")}},
      {"[1,2,3]", {Tokens{1, 2, 3}}},
      {"[[1,2],[3]]", {Tokens{1, 2}, Tokens{3}}},
  };
  for (const Case& c : cases) {
    const auto call = decode_completion_request(R"({"model":"m","prompt":)" + c.prompt + "}");
    ASSERT_TRUE(call.ok()) << call.error().message;
    EXPECT_EQ(call->prompts, c.expected);
    EXPECT_EQ(call->max_tokens, 16);
    EXPECT_FALSE(call->conversation.has_value());
  }
}

TEST(CompletionRequest, names_what_it_refuses) {
  std::string many = "[";
  for (int i = 0; i < 65; ++i) many += std::string(i > 0 ? "," : "") + "\"x\"";
  many += "]";
  const Refusal cases[] = {
      {R"({"model":"m"})", "prompt", "missing"},
      {R"({"model":"m","prompt":5})", "prompt", "a string"},
      {R"({"model":"m","prompt":[]})", "prompt", "empty"},
      {R"({"model":"m","prompt":[1,"a"]})", "prompt", "prompt[1]"},
      {R"({"model":"m","prompt":[-1]})", "prompt", "token id"},
      {R"({"model":"m","prompt":[1.5]})", "prompt", "token id"},
      {R"({"model":"m","prompt":[{}]})", "prompt[0]", "a string or a list"},
      {R"({"model":"m","prompt":)" + many + "}", "prompt", "65 prompts"},
      {R"({"model":"m","prompt":[1,2],"suffix":"x"})", "suffix", "texts"},
      {completion(R"("best_of":2)"), "best_of", "not supported"},
      {completion(R"("best_of":2,"n":3)"), "best_of", "not supported"},
      {completion(R"("max_tokens":0)"), "max_tokens", "echo"},
      {completion(R"("max_tokens":-1,"echo":true)"), "max_tokens", "-1"},
      {completion(R"("echo":true,"logprobs":1,"suffix":"x")"), "suffix", "echo and logprobs"},
      {completion(R"("logprobs":21)"), "logprobs", "21"},
      {completion(R"("logprobs":true)"), "logprobs", "integer"},
      {completion(R"("messages":[])"), "messages", "unknown"},
      {R"({"model":"m","prompt":["a","b","c","d","e"],"n":16})", "n", "80 choices"},
  };
  for (const Refusal& c : cases) check_refused(decode_completion_request(c.body), c);
  EXPECT_TRUE(
      decode_completion_request(completion(R"("suffix":"","best_of":1,"logprobs":0,"echo":false)")).ok());
  EXPECT_TRUE(decode_completion_request(completion(R"("best_of":3,"n":3)")).ok());
  EXPECT_EQ(decode_completion_request(completion(R"("suffix":"b")"))->suffix, "b");
  EXPECT_TRUE(decode_completion_request(completion(R"("max_tokens":0,"echo":true)"))->echo_alone);
  EXPECT_TRUE(decode_completion_request(completion(R"("echo":true,"suffix":"b")")).ok());
}

TEST(CompletionRequest, scores_the_prompt_that_it_echoes_with_log_probabilities) {
  const auto call = [](std::string_view more) {
    return decode_completion_request(completion(std::string(more))).take_value();
  };
  EXPECT_FALSE(call(R"("echo":true)").scores_prompt());
  EXPECT_FALSE(call(R"("logprobs":1)").scores_prompt());
  EXPECT_FALSE(call(R"("echo":true,"logprobs":null)").scores_prompt());
  const GenerationCall scored = call(R"("echo":true,"logprobs":0,"max_tokens":1)");
  EXPECT_TRUE(scored.scores_prompt());
  EXPECT_FALSE(scored.echo_alone);
  EXPECT_EQ(scored.sampling.top_logprobs, 0);
  const GenerationCall alone = call(R"("echo":true,"logprobs":5,"max_tokens":0)");
  EXPECT_TRUE(alone.scores_prompt());
  EXPECT_TRUE(alone.echo_alone);
  EXPECT_EQ(alone.sampling.top_logprobs, 5);
}

TEST(RequestFields, stand_once_in_each_table_with_a_use) {
  for (const auto table : {chat_fields(), completion_fields()}) {
    std::set<std::string_view> names;
    for (const auto& field : table) {
      EXPECT_TRUE(names.insert(field.name).second) << field.name;
      EXPECT_TRUE(field.use != FieldUse::kHonoured || field.read != nullptr) << field.name;
    }
  }
}

}  // namespace
}  // namespace mlxd::api::openai
