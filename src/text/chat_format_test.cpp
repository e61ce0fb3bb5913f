#include "text/chat_format.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "text/families/family_list.h"
#include "text/test_tokenizers.h"

namespace mlxd {
namespace {

namespace json = boost::json;
using Kind = AnswerPiece::Kind;
using Start = dialects::OutputParser::Start;

std::string template_source(const std::string& name) {
  std::ifstream file(std::string(MLXD_SOURCE_DIR) + "/tests/parity/templates/" + name + ".jinja",
                     std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

ChatFormat format_of(const std::string& source, ChatFormat::Options options = {}) {
  std::map<std::string, ChatTemplate> templates;
  templates.emplace("default", ChatTemplate::parse(source, {"<s>", "</s>", "", ""}).take_value());
  return ChatFormat::create(std::move(templates), "", "", options).take_value();
}

std::vector<Tool> tools() {
  const std::string parameters =
      R"({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "tags": {"type": "array"}, "at": {"type": "object"}}})";
  std::vector<Tool> list;
  for (const char* name : {"get_weather", "get_time"})
    list.push_back({.name = name,
                    .declaration_json = R"({"type": "function", "function": {"name": ")" + std::string(name) +
                                        R"(", "description": "d", "parameters": )" + parameters + "}}",
                    .parameters_json = parameters});
  return list;
}

struct Row {
  std::string file, family, dialect;
  bool has_tools = true;       // in the template itself
  bool has_reasoning = false;  // of earlier turns
  bool reads_back = true;      // else an answer's beginning is not written again in later turns
};

const Row kRows[] = {
    {"qwen2", "qwen2", "hermes"},
    {"qwen3", "qwen3", "hermes", true, true},
    {"qwen3_thinking", "qwen3", "hermes", true, true},
    {"qwen3_coder", "qwen3_coder", "qwen3_coder"},
    {"nemotron3", "qwen3_coder", "qwen3_coder", true, true},
    {"smollm3", "smollm3", "hermes", true, true},
    {"hermes", "qwen2", "hermes"},
    {"plain_chatml", "chatml", "hermes", false},
    {"llama3", "llama3", "llama3_json"},
    {"llama4", "llama4", "llama4_pythonic"},
    {"llama2", "llama2", "hermes", false},
    {"mistral_v3", "mistral", "mistral"},
    {"mistral_v11", "mistral_v11", "mistral_v11", true, true},
    {"deepseek_v3", "deepseek", "deepseek_v3"},
    {"deepseek_r1", "deepseek", "hermes", false, false, false},
    {"deepseek_v3_1", "deepseek", "deepseek_v3"},
    {"deepseek_v3_2", "deepseek_v32", "deepseek_v32"},
    {"glm4_5", "glm4_5", "glm4_5", true, true},
    {"glm4_7", "glm4_5", "glm4_5", true, true},
    {"glm4", "glm4", "glm4"},
    {"kimi_k2", "kimi_k2", "kimi_k2"},
    {"minimax_m2", "minimax_m2", "minimax_m2", true, true},
    {"gemma3", "gemma", "hermes", false},
    {"gemma4", "gemma4", "gemma4", true, true},
    {"function_gemma", "function_gemma", "function_gemma"},
    {"lfm2", "lfm2", "lfm2"},
    {"olmo3", "olmo3", "olmo3"},
    {"olmo2", "olmo2", "hermes", false},
    {"granite3", "granite3", "granite3"},
    {"granite4", "granite4", "hermes"},
    {"nemotron_nano", "nemotron_nano", "nemotron"},
    {"command_a", "command_a", "cohere", true, true},
    {"phi3", "phi3", "hermes", false},
    {"phi4", "phi4", "hermes", false},
    {"phi4_mini", "phi4_mini", "phi4"},
    {"hunyuan", "hunyuan", "hunyuan", true, true},
    {"exaone4", "exaone4", "hermes", true, false, false},
    {"longcat", "longcat", "longcat"},
    {"seed_oss", "seed_oss", "seed_oss", true, true},
    {"ernie4_5", "ernie4_5", "hermes"},
    {"gpt_oss", "gpt_oss", "gpt_oss", true, true},
};

Message user(const std::string& text) { return {.role = Role::kUser, .content = text}; }

TEST(ChatFormat, knows_families_by_their_templates) {
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.file);
    const ChatFormat format = format_of(template_source(row.file));
    EXPECT_EQ(format.family().name, row.family);
    EXPECT_EQ(format.traits().offers_tools, row.has_tools);
    const auto prompt = format.write({.messages = {user("Hi")}, .tools = tools()});
    ASSERT_TRUE(prompt.ok()) << prompt.error().message;
    EXPECT_EQ(prompt->format.tools->name, row.dialect);
    EXPECT_NE(prompt->text.find("get_weather"), std::string::npos) << prompt->text;
    EXPECT_NE(prompt->text.find("Hi"), std::string::npos);
  }
}

// What a family's template writes of an answer is read as that answer.
TEST(ChatFormat, an_answer_that_the_template_writes_is_read_back) {
  const std::vector<std::string> arguments = {
      R"({"city": "São \"Paulo\"\nx", "days": 3, "tags": ["a", 1, null, {"k": true}], "at": {"lat": -1.5}})",
      R"({"city": "7"})"};
  for (const Row& row : kRows) {
    if (!row.reads_back) continue;
    SCOPED_TRACE(row.file);
    const ChatFormat format = format_of(template_source(row.file));
    Message answer{.role = Role::kAssistant, .content = "Let me look."};
    // These stand for a whole answer, without words beside them.
    const bool stands_alone = row.dialect == "llama3_json" || row.dialect == "glm4";
    if (stands_alone) answer.content.clear();
    if (row.has_reasoning) answer.reasoning = "The user\nasks.";
    // Nothing to read back where both cannot stand together.
    if (row.family == "gpt_oss") answer.content.clear();
    for (std::size_t i = 0; i < arguments.size() && !(row.dialect == "glm4" && i > 0); ++i)
      answer.tool_calls.push_back({.id = "abcdefgh" + std::to_string(i),
                                   .name = i == 0 ? "get_weather" : "get_time",
                                   .arguments = arguments[i]});
    Conversation conversation{.messages = {user("Weather?")}, .tools = tools()};
    const auto prompt = format.write(conversation);
    ASSERT_TRUE(prompt.ok()) << prompt.error().message;
    conversation.messages.push_back(answer);
    // The same without the prompt of the next turn.
    conversation.template_variables_json = R"({"add_generation_prompt": false})";
    const auto written = format.write(conversation);
    ASSERT_TRUE(written.ok()) << written.error().message;
    ASSERT_TRUE(written->text.starts_with(prompt->text)) << prompt->text << "\n---\n" << written->text;
    std::string text = written->text.substr(prompt->text.size());
    // The turn's end is an end token, which is no text.
    const Conversation closing{.messages = {user("Weather?"), {.role = Role::kAssistant, .content = "zq"}},
                               .template_variables_json = conversation.template_variables_json};
    const std::string closed = format.write(closing)->text;
    std::string end = closed.substr(closed.rfind("zq") + 2);
    for (const std::string_view mark : prompt->format.layout) {
      if (end.starts_with(mark)) end.erase(0, mark.size());
    }
    if (row.family == "gpt_oss") end = "<|call|>";
    ASSERT_TRUE(text.ends_with(end)) << text << " does not end with " << end;
    text.resize(text.size() - end.size());

    dialects::OutputParser parser(prompt->format, tools(), prompt->start);
    std::vector<AnswerPiece> pieces = parser.push(text);
    for (AnswerPiece& piece : parser.finish()) append_piece(pieces, std::move(piece));
    std::string content, reasoning;
    std::vector<ToolCall> calls;
    for (const AnswerPiece& piece : pieces) {
      if (piece.kind == Kind::kContent) content += piece.text;
      if (piece.kind == Kind::kReasoning) reasoning += piece.text;
      if (piece.kind == Kind::kCallBegin) calls.push_back({.id = {}, .name = piece.name, .arguments = {}});
      if (piece.kind == Kind::kCallArguments) calls.back().arguments += piece.text;
      EXPECT_NE(piece.kind, Kind::kCallBroken) << piece.text;
    }
    EXPECT_EQ(content, answer.content) << text;
    EXPECT_EQ(reasoning, answer.reasoning) << text;
    ASSERT_EQ(calls.size(), answer.tool_calls.size()) << text;
    for (std::size_t i = 0; i < calls.size(); ++i) {
      EXPECT_EQ(calls[i].name, answer.tool_calls[i].name);
      json::error_code code;
      EXPECT_EQ(json::parse(calls[i].arguments, code), json::parse(answer.tool_calls[i].arguments))
          << calls[i].arguments;
      EXPECT_FALSE(code) << calls[i].arguments;
    }
  }
}

// Every template takes every conversation, whatever it lacks, and the words of it are all there.
TEST(ChatFormat, fits_conversations_to_what_the_template_takes) {
  const std::vector<Message> messages = {{.role = Role::kSystem, .content = "S-words"},
                                         user("U-one"),
                                         user("U-two"),
                                         {.role = Role::kAssistant,
                                          .content = "A-one",
                                          .tool_calls = {{"call_1", "get_time", R"({"city": "C-arg"})"}}},
                                         {.role = Role::kTool, .content = "R-one", .tool_call_id = "call_1"},
                                         {.role = Role::kAssistant, .content = "A-two"},
                                         user("U-three")};
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.file);
    const ChatFormat format = format_of(template_source(row.file));
    const auto prompt = format.write({.messages = messages, .tools = tools()});
    ASSERT_TRUE(prompt.ok()) << prompt.error().message;
    std::size_t at = 0;
    for (const char* words : {"S-words", "U-one", "U-two", "A-one", "C-arg", "R-one", "A-two", "U-three"}) {
      at = prompt->text.find(words, at);
      ASSERT_NE(at, std::string::npos) << words << "\n" << prompt->text;
    }
  }
}

TEST(ChatFormat, finds_switches_and_what_they_are_without_being_set) {
  const auto switch_of = [](const std::string& file, std::string_view name) {
    const ChatFormat format = format_of(template_source(file));
    const TemplateSwitch* found = format.traits().find_switch(name);
    return found == nullptr ? std::string("none") : found->default_json;
  };
  EXPECT_EQ(switch_of("qwen3", "enable_thinking"), "true");
  EXPECT_EQ(switch_of("exaone4", "enable_thinking"), "false");
  EXPECT_EQ(switch_of("deepseek_v3_1", "thinking"), "false");
  EXPECT_EQ(switch_of("gpt_oss", "reasoning_effort"), "\"medium\"");
  EXPECT_EQ(switch_of("qwen2", "enable_thinking"), "none");
  EXPECT_EQ(switch_of("plain_chatml", "reasoning_effort"), "none");
}

TEST(ChatFormat, effort_sets_the_switch_that_the_template_has) {
  struct Case {
    std::string file, effort, ends_with;
    Start start;
  };
  const Case cases[] = {
      {"qwen3", "none", "<think>\n\n</think>\n\n", Start::kContent},
      {"qwen3", "high", "assistant\n", Start::kContent},
      {"exaone4", "low", "<think>\n", Start::kReasoning},
      {"deepseek_v3_1", "medium", "<think>", Start::kReasoningLineBreak},
      {"deepseek_v3_1", "none", "</think>", Start::kContent},
      {"plain_chatml", "none", "assistant\n", Start::kContent},
      {"deepseek_v3_1", "on", "<think>", Start::kReasoningLineBreak},
      {"qwen3", "on", "assistant\n", Start::kContent},
      {"qwen3_thinking", "on", "<think>\n", Start::kReasoning},
      {"qwen3_thinking", "", "<think>\n", Start::kReasoning},
      {"minimax_m2", "", "<think>\n", Start::kReasoning},
  };
  for (const Case& c : cases) {
    Conversation conversation{.messages = {user("Hi")}};
    if (!c.effort.empty()) conversation.reasoning_effort = c.effort;
    const auto prompt = format_of(template_source(c.file)).write(conversation);
    ASSERT_TRUE(prompt.ok()) << prompt.error().message;
    EXPECT_TRUE(prompt->text.ends_with(c.ends_with)) << c.file << ": " << prompt->text;
    EXPECT_EQ(prompt->start, c.start) << c.file << " " << c.effort;
  }
  Conversation high{.messages = {user("Hi")}, .reasoning_effort = "high"};
  EXPECT_NE(format_of(template_source("gpt_oss")).write(high)->text.find("Reasoning: high"),
            std::string::npos);
  const auto always =
      format_of(template_source("minimax_m2")).write({.messages = {user("Hi")}, .reasoning_effort = "none"});
  ASSERT_FALSE(always.ok());
  EXPECT_EQ(always.error().field, "reasoning_effort");
  for (const char* effort : {"high", "on"}) {
    const auto refused = format_of(template_source("plain_chatml"))
                             .write({.messages = {user("Hi")}, .reasoning_effort = effort});
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().kind, ErrorKind::kUnsupported);
    EXPECT_EQ(refused.error().field, "reasoning_effort");
  }
  EXPECT_TRUE(
      format_of(template_source("gpt_oss")).write({.messages = {user("Hi")}, .reasoning_effort = "on"}).ok());
  // What the client says itself wins.
  Conversation both{.messages = {user("Hi")},
                    .reasoning_effort = "high",
                    .template_variables_json = R"({"enable_thinking": false})"};
  EXPECT_TRUE(format_of(template_source("qwen3")).write(both)->text.ends_with("</think>\n\n"));
}

TEST(ChatFormat, the_tool_prompt_can_be_off) {
  const ChatFormat format = format_of(template_source("plain_chatml"), {.tool_prompt = false});
  const auto refused = format.write({.messages = {user("Hi")}, .tools = tools()});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().field, "tools");
  EXPECT_TRUE(format.write({.messages = {user("Hi")}}).ok());
}

TEST(ChatFormat, takes_the_template_named_for_the_purpose) {
  std::map<std::string, ChatTemplate> templates;
  for (const char* name : {"default", "tool_use", "rag"})
    templates.emplace(
        name, ChatTemplate::parse(std::string(name) + "{% if tools %}{{ tools|length }}{% endif %}", {})
                  .take_value());
  const ChatFormat format = ChatFormat::create(std::move(templates), "", "", {}).take_value();
  EXPECT_EQ(format.write({.messages = {user("Hi")}})->text, "default");
  EXPECT_EQ(format.write({.messages = {user("Hi")}, .template_variables_json = R"({"documents": []})"})->text,
            "rag");
  // It does not name its tools, so they are told in the system message that it does not show either.
  EXPECT_EQ(format.write({.messages = {user("Hi")}, .tools = tools()})->text, "tool_use");
}

TEST(ChatFormat, without_a_template_the_tokenizer_decides) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "chat_format_test_folder";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const Tokenizer plain = Tokenizer::parse(test::byte_level_tokenizer()).take_value();
  const auto none = ChatFormat::open(folder, plain);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().kind, ErrorKind::kNotFound);
  json::value tokenizer = json::parse(test::byte_level_tokenizer());
  auto& added = tokenizer.as_object()["added_tokens"].as_array();
  const auto next = static_cast<int>(plain.vocab_size());
  added.push_back(test::added_token(next, "<|im_start|>", true));
  added.push_back(test::added_token(next + 1, "<|im_end|>", true));
  const Tokenizer chatml = Tokenizer::parse(json::serialize(tokenizer)).take_value();
  const auto fallback = ChatFormat::open(folder, chatml);
  ASSERT_TRUE(fallback.ok()) << fallback.error().message;
  EXPECT_EQ(fallback->write({.messages = {user("Hi")}})->text,
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(fallback->end_tokens(chatml), std::vector<TokenId>{next + 1});
}

TEST(Family, is_found_by_configuration_then_template_then_name) {
  EXPECT_EQ(find_family("qwen3", "", "").name, "qwen3");
  EXPECT_EQ(find_family("qwen3", "<|im_start|><think>", "llama-3").name, "qwen3");
  EXPECT_EQ(find_family("qwen2", "<｜tool▁calls▁begin｜>", "").name, "deepseek") << "a distilled model";
  EXPECT_EQ(find_family("llama", "<|im_start|>", "").name, "chatml");
  EXPECT_EQ(find_family("llama", "", "x").name, "llama3");
  EXPECT_EQ(find_family("", "", "Magistral-Small-MLX").name, "mistral");
  EXPECT_EQ(find_family("", "", "").name, "plain");
  std::size_t num_families = 0;
  for (const Family* family : families::kFamilies) {
    EXPECT_FALSE(family->name.empty());
    ++num_families;
  }
  EXPECT_GE(num_families, 30U);
}

}  // namespace
}  // namespace mlxd
