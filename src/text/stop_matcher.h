// Finds the earliest of several stop strings in text that comes in pieces. Text that might begin a stop
// string is held back until it is decided. Linear in the text, bounded in the stop strings (Aho–Corasick).
// One owner.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace mlxd {

class StopMatcher {
 public:
  /// No stop strings: everything passes at once. Empty strings are ignored.
  explicit StopMatcher(std::span<const std::string> stop_strings);
  ~StopMatcher();
  StopMatcher(StopMatcher&&) noexcept;
  StopMatcher& operator=(StopMatcher&&) noexcept;

  struct Output {
    std::string text;      // decided to be no part of a stop string
    bool stopped = false;  // a stop string was found right after `text`; push no more
    std::string matched;   // which
  };
  Output push(std::string_view piece);
  /// The held-back text at the end of the stream.
  std::string finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlxd
