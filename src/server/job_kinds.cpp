#include "server/job_kinds.h"

#include <system_error>

namespace mlxd {

std::vector<JobKind> job_kinds(const JobEnvironment& environment) {
  return {import_kind(environment), convert_kind(environment), perplexity_kind(environment),
          bench_kind(environment), probe_kind(environment)};
}

Result<std::filesystem::path> find_job_model(const JobEnvironment& environment, const std::string& model,
                                             bool may_use_paths) {
  if (model.starts_with('/')) {
    if (!may_use_paths)
      return Error(ErrorKind::kForbidden, "only an administrator names models by path: give a model's name",
                   "parameters.model");
    std::error_code error;
    if (!std::filesystem::is_regular_file(std::filesystem::path(model) / "config.json", error))
      return Error(ErrorKind::kNotFound, model + " is no model folder: it has no config.json",
                   "parameters.model");
    return std::filesystem::path(model);
  }
  const std::string meant = environment.names == nullptr ? model : environment.names->resolve(model).model;
  const auto source = environment.shelf->resolve(meant);
  if (source && !source->folder.empty()) return source->folder;
  Error error = environment.shelf->unknown(model);
  error.field = "parameters.model";
  return error;
}

}  // namespace mlxd
