// The kinds of jobs that there are. Functions; what a kind keeps of the environment must outlive its jobs.
#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "runtime/model_host.h"
#include "server/job_kind.h"
#include "server/model_names.h"
#include "server/model_shelf.h"

namespace mlxd {

/// What jobs work on.
struct JobEnvironment {
  ModelShelf* shelf = nullptr;
  const ModelNames* names = nullptr;         // profiles and aliases; may be null
  std::filesystem::path models_folder = {};  // where models are made; empty: none can be
  std::filesystem::path hub_cache = {};      // empty: none
  /// How jobs that measure load their models, with threads of their own.
  ModelHostOptions host = {};
  /// The models on the disk are others now; waits until all see it.
  std::function<void()> models_changed = [] {};
};

std::vector<JobKind> job_kinds(const JobEnvironment& environment);

// Each a row of it.
JobKind import_kind(const JobEnvironment& environment);
JobKind convert_kind(const JobEnvironment& environment);
JobKind perplexity_kind(const JobEnvironment& environment);
JobKind bench_kind(const JobEnvironment& environment);
JobKind probe_kind(const JobEnvironment& environment);

/// The folder that a job's `model` names: a model's name as everywhere, or, for administrators, a path that
/// begins with '/'. Errors: kNotFound with the nearest names, kForbidden.
Result<std::filesystem::path> find_job_model(const JobEnvironment& environment, const std::string& model,
                                             bool may_use_paths);

}  // namespace mlxd
