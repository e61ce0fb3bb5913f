#include <boost/json.hpp>
#include <string>

#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/json_text.h"
#include "cli/model_loader.h"
#include "cli/progress.h"
#include "workbench/perplexity.h"
#include "workbench/report_json.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

std::string to_json_text(const std::string& model, const std::string& file, const PerplexityReport& report) {
  json::object object{{"model", model}, {"file", file}};
  for (const auto& entry : report_json(report)) object.insert(entry);
  return pretty_json(object);
}

std::string to_text(const std::string& model, const PerplexityReport& report) {
  return model + ", " + report.backend + "\n" +  //
         "perplexity  " + format_number(report.perplexity, 4) + " +- " +
         format_number(report.standard_error, 4) + "\n" +  //
         "loss        " + format_number(report.mean_loss, 5) + " nat a token, " +
         format_number(report.bits_per_byte, 4) + " bits a byte\n" +  //
         "tokens      " + format_grouped(report.scored_tokens) + " of " + format_grouped(report.text_tokens) +
         " scored, in " + format_grouped(report.windows) + (report.windows == 1 ? " window" : " windows") +
         " of " + format_grouped(report.context_tokens) + ", stride " + format_grouped(report.stride_tokens) +
         (report.has_bos ? ", each after a BOS\n" : "\n") +  //
         "time        " + format_duration(report.seconds) + ", " + format_number(tokens_per_s(report), 1) +
         " tokens/s, loading " + format_duration(report.load_seconds) + "\n";
}

}  // namespace

Result<int> perplexity_command(const CommandContext& context, const PerplexityCommandOptions& options) {
  const auto settings = resolve_settings(options.flags, context.state);
  if (!settings) {
    context.console.report_error(settings.error().message);
    return exit_code_of(settings.error());
  }
  if (options.reference && options.flags.contains("activations")) {
    context.console.report_error("--activations does not go with --reference, which computes in fp32");
    return kExitUsage;
  }
  const AdaptedModel adapted = TRY(choose_adapted_model(context, *settings, options.model));
  const FoundModel& model = adapted.model;
  const std::filesystem::path file = expand_home(options.file);
  PerplexityOptions perplexity;
  perplexity.context_tokens = options.context_tokens;
  perplexity.stride_tokens = options.stride_tokens;
  perplexity.reference = options.reference;
  perplexity.threads = settings->threads();
  if (!options.reference || options.flags.contains("kv-format")) perplexity.kv_format = settings->kv_format();
  perplexity.activation_bits = settings->activation_bits();
  perplexity.quantize = TRY(quantization_at_load(*settings));
  if (!adapted.adapter.empty()) perplexity.adapter = TRY(adapted.places.find(model.path, adapted.adapter));
  Progress loading(context.console, "loading " + model.name, Progress::Form::kQuiet);
  Progress scoring(context.console, "scoring " + file.filename().string(), Progress::Form::kQuiet);
  perplexity.load_progress = [&loading](double fraction) { loading.update(fraction); };
  perplexity.progress = [&](double fraction) {
    loading.finish();
    scoring.update(fraction);
  };
  const PerplexityReport report = TRY(measure_perplexity(model.path, file, perplexity));
  scoring.finish();
  context.console.write(options.json ? to_json_text(adapted.name(), file.string(), report)
                                     : to_text(adapted.name(), report));
  return kExitOk;
}

}  // namespace mlxd::cli
