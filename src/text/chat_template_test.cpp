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
      json::parse(read_file(std::string(MLXD_SOURCE_DIR) + "/tests/parity/template_cases.json"), {}, options).as_object();
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
    } else {
      source = text_of(document.at("families").at(name.substr(0, name.find('/'))));
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
  EXPECT_GT(checked, 200U);
}

}  // namespace
}  // namespace mlxd
