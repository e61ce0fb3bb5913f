#include "text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "textkit.h"

namespace mlxd {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string text_of(const json::value& value) { return std::string(value.as_string()); }

/// Renders `source` with one user message, or gives the error's message after "error: ".
std::string render(std::string_view source, std::string variables = "{}",
                   std::string_view messages = R"([{"role":"user","content":"Hi"}])") {
  auto chat_template = ChatTemplate::parse(source, {"<s>", "</s>", "", ""});
  if (!chat_template) return "error: " + chat_template.error().message;
  ChatTemplate::Options options;
  options.extra_json = std::move(variables);
  auto text = chat_template->render_json(messages, options);
  return text ? text.value() : "error: " + text.error().message;
}

// tests/parity/make_template_cases.py says where the expectations come from.
TEST(ChatTemplateTest, RendersAsJinja2WithTransformersDoes) {
  json::parse_options options;
  options.max_depth = 100;
  const json::object document =
      json::parse(read_file(std::string(MLXD_SOURCE_DIR) + "/tests/parity/template_cases.json"), {}, options)
          .as_object();
  std::size_t checked = 0;
  for (const json::value& item : document.at("cases").as_array()) {
    const json::object& test = item.as_object();
    const std::string name = text_of(test.at("name"));
    SCOPED_TRACE(name);
    json::object variables;
    std::string source;
    std::string messages;
    if (test.contains("template")) {
      source = text_of(test.at("template"));
      variables = document.at("data").as_object();
      messages = json::serialize(document.at("snippet_messages"));
      for (const auto& [key, value] : document.at("special").as_object()) variables[key] = value;
    } else if (const std::string family = name.substr(0, name.find('/'));
               !document.at("families").as_object().contains(family)) {
      source = read_file(std::string(MLXD_SOURCE_DIR) + "/tests/parity/templates/" + family + ".jinja");
      const json::object& conversation =
          document.at("conversations").at(name.substr(family.size() + 1)).as_object();
      variables = conversation.at("variables").as_object();
      messages = json::serialize(conversation.at("messages"));
    } else {
      source = text_of(document.at("families").at(family));
      variables = test.at("variables").as_object();
      messages = json::serialize(test.at("messages"));
    }
    const std::string rendered = render(source, json::serialize(variables), messages);
    ++checked;
    if (const json::value* raised = test.if_contains("raised")) {
      EXPECT_EQ(rendered, "error: " + text_of(*raised)) << "template: " << source;
    } else if (test.contains("error")) {
      EXPECT_TRUE(rendered.starts_with("error: ")) << "template: " << source << "\nrendered: " << rendered;
    } else {
      EXPECT_EQ(rendered, text_of(test.at("expected"))) << "template: " << source;
    }
  }
  EXPECT_GT(checked, 700U);
}

std::filesystem::path make_folder(const std::vector<std::pair<std::string, std::string>>& files) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "chat_template_test_folder";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  for (const auto& [name, content] : files) std::ofstream(folder / name, std::ios::binary) << content;
  return folder;
}

std::string open_and_render(const std::vector<std::pair<std::string, std::string>>& files) {
  auto chat_template = ChatTemplate::open(make_folder(files));
  if (!chat_template) return "error: " + chat_template.error().message;
  auto text = chat_template->render({}, {});
  return text ? text.value() : "error: " + text.error().message;
}

TEST(ChatTemplateTest, FindsTheTemplateAndSpecialTokensInAFolder) {
  const std::string config =
      R"({"bos_token":"<b>","eos_token":{"__type":"AddedToken","content":"<e>","lstrip":false},"pad_token":null,
          "image_token":"<i>","chat_template":"config {{ bos_token }}{{ eos_token }}{{ image_token }}{{ pad_token is defined }}"})";
  EXPECT_EQ(open_and_render({{"tokenizer_config.json", config}}), "config <b><e><i>False");
  EXPECT_EQ(
      open_and_render({{"tokenizer_config.json", config}, {"chat_template.jinja", "jinja {{ bos_token }}"}}),
      "jinja <b>");
  EXPECT_EQ(open_and_render({{"tokenizer_config.json", config},
                             {"chat_template.json", R"({"chat_template":"json {{ eos_token }}"})"}}),
            "json <e>");
  EXPECT_EQ(open_and_render({{"tokenizer_config.json",
                              R"({"chat_template":[{"name":"tool_use","template":"tools"},
                                                   {"name":"default","template":"default"}]})"}}),
            "default");
  EXPECT_EQ(open_and_render({{"tokenizer_config.json", R"({"chat_template":"{{ bos_token }}"})"},
                             {"special_tokens_map.json", R"({"bos_token":{"content":"<map>"}})"}}),
            "<map>");
}

TEST(ChatTemplateTest, RefusesFoldersWithoutAUsableTemplate) {
  auto none = ChatTemplate::open(make_folder({{"tokenizer_config.json", "{}"}}));
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(ChatTemplate::open(make_folder({})).error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(ChatTemplate::open(make_folder({{"tokenizer_config.json", "[1"}})).error().kind,
            ErrorKind::kCorruptData);
  EXPECT_EQ(
      ChatTemplate::open(make_folder({{"tokenizer_config.json", R"({"chat_template":5})"}})).error().kind,
      ErrorKind::kCorruptData);
  EXPECT_EQ(
      ChatTemplate::open(make_folder({{"tokenizer_config.json", R"({"chat_template":[{"name":"x"}]})"}}))
          .error()
          .kind,
      ErrorKind::kCorruptData);
  auto syntax = ChatTemplate::open(make_folder({{"chat_template.jinja", "a\n{% if %}"}}));
  ASSERT_FALSE(syntax.ok());
  EXPECT_THAT(syntax.error().message,
              HasSubstr("chat_template_test_folder: chat template: line 2: syntax error"));
}

TEST(ChatTemplateTest, ErrorsNameTheLineAndTheCause) {
  EXPECT_EQ(render("{{ raise_exception('roles must alternate') }}"), "error: roles must alternate");
  EXPECT_THAT(render("a\nb\n{{ messages[0].content.nosuch() }}"), HasSubstr("line 3: unknown method"));
  EXPECT_THAT(render("\n{{ nothing.at.all }}"), HasSubstr("line 2: undefined value"));
  EXPECT_THAT(render("{{ x | nosuch }}"), HasSubstr("unknown filter"));
  EXPECT_THAT(render("{% for %}"), HasSubstr("line 1: syntax error"));
  EXPECT_THAT(render("x", "{}", "{}"), HasSubstr("messages must be a list"));
  EXPECT_THAT(render("x", "{}", "[1"), HasSubstr("messages are not valid JSON"));
  EXPECT_THAT(render("x", "[1]"), HasSubstr("must be a JSON object"));
  EXPECT_THAT(render("x", "{} 1"), HasSubstr("must be a JSON object"));
  EXPECT_THAT(render("x", "{\"a\":1"), HasSubstr("not valid JSON"));
  EXPECT_THAT(render("x", ""), HasSubstr("must be a JSON object"));
  EXPECT_THAT(render("\xFF"), HasSubstr("not valid UTF-8"));
  EXPECT_THAT(render("x", "{}", "[\"\xFF\"]"), HasSubstr("not valid UTF-8"));
}

TEST(ChatTemplateTest, CallersVariablesWinAndKeepTheirOrder) {
  EXPECT_EQ(render("{{ bos_token }}{{ add_generation_prompt }}"), "<s>True");
  EXPECT_EQ(render("{{ bos_token }}{{ add_generation_prompt }}",
                   R"({"bos_token":"B","add_generation_prompt":false})"),
            "BFalse");
  EXPECT_EQ(render("{{ o|tojson }}", R"( { "o" : {"z":1,"a":{"y":2,"b":3}} } )"),
            R"({"z": 1, "a": {"y": 2, "b": 3}})");
  EXPECT_EQ(render("{{ messages|length }}", R"({"messages":[]})"), "1");
  EXPECT_EQ(render("{{ tools is none }}{{ documents is none }}"), "TrueTrue");
  EXPECT_EQ(render("{{ tools|length }}", R"({"tools":[1,2]})"), "2");
}

TEST(ChatTemplateTest, RendersMessageValues) {
  const auto chat_template =
      ChatTemplate::parse("{% for m in messages %}{{ m|tojson }}\n{% endfor %}{{ add_generation_prompt }}",
                          {})
          .take_value();
  const std::vector<Message> messages = {{Role::kSystem, "a\n\"b\"", "", ""},
                                         {Role::kUser, "\xC3\xA9", "Ann", ""},
                                         {Role::kTool, "5", "", "call_1"}};
  EXPECT_EQ(chat_template.render(messages, {false, "{}"}).value(),
            "{\"role\": \"system\", \"content\": \"a\\n\\\"b\\\"\"}\n"
            "{\"role\": \"user\", \"content\": \"\xC3\xA9\", \"name\": \"Ann\"}\n"
            "{\"role\": \"tool\", \"content\": \"5\", \"tool_call_id\": \"call_1\"}\nFalse");
}

std::string strftime_at(std::int64_t unix_seconds, std::int32_t offset, const std::string& format) {
  const std::string source = "{{ strftime_now('" + format + "') }}";
  TextkitTemplate* handle = nullptr;
  EXPECT_EQ(textkit_template_parse({source.data(), source.size()}, &handle, nullptr), TEXTKIT_OK);
  TextkitText text{nullptr, 0, 0};
  EXPECT_EQ(textkit_template_render(handle, {"[]", 2}, {"{}", 2}, {unix_seconds, offset}, &text, nullptr),
            TEXTKIT_OK);
  std::string out(text.data, text.size);
  textkit_text_free(&text);
  textkit_template_free(handle);
  return out;
}

TEST(ChatTemplateTest, PrintsTheTimeAsTheCLibraryDoes) {
  const std::string format =
      "%Y-%m-%d %H:%M:%S %d %B %Y %A %b %a %j %U %W %u %w %I %p %y %e %D %F %T %R %C %h %% %-d %c";
  std::mt19937_64 random(11);
  for (int round = 0; round < 300; ++round) {
    const auto seconds = static_cast<std::time_t>(random() % 8'000'000'000ULL) - 2'000'000'000;
    const auto offset = static_cast<std::int32_t>(random() % 27) * 3600 - 12 * 3600;
    const std::time_t local = seconds + offset;
    std::tm fields{};
    gmtime_r(&local, &fields);
    char expected[400];
    ASSERT_GT(std::strftime(expected, sizeof expected, format.c_str(), &fields), 0U);
    EXPECT_EQ(strftime_at(seconds, offset, format), expected) << seconds;
  }
  EXPECT_EQ(strftime_at(0, 0, "%Q %"), "%Q %");
  EXPECT_EQ(strftime_at(std::numeric_limits<std::int64_t>::max(), 0, "%M").size(), 2U);
  const std::string now = render("{{ strftime_now('%Y') }}");
  EXPECT_GE(now, "2024");
}

TEST(ChatTemplateTest, BoundsStepsMemoryAndDepth) {
  const std::string loops = "{% for i in range(100000) %}{% for j in range(100000) %}";
  const std::vector<std::string> sources = {
      loops + "x{% endfor %}{% endfor %}",
      "{% set ns = namespace(x=[]) %}" + loops + "{% set ns.x = [ns.x] %}{% endfor %}{% endfor %}",
      "{% set ns = namespace(s='a') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
      "{% set ns = namespace(x=[]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ "
      "ns.x }}",
      "{% set ns = namespace(x=[]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ "
      "ns.x|tojson }}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{{ 'a' * 100000000000 }}",
      "{{ 'a'.zfill(100000000000) }}",
      "{{ 'a'.center(100000000000) }}",
      "{{ '%100000000000d' % 1 }}",
      "{{ '{:>100000000000}'.format(1) }}",
      "{{ ('a' * 100000).replace('a', 'a' * 100000) }}",
      "{{ range(1000000000) }}",
      "{{ " + std::string(100'000, '(') + " }}",
  };
  for (const std::string& source : sources) {
    EXPECT_THAT(render(source), ::testing::StartsWith("error: ")) << source.substr(0, 200);
  }
  EXPECT_EQ(render("{{ " + std::string(100'000, '-') + "1 }}"), "1");
  std::string deep(5000, '[');
  EXPECT_THAT(render("x", "{}", deep), HasSubstr("recursion limit"));
  EXPECT_THAT(render(std::string((4U << 20U) + 1, 'x')), HasSubstr("more than"));
}

TEST(ChatTemplateTest, RandomSourcesNeverCrash) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const std::vector<std::string> parts = {"{{",
                                          "}}",
                                          "{%",
                                          "%}",
                                          "{#",
                                          "#}",
                                          "-",
                                          "+",
                                          " if ",
                                          " for ",
                                          " in ",
                                          " set ",
                                          " endfor ",
                                          " endif ",
                                          "x",
                                          "'",
                                          "\"",
                                          "\\",
                                          "\n",
                                          "%",
                                          "|",
                                          "(",
                                          ")",
                                          "[",
                                          "]",
                                          "{",
                                          "}",
                                          ",",
                                          ":",
                                          ".",
                                          "~",
                                          "*",
                                          "messages",
                                          " tojson",
                                          " generation ",
                                          " endgeneration ",
                                          "raw",
                                          "endraw",
                                          "'%s'",
                                          "1",
                                          "0.5",
                                          " is ",
                                          " not ",
                                          "macro m()",
                                          "\xC3\xA9",
                                          "\xF0\x9F\x8D\x80",
                                          "loop",
                                          "==",
                                          "//",
                                          "**",
                                          "<",
                                          " with ",
                                          " else "};
  for (int round = 0; round < 800; ++round) {
    std::string source;
    const bool in_tag = random() % 2 == 0;
    if (in_tag) source += "{{ ";
    for (unsigned i = 0; i < 1 + random() % 25; ++i) source += parts[random() % parts.size()];
    if (in_tag) source += " }}";
    (void)render(source);
  }
  for (int round = 0; round < 200; ++round) {
    std::string source(random() % 200, '\0');
    for (char& byte : source) byte = static_cast<char>(random());
    (void)render(source);
    (void)render("{{ messages }}", source, source);
  }
}

TEST(ChatTemplateTest, ServesSeveralThreadsAtOnce) {
  const auto chat_template =
      ChatTemplate::parse("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}", {})
          .take_value();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const std::vector<Message> messages = {{Role::kUser, "message " + std::to_string(i), "", ""}};
      for (int round = 0; round < 20; ++round) {
        EXPECT_EQ(chat_template.render(messages, {}).value(), "<user>message " + std::to_string(i));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(ChatTemplateTest, RendersTheDemoModelsTemplate) {
  const char* folder = std::getenv("MLXD_TEST_MODEL");
  if (folder == nullptr) GTEST_SKIP() << "MLXD_TEST_MODEL names no model folder";
  auto chat_template = ChatTemplate::open(folder);
  ASSERT_TRUE(chat_template.ok()) << chat_template.error().message;
  const std::vector<Message> messages = {{Role::kUser, "Who wrote Romeo and Juliet?", "", ""}};
  EXPECT_THAT(chat_template->render(messages, {}).value(), HasSubstr("Who wrote Romeo and Juliet?"));
}

}  // namespace
}  // namespace mlxd
