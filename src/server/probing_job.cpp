// The job that finds out what a model can do: loaded for itself, with memory of the pool's budget and threads
// of its own.
#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "server/job_kinds.h"
#include "workbench/model_facts.h"
#include "workbench/probe.h"
#include "workbench/probe_json.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using Type = JobParameter::Type;

constexpr std::int64_t kUsualContext = 4096;
constexpr std::int32_t kStreams = 4;   // at a time, where speed is measured
constexpr double kNumSteps = 7.0;      // of a probe
constexpr double kLoadingShare = 0.1;  // of the progress

Result<json::object> run_probe(const JobEnvironment& environment, const JobWish& wish, JobRun& run) {
  const fs::path model = TRY(find_job_model(environment, wish.text("model"), true));
  const ModelDetails details = TRY(read_model_details(model));
  ModelHostOptions options = environment.host;
  options.compute_threads = nullptr;
  options.memory_bytes = 0;
  options.max_running = kStreams;
  options.context_tokens = static_cast<std::int32_t>(
      std::min<std::int64_t>(details.context_tokens, wish.integer("context", kUsualContext)));
  options.kv_bytes =
      static_cast<std::size_t>(details.kv_bytes_per_token * kv_tokens_to_probe(options.context_tokens));
  // As run_bench wants it.
  options.gap_ratio = std::numeric_limits<double>::infinity();
  if (options.draft_model.empty()) options.speculation = "off";
  options.progress = [&run](float fraction) { run.progress(kLoadingShare * static_cast<double>(fraction)); };
  options.stop = &run.stop();
  const std::size_t fixed = TRY(estimate_needs(model, options)).fixed_bytes;
  run.enter("waiting for memory");
  const MemoryHold hold = TRY(environment.shelf->pool().reserve(fixed + options.kv_bytes, run.stop()));
  run.enter("loading");
  const auto host = TRY(ModelHost::load(model, options));
  ProbeOptions probe;
  probe.stopped = [&run] { return run.stop().load(std::memory_order_relaxed); };
  int num_done = 0;
  probe.on_step = [&run, &num_done](const std::string& step, const std::string& outcome) {
    if (outcome.empty()) {
      run.enter(step);
      return;
    }
    run.log(step + ": " + outcome);
    run.progress(kLoadingShare + (1.0 - kLoadingShare) * std::min(1.0, ++num_done / kNumSteps));
  };
  const ProbeReport report = TRY(probe_model(*host, probe));
  for (const std::string& remark : report.remarks) run.log("! " + remark);
  json::object result = probe_json(report);
  result["model"] = wish.text("model");
  return result;
}

}  // namespace

JobKind probe_kind(const JobEnvironment& environment) {
  JobKind kind;
  kind.name = "probe";
  kind.about = "what a model can do, found out by experiment";
  kind.parameters = {
      {.name = "model", .about = "the model that is probed", .required = true, .min = 1, .max = 4096},
      {.name = "context",
       .type = Type::kInteger,
       .about = "tokens of the longest text that is tried",
       .min = 512,
       .max = std::int64_t{1} << 20U,
       .otherwise = kUsualContext},
  };
  kind.check = [environment](const JobWish& wish, const Caller& caller) -> Result<void> {
    TRY(find_job_model(environment, wish.text("model"), caller.administers()));
    return {};
  };
  kind.run = [environment](const JobWish& wish, JobRun& run) { return run_probe(environment, wish, run); };
  return kind;
}

}  // namespace mlxd
