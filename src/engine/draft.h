// What is guessed to follow a sequence's tokens, and how such guesses have fared. Values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "generation/token.h"

namespace mlxd {

/// What a guess rests on: guesses of equal evidence are about equally often right.
enum class Evidence : std::uint8_t {
  kConstraint,  // lets nothing else come, if these are the tokens of what it lets come
  kDraftModel,
  kMatch2,  // so many tokens before it, those guessed included, stood before it elsewhere
  kMatch3,
  kMatch4,
  kMatch5To7,
  kMatch8To15,
  kMatch16AndMore,
};
inline constexpr std::size_t kNumEvidence = 8;

struct DraftToken {
  TokenId token = kNoToken;
  Evidence evidence = Evidence::kDraftModel;
};

/// A decoding sequence's guesses for a step.
struct Draft {
  std::int32_t most_tokens = 0;    // asked for
  std::vector<DraftToken> tokens;  // what follows the sequence's tokens, each if those before it are right
  std::int32_t num_run = 0;        // of `tokens`: those that the step verifies
  bool from_prediction = false;    // found in the request's predicted text

  void clear() {
    most_tokens = num_run = 0;
    tokens.clear();
    from_prediction = false;
  }
};

/// How often guesses were right given that all before them were, by evidence; the past fades.
class AcceptanceRates {
 public:
  /// `memory`: about how many guesses count.
  explicit AcceptanceRates(double memory) : keep_(1.0 - 1.0 / memory) {}

  void record(Evidence evidence, bool right) {
    Tally& tally = tallies_[static_cast<std::size_t>(evidence)];
    tally.right = tally.right * keep_ + (right ? 1.0 : 0.0);
    tally.all = tally.all * keep_ + 1.0;
  }
  /// The rate, as if `prior_weight` guesses of rate `prior` had come before.
  double rate(Evidence evidence, double prior, double prior_weight) const {
    const Tally& tally = tallies_[static_cast<std::size_t>(evidence)];
    return (tally.right + prior * prior_weight) / (tally.all + prior_weight);
  }

 private:
  struct Tally {
    double right = 0.0;
    double all = 0.0;
  };
  double keep_;
  std::array<Tally, kNumEvidence> tallies_{};
};

}  // namespace mlxd
