#include <string>
#include <utility>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "workbench/import_gguf.h"

namespace mlxd::cli {

Result<int> import_command(const CommandContext& context, const ImportCommandOptions& options) {
  const std::filesystem::path file = expand_home(options.file);
  ImportOptions import;
  import.name = options.name;
  import.models_folder = context.state.models();
  import.overwrite = options.force;
  // Ctrl-C ends the job, not the program, so that nothing is left behind.
  const InterruptFlag interrupt;
  import.is_cancelled = [&interrupt] { return interrupt.raised();
};
Progress progress(context.console, "importing " + file.filename().string(), Progress::Form::kBar);
import.progress = [&progress](float fraction) { progress.update(fraction);
};  // namespace mlxd::cli
TRY(context.state.ensure());
const auto imported = import_gguf(file, import);
progress.finish();
if (!imported) {
  Error error = imported.error();
  if (error.kind == ErrorKind::kConflict && !options.force) error.message += " (--force replaces it)";
  return error;
}
const ImportReport& report = *imported;
for (const std::string& line : describe_tensors(report.tensors)) context.console.write_line(line);
for (const std::string& note : report.notes) context.console.write_error("note: " + note + "\n");
context.console.write_line(report.name + ": " + std::to_string(report.num_tensors) + " tensors, " +
                           format_count(report.num_parameters) + " parameters, " + report.storage + ", " +
                           format_bytes(report.weight_bytes));
// Alone on the last line, for scripts.
context.console.write_line(report.folder.string());
return kExitOk;
}

}  // namespace mlxd::cli
