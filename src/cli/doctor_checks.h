// What `mlxd doctor` looks at, each check by itself: machine, state folder, configuration, port, models.
// Reads and probes, changes nothing. Functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/state_folder.h"

namespace mlxd::cli {

enum class Verdict {
  kGood,
  kWarning,  // works, but something could be better or is missing
  kBroken,   // the server or a model will not work
};
std::string_view to_string(Verdict verdict);  // "good", "warning", "broken"

struct Finding {
  std::string name;
  Verdict verdict = Verdict::kGood;
  std::string detail;
  std::string remedy;  // what to do; empty if nothing
};

/// All checks, in the order in which they are shown.
std::vector<Finding> examine(const StateFolder& state);

}  // namespace mlxd::cli
