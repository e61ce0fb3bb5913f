// How a prompt met the prefix cache; a value that travels with a request's first token.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "generation/token.h"

namespace mlxd {

enum class CacheOutcome {
  kNothingCached,  // nothing that is cached begins like this prompt
  kDiverged,       // something cached begins like it, then differs
  kEnded,          // all that is cached of it was reused; it goes on beyond
  kWhole,          // all of it was there; the last token is computed in any case
  kNotUsed,        // the prompt's tokens are scored, so all of it is computed
};
std::string_view to_string(CacheOutcome outcome);

struct CacheReport {
  std::int32_t cached_tokens = 0;  // K/V reused

  // Set if the request asked for an explanation.
  bool explained = false;
  CacheOutcome outcome = CacheOutcome::kNothingCached;
  /// kDiverged, kEnded: position of the first token that the nearest cached prompt does not share.
  std::int32_t position = 0;
  /// The cached tokens from `position` on, as far as their page goes; empty if another client's.
  std::vector<TokenId> cached_continuation;
  bool same_client = false;
};

/// A CacheReport with its tokens as text.
struct CacheExplanation {
  std::int32_t prompt_tokens = 0;
  std::int32_t cached_tokens = 0;
  CacheOutcome outcome = CacheOutcome::kNothingCached;
  std::int32_t position = 0;
  std::string prompt_before;  // the prompt's text just before `position`
  std::string prompt_after;   // and from it on
  std::string cached_after;   // the cached prompt's from it on; empty if another client's
  bool same_client = false;
};

}  // namespace mlxd
