// Guesses what follows sequences' tokens, to be verified as rows of the same step. Guesses are proposals
// only: a wrong one costs a row and changes nothing, so a drafter may use whatever it likes. One owner, the
// engine's thread.
#pragma once

#include <span>

#include "base/result.h"
#include "engine/backend.h"
#include "engine/sequence.h"

namespace mlxd {

class Drafter {
 public:
  virtual ~Drafter() = default;

  /// Fills the drafts of decoding sequences, which are empty, with at most `most_tokens` tokens each. An
  /// error leaves drafts that may be used or not; the sequences go on without.
  virtual Result<void> propose(std::span<Sequence* const> sequences) = 0;
  /// The sequence has ended; unknown ones are nothing.
  virtual void forget(SequenceId id) = 0;

  /// Expected seconds of one more token for each of so many sequences; 0: next to nothing.
  virtual double seconds_per_token(std::int32_t num_sequences) const = 0;

  /// The engine's number of pages has changed. Errors: kOutOfMemory; no more is to be proposed then.
  virtual Result<void> resize(std::int32_t /*num_pages*/) { return {}; }
  /// Weights, pages and scratch of its own.
  virtual BackendMemory memory() const { return {}; }
};

}  // namespace mlxd
