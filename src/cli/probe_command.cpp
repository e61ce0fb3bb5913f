#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "base/mapped_file.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/json_text.h"
#include "cli/model_loader.h"
#include "workbench/probe.h"
#include "workbench/probe_json.h"

namespace mlxd::cli {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

std::string yes_or_no(const std::optional<bool>& value) {
  return value ? (*value ? "yes" : "no") : "not known";
}

std::string joined(const std::vector<std::string>& parts, const std::string& none) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text.empty() ? none : text;
}

std::string context_text(const ProbeReport::Context& context) {
  std::string text = format_grouped(context.fitting_tokens) + " of " + format_grouped(context.model_tokens) +
                     " tokens fit in the memory that is free";
  if (!context.trials.empty())
    text += "; read " + format_grouped(context.trials.back().tokens) + " at " +
            format_number(context.trials.back().tokens_per_s, 0) + " tokens/s";
  return text;
}

std::string reasoning_text(const ProbeReport::Reasoning& reasoning) {
  std::string text = reasoning.has_channels   ? "in channels (harmony)"
                     : reasoning.open.empty() ? "no markers"
                                              : "between " + reasoning.open + " and " + reasoning.close;
  return text + "; reasoned when asked: " + yes_or_no(reasoning.by_itself) +
         ", when asked not to: " + yes_or_no(reasoning.when_off);
}

std::string tools_text(const ProbeReport::Tools& tools) {
  if (tools.dialect.empty() && !tools.called) return "none";
  return tools.dialect +
         (tools.in_template ? ", known to the template" : ", told by mlxd in the system message") +
         "; called when asked: " + yes_or_no(tools.called) +
         ", when it had to: " + yes_or_no(tools.held_to_call);
}

std::string to_text(const std::string& name, const ProbeReport& report) {
  std::vector<std::string> switches, speeds;
  for (const auto& entry : report.switches) {
    switches.push_back(entry.name + (entry.default_json.empty() ? "" : " (" + entry.default_json + ")") +
                       (entry.changes_prompt ? (*entry.changes_prompt ? "" : ": changes nothing here") : ""));
  }
  for (const auto& speed : report.speed)
    speeds.push_back(std::to_string(speed.streams) + (speed.streams == 1 ? " stream " : " streams ") +
                     format_number(speed.decode_tokens_per_s, 0) + " tokens/s, prompts " +
                     format_number(speed.prefill_tokens_per_s, 0));
  std::string text = name + ", " + report.backend + "\n" +  //
                     "family     " + (report.family.empty() ? "none: no chat template" : report.family) +
                     "\n" + "memory     " + format_bytes(report.weight_bytes) + " of weights, " +
                     format_bytes(report.kv_bytes_per_token) + " for each token\n" +  //
                     "context    " + context_text(report.context) + "\n" +            //
                     "ends       " + joined(report.end_tokens, "no end token") +
                     "; by itself: " + yes_or_no(report.ends_by_itself) + "\n";
  if (report.has_template)
    text += "reasoning  " + reasoning_text(report.reasoning) + "\n" +  //
            "tools      " + tools_text(report.tools) + "\n" +          //
            "structure  kept to a schema: " + yes_or_no(report.keeps_to_schema) + "\n" + "switches   " +
            joined(switches, "none") + "\n";
  text += "speed      " + joined(speeds, "not measured") + "\n";
  for (const std::string& remark : report.remarks) text += "! " + remark + "\n";
  return text;
}

/// Of a model's name, which may have slashes.
fs::path file_of(const fs::path& folder, std::string name) {
  for (std::size_t at = name.find('/'); at != std::string::npos; at = name.find('/', at + 2))
    name.replace(at, 1, "--");
  return folder / (name + ".json");
}

Result<void> save(const fs::path& file, const std::string& text) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  if (!out) return Error(ErrorKind::kIo, file.string() + " cannot be written");
  return {};
}

/// What is different from the report kept in the folder; nothing if there is none.
Result<std::vector<std::string>> audit(const fs::path& folder, const std::string& name,
                                       const ProbeReport& now) {
  const fs::path file = file_of(expand_home(folder), name);
  const MappedFile kept = TRY(MappedFile::open(file));
  const auto before = parse_probe({reinterpret_cast<const char*>(kept.bytes().data()), kept.bytes().size()});
  if (!before.ok()) return Error(before.error().kind, file.string() + ": " + before.error().message);
  return compare_probes(before.value(), now);
}

Result<json::object> probe_one(const CommandContext& context, const ProbeCommandOptions& options,
                               const Settings& settings, const FoundModel& model, bool& differs) {
  LoadOptions load;
  load.speculate = false;
  load.prefill_first = true;
  const auto host = TRY(load_model(context, model, settings, load));
  const InterruptFlag interrupt;
  ProbeOptions probe;
  probe.stopped = [&interrupt] { return interrupt.raised(); };
  probe.on_step = [&context](const std::string& step, const std::string& outcome) {
    if (!outcome.empty()) context.console.write_error(step + ": " + outcome + "\n");
  };
  const ProbeReport report = TRY(probe_model(*host, probe));
  json::object object = probe_json(report);
  object["model"] = model.name;
  std::string text = to_text(model.name, report);
  if (!options.audit.empty()) {
    const std::vector<std::string> found = TRY(audit(options.audit, model.name, report));
    for (const std::string& difference : found) text += "! " + difference + "\n";
    object["differences"] = json::value_from(found);
    differs = differs || !found.empty();
  }
  if (!options.save.empty()) {
    const fs::path folder = expand_home(options.save);
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) return Error(ErrorKind::kIo, folder.string() + " cannot be made: " + error.message());
    TRY(save(file_of(folder, model.name), pretty_json(object)));
  }
  if (!options.json) context.console.write(text);
  return object;
}

}  // namespace

Result<int> probe_command(const CommandContext& context, const ProbeCommandOptions& options) {
  const auto settings = resolve_settings(options.flags, context.state);
  if (!settings) {
    context.console.report_error(settings.error().message);
    return kExitUsage;
  }
  if (options.all && !options.model.empty()) {
    context.console.report_error("give a model or --all, not both (see 'mlxd probe --help')");
    return kExitUsage;
  }
  const ModelFinder finder = TRY(make_finder(context.state));
  std::vector<FoundModel> models;
  if (options.all)
    models = finder.list();
  else
    models.push_back(TRY(choose_model(finder, context.state, options.model)));
  json::array reports;
  bool differs = false;
  bool failed = false;
  for (const FoundModel& model : models) {
    auto report = probe_one(context, options, *settings, model, differs);
    if (report.ok()) {
      reports.emplace_back(report.take_value());
      continue;
    }
    // One that cannot be loaded says so, and the others are tried.
    if (!options.all || report.error().kind == ErrorKind::kCancelled) return report.take_error();
    context.console.report_error(model.name + ": " + report.error().message);
    failed = true;
  }
  if (options.json) context.console.write(pretty_json(options.all ? json::value(reports) : reports.front()));
  return differs || failed ? kExitFailure : kExitOk;
}

}  // namespace mlxd::cli
