// What a benchmark's load is sent to: an engine of this process or a server. Each client of the load asks
// through a conversation of its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"

namespace mlxd {

/// What became of one request.
struct BenchAnswer {
  TimePoint sent;
  /// One for each piece of the answer as it came: a token, or what a server sent at once.
  std::vector<TimePoint> times;
  std::int32_t prompt_tokens = 0;
  std::int32_t completion_tokens = 0;
  std::optional<std::int32_t> cached_tokens;  // of the prompt; absent: the target does not say
  std::string failure;                        // empty: answered; else why not
};

/// One client: its questions and their answers are one growing text. One owner.
class BenchConversation {
 public:
  virtual ~BenchConversation() = default;
  /// Adds `text`, blocks until the answer of `max_tokens` tokens is complete, has failed, or `deadline` has
  /// passed (a failure too).
  virtual BenchAnswer ask(const std::string& text, std::int32_t max_tokens, TimePoint deadline) = 0;
};

/// Tokens that were guessed ahead and verified, and those of them that were right, since the target's start.
struct BenchDrafts {
  std::uint64_t drafted = 0;
  std::uint64_t accepted = 0;
};

class BenchTarget {
 public:
  virtual ~BenchTarget() = default;
  /// `is_chat`: several questions will follow. Called on several threads at once; the target must outlive
  /// the conversation.
  virtual std::unique_ptr<BenchConversation> begin(bool is_chat) = 0;
  /// Absent: the target does not say.
  virtual std::optional<BenchDrafts> drafts() const { return std::nullopt; }
};

/// The failure of a request whose time was up.
inline constexpr const char* kBenchTimeIsUp = "not answered within the time limit";

}  // namespace mlxd
