// Finds out what a loaded model can do by having it do it: how long a text it takes, whether it ends by
// itself, whether and between what it reasons, how it calls tools, whether it keeps to a form, what its
// template's switches change, and how fast it is. What is found is told beside what the model's family is
// taken to do, so that a wrong family, a damaged template or a model that never learned tools shows. Blocks;
// at temperature 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/model_host.h"

namespace mlxd {

struct ProbeReport {
  struct ContextTrial {
    std::int32_t tokens = 0;  // of a prompt of random tokens, computed to its end
    double tokens_per_s = 0.0;
  };
  struct Context {
    std::int32_t model_tokens = 0;  // by its configuration
    std::int64_t fitting_tokens =
        0;  // that the memory free now holds beside the weights; at most model_tokens
    std::vector<ContextTrial> trials;  // rising
  };
  /// What the family says of reasoning, and answers to one question.
  struct Reasoning {
    std::string open{}, close{};      // the family's markers; empty: it has none
    bool has_channels = false;        // harmony
    std::optional<bool> by_itself{};  // absent: the experiment could not be made
    std::optional<bool> when_off{};   // asked not to
    std::string foreign_marker{};     // of another family, seen in the answer; empty: none
  };
  struct Tools {
    std::string dialect;                 // of the family; empty: none
    bool in_template = false;            // the template tells the model of tools; else mlxd does
    std::optional<bool> called{};        // when a question needed it
    std::optional<bool> held_to_call{};  // a call that had to come, came, with arguments of its schema
    std::string foreign_dialect{};       // in which the answer had a call that the family's does not read
  };
  struct Switch {
    std::string name;
    std::string default_json;              // empty: not known
    std::optional<bool> changes_prompt{};  // the other value does; absent: no other value is known
  };
  struct Speed {
    std::int32_t streams = 0;
    double prefill_tokens_per_s = 0.0, decode_tokens_per_s = 0.0;  // of all streams together
  };

  std::string model, backend, family;
  bool has_template = false;
  double load_seconds = 0.0;
  std::size_t weight_bytes = 0, kv_bytes_per_token = 0;
  Context context;
  std::vector<std::string> end_tokens;  // that end answers
  std::optional<bool> ends_by_itself;   // a short answer did
  Reasoning reasoning;
  Tools tools;
  std::optional<bool> keeps_to_schema;
  std::vector<Switch> switches;
  std::vector<Speed> speed;
  std::vector<std::string>
      remarks;  // where experiment and family differ, and what failed, in whole sentences
};

struct ProbeOptions {
  /// Told as each step begins and ends; `outcome` is empty at its beginning. May be empty.
  std::function<void(const std::string& step, const std::string& outcome)> on_step{};
  double context_seconds = 20.0;    // longer texts are tried while the last took less than a quarter of it
  std::function<bool()> stopped{};  // asked several times a second; may be empty
};

/// `model` is loaded as for run_bench: prompts first, without guesses. Errors: kCancelled (stopped); those of
/// the engine where nothing can be computed at all. An experiment that fails is a remark.
Result<ProbeReport> probe_model(const ModelHost& model, const ProbeOptions& options);

/// K/V positions that probing a model loaded for such a context needs.
std::int64_t kv_tokens_to_probe(std::int32_t context_tokens);

/// What differs between two reports of what a model is (not of how fast), in whole sentences: for stored
/// reports against what is found today.
std::vector<std::string> compare_probes(const ProbeReport& before, const ProbeReport& now);

}  // namespace mlxd
