// Decides how many guessed tokens each decoding sequence verifies in the next step, so that speculation pays
// or does not happen. Learns from the steps themselves; a pure calculation, no clock. One owner.
//
// What a guess is worth is how often guesses of its evidence were right, in this sequence and in all. A guess
// that was not run is judged too, by the token that came instead, so that learning costs nothing. What rows
// cost is how much longer steps with so many of them took than steps without: a ratio, learned by number of
// sequences and of extra rows, against plain steps of late; now and then a plain step is made for that.
//
// Estimates err, so there is an account: what guesses won less what their rows cost, in plain steps. While it
// is overdrawn nothing is guessed, and it fills by a hundredth of each plain step: so much may be lost at
// most, whatever the text and the machine.
//
// Chosen is what makes the sum of the logarithms of all sequences' speeds largest (proportional fairness;
// Kelly, "Charging and rate control for elastic traffic", 1997): of one sequence that is its speed, and of
// several, nobody is slowed down much for another's sake.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "engine/sequence.h"

namespace mlxd {

class DraftPlanner {
 public:
  /// Of one sequence in a step: with its own token as many rows as a pass over the vocabulary takes at once.
  static constexpr std::int32_t kMostDrafts = 15;
  /// Of all sequences in a step.
  static constexpr std::int32_t kMostExtraRows = 32;

  /// `fixed_drafts`: so many for each sequence, whatever they bring; 0: as it pays, in steps of at most
  /// `most_cost` times a plain one, so that streams stay even.
  explicit DraftPlanner(std::int32_t fixed_drafts, double most_cost = std::numeric_limits<double>::infinity())
      : fixed_drafts_(fixed_drafts), most_cost_(most_cost) {}

  /// How many tokens it pays to have guessed for each of so many sequences, one more of each taking
  /// `seconds_per_token`; at most kMostDrafts.
  std::int32_t worthwhile_drafts(std::span<Sequence* const> decoding, double seconds_per_token,
                                 double row_seconds);
  /// Sets Draft::num_run of all decoding sequences. `row_seconds`: what a row takes in a step full of prompt
  /// tokens, for want of better knowledge; 0: unknown.
  void plan(std::span<Sequence* const> decoding, double row_seconds);

  /// A step with drafts is over, and the sequence had `first_new` tokens before it.
  void learn(Sequence& sequence, std::int32_t first_new);
  /// What a step without prompt tokens took, apart from the guessing before it, and how many of its extra
  /// rows were right guesses.
  void observe(std::int32_t num_decodes, std::int32_t num_extra_rows, std::int32_t num_accepted,
               double seconds, double guessing_seconds);

 private:
  static constexpr std::size_t kMostSequences = 64;  // with more, nothing is guessed
  static constexpr std::size_t kNumSizes = 7;        // of numbers of sequences, by power of two

  struct Plain {
    double seconds = 0.0;  // moving average; 0: unknown
    std::uint64_t at_step = 0;
  };
  /// The time of a step with some extra rows over that of a plain one.
  struct Ratio {
    double value = 0.0;
    double unmeasured = 0.0;  // what was expected
    int count = 0;            // measurements; 0: unknown
    void learn(double measured, double expected);
    void fade(double share);
  };
  struct Choice {
    Sequence* sequence = nullptr;
    double next_right = 0.0;  // probability that the next guess and all before it are right
    double tokens = 1.0;      // expected of the step
    std::int32_t num_run = 0;
  };

  double rate(const Sequence& sequence, Evidence evidence) const;
  const Plain* fresh_plain(std::size_t num_sequences) const;
  void fill_costs(std::size_t num_sequences, double row_seconds);
  void offer_next(Choice& choice) const;
  void observe_plain(std::size_t num_sequences, double seconds);

  std::int32_t fixed_drafts_;
  double most_cost_;
  AcceptanceRates rates_{1000.0};  // of all sequences
  std::uint64_t num_steps_ = 0;
  double balance_ = 2.0;  // what speculation has won, in plain steps; below 0 it pauses until that is made up
  std::array<Plain, kMostSequences + 1> plain_{};
  std::array<std::array<Ratio, kMostExtraRows + 1>, kNumSizes> ratios_{};  // by size class and extra rows
  std::array<double, kMostExtraRows + 1> costs_{};  // of the step being planned: ratios without gaps
  std::vector<Choice> choices_;
};

}  // namespace mlxd
