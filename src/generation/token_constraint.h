// What a request's tokens must be like: the engine asks it before each step, has it compute the step's masks,
// and tells it each token chosen. One owner at a time; once a request is submitted, the engine, which hands
// it to whichever thread computes the masks.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "generation/token.h"

namespace mlxd {

class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;

  /// Appends at most `most` tokens of which nothing else can come next, as far as they are easily known: a
  /// guess, for the same text may have other tokens.
  virtual void foresee(std::int32_t most, std::vector<TokenId>& tokens) = 0;
  /// How many of these tokens may come, one after the other.
  virtual std::int32_t num_allowed(std::span<const TokenId> tokens) = 0;

  /// Sets out the masks of a step: of the next token, and of what follows each of these guesses, each of
  /// which num_allowed counted. True if `compute_masks` is to be called before they are read.
  virtual bool look_ahead(std::span<const TokenId> guesses) = 0;
  /// Once after look_ahead, on any thread.
  virtual void compute_masks() = 0;
  /// After so many of the guesses. Bit t % 32 of word t / 32: token t may come next; tokens beyond the words
  /// may not. Empty: all may. Stays where it is until the next look_ahead. After an error none may.
  virtual std::span<const std::uint32_t> mask(std::size_t num_guesses) const = 0;

  virtual void advance(TokenId token) = 0;
  /// Why it can say no more.
  virtual const std::optional<Error>& error() const = 0;
};

}  // namespace mlxd
