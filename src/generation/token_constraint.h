// What a request's tokens must be like: the engine asks it before each token and tells it each one chosen.
// One owner at a time; once a request is submitted, the engine.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/error.h"
#include "generation/token.h"

namespace mlxd {

class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;

  /// Bit t % 32 of word t / 32: token t may come next; tokens beyond the words may not. Empty: all may. Valid
  /// until `advance`. After an error none may.
  virtual std::span<const std::uint32_t> mask() = 0;
  virtual void advance(TokenId token) = 0;
  /// Why it can say no more.
  virtual const std::optional<Error>& error() const = 0;
};

}  // namespace mlxd
