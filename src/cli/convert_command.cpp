#include <boost/json.hpp>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/json_text.h"
#include "cli/model_loader.h"
#include "cli/progress.h"
#include "workbench/convert_model.h"
#include "workbench/perplexity.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

/// What the flags ask for. Errors are of usage.
Result<Quantization> chosen_form(const ConvertCommandOptions& options) {
  const bool says_form =
      options.bits || options.group_size || options.mode != "affine" || !options.recipe.empty();
  if (options.dequantize) {
    if (says_form)
      return invalid_argument("--dequantize does not go with --bits, --group, --mode or --mixed");
    return Quantization{};
  }
  if (const auto form = small_float_form(options.mode)) {
    if (!options.recipe.empty()) return invalid_argument("--mixed is affine: leave --mode out");
    if (options.bits.value_or(form->bits) != form->bits ||
        options.group_size.value_or(form->group_size) != form->group_size) {
      return invalid_argument("--mode " + options.mode + " has " + std::to_string(form->bits) +
                              " bits in groups of " + std::to_string(form->group_size) +
                              ": leave --bits and --group out");
    }
    return *form;
  }
  if (options.mode != "affine")
    return invalid_argument("--mode: '" + options.mode + "' is none of affine, mxfp4, mxfp8, nvfp4");
  if (options.recipe.empty() && !options.bits) {
    return invalid_argument(
        "say what the model is to become: --bits N, --mixed RECIPE, --mode mxfp4, mxfp8 or nvfp4, or "
        "--dequantize");
  }
  if (!options.recipe.empty() && options.bits)
    return invalid_argument("--mixed says the bits: leave --bits out");
  const Quantization form{QuantizationMode::kAffine, options.bits.value_or(4),
                          options.group_size.value_or(64)};
  for (const std::int32_t bits : {2, 3, 4, 5, 6, 8}) {
    for (const std::int32_t group : {32, 64, 128})
      if (form.bits == bits && form.group_size == group) return form;
  }
  return invalid_argument("--bits must be 2, 3, 4, 5, 6 or 8, and --group 32, 64 or 128");
}

Result<std::optional<DType>> chosen_dtype(const std::string& name) {
  if (name.empty()) return std::optional<DType>();
  if (name == "float16") return std::optional(DType::kF16);
  if (name == "bfloat16") return std::optional(DType::kBF16);
  if (name == "float32") return std::optional(DType::kF32);
  return invalid_argument("--dtype: '" + name + "' is none of float16, bfloat16, float32");
}

Result<void> check_recipe(const std::string& name) {
  if (name.empty() || name == "mixed_2_6" || name == "mixed_3_4" || name == "mixed_3_6" ||
      name == "mixed_4_6")
    return {};
  return invalid_argument("--mixed: '" + name + "' is none of mixed_2_6, mixed_3_4, mixed_3_6, mixed_4_6");
}

Result<AffineScales> chosen_scales(const std::string& name, const Quantization& form) {
  if (name.empty() || name == "mlx") return AffineScales::kMlx;
  if (name != "least-squares")
    return invalid_argument("--scales: '" + name + "' is none of mlx, least-squares");
  if (form.mode != QuantizationMode::kAffine)
    return invalid_argument("--scales least-squares is for affine codes: --bits or --mixed");
  return AffineScales::kLeastSquares;
}

/// What the flags mean, before any file is touched.
Result<ConvertOptions> read_options(const ConvertCommandOptions& options) {
  ConvertOptions convert;
  if (options.perplexity_file.empty() && !options.flags.empty())
    return invalid_argument("--" + options.flags.begin()->first +
                            " is for measuring: give --perplexity FILE too");
  TRY(check_recipe(options.recipe));
  convert.form = TRY(chosen_form(options));
  convert.scales = TRY(chosen_scales(options.scales, convert.form));
  convert.recipe = options.recipe;
  convert.dtype = TRY(chosen_dtype(options.dtype));
  convert.out = expand_home(options.out);
  convert.overwrite = options.force;
  return convert;
}

Result<PerplexityReport> measure(const CommandContext& context, const Settings& settings,
                                 const std::filesystem::path& model, const std::string& file) {
  PerplexityOptions options;
  options.threads = settings.threads();
  options.kv_format = settings.kv_format();
  options.activation_bits = settings.activation_bits();
  Progress progress(context.console, "scoring with " + model.filename().string(), Progress::Form::kQuiet);
  options.progress = [&progress](double fraction) { progress.update(fraction); };
  return measure_perplexity(model, expand_home(file), options);
}

Result<ConvertReport> run_conversion(const CommandContext& context, const FoundModel& source,
                                     ConvertOptions options) {
  // Ctrl-C ends the job, not the program, so that nothing is left behind.
  const InterruptFlag interrupt;
  Progress progress(context.console, "converting " + source.name, Progress::Form::kBar);
  options.progress = [&progress](double fraction) { progress.update(fraction); };
  options.is_cancelled = [&interrupt] { return interrupt.raised(); };
  auto report = convert_model(source.path, options);
  progress.finish();
  if (!report && report.error().kind == ErrorKind::kConflict && !options.overwrite) {
    Error error = report.take_error();
    error.message += " (--force replaces a model)";
    return error;
  }
  return report;
}

/// Perplexities of source and result, if they were asked for.
struct Comparison {
  PerplexityReport before, after;
  double ratio() const { return after.perplexity / before.perplexity; }
};

std::string to_json_text(const FoundModel& source, const ConvertReport& report,
                         const std::optional<Comparison>& comparison) {
  json::object object{{"source", source.name},
                      {"folder", report.folder.string()},
                      {"parameters", report.num_parameters},
                      {"bits_per_weight", report.bits_per_weight},
                      {"source_bytes", report.source_bytes},
                      {"weight_bytes", report.weight_bytes},
                      {"files", report.num_files},
                      {"layers_quantized", report.quantized},
                      {"layers_copied", report.kept},
                      {"layers_plain", report.dense},
                      {"notes", json::array(report.notes.begin(), report.notes.end())}};
  if (comparison) {
    object["perplexity"] = json::object{{"before", comparison->before.perplexity},
                                        {"after", comparison->after.perplexity},
                                        {"ratio", comparison->ratio()}};
  }
  return pretty_json(object);
}

std::string to_text(const ConvertReport& report, const std::optional<Comparison>& comparison) {
  std::string text = format_bytes(report.source_bytes) + " became " + format_bytes(report.weight_bytes) +
                     ": " + format_count(report.num_parameters) + " parameters, " +
                     format_number(report.bits_per_weight, 3) + " bits each, in " +
                     std::to_string(report.num_files) + (report.num_files == 1 ? " file\n" : " files\n");
  if (comparison) {
    text += "perplexity " + format_number(comparison->before.perplexity, 4) + " before, " +
            format_number(comparison->after.perplexity, 4) + " after, ratio " +
            format_number(comparison->ratio(), 4) + "\n";
  }
  // Alone on the last line, for scripts.
  return text + report.folder.string() + "\n";
}

}  // namespace

Result<int> convert_command(const CommandContext& context, const ConvertCommandOptions& options) {
  const auto settings = resolve_settings(options.flags, context.state);
  const auto chosen = read_options(options);
  for (const std::string& problem : {settings ? std::string() : settings.error().message,
                                     chosen ? std::string() : chosen.error().message}) {
    if (problem.empty()) continue;
    context.console.report_error(problem);
    return settings ? kExitUsage : exit_code_of(settings.error());
  }
  const FoundModel source = TRY(make_finder(context.state).find(options.source));
  std::optional<Comparison> comparison;
  if (!options.perplexity_file.empty()) {
    // First, so that a bad text is told before the work is done.
    comparison.emplace();
    comparison->before = TRY(measure(context, *settings, source.path, options.perplexity_file));
  }
  const ConvertReport report = TRY(run_conversion(context, source, *chosen));
  if (comparison)
    comparison->after = TRY(measure(context, *settings, report.folder, options.perplexity_file));
  for (const std::string& note : report.notes) context.console.write_error("note: " + note + "\n");
  context.console.write(options.json ? to_json_text(source, report, comparison)
                                     : to_text(report, comparison));
  return kExitOk;
}

}  // namespace mlxd::cli
