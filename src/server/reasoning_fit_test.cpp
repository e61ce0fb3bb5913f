#include "server/reasoning_fit.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "server/testing/scripted_model.h"

namespace mlxd {
namespace {

std::string turns(const std::string& open, const std::string& close) {
  return "{% for m in messages %}" + open + "{{ m.role }}\n{{ m.content }}" + close + "\n{% endfor %}" +
         "{% if add_generation_prompt %}" + open + "assistant\n{% endif %}";
}
const std::string kSwitch =
    turns("<|im_start|>", "<|im_end|>") +
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}";
const std::string kLevels =
    "{% if reasoning_effort is not defined %}{% set reasoning_effort = 'medium' %}{% endif %}"
    "Effort: {{ reasoning_effort }}\n" +
    turns("<|start|>", "<|channel|><|message|>");
const std::string kNeither = turns("<start_of_turn>", "<end_of_turn>");

ChatFormat format_of(const std::string& chat_template, const std::string& model_type) {
  std::map<std::string, ChatTemplate> templates;
  templates.emplace("default", ChatTemplate::parse(chat_template, {}).take_value());
  return ChatFormat::create(std::move(templates), model_type, "", {}).take_value();
}

struct Case {
  std::optional<bool> thinks;
  std::string effort;
  std::optional<std::int32_t> budget;
  std::string effort_then;  // "": none is set
  std::optional<std::int32_t> budget_then;
  std::vector<std::string> ignored;
};

void check(const std::string& chat_template, const std::string& model_type, const std::vector<Case>& cases) {
  const ServedModelPtr scripted = testing::make_scripted_model({});
  const ChatFormat format = format_of(chat_template, model_type);
  ServedModel model = *scripted;
  model.chat_format = &format;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const Case& c = cases[i];
    api::GenerationCall call;
    call.conversation.emplace();
    call.thinking_budget = c.budget;
    call.reasoning_wish = api::ReasoningWish{
        .thinks = c.thinks, .effort = c.effort, .thinking_field = "thinking", .effort_field = "effort"};
    fit_reasoning(call, model);
    EXPECT_EQ(call.conversation->reasoning_effort.value_or(""), c.effort_then) << i;
    EXPECT_EQ(call.thinking_budget, c.budget_then) << i;
    EXPECT_EQ(call.ignored, c.ignored) << i;
    EXPECT_TRUE(format
                    .write({.messages = {{.role = Role::kUser, .content = "Hi"}},
                            .reasoning_effort = call.conversation->reasoning_effort})
                    .ok())
        << i;
  }
}

TEST(ReasoningFit, a_switch_is_on_only_if_asked) {
  check(kSwitch, "qwen3",
        {{{}, "", {}, "none", {}, {}},
         {false, "", {}, "none", {}, {}},
         {true, "", {}, "medium", {}, {}},
         {true, "", 100, "medium", 100, {}},
         {true, "high", {}, "high", {}, {"effort"}},
         {{}, "low", {}, "none", {}, {"effort"}}});
}

TEST(ReasoningFit, levels_take_an_effort_and_cannot_be_none) {
  check(kLevels, "gpt_oss",
        {{{}, "", {}, "", {}, {}},
         {true, "", {}, "", {}, {}},
         {{}, "high", {}, "high", {}, {}},
         {true, "low", 100, "low", 100, {}},
         {false, "", {}, "low", {}, {"thinking"}}});
}

TEST(ReasoningFit, what_a_model_without_either_cannot_do_is_told) {
  check(kNeither, "gemma",
        {{{}, "", {}, "", {}, {}},
         {false, "", {}, "", {}, {}},
         {true, "high", 100, "", {}, {"effort", "thinking"}}});
}

TEST(ReasoningFit, without_a_wish_nothing_changes) {
  const ServedModelPtr scripted = testing::make_scripted_model({});
  api::GenerationCall call;
  call.conversation.emplace();
  call.conversation->reasoning_effort = "high";
  call.thinking_budget = 5;
  fit_reasoning(call, *scripted);
  EXPECT_EQ(call.conversation->reasoning_effort, "high");
  EXPECT_EQ(call.thinking_budget, 5);
  EXPECT_TRUE(call.ignored.empty());
}

}  // namespace
}  // namespace mlxd
