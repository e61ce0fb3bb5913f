// `mlxd bench --profile` as text and as JSON: the machine's limits, and where the time of steps goes. Pure
// functions. docs/guides/profile-a-step.md explains how to read them.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "workbench/step_report.h"

namespace mlxd::cli {

/// One line.
std::string limits_text(const MachineLimits& limits);
boost::json::object limits_json(const MachineLimits& limits);

/// The rest of a line, and a table of stages.
std::string profile_text(const StepTotals& steps, const MachineLimits& limits);
boost::json::object profile_json(const StepTotals& steps, const MachineLimits& limits);

}  // namespace mlxd::cli
