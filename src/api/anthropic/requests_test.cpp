#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>

#include "api/anthropic/messages_request.h"

namespace mlxd::api::anthropic {
namespace {

constexpr std::string_view kUser = R"([{"role":"user","content":"Hi"}])";

std::string body(std::string_view messages, std::string_view more = "") {
  return R"({"model":"m","max_tokens":5,"messages":)" + std::string(messages) + std::string(more) + "}";
}

Result<GenerationCall> decode(std::string_view messages, std::string_view more = "") {
  return decode_messages_request(body(messages, more), false);
}

void check_refused(const Result<GenerationCall>& call, std::string_view field, std::string_view in_message) {
  ASSERT_FALSE(call.ok()) << field;
  EXPECT_EQ(call.error().field, field) << call.error().message;
  EXPECT_NE(call.error().message.find(in_message), std::string::npos) << call.error().message;
  EXPECT_LT(call.error().message.size(), 500U);
}

TEST(MessagesRequest, takes_every_field) {
  const auto call = decode(
      kUser,
      R"(,"system":"Be brief.","stop_sequences":["a","b"],"temperature":0.5,"top_p":0.9,"top_k":40,"stream":true,
          "metadata":{"user_id":"u"},"service_tier":"auto","betas":["x"],"context_management":{"edits":[]},
          "cache_control":{"type":"ephemeral"},"inference_geo":"eu","mcp_servers":[],"container":null,"seed":7,
          "min_p":0.1,"presence_penalty":1,"frequency_penalty":-1,"repetition_penalty":1.1,"logit_bias":{"5":1},
          "keep_alive":"5m","cache_salt":"s","adapter":"a","chat_template_kwargs":{"x":1},"diagnostics":{},
          "tools":[{"name":"f","description":"d","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"}}],
          "tool_choice":{"type":"auto","disable_parallel_tool_use":true},
          "thinking":{"type":"enabled","budget_tokens":1024},"output_config":{"effort":"max"})");
  ASSERT_TRUE(call.ok()) << call.error().message;
  EXPECT_EQ(call->model, "m");
  EXPECT_EQ(call->adapter, "a");
  EXPECT_EQ(call->max_tokens, 5);
  EXPECT_EQ(call->stop_strings, (std::vector<std::string>{"a", "b"}));
  EXPECT_FLOAT_EQ(call->sampling.temperature, 0.5F);
  EXPECT_FLOAT_EQ(call->sampling.top_p, 0.9F);
  EXPECT_EQ(call->sampling.top_k, 40);
  EXPECT_EQ(call->sampling.seed, std::uint64_t{7});
  EXPECT_TRUE(call->stream);
  EXPECT_EQ(call->max_tool_calls, 1);
  EXPECT_EQ(call->thinking_budget, 1024);
  EXPECT_EQ(call->reasoning_wish->thinks, true);
  EXPECT_EQ(call->reasoning_wish->effort, "xhigh");
  EXPECT_EQ(call->prompt_field, "messages");
  EXPECT_TRUE(call->ignored.empty());
  const Conversation& conversation = *call->conversation;
  ASSERT_EQ(conversation.messages.size(), 2U);
  EXPECT_EQ(conversation.messages[0].role, Role::kSystem);
  EXPECT_EQ(conversation.messages[0].content, "Be brief.");
  EXPECT_EQ(conversation.messages[1].content, "Hi");
  ASSERT_EQ(conversation.tools.size(), 1U);
  EXPECT_EQ(
      conversation.tools[0].declaration_json,
      R"({"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}})");
  EXPECT_EQ(conversation.tools[0].parameters_json, R"({"type": "object"})");
}

TEST(MessagesRequest, samples_at_one_and_does_not_ask_to_think_unless_told) {
  const auto call = decode(kUser, R"(,"temperature":null)");
  ASSERT_TRUE(call.ok());
  EXPECT_FLOAT_EQ(call->sampling.temperature, 1.0F);
  EXPECT_EQ(call->reasoning_wish->thinks, std::nullopt);
  EXPECT_EQ(decode(kUser, R"(,"thinking":{"type":"disabled"})")->reasoning_wish->thinks, false);
  EXPECT_EQ(decode(kUser, R"(,"thinking":{"type":"adaptive"})")->reasoning_wish->thinks, true);
  EXPECT_TRUE(decode(kUser, R"(,"thinking":{"type":"adaptive","display":"omitted"})")->hides_reasoning);
}

TEST(MessagesRequest, bounds_calls) {
  const auto bounded = decode(kUser, R"(,"max_tool_calls":3)");
  ASSERT_TRUE(bounded.ok()) << bounded.error().message;
  EXPECT_EQ(bounded->max_tool_calls, 3);
  check_refused(decode(kUser, R"(,"max_tool_calls":0)"), "max_tool_calls", "between 1 and 128");
}

TEST(MessagesRequest, refuses_by_name) {
  struct Case {
    std::string_view more, field, in_message;
  };
  const Case cases[] = {
      {R"(,"temperature":1.5)", "temperature", "between 0 and 1"},
      {R"(,"temperature":"hot")", "temperature", "number"},
      {R"(,"top_k":-2)", "top_k", "between"},
      {R"(,"top_p":2)", "top_p", "between"},
      {R"(,"stop_sequences":"a")", "stop_sequences", "list"},
      {R"(,"stop_sequences":[""])", "stop_sequences", "character"},
      {R"(,"stop":["a"])", "stop", "unknown parameter"},
      {R"(,"stream":1)", "stream", "true or false"},
      {R"(,"temprature":1)", "temprature", "did you mean 'temperature'"},
      {R"(,"system":5)", "system", "text blocks"},
      {R"(,"system":[{"type":"image"}])", "system[0]", "must be text"},
      {R"(,"thinking":{"type":"enabled"})", "thinking.budget_tokens", "missing"},
      {R"(,"thinking":{"type":"enabled","budget_tokens":0})", "thinking.budget_tokens", "between 1"},
      {R"(,"thinking":{"type":"much"})", "thinking.type", "adaptive"},
      {R"(,"thinking":{"type":"adaptive","display":"x"})", "thinking.display", "omitted"},
      {R"(,"output_config":{"effort":"huge"})", "output_config.effort", "medium"},
      {R"(,"output_config":{"length":1})", "output_config.length", "unknown"},
      {R"(,"output_config":{"format":{"type":"text"}})", "output_config.format.type", "json_schema"},
      {R"(,"output_format":{"type":"json_schema"})", "output_format.schema", "missing"},
      {R"(,"output_format":{"type":"json_schema","schema":{"x-guidance":{}}})",
       "output_format.schema.x-guidance", "not supported"},
      {R"(,"mcp_servers":[{"url":"http://x"}])", "mcp_servers", "not supported"},
      {R"(,"container":"c")", "container", "not supported"},
      {R"(,"thread":{"id":"t"})", "thread", "messages"},
      {R"(,"tools":[{"name":"f"}])", "tools[0].input_schema", "missing"},
      {R"(,"tools":[{"name":"f g","input_schema":{}}])", "tools[0].name", "letters"},
      {R"(,"tools":[{"name":"f","input_schema":{}},{"name":"f","input_schema":{}}])", "tools[1].name",
       "earlier"},
      {R"(,"tools":[{"name":"f","input_schema":{},"strict":1}])", "tools[0].strict", "true or false"},
      {R"(,"tools":[{"type":"a\r\nb","name":"f"}])", "tools[0].type", "custom"},
      {R"(,"tool_choice":"auto")", "tool_choice", "object"},
      {R"(,"tool_choice":{"type":"required"})", "tool_choice.type", "any"},
      {R"(,"tool_choice":{"type":"any"})", "tool_choice", "no tools"},
      {R"(,"tool_choice":{"type":"tool"})", "tool_choice.name", "missing"},
      {R"(,"tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"tool","name":"g"})",
       "tool_choice.name", "none of the tools"},
  };
  for (const Case& c : cases) check_refused(decode(kUser, c.more), c.field, c.in_message);
  check_refused(decode_messages_request(R"({"model":"m","messages":[{"role":"user","content":"x"}]})", false),
                "max_tokens", "missing");
  check_refused(decode_messages_request(R"({"model":"m","max_tokens":1})", false), "messages", "missing");
  check_refused(
      decode_messages_request(R"({"max_tokens":1,"messages":[{"role":"user","content":"x"}]})", false),
      "model", "missing");
}

TEST(MessagesRequest, refuses_messages_by_their_place) {
  struct Case {
    std::string_view messages, field, in_message;
  };
  const Case cases[] = {
      {"[]", "messages", "empty"},
      {R"([{"role":"tool","content":"x"}])", "messages[0].role", "assistant"},
      {R"([{"role":"user"}])", "messages[0].content", "missing"},
      {R"([{"role":"user","content":5}])", "messages[0].content", "blocks"},
      {R"([{"role":"user","content":[{"text":"x"}]}])", "messages[0].content[0].type", "missing"},
      {R"([{"role":"user","content":[{"type":"image","source":{}}]}])", "messages[0].content[0]",
       "text only"},
      {R"([{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image"}]}]}])",
       "messages[0].content[0].content[0]", "text only"},
      {R"([{"role":"user","content":[{"type":"document","source":{"type":"base64"}}]}])",
       "messages[0].content[0].source.type", "text or content"},
      {R"([{"role":"user","content":[{"type":"tool_use"}]}])", "messages[0].content[0]", "not supported"},
      {R"([{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":"x"}]},{"role":"user","content":""}])",
       "messages[0].content[0].input", "object"},
      {R"([{"role":"assistant","content":[{"type":"server_tool_use"}]},{"role":"user","content":""}])",
       "messages[0].content[0]", "server_tool_use"},
      {R"([{"role":"user","content":"x"},{"role":"assistant","content":"The answer is "}])", "messages",
       "white space"},
      {R"([{"role":"assistant","content":"The answer is"}])", "messages", "nothing before"},
      {R"([{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]}])",
       "messages", "without its result"},
  };
  for (const Case& c : cases) check_refused(decode(c.messages), c.field, c.in_message);
  const std::string odd = body(R"([{"role":"user","content":[{"type":"text","text":"x","mood":1}],"id":1}])");
  EXPECT_TRUE(decode_messages_request(odd, false).ok());
  check_refused(decode_messages_request(odd, true), "messages[0].id", "unknown key");
}

TEST(MessagesRequest, an_assistants_message_at_the_end_begins_the_answer) {
  const std::string messages =
      R"([{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"text","text":"It is ("}]}])";
  const auto call = decode(messages);
  ASSERT_TRUE(call.ok()) << call.error().message;
  EXPECT_EQ(call->conversation->messages.size(), 1U);
  EXPECT_EQ(call->answer_beginning, "It is (");
  check_refused(decode(messages, R"(,"thinking":{"type":"adaptive"})"), "messages", "thinking");
  check_refused(decode(messages, R"(,"output_format":{"type":"json_schema","schema":{}})"), "messages",
                "output_format");
  check_refused(decode(messages, R"(,"tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"any"})"),
                "messages", "forces");
}

TEST(MessagesRequest, counting_needs_no_ceiling) {
  const auto call = decode_messages_request(R"({"model":"m","messages":[{"role":"user","content":"x"}]})",
                                            false, Purpose::kCount);
  ASSERT_TRUE(call.ok()) << call.error().message;
  EXPECT_EQ(call->max_tokens, 0);
}

TEST(MessagesRequest, turns_of_tools_become_messages_in_the_common_form) {
  const auto call = decode(
      R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
          {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},
            {"type":"redacted_thinking","data":"x"},{"type":"text","text":"I look."},
            {"type":"tool_use","id":"t1","name":"f","input":{"b":1,"a":[true,null]},"caller":{"type":"direct"}},
            {"type":"tool_use","id":"t2","name":"g","input":{}}]},
          {"role":"user","content":[{"type":"text","text":"<reminder>"},
            {"type":"tool_result","tool_use_id":"t1","content":"21"},
            {"type":"tool_result","tool_use_id":"t2","content":[{"type":"text","text":"x"},{"type":"text","text":"y"}],"is_error":true},
            {"type":"text","text":"go on"}]}])");
  ASSERT_TRUE(call.ok()) << call.error().message;
  const std::vector<Message>& messages = call->conversation->messages;
  ASSERT_EQ(messages.size(), 5U);
  EXPECT_EQ(messages[0].content, "ab");
  EXPECT_EQ(messages[1].role, Role::kAssistant);
  EXPECT_EQ(messages[1].reasoning, "hm");
  EXPECT_EQ(messages[1].content, "I look.");
  ASSERT_EQ(messages[1].tool_calls.size(), 2U);
  EXPECT_EQ(messages[1].tool_calls[0].id, "t1");
  EXPECT_EQ(messages[1].tool_calls[0].arguments, R"({"b": 1, "a": [true, null]})");
  EXPECT_EQ(messages[2].role, Role::kTool);
  EXPECT_EQ(messages[2].tool_call_id, "t1");
  EXPECT_EQ(messages[2].name, "f");
  EXPECT_EQ(messages[2].content, "21");
  EXPECT_EQ(messages[3].content, "Error: xy");
  EXPECT_EQ(messages[4].role, Role::kUser);
  EXPECT_EQ(messages[4].content, "<reminder>go on");
}

// Agents send them in mid-history, where many templates take none.
TEST(MessagesRequest, system_messages_begin_a_conversation_or_remind) {
  const auto call = decode(
      R"([{"role":"system","content":"b"},{"role":"user","content":"Hi"},
          {"role":"system","content":[{"type":"text","text":"Agents: none"}]}])",
      R"(,"system":"a")");
  ASSERT_TRUE(call.ok()) << call.error().message;
  const std::vector<Message>& messages = call->conversation->messages;
  ASSERT_EQ(messages.size(), 3U);
  EXPECT_EQ(messages[0].role, Role::kSystem);
  EXPECT_EQ(messages[0].content, "a\n\nb");
  EXPECT_EQ(messages[2].role, Role::kUser);
  EXPECT_EQ(messages[2].content, "<system-reminder>\nAgents: none\n</system-reminder>");
}

TEST(MessagesRequest, results_may_be_empty_and_say_themselves_that_they_are_errors) {
  const auto result = [](const std::string& more) {
    const auto call =
        decode(R"([{"role":"user","content":[{"type":"tool_result","tool_use_id":"t")" + more + "}]}]");
    return call.ok() ? call->conversation->messages.at(0).content : call.error().message;
  };
  EXPECT_EQ(result(""), "");
  EXPECT_EQ(result(R"(,"content":[])"), "");
  EXPECT_EQ(result(R"(,"content":null,"is_error":true)"), "Error: ");
  EXPECT_EQ(result(R"(,"is_error":true,"content":"Error: no file")"), "Error: no file");
  EXPECT_EQ(result(R"(,"is_error":true,"content":"<tool_use_error>no</tool_use_error>")"),
            "<tool_use_error>no</tool_use_error>");
  EXPECT_EQ(result(R"(,"is_error":false,"content":"fine")"), "fine");
}

TEST(MessagesRequest, documents_and_search_results_are_text) {
  const auto call = decode(
      R"([{"role":"user","content":[
        {"type":"document","title":"T","source":{"type":"text","media_type":"text/plain","data":"words"}},
        {"type":"document","source":{"type":"content","content":[{"type":"text","text":"more"}]}},
        {"type":"search_result","title":"S","source":"http://s","content":[{"type":"text","text":"found"}]},
        {"type":"text","text":"What?"}]}])");
  ASSERT_TRUE(call.ok()) << call.error().message;
  EXPECT_EQ(call->conversation->messages.at(0).content,
            "<document>\n<title>T</title>\n<document_content>\nwords\n</document_content>\n</document>\n"
            "<document>\n<document_content>\nmore\n</document_content>\n</document>\n"
            "<search_result>\n<title>S</title>\n<source>http://s</source>\nfound\n</search_result>\nWhat?");
}

// Else no two requests of an agent would begin alike.
TEST(MessagesRequest, a_line_about_billing_is_no_part_of_the_prompt) {
  const auto system = [](std::string_view value) {
    const auto call = decode(kUser, R"(,"system":)" + std::string(value));
    EXPECT_TRUE(call.ok());
    const Message& first = call->conversation->messages.at(0);
    return first.role == Role::kSystem ? first.content : std::string("none");
  };
  EXPECT_EQ(system(R"("x-anthropic-billing-header: v=1; cch=a1;\n\nYou are X.")"), "You are X.");
  EXPECT_EQ(system(R"("x-anthropic-billing-header: v=1; cch=b2;")"), "none");
  EXPECT_EQ(system(R"([{"type":"text","text":"x-anthropic-billing-header: v=1; cch=c3;"},
                       {"type":"text","text":"You are X.","cache_control":{"type":"ephemeral"}},
                       {"type":"text","text":"\nx-anthropic-billing-header: stays here"}])"),
            "You are X.\nx-anthropic-billing-header: stays here");
  EXPECT_EQ(system("[]"), "none");
}

TEST(MessagesRequest, tools_of_anthropics_servers_are_dropped_and_told) {
  const std::string tools =
      R"(,"tools":[{"type":"web_search_20250305","name":"web_search","max_uses":5},{"type":"custom","name":"f","input_schema":{}}])";
  const auto call = decode(kUser, tools);
  ASSERT_TRUE(call.ok()) << call.error().message;
  EXPECT_EQ(call->ignored, (std::vector<std::string>{"tools.web_search_20250305"}));
  ASSERT_EQ(call->conversation->tools.size(), 1U);
  EXPECT_EQ(call->conversation->tools[0].name, "f");
  check_refused(decode(kUser, tools + R"(,"tool_choice":{"type":"tool","name":"web_search"})"),
                "tool_choice.name", "only Anthropic's servers");
}

TEST(MessagesRequest, tool_choice_says_what_may_be_called) {
  const std::string tools = R"(,"tools":[{"name":"f","input_schema":{}}],"tool_choice":)";
  const auto any = decode(kUser, tools + R"({"type":"any"})");
  EXPECT_TRUE(any->conversation->must_call);
  EXPECT_EQ(any->conversation->tool_to_call, "");
  const auto named = decode(kUser, tools + R"({"type":"tool","name":"f"})");
  EXPECT_TRUE(named->conversation->must_call);
  EXPECT_EQ(named->conversation->tool_to_call, "f");
  const auto none = decode(kUser, tools + R"({"type":"none"})");
  EXPECT_FALSE(none->conversation->must_call);
  EXPECT_TRUE(none->conversation->tools.empty());
}

TEST(MessagesRequest, an_answer_can_have_a_schema) {
  for (const std::string_view more :
       {R"(,"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}})",
        R"(,"output_format":{"type":"json_schema","schema":{"type":"object"}})"}) {
    const auto call = decode(kUser, more);
    ASSERT_TRUE(call.ok()) << call.error().message;
    EXPECT_EQ(call->answer_grammar, (Grammar{GrammarKind::kJsonSchema, R"({"type": "object"})"}));
    EXPECT_TRUE(more.find(call->grammar_field.substr(0, 13)) != std::string_view::npos);
  }
}

TEST(MessagesRequest, a_profile_fills_what_is_left_open) {
  const std::string filled = with_profile_defaults(
      body(kUser, R"(,"top_p":0.5)"),
      R"({"system":"S","temperature":1.5,"top_p":0.1,"stop":"x","max_tokens":9,"context_tokens":100,"template":{"a":1}})");
  const auto call = decode_messages_request(filled, false);
  ASSERT_TRUE(call.ok()) << call.error().message << filled;
  EXPECT_FLOAT_EQ(call->sampling.temperature, 1.0F);
  EXPECT_FLOAT_EQ(call->sampling.top_p, 0.5F);
  EXPECT_EQ(call->max_tokens, 5);
  EXPECT_EQ(call->stop_strings, std::vector<std::string>{"x"});
  EXPECT_EQ(call->conversation->messages.at(0).content, "S");
  EXPECT_EQ(call->conversation->template_variables_json, R"({"a": 1})");
}

// Whatever comes, there is a call or an error that a person can read.
TEST(MessagesRequest, survives_any_body) {
  const std::string whole = body(
      R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"document","source":{"type":"text","data":"d"}}]},
          {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},
            {"type":"tool_use","id":"t1","name":"f","input":{"a":[1,null]}}]},
          {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"x"}],"is_error":true}]},
          {"role":"system","content":"s"},{"role":"user","content":"go"}])",
      R"(,"system":[{"type":"text","text":"x-anthropic-billing-header: a"}],"stop_sequences":["a"],"temperature":0.5,
          "tools":[{"name":"f","input_schema":{"type":"object"}},{"type":"web_search_1","name":"w"}],
          "tool_choice":{"type":"tool","name":"f"},"thinking":{"type":"enabled","budget_tokens":9},
          "output_config":{"effort":"low"},"logit_bias":{"5":1},"keep_alive":"5m")");
  ASSERT_TRUE(decode_messages_request(whole, false).ok());
  constexpr std::uint32_t kSeed = 20240601;
  std::mt19937 random(kSeed);
  const std::string_view signs = "{}[]\",:0-\\\xc3 x";
  for (int i = 0; i < 4000; ++i) {
    std::string text = whole;
    for (std::size_t changes = 1 + random() % 3; changes > 0; --changes) {
      const std::size_t at = random() % text.size();
      const std::size_t count = std::min<std::size_t>(random() % 12, text.size() - at);
      if (random() % 2 == 0)
        text.replace(at, count, text.substr(random() % text.size(), random() % 12));
      else
        text[at] = signs[random() % signs.size()];
    }
    const auto call =
        decode_messages_request(text, i % 2 == 0, i % 3 == 0 ? Purpose::kCount : Purpose::kAnswer);
    if (call.ok()) continue;
    EXPECT_FALSE(call.error().message.empty()) << "seed " << kSeed << ", body " << i;
    EXPECT_LT(call.error().message.size(), 600U) << "seed " << kSeed << ", body " << i;
  }
}

}  // namespace
}  // namespace mlxd::api::anthropic
