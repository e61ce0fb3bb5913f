// What a benchmark under load found, for people and as JSON. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "workbench/bench_load.h"
#include "workbench/bench_workload.h"

namespace mlxd::cli {

struct BenchLoadReport {
  struct Level {
    std::int32_t clients = 0;  // 0: open, at the plan's rate
    LoadFigures figures;
  };
  struct Target {
    std::string name;  // a URL, or "in process"
    std::string model;
    std::vector<Level> levels;  // the same of each target
  };
  WorkloadPlan plan;
  std::int32_t rounds = 1;
  std::vector<Target> targets;  // one, or two that are compared
};

std::string to_json_text(const BenchLoadReport& report);
/// Tables, and charts no wider than `columns`.
std::string to_text(const BenchLoadReport& report, std::size_t columns);

}  // namespace mlxd::cli
