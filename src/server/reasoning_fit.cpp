#include "server/reasoning_fit.h"

#include <string>

namespace mlxd {

void fit_reasoning(api::GenerationCall& call, const ServedModel& model) {
  if (!call.reasoning_wish || !call.conversation || model.chat_format == nullptr) return;
  const api::ReasoningWish& wish = *call.reasoning_wish;
  const TemplateTraits& traits = model.chat_format->traits();
  const dialects::OutputFormat& format = model.chat_format->family().format;
  const bool has_switch =
      traits.find_switch("enable_thinking") != nullptr || traits.find_switch("thinking") != nullptr;
  const bool has_levels = traits.find_switch("reasoning_effort") != nullptr;
  const bool thinks = wish.thinks.value_or(false);
  const auto ignore = [&](const std::string& field) { call.ignored.push_back(field); };

  std::optional<std::string>& effort = call.conversation->reasoning_effort;
  if (has_switch) {
    constexpr const char* kDefaultEffort = "medium";
    effort = !thinks ? "none" : wish.effort.empty() ? kDefaultEffort : wish.effort;
  } else if (has_levels && !wish.effort.empty()) {
    effort = wish.effort;
  } else if (has_levels && wish.thinks == false) {
    effort = "low";
  }
  if (!wish.effort.empty() && !has_levels) ignore(wish.effort_field);
  if (!has_switch && wish.thinks == false && has_levels) ignore(wish.thinking_field);
  const bool reasons = has_switch || has_levels || !format.reasoning.close.empty();
  if (thinks && !reasons) ignore(wish.thinking_field);

  const bool can_hold_budget =
      (format.is_harmony || !format.reasoning.close.empty()) && model.grammars != nullptr;
  if (!call.thinking_budget || can_hold_budget) return;
  call.thinking_budget.reset();
  if (reasons) ignore(wish.thinking_field);
}

}  // namespace mlxd
