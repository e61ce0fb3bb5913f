// How a coding agent is started so that it talks to this server: its program, arguments and environment.
// Pure.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace mlxd::cli {

struct LaunchWish {
  std::string agent;  // "claude"
  std::string url;    // "http://127.0.0.1:10242"
  std::string model;
  std::string key;                     // of the API; never empty
  std::vector<std::string> arguments;  // for the agent itself
};

struct LaunchPlan {
  std::string program;
  std::vector<std::string> arguments = {};
  std::vector<std::pair<std::string, std::string>> environment = {};  // set
  std::vector<std::string> unset = {};                                // removed: they would send it elsewhere
};

/// Errors: kNotFound (no such agent, with those there are).
Result<LaunchPlan> plan_launch(const LaunchWish& wish);

struct AgentInfo {
  std::string_view name;
  std::string_view title;
  std::string_view install;  // what to run if its program is missing
};
const std::vector<AgentInfo>& agents();

/// As one line for a shell.
std::string shell_line(const LaunchPlan& plan);

}  // namespace mlxd::cli
