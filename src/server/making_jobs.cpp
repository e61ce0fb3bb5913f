// Jobs that make models: import and convert.
#include <boost/json/string.hpp>
#include <optional>
#include <system_error>
#include <utility>

#include "catalog/hub_cache.h"
#include "catalog/hub_names.h"
#include "model/gguf.h"
#include "server/job_kinds.h"
#include "workbench/conversion_wish.h"
#include "workbench/convert_model.h"
#include "workbench/import_gguf.h"
#include "workbench/model_name.h"
#include "workbench/report_json.h"
#include "workbench/staging_folder.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using Type = JobParameter::Type;

constexpr std::int64_t kMaxPathBytes = 4096;

// Of a name that is free: nothing is replaced by a job.
Result<void> check_output(const JobEnvironment& environment, const std::string& name) {
  if (environment.models_folder.empty())
    return Error(ErrorKind::kUnavailable, "this server has no folder for models: start it with --home");
  if (auto checked = check_model_name(name); !checked.ok()) {
    Error error = checked.take_error();
    error.field = "parameters.name";
    return error;
  }
  std::error_code error;
  if (fs::exists(fs::symlink_status(environment.models_folder / name, error)))
    return Error(ErrorKind::kConflict,
                 "there is a model '" + name + "' already: give another name or remove it first",
                 "parameters.name");
  return {};
}

// The request is too much for the disk; nothing is wrong with the server.
Result<void> check_space(const JobEnvironment& environment, std::uint64_t bytes) {
  auto checked = check_free_space(environment.models_folder, bytes);
  if (checked.ok()) return {};
  return Error(ErrorKind::kTooLarge, checked.error().message);
}

// "org/name/FILE.gguf", of what was downloaded from the hub.
Result<fs::path> find_hub_file(const fs::path& cache, const std::string& file) {
  const std::size_t first = file.find('/');
  const std::size_t second = first == std::string::npos ? first : file.find('/', first + 1);
  if (cache.empty() || second == std::string::npos)
    return invalid_argument("file is '" + file.substr(0, 200) +
                                "', must be a path that begins with '/' or ORG/NAME/FILE.gguf of a download",
                            "parameters.file");
  const std::string repository = file.substr(0, second);
  TRY(check_repository_id(repository));
  const std::string inside = file.substr(second + 1);
  if (!is_safe_file_path(inside))
    return invalid_argument("'" + inside.substr(0, 200) + "' is no file of a download", "parameters.file");
  const RepositoryPaths paths(cache, repository);
  std::error_code error;
  if (const std::string commit = read_ref(paths, "main"); !commit.empty()) {
    if (fs::is_regular_file(paths.snapshots / commit / inside, error))
      return paths.snapshots / commit / inside;
  }
  for (const CachedRevision& revision : scan_repository(paths.root).revisions)
    if (fs::is_regular_file(revision.folder / inside, error)) return revision.folder / inside;
  return Error(
      ErrorKind::kNotFound,
      file.substr(0, 200) + " is not on this machine: download it first, with \"files\": [\"*.gguf\"]",
      "parameters.file");
}

Result<fs::path> find_gguf(const JobEnvironment& environment, const std::string& file) {
  if (!file.starts_with('/')) return find_hub_file(environment.hub_cache, file);
  std::error_code error;
  if (fs::is_regular_file(file, error)) return fs::path(file);
  return Error(ErrorKind::kNotFound, "there is no file " + file.substr(0, 500), "parameters.file");
}

std::string output_of_import(const JobWish& wish) {
  const std::string name = wish.text("name");
  return name.empty() ? fs::path(wish.text("file")).stem().string() : name;
}

Result<void> check_import(const JobEnvironment& environment, const JobWish& wish) {
  TRY(check_output(environment, output_of_import(wish)));
  const fs::path file = TRY(find_gguf(environment, wish.text("file")));
  if (auto opened = GgufFile::open(file); !opened.ok()) {
    // What is wrong with the file is wrong with the wish.
    return invalid_argument(opened.error().message, "parameters.file");
  }
  std::error_code error;
  const auto bytes = fs::file_size(file, error);
  return error ? Result<void>() : check_space(environment, bytes);
}

Result<json::object> run_import(const JobEnvironment& environment, const JobWish& wish, JobRun& run) {
  const fs::path file = TRY(find_gguf(environment, wish.text("file")));
  ImportOptions options;
  options.name = output_of_import(wish);
  options.models_folder = environment.models_folder;
  options.progress = [&run](float fraction) { run.progress(static_cast<double>(fraction)); };
  options.is_cancelled = [&run] { return run.stop().load(); };
  run.enter("importing");
  const ImportReport report = TRY(import_gguf(file, options));
  for (const std::string& line : describe_tensors(report.tensors)) run.log(line);
  for (const std::string& note : report.notes) run.log("note: " + note);
  environment.models_changed();
  json::object result{{"model", report.name}};
  for (const auto& entry : report_json(report)) result.insert(entry);
  return result;
}

Result<ConvertOptions> conversion_of(const JobEnvironment& environment, const JobWish& wish) {
  ConversionWish conversion;
  if (wish.has("bits")) conversion.bits = static_cast<std::int32_t>(wish.integer("bits"));
  if (wish.has("group")) conversion.group = static_cast<std::int32_t>(wish.integer("group"));
  if (wish.has("mode")) conversion.mode = wish.text("mode");
  conversion.mixed = wish.text("mixed");
  conversion.dequantize = wish.boolean("dequantize");
  conversion.dtype = wish.text("dtype");
  conversion.scales = wish.text("scales");
  auto options = read_conversion(conversion);
  if (!options.ok()) {
    Error error = options.take_error();
    if (!error.field.empty()) error.field = "parameters." + error.field;
    return error;
  }
  options->out = environment.models_folder / wish.text("name");
  return options;
}

Result<void> check_conversion(const JobEnvironment& environment, const JobWish& wish, const Caller& caller) {
  TRY(check_output(environment, wish.text("name")));
  const fs::path source = TRY(find_job_model(environment, wish.text("model"), caller.administers()));
  const ConvertOptions options = TRY(conversion_of(environment, wish));
  auto bytes = estimate_conversion(source, options);
  if (!bytes.ok()) {
    Error error = bytes.take_error();
    const std::string field = error.field.empty() ? "model" : error.field == "out" ? "name" : error.field;
    error.field = "parameters." + field;
    // A model that is damaged, which is no fault of the server's.
    if (error.kind == ErrorKind::kCorruptData || error.kind == ErrorKind::kIo)
      error.kind = ErrorKind::kInvalidArgument;
    return error;
  }
  return check_space(environment, *bytes);
}

Result<json::object> run_conversion(const JobEnvironment& environment, const JobWish& wish, JobRun& run) {
  const fs::path source = TRY(find_job_model(environment, wish.text("model"), true));
  ConvertOptions options = TRY(conversion_of(environment, wish));
  options.progress = [&run](double fraction) { run.progress(fraction); };
  options.is_cancelled = [&run] { return run.stop().load(); };
  run.enter("converting");
  const ConvertReport report = TRY(convert_model(source, options));
  for (const std::string& note : report.notes) run.log("note: " + note);
  environment.models_changed();
  json::object result{{"model", wish.text("name")}};
  for (const auto& entry : report_json(report)) result.insert(entry);
  return result;
}

}  // namespace

JobKind import_kind(const JobEnvironment& environment) {
  JobKind kind;
  kind.name = "import";
  kind.about = "makes a model of a GGUF file";
  kind.admin_only = true;
  kind.parameters = {
      {.name = "file",
       .about = "a path on the server that begins with '/', or ORG/NAME/FILE.gguf of a download",
       .required = true,
       .min = 1,
       .max = kMaxPathBytes},
      {.name = "name", .about = "the model's name; else the file's", .min = 1, .max = 128},
  };
  kind.check = [environment](const JobWish& wish, const Caller&) { return check_import(environment, wish); };
  kind.output = output_of_import;
  kind.run = [environment](const JobWish& wish, JobRun& run) { return run_import(environment, wish, run); };
  return kind;
}

JobKind convert_kind(const JobEnvironment& environment) {
  JobKind kind;
  kind.name = "convert";
  kind.about = "makes another model of a model: quantized, or plain floats";
  kind.admin_only = true;
  kind.parameters = {
      {.name = "model",
       .about = "the model that is converted",
       .required = true,
       .min = 1,
       .max = kMaxPathBytes},
      {.name = "name", .about = "the new model's name", .required = true, .min = 1, .max = 128},
      {.name = "bits",
       .type = Type::kInteger,
       .about = "of affine codes: 2, 3, 4, 5, 6 or 8",
       .min = 2,
       .max = 8},
      {.name = "group",
       .type = Type::kInteger,
       .about = "weights that share a scale: 32, 64 or 128",
       .min = 32,
       .max = 128},
      {.name = "mode", .about = "the kind of codes", .choices = {"affine", "mxfp4", "mxfp8", "nvfp4"}},
      {.name = "mixed",
       .about = "more bits for the layers that need them, in place of bits",
       .choices = {"mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6"}},
      {.name = "dequantize", .type = Type::kBoolean, .about = "plain floats"},
      {.name = "dtype",
       .about = "of plain tensors, scales and biases; else the source's",
       .choices = {"float16", "bfloat16", "float32"}},
      {.name = "scales",
       .about = "how scales are chosen: as MLX does, or for the least squared error",
       .choices = {"mlx", "least-squares"}},
  };
  kind.check = [environment](const JobWish& wish, const Caller& caller) {
    return check_conversion(environment, wish, caller);
  };
  kind.output = [](const JobWish& wish) { return wish.text("name"); };
  kind.run = [environment](const JobWish& wish, JobRun& run) {
    return run_conversion(environment, wish, run);
  };
  return kind;
}

}  // namespace mlxd
