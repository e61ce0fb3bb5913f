// One request to the engine, valid by construction: what every API dialect is translated into.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "generation/adapter_lease.h"
#include "generation/sampling_params.h"
#include "generation/token.h"
#include "generation/token_constraint.h"

namespace mlxd {

/// What a model allows; `create` checks a request against it.
struct GenerationLimits {
  std::int32_t vocab_size = 0;
  std::int32_t context_tokens = 0;
};

/// Who goes first. A waiting request rises by a level every ten seconds.
enum class Priority : std::uint8_t { kHigh = 0, kNormal = 1, kLow = 2 };

/// Whether the prompt's own tokens are scored: each but the first by its log-probability after those before
/// it.
enum class PromptScoring : std::uint8_t {
  kNone,
  kWithAnswer,
  kAlone,  // and nothing is generated
};

/// On whose behalf: equal ids are one client. 0: nobody in particular.
using ClientId = std::uint64_t;

class GenerationRequest {
 public:
  struct Fields {
    std::vector<TokenId> prompt;
    SamplingParams sampling;
    /// Ceiling on generated tokens; clamped to the room left in the context. 0: until context or a stop. Of
    /// no meaning where nothing is generated.
    std::int32_t max_tokens = 0;
    /// Token ids that end the generation (the model's end tokens). The id itself is reported but is not text.
    std::vector<TokenId> stop_tokens;
    /// Strings that end the generation; matched by the text pipeline, not by the engine.
    std::vector<std::string> stop_strings;

    Priority priority = Priority::kNormal;
    /// Clients share the engine fairly, and see each other's cached text never.
    ClientId client = 0;
    /// Cached prefixes are shared only between requests of the same salt.
    std::string cache_salt;
    /// Null: the model as it is. Cached prefixes are not shared between adapters, nor with the model itself.
    AdapterLeasePtr adapter;
    /// The engine gives up on the request then.
    std::optional<TimePoint> deadline;
    /// Scores have sampling.top_logprobs alternatives each. Nothing of a scored prompt is taken from the
    /// prefix cache, as what is not computed has no score; others may go on from it as from any.
    PromptScoring prompt_scoring = PromptScoring::kNone;
    /// Report how the prompt met the prefix cache.
    bool explain_cache = false;
    /// What the answer is expected to have in it; makes it come sooner where it does, and changes nothing.
    std::vector<TokenId> prediction;
    /// Null: any token may come. Used by this request alone.
    std::shared_ptr<TokenConstraint> constraint;
  };

  /// Errors (kInvalidArgument): empty prompt, token outside the vocabulary (of the prediction, too), sampling
  /// out of range; kTooLarge: a prompt that leaves no room for what is to be generated, one token at least,
  /// with both numbers. An absent seed is drawn here.
  static Result<GenerationRequest> create(Fields fields, const GenerationLimits& limits);

  const std::vector<TokenId>& prompt() const { return fields_.prompt; }
  const SamplingParams& sampling() const { return fields_.sampling; }
  std::uint64_t seed() const { return *fields_.sampling.seed; }
  /// At least 1, or 0 where nothing is generated; prompt + max_tokens fits the context.
  std::int32_t max_tokens() const { return fields_.max_tokens; }
  const std::vector<TokenId>& stop_tokens() const { return fields_.stop_tokens; }
  const std::vector<std::string>& stop_strings() const { return fields_.stop_strings; }
  Priority priority() const { return fields_.priority; }
  ClientId client() const { return fields_.client; }
  const std::string& cache_salt() const { return fields_.cache_salt; }
  AdapterId adapter() const { return fields_.adapter ? fields_.adapter->id : kNoAdapter; }
  const std::optional<TimePoint>& deadline() const { return fields_.deadline; }
  bool scores_prompt() const { return fields_.prompt_scoring != PromptScoring::kNone; }
  bool generates() const { return fields_.prompt_scoring != PromptScoring::kAlone; }
  bool explain_cache() const { return fields_.explain_cache; }
  const std::vector<TokenId>& prediction() const { return fields_.prediction; }
  TokenConstraint* constraint() const { return fields_.constraint.get(); }

 private:
  explicit GenerationRequest(Fields fields) : fields_(std::move(fields)) {}
  Fields fields_;
};

}  // namespace mlxd
