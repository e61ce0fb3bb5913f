#include "cli/launch_plan.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace mlxd::cli {
namespace {

namespace json = boost::json;

// Claude Code ("LLM gateway configuration"): every class of model is this one, and nothing goes elsewhere.
LaunchPlan claude(const LaunchWish& wish) {
  LaunchPlan plan{.program = "claude"};
  plan.environment = {{"ANTHROPIC_BASE_URL", wish.url},
                      {"ANTHROPIC_AUTH_TOKEN", wish.key},
                      {"ANTHROPIC_MODEL", wish.model},
                      {"ANTHROPIC_DEFAULT_OPUS_MODEL", wish.model},
                      {"ANTHROPIC_DEFAULT_SONNET_MODEL", wish.model},
                      {"ANTHROPIC_DEFAULT_HAIKU_MODEL", wish.model},
                      {"CLAUDE_CODE_SUBAGENT_MODEL", wish.model},
                      {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"}};
  plan.unset = {"ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX"};
  return plan;
}

std::string toml_text(const std::string& text) { return json::serialize(json::string(text)); }

// Codex ("Configuration", model_providers): a provider of its own for this run.
LaunchPlan codex(const LaunchWish& wish) {
  LaunchPlan plan{.program = "codex"};
  plan.arguments = {"-c",
                    "model_provider=\"mlxd\"",
                    "-c",
                    "model_providers.mlxd={name=\"mlxd\", base_url=" + toml_text(wish.url + "/v1") +
                        ", env_key=\"MLXD_KEY\", wire_api=\"responses\"}",
                    "-m",
                    wish.model};
  plan.environment = {{"MLXD_KEY", wish.key}};
  return plan;
}

// OpenCode ("Config", OPENCODE_CONFIG_CONTENT; "Providers", custom provider).
LaunchPlan opencode(const LaunchWish& wish) {
  LaunchPlan plan{.program = "opencode"};
  const json::object provider{{"npm", "@ai-sdk/openai-compatible"},
                              {"name", "mlxd"},
                              {"options", json::object{{"baseURL", wish.url + "/v1"}, {"apiKey", wish.key}}},
                              {"models", json::object{{wish.model, json::object{{"name", wish.model}}}}}};
  const json::object config{{"$schema", "https://opencode.ai/config.json"},
                            {"provider", json::object{{"mlxd", provider}}},
                            {"model", "mlxd/" + wish.model},
                            {"small_model", "mlxd/" + wish.model}};
  plan.environment = {{"OPENCODE_CONFIG_CONTENT", json::serialize(config)}};
  return plan;
}

// aider ("OpenAI compatible APIs").
LaunchPlan aider(const LaunchWish& wish) {
  LaunchPlan plan{.program = "aider"};
  plan.arguments = {"--model", "openai/" + wish.model};
  plan.environment = {{"OPENAI_API_BASE", wish.url + "/v1"}, {"OPENAI_API_KEY", wish.key}};
  return plan;
}

// Qwen Code ("Authentication", OpenAI-compatible API).
LaunchPlan qwen(const LaunchWish& wish) {
  LaunchPlan plan{.program = "qwen"};
  plan.environment = {
      {"OPENAI_BASE_URL", wish.url + "/v1"}, {"OPENAI_API_KEY", wish.key}, {"OPENAI_MODEL", wish.model}};
  return plan;
}

bool is_plain(std::string_view text) {
  constexpr std::string_view kSigns = "_-./:=,@+%";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kSigns.find(c) != std::string_view::npos;
  });
}

std::string shell_word(std::string_view text) {
  if (is_plain(text)) return std::string(text);
  std::string word = "'";
  for (const char c : text) {
    if (c == '\'')
      word += "'\\''";
    else
      word += c;
  }
  return word + "'";
}

}  // namespace

const std::vector<AgentInfo>& agents() {
  static const std::vector<AgentInfo> all = {
      {"claude", "Claude Code", "npm install -g @anthropic-ai/claude-code"},
      {"codex", "Codex", "npm install -g @openai/codex"},
      {"opencode", "OpenCode", "npm install -g opencode-ai"},
      {"aider", "aider", "python3 -m pip install aider-install && aider-install"},
      {"qwen", "Qwen Code", "npm install -g @qwen-code/qwen-code"},
  };
  return all;
}

Result<LaunchPlan> plan_launch(const LaunchWish& wish) {
  LaunchPlan plan;
  if (wish.agent == "claude") {
    plan = claude(wish);
  } else if (wish.agent == "codex") {
    plan = codex(wish);
  } else if (wish.agent == "opencode") {
    plan = opencode(wish);
  } else if (wish.agent == "aider") {
    plan = aider(wish);
  } else if (wish.agent == "qwen") {
    plan = qwen(wish);
  } else {
    std::string known;
    for (const AgentInfo& agent : agents()) known += (known.empty() ? "" : ", ") + std::string(agent.name);
    return not_found("there is no agent '" + wish.agent + "' to launch: known are " + known);
  }
  plan.arguments.insert(plan.arguments.end(), wish.arguments.begin(), wish.arguments.end());
  return plan;
}

std::string shell_line(const LaunchPlan& plan) {
  std::string line;
  if (!plan.unset.empty() || !plan.environment.empty()) line = "env";
  for (const std::string& name : plan.unset) line += " -u " + name;
  for (const auto& [name, value] : plan.environment) line += " " + name + "=" + shell_word(value);
  line += (line.empty() ? "" : " ") + plan.program;
  for (const std::string& argument : plan.arguments) line += " " + shell_word(argument);
  return line;
}

}  // namespace mlxd::cli
