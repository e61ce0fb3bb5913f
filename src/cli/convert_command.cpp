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
#include "workbench/conversion_wish.h"
#include "workbench/convert_model.h"
#include "workbench/perplexity.h"
#include "workbench/report_json.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

/// What the flags mean, before any file is touched.
Result<ConvertOptions> read_options(const ConvertCommandOptions& options) {
  if (options.perplexity_file.empty() && !options.flags.empty())
    return invalid_argument("--" + options.flags.begin()->first +
                            " is for measuring: give --perplexity FILE too");
  ConvertOptions convert = TRY(read_conversion({.bits = options.bits,
                                                .group = options.group_size,
                                                .mode = options.mode,
                                                .mixed = options.recipe,
                                                .dequantize = options.dequantize,
                                                .dtype = options.dtype,
                                                .scales = options.scales,
                                                .name_prefix = "--"}));
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
  json::object object{{"source", source.name}};
  for (const auto& entry : report_json(report)) object.insert(entry);
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
  const FoundModel source = TRY(make_finder(context.state, *settings).find(options.source));
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
