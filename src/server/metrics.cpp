#include "server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <utility>

#include "base/clock.h"

namespace mlxd {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

const prometheus::Histogram::BucketBoundaries kRequestSeconds = {0.001, 0.005, 0.02, 0.1, 0.5, 1,
                                                                 2.5,   5,     10,   30,  60,  300};
const prometheus::Histogram::BucketBoundaries kFirstTokenSeconds = {
    0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 30};
const prometheus::Histogram::BucketBoundaries kInterTokenSeconds = {0.001, 0.002, 0.004, 0.008, 0.016, 0.032,
                                                                    0.064, 0.128, 0.256, 0.512, 1.024};

// One family with a sample for each model.
class ModelFamily {
 public:
  ModelFamily(const char* name, const char* help, MetricType type) {
    family_.name = name;
    family_.help = help;
    family_.type = type;
  }
  void add(const std::string& model, double value) {
    ClientMetric sample;
    sample.label.push_back({"model", model});
    (family_.type == MetricType::Counter ? sample.counter.value : sample.gauge.value) = value;
    family_.metric.push_back(std::move(sample));
  }
  template <std::size_t N>
  void add(const std::string& model, const Histogram<N>& histogram) {
    ClientMetric sample;
    sample.label.push_back({"model", model});
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i <= N; ++i) {
      seen += histogram.counts[i];
      const double bound = i < N ? histogram.bounds[i] : std::numeric_limits<double>::infinity();
      sample.histogram.bucket.push_back({seen, bound});
    }
    sample.histogram.sample_count = seen;
    sample.histogram.sample_sum = histogram.sum;
    family_.metric.push_back(std::move(sample));
  }
  MetricFamily take() { return std::move(family_); }

 private:
  MetricFamily family_;
};

MetricFamily single(const char* name, const char* help, double value) {
  MetricFamily family{name, help, MetricType::Gauge, {}};
  ClientMetric sample;
  sample.gauge.value = value;
  family.metric.push_back(sample);
  return family;
}

void add_model_families(const std::vector<ServedModelPtr>& models, std::vector<MetricFamily>& out) {
  struct Row {
    const char* name;
    const char* help;
    MetricType type;
    double (*value)(const EngineStats& stats);
  };
  static constexpr MetricType kCounter = MetricType::Counter;
  static constexpr MetricType kGauge = MetricType::Gauge;
  static const Row kRows[] = {
      {"mlxd_prompt_tokens_total", "Prompt tokens prefilled.", kCounter,
       [](const EngineStats& s) { return static_cast<double>(s.prompt_tokens); }},
      {"mlxd_cached_prompt_tokens_total", "Prompt tokens whose K/V were found in the prefix cache.", kCounter,
       [](const EngineStats& s) { return static_cast<double>(s.cached_prompt_tokens); }},
      {"mlxd_recomputed_tokens_total", "Tokens computed again after a preemption.", kCounter,
       [](const EngineStats& s) { return static_cast<double>(s.recomputed_tokens); }},
      {"mlxd_generated_tokens_total", "Tokens generated.", kCounter,
       [](const EngineStats& s) { return static_cast<double>(s.generated_tokens); }},
      {"mlxd_drafted_tokens_total", "Tokens guessed ahead and verified.", kCounter,
       [](const EngineStats& s) { return static_cast<double>(s.drafted_tokens); }},
      {"mlxd_accepted_draft_tokens_total", "Tokens guessed ahead that were right.", kCounter,
       [](const EngineStats& s) { return static_cast<double>(s.accepted_tokens); }},
      {"mlxd_engine_forward_seconds_total", "Time spent in the backend's part of steps.", kCounter,
       [](const EngineStats& s) { return s.forward_seconds; }},
      {"mlxd_sequences_finished_total", "Sequences that came to their end.", kCounter,
       [](const EngineStats& s) { return static_cast<double>(s.requests_finished); }},
      {"mlxd_sequences_cancelled_total", "Sequences whose client went away or whose stop string came.",
       kCounter, [](const EngineStats& s) { return static_cast<double>(s.requests_cancelled); }},
      {"mlxd_sequences_failed_total", "Sequences that failed.", kCounter,
       [](const EngineStats& s) { return static_cast<double>(s.requests_failed); }},
      {"mlxd_sequences_expired_total", "Sequences that were not finished by their time limit.", kCounter,
       [](const EngineStats& s) { return static_cast<double>(s.requests_expired); }},
      {"mlxd_prefix_evictions_total", "Cached pages given up for others.", kCounter,
       [](const EngineStats& s) { return static_cast<double>(s.prefix_evictions); }},
      {"mlxd_preemptions_total", "Sequences put back because pages ran out.", kCounter,
       [](const EngineStats& s) { return static_cast<double>(s.preemptions); }},
      {"mlxd_sequences_running", "Sequences prefilling or decoding.", kGauge,
       [](const EngineStats& s) { return static_cast<double>(s.running); }},
      {"mlxd_sequences_waiting", "Sequences accepted, not yet running.", kGauge,
       [](const EngineStats& s) { return static_cast<double>(s.waiting); }},
      {"mlxd_batch_sequences_last", "Sequences in the last step.", kGauge,
       [](const EngineStats& s) { return static_cast<double>(s.last_batch_sequences); }},
      {"mlxd_batch_sequences_max", "Most sequences in one step since the start.", kGauge,
       [](const EngineStats& s) { return static_cast<double>(s.max_batch_sequences); }},
      {"mlxd_kv_pages_total", "K/V pages of 32 tokens.", kGauge,
       [](const EngineStats& s) { return static_cast<double>(s.pages_total); }},
      {"mlxd_kv_pages_used", "K/V pages of running sequences.", kGauge,
       [](const EngineStats& s) { return static_cast<double>(s.pages_used); }},
      {"mlxd_kv_pages_cached", "K/V pages kept to be shared, used by no sequence.", kGauge,
       [](const EngineStats& s) { return static_cast<double>(s.pages_cached); }},
      {"mlxd_state_pages_total", "Pages of states of recurrent layers.", kGauge,
       [](const EngineStats& s) { return static_cast<double>(s.states_total); }},
      {"mlxd_state_pages_used", "States of running sequences.", kGauge,
       [](const EngineStats& s) { return static_cast<double>(s.states_used); }},
      {"mlxd_state_pages_cached", "States kept to be shared, used by no sequence.", kGauge,
       [](const EngineStats& s) { return static_cast<double>(s.states_cached); }},
      {"mlxd_expected_wait_seconds", "How long a request that comes now waits before it starts.", kGauge,
       [](const EngineStats& s) { return s.expected_wait_seconds; }},
  };
  std::vector<EngineStats> stats;
  for (const ServedModelPtr& model : models) stats.push_back(model->engine->stats());
  for (const Row& row : kRows) {
    ModelFamily family(row.name, row.help, row.type);
    for (std::size_t i = 0; i < models.size(); ++i) family.add(models[i]->name, row.value(stats[i]));
    out.push_back(family.take());
  }
  ModelFamily step_seconds("mlxd_engine_step_seconds", "Time of each step.", MetricType::Histogram);
  ModelFamily batches("mlxd_engine_batch_sequences", "Sequences in each step.", MetricType::Histogram);
  ModelFamily batch_tokens("mlxd_engine_batch_tokens", "Tokens in each step.", MetricType::Histogram);
  ModelFamily queue_seconds("mlxd_engine_queue_seconds", "Time from a request's arrival to its first step.",
                            MetricType::Histogram);
  for (std::size_t i = 0; i < models.size(); ++i) {
    step_seconds.add(models[i]->name, stats[i].step_seconds_histogram);
    batches.add(models[i]->name, stats[i].batch_sequences_histogram);
    batch_tokens.add(models[i]->name, stats[i].batch_tokens_histogram);
    queue_seconds.add(models[i]->name, stats[i].queue_seconds_histogram);
  }
  out.push_back(step_seconds.take());
  out.push_back(batches.take());
  out.push_back(batch_tokens.take());
  out.push_back(queue_seconds.take());
  ModelFamily weights("mlxd_weight_bytes", "Memory of the weights.", kGauge);
  ModelFamily pages("mlxd_kv_bytes", "Memory of the pages of K/V and states.", kGauge);
  ModelFamily scratch("mlxd_scratch_bytes", "Memory of the backend's scratch.", kGauge);
  ModelFamily adapters("mlxd_adapter_bytes", "Memory of loaded adapters.", kGauge);
  ModelFamily tables("mlxd_tokenizer_bytes", "Memory of the tokenizer's tables.", kGauge);
  ModelFamily loading("mlxd_model_load_seconds", "Time that loading took.", kGauge);
  for (const ServedModelPtr& model : models) {
    const BackendMemory memory = model->engine->backend_memory();
    weights.add(model->name, static_cast<double>(memory.weight_bytes));
    pages.add(model->name, static_cast<double>(memory.page_bytes));
    scratch.add(model->name, static_cast<double>(memory.scratch_bytes));
    adapters.add(model->name, static_cast<double>(memory.adapter_bytes));
    tables.add(model->name, static_cast<double>(model->tokenizer->memory_bytes()));
    loading.add(model->name, model->load_seconds);
  }
  for (ModelFamily* family : {&weights, &pages, &scratch, &adapters, &tables, &loading})
    out.push_back(family->take());
}

}  // namespace

struct Metrics::Impl {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& requests = prometheus::BuildCounter()
                                                          .Name("mlxd_http_requests_total")
                                                          .Help("Requests answered.")
                                                          .Register(registry);
  prometheus::Family<prometheus::Histogram>& request_seconds = prometheus::BuildHistogram()
                                                                   .Name("mlxd_http_request_seconds")
                                                                   .Help("Time from request to last byte.")
                                                                   .Register(registry);
  prometheus::Family<prometheus::Histogram>& first_token =
      prometheus::BuildHistogram()
          .Name("mlxd_time_to_first_token_seconds")
          .Help("Time from request to its first token, queue and prefill included.")
          .Register(registry);
  prometheus::Family<prometheus::Histogram>& inter_token = prometheus::BuildHistogram()
                                                               .Name("mlxd_inter_token_seconds")
                                                               .Help("Time between a stream's tokens.")
                                                               .Register(registry);
  TimePoint started = Clock::real().now();
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

void Metrics::observe_request(const http::RequestRecord& record) {
  static constexpr std::string_view kKnownMethods[] = {"GET",   "HEAD",   "POST",   "PUT",
                                                       "PATCH", "DELETE", "OPTIONS"};
  // A label for each invented method would be a leak that clients can drive.
  std::string method = "other";
  for (const std::string_view known : kKnownMethods) {
    if (record.method == known) method = known;
  }
  const std::string route(record.route);
  impl_->requests.Add({{"route", route}, {"method", method}, {"status", std::to_string(record.status)}})
      .Increment();
  impl_->request_seconds.Add({{"route", route}}, kRequestSeconds).Observe(record.seconds);
}

ModelMetrics Metrics::for_model(const std::string& model) {
  return {.time_to_first_token = &impl_->first_token.Add({{"model", model}}, kFirstTokenSeconds),
          .inter_token = &impl_->inter_token.Add({{"model", model}}, kInterTokenSeconds)};
}

void Metrics::observe(prometheus::Histogram* histogram, double seconds) { histogram->Observe(seconds); }

std::string Metrics::render(const std::vector<ServedModelPtr>& models, std::size_t open_connections) const {
  std::vector<MetricFamily> families = impl_->registry.Collect();
  add_model_families(models, families);
  families.push_back(
      single("mlxd_http_connections_open", "Open connections.", static_cast<double>(open_connections)));
  families.push_back(single("mlxd_resident_memory_bytes", "Memory of the process that is resident.",
                            static_cast<double>(process_memory().resident_bytes)));
  families.push_back(single("mlxd_uptime_seconds", "Time since the start.",
                            std::chrono::duration<double>(Clock::real().now() - impl_->started).count()));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace mlxd
